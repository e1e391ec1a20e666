//! The texts that a configuration is made of, as the host found them: nothing here reads a file.
//!
//! `ZOO_*` variables mean what they mean in ZooKeeper's official container image: they stand in for
//! `zoo.cfg` where that file does not exist, with the image's defaults, and `ZOO_MY_ID` for a `myid`
//! that does not exist. A file that is there counts alone.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::findings::Origin;
use crate::config::properties::entries;

/// A file and its name, as findings shall show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub name: String,
    pub text: String,
}

/// Everything that was said about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Name of the main file, also where it does not exist.
    pub file: String,
    /// Its text; `None` where it does not exist.
    pub text: Option<String>,
    /// The file that [`Given::dynamic_file`] names, or why it cannot be read.
    pub dynamic: Option<Result<Document, String>>,
    /// `dataDir/myid`, where it exists.
    pub myid: Option<Document>,
    /// The environment, or any part of it that holds the `ZOO_*` variables.
    pub variables: Vec<(String, String)>,
}

/// One `key=value` and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub at: Origin,
    pub key: String,
    pub value: String,
}

/// (variable, key, value in the official image).
pub const VARIABLES: &[(&str, &str, &str)] = &[
    ("ZOO_DATA_DIR", "dataDir", "/data"),
    ("ZOO_DATA_LOG_DIR", "dataLogDir", "/datalog"),
    ("ZOO_TICK_TIME", "tickTime", "2000"),
    ("ZOO_INIT_LIMIT", "initLimit", "5"),
    ("ZOO_SYNC_LIMIT", "syncLimit", "2"),
    ("ZOO_AUTOPURGE_SNAPRETAINCOUNT", "autopurge.snapRetainCount", "3"),
    ("ZOO_AUTOPURGE_PURGEINTERVAL", "autopurge.purgeInterval", "0"),
    ("ZOO_MAX_CLIENT_CNXNS", "maxClientCnxns", "60"),
    ("ZOO_STANDALONE_ENABLED", "standaloneEnabled", "true"),
    ("ZOO_ADMINSERVER_ENABLED", "admin.enableServer", "true"),
    ("ZOO_4LW_COMMANDS_WHITELIST", "4lw.commands.whitelist", ""),
];
const SERVERS: &str = "ZOO_SERVERS";
const LONE_SERVER: &str = "server.1=localhost:2888:3888;2181";
const EXTRA: &str = "ZOO_CFG_EXTRA";
const MY_ID: &str = "ZOO_MY_ID";
/// Of the image's start script or of Java: they say nothing about the server.
const OF_OTHERS: &[&str] = &[
    "ZOO_CONF_DIR",
    "ZOO_LOG_DIR",
    "ZOO_LOG4J_PROP",
    "ZOO_DATADIR_AUTOCREATE_DISABLE",
    "ZOOCFGDIR",
];

impl Given {
    /// A file and nothing else: for tests and tools.
    pub fn file(name: &str, text: &str) -> Self {
        Self {
            file: name.into(),
            text: Some(text.into()),
            dynamic: None,
            myid: None,
            variables: Vec::new(),
        }
    }

    /// Where `myid` lies.
    pub fn data_dir(&self) -> Option<String> {
        self.value("dataDir")
    }

    /// The file that holds the servers, where the main file names one.
    pub fn dynamic_file(&self) -> Option<String> {
        self.value("dynamicConfigFile")
    }

    /// Whether there is a file, or variables that stand in for it.
    pub fn is_configured(&self) -> bool {
        self.text.is_some() || self.configuring().next().is_some()
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        match &self.text {
            Some(text) => settings(&self.file, text),
            None => self.variable_settings(),
        }
    }

    /// Variables that are set although a file counts, and those that nobody knows.
    pub(super) fn ignored(&self) -> Vec<(&str, Ignored)> {
        let zoo = self.variables.iter().map(|(name, _)| name.as_str());
        let zoo = zoo.filter(|name| name.starts_with("ZOO_") && !OF_OTHERS.contains(name));
        let judged = zoo.filter_map(|name| match () {
            () if name == MY_ID => None,
            () if !is_configuring(name) => Some((name, Ignored::Unknown)),
            () if self.text.is_some() => Some((name, Ignored::FileCounts)),
            () => None,
        });
        judged.collect()
    }

    /// `ZOO_MY_ID`; the image writes 1 where it is not set and where there is no file.
    pub(super) fn my_id_variable(&self) -> Option<(&str, Origin)> {
        let set = self.variable(MY_ID).map(|id| (id, Origin::Variable(MY_ID.into())));
        let default = || self.text.is_none().then_some(("1", Origin::Default));
        set.or_else(default)
    }

    pub(super) fn variable_names() -> impl Iterator<Item = &'static str> {
        VARIABLES.iter().map(|(name, ..)| *name).chain([SERVERS, EXTRA, MY_ID])
    }

    /// As the start script of the image writes the file.
    fn variable_settings(&self) -> Vec<Setting> {
        let mut found = Vec::new();
        for (name, key, default) in VARIABLES {
            let set = self.variable(name);
            let at = match set {
                Some(_) => Origin::Variable((*name).into()),
                None => Origin::Default,
            };
            let value = set.unwrap_or(default);
            if !value.is_empty() {
                found.push(Setting { at, key: (*key).into(), value: value.into() });
            }
        }
        for (name, default) in [(SERVERS, LONE_SERVER), (EXTRA, "")] {
            let set = self.variable(name);
            let lines = set.unwrap_or(default).split_whitespace().collect::<Vec<_>>().join("\n");
            let at = match set {
                Some(_) => Origin::Variable(name.into()),
                None => Origin::Default,
            };
            let placed = entries(&lines).into_iter().map(|entry| Setting {
                at: at.clone(),
                key: entry.key,
                value: entry.value,
            });
            found.extend(placed);
        }
        found
    }

    /// One that is set to nothing counts as not set, as in the image's script.
    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    fn configuring(&self) -> impl Iterator<Item = &str> {
        let names = self.variables.iter().map(|(name, _)| name.as_str());
        names.filter(|name| is_configuring(name))
    }

    fn value(&self, key: &str) -> Option<String> {
        let found = self.settings().into_iter().rfind(|setting| setting.key == key)?;
        (!found.value.is_empty()).then_some(found.value)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    FileCounts,
    Unknown,
}

fn is_configuring(name: &str) -> bool {
    VARIABLES.iter().any(|(known, ..)| *known == name) || name == SERVERS || name == EXTRA
}

pub(super) fn settings(file: &str, text: &str) -> Vec<Setting> {
    let placed = entries(text).into_iter().map(|entry| Setting {
        at: Origin::Line { file: file.into(), line: entry.line },
        key: entry.key,
        value: entry.value,
    });
    placed.collect()
}

/// The version that the name of a dynamic file ends with, as `zoo.cfg.dynamic.100000007`.
pub(super) fn version_in_name(name: &str) -> Option<String> {
    let (_, end) = name.rsplit_once('.')?;
    let version = u64::from_str_radix(end, 16).ok()?;
    Some(format!("{version:x}"))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn with(text: Option<&str>, variables: &[(&str, &str)]) -> Given {
        let pair = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        Given {
            text: text.map(String::from),
            variables: variables.iter().map(pair).collect(),
            ..Given::file("zoo.cfg", "")
        }
    }

    #[test]
    fn without_a_file_the_variables_make_one_as_the_image_does() {
        let servers = "server.1=a:1:2;3  server.2=b:1:2;3";
        let given = with(
            None,
            &[
                ("ZOO_SERVERS", servers),
                ("ZOO_TICK_TIME", "500"),
                ("ZOO_CFG_EXTRA", "snapCount=7 jute.maxbuffer=9"),
                ("ZOO_SYNC_LIMIT", ""),
            ],
        );
        let value = |key: &str| given.value(key);
        assert_eq!(value("server.2").as_deref(), Some("b:1:2;3"));
        assert_eq!(value("tickTime").as_deref(), Some("500"));
        assert_eq!(value("syncLimit").as_deref(), Some("2"), "set to nothing is not set");
        assert_eq!(value("snapCount").as_deref(), Some("7"));
        assert_eq!(given.data_dir().as_deref(), Some("/data"));
        assert_eq!(value("4lw.commands.whitelist"), None);
        let tick = given.settings().into_iter().find(|one| one.key == "tickTime").unwrap();
        assert_eq!(tick.at.to_string(), "ZOO_TICK_TIME");
        assert!(given.is_configured());
        assert_eq!(given.my_id_variable().unwrap().0, "1");
        assert_eq!(with(None, &[("ZOO_MY_ID", "4")]).my_id_variable().unwrap().0, "4");
    }

    #[test]
    fn a_file_counts_alone() {
        let given = with(
            Some("dataDir=/d"),
            &[
                ("ZOO_TICK_TIME", "500"),
                ("ZOO_MY_ID", "3"),
                ("ZOO_TICKTIME", "1"),
                ("ZOO_LOG_DIR", "/logs"),
                ("HOME", "/"),
            ],
        );
        assert_eq!(given.value("tickTime"), None);
        let ignored =
            vec![("ZOO_TICK_TIME", Ignored::FileCounts), ("ZOO_TICKTIME", Ignored::Unknown)];
        assert_eq!(given.ignored(), ignored);
        assert_eq!(given.my_id_variable().unwrap().0, "3");
        assert!(!with(None, &[("ZOO_MY_ID", "3"), ("HOME", "/")]).is_configured());
    }

    #[test]
    fn the_version_stands_at_the_end_of_the_name() {
        for (name, version) in [
            ("zoo.cfg.dynamic.100000007", Some("100000007")),
            ("zoo.cfg.dynamic", None),
            ("plain", None),
            ("x.00f", Some("f")),
        ] {
            assert_eq!(version_in_name(name).as_deref(), version, "{name}");
        }
    }
}

//! What is known of the servers beside what they answered.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use vivarium_core::config::Config;
use vivarium_core::config::given::Given;
use vivarium_core::config::parse::parse;
use vivarium_core::config::properties::entries;
use vivarium_core::ids::ServerId;

use crate::recorded::Unusable;
use crate::recorded::requests::Access;

/// How the servers of a history were set up.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// A sync is answered without asking a quorum.
    weak_sync: bool,
    /// Some are Apache's: so it is, and persistent watches that are set again may be told nothing of what they
    /// missed.
    pub(crate) apache: bool,
    config: Option<Config>,
}

/// Keys that say what clients may do and see. All others are nothing to a history.
const KEYS: [&str; 6] = [
    "skipACL",
    "DigestAuthenticationProvider.superDigest",
    "DigestAuthenticationProvider.digestAlg",
    "sync.linearizable",
    "eventHistory",
    "extendedTypesEnabled",
];

impl Servers {
    pub fn new(weak_sync: bool, apache: bool) -> Self {
        Self { weak_sync, apache, config: None }
    }

    /// Takes from a `zoo.cfg` what clients may do. Without it, ZooKeeper's defaults count.
    pub fn read_config(&mut self, path: &Path) -> Result<(), Unusable> {
        let text = fs::read_to_string(path)
            .map_err(|error| Unusable(format!("{}: {error}", path.display())))?;
        self.config = Some(config_of(&text, &path.display().to_string())?);
        Ok(())
    }

    pub(crate) fn weak_sync(&self) -> bool {
        let configured = self.config.as_ref().is_some_and(|config| !config.linearizable_sync);
        self.weak_sync || self.apache || configured
    }

    /// Of one of the servers.
    pub(crate) fn config(&self, access: Access) -> Config {
        let mut config = match &self.config {
            Some(config) => config.clone(),
            None => Config::with_defaults(ServerId(1), None, [0; 32]),
        };
        config.linearizable_sync = !self.weak_sync();
        // Who asked is not known: what was refused for it is left out.
        config.access.skip_acl |= access == Access::Unknown;
        config
    }
}

fn config_of(text: &str, name: &str) -> Result<Config, Unusable> {
    // The line of each key stays what it is, so that a complaint points at it.
    let mut chosen = String::new();
    let mut line = 1;
    for entry in entries(text).into_iter().filter(|entry| KEYS.contains(&entry.key.as_str())) {
        for _ in line..entry.line {
            chosen.push('\n');
        }
        line = line.max(entry.line) + 1;
        writeln!(chosen, "{}={}", entry.key, entry.value).expect("a string takes everything");
    }
    chosen.push_str("dataDir=.\n");
    match parse(&Given::file(name, &chosen), [0; 32]) {
        Ok(parsed) => Ok(parsed.config),
        Err(error) => Err(Unusable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::config::DigestAlg;

    #[test]
    fn a_configuration_says_what_clients_may_do() {
        let text = "dataDir=/data\nserver.1=a:1:2\nserver.2=b:1:2\nskipACL=yes\n\
                    DigestAuthenticationProvider.digestAlg=SHA-256\nenforceQuota=true\nnonsense=1\n";
        let config = config_of(text, "zoo.cfg").unwrap();
        assert!(config.access.skip_acl);
        assert!(!config.enforce_quota, "what servers count is their own");
        assert_eq!(config.access.digest_alg, DigestAlg::Sha256);
        let wrong = config_of("# mine\n\nskipACL=perhaps\n", "zoo.cfg").unwrap_err().to_string();
        assert!(wrong.starts_with("zoo.cfg:3: skipACL"), "{wrong}");
    }

    #[test]
    fn apaches_servers_ask_no_quorum() {
        let servers = Servers { apache: true, ..Servers::default() };
        let config = servers.config(Access::Known);
        assert!(servers.weak_sync() && !config.linearizable_sync);
        assert!(!config.access.skip_acl && servers.config(Access::Unknown).access.skip_acl);
    }
}

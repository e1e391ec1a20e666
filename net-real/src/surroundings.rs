//! Facts about this machine and process, for `envi` and `conf`.

use std::env;
use std::fs;
use std::path::Path;

use vivarium_core::config::{HostConfig, Surroundings};

/// ZooKeeper's folder inside `dataDir` and `dataLogDir`.
const VERSION: &str = "version-2";

/// Looks around once; what cannot be found is left out.
pub fn look(host: &HostConfig) -> Surroundings {
    Surroundings {
        client_port: host.client.as_ref().map(|address| address.port),
        data_dir: full(&host.data_dir),
        data_log_dir: full(&host.data_log_dir),
        host_name: kernel("hostname"),
        temporary_dir: env::temp_dir().to_str().map(String::from),
        os_name: kernel("ostype"),
        os_arch: Some(java_arch(env::consts::ARCH).into()),
        os_version: kernel("osrelease"),
        user_name: variable("USER").or_else(|| variable("LOGNAME")),
        user_home: variable("HOME"),
        user_dir: env::current_dir().ok().and_then(|folder| folder.to_str().map(String::from)),
    }
}

fn full(folder: &str) -> Option<String> {
    let folder = std::path::absolute(Path::new(folder).join(VERSION)).ok()?;
    folder.to_str().map(String::from)
}

/// What Linux tells of itself; nothing elsewhere.
fn kernel(fact: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{fact}")).ok()?;
    one_line(text)
}

fn variable(name: &str) -> Option<String> {
    one_line(env::var(name).ok()?)
}

/// Trimmed; nothing where it is empty or would break the line that prints it.
fn one_line(text: String) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.contains(['\n', '\r'])).then(|| text.to_string())
}

/// Java's name of a processor, which the readers of `envi` expect.
fn java_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::config::{Address, HostConfig};

    use super::{look, one_line};

    #[test]
    fn folders_are_named_in_full() {
        let client = Some(Address { host: "0.0.0.0".into(), port: 2181 });
        let host = HostConfig {
            data_dir: "data".into(),
            data_log_dir: "/log".into(),
            client,
            ..HostConfig::with_defaults()
        };
        let around = look(&host);
        assert_eq!(around.client_port, Some(2181));
        assert_eq!(around.data_log_dir.as_deref(), Some("/log/version-2"));
        let data = around.data_dir.expect("the folder has a name");
        assert!(data.starts_with('/') && data.ends_with("/data/version-2"), "{data}");
    }

    #[test]
    fn only_values_of_one_line_are_told() {
        assert_eq!(one_line(" a b\n".into()).as_deref(), Some("a b"));
        assert_eq!(one_line("a\nb".into()), None);
        assert_eq!(one_line("\n".into()), None);
    }
}

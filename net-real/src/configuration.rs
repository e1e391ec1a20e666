//! Reads what a configuration is made of: files and variables. What they mean is core's.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use vivarium_core::config::findings::ConfigError;
use vivarium_core::config::given::{Document, Given};
use vivarium_core::config::parse::{Parsed, parse};

use crate::failure::Failure;

/// A configuration that a server can start with.
pub fn load(zoo_cfg: &Path) -> Result<Parsed, Failure> {
    let given = gather(zoo_cfg)?;
    parse(&given, seed()?).map_err(|error| refused(&error))
}

/// Every error in a line of its own.
pub fn refused(error: &ConfigError) -> Failure {
    let lines: Vec<_> = error.errors().map(ToString::to_string).collect();
    Failure::configuration(lines.join("\nvivarium: "))
}

/// All that was said, none of it judged.
pub fn gather(zoo_cfg: &Path) -> Result<Given, Failure> {
    let file = zoo_cfg.display().to_string();
    let text = read(zoo_cfg).map_err(|error| {
        Failure::configuration(format!("{file}: {error}; name ZooKeeper's configuration file"))
    })?;
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("ZOO_"));
    let variables = variables.collect();
    let mut given = Given { file, text, dynamic: None, myid: None, variables };
    if !given.is_configured() {
        return Err(Failure::configuration(format!(
            "{}: there is no such file; name ZooKeeper's configuration file, or set ZOO_SERVERS and \
             the other ZOO_* variables",
            given.file
        )));
    }
    given.dynamic = given.dynamic_file().map(|name| match read(Path::new(&name)) {
        Ok(Some(text)) => Ok(Document { name, text }),
        Ok(None) => Err("there is no such file".into()),
        Err(error) => Err(error.to_string()),
    });
    if let Some(data_dir) = given.data_dir() {
        let file = Path::new(&data_dir).join("myid");
        let text = read(&file).map_err(|error| {
            let file = file.display();
            Failure::configuration(format!("{file}: {error}; write this server's number into it"))
        })?;
        let name = file.display().to_string();
        given.myid = text.map(|text| Document { name, text });
    }
    Ok(given)
}

pub fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::running(format!("no randomness from the system: {error}")))?;
    Ok(seed)
}

/// `None` where there is no such file.
fn read(file: &Path) -> Result<Option<String>, std::io::Error> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(decode(bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Java reads properties as ISO-8859-1; whoever writes them today writes UTF-8.
fn decode(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_encodings_are_read() {
        assert_eq!(decode("# Zürich".as_bytes().to_vec()), "# Zürich");
        assert_eq!(decode(b"# Z\xfcrich".to_vec()), "# Zürich");
    }
}

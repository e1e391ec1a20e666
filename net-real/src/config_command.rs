//! `vivarium config check|show`: what is wrong with a configuration, and what is in force.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use vivarium_core::config::findings::{Finding, Origin, Severity};
use vivarium_core::config::parse::{Parsed, parse};
use vivarium_core::config::{Config, HostConfig};

use crate::args::Format;
use crate::configuration::{gather, refused, seed};
use crate::failure::Failure;
use crate::folders;

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Name everything that is wrong or odd; 0 if a server would start, 2 if not.
    ///
    /// Nothing is changed and no port is opened. Names of other servers are looked up.
    Check(ConfigArgs),
    /// Print every value that is in force, and where it comes from.
    Show(ConfigArgs),
}

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// ZooKeeper's configuration file.
    #[arg(value_name = "ZOO_CFG")]
    config: PathBuf,
    /// Lines for people, or one JSON document.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// What goes to standard output, and how the command ends.
pub fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(args) => check(args),
        ConfigCommand::Show(args) => show(args),
    }
}

fn check(args: &ConfigArgs) -> Result<(), Failure> {
    let mut findings = match parse(&gather(&args.config)?, seed()?) {
        Ok(Parsed { config, mut findings, .. }) => {
            findings.extend(look_around(&config));
            findings
        }
        Err(error) => error.findings,
    };
    findings.sort_by_key(|finding| finding.severity);
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match args.output {
        Format::Text => {
            for finding in &findings {
                println!("{} {finding}", finding.severity.word());
            }
            let verdict = if errors == 0 { "a server starts with it" } else { "no server starts" };
            let file = args.config.display();
            println!("{file}: {verdict} (errors: {errors}, warnings: {warnings})");
        }
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(finding_json).collect();
            let document = json!({ "starts": errors == 0, "findings": findings });
            println!("{document:#}");
        }
    }
    if errors == 0 {
        return Ok(());
    }
    let help = "no server starts with it; mend the errors on standard output, and check again";
    Err(Failure::configuration(format!("{}: {help}", args.config.display())))
}

fn show(args: &ConfigArgs) -> Result<(), Failure> {
    let parsed = parse(&gather(&args.config)?, seed()?).map_err(|error| refused(&error))?;
    let effective = parsed.effective();
    match args.output {
        Format::Text => {
            let width = |lens: &mut dyn Iterator<Item = usize>| lens.max().unwrap_or(0);
            let lines: Vec<_> =
                effective.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
            let width = width(&mut lines.iter().map(|line| line.chars().count())).min(60);
            for (line, one) in lines.iter().zip(&effective) {
                println!("{line:width$}  # {}", one.from);
            }
        }
        Format::Json => {
            let value = |from: &Origin| match from {
                Origin::Line { file, line } => json!({ "file": file, "line": line }),
                Origin::File(file) => json!({ "file": file }),
                Origin::Variable(name) => json!({ "variable": name }),
                Origin::Default => json!("default"),
            };
            let rows = effective.iter();
            let rows: Vec<_> = rows
                .map(|one| json!({ "key": one.key, "value": one.value, "from": value(&one.from) }))
                .collect();
            println!("{:#}", Value::from(rows));
        }
    }
    Ok(())
}

fn finding_json(finding: &Finding) -> Value {
    let Finding { severity, at, key, what, help } = finding;
    let (file, line) = match at {
        Origin::Line { file, line } => (Some(file), Some(*line)),
        Origin::File(file) => (Some(file), None),
        Origin::Variable(_) | Origin::Default => (None, None),
    };
    let variable = match at {
        Origin::Variable(name) => Some(name),
        Origin::Line { .. } | Origin::File(_) | Origin::Default => None,
    };
    json!({
        "severity": severity.word(), "file": file, "line": line, "variable": variable,
        "key": key, "what": what, "help": help,
    })
}

/// What only a look at this machine and at its names can tell.
fn look_around(config: &Config) -> Vec<Finding> {
    let host = &config.host;
    let mut findings = Vec::new();
    look_at_folder("dataDir", host, &host.data_dir, &mut findings);
    if host.data_log_dir != host.data_dir {
        look_at_folder("dataLogDir", host, &host.data_log_dir, &mut findings);
        look_for_strays("dataDir", &host.data_dir, "log.", &mut findings);
        look_for_strays("dataLogDir", &host.data_log_dir, "snapshot.", &mut findings);
    }
    look_at_names(config, &mut findings);
    findings
}

fn look_at_folder(key: &str, host: &HostConfig, folder: &str, findings: &mut Vec<Finding>) {
    let mut say = |severity, what: String, help: &str| {
        findings.push(Finding {
            severity,
            at: Origin::File(folder.into()),
            key: key.into(),
            what,
            help: help.into(),
        });
    };
    let path = Path::new(folder);
    if path.is_relative() {
        let what = "is relative to wherever the server is started".to_owned();
        say(Severity::Warning, what, "write the whole path");
    }
    match fs::metadata(path) {
        Ok(about) if !about.is_dir() => {
            say(Severity::Error, "is not a folder".into(), "name a folder");
        }
        Ok(about) if about.permissions().readonly() => {
            say(Severity::Error, "cannot be written to".into(), "correct owner and mode");
        }
        Ok(_) => {
            if let Some(by) = folders::running_on(path) {
                let what = format!("is in use by a running server{by}");
                say(Severity::Info, what, "stop that one before another starts here");
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound && host.create_folders => {
            say(Severity::Info, "does not exist".into(), "the first start makes it");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let help = "make it: datadir.autocreate=false leaves that to you";
            say(Severity::Error, "does not exist".into(), help);
        }
        Err(error) => say(Severity::Error, error.to_string(), "correct owner and mode"),
    }
}

/// Logs beside snapshots, or the other way round: a `dataLogDir` that was set, or unset, later on.
fn look_for_strays(key: &str, folder: &str, prefix: &str, findings: &mut Vec<Finding>) {
    let inside = Path::new(folder).join("version-2");
    let entries = fs::read_dir(&inside).into_iter().flatten().flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    if let Some(name) = names.find(|name| name.starts_with(prefix)) {
        findings.push(Finding {
            severity: Severity::Error,
            at: Origin::File(inside.join(name).display().to_string()),
            key: key.into(),
            what: "holds a file of the other folder".into(),
            help: "move all of its kind, or set dataLogDir as it was".into(),
        });
    }
}

/// Names that do not resolve, and an own line that names another machine.
fn look_at_names(config: &Config, findings: &mut Vec<Finding>) {
    let members = config.ensemble.iter().flat_map(|ensemble| &ensemble.members);
    for (id, member) in members {
        let (key, name) = (format!("server.{id}"), member.election.host.as_str());
        let mut say = |severity, what: String, help: &str| {
            let (at, help) = (Origin::File(name.into()), help.into());
            findings.push(Finding { severity, at, key: key.clone(), what, help });
        };
        match (name, member.election.port).to_socket_addrs() {
            Err(error) => {
                let what = format!("is a name that does not resolve here ({error})");
                say(Severity::Warning, what, "correct the name, or the resolver");
            }
            Ok(addresses) => {
                let mut addresses = addresses.map(|address| (address.ip(), 0));
                let here = addresses.any(|address| TcpListener::bind(address).is_ok());
                if *id == config.me && !here && !config.host.quorum_on_all_addresses {
                    let what = "is this server, but not an address of this machine".to_owned();
                    say(Severity::Error, what, "correct the server line, or myid");
                }
            }
        }
    }
}

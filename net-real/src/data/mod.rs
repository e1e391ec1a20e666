//! `vivarium data`: what lies in a data folder, and who would start on it. The opinion is core's;
//! here files are read and nothing is written.

mod file;
mod json;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vivarium_core::admin::folder::{Appraisal, Ask, Question, Report, Standing};

use crate::args::{DataArgs, Format, StandingArg};
use crate::failure::Failure;
use crate::files::{Files, Places, RealFiles, subject};
use crate::folders::{self, VERSION};

/// Whether all is well, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    Ill,
}

pub fn data(asked: &DataArgs) -> Result<ExitCode, Failure> {
    let path = &asked.path;
    let about = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let health = match about.is_dir() {
        true => folder(asked)?,
        false => file::print(path, asked.output)?,
    };
    Ok(match health {
        Health::Well => ExitCode::SUCCESS,
        Health::Ill => ExitCode::from(1),
    })
}

fn folder(asked: &DataArgs) -> Result<Health, Failure> {
    let root = data_dir(&asked.path);
    let log_root = asked.log_dir.as_deref().map_or_else(|| root.clone(), data_dir);
    let question = Question {
        separate_log_dir: log_root != root,
        myid: root.join("myid").is_file(),
        standing: asked.standing.map(|standing| match standing {
            StandingArg::Standalone => Standing::Standalone,
            StandingArg::Member => Standing::Member,
        }),
    };
    let running = folders::running_on(&root).or_else(|| folders::running_on(&log_root));
    let places = Places {
        data: root.join(VERSION),
        log: log_root.join(VERSION),
        log_root: log_root.clone(),
    };
    let report = appraise(question, &RealFiles::new(places))?;
    let running = running.map(|process| {
        format!("a vivarium{process} runs on this folder: what follows is how it looks right now")
    });
    let text = match asked.output {
        Format::Text => {
            let note = running.map_or_else(String::new, |running| format!("note: {running}\n"));
            format!("{report}{note}")
        }
        Format::Json => format!("{:#}\n", json::report(&report, running.is_some())),
    };
    say(&text)?;
    Ok(if report.apache_starts() { Health::Well } else { Health::Ill })
}

/// Who names `version-2` itself means the folder around it.
fn data_dir(path: &Path) -> PathBuf {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    match whole.parent() {
        Some(parent) if whole.ends_with(VERSION) => parent.to_path_buf(),
        Some(_) | None => whole,
    }
}

fn appraise(question: Question, files: &RealFiles) -> Result<Report, Failure> {
    let mut appraisal = Appraisal::new(question);
    let mut got = None;
    loop {
        match appraisal.next(got) {
            Ask::Done(report) => return Ok(*report),
            Ask::Read(action) => {
                let read = files.run(&action).map_err(|error| {
                    Failure::configuration(format!("{}: {error}", subject(&action)))
                })?;
                got = read;
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let help = if error.kind() == ErrorKind::NotFound {
        "name a dataDir, a log or a snapshot"
    } else if error.kind() == ErrorKind::PermissionDenied {
        "run this as the user of the server"
    } else {
        "check the disk"
    };
    Failure::configuration(format!("{}: {error}; {help}", path.display()))
}

/// Whoever reads may stop early (`| head`).
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("writing to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

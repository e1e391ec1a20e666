//! A report on a data folder in words: one line for the question whether Apache would start, one
//! for Vivarium, then what is there.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use core::fmt;

use super::{Figures, Ours, Report, Standing};
use crate::storage::apache::{PlayedLog, Remains, Verdict};

const APACHE: &str = "Apache ZooKeeper 3.9.5";

impl Report {
    /// The verdict in one line.
    pub fn apache_line(&self) -> String {
        let standing = self.standing;
        match &self.apache {
            Verdict::Starts => match &self.figures {
                Some(Figures { last, .. }) => {
                    format!("{APACHE} would start on this folder ({standing}), at zxid {last}.")
                }
                None => format!("{APACHE} would start on this folder ({standing})."),
            },
            Verdict::StartsEmpty => format!(
                "{APACHE} would start on this folder ({standing}), with an empty tree: there is \
                 neither a snapshot nor a log."
            ),
            Verdict::Refuses(why) => format!(
                "{APACHE} would not start on this folder ({standing}): {why}; {}.",
                why.remedy()
            ),
            Verdict::Unknown(file) => format!(
                "Whether {APACHE} would start on this folder is not known: {} is compressed, \
                 which is not read here.",
                file.name
            ),
        }
    }

    pub fn vivarium_line(&self) -> String {
        match &self.ours {
            Ours::Starts { last } => format!("Vivarium would start, at zxid {last}."),
            Ours::FirstStart => {
                "Vivarium would start, and wait until every voter has shown that it is empty too."
                    .to_string()
            }
            Ours::Blank => {
                "Vivarium would start without a history, and wait for its peers to fill it."
                    .to_string()
            }
            Ours::MovesAside => "Vivarium would start, move the damaged files aside and wait for \
                                 its peers to fill it; without peers it would not start."
                .to_string(),
            Ours::Refuses(why) => format!("Vivarium would not start: {why}."),
        }
    }

    /// What an operator should know though Apache starts.
    pub fn warnings(&self) -> Vec<String> {
        let ttls = self.figures.map_or(0, |figures| figures.ttls);
        let ttl = (ttls > 0 && self.apache_starts()).then(|| {
            format!(
                "{ttls} TTL nodes: unless it starts with extendedTypesEnabled=true, Apache takes \
                 them for ephemerals of sessions that are gone and deletes them"
            )
        });
        self.remains.iter().map(warning).chain(ttl).collect()
    }

    /// Name and value of everything that was found.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        rows.push(("snapshot", self.snapshot_row()));
        rows.push(("log files", self.log_row()));
        for log in &self.played {
            rows.push(("", played(log)));
        }
        if self.standing == Standing::Member {
            let number = |epoch: Option<i64>| {
                epoch.map_or_else(|| "none".to_string(), |epoch| epoch.to_string())
            };
            let (accepted, current) = (number(self.epochs.accepted), number(self.epochs.current));
            rows.push(("epochs", format!("accepted {accepted}, current {current}")));
        }
        if let Some(figures) = &self.figures {
            figure_rows(figures, &mut rows);
        }
        if self.aside > 0 {
            let row = format!("{} files (corrupt.*) that no server reads", self.aside);
            rows.push(("moved aside", row));
        }
        rows
    }

    fn snapshot_row(&self) -> String {
        let others = |shown| match self.snapshots.len().saturating_sub(shown) {
            0 => String::new(),
            more => format!(", {more} more"),
        };
        match (&self.loaded, self.snapshots.last()) {
            (Some(loaded), _) => {
                let len = self.snapshots.iter().find(|(file, _)| file == loaded);
                let len = len.map_or_else(String::new, |(_, len)| format!(" ({len} bytes)"));
                format!("{}{len}, whole{}", loaded.name, others(1))
            }
            (None, Some((newest, len))) => {
                format!("{} ({len} bytes), not read{}", newest.name, others(1))
            }
            (None, None) => "none".to_string(),
        }
    }

    fn log_row(&self) -> String {
        match (self.logs.first(), self.logs.last()) {
            (Some((only, _)), _) if self.logs.len() == 1 => only.name.clone(),
            (Some((first, _)), Some((last, _))) => {
                format!("{}, {} to {}", self.logs.len(), first.name, last.name)
            }
            (None, _) | (_, None) => "none".to_string(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.apache_line())?;
        for warning in self.warnings() {
            writeln!(f, "warning: {warning}")?;
        }
        writeln!(f, "{}\n", self.vivarium_line())?;
        for (name, value) in self.rows() {
            writeln!(f, "{name:<12} {value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "standalone",
            Self::Member => "as a member of an ensemble",
        })
    }
}

fn warning(remains: &Remains) -> String {
    let Remains { file, offset, bytes, records } = remains;
    let name = &file.name;
    match records {
        true => format!(
            "{name} is damaged at byte {offset}: Apache would take that for its end and lose the \
             transactions behind it without a word"
        ),
        false => format!(
            "{name} ends in the remains of a write that was cut off: {bytes} bytes from byte \
             {offset} on are not read"
        ),
    }
}

fn played(log: &PlayedLog) -> String {
    let PlayedLog { file, entries, last, end } = log;
    match last {
        Some(last) => format!("{}: {entries} transactions to {last}, {end} bytes", file.name),
        None => format!("{}: no transaction", file.name),
    }
}

fn figure_rows(figures: &Figures, rows: &mut Vec<(&'static str, String)>) {
    let Figures { last, znodes, ephemerals, containers, ttls, data_bytes, sessions, .. } = figures;
    let agrees = match figures.digest_agrees {
        Some(true) => ", as the log says",
        Some(false) => ", and the log says otherwise",
        None => "",
    };
    rows.push(("last zxid", last.to_string()));
    rows.push((
        "znodes",
        format!(
            "{znodes} ({ephemerals} ephemeral, {containers} container, {ttls} TTL), {data_bytes} \
             bytes"
        ),
    ));
    rows.push(("sessions", sessions.to_string()));
    rows.push(("tree digest", format!("{:016x}{agrees}", figures.tree_digest)));
}

//! What a client does, as a line that a person reads and writes:
//!
//! ```text
//! at 1.2 s create /r0/n1 "0-3" ephemeral
//! at 1.25 s set /r0/n1 "0-4" filled to 300 version 2
//! at 1.3 s sync /r0 then get /r0/n1 watch
//! at 1.3 s multi { check /r0 version 1 ; delete /r0/n1 }
//! at 1.4 s watch /r0 recursive
//! at 1.5 s unwatch /r0 persistent
//! at 1.5 s auth digest "ann:a"
//! at 1.6 s setacl /r0/n1 world:anyone:r,auth::cdrwa version 0
//! at 2 s silent for 3 s
//! at 6 s move straying set /r0 "0-5"
//! ```

use std::fmt;
use std::str::FromStr;

use vivarium_core::wire::client::{AddMode, WatchKind, WatchOp};

use super::access;
use super::span::{moment, span};
use super::words::Words;
use crate::history::Life;
use crate::ids::SimTime;
use crate::oracle::access::open;
use crate::workload::{
    Content, Create, Operation, Part, Read, Reading, Stray, Target, Version, Write,
};
use crate::zkclient::Timed;

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {}", moment(self.at), self.operation)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(write) => write.fmt(f),
            Self::Multi(parts) => {
                let parts: Vec<_> = parts.iter().map(Part::to_string).collect();
                write!(f, "multi {{ {} }}", parts.join(" ; "))
            }
            Self::Read(read) => read.fmt(f),
            Self::MultiRead(reads) => {
                let reads: Vec<_> = reads.iter().map(Read::to_string).collect();
                write!(f, "multi_read {{ {} }}", reads.join(" ; "))
            }
            Self::Sync { path } => write!(f, "sync {path}"),
            Self::SyncThenRead { path, read } => write!(f, "sync {path} then {read}"),
            Self::AddAuth { scheme, proof, asks } => {
                let behind = if *asks { " behind whoami" } else { "" };
                write!(f, "auth {scheme} {}{behind}", quoted(proof))
            }
            Self::Reauth => f.write_str("reauth"),
            Self::SetAcl { path, acl, version } => {
                write!(f, "setacl {path} {}{version}", access::line(acl))
            }
            Self::WhoAmI => f.write_str("whoami"),
            Self::Reconfig { version } => write!(f, "reconfig {version}"),
            Self::Watch(watch) => watch_line(watch, f),
            Self::Rewatch => f.write_str("rewatch"),
            Self::UnknownOp { code } => write!(f, "unknown {code}"),
            Self::Malformed { code } => write!(f, "malformed {code}"),
            Self::CloseSession => f.write_str("close"),
            Self::DropConnection => f.write_str("drop"),
            Self::Move { stray: None } => f.write_str("move"),
            Self::Move { stray: Some(Stray::Write(stray)) } => write!(f, "move straying {stray}"),
            Self::Move { stray: Some(Stray::Close) } => f.write_str("move straying close"),
            Self::Restart => f.write_str("restart"),
            Self::FallSilent { us } => write!(f, "silent for {}", span(*us)),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(create) => {
                write!(f, "create {} {}", create.path, content(create.data.as_ref()))?;
                f.write_str(&create.life.words())?;
                let flags = [(create.sequential, " sequential"), (create.with_stat, " stat")];
                flags.iter().filter(|(on, _)| *on).try_for_each(|(_, name)| f.write_str(name))?;
                match &create.acl {
                    acl if *acl == open() => Ok(()),
                    acl => write!(f, " acl {}", access::line(acl)),
                }
            }
            Self::Delete { path, version } => write!(f, "delete {path}{version}"),
            Self::SetData { path, data, version } => {
                write!(f, "set {path} {}{version}", content(data.as_ref()))
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(write) => write.fmt(f),
            Self::Check { path, version } => write!(f, "check {path}{version}"),
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Reading::Exists => write!(f, "exists {}", self.path)?,
            Reading::Data => write!(f, "get {}", self.path)?,
            Reading::Children { with_stat } => {
                write!(f, "children {}{}", self.path, if with_stat { " stat" } else { "" })?;
            }
            Reading::Ephemerals => write!(f, "ephemerals {}", self.path)?,
            Reading::CountAll => write!(f, "count {}", self.path)?,
            Reading::AccessList => write!(f, "getacl {}", self.path)?,
        }
        f.write_str(if self.watch { " watch" } else { "" })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Seen { per_mille, otherwise } => write!(f, "seen {per_mille} or {otherwise}"),
            Self::Own { otherwise } => write!(f, "own or {otherwise}"),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Is(version) => write!(f, " version {version}"),
            Self::Seen => f.write_str(" version seen"),
        }
    }
}

fn content(content: Option<&Content>) -> String {
    match content {
        None => "null".into(),
        Some(Content { word, len: None }) => format!("\"{word}\""),
        Some(Content { word, len: Some(len) }) => format!("\"{word}\" filled to {len}"),
    }
}

impl FromStr for Timed {
    type Err = String;

    /// # Errors
    /// What is wrong with the line, and what is allowed there.
    fn from_str(line: &str) -> Result<Self, String> {
        let words = &mut Words::of(line);
        words.expect("at")?;
        let at = SimTime(words.span()?);
        let operation = operation(words)?;
        words.end()?;
        Ok(Self { at, operation })
    }
}

/// What may stand behind a time.
const VERBS: &str = "create, delete, set, multi, exists, get, children, ephemerals, count, getacl, \
                     multi_read, sync, auth, reauth, setacl, whoami, reconfig, watch, unwatch, watches, \
                     rewatch, unknown, malformed, close, drop, move, restart, \
                     silent";

fn operation(words: &mut Words<'_>) -> Result<Operation, String> {
    let verb = words.next("what the client does")?;
    if let Some(write) = write(verb, words)? {
        return Ok(Operation::Write(write));
    }
    if let Some(read) = read(verb, words)? {
        return Ok(Operation::Read(read));
    }
    Ok(match verb {
        "multi" => multi(words)?,
        "multi_read" => multi_read(words)?,
        "sync" => {
            let path = target(words)?;
            if !words.take("then") {
                return Ok(Operation::Sync { path });
            }
            let verb = words.next("exists, get or children")?;
            let read = read(verb, words)?;
            let read = read.ok_or_else(|| format!("`{verb}` is no read: exists, get, children"))?;
            Operation::SyncThenRead { path, read }
        }
        "watch" => {
            let path = path(words.next("a path")?)?;
            let mode = match words.take("recursive") {
                true => AddMode::PersistentRecursive,
                false => AddMode::Persistent,
            };
            Operation::Watch(WatchOp::Add { path, mode })
        }
        "unwatch" | "watches" => {
            let path = path(words.next("a path")?)?;
            let kind = watch_kind(words)?;
            Operation::Watch(match verb {
                "unwatch" => WatchOp::Remove { path, kind },
                _ => WatchOp::Check { path, kind },
            })
        }
        "rewatch" => Operation::Rewatch,
        "auth" => {
            let scheme = words.next("a scheme such as digest")?.to_owned();
            let proof = words.next("a proof in quotes, such as \"ann:secret\"")?;
            let asks = words.take("behind");
            if asks {
                words.expect("whoami")?;
            }
            Operation::AddAuth { scheme, proof: unquoted(proof)?.to_owned(), asks }
        }
        "reauth" => Operation::Reauth,
        "setacl" => {
            let path = target(words)?;
            Operation::SetAcl { path, acl: access::read(words)?, version: version(words)? }
        }
        "whoami" => Operation::WhoAmI,
        "reconfig" => Operation::Reconfig { version: words.number("a version, or -1")? },
        "unknown" => Operation::UnknownOp { code: words.number("an opcode")? },
        "malformed" => Operation::Malformed { code: words.number("an opcode")? },
        "close" => Operation::CloseSession,
        "drop" => Operation::DropConnection,
        "move" => Operation::Move { stray: stray(words)? },
        "restart" => Operation::Restart,
        "silent" => {
            words.expect("for")?;
            Operation::FallSilent { us: words.span()? }
        }
        other => return Err(format!("`{other}` is nothing that a client does; it can {VERBS}")),
    })
}

const WATCH_KINDS: [(WatchKind, &str); 5] = [
    (WatchKind::Children, "children"),
    (WatchKind::Data, "data"),
    (WatchKind::Any, "any"),
    (WatchKind::Persistent, "persistent"),
    (WatchKind::PersistentRecursive, "recursive"),
];

fn watch_kind(words: &mut Words<'_>) -> Result<WatchKind, String> {
    let word = words.next("children, data, any, persistent or recursive")?;
    let known = WATCH_KINDS.iter().find(|(_, name)| *name == word);
    known.map(|(kind, _)| *kind).ok_or_else(|| {
        format!("`{word}` is no kind of watch: children, data, any, persistent, recursive")
    })
}

/// A client sets its watches again by `rewatch`: what they are is not for the line to say.
fn watch_line(watch: &WatchOp, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = |kind: &WatchKind| {
        WATCH_KINDS.iter().find(|(known, _)| known == kind).map_or("", |(_, name)| name)
    };
    match watch {
        WatchOp::Add { path, mode: AddMode::Persistent } => write!(f, "watch {path}"),
        WatchOp::Add { path, mode: AddMode::PersistentRecursive } => {
            write!(f, "watch {path} recursive")
        }
        WatchOp::Check { path, kind } => write!(f, "watches {path} {}", name(kind)),
        WatchOp::Remove { path, kind } => write!(f, "unwatch {path} {}", name(kind)),
        WatchOp::Set(_) => f.write_str("rewatch"),
    }
}

fn write(verb: &str, words: &mut Words<'_>) -> Result<Option<Write>, String> {
    Ok(Some(match verb {
        "create" => Write::Create(Create {
            path: path(words.next("a path")?)?,
            data: data(words)?,
            life: life(words)?,
            sequential: words.take("sequential"),
            with_stat: words.take("stat"),
            acl: if words.take("acl") { access::read(words)? } else { open() },
        }),
        "delete" => Write::Delete { path: target(words)?, version: version(words)? },
        "set" => {
            Write::SetData { path: target(words)?, data: data(words)?, version: version(words)? }
        }
        _ => return Ok(None),
    }))
}

fn stray(words: &mut Words<'_>) -> Result<Option<Stray>, String> {
    if !words.take("straying") {
        return Ok(None);
    }
    if words.take("close") {
        return Ok(Some(Stray::Close));
    }
    let verb = words.next("close, create, delete or set")?;
    let stray = write(verb, words)?.map(Stray::Write);
    stray.map(Some).ok_or_else(|| format!("`{verb}` does not stray: close, create, delete, set"))
}

fn life(words: &mut Words<'_>) -> Result<Life, String> {
    Ok(if words.take("ephemeral") {
        Life::Ephemeral
    } else if words.take("container") {
        Life::Container
    } else if words.take("ttl") {
        Life::Ttl { ms: words.number("milliseconds")? }
    } else {
        Life::Persistent
    })
}

fn read(verb: &str, words: &mut Words<'_>) -> Result<Option<Read>, String> {
    if !["exists", "get", "children", "ephemerals", "count", "getacl"].contains(&verb) {
        return Ok(None);
    }
    let path = target(words)?;
    let what = match verb {
        "exists" => Reading::Exists,
        "get" => Reading::Data,
        "ephemerals" => Reading::Ephemerals,
        "count" => Reading::CountAll,
        "getacl" => Reading::AccessList,
        _ => Reading::Children { with_stat: words.take("stat") },
    };
    Ok(Some(Read { what, path, watch: words.take("watch") }))
}

fn multi(words: &mut Words<'_>) -> Result<Operation, String> {
    words.expect("{")?;
    let mut parts = Vec::new();
    loop {
        let verb = words.next("create, delete, set or check")?;
        parts.push(match write(verb, words)? {
            Some(write) => Part::Write(write),
            None if verb == "check" => {
                Part::Check { path: target(words)?, version: version(words)? }
            }
            None => return Err(format!("a multi has create, delete, set and check, no `{verb}`")),
        });
        match words.next("`;` or `}`")? {
            ";" => {}
            "}" => return Ok(Operation::Multi(parts)),
            other => return Err(format!("`{other}` stands where `;` or `}}` should")),
        }
    }
}

fn multi_read(words: &mut Words<'_>) -> Result<Operation, String> {
    words.expect("{")?;
    let mut reads = Vec::new();
    loop {
        let verb = words.next("get or children")?;
        let known = ["get", "children"].contains(&verb);
        let read = if known { read(verb, words)? } else { None };
        reads.push(read.ok_or_else(|| format!("a multi_read has get and children, no `{verb}`"))?);
        match words.next("`;` or `}`")? {
            ";" => {}
            "}" => return Ok(Operation::MultiRead(reads)),
            other => return Err(format!("`{other}` stands where `;` or `}}` should")),
        }
    }
}

fn target(words: &mut Words<'_>) -> Result<Target, String> {
    if words.take("own") {
        words.expect("or")?;
        let otherwise = words.next("a path").and_then(path)?;
        return Ok(Target::Own { otherwise });
    }
    if !words.take("seen") {
        return words.next("a path").and_then(path).map(Target::Path);
    }
    let per_mille: u16 = words.number("a number below 1000")?;
    if per_mille >= 1000 {
        return Err(format!("`seen {per_mille}`: a number below 1000 chooses what was seen"));
    }
    words.expect("or")?;
    let otherwise = words.next("a path")?;
    Ok(Target::Seen { per_mille, otherwise: path(otherwise)? })
}

fn path(word: &str) -> Result<String, String> {
    match word.starts_with('/') {
        true => Ok(word.to_owned()),
        false => Err(format!("`{word}` stands where a path such as /r0/n1 should")),
    }
}

fn version(words: &mut Words<'_>) -> Result<Version, String> {
    Ok(match words.take("version") {
        false => Version::Any,
        true if words.take("seen") => Version::Seen,
        true => Version::Is(words.number("a version, or `seen`")?),
    })
}

/// Longest data that is worth a simulation.
const MOST_DATA: usize = 1 << 20;

fn data(words: &mut Words<'_>) -> Result<Option<Content>, String> {
    let word = words.next("data: null, or a word in quotes")?;
    if word == "null" {
        return Ok(None);
    }
    let quoted = unquoted(word)
        .map_err(|_| format!("`{word}` stands where data should: null, or one word in quotes"))?;
    let mut len = None;
    if words.take("filled") {
        words.expect("to")?;
        let bytes: usize = words.number("a number of bytes")?;
        if bytes > MOST_DATA {
            return Err(format!("data of {bytes} bytes: at most {MOST_DATA}"));
        }
        len = Some(bytes);
    }
    Ok(Some(Content { word: quoted.to_owned(), len }))
}

fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

fn unquoted(word: &str) -> Result<&str, String> {
    let inner = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
    inner
        .filter(|word| !word.contains('"'))
        .ok_or_else(|| format!("`{word}` stands where one word in quotes should"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{SimRng, Stream};
    use crate::workload::{Memory, Workload};

    #[test]
    fn every_drawn_operation_reads_back_from_its_line() {
        for seed in 0..100 {
            let workload = Workload::draw(seed);
            let mut rng = SimRng::new(seed, Stream::Operation, 0);
            for n in 0..200 {
                let at = SimTime(rng.below(9_000_000));
                let drawn = workload.draw_operation(3, n, &mut rng);
                let drawn = workload.guard(3, seed, n, drawn);
                let watching = workload.draw_watching(seed, n).unwrap_or(Operation::Rewatch);
                for operation in [drawn.clone(), drawn.settled(&Memory::default()), watching] {
                    let timed = Timed { at, operation };
                    assert_eq!(timed.to_string().parse(), Ok(timed.clone()), "{timed}");
                }
            }
        }
        for line in [
            "at 1 s close",
            "at 1 s reauth",
            "at 1 s drop",
            "at 1 s move",
            "at 1 s restart",
            "at 2 s move straying delete /r0 version 2",
            "at 2 s move straying close",
            "at 1.5 s silent for 3 s",
            "at 1 s sync /r0",
        ] {
            let timed: Timed = line.parse().unwrap_or_else(|why| panic!("{line}: {why}"));
            assert_eq!(timed.to_string(), line);
        }
    }

    #[test]
    fn a_wrong_line_says_what_may_stand_there() {
        for (line, hint) in [
            ("create /a null", "where `at` should"),
            ("at 1 s write /a null", "it can create, delete"),
            ("at 1 s create a null", "a path such as /r0/n1"),
            ("at 1 s create /a word", "one word in quotes"),
            ("at 1 s create /a null eternal", "where it should end"),
            ("at 1 s delete /a version two", "a version, or `seen`"),
            ("at 1 s multi { get /a }", "no `get`"),
            ("at 1 s multi { delete /a", "`;` or `}`"),
            ("at 1 s sync /a then create /b null", "is no read"),
            ("at 1 s set /a \"x\" filled to 99999999", "at most 1048576"),
            ("at 1 s get seen 1000 or /a", "below 1000"),
            ("at 1 s unwatch /a some", "is no kind of watch"),
        ] {
            let error = line.parse::<Timed>().unwrap_err();
            assert!(error.contains(hint), "{line}: {error}");
        }
    }
}

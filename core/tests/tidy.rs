//! What reviews would have to repeat: purity of core, order of its layers, sizes, heads of files,
//! and who depends on whom in the workspace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lowest first; a module uses its own layer and those before it.
const LAYERS: &[&[&str]] = &[
    &["invariant", "contract", "ids", "time", "prng", "timers"],
    &["path", "acl", "config", "wire"],
    &["txn"],
    &["tree", "watch", "session", "storage"],
    &["ensemble"],
    &["election", "zab"],
    &["request"],
    &["server", "admin"],
];

/// Types between core and its host: every layer speaks them.
const CONTRACT: &[&str] = &["input", "action", "note", "outbox", "view"];

/// (file, what it uses, why that is right).
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("server/input.rs", "*", "the contract names values of wire, storage::files and ids"),
    ("server/action.rs", "*", "the contract names values of wire, storage::files and ids"),
    ("server/note.rs", "*", "the contract names values of wire, storage::files and ids"),
    ("server/outbox.rs", "*", "the contract names values of wire, storage::files and ids"),
    ("server/view.rs", "*", "the contract names values of wire, storage::files and ids"),
    (
        "storage/recovery/mod.rs",
        "server",
        "recovery speaks RecoveryInput and RecoveryProgress, which belong to the contract",
    ),
];

const FILE_LINES: usize = 700;
const FUNCTION_LINES: usize = 70;

/// (file, why it is longer).
const LONG_FILES: &[(&str, &str)] = &[];

struct Source {
    /// Relative to `core/src`.
    name: String,
    /// Without tests.
    code: String,
    lines: usize,
    head: String,
    is_test: bool,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a source file is readable");
        let name = path.strip_prefix(&root).expect("below root").to_string_lossy().into_owned();
        let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("").to_owned();
        let head = text.lines().next().unwrap_or("").to_owned();
        Source { name, lines: text.lines().count(), code, head, is_test }
    };
    files.iter().map(read).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn core_is_pure() {
    let lib = sources().into_iter().find(|source| source.name == "lib.rs").expect("lib.rs");
    assert!(lib.code.contains("#![no_std]") && lib.code.contains("#![forbid(unsafe_code)]"));
    let banned = [
        "std::",
        "extern crate std",
        "println!",
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        ".unwrap()",
        "panic!(",
    ];
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        for (number, line) in source.code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or("");
            for word in banned.iter().filter(|word| has_word(line, word)) {
                let allowed = *word == "panic!(" && source.name == "invariant.rs";
                if !allowed {
                    faults.push(format!("{}:{}: {word}", source.name, number + 1));
                }
            }
        }
    }
    report(&faults);
}

/// Whether `word` stands in `line`, not as the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        word.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The layer's name of a file or of a path behind `crate::`.
fn unit(first: &str, second: Option<&str>) -> String {
    match second {
        Some(second) if first == "server" && CONTRACT.contains(&second) => "contract".into(),
        _ => first.into(),
    }
}

fn level(unit: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&unit));
    found.unwrap_or_else(|| panic!("no layer is named for `{unit}`"))
}

/// Every module that the code names behind `crate::`, macros left out.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or("");
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let mut parts = rest.split("::").map(|part| {
                let end = part.find(|c: char| !c.is_alphanumeric() && c != '_');
                &part[..end.unwrap_or(part.len())]
            });
            let first = parts.next().unwrap_or("");
            if first.is_empty() || first.starts_with(char::is_uppercase) {
                continue;
            }
            let whole = rest.strip_prefix(first).is_some_and(|rest| rest.starts_with("::"));
            found.insert(unit(first, parts.next().filter(|_| whole)));
        }
    }
    found
}

#[test]
fn modules_use_lower_layers_only() {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources().iter().filter(|source| !source.is_test && source.name != "lib.rs") {
        let name = source.name.trim_end_matches(".rs");
        let mut parts = name.split('/');
        let own = level(&unit(parts.next().expect("a name"), parts.next()));
        for other in uses(&source.code) {
            if level(&other) <= own {
                continue;
            }
            let known = EXCEPTIONS
                .iter()
                .find(|(file, what, _)| *file == source.name && (*what == "*" || *what == other));
            match known {
                Some(exception) => {
                    used.insert(exception.0);
                }
                None => faults.push(format!("{} uses the higher layer `{other}`", source.name)),
            }
        }
    }
    for (file, ..) in
        EXCEPTIONS.iter().filter(|(file, what, _)| *what != "*" && !used.contains(file))
    {
        faults.push(format!("{file} needs its exception no more"));
    }
    report(&faults);
}

#[test]
fn files_and_functions_are_short_and_files_say_what_they_are() {
    let mut faults = Vec::new();
    for source in sources() {
        let long = LONG_FILES.iter().any(|(file, _)| *file == source.name);
        if source.lines > FILE_LINES && !long {
            faults.push(format!("{} has {} lines", source.name, source.lines));
        }
        if !source.head.starts_with("//!") {
            faults.push(format!("{} does not begin with //!", source.name));
        }
        for (line, length) in functions(&source.code) {
            if length > FUNCTION_LINES {
                faults.push(format!("{}:{line}: a function of {length} lines", source.name));
            }
        }
    }
    report(&faults);
}

/// First line and length of each function; relies on the layout of rustfmt.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        let is_function = words.iter().position(|word| *word == "fn").is_some_and(|at| {
            words[..at].iter().all(|word| word.starts_with("pub") || *word == "const")
        });
        if !is_function || line.ends_with(';') || line.ends_with('}') {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[start..].iter().position(|line| *line == end) {
            found.push((start + 1, length + 1));
        }
    }
    found
}

/// All packages that a build of `package` links, itself included.
fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none", "-p", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn packages_depend_in_one_direction() {
    let ours = ["vivarium-core", "vivarium-sim", "vivarium", "vivarium-scenarios", "vivarium-fuzz"];
    let allowed: [(&str, &[&str]); 5] = [
        ("vivarium-core", &["vivarium-core"]),
        ("vivarium-sim", &["vivarium-core", "vivarium-sim"]),
        ("vivarium", &["vivarium-core", "vivarium"]),
        ("vivarium-scenarios", &["vivarium-core", "vivarium-sim", "vivarium-scenarios"]),
        ("vivarium-fuzz", &["vivarium-core", "vivarium-fuzz"]),
    ];
    for (package, may) in allowed {
        for other in linked(package).iter().filter(|other| ours.contains(&other.as_str())) {
            assert!(may.contains(&other.as_str()), "{package} depends on {other}");
        }
    }
    for package in ["vivarium-core", "vivarium"] {
        let foreign: Vec<_> =
            linked(package).into_iter().filter(|name| name.starts_with("madsim")).collect();
        assert!(foreign.is_empty(), "{package} links {foreign:?}");
    }
    for heavy in ["tokio", "rand", "libc", "tracing"] {
        assert!(!linked("vivarium-core").contains(heavy), "vivarium-core links {heavy}");
    }
}

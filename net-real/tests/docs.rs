//! The commands that the documents show are there: Make targets, subcommands, options, files.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vivarium_core::config::given::VARIABLES;
use vivarium_core::config::known::{KEYS, Key, Standing};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const WITH_COMMANDS: [&str; 7] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/compatibility.md",
    "docs/debugging.md",
    "docs/dev.md",
    "docs/migrating.md",
    "docs/operating.md",
];

/// Command lines of the fenced `sh` and `console` blocks, comments and prompts cut off.
fn commands(text: &str) -> Vec<String> {
    let mut shown = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            shown = matches!(kind, "sh" | "console");
        } else if shown {
            let command = line.split(" #").next().unwrap_or("").trim();
            let parts = command.split(['|', ';']).map(str::trim);
            found.extend(parts.map(|part| part.trim_start_matches("$ ").to_owned()));
        }
    }
    found.retain(|command| !command.is_empty());
    found
}

/// (document, command) of everything that is shown.
fn shown() -> Vec<(&'static str, String)> {
    let of = |name| commands(&read(name)).into_iter().map(move |command| (name, command));
    WITH_COMMANDS.into_iter().flat_map(of).collect()
}

fn program(command: &str) -> &str {
    let path = command.split_whitespace().next().unwrap_or("");
    path.rsplit('/').next().unwrap_or("")
}

#[test]
fn every_make_target_and_variable_exists() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', ' ', '#', '.', '$']))
        .filter_map(|line| line.split_once(':').filter(|(_, rest)| !rest.starts_with('=')))
        .map(|(target, _)| target)
        .collect();
    let mut seen = 0;
    for (document, command) in shown().iter().filter(|(_, command)| program(command) == "make") {
        for word in command.split_whitespace().skip(1) {
            let known = match word.split_once('=') {
                Some((variable, _)) => makefile.contains(&format!("$({variable})")),
                None => targets.contains(word),
            };
            assert!(known, "{document}: `{command}`: the Makefile knows no {word}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "the documents show {seen} words of make; were they found?");
    for (target, _) in makefile
        .lines()
        .filter_map(|line| line.strip_prefix("\t@echo 'make "))
        .filter_map(|line| line.split_once(' '))
    {
        assert!(targets.contains(target), "make help names {target}");
    }
}

/// Subcommands of `vivarium` that have subcommands.
const WITH_SUBCOMMANDS: [&str; 2] = ["config", "dev"];

#[test]
fn every_option_of_vivarium_exists() {
    let help = |words: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_vivarium")).args(words).arg("--help").output();
        let output = output.expect("the binary runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let found: Vec<_> =
        shown().into_iter().filter(|(_, command)| program(command) == "vivarium").collect();
    assert!(!found.is_empty(), "the documents show how a server is started");
    for (document, command) in found {
        let words = command.split_whitespace().skip(1).take_while(|word| *word != "--");
        let words: Vec<&str> = words.collect();
        let nested = words
            .get(1)
            .is_some_and(|word| WITH_SUBCOMMANDS.contains(&words[0]) && !word.starts_with('-'));
        let (known, text) = help(&words[..if nested { 2 } else { 1 }]);
        assert!(known, "{document}: `{command}`: no such subcommand");
        for option in words.iter().filter(|word| word.starts_with('-')) {
            assert!(text.contains(option), "{document}: `{command}`: no option {option}");
        }
    }
}

/// The commands of docs/dev.md that steer an ensemble work, one after the other.
#[test]
fn every_command_of_the_chapters_on_dev_is_run() {
    let place = tempfile::tempdir().expect("a folder");
    let vivarium = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
        command.args(words).env("XDG_RUNTIME_DIR", place.path()).env("TMPDIR", place.path());
        command.env_remove("VIVARIUM_DEV").stdin(Stdio::null());
        command
    };
    let mut dev = vivarium(&["dev"]);
    let mut dev = dev.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut first = String::new();
    let out = dev.stdout.take().expect("it is piped");
    BufReader::new(out).read_line(&mut first).expect("the connect string");
    let mut run = 0;
    let mut failed = None;
    for command in commands(&read("docs/dev.md")) {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let steers = program(&command) == "vivarium"
            && words.get(1).is_some_and(|word| !word.starts_with('-'));
        if steers && failed.is_none() {
            let output = vivarium(&words).output().expect("the binary runs");
            failed = (!output.status.success()).then_some((command, output));
            run += 1;
        }
    }
    // Its servers end with it.
    dev.kill().and_then(|()| dev.wait()).expect("it ran");
    assert!(failed.is_none(), "{failed:?}");
    assert!(run >= 12, "only {run} commands were found");
}

/// Its binary belongs to another package, which this one may not depend on: the options stand in the
/// source, as clap derives them.
#[test]
fn every_option_of_vivarium_sim_exists() {
    let folder = root().join("sim/src/bin/vivarium-sim");
    let main = fs::read_to_string(folder.join("main.rs")).expect("main.rs");
    let long = |field: &str| format!("--{}", field.replace('_', "-"));
    let options = |text: &str| -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut long_follows = false;
        for line in text.lines().map(str::trim) {
            long_follows |= line.starts_with("#[arg(") && line.contains("long");
            if let Some((field, _)) =
                line.split_once(": ").filter(|_| !line.starts_with(['#', '/']))
                && long_follows
            {
                found.insert(long(field.trim_start_matches("pub(crate) ")));
                long_follows = false;
            }
        }
        found
    };
    let file_of = |subcommand: &str| match subcommand {
        "run" => "sweep/mod.rs".to_owned(),
        other => format!("{other}.rs"),
    };
    // Options that several subcommands share.
    let shared = ["subject.rs", "sweep/report.rs"];
    let shared = shared.map(|file| fs::read_to_string(folder.join(file)).expect("a file"));
    let mut seen = 0;
    for (document, command) in shown() {
        if program(&command) != "vivarium-sim" {
            continue;
        }
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let own = fs::read_to_string(folder.join(file_of(words[0])))
            .unwrap_or_else(|_| panic!("{document}: `{command}`: no such subcommand"));
        let mut known = options(&own);
        shared.iter().for_each(|text| known.extend(options(text)));
        known.extend(options(&main));
        known.extend(["-o".to_owned()].into_iter().filter(|_| own.contains("short, long")));
        for option in words.iter().filter(|word| word.starts_with('-')) {
            assert!(known.contains(*option), "{document}: `{command}`: no {option} in {known:?}");
            seen += 1;
        }
    }
    assert!(seen >= 6, "the documents show {seen} options; were they found?");
}

/// Every checker stands in the list for people, and none that does not exist.
#[test]
fn every_checker_is_described() {
    let source = read("sim/src/checkers/mod.rs");
    let list = source.split("fn all()").nth(1).expect("the list of checkers");
    let list = list.split("\n}").next().expect("its end");
    let judged: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let debugging = read("docs/debugging.md");
    let table = debugging.split("## Checkers").nth(1).expect("the chapter on checkers");
    let rows = table.split("## ").next().expect("its end").lines();
    let described: BTreeSet<&str> = rows
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |").map(|(name, _)| name))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()) && *name != "Check")
        .collect();
    assert_eq!(judged, described);
}

/// Relative links of the documents lead somewhere, and each decision is in the index.
#[test]
fn links_lead_somewhere() {
    let mut documents = vec!["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    documents.extend(["docs/debugging.md", "docs/dev.md", "docs/glossary.md"]);
    documents.push("docs/decisions/README.md");
    documents.push("docs/operating.md");
    for name in documents {
        let text = read(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let at = root().join(name).with_file_name("").join(link);
            assert!(at.exists(), "{name} links {link}, which is not there");
        }
    }
    let index = read("docs/decisions/README.md");
    for entry in fs::read_dir(root().join("docs/decisions")).expect("the folder of decisions") {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        assert!(name == "README.md" || index.contains(&name), "{name} is not in the index");
    }
}

/// Files that a document names in code marks with their folder are there.
#[test]
fn named_files_are_there() {
    let tops = ["core/", "sim/", "net-real/", "scenarios/", "docs/", "scripts/"];
    let mut documents = vec!["README.md".to_owned(), "ARCHITECTURE.md".into()];
    documents.extend(["CONTRIBUTING.md".into(), "docs/debugging.md".into()]);
    documents.push("docs/operating.md".into());
    for entry in fs::read_dir(root().join("docs/decisions")).expect("the folder of decisions") {
        let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
        documents.push(format!("docs/decisions/{name}"));
    }
    let mut seen = 0;
    for document in documents {
        let text = read(&document);
        for named in text.split('`').skip(1).step_by(2) {
            let is_path = tops.iter().any(|top| named.starts_with(top));
            if !is_path || named.contains(['*', ' ', '{', '<', '\n']) {
                continue;
            }
            assert!(root().join(named).exists(), "{document} names {named}, which is not there");
            seen += 1;
        }
    }
    assert!(seen >= 40, "only {seen} names were found");
}

/// `docs/operating.md` holds the tables that the parser works with; `UPDATE=1` writes them.
#[test]
fn the_tables_of_keys_are_the_parsers() {
    let name = "docs/operating.md";
    let mut text = read(name);
    for (mark, table) in [("variables", variables()), ("keys", keys())] {
        let (head, rest) = text.split_once(&format!("<!-- {mark}:")).expect("the mark");
        let (note, rest) = rest.split_once("-->\n").expect("the end of the mark");
        let (_, tail) = rest.split_once(&format!("<!-- /{mark} -->")).expect("the closing mark");
        text = format!("{head}<!-- {mark}:{note}-->\n{table}<!-- /{mark} -->{tail}");
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root().join(name), &text).expect("the document can be written");
    }
    assert_eq!(read(name), text, "run UPDATE=1 cargo test -p vivarium --test docs");
}

fn variables() -> String {
    let row = |(name, key, default): &(&str, &str, &str)| {
        let default = if default.is_empty() { String::new() } else { format!("`{default}` ") };
        format!("| `{name}` | `{key}` | {default}|\n")
    };
    let head = String::from("| Variable | Key | Default of the image |\n|---|---|---|\n");
    VARIABLES.iter().map(row).fold(head, |table, row| table + &row)
}

fn keys() -> String {
    let mut works = String::from("| Key | Default | What it does |\n|---|---|---|\n");
    let mut lacking = String::from("| Not offered | What is said |\n|---|---|\n");
    let mut idle = String::from("| Without an effect here | Why |\n|---|---|\n");
    for Key { name, default, standing, live } in KEYS {
        match standing {
            Standing::Works(does) => {
                let default =
                    if default.is_empty() { String::new() } else { format!("`{default}`") };
                let live = if *live { " *live*" } else { "" };
                works.push_str(&format!("| `{name}`{live} | {default} | {does} |\n"));
            }
            Standing::Lacking { why, help, .. } => {
                lacking.push_str(&format!("| `{name}` | warning: {why}; {help} |\n"));
            }
            Standing::Refused { why, help, .. } => {
                lacking.push_str(&format!("| `{name}` | **refused**: {why}; {help} |\n"));
            }
            Standing::Idle(why) => idle.push_str(&format!("| `{name}` | {why} |\n")),
        }
    }
    format!("{works}\n{lacking}\n{idle}")
}

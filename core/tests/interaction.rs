//! One server, recorded: commands above `----`, what the server does below it. Each file holds
//! one behaviour. `UPDATE=1 cargo test -p vivarium-core --test interaction` writes the answers.

#[allow(dead_code, unreachable_pub, clippy::wildcard_enum_match_arm)]
#[path = "cluster/harness/client.rs"]
mod client;
#[allow(dead_code, unreachable_pub)]
#[path = "cluster/harness/disk.rs"]
mod disk;
#[allow(dead_code, unreachable_pub)]
#[path = "cluster/harness/rng.rs"]
mod rng;
#[allow(dead_code, unreachable_pub)]
#[path = "cluster/harness/setup.rs"]
mod setup;

#[path = "interaction/rig/mod.rs"]
mod rig;

use std::path::Path;

use rig::Rig;

/// One exchange of a file: comments, commands, and the answer that stands there.
struct Block {
    lines: Vec<String>,
    answer: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for part in text.split("\n\n").filter(|part| !part.trim().is_empty()) {
        let (commands, answer) = part.split_once("----").unwrap_or((part, ""));
        let lines = commands.trim().lines().map(str::to_owned).collect();
        found.push(Block { lines, answer: answer.trim().to_owned() });
    }
    found
}

fn play(path: &Path) {
    let text = std::fs::read_to_string(path).expect("an interaction file is readable");
    let mut rig = Rig::new();
    let mut played = String::new();
    let mut wrong = String::new();
    for block in blocks(&text) {
        for line in block.lines.iter().filter(|line| !line.starts_with('#')) {
            rig.command(line);
        }
        let answer = rig.take_said();
        if answer != block.answer {
            let asked = block.lines.join("\n");
            wrong += &format!("{asked}\nexpected:\n{}\nfound:\n{answer}\n\n", block.answer);
        }
        let gap = if answer.is_empty() { "" } else { "\n" };
        played += &format!("{}\n----\n{answer}{gap}\n", block.lines.join("\n"));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, played.trim_end().to_owned() + "\n").expect("a file is writable");
        return;
    }
    assert!(wrong.is_empty(), "{}\n{wrong}", path.display());
}

#[test]
fn recorded_interactions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interaction");
    let entries = std::fs::read_dir(folder).expect("the folder is readable");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() >= 31, "every behaviour has its file");
    for file in files {
        play(&file);
    }
}

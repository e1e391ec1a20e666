//! Every input that fuzzing kept is played again, and some that are made of them.

use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use vivarium_fuzz::{TARGETS, Target};

/// Of each input: changed copies that are played beside it.
const COPIES: usize = 3;
const RANDOM_INPUTS: usize = 300;
const LONGEST: u32 = 600;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| (fs::read(&path).expect("a file of the corpus"), path);
    paths.into_iter().map(read).map(|(bytes, path)| (path, bytes)).collect()
}

/// Says which input it was: the panic's own words do not.
fn play(target: &Target, input: &[u8], origin: &dyn std::fmt::Display) {
    if let Err(panic) = std::panic::catch_unwind(|| (target.run)(input)) {
        eprintln!("{}: {origin}: {input:?}", target.name);
        std::panic::resume_unwind(panic);
    }
}

fn changed(input: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..=rng.next_u32() % 4 {
        let at = rng.next_u32() as usize % (input.len() + 1);
        match rng.next_u32() % 4 {
            0 => input.truncate(at),
            1 => input.insert(at, rng.next_u32() as u8),
            2 | 3 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = rng.next_u32() as u8;
                }
            }
            _ => unreachable!("a remainder by 4"),
        }
    }
    input
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let corpus = corpus(name);
    assert!(corpus.len() >= 20, "the corpus of {name} is gone");
    for (path, input) in &corpus {
        play(target, input, &path.display());
        for _ in 0..COPIES {
            play(target, &changed(input, &mut rng), &format!("a changed {}", path.display()));
        }
    }
    for _ in 0..RANDOM_INPUTS {
        let mut input = vec![0; (rng.next_u32() % LONGEST) as usize];
        rng.fill_bytes(&mut input);
        play(target, &input, &"random bytes");
    }
}

#[test]
fn config_text() {
    replay("config_text");
}

#[test]
fn server_step() {
    replay("server_step");
}

#[test]
fn snapshot_scan() {
    replay("snapshot_scan");
}

#[test]
fn tree_vs_model() {
    replay("tree_vs_model");
}

#[test]
fn txnlog_scan() {
    replay("txnlog_scan");
}

#[test]
fn wire_decode() {
    replay("wire_decode");
}

#[test]
fn no_target_is_left_out() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    let source = include_str!("corpus.rs");
    for name in names {
        assert!(source.contains(&format!("replay(\"{name}\")")), "{name} is not replayed");
    }
}

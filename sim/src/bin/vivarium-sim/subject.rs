//! What a command is about: a seed, or a scenario file.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use vivarium_sim::scenario::Scenario;
use vivarium_sim::scenario::file::{Expect, ScenarioFile};

use crate::{WorldArgs, replay_command};

#[derive(Debug, Args)]
pub(crate) struct SubjectArgs {
    /// The seed; with --scenario: what the file leaves open is drawn from it
    #[arg(required_unless_present = "scenario")]
    seed: Option<u64>,
    /// A scenario file in place of what the seed draws
    #[arg(long, value_name = "FILE", conflicts_with_all = ["servers", "clients", "apache_peers", "beyond_quorum"])]
    scenario: Option<PathBuf>,
    /// Draw latencies, disks and tasks anew: another number, another roll [default: the file's, or 0]
    #[arg(long, value_name = "N")]
    rolls: Option<u32>,
    #[command(flatten)]
    world: WorldArgs,
}

/// A scenario, and how a person gets it again.
pub(crate) struct Subject {
    pub(crate) file: ScenarioFile,
    /// `seed 42`, or the path of the file.
    pub(crate) name: String,
    pub(crate) replay: String,
}

impl SubjectArgs {
    pub(crate) fn read(&self) -> Result<Subject, String> {
        let mut subject = match &self.scenario {
            None => self.of_seed(self.seed.expect("clap wants one of both")),
            Some(path) => self.of_file(path)?,
        };
        if let Some(rolls) = self.rolls {
            subject.file.scenario.rolls = rolls;
            subject.replay.push_str(&format!(" --rolls {rolls}"));
        }
        Ok(subject)
    }

    fn of_seed(&self, seed: u64) -> Subject {
        let options = self.world.options();
        let file = ScenarioFile {
            why: String::new(),
            expect: Expect::Ok,
            white_box: options.white_box,
            scenario: Scenario::draw(seed, &options),
        };
        Subject { file, name: format!("seed {seed}"), replay: replay_command(seed, &options) }
    }

    fn of_file(&self, path: &Path) -> Result<Subject, String> {
        let mut file = read_file(path)?;
        let mut replay = String::from("vivarium-sim replay");
        if let Some(seed) = self.seed {
            file.scenario.seed = seed;
            replay.push_str(&format!(" {seed}"));
        }
        replay.push_str(&format!(" --scenario {}", path.display()));
        if self.world.no_white_box {
            file.white_box = false;
            replay.push_str(" --no-white-box");
        }
        Ok(Subject { file, name: path.display().to_string(), replay })
    }
}

pub(crate) fn read_file(path: &Path) -> Result<ScenarioFile, String> {
    let text = fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
    text.parse().map_err(|mistake| format!("{}: {mistake}", path.display()))
}

pub(crate) fn write_file(path: &Path, file: &ScenarioFile) -> Result<(), String> {
    fs::write(path, file.to_string()).map_err(|why| format!("{}: {why}", path.display()))
}

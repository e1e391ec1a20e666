//! Which part of the seeds is ours, where several processes share a sweep without talking.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Part `index` of `count`, counted from 1: every `count`-th seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shard {
    pub(crate) index: u64,
    pub(crate) count: u64,
}

/// What `--shard` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardArg {
    /// Whatever the environment says: the whole sweep is ours.
    None,
    Part(Shard),
}

/// The engines that say in the environment which part of a job a process is.
const GENERIC: &str = "VIVARIUM_SHARD";

impl Shard {
    /// Whether the seed of this place in the sweep is ours. Seeds that stand side by side go to
    /// different shards, so that a longer sweep leaves each where it was.
    pub(crate) const fn holds(self, place: u64) -> bool {
        place % self.count == self.index - 1
    }

    fn new(index: u64, count: u64) -> Result<Self, String> {
        if index == 0 || index > count {
            return Err(format!("shard {index}/{count}: K is one of 1..={count}"));
        }
        Ok(Self { index, count })
    }

    /// The shard that the environment names, and by which variable.
    ///
    /// # Errors
    /// Where it names one in part: to run the whole sweep in each of many processes is never meant.
    pub(crate) fn from_environment(
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<(Self, &'static str)>, String> {
        if let Some(text) = read(GENERIC) {
            let shard = text.parse().map_err(|why| format!("{GENERIC}={text}: {why}"))?;
            return Ok(Some((shard, GENERIC)));
        }
        let number = |name: &str| -> Result<Option<u64>, String> {
            let parse = |text: String| {
                text.parse().map_err(|_| format!("{name}={text}: not a number; {BY_HAND}"))
            };
            read(name).map(parse).transpose()
        };
        for (name, found) in [
            ("SLURM_ARRAY_TASK_ID", slurm(&number)),
            ("JOB_COMPLETION_INDEX", kubernetes(&number)),
            ("CI_NODE_INDEX", gitlab(&number)),
        ] {
            if let Some((index, count)) = found? {
                let shard =
                    Self::new(index, count).map_err(|why| format!("{name}: {why}; {BY_HAND}"))?;
                return Ok(Some((shard, name)));
            }
        }
        Ok(None)
    }
}

const BY_HAND: &str = "say --shard K/N, or --shard none for all seeds in this process";

type Number<'a> = &'a dyn Fn(&str) -> Result<Option<u64>, String>;
type Found = Result<Option<(u64, u64)>, String>;

/// `sbatch --array=0-7`, from any first index, with any step.
fn slurm(number: Number<'_>) -> Found {
    let Some(id) = number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
    let Some(count) = number("SLURM_ARRAY_TASK_COUNT")? else {
        return Err(format!("SLURM_ARRAY_TASK_ID without SLURM_ARRAY_TASK_COUNT: {BY_HAND}"));
    };
    let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
    let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
    let past = id.checked_sub(first).filter(|past| past % step == 0 && past / step < count);
    // A list such as --array=1,5,6 does not tell which of its tasks this one is.
    let past = past.ok_or_else(|| {
        format!("SLURM_ARRAY_TASK_ID={id} is not one of {count} from {first} by {step}: {BY_HAND}")
    })?;
    Ok(Some((past / step + 1, count)))
}

/// An Indexed Job does not say how many it has.
fn kubernetes(number: Number<'_>) -> Found {
    let Some(index) = number("JOB_COMPLETION_INDEX")? else { return Ok(None) };
    match number("VIVARIUM_SHARDS")? {
        Some(count) => Ok(Some((index.saturating_add(1), count))),
        None => Err(format!(
            "JOB_COMPLETION_INDEX={index}: set VIVARIUM_SHARDS to the completions of the Job; or {BY_HAND}"
        )),
    }
}

/// `parallel: N`. Every job has a total; only parallel ones have an index.
fn gitlab(number: Number<'_>) -> Found {
    match (number("CI_NODE_INDEX")?, number("CI_NODE_TOTAL")?) {
        (None, _) => Ok(None),
        (Some(index), Some(count)) => Ok(Some((index, count))),
        (Some(index), None) => {
            Err(format!("CI_NODE_INDEX={index} without CI_NODE_TOTAL: {BY_HAND}"))
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| {
            Some((index.trim().parse().ok()?, count.trim().parse().ok()?))
        });
        let (index, count) = parts.ok_or("write K/N, as in 1/4")?;
        Self::new(index, count)
    }
}

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        text.parse().map(Self::Part)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Shard, ShardArg};

    fn from(environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let known: BTreeMap<_, _> = environment.iter().copied().collect();
        let found = Shard::from_environment(|name| known.get(name).map(|&text| text.to_owned()))?;
        Ok(found.map(|(shard, _)| shard.to_string()))
    }

    #[test]
    fn shards_part_the_seeds_and_a_longer_sweep_leaves_each_where_it_was() {
        for count in 1..=7 {
            for place in 0..50 {
                let holders = (1..=count).filter(|&index| Shard { index, count }.holds(place));
                assert_eq!(holders.count(), 1);
            }
        }
    }

    #[test]
    fn every_engine_names_its_part() {
        for (environment, shard) in [
            (&[][..], None),
            (&[("VIVARIUM_SHARD", "3/8"), ("CI_NODE_INDEX", "1")][..], Some("3/8")),
            (&[("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_ARRAY_TASK_COUNT", "4")], Some("1/4")),
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "14"),
                    ("SLURM_ARRAY_TASK_COUNT", "3"),
                    ("SLURM_ARRAY_TASK_MIN", "10"),
                    ("SLURM_ARRAY_TASK_STEP", "2"),
                ],
                Some("3/3"),
            ),
            (&[("JOB_COMPLETION_INDEX", "4"), ("VIVARIUM_SHARDS", "5")], Some("5/5")),
            (&[("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "2")], Some("2/2")),
            (&[("CI_NODE_TOTAL", "1")], None),
        ] {
            assert_eq!(from(environment).unwrap().as_deref(), shard, "{environment:?}");
        }
    }

    #[test]
    fn an_environment_that_says_half_is_refused() {
        for (environment, named) in [
            (&[("VIVARIUM_SHARD", "4")][..], "VIVARIUM_SHARD=4"),
            (&[("SLURM_ARRAY_TASK_ID", "1")], "SLURM_ARRAY_TASK_COUNT"),
            (
                &[("SLURM_ARRAY_TASK_ID", "5"), ("SLURM_ARRAY_TASK_COUNT", "2")],
                "SLURM_ARRAY_TASK_ID=5",
            ),
            (&[("JOB_COMPLETION_INDEX", "1")], "VIVARIUM_SHARDS"),
            (&[("JOB_COMPLETION_INDEX", "7"), ("VIVARIUM_SHARDS", "5")], "shard 8/5"),
            (&[("CI_NODE_INDEX", "x")], "CI_NODE_INDEX=x"),
        ] {
            let refusal = from(environment).unwrap_err();
            assert!(refusal.contains(named) && refusal.contains("/"), "{refusal}");
        }
        assert_eq!("none".parse(), Ok(ShardArg::None));
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0", ""] {
            assert!(wrong.parse::<ShardArg>().is_err(), "{wrong}");
        }
    }
}

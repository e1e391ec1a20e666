//! What clients do about quotas, as zkCli does it: the limits of a root, and the node that servers count in.

use std::collections::BTreeMap;

use super::{Content, Create, Kind, Operation, Part, Read, Reading, Target, Version, Write};
use crate::history::Life;
use crate::oracle::access::open;
use crate::rng::{SimRng, Stream};

/// Runs with quotas, in per mille.
const LIMITED_RUNS: u64 = 350;

/// From a stream of its own.
pub(super) fn draw(seed: u64, weights: &mut BTreeMap<Kind, u64>) {
    let mut rng = SimRng::new(seed, Stream::Quota, u64::MAX);
    if rng.chance(LIMITED_RUNS) {
        weights.insert(Kind::Quota, 40 * rng.range(1, 3));
    }
}

/// Limits and counts come and go together: what is counted between does not depend on who has restarted since.
/// `read`: how it looks at what is counted.
pub(super) fn operation(root: &str, read: Kind, rng: &mut SimRng) -> Operation {
    let folder = format!("/zookeeper/quota{root}");
    let (limits, stats) =
        (format!("{folder}/zookeeper_limits"), format!("{folder}/zookeeper_stats"));
    let at = |path: &str| Target::Path(path.to_owned());
    match rng.below(12) {
        0 | 1 => Operation::Write(create(folder, None)),
        2..6 => {
            let counted = Content { word: "count=0,bytes=0".into(), len: None };
            let both = [(limits, Some(text(rng))), (stats, Some(counted))];
            let parts = both.map(|(path, data)| Part::Write(create(path, data)));
            Operation::Multi(parts.into())
        }
        6 | 7 => {
            let (path, data) = (at(&limits), Some(text(rng)));
            Operation::Write(Write::SetData { path, data, version: Version::Any })
        }
        8 => {
            let gone = [limits, stats].map(|path| {
                let version = Version::Any;
                Part::Write(Write::Delete { path: Target::Path(path), version })
            });
            Operation::Multi(gone.into())
        }
        _ => {
            let what = if read == Kind::Exists {
                Reading::Exists
            } else if read == Kind::GetData {
                Reading::Data
            } else {
                Reading::Children { with_stat: true }
            };
            Operation::Read(Read { what, path: at(&stats), watch: false })
        }
    }
}

fn create(path: String, data: Option<Content>) -> Write {
    let (life, sequential, with_stat, acl) = (Life::Persistent, false, false, open());
    Write::Create(Create { path, data, life, sequential, with_stat, acl })
}

/// Small enough to be reached.
fn text(rng: &mut SimRng) -> Content {
    let mut limit = |share, low, high| match rng.chance(share) {
        true => rng.log_range(low, high).to_string(),
        false => "-1".into(),
    };
    let (count, bytes) = (limit(300, 1, 10), limit(300, 8, 1000));
    let (hard_count, hard_bytes) = (limit(600, 2, 12), limit(400, 16, 1000));
    let hard = format!("byteHardLimit={hard_bytes};countHardLimit={hard_count}");
    Content { word: format!("count={count},bytes={bytes}=;{hard}"), len: None }
}

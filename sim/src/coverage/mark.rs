//! The register of marks: everything that a sweep should have seen.

use crate::coverage::labels::{
    Answer, Asked, Blow, Class, Course, Death, Event, Kept, Means, Moment, Part, Pending, Stage,
    Storage,
};
use crate::schedule::FaultKind;

/// Something that may happen in a run and that the simulator is there to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Struck(Blow, Part),
    CrashBetween(Pending, Death),
    CrashBehind(Kept, Death),
    SyncChosen(Means, Learner),
    Sync(Means, Course),
    CrashInSync(Means, Stage, Death),
    Storage(Storage, Part),
    Answered(Asked, Answer),
    Served(Class, Part),
    Watch(Event),
    /// A kind of [`FaultKind::NAMES`].
    Fault(usize),
    /// One of [`HABITS`].
    Habit(usize),
    Moment(Moment),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learner {
    Follower,
    Observer,
}

impl Learner {
    const ALL: [Self; 2] = [Self::Follower, Self::Observer];
    const COUNT: usize = 2;
}

/// What peers of Apache's kind show. That they answer a sync alone shows in nothing but the answer.
pub(crate) const HABITS: [&str; 8] = [
    "plain_greetings",
    "late_logging",
    "fuzzy_snap",
    "snap_repeats",
    "epoch_zxids",
    "fuzzy_files",
    "twin_records",
    "truncates_in_place",
];

/// Where the marks of each kind begin.
const STRUCK: usize = 0;
const CRASH_BETWEEN: usize = STRUCK + Blow::COUNT * Part::COUNT;
const CRASH_BEHIND: usize = CRASH_BETWEEN + Pending::COUNT * Death::COUNT;
const SYNC_CHOSEN: usize = CRASH_BEHIND + Kept::COUNT * Death::COUNT;
const SYNC: usize = SYNC_CHOSEN + Means::COUNT * Learner::COUNT;
const CRASH_IN_SYNC: usize = SYNC + Means::COUNT * Course::COUNT;
const STORAGE: usize = CRASH_IN_SYNC + Means::COUNT * Stage::COUNT * Death::COUNT;
const ANSWERED: usize = STORAGE + Storage::COUNT * Part::COUNT;
const SERVED: usize = ANSWERED + Asked::COUNT * Answer::COUNT;
const WATCH: usize = SERVED + Class::COUNT * Part::COUNT;
const FAULT: usize = WATCH + Event::COUNT;
const HABIT: usize = FAULT + FaultKind::NAMES.len();
const MOMENT: usize = HABIT + HABITS.len();
/// One more than the highest place.
pub(crate) const PLACES: usize = MOMENT + Moment::COUNT;

impl Mark {
    /// Its bit. Not every place is that of a registered mark.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Struck(blow, part) => STRUCK + blow as usize * Part::COUNT + part as usize,
            Self::CrashBetween(pending, death) => {
                CRASH_BETWEEN + pending as usize * Death::COUNT + death as usize
            }
            Self::CrashBehind(kept, death) => {
                CRASH_BEHIND + kept as usize * Death::COUNT + death as usize
            }
            Self::SyncChosen(means, learner) => {
                SYNC_CHOSEN + means as usize * Learner::COUNT + learner as usize
            }
            Self::Sync(means, course) => SYNC + means as usize * Course::COUNT + course as usize,
            Self::CrashInSync(means, stage, death) => {
                let row = means as usize * Stage::COUNT + stage as usize;
                CRASH_IN_SYNC + row * Death::COUNT + death as usize
            }
            Self::Storage(storage, part) => {
                STORAGE + storage as usize * Part::COUNT + part as usize
            }
            Self::Answered(asked, answer) => {
                ANSWERED + asked as usize * Answer::COUNT + answer as usize
            }
            Self::Served(class, part) => SERVED + class as usize * Part::COUNT + part as usize,
            Self::Watch(event) => WATCH + event as usize,
            Self::Fault(kind) => FAULT + kind,
            Self::Habit(habit) => HABIT + habit,
            Self::Moment(moment) => MOMENT + moment as usize,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Struck(blow, part) => format!("{}: {}", part.label(), blow.label()),
            Self::CrashBetween(pending, death) => format!("{}: {}", pending.label(), death.label()),
            Self::CrashBehind(kept, death) => {
                format!("{} durable, and nothing since: {}", kept.label(), death.label())
            }
            Self::SyncChosen(means, Learner::Follower) => {
                format!("{} to a follower", means.label())
            }
            Self::SyncChosen(means, Learner::Observer) => {
                format!("{} to an observer", means.label())
            }
            Self::Sync(means, course) => format!("{}: {}", means.label(), course.label()),
            Self::CrashInSync(means, stage, death) => {
                format!("{}, {}: {}", means.label(), stage.label(), death.label())
            }
            Self::Storage(storage, part) => format!("{}: {}", part.label(), storage.label()),
            Self::Answered(asked, answer) => format!("{}: {}", asked.label(), answer.label()),
            Self::Served(class, part) => {
                format!("{}: a {} is answered", part.label(), class.label())
            }
            Self::Watch(event) => format!("a watch is told: {}", event.label()),
            Self::Fault(kind) => format!("fault: {}", FaultKind::NAMES[kind]),
            Self::Habit(habit) => format!("habit: {}", HABITS[habit]),
            Self::Moment(moment) => moment.label().to_owned(),
        }
    }

    /// Whether it can happen at all, by what the simulator and core have.
    fn is_registered(self) -> bool {
        match self {
            Self::Struck(blow, part) => can_strike(blow, part),
            Self::Answered(asked, answer) => can_answer(asked, answer),
            Self::Served(_, part) => part.serves(),
            Self::Storage(storage, part) => can_touch(storage, part),
            // A TRUNC has no stages: the server restarts behind it. Windows are memory; the stages of a
            // DIFF are those of either.
            Self::CrashInSync(means, _, _) => matches!(means, Means::DiffWindow | Means::Snap),
            Self::CrashBetween(..)
            | Self::CrashBehind(..)
            | Self::SyncChosen(..)
            | Self::Sync(..)
            | Self::Watch(..)
            | Self::Fault(_)
            | Self::Habit(_)
            | Self::Moment(_) => true,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let struck = pairs(Blow::ALL, Part::ALL).map(|(blow, part)| Self::Struck(blow, part));
        let between = pairs(Pending::ALL, Death::ALL)
            .map(|(pending, death)| Self::CrashBetween(pending, death));
        let behind =
            pairs(Kept::ALL, Death::ALL).map(|(kept, death)| Self::CrashBehind(kept, death));
        let chosen = pairs(Means::ALL, &Learner::ALL)
            .map(|(means, learner)| Self::SyncChosen(means, learner));
        let sync = pairs(Means::ALL, Course::ALL).map(|(means, course)| Self::Sync(means, course));
        let stages = pairs(Means::ALL, Stage::ALL).flat_map(|(means, stage)| {
            Death::ALL.iter().map(move |&death| Self::CrashInSync(means, stage, death))
        });
        let storage =
            pairs(Storage::ALL, Part::ALL).map(|(storage, part)| Self::Storage(storage, part));
        let answered =
            pairs(Asked::ALL, Answer::ALL).map(|(asked, answer)| Self::Answered(asked, answer));
        let served = pairs(Class::ALL, Part::ALL).map(|(class, part)| Self::Served(class, part));
        let watch = Event::ALL.iter().map(|&event| Self::Watch(event));
        struck
            .chain(between)
            .chain(behind)
            .chain(chosen)
            .chain(sync)
            .chain(stages)
            .chain(storage)
            .chain(answered)
            .chain(served)
            .chain(watch)
            .chain((0..FaultKind::NAMES.len()).map(Self::Fault))
            .chain((0..HABITS.len()).map(Self::Habit))
            .chain(Moment::ALL.iter().map(|&moment| Self::Moment(moment)))
    }
}

fn pairs<A: Copy + 'static, B: Copy + 'static>(
    first: &'static [A],
    second: &'static [B],
) -> impl Iterator<Item = (A, B)> {
    first.iter().flat_map(move |&a| second.iter().map(move |&b| (a, b)))
}

const fn can_strike(blow: Blow, part: Part) -> bool {
    match blow {
        Blow::Crash | Blow::PowerLoss | Blow::Pause | Blow::DiskError => true,
        // One server has no other to be cut off from.
        Blow::CutOff => !matches!(part, Part::Standalone),
        // A process that recovers has no links yet, and nobody who takes the operator's word.
        Blow::LinksReset => !matches!(part, Part::Standalone | Part::Recovering),
        Blow::Stop => !matches!(part, Part::Recovering),
    }
}

const fn can_touch(storage: Storage, part: Part) -> bool {
    match storage {
        Storage::SnapshotSealed | Storage::LogRolled => {
            part.serves()
                || matches!(part, Part::FollowingSynchronization | Part::ObservingSynchronization)
        }
        Storage::Purged => part.serves(),
    }
}

/// What a request can be answered with, by what the workload asks for.
const fn can_answer(asked: Asked, answer: Answer) -> bool {
    use Answer as A;
    match asked {
        Asked::Create | Asked::CreateEphemeral | Asked::CreateContainer | Asked::CreateTtl => {
            is_of_new(answer) || matches!(answer, A::NodeExists | A::NoChildren)
        }
        Asked::CreateSequential => is_of_new(answer) || matches!(answer, A::NoChildren),
        Asked::Delete => {
            matches!(
                answer,
                A::Done | A::NoNode | A::BadVersion | A::NotEmpty | A::NoAuth | A::Lost
            )
        }
        Asked::SetData => {
            matches!(
                answer,
                A::Done | A::NoNode | A::BadVersion | A::NoAuth | A::QuotaExceeded | A::Lost
            )
        }
        Asked::SetAcl => matches!(
            answer,
            A::Done | A::NoNode | A::BadVersion | A::NoAuth | A::InvalidAcl | A::Lost
        ),
        Asked::Multi => !matches!(
            answer,
            A::Unimplemented | A::Marshalling | A::NoWatcher | A::AuthFailed | A::ReconfigDisabled
        ),
        Asked::MultiRead | Asked::GetEphemerals | Asked::WhoAmI => {
            matches!(answer, A::Done | A::Lost)
        }
        Asked::Exists | Asked::GetData | Asked::GetChildren | Asked::CountAll | Asked::GetAcl => {
            matches!(answer, A::Done | A::NoNode | A::NoAuth | A::Lost)
        }
        Asked::AddAuth => matches!(answer, A::Done | A::AuthFailed | A::Lost),
        Asked::Reconfig => {
            matches!(answer, A::ReconfigDisabled | A::Unimplemented | A::BadVersion | A::Lost)
        }
        Asked::Sync | Asked::CloseSession | Asked::AddWatch | Asked::SetWatches => {
            matches!(answer, A::Done | A::Lost)
        }
        Asked::CheckWatches | Asked::RemoveWatches => {
            matches!(answer, A::Done | A::NoWatcher | A::Lost)
        }
        Asked::UnknownOp => matches!(answer, A::Unimplemented | A::Lost),
        Asked::Malformed => matches!(answer, A::Marshalling | A::Lost),
    }
}

/// What each request for a new node may be answered with.
const fn is_of_new(answer: Answer) -> bool {
    use Answer as A;
    matches!(answer, A::Done | A::NoNode | A::NoAuth | A::InvalidAcl | A::QuotaExceeded | A::Lost)
}

/// Every registered mark: its bit and its name.
pub(crate) fn registered() -> Vec<(usize, String)> {
    let marks = Mark::all().filter(|mark| mark.is_registered());
    marks.map(|mark| (mark.place(), mark.name())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_mark_has_a_place_and_a_name_of_its_own() {
        let places: Vec<usize> = Mark::all().map(Mark::place).collect();
        assert_eq!(
            places,
            (0..PLACES).collect::<Vec<_>>(),
            "in the order of the list, without a gap"
        );
        let names: BTreeSet<String> = registered().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names.len(), registered().len());
        assert!((250..=500).contains(&names.len()), "{} marks", names.len());
    }
}

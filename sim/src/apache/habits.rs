//! What Apache's servers do that ours don't, one switch each.

use serde::Serialize;

use crate::rng::SimRng;

/// The habits of one server. Where all are off, it is one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Habits {
    /// LearnerInfo ends behind 20 bytes and LEADERINFO's data behind 4, and what others append is not
    /// read: whatever goes beyond 3.9.5 between servers is off, both ways.
    pub plain_greetings: bool,
    /// As a learner, it logs a proposal before UPTODATE only if its COMMIT came before NEWLEADER; all
    /// others it logs and acknowledges behind the second ACK.
    pub late_logging: bool,
    /// SNAP streams hold parts of later transactions than SNAP names, and the proposals that follow
    /// begin with some that SNAP already names.
    pub fuzzy_snap: bool,
    /// SNAP may name the start of the epoch, under which there is no transaction.
    pub epoch_zxids: bool,
    /// Its newest snapshot file holds parts of later transactions than its name says.
    pub fuzzy_files: bool,
    /// Its log may hold two records under one zxid.
    pub twin_records: bool,
    /// After a TRUNC it stays on the link to its leader.
    pub truncates_in_place: bool,
    /// As a leader, it answers a sync without asking a quorum.
    pub weak_sync: bool,
}

impl Habits {
    /// None: as ours.
    pub const NONE: Self = Self {
        plain_greetings: false,
        late_logging: false,
        fuzzy_snap: false,
        epoch_zxids: false,
        fuzzy_files: false,
        twin_records: false,
        truncates_in_place: false,
        weak_sync: false,
    };
    /// All that 3.9.5 has.
    pub const ALL: Self = Self {
        plain_greetings: true,
        late_logging: true,
        fuzzy_snap: true,
        epoch_zxids: true,
        fuzzy_files: true,
        twin_records: true,
        truncates_in_place: true,
        weak_sync: true,
    };

    /// Plain greetings make an Apache peer of a server; each other habit is left out now and then, so
    /// that none hides behind another.
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        let mut has = || !rng.chance(200);
        Self {
            plain_greetings: true,
            late_logging: has(),
            fuzzy_snap: has(),
            epoch_zxids: has(),
            fuzzy_files: has(),
            twin_records: has(),
            truncates_in_place: has(),
            weak_sync: has(),
        }
    }

    /// The switch of this name.
    pub fn named(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "plain_greetings" => &mut self.plain_greetings,
            "late_logging" => &mut self.late_logging,
            "fuzzy_snap" => &mut self.fuzzy_snap,
            "epoch_zxids" => &mut self.epoch_zxids,
            "fuzzy_files" => &mut self.fuzzy_files,
            "twin_records" => &mut self.twin_records,
            "truncates_in_place" => &mut self.truncates_in_place,
            "weak_sync" => &mut self.weak_sync,
            _ => return None,
        })
    }

    /// Those that it has, by name.
    pub fn names(&self) -> Vec<&'static str> {
        let all = [
            ("plain_greetings", self.plain_greetings),
            ("late_logging", self.late_logging),
            ("fuzzy_snap", self.fuzzy_snap),
            ("epoch_zxids", self.epoch_zxids),
            ("fuzzy_files", self.fuzzy_files),
            ("twin_records", self.twin_records),
            ("truncates_in_place", self.truncates_in_place),
            ("weak_sync", self.weak_sync),
        ];
        all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
    }
}

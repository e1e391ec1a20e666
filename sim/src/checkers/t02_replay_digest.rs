//! T2: what lies on a disk at any moment recovers to what the server had: the committed sequence as far
//! as it has acknowledged it, then proposals in order, and behind the last committed transaction the
//! oracle's state, every Stat field, ACL and session of it. Judged on copies of disks (shadow
//! recovery), each state that replay goes through included, and the newest snapshot by itself, so that no
//! crash is needed; where one strikes, S1 and T1 say the same.

use crate::checkers::line::Line;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::{Aged, Shadow, SimEvent};
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::{Note, StateDigest};
use vivarium_core::storage::snapshot::Damage;

#[derive(Debug, Default)]
pub(crate) struct T02;

impl Check for T02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Shadow])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let (SimEvent::Shadow(shadow), Some(server)) = (event, cx.server()) else { return Ok(()) };
        // Folders of Apache's kind hold what only a boot explains.
        let apache = cx.canon.cluster.apache.contains(&server);
        if !cx.spec.white_box || apache || cx.damage.is_damaged(server) || cx.canon.oracle_blind {
            return Ok(());
        }
        match shadow {
            Shadow::Recovered { notes, aged } => judge(cx, server, notes, aged.as_ref()),
            Shadow::SnapshotAlone { sealed, read } => alone(cx, server, *sealed, read),
            Shadow::Refused(why) => Err(format!("{server} would not start from its disk: {why}")),
        }
    }
}

fn judge(cx: &Cx<'_>, server: ServerId, notes: &[Note], aged: Option<&Aged>) -> Result<(), String> {
    let committed = &cx.canon.committed;
    let mut replay: Vec<(Zxid, u64, StateDigest)> = Vec::new();
    for note in notes {
        match note {
            Note::MovedAside => {
                return Err(format!("{server} would move its undamaged history aside"));
            }
            Note::Applied { zxid, hash, digest, .. } => replay.push((*zxid, *hash, *digest)),
            Note::Recovered { from, blank, digest, .. } => {
                let from = from.filter(|_| !*blank).unwrap_or_default();
                let member = cx.canon.member(server).expect("every server is a member");
                let (mut line, mut clear_from) = cx.canon.snapshot(server, from);
                if let Some(aged) = aged.filter(|aged| aged.base == from) {
                    if clear_from > from {
                        // Made of a snapshot that an Apache peer had made fuzzy before.
                        return Ok(());
                    }
                    clear_from = aged.end;
                }
                let base = line.len();
                for (zxid, hash, _) in &mut replay {
                    if aged.is_some_and(|aged| aged.bare.contains(zxid))
                        && let Some((_, entry)) = cx.canon.find(*zxid)
                    {
                        *hash = entry.hash;
                    }
                    line.push(*zxid, *hash, committed);
                }
                if !(*blank && member.disowned) {
                    has_promised(cx, server, &line)?;
                }
                are_proposals(cx, server, &line)?;
                if *blank {
                    return Ok(());
                }
                // Up to the last transaction that is committed; a snapshot of a leader of Apache's
                // kind may be beyond it.
                let at = line.common();
                for (place, (zxid, _, digest)) in replay.iter().enumerate() {
                    let len = base + place + 1;
                    if len <= at && *zxid >= clear_from {
                        is_the_oracles(cx, server, len, *digest)?;
                    }
                }
                let last = at.checked_sub(1).map(|index| committed[index].zxid);
                if replay.is_empty() && last == Some(from) && from >= clear_from {
                    is_the_oracles(cx, server, at, *digest)?;
                }
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}

/// A snapshot without any log is exact to its zxid: what replay does to it shows in nothing here.
fn alone(
    cx: &Cx<'_>,
    server: ServerId,
    sealed: Zxid,
    read: &Result<StateDigest, Damage>,
) -> Result<(), String> {
    let digest = match read {
        Ok(digest) => *digest,
        Err(Damage { offset, what }) => {
            return Err(format!("{server} has sealed snapshot {sealed}: {what} (byte {offset})"));
        }
    };
    let (line, clear_from) = cx.canon.snapshot(server, sealed);
    if clear_from > sealed || line.common() < line.len() {
        return Ok(());
    }
    is_the_oracles(cx, server, line.len(), digest)
}

fn has_promised(cx: &Cx<'_>, server: ServerId, line: &Line) -> Result<(), String> {
    let acked = cx.canon.member(server).and_then(|member| member.acked);
    let owed = acked.map_or(0, |acked| cx.canon.count_upto(acked));
    if line.common() >= owed {
        return Ok(());
    }
    let lost = cx.canon.committed[line.common()].zxid;
    Err(format!("{server} would recover without {lost}, which it acknowledged and is committed"))
}

fn are_proposals(cx: &Cx<'_>, server: ServerId, line: &Line) -> Result<(), String> {
    let mut previous = Zxid::ZERO;
    for entry in line.tail() {
        let known = cx.canon.proposals.get(&entry.zxid);
        if known.is_none_or(|known| known.hash != entry.hash) || entry.zxid <= previous {
            return Err(format!(
                "{server} would recover {} behind {previous}, which nobody proposed so",
                entry.zxid
            ));
        }
        previous = entry.zxid;
    }
    Ok(())
}

fn is_the_oracles(
    cx: &Cx<'_>,
    server: ServerId,
    len: usize,
    state: StateDigest,
) -> Result<(), String> {
    let Some(index) = len.checked_sub(1) else { return Ok(()) };
    let Some(oracle) = cx.canon.digests.get(index) else { return Ok(()) };
    if !cx.canon.cluster.full_digest || *oracle == state.full {
        return Ok(());
    }
    let at = cx.canon.committed[index].zxid;
    Err(format!(
        "{server} would recover the state {:#x} behind {at}, the oracle has {oracle:#x}",
        state.full
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use std::collections::BTreeSet;

    /// Server 2 has acknowledged 1:1 to 1:3; a recovery of its disk shows `replayed`, and this state.
    fn shadow(replayed: &[(Zxid, u64)], right: bool) -> Result<(), String> {
        aged_shadow(replayed, right, None)
    }

    fn aged_shadow(
        replayed: &[(Zxid, u64)],
        right: bool,
        aged: Option<Aged>,
    ) -> Result<(), String> {
        shadow_of(replayed, right, None, aged)
    }

    /// Only the state at `wrong_at` differs. `aged`: the folder was made one of Apache's before.
    fn shadow_of(
        replayed: &[(Zxid, u64)],
        right: bool,
        wrong_at: Option<usize>,
        aged: Option<Aged>,
    ) -> Result<(), String> {
        let mut run = Run::new(T02);
        run.boot_all();
        run.establish(1, 1)?;
        (1..=3).try_for_each(|counter| run.write(1, 1, counter))?;
        let full = if right { run.canon.oracle.full_digest() } else { 1 };
        let digest = StateDigest { tree: full, full };
        let wrong = StateDigest { tree: 1, full: 1 };
        let replay = replayed.iter().enumerate().map(|(place, &(zxid, hash))| Note::Applied {
            zxid,
            hash,
            digest: if wrong_at == Some(place) { wrong } else { digest },
            recovered: true,
        });
        let last = replayed.last().map(|(zxid, _)| *zxid);
        let recovered = Note::Recovered { last, from: None, blank: false, digest };
        let notes = replay.chain([recovered]).collect();
        run.server(2, SimEvent::Shadow(Shadow::Recovered { notes, aged }))
    }

    fn whole() -> Vec<(Zxid, u64)> {
        (1..=3).map(|counter| (z(1, counter), z(1, counter).0 ^ 0x5555)).collect()
    }

    #[test]
    fn a_whole_disk_is_fine() {
        shadow(&whole(), true).unwrap();
    }

    #[test]
    fn a_disk_that_lacks_what_was_acknowledged_is_found() {
        assert!(shadow(&whole()[..2], true).unwrap_err().contains("without"));
    }

    #[test]
    fn a_state_that_differs_is_found() {
        assert!(shadow(&whole(), false).unwrap_err().contains("the oracle has"));
    }

    #[test]
    fn a_state_on_the_way_that_differs_is_found() {
        shadow_of(&whole(), true, None, None).unwrap();
        assert!(shadow_of(&whole(), true, Some(0), None).unwrap_err().contains("the oracle has"));
    }

    fn aged(base: Zxid, end: Zxid) -> Option<Aged> {
        Some(Aged { base, end, bare: BTreeSet::new() })
    }

    #[test]
    fn a_fuzzy_snapshot_excuses_the_state_before_its_end_alone() {
        aged_shadow(&whole(), true, aged(Zxid::ZERO, z(1, 3))).unwrap();
        aged_shadow(&whole(), false, aged(Zxid::ZERO, z(1, 4))).unwrap();
        assert!(aged_shadow(&whole(), false, aged(Zxid::ZERO, z(1, 3))).is_err());
        assert!(
            aged_shadow(&whole(), false, aged(z(1, 1), z(1, 4))).is_err(),
            "recovery began with another snapshot"
        );
    }

    #[test]
    fn an_end_of_a_session_may_be_logged_without_its_paths() {
        let mut replayed = whole();
        replayed[1].1 = 77;
        assert!(shadow(&replayed, true).is_err());
        let aged = aged(Zxid::ZERO, z(1, 2)).map(|aged| Aged { bare: [z(1, 2)].into(), ..aged });
        aged_shadow(&replayed, true, aged).unwrap();
    }

    /// Where a transaction behind the snapshot replaces what is wrong in it, no replay shows it.
    #[test]
    fn a_snapshot_that_is_not_exact_is_found_without_its_log() {
        let of = |read: fn(u64) -> Result<u64, Damage>| {
            let mut run = Run::new(T02);
            run.boot_all();
            run.establish(1, 1)?;
            run.write(1, 1, 1)?;
            run.write(1, 1, 2)?;
            let read = read(run.canon.oracle.full_digest());
            run.write(1, 1, 3)?;
            let read = read.map(|full| StateDigest { tree: full, full });
            run.server(2, SimEvent::Shadow(Shadow::SnapshotAlone { sealed: z(1, 2), read }))
        };
        of(Ok).unwrap();
        assert!(of(|full| Ok(full ^ 1)).unwrap_err().contains("the oracle has"));
        let cut_off = |_| Err(Damage { offset: 9, what: "snapshot is cut off" });
        assert!(of(cut_off).unwrap_err().contains("cut off (byte 9)"));
    }

    /// The server has not said yet that it is there.
    #[test]
    fn a_fuzzy_snap_is_excused_as_soon_as_it_lies_on_a_disk() {
        let of = |base| {
            let mut run = Run::new(T02);
            run.boot_all();
            run.establish(1, 1).unwrap();
            (1..=3).for_each(|counter| run.write(1, 1, counter).unwrap());
            let (learner, end) = (ServerId(2), z(1, 3));
            run.server(1, SimEvent::ApacheSnap { learner, base, end }).unwrap();
            let read = Ok(StateDigest { tree: 1, full: 1 });
            run.server(2, SimEvent::Shadow(Shadow::SnapshotAlone { sealed: z(1, 2), read }))
        };
        of(z(1, 2)).unwrap();
        assert!(of(z(1, 1)).is_err(), "another one is on its way");
    }

    #[test]
    fn what_nobody_proposed_is_found() {
        let mut replayed = whole();
        replayed.push((z(1, 4), 9));
        assert!(shadow(&replayed, true).unwrap_err().contains("nobody proposed"));
    }

    #[test]
    fn a_disk_that_no_server_starts_from_is_found() {
        let mut run = Run::new(T02);
        run.boot_all();
        let refused = Shadow::Refused("currentEpoch is ahead".into());
        assert!(run.server(2, SimEvent::Shadow(refused)).is_err());
        let aside = Shadow::Recovered { notes: vec![Note::MovedAside], aged: None };
        assert!(run.server(2, SimEvent::Shadow(aside)).is_err());
    }
}

//! What clients do about access: who they say they are, and which lists they give to nodes.

use std::collections::BTreeMap;

use vivarium_core::config::DigestAlg;

use super::{Create, Kind, Operation, Part, Workload, Write};
use crate::history::{AccessList, AclEntry};
use crate::oracle::access::{ADMIN, ALL, CREATE, DELETE, READ, WRITE, digest, open};
use crate::rng::{SimRng, Stream};

/// Users and their passwords.
const USERS: [&str; 3] = ["ann:a", "bob:b", "eve:e"];
/// Who may do everything, where the configuration knows it.
pub(crate) const SUPER_USER: &str = "super:test";

/// Runs in which clients care for access at all, in per mille.
const GUARDED_RUNS: u64 = 450;

/// Puts its kinds into a mix, from a stream of its own. Answers the share of nodes with a list of their own,
/// and that of clients that say again who they are.
pub(super) fn draw(seed: u64, weights: &mut BTreeMap<Kind, u64>) -> (u64, u64) {
    let mut rng = SimRng::new(seed, Stream::Access, u64::MAX);
    if !rng.chance(GUARDED_RUNS) {
        return (0, 0);
    }
    for (kind, weight) in [
        (Kind::AddAuth, 3),
        (Kind::SetAcl, 2),
        (Kind::GetAcl, 2),
        (Kind::WhoAmI, 1),
        (Kind::Reconfig, 1),
    ] {
        if rng.chance(700) {
            weights.insert(kind, weight * rng.range(1, 3) * 10);
        }
    }
    (*rng.pick(&[0, 60, 200]), *rng.pick(&[0, 500, 1000]))
}

impl Workload {
    /// Whether a client says again who it is on a new connection.
    pub(crate) fn draw_showing(&self, seed: u64) -> bool {
        SimRng::new(seed, Stream::Access, u64::MAX).chance(self.showing)
    }

    /// The n-th operation of a client, with lists of their own for some of the nodes that it makes.
    pub(crate) fn guard(
        &self,
        owner: u32,
        seed: u64,
        n: u64,
        mut operation: Operation,
    ) -> Operation {
        if self.guarded == 0 {
            return operation;
        }
        let mut rng = SimRng::new(seed, Stream::Access, n);
        let mut guard = |create: &mut Create| {
            // Below a root lies all that a run works with.
            let is_root = create.path.rfind('/') == Some(0);
            if rng.chance(if is_root { self.guarded / 4 } else { self.guarded }) {
                create.acl = list(owner, self.digest_alg, &mut rng);
            }
        };
        match &mut operation {
            Operation::Write(Write::Create(create)) => guard(create),
            Operation::Multi(parts) => {
                for part in parts {
                    if let Part::Write(Write::Create(create)) = part {
                        guard(create);
                    }
                }
            }
            Operation::Write(_)
            | Operation::Read(_)
            | Operation::MultiRead(_)
            | Operation::Sync { .. }
            | Operation::SyncThenRead { .. }
            | Operation::AddAuth { .. }
            | Operation::Reauth
            | Operation::SetAcl { .. }
            | Operation::WhoAmI
            | Operation::Reconfig { .. }
            | Operation::Watch(_)
            | Operation::Rewatch
            | Operation::UnknownOp { .. }
            | Operation::Malformed { .. }
            | Operation::CloseSession
            | Operation::DropConnection
            | Operation::Move { .. }
            | Operation::Restart
            | Operation::FallSilent { .. } => {}
        }
        operation
    }
}

/// Its own user most of the time; the super user; somebody with a password that is not theirs; or what
/// proves nothing.
pub(super) fn present(owner: u32, rng: &mut SimRng) -> Operation {
    let (scheme, proof) = match rng.below(20) {
        0 => ("nosuch", "ann:a".to_owned()),
        1 => ("ip", String::new()),
        2 => ("digest", (*rng.pick(&["ann:guess", "super:guess"])).to_owned()),
        3 | 4 => ("digest", SUPER_USER.to_owned()),
        5..9 => ("digest", (*rng.pick(&USERS)).to_owned()),
        _ => ("digest", user_of(owner).to_owned()),
    };
    Operation::AddAuth { scheme: scheme.into(), proof, asks: rng.chance(400) }
}

/// Half of all changes open a node again.
pub(super) fn changed(owner: u32, alg: DigestAlg, rng: &mut SimRng) -> AccessList {
    if rng.chance(500) { open() } else { list(owner, alg, rng) }
}

const fn user_of(owner: u32) -> &'static str {
    USERS[owner as usize % USERS.len()]
}

fn list(owner: u32, alg: DigestAlg, rng: &mut SimRng) -> AccessList {
    let some = *rng.pick(&[
        READ,
        READ | CREATE,
        READ | WRITE,
        READ | ADMIN,
        ALL & !READ,
        ALL & !ADMIN,
        WRITE | DELETE,
        ADMIN,
    ]);
    let mut entries = match rng.below(16) {
        0..4 => vec![anyone(some)],
        4..8 => vec![entry(ALL, "auth", "")],
        8..11 => vec![entry(ALL, "digest", &digest(alg, rng.pick::<&str>(&USERS)))],
        11 | 12 => {
            let (four, six) =
                (format!("10.0.1.{}", rng.below(6)), format!("fd00::1:{}", rng.below(6)));
            let who = *rng.pick(&[
                four.as_str(),
                six.as_str(),
                "10.0.1.0/30",
                "10.0.1.2/31",
                "10.0.0.0/8",
                "fd00::1:0/125",
                "fd00:0:0:0::/64",
            ]);
            vec![entry(ALL, "ip", who)]
        }
        13 => vec![anyone(ALL), anyone(ALL), anyone(READ)],
        14 => vec![entry(ALL, "digest", &digest(alg, user_of(owner))), entry(some, "auth", "")],
        _ => return refused(rng).into(),
    };
    if rng.chance(400) {
        entries.push(anyone(READ));
    }
    entries.into()
}

/// Lists that are not to be kept.
fn refused(rng: &mut SimRng) -> Vec<AclEntry> {
    let (scheme, who) = *rng.pick(&[
        ("", ""),
        ("nosuch", "ann"),
        ("world", "someone"),
        ("digest", "ann"),
        ("ip", "10.0.1"),
        ("ip", "10.0.1.0/33"),
        ("ip", "fd00::1:2/129"),
        ("ip", "fd00::g"),
    ]);
    match scheme {
        "" => Vec::new(),
        scheme => vec![anyone(READ), entry(ALL, scheme, who)],
    }
}

fn anyone(perms: i32) -> AclEntry {
    entry(perms, "world", "anyone")
}

fn entry(perms: i32, scheme: &str, who: &str) -> AclEntry {
    (perms, scheme.into(), who.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_runs_care_for_access_and_omit_some_of_its_kinds() {
        let kinds = [Kind::AddAuth, Kind::SetAcl, Kind::GetAcl, Kind::WhoAmI, Kind::Reconfig];
        let (mut none, mut some) = (0, 0);
        for seed in 0..200 {
            let workload = Workload::draw(seed);
            let count = kinds.iter().filter(|kind| workload.weights.contains_key(kind)).count();
            none += u32::from(count == 0 && workload.guarded == 0);
            some += u32::from((1..kinds.len()).contains(&count));
        }
        assert!((80..150).contains(&none), "{none} runs of 200 care for no access");
        assert!(some > 40, "{some} runs of 200 leave something out");
    }

    #[test]
    fn nodes_get_lists_of_every_kind() {
        let mut rng = SimRng::new(1, Stream::Access, 0);
        let lists: Vec<AccessList> = (0..500).map(|_| list(1, DigestAlg::Sha1, &mut rng)).collect();
        for scheme in ["world", "auth", "digest", "ip", "nosuch"] {
            let has = |acl: &AccessList| acl.iter().any(|(_, listed, _)| listed == scheme);
            assert!(lists.iter().any(has), "{scheme}");
        }
        assert!(lists.iter().any(|acl| acl.is_empty()));
    }
}

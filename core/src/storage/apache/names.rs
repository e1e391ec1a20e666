//! Which files Apache takes for state: it reads the number behind the first dot and ignores what
//! follows it, so that `log.1.old` is a log to it and `snapshot.1.tmp` a snapshot.
//! Apache: `Util.getZxidFromName`, `FileTxnLog.getLogFiles`, `SnapStream.getStreamMode`.

use crate::ids::Zxid;

/// What a name stands for, by Apache's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Snapshot { zxid: Zxid, compressed: bool },
    Log { zxid: Zxid },
    Other,
}

pub(super) fn role(name: &str) -> Role {
    if let Some(zxid) = number(name, "snapshot") {
        let compressed = name.ends_with(".gz") || name.ends_with(".snappy");
        return Role::Snapshot { zxid, compressed };
    }
    number(name, "log").map_or(Role::Other, |zxid| Role::Log { zxid })
}

/// Only the beginning counts where folders are checked for files of the other kind.
pub(super) fn begins_as_log(name: &str) -> bool {
    name.starts_with("log.")
}

pub(super) fn begins_as_snapshot(name: &str) -> bool {
    name.starts_with("snapshot.")
}

/// `Long.parseLong(part, 16)` of the part behind the first dot; -1 means none, and nobody writes
/// another negative number.
fn number(name: &str, prefix: &str) -> Option<Zxid> {
    let mut parts = name.split('.');
    if parts.next() != Some(prefix) {
        return None;
    }
    i64::from_str_radix(parts.next()?, 16).ok().and_then(Zxid::from_wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_number_is_ignored() {
        let snapshot = |zxid, compressed| Role::Snapshot { zxid: Zxid(zxid), compressed };
        let cases = [
            ("snapshot.5", snapshot(5, false)),
            ("snapshot.5.tmp", snapshot(5, false)),
            ("snapshot.5.gz", snapshot(5, true)),
            ("snapshot.5.snappy", snapshot(5, true)),
            ("snapshot.0A", snapshot(10, false)),
            ("snapshot.-1", Role::Other),
            ("snapshot.", Role::Other),
            ("snapshot", Role::Other),
            ("snapshots.5", Role::Other),
            ("log.a.corrupt", Role::Log { zxid: Zxid(10) }),
            ("log.+a", Role::Log { zxid: Zxid(10) }),
            ("log.ffffffffffffffff", Role::Other),
            ("corrupt.log.1", Role::Other),
            ("currentEpoch", Role::Other),
        ];
        for (name, expected) in cases {
            assert_eq!(role(name), expected, "{name}");
        }
    }
}

//! Whether an ACL lets a client do something (PROTOCOL 2.2). Apache: `ZooKeeperServer.checkACL`,
//! `IPAuthenticationProvider`.

use core::net::IpAddr;

use crate::acl::{Acl, Id};

pub const ADMIN: i32 = 16;

/// True if one entry grants one of the `perms` bits to everyone or to one of `ids`.
/// An empty list grants everything.
pub fn permits(acl: &[Acl], perms: i32, ids: &[Id]) -> bool {
    acl.is_empty()
        || acl.iter().any(|entry| {
            entry.perms & perms != 0
                && (is_everyone(&entry.id) || ids.iter().any(|id| covers(&entry.id, id)))
        })
}

fn is_everyone(id: &Id) -> bool {
    id.scheme == "world" && id.id == "anyone"
}

fn covers(granted: &Id, id: &Id) -> bool {
    granted.scheme == id.scheme
        && (granted.id == id.id || granted.scheme == "ip" && in_network(&granted.id, &id.id))
}

/// `address` or `address/bits`, for both versions of IP.
fn in_network(network: &str, address: &str) -> bool {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok()),
        None => (network, Some(u32::MAX)),
    };
    let Some(bits) = bits else { return false };
    match (base.parse(), address.parse()) {
        (Ok(IpAddr::V4(base)), Ok(IpAddr::V4(address))) => {
            let differ = base.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits.min(u32::BITS)
        }
        (Ok(IpAddr::V6(base)), Ok(IpAddr::V6(address))) => {
            let differ = base.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits.min(u128::BITS)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::permits;
    use crate::acl::{Acl, Id};

    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn entries_grant_by_bits_and_identity() {
        let me = [id("ip", "10.1.2.3")];
        for (perms, scheme, who, wanted, expected) in [
            (31, "world", "anyone", 1, true),
            (2, "world", "anyone", 1, false),
            (1, "ip", "10.1.2.3", 1, true),
            (1, "ip", "10.1.2.4", 1, false),
            (1, "ip", "10.1.0.0/16", 1, true),
            (1, "ip", "10.1.2.0/31", 1, false),
            (1, "ip", "0.0.0.0/0", 1, true),
            (1, "ip", "::/0", 1, false),
            (1, "ip", "10.1.2.3/x", 1, false),
            (31, "digest", "u:p", 1, false),
            (17, "world", "anyone", 1 | 16, true),
        ] {
            let acl = vec![Acl { perms, id: id(scheme, who) }];
            assert_eq!(permits(&acl, wanted, &me), expected, "{scheme} {who} {perms}");
        }
        assert!(permits(&[], 31, &me), "an empty list grants everything");
    }
}

//! Which ACLs may be stored, and as what. Facts: PROTOCOL 2.2. Apache: `PrepRequestProcessor.fixupACL`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use crate::acl::{Acl, Id};
use crate::request::identity::is_authenticated;
use crate::wire::code::Code;

/// The list as it is logged: duplicates dropped, first occurrence kept. In the place of the scheme
/// `auth` stand those of the client's `ids` that it has authenticated; without one it is refused.
pub(super) fn fix_acl(wanted: Option<&[Acl]>, ids: &[Id]) -> Result<Vec<Acl>, Code> {
    let mut fixed = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in wanted.unwrap_or_default() {
        if entry.id.scheme == "auth" {
            let before = fixed.len();
            let own = ids.iter().filter(|id| is_authenticated(id)).cloned();
            let new = seen.insert(entry);
            fixed.extend(own.filter(|_| new).map(|id| Acl { perms: entry.perms, id }));
            if new && fixed.len() == before {
                return Err(Code::InvalidAcl);
            }
            continue;
        }
        if !is_storable(&entry.id) {
            return Err(Code::InvalidAcl);
        }
        if seen.insert(entry) {
            fixed.push(entry.clone());
        }
    }
    if fixed.is_empty() { Err(Code::InvalidAcl) } else { Ok(fixed) }
}

/// A scheme without a provider here is refused like an unknown one.
fn is_storable(id: &Id) -> bool {
    match id.scheme.as_str() {
        "world" => id.id == "anyone",
        "digest" => is_digest(&id.id),
        "ip" => is_address(&id.id),
        _ => false,
    }
}

/// Exactly two parts by the count of Java's `split`, which drops empty parts at the end.
fn is_digest(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// `address` or `address/bits`. Apache: `IPAuthenticationProvider.isValid`.
fn is_address(id: &str) -> bool {
    let (address, bits) = match id.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (id, None),
    };
    let width = if is_v4(address) {
        32
    } else if address.parse::<Ipv6Addr>().is_ok() {
        128
    } else {
        return false;
    };
    bits.is_none_or(|bits| bits.parse::<i32>().is_ok_and(|bits| (0..=width).contains(&bits)))
}

/// Four numbers as Java's `parseInt` reads them, so with leading zeros or a plus sign.
fn is_v4(address: &str) -> bool {
    address.split('.').count() == 4
        && address
            .split('.')
            .all(|part| part.parse::<i32>().is_ok_and(|byte| (0..=255).contains(&byte)))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{Acl, Code, Id, fix_acl};

    fn entry(scheme: &str, id: &str) -> Acl {
        Acl { perms: 31, id: Id { scheme: scheme.into(), id: id.into() } }
    }

    #[test]
    fn null_and_empty_lists_are_refused() {
        assert_eq!(fix_acl(None, &[]), Err(Code::InvalidAcl));
        assert_eq!(fix_acl(Some(&[]), &[]), Err(Code::InvalidAcl));
    }

    #[test]
    fn duplicates_go_and_order_stays() {
        let (a, b) = (entry("digest", "u:x"), entry("world", "anyone"));
        let list = [a.clone(), b.clone(), a.clone()];
        assert_eq!(fix_acl(Some(&list), &[]), Ok(vec![a, b]));
        let other_perms = Acl { perms: 1, ..entry("world", "anyone") };
        let list = [entry("world", "anyone"), other_perms];
        assert_eq!(fix_acl(Some(&list), &[]), Ok(list.to_vec()));
    }

    #[test]
    fn one_bad_entry_refuses_the_list() {
        let list = [entry("world", "anyone"), entry("nosuch", "x")];
        assert_eq!(fix_acl(Some(&list), &[]), Err(Code::InvalidAcl));
    }

    #[test]
    fn ids_are_checked_by_scheme() {
        let table = [
            ("world", "anyone", true),
            ("world", "someone", false),
            ("", "anyone", false),
            ("auth", "", false),
            ("super", "", false),
            ("sasl", "joe", false),
            ("x509", "CN=joe", false),
            ("digest", "user:hash", true),
            ("digest", ":hash", true),
            ("digest", "user:hash:", true),
            ("digest", "user:", false),
            ("digest", "user", false),
            ("digest", "", false),
            ("digest", "a:b:c", false),
            ("ip", "127.0.0.1", true),
            ("ip", "127.0.0.01", true),
            ("ip", "10.0.0.0/8", true),
            ("ip", "10.0.0.0/32", true),
            ("ip", "10.0.0.0/33", false),
            ("ip", "10.0.0.0/-1", false),
            ("ip", "10.0.0.0/", false),
            ("ip", "10.0.0.0/8/8", false),
            ("ip", "10.0.0", false),
            ("ip", "10.0.0.256", false),
            ("ip", "10.0.0.0.0", false),
            ("ip", "::1", true),
            ("ip", "2001:db8::/64", true),
            ("ip", "2001:db8::/129", false),
            ("ip", "", false),
        ];
        for (scheme, id, good) in table {
            let got = fix_acl(Some(&[entry(scheme, id)]), &[]);
            assert_eq!(got.is_ok(), good, "{scheme}:{id}");
        }
    }

    #[test]
    fn auth_stands_for_what_the_client_authenticated() {
        let id = |scheme: &str, id: &str| entry(scheme, id).id;
        let ids = [id("ip", "10.0.0.1"), id("digest", "a:x"), id("digest", "b:y")];
        let list = [entry("auth", "whatever"), entry("world", "anyone"), entry("auth", "whatever")];
        let expected =
            vec![entry("digest", "a:x"), entry("digest", "b:y"), entry("world", "anyone")];
        assert_eq!(fix_acl(Some(&list), &ids), Ok(expected));
        assert_eq!(fix_acl(Some(&list), &ids[..1]), Err(Code::InvalidAcl), "an address is none");
    }
}

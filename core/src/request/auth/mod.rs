//! Who a client is, and what that lets it do (PROTOCOL 2.2). Each scheme is a `Provider`; a further one
//! joins in `provider`. Apache: `ProviderRegistry`, `ServerAuthenticationProvider`.

mod digest;
mod ip;

use alloc::vec::Vec;

use crate::acl::{Acl, Id};
use crate::config::AccessRules;

/// Who has this scheme may do everything.
const SUPER: &str = "super";

/// One way to be known.
trait Provider: Sync {
    /// The identities behind an `auth` packet; none: it proves nothing. `address` is what the connection
    /// is known by without any proof.
    fn authenticate(&self, rules: &AccessRules, proof: &[u8], address: &Id) -> Vec<Id>;

    /// Whether such an identity may stand in the place of the scheme `auth` in an access list.
    fn proves(&self) -> bool;

    /// Whether an access list may name this.
    fn may_be_listed(&self, id: &str) -> bool;

    /// Whether what a list names is who a client is.
    fn covers(&self, listed: &str, id: &str) -> bool;

    /// What of an identity may be shown.
    fn user<'a>(&self, id: &'a str) -> &'a str;
}

fn provider(rules: &AccessRules, scheme: &str) -> Option<&'static dyn Provider> {
    match scheme {
        "digest" if rules.digest_enabled => Some(&digest::Digest),
        "ip" => Some(&ip::Ip),
        _ => None,
    }
}

/// The identities behind an `auth` packet; none where the scheme is not known, or the proof is no good.
pub fn authenticate(rules: &AccessRules, scheme: &str, proof: &[u8], address: &Id) -> Vec<Id> {
    provider(rules, scheme)
        .map_or_else(Vec::new, |provider| provider.authenticate(rules, proof, address))
}

/// True if one entry grants one of the `perms` bits to everyone or to one of `ids`. An empty list grants
/// everything. Apache: `ZooKeeperServer.checkACL`.
pub fn permits(rules: &AccessRules, acl: &[Acl], perms: i32, ids: &[Id]) -> bool {
    if rules.skip_acl || acl.is_empty() || ids.iter().any(|id| id.scheme == SUPER) {
        return true;
    }
    acl.iter().filter(|entry| entry.perms & perms != 0).any(|Acl { id: listed, .. }| {
        is_everyone(listed)
            || provider(rules, &listed.scheme).is_some_and(|provider| {
                let mut alike = ids.iter().filter(|id| id.scheme == listed.scheme);
                alike.any(|id| provider.covers(&listed.id, &id.id))
            })
    })
}

/// Whether a client is known well enough to be served. Apache: `AuthenticationHelper`.
pub fn is_let_in(rules: &AccessRules, ids: &[Id]) -> bool {
    let enforced = &rules.enforced_schemes;
    enforced.is_empty() || ids.iter().any(|id| enforced.contains(&id.scheme))
}

/// The same identities as they are shown: nothing secret, and nothing of schemes that are not known.
pub fn shown(rules: &AccessRules, ids: &[Id]) -> Vec<Id> {
    let shown = |Id { scheme, id }: &Id| {
        let user = provider(rules, scheme).map_or("", |provider| provider.user(id));
        Id { scheme: scheme.clone(), id: user.into() }
    };
    ids.iter().map(shown).collect()
}

/// Whether an access list may name this; the scheme `auth` is not asked for here.
pub(super) fn may_be_listed(rules: &AccessRules, id: &Id) -> bool {
    is_everyone(id)
        || provider(rules, &id.scheme).is_some_and(|provider| provider.may_be_listed(&id.id))
}

/// Those of a client's identities that stand in the place of the scheme `auth`.
pub(super) fn proven<'a>(rules: &AccessRules, ids: &'a [Id]) -> impl Iterator<Item = &'a Id> {
    ids.iter().filter(|id| provider(rules, &id.scheme).is_some_and(Provider::proves))
}

fn is_everyone(id: &Id) -> bool {
    id.scheme == "world" && id.id == "anyone"
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    fn rules() -> AccessRules {
        AccessRules::default()
    }

    #[test]
    fn entries_grant_by_bits_and_identity() {
        let me = [id("ip", "10.1.2.3")];
        for (perms, scheme, who, wanted, expected) in [
            (31, "world", "anyone", 1, true),
            (2, "world", "anyone", 1, false),
            (1, "ip", "10.1.2.3", 1, true),
            (1, "ip", "10.1.2.4", 1, false),
            (31, "digest", "u:p", 1, false),
            (31, "nosuch", "10.1.2.3", 1, false),
            (17, "world", "anyone", 1 | 16, true),
        ] {
            let acl = vec![Acl { perms, id: id(scheme, who) }];
            assert_eq!(permits(&rules(), &acl, wanted, &me), expected, "{scheme} {who} {perms}");
        }
        assert!(permits(&rules(), &[], 31, &me), "an empty list grants everything");
    }

    #[test]
    fn who_is_super_or_in_nobodys_way_may_do_everything() {
        let closed = [Acl { perms: 31, id: id("digest", "u:x") }];
        assert!(!permits(&rules(), &closed, 1, &[id("ip", "10.0.0.1")]));
        assert!(permits(&rules(), &closed, 1, &[id("ip", "10.0.0.1"), id("super", "")]));
        let open = AccessRules { skip_acl: true, ..rules() };
        assert!(permits(&open, &closed, 1, &[]));
    }

    /// Whoever had got in by it is kept out by a list that names it.
    #[test]
    fn a_scheme_that_is_switched_off_is_like_one_that_is_not_known() {
        let off = AccessRules { digest_enabled: false, ..rules() };
        let me = [id("digest", "u:x")];
        assert!(permits(&rules(), &[Acl { perms: 1, id: me[0].clone() }], 1, &me));
        assert!(!permits(&off, &[Acl { perms: 1, id: me[0].clone() }], 1, &me));
        assert_eq!(authenticate(&off, "digest", b"u:p", &id("ip", "10.0.0.1")), []);
        assert!(!may_be_listed(&off, &me[0]));
        assert_eq!(proven(&off, &me).count(), 0);
    }

    #[test]
    fn unknown_schemes_prove_nothing() {
        for scheme in ["", "world", "auth", "super", "sasl", "x509", "ensemble", "nosuch"] {
            assert_eq!(authenticate(&rules(), scheme, b"u:p", &id("ip", "::1")), [], "{scheme}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let ids = [id("ip", "10.0.0.1"), id("digest", "u:hash"), id("super", "")];
        let want = [id("ip", "10.0.0.1"), id("digest", "u"), id("super", "")];
        assert_eq!(shown(&rules(), &ids), want);
    }

    #[test]
    fn enforced_schemes_are_asked_of_everybody() {
        let strict = AccessRules { enforced_schemes: vec!["digest".into()], ..rules() };
        let address = id("ip", "10.0.0.1");
        assert!(is_let_in(&rules(), &[]));
        assert!(!is_let_in(&strict, core::slice::from_ref(&address)));
        assert!(is_let_in(&strict, &[address, id("digest", "u:x")]));
    }
}

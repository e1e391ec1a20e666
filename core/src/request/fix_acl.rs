//! Which ACLs may be stored, and as what. Facts: PROTOCOL 2.2. Apache: `PrepRequestProcessor.fixupACL`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::acl::{Acl, Id};
use crate::config::AccessRules;
use crate::request::auth::{may_be_listed, proven};
use crate::wire::code::Code;

/// The list as it is logged: duplicates dropped, first occurrence kept. In the place of the scheme
/// `auth` stand those of the client's `ids` that it has proven; without one it is refused.
pub(super) fn fix_acl(
    rules: &AccessRules,
    wanted: Option<&[Acl]>,
    ids: &[Id],
) -> Result<Vec<Acl>, Code> {
    let mut fixed = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in wanted.unwrap_or_default() {
        if !seen.insert(entry) {
            continue;
        }
        if entry.id.scheme == "auth" {
            let before = fixed.len();
            let own = proven(rules, ids).cloned();
            fixed.extend(own.map(|id| Acl { perms: entry.perms, id }));
            if fixed.len() == before {
                return Err(Code::InvalidAcl);
            }
        } else if may_be_listed(rules, &entry.id) {
            fixed.push(entry.clone());
        } else {
            return Err(Code::InvalidAcl);
        }
    }
    if fixed.is_empty() { Err(Code::InvalidAcl) } else { Ok(fixed) }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{Acl, Code, Id};
    use crate::config::AccessRules;

    fn entry(scheme: &str, id: &str) -> Acl {
        Acl { perms: 31, id: Id { scheme: scheme.into(), id: id.into() } }
    }

    fn fix_acl(wanted: Option<&[Acl]>, ids: &[Id]) -> Result<Vec<Acl>, Code> {
        super::fix_acl(&AccessRules::default(), wanted, ids)
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
            ("digest", "user", false),
            ("ip", "10.0.0.0/8", true),
            ("ip", "10.0.0", false),
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

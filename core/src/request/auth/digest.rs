//! The scheme `digest`. Apache: `DigestAuthenticationProvider`.
//!
//! Such an identity proves nothing by itself: whoever names a user and a password *is* that pair, and an
//! access list names the pairs that it lets in.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;

use super::{Provider, SUPER};
use crate::acl::Id;
use crate::config::AccessRules;

pub(super) struct Digest;

impl Provider for Digest {
    /// Who is the super user is that beside the pair.
    fn authenticate(&self, rules: &AccessRules, proof: &[u8], _: &Id) -> Vec<Id> {
        let id = of(proof);
        let is_super = rules.super_digest.as_ref() == Some(&id);
        let mut ids = vec![Id { scheme: "digest".into(), id }];
        if is_super {
            ids.push(Id { scheme: SUPER.into(), id: String::new() });
        }
        ids
    }

    fn proves(&self) -> bool {
        true
    }

    /// Exactly two parts by the count of Java's `split`, which drops empty parts at the end.
    fn may_be_listed(&self, id: &str) -> bool {
        id.trim_end_matches(':').split(':').count() == 2
    }

    fn covers(&self, listed: &str, id: &str) -> bool {
        listed == id
    }

    fn user<'a>(&self, id: &'a str) -> &'a str {
        id.split(':').next().unwrap_or_default()
    }
}

/// `user:base64(SHA1("user:password"))`. Without a colon all of it is the user.
fn of(proof: &[u8]) -> String {
    let text = String::from_utf8_lossy(proof);
    let user = text.split(':').next().unwrap_or_default();
    let hash = STANDARD.encode(<Sha1 as sha1::Digest>::digest(text.as_bytes()));
    format!("{user}:{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_apache() {
        // From its documentation (super:test), its own `generateDigest`, and without a colon.
        for (proof, expected) in [
            ("super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("u:p", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
            ("a:b:c", "a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0="),
            ("nobody", "nobody:Nl7BemdfMnO8FsdHYa2D8s8HxZo="),
        ] {
            assert_eq!(of(proof.as_bytes()), expected);
        }
    }

    #[test]
    fn the_super_user_is_who_has_its_digest() {
        let super_digest = Some(String::from("super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        let rules = AccessRules { super_digest, ..AccessRules::default() };
        let here = Id { scheme: "ip".into(), id: "10.0.0.1".into() };
        let schemes = |proof: &[u8]| -> Vec<String> {
            let ids = Digest.authenticate(&rules, proof, &here);
            ids.into_iter().map(|id| id.scheme).collect()
        };
        assert_eq!(schemes(b"super:test"), ["digest", "super"]);
        assert_eq!(schemes(b"super:guess"), ["digest"]);
    }

    #[test]
    fn a_list_names_a_user_and_a_hash() {
        for (id, good) in [
            ("user:hash", true),
            (":hash", true),
            ("user:hash:", true),
            ("user:", false),
            ("user", false),
            ("", false),
            ("a:b:c", false),
        ] {
            assert_eq!(Digest.may_be_listed(id), good, "{id}");
        }
    }
}

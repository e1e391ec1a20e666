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
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

use super::{Provider, SUPER};
use crate::acl::Id;
use crate::config::{AccessRules, DigestAlg};

pub(super) struct Digest;

impl Provider for Digest {
    /// Who is the super user is that beside the pair.
    fn authenticate(&self, rules: &AccessRules, proof: &[u8], _: &Id) -> Vec<Id> {
        let id = of(proof, rules.digest_alg);
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

/// `user:base64(hash("user:password"))`. Without a colon all of it is the user.
fn of(proof: &[u8], alg: DigestAlg) -> String {
    let text = String::from_utf8_lossy(proof);
    let user = text.split(':').next().unwrap_or_default();
    let hash = match alg {
        DigestAlg::Sha1 => encoded::<Sha1>(&text),
        DigestAlg::Sha224 => encoded::<Sha224>(&text),
        DigestAlg::Sha256 => encoded::<Sha256>(&text),
        DigestAlg::Sha384 => encoded::<Sha384>(&text),
        DigestAlg::Sha512 => encoded::<Sha512>(&text),
        DigestAlg::Sha3x224 => encoded::<Sha3_224>(&text),
        DigestAlg::Sha3x256 => encoded::<Sha3_256>(&text),
        DigestAlg::Sha3x384 => encoded::<Sha3_384>(&text),
        DigestAlg::Sha3x512 => encoded::<Sha3_512>(&text),
    };
    format!("{user}:{hash}")
}

fn encoded<H: sha1::Digest>(text: &str) -> String {
    STANDARD.encode(H::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: [(&str, &str); 8] = [
        ("SHA-224", "opwh3FU/0WUpM+8JAOS98bsQFC+823kv438mIg=="),
        ("SHA-256", "wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="),
        ("SHA-384", "FA/2SgoedA21NnGcUl5C1HBsMwuibAPXlAq/FqXTuUQPExUJgxpf8gWeD4eOupjP"),
        (
            "sha-512",
            "cMAGk13FCMtJkaVQImGEKhjqoGELCiVjYdIhiD8stB1FnIpdGeFvKwAHh5mf4tUYmBR2ZY9181dZTXEHMlkVhg==",
        ),
        ("SHA3-224", "774X6Nz1d3BUO6raVFndfjoMF6e1LHrnHVv5IA=="),
        ("SHA3-256", "cRy/KPYuDpW/dtsepniTMpuiuupnWgdU9txltIfv3hA="),
        ("SHA3-384", "a3efqz9Fj+qRHgJMpOPAzqpMP86/aPKowwZfSsm/gM+qBf87ZmeQYtueLs53P8Rw"),
        (
            "SHA3-512",
            "AdTSPtJYC1bEo1Z0UG5z1VXkw2AEUReEjF0RV0jap6VKcDva8ZPEO/WxrOy888alfiJyM5cm5BKhrI4X/YFcTg==",
        ),
    ];

    #[test]
    fn digests_are_those_of_apache() {
        // From its documentation (super:test), its own `generateDigest`, and without a colon.
        for (proof, expected) in [
            ("super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("u:p", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
            ("a:b:c", "a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0="),
            ("nobody", "nobody:Nl7BemdfMnO8FsdHYa2D8s8HxZo="),
        ] {
            assert_eq!(of(proof.as_bytes(), DigestAlg::Sha1), expected);
        }
    }

    /// SHA-256 and SHA3-256 as in Apache's `AuthSHA2Test` and `AuthSHA3Test`; all by Python's hashlib.
    #[test]
    fn other_algorithms_are_those_of_java() {
        for (name, expected) in EXPECTED {
            let alg = DigestAlg::named(name).unwrap();
            assert_eq!(of(b"super:test", alg), format!("super:{expected}"), "{name}");
        }
        assert_eq!(DigestAlg::named("sha-1"), Some(DigestAlg::Sha1));
        assert_eq!(DigestAlg::named("MD5"), None);
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

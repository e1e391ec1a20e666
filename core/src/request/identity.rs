//! Who a client is, by what it presents (PROTOCOL 2.2). Apache: `DigestAuthenticationProvider`,
//! `IPAuthenticationProvider`.
//!
//! A digest identity proves nothing by itself: whoever names a user and a password *is* that pair,
//! and an access list names the pairs that it lets in.

use alloc::format;
use alloc::string::String;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::acl::Id;

/// The identity behind an `auth` packet. `None`: a scheme that this server does not know.
///
/// `address` is what the connection is known by without any proof.
pub fn authenticate(scheme: &str, proof: &[u8], address: &Id) -> Option<Id> {
    match scheme {
        "digest" => Some(digest(proof)),
        "ip" => Some(address.clone()),
        _ => None,
    }
}

/// Whether a write of such a client may put this identity in the place of the scheme `auth`.
pub(super) fn is_authenticated(id: &Id) -> bool {
    id.scheme == "digest"
}

/// `user:base64(SHA1("user:password"))`. Without a colon all of it is the user.
fn digest(proof: &[u8]) -> Id {
    let text = String::from_utf8_lossy(proof);
    let user = text.split(':').next().unwrap_or_default();
    let hash = STANDARD.encode(Sha1::digest(text.as_bytes()));
    Id { scheme: "digest".into(), id: format!("{user}:{hash}") }
}

#[cfg(test)]
mod tests {
    use super::{authenticate, is_authenticated};
    use crate::acl::Id;

    #[test]
    fn digests_are_those_of_apache() {
        let here = Id { scheme: "ip".into(), id: "10.0.0.1".into() };
        // From its documentation (super:test), its own `generateDigest`, and without a colon.
        for (proof, expected) in [
            ("super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("u:p", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
            ("a:b:c", "a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0="),
            ("nobody", "nobody:Nl7BemdfMnO8FsdHYa2D8s8HxZo="),
        ] {
            let id = authenticate("digest", proof.as_bytes(), &here).expect("a known scheme");
            assert_eq!((id.scheme.as_str(), id.id.as_str()), ("digest", expected));
            assert!(is_authenticated(&id));
        }
        assert_eq!(authenticate("ip", b"", &here), Some(here.clone()));
        assert!(!is_authenticated(&here), "an address cannot stand for `auth`");
        for scheme in ["", "world", "super", "sasl", "x509", "nosuch"] {
            assert_eq!(authenticate(scheme, b"u:p", &here), None, "{scheme}");
        }
    }
}

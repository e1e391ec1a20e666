//! Who a client is, and what an access list lets it do. Facts: PROTOCOL 2.2.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};
use vivarium_core::config::DigestAlg;

use crate::history::{AccessList, AclEntry};

pub const READ: i32 = 1;
pub const WRITE: i32 = 2;
pub const CREATE: i32 = 4;
pub const DELETE: i32 = 8;
pub const ADMIN: i32 = 16;
pub const ALL: i32 = 31;

/// KeeperException.Code.
pub const NO_AUTH: i32 = -102;
pub const INVALID_ACL: i32 = -114;
pub const AUTH_FAILED: i32 = -115;

/// Scheme and id.
pub type Identity = (String, String);

/// What the configuration says about what clients may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// No list is looked at.
    pub skip_acl: bool,
    /// What passwords are hashed with.
    pub digest_alg: DigestAlg,
    /// `user:hash` of who may do everything.
    pub super_digest: Option<String>,
    pub members: Members,
    /// Hard limits refuse.
    pub enforce_quota: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            skip_acl: false,
            digest_alg: DigestAlg::Sha1,
            super_digest: None,
            members: Members::default(),
            enforce_quota: false,
        }
    }
}

/// How a client that asks for other members is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Members {
    /// It is switched off.
    #[default]
    Fixed,
    /// A server alone has none.
    Alone,
    /// Version of the configuration in force.
    Of { version: i64 },
}

/// Everybody may do everything.
pub fn open() -> AccessList {
    static OPEN: LazyLock<AccessList> =
        LazyLock::new(|| Arc::new([(ALL, "world".into(), "anyone".into())]));
    Arc::clone(&OPEN)
}

/// What a connection from there is known by.
pub fn of_address(ip: &str) -> Identity {
    ("ip".into(), ip.into())
}

/// `user:base64(hash of "user:password")`.
pub fn digest(alg: DigestAlg, proof: &str) -> String {
    fn hash<H: Digest>(proof: &str) -> String {
        STANDARD.encode(H::digest(proof.as_bytes()))
    }
    let hash = match alg {
        DigestAlg::Sha1 => hash::<Sha1>,
        DigestAlg::Sha224 => hash::<Sha224>,
        DigestAlg::Sha256 => hash::<Sha256>,
        DigestAlg::Sha384 => hash::<Sha384>,
        DigestAlg::Sha512 => hash::<Sha512>,
        DigestAlg::Sha3x224 => hash::<Sha3_224>,
        DigestAlg::Sha3x256 => hash::<Sha3_256>,
        DigestAlg::Sha3x384 => hash::<Sha3_384>,
        DigestAlg::Sha3x512 => hash::<Sha3_512>,
    };
    let user = proof.split(':').next().unwrap_or_default();
    format!("{user}:{}", hash(proof))
}

/// The identities that stand behind a proof; `None`: it is refused, and the connection ends.
pub fn proven(rules: &Rules, scheme: &str, proof: &str) -> Option<Vec<Identity>> {
    match scheme {
        // The address is what it is, and known already.
        "ip" => Some(Vec::new()),
        "digest" => {
            let id = digest(rules.digest_alg, proof);
            let is_super = rules.super_digest.as_ref() == Some(&id);
            let mut ids = vec![("digest".into(), id)];
            if is_super {
                ids.push(("super".into(), String::new()));
            }
            Some(ids)
        }
        _ => None,
    }
}

/// Whether one of these permissions is granted to one of these identities.
pub fn permits(rules: &Rules, acl: Option<&[AclEntry]>, perms: i32, ids: &[Identity]) -> bool {
    let acl = acl.unwrap_or_default();
    if rules.skip_acl || acl.is_empty() || ids.iter().any(|(scheme, _)| scheme == "super") {
        return true;
    }
    acl.iter().any(|(granted, scheme, who)| {
        granted & perms != 0
            && match scheme.as_str() {
                "world" => who == "anyone",
                "digest" => ids.iter().any(|(scheme, id)| scheme == "digest" && id == who),
                "ip" => ids.iter().any(|(scheme, id)| scheme == "ip" && is_within(id, who)),
                _ => false,
            }
    })
}

/// The list that is kept where a client asks for this one, or why it is refused.
pub fn kept(asked: &AccessList, ids: &[Identity]) -> Result<AccessList, i32> {
    // Nearly all of them.
    if matches!(&asked[..], [(_, scheme, who)] if scheme == "world" && who == "anyone") {
        return Ok(Arc::clone(asked));
    }
    let mut kept: Vec<AclEntry> = Vec::new();
    for (place, entry) in asked.iter().enumerate() {
        if asked[..place].contains(entry) {
            continue;
        }
        let (perms, scheme, who) = entry;
        match scheme.as_str() {
            "auth" => {
                let own = ids.iter().filter(|(scheme, _)| scheme == "digest");
                let before = kept.len();
                kept.extend(own.map(|(scheme, id)| (*perms, scheme.clone(), id.clone())));
                if kept.len() == before {
                    return Err(INVALID_ACL);
                }
            }
            "world" if who == "anyone" => kept.push(entry.clone()),
            "digest" if is_digest(who) => kept.push(entry.clone()),
            "ip" if network(who).is_some() => kept.push(entry.clone()),
            _ => return Err(INVALID_ACL),
        }
    }
    if kept.is_empty() { Err(INVALID_ACL) } else { Ok(kept.into()) }
}

/// The list as it is shown to these identities, or that it is not.
pub fn shown(
    rules: &Rules,
    acl: Option<&[AclEntry]>,
    ids: &[Identity],
) -> Result<Vec<AclEntry>, i32> {
    if !permits(rules, acl, READ | ADMIN, ids) {
        return Err(NO_AUTH);
    }
    let whole = permits(rules, acl, ADMIN, ids);
    let entries = acl.unwrap_or_default().iter();
    Ok(entries
        .map(|(perms, scheme, who)| match who.split_once(':') {
            Some((user, _)) if scheme == "digest" && !whole => {
                (*perms, scheme.clone(), format!("{user}:x"))
            }
            _ => (*perms, scheme.clone(), who.clone()),
        })
        .collect())
}

/// What a client that asks who it is is told, in byte order: nothing secret.
pub fn told(ids: &[Identity]) -> Vec<Identity> {
    let user = |(scheme, id): &Identity| {
        let user = if scheme == "digest" { id.split(':').next().unwrap_or_default() } else { id };
        (scheme.clone(), user.to_owned())
    };
    let mut told: Vec<Identity> = ids.iter().map(user).collect();
    told.sort_unstable();
    told
}

/// Two parts, of which the second is not empty.
fn is_digest(who: &str) -> bool {
    who.split_once(':').is_some_and(|(_, hash)| !hash.is_empty() && !hash.contains(':'))
}

/// Addresses that begin alike.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
    let base: IpAddr = base.parse().ok()?;
    let most = if base.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
    Some((base, bits))
}

fn is_within(address: &str, who: &str) -> bool {
    let (Ok(address), Some((base, bits))) = (address.parse(), network(who)) else { return false };
    // As many bits from the front, each in its own place.
    let front = |address: IpAddr| match address {
        IpAddr::V4(four) => (4, u128::from(four.to_bits()).checked_shr(32 - bits.min(32))),
        IpAddr::V6(six) => (6, six.to_bits().checked_shr(128 - bits)),
    };
    let (one, other) = (front(address), front(base));
    one.0 == other.0 && one.1.unwrap_or(0) == other.1.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(perms: i32, scheme: &str, who: &str) -> AclEntry {
        (perms, scheme.into(), who.into())
    }

    fn sha1(proof: &str) -> String {
        digest(DigestAlg::Sha1, proof)
    }

    fn me() -> Vec<Identity> {
        let mut ids = vec![of_address("10.0.1.2")];
        ids.extend(proven(&Rules::default(), "digest", "u:p").unwrap());
        ids
    }

    #[test]
    fn a_digest_is_what_apache_says_it_is() {
        assert_eq!(digest(DigestAlg::Sha1, "super:test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
        let rules = Rules { super_digest: Some(sha1("super:test")), ..Rules::default() };
        assert_eq!(proven(&rules, "digest", "super:test").unwrap().len(), 2);
        assert_eq!(proven(&rules, "digest", "super:guess").unwrap().len(), 1);
        assert_eq!(proven(&rules, "nosuch", "u:p"), None);
    }

    #[test]
    fn a_list_grants_to_who_it_names() {
        for (scheme, who, expected) in [
            ("world", "anyone", true),
            ("world", "someone", false),
            ("ip", "10.0.1.2", true),
            ("ip", "10.0.1.3", false),
            ("ip", "10.0.1.0/30", true),
            ("ip", "10.0.1.4/30", false),
            ("ip", "0.0.0.0/0", true),
            ("digest", &sha1("u:p"), true),
            ("digest", &sha1("u:q"), false),
            ("auth", "", false),
        ] {
            let acl = [entry(READ | WRITE, scheme, who)];
            let rules = Rules::default();
            assert_eq!(permits(&rules, Some(&acl), WRITE, &me()), expected, "{scheme} {who}");
            assert!(!permits(&rules, Some(&acl), DELETE, &me()), "{scheme} {who}");
            let skip = Rules { skip_acl: true, ..Rules::default() };
            assert!(permits(&skip, Some(&acl), DELETE, &me()));
        }
    }

    /// As openssl has it.
    #[test]
    fn a_digest_is_made_with_what_the_configuration_names() {
        let rules = Rules { digest_alg: DigestAlg::Sha256, ..Rules::default() };
        let own = proven(&rules, "digest", "u:p").unwrap();
        assert_eq!(own, [("digest".to_owned(), digest(DigestAlg::Sha256, "u:p"))]);
        assert_ne!(own[0].1, sha1("u:p"));
        for alg in DigestAlg::ALL {
            assert_eq!(digest(alg, "u:p") == sha1("u:p"), alg == DigestAlg::Sha1, "{alg:?}");
        }
    }

    #[test]
    fn addresses_of_both_versions_are_within_their_networks_alone() {
        for (address, who, expected) in [
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("fd00:0:0:0:0:0:1:2", "fd00::1:2", true),
            ("fd00:0:0:0:0:0:1:2", "fd00::/64", true),
            ("fd00:0:0:0:0:0:1:2", "fd00::1:0/112", true),
            ("fd00:0:0:0:0:0:1:2", "fd00::2:0/112", false),
            ("fd00:0:0:0:0:0:1:2", "::/0", true),
            ("fd00:0:0:0:0:0:1:2", "0.0.0.0/0", false),
            ("10.0.1.2", "::/0", false),
            ("10.0.1.2", "10.0.1.2/32", true),
        ] {
            assert_eq!(is_within(address, who), expected, "{address} {who}");
        }
        assert!(network("::1/129").is_none() && network("10.0.0.1/33").is_none());
    }

    #[test]
    fn a_list_is_kept_without_doubles_and_with_who_asks() {
        let anyone = entry(READ, "world", "anyone");
        let asked = [anyone.clone(), entry(ALL, "auth", ""), anyone.clone()].into();
        let own = entry(ALL, "digest", &sha1("u:p"));
        assert_eq!(kept(&asked, &me()).as_deref(), Ok(&[anyone, own][..]));
        assert_eq!(kept(&asked, &me()[..1]), Err(INVALID_ACL));
        assert_eq!(kept(&[].into(), &me()), Err(INVALID_ACL));
        for (scheme, who) in [("world", "me"), ("digest", "u"), ("ip", "10.0.1"), ("nosuch", "")] {
            assert_eq!(
                kept(&[entry(ALL, scheme, who)].into(), &me()),
                Err(INVALID_ACL),
                "{scheme}"
            );
        }
    }

    #[test]
    fn secrets_are_for_those_who_administer() {
        let acl = [entry(READ, "world", "anyone"), entry(ADMIN, "digest", &sha1("u:p"))];
        let rules = Rules::default();
        assert_eq!(shown(&rules, Some(&acl), &me()).as_deref(), Ok(&acl[..]));
        let hidden = shown(&rules, Some(&acl), &me()[..1]).unwrap();
        assert_eq!(hidden[1], entry(ADMIN, "digest", "u:x"));
        assert_eq!(shown(&rules, Some(&acl[1..]), &me()[..1]), Err(NO_AUTH));
        assert_eq!(told(&me()), [("digest".into(), "u".into()), of_address("10.0.1.2")]);
    }
}

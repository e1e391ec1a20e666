//! Who a client is, and what an access list lets it do. Facts: PROTOCOL 2.2.

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// No list is looked at.
    pub skip_acl: bool,
    /// `user:hash` of who may do everything.
    pub super_digest: Option<String>,
    pub members: Members,
    /// Hard limits refuse.
    pub enforce_quota: bool,
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

/// `user:base64(SHA-1 of "user:password")`.
pub fn digest(proof: &str) -> String {
    let user = proof.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(Sha1::digest(proof.as_bytes())))
}

/// The identities that stand behind a proof; `None`: it is refused, and the connection ends.
pub fn proven(rules: &Rules, scheme: &str, proof: &str) -> Option<Vec<Identity>> {
    match scheme {
        // The address is what it is, and known already.
        "ip" => Some(Vec::new()),
        "digest" => {
            let id = digest(proof);
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

/// The addresses between two, both of them included.
fn network(text: &str) -> Option<(u32, u32)> {
    let (base, bits) = match text.split_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok().filter(|bits| *bits <= 32)?),
        None => (text, 32),
    };
    let base = u32::from(base.parse::<Ipv4Addr>().ok()?);
    let hosts = (1_u64 << (32 - bits)) - 1;
    let low = base & !(hosts as u32);
    Some((low, low | hosts as u32))
}

fn is_within(address: &str, who: &str) -> bool {
    let Ok(address) = address.parse::<Ipv4Addr>() else { return false };
    network(who).is_some_and(|(low, high)| (low..=high).contains(&u32::from(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(perms: i32, scheme: &str, who: &str) -> AclEntry {
        (perms, scheme.into(), who.into())
    }

    fn me() -> Vec<Identity> {
        let mut ids = vec![of_address("10.0.1.2")];
        ids.extend(proven(&Rules::default(), "digest", "u:p").unwrap());
        ids
    }

    #[test]
    fn a_digest_is_what_apache_says_it_is() {
        assert_eq!(digest("super:test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
        let rules = Rules { super_digest: Some(digest("super:test")), ..Rules::default() };
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
            ("digest", &digest("u:p"), true),
            ("digest", &digest("u:q"), false),
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

    #[test]
    fn a_list_is_kept_without_doubles_and_with_who_asks() {
        let anyone = entry(READ, "world", "anyone");
        let asked = [anyone.clone(), entry(ALL, "auth", ""), anyone.clone()].into();
        let own = entry(ALL, "digest", &digest("u:p"));
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
        let acl = [entry(READ, "world", "anyone"), entry(ADMIN, "digest", &digest("u:p"))];
        let rules = Rules::default();
        assert_eq!(shown(&rules, Some(&acl), &me()).as_deref(), Ok(&acl[..]));
        let hidden = shown(&rules, Some(&acl), &me()[..1]).unwrap();
        assert_eq!(hidden[1], entry(ADMIN, "digest", "u:x"));
        assert_eq!(shown(&rules, Some(&acl[1..]), &me()[..1]), Err(NO_AUTH));
        assert_eq!(told(&me()), [("digest".into(), "u".into()), of_address("10.0.1.2")]);
    }
}

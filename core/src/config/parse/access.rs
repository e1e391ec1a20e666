//! Keys about who gets in. Apache: `AuthenticationHelper`, `DigestAuthenticationProvider`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{AccessRules, Config, DigestAlg};

use super::keys::Keys;

/// Those that a client can have an identity of here.
const SCHEMES: [&str; 2] = ["digest", "ip"];

pub(super) fn access(keys: &mut Keys, config: &mut Config) {
    let rules = &mut config.access;
    if let Some(on) = keys.flag("skipACL") {
        rules.skip_acl = on;
    }
    if let Some(on) = keys.flag("DigestAuthenticationProvider.enabled") {
        rules.digest_enabled = on;
    }
    digest_alg(keys, rules);
    if let Some(entry) = keys.take("DigestAuthenticationProvider.superDigest") {
        rules.super_digest = Some(entry.value).filter(|digest| !digest.is_empty());
    }
    if let Some(on) = keys.flag("reconfigEnabled") {
        config.reconfig_enabled = on;
    }
    let enforced = keys.flag("enforce.auth.enabled") == Some(true);
    let schemes = keys.take("enforce.auth.schemes");
    let text = schemes.map_or_else(String::new, |entry| entry.value);
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let named: Vec<String> = words.map(String::from).collect();
    if !enforced {
        return;
    }
    if named.is_empty() {
        let what = "is on, but enforce.auth.schemes names no scheme";
        let help = "add a line 'enforce.auth.schemes=digest'";
        keys.error(&keys.at("enforce.auth.enabled"), "enforce.auth.enabled", what, help);
    }
    for scheme in &named {
        let offered = SCHEMES.contains(&scheme.as_str());
        if !offered || (scheme == "digest" && !config.access.digest_enabled) {
            let what = format!("'{scheme}' is no scheme that is offered here");
            let key = "enforce.auth.schemes";
            keys.error(&keys.at(key), key, what, "name digest or ip");
        }
    }
    config.access.enforced_schemes = named;
}

/// An unknown one is an error: with another, nobody would be let in.
fn digest_alg(keys: &mut Keys, rules: &mut AccessRules) {
    let key = "DigestAuthenticationProvider.digestAlg";
    let Some(entry) = keys.take(key) else { return };
    match DigestAlg::named(entry.value.trim()) {
        Some(alg) => rules.digest_alg = alg,
        None => {
            let what = format!("'{}' is no algorithm that is known here", entry.value);
            let names = DigestAlg::ALL.map(DigestAlg::name).join(", ");
            keys.error(&entry.at, key, what, format!("name one of {names}"));
        }
    }
}

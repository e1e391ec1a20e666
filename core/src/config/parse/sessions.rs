//! Keys about sessions and about servers without a quorum. Apache: `QuorumPeer`.

use alloc::string::String;

use crate::config::{Config, Words};

use super::keys::Keys;

pub(super) fn sessions(keys: &mut Keys, config: &mut Config) {
    for (key, slot) in [
        ("localSessionsEnabled", &mut config.local_sessions),
        ("localSessionsUpgradingEnabled", &mut config.local_sessions_upgrading),
        ("readonlymode.enabled", &mut config.read_only_mode),
    ] {
        if let Some(on) = keys.flag(key) {
            *slot = on;
        }
    }
    if config.local_sessions_upgrading && !config.local_sessions {
        let key = "localSessionsUpgradingEnabled";
        let what = "has no effect while localSessionsEnabled is false";
        keys.warn(&keys.at(key), key, what, "add a line 'localSessionsEnabled=true'");
    }
    if config.read_only_mode && !config.local_sessions {
        let key = "readonlymode.enabled";
        let what = "lets nobody in while localSessionsEnabled is false: \
                    a server without a quorum has no session to give";
        keys.warn(&keys.at(key), key, what, "add a line 'localSessionsEnabled=true'");
    }
    // Clients ask with this word whether a server has its quorum again.
    if config.read_only_mode
        && let Words::Some(words) = &mut config.four_letter_words
        && !words.iter().any(|word| word == "isro")
    {
        words.push(String::from("isro"));
    }
}

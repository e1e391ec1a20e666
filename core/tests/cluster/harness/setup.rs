//! Configurations with every limit small, so that short runs reach all of them.

use std::collections::BTreeMap;

use vivarium_core::config::{
    Address, Config, EnsembleConfig, FirstStart, Member, MemberRole, Words,
};
use vivarium_core::ids::ServerId;
use vivarium_core::time::Span;

pub fn ensemble(voters: u64, observers: u64) -> EnsembleConfig {
    let member = |id: u64| Member {
        quorum: Address { host: format!("s{id}"), port: 2888 },
        election: Address { host: format!("s{id}"), port: 3888 },
        role: if id > voters { MemberRole::Observer } else { MemberRole::Participant },
        client: None,
    };
    EnsembleConfig {
        members: (1..=voters + observers).map(|id| (ServerId(id), member(id))).collect(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    }
}

pub fn config(me: u64, ensemble: Option<EnsembleConfig>) -> Config {
    let mut config = Config::with_defaults(ServerId(me), ensemble, [me as u8; 32]);
    config.tick = Span::from_ms(200);
    config.init_limit_ticks = 10;
    config.sync_limit_ticks = 5;
    config.min_session_timeout_ms = 400;
    config.max_session_timeout_ms = 20_000;
    config.snap_count = 1000;
    config.commit_log_count = 50;
    config.pre_alloc_bytes = 4096;
    config.append_batch_bytes = 2048;
    config.first_start = FirstStart::AskAll;
    config.link_high_water_bytes = 16 << 10;
    config.link_limit_bytes = 1 << 20;
    config.cnx_timeout = Span::from_ms(500);
    config.min_notification = Span::from_ms(50);
    config.max_notification = Span::from_ms(500);
    config.finalize_wait = Span::from_ms(40);
    config.four_letter_words = Words::All;
    config.full_digest = true;
    config
}

//! Who this server is and with whom it forms an ensemble.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use crate::config::member::parse_role;
use crate::config::{Address, EnsembleConfig, MemberRole};
use crate::ids::ServerId;

use super::keys::Keys;

pub(super) struct Membership {
    /// `None`: standalone.
    pub(super) me: Option<ServerId>,
    pub(super) ensemble: Option<EnsembleConfig>,
    pub(super) client: Option<Address>,
}

/// Ids above this share a high byte in session ids.
const MOST_SESSIONS_ID: u64 = 255;

pub(super) fn read(
    keys: &mut Keys,
    myid: Option<&str>,
    client: Option<(Option<u32>, Address)>,
) -> Membership {
    let standalone_enabled = keys.flag("standaloneEnabled").unwrap_or(true);
    let role = peer_type(keys);
    let mut lines = BTreeMap::new();
    let ensemble = ensemble(keys, standalone_enabled, &mut lines);
    let Some(ensemble) = ensemble else {
        return Membership { me: None, ensemble: None, client: client.map(|(_, address)| address) };
    };
    let me = own_id(keys, &ensemble, myid);
    let mut membership = Membership { me, ensemble: None, client: None };
    if let Some(own) = me.and_then(|me| ensemble.members.get(&me)) {
        let line = me.and_then(|me| lines.get(&me).copied());
        if let Some(given) = role.filter(|given| *given != own.role) {
            let what = format!("says {given:?}, the server list says {:?}, which counts", own.role);
            keys.warn(line, "peerType", what, "make both say the same");
        }
        membership.client = client_of(keys, line, own.client.clone(), client);
    }
    membership.ensemble = Some(ensemble);
    membership
}

fn peer_type(keys: &mut Keys) -> Option<MemberRole> {
    let entry = keys.take("peerType")?;
    match parse_role(&entry.value) {
        Ok(role) => Some(role),
        Err(what) => {
            keys.error(Some(entry.line), "peerType", what, "write one of the two");
            None
        }
    }
}

/// `None`: standalone, or errors that were recorded.
fn ensemble(
    keys: &mut Keys,
    standalone_enabled: bool,
    lines: &mut BTreeMap<ServerId, u32>,
) -> Option<EnsembleConfig> {
    let mut config = EnsembleConfig {
        members: BTreeMap::new(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    };
    let errors = keys.errors.len();
    let mut lines_of = BTreeMap::new();
    for entry in keys.take_families(&["server.", "group.", "weight."]) {
        lines_of.insert(entry.key.clone(), entry.line);
        match config.take(&entry) {
            Ok(taken) if taken.more_addresses => {
                let what = "several addresses are given, only the first is used";
                keys.warn(Some(entry.line), &entry.key, what, "remove those behind '|'");
            }
            Ok(_) => {}
            Err(what) => {
                let help = "write 'server.1=host:2888:3888', 'group.1=1:2:3' or 'weight.1=1'";
                keys.error(Some(entry.line), &entry.key, what, help);
            }
        }
    }
    refuse_dynamic_file(keys, &config);
    if config.members.is_empty() || keys.errors.len() > errors {
        return None;
    }
    for id in config.members.keys() {
        lines.extend(lines_of.get(&format!("server.{id}")).map(|&line| (*id, line)));
    }
    if let Err((key, what)) = config.check() {
        let line = lines_of.get(&key).copied();
        keys.error(line, &key, what, "every voter must be listed once, and one group may hold it");
        return None;
    }
    if config.members.len() == 1 && standalone_enabled {
        let line = lines_of.values().next().copied();
        let what = "only one server is listed, so this one runs standalone";
        let help = "list the others, or set standaloneEnabled=false for an ensemble of one";
        keys.warn(line, "server.N", what, help);
        return None;
    }
    advise(keys, &config, lines, standalone_enabled);
    Some(config)
}

/// A file that names its servers elsewhere must not start as a standalone server.
fn refuse_dynamic_file(keys: &mut Keys, config: &EnsembleConfig) {
    let Some(entry) = keys.take("dynamicConfigFile") else { return };
    let what = format!("'{}' is not read", entry.value);
    let help = "copy its server lines into this file";
    if config.members.is_empty() {
        keys.error(Some(entry.line), &entry.key, what, help);
    } else {
        keys.warn(Some(entry.line), &entry.key, what, help);
    }
}

fn advise(
    keys: &mut Keys,
    config: &EnsembleConfig,
    lines: &BTreeMap<ServerId, u32>,
    standalone_enabled: bool,
) {
    let voters = config.members.values().filter(|m| m.role == MemberRole::Participant).count();
    if voters == 1 && standalone_enabled {
        let what = "there is only one voter beside observers";
        let help = "make one of them a participant, or set standaloneEnabled=false";
        keys.error(None, "server.N", what, help);
    } else if voters % 2 == 0 && config.groups.is_empty() {
        let what = format!("{voters} voters survive no more failures than {}", voters - 1);
        keys.warn(None, "server.N", what, "use an odd number of participants");
    }
    if let Some((id, &line)) = lines.iter().find(|(id, _)| id.0 > MOST_SESSIONS_ID) {
        let what = "session ids of this server may meet those of another";
        keys.warn(Some(line), &format!("server.{id}"), what, "use numbers from 1 to 255");
    }
    if let Some(id) = config.weights.keys().find(|id| !config.members.contains_key(id)) {
        let key = format!("weight.{id}");
        keys.warn(None, &key, format!("there is no server.{id}"), "remove the line");
    } else if config.groups.is_empty() && !config.weights.is_empty() {
        let what = "weights have no effect without groups";
        keys.warn(None, "weight.N", what, "add group lines, or remove the weights");
    }
}

fn own_id(keys: &mut Keys, ensemble: &EnsembleConfig, myid: Option<&str>) -> Option<ServerId> {
    let listed = || {
        let mut text = String::new();
        for id in ensemble.members.keys() {
            text.push_str(&format!("{}{id}", if text.is_empty() { "" } else { ", " }));
        }
        text
    };
    let Some(text) = myid else {
        let what = "the file is missing from dataDir";
        let help = format!("write this server's number into it, one of {}", listed());
        keys.error(None, "myid", what, help);
        return None;
    };
    let id = text.trim().parse().ok().map(ServerId);
    let Some(id) = id.filter(|id| ensemble.members.contains_key(id)) else {
        let short: String = text.trim().chars().take(40).collect();
        let what = format!("'{short}' is not among the servers of this file, {}", listed());
        let help = format!("correct dataDir/myid, or add a line 'server.{short}=host:2888:3888'");
        keys.error(None, "myid", what, help);
        return None;
    };
    Some(id)
}

/// The own `server.N` line and `clientPort` must not contradict each other.
fn client_of(
    keys: &mut Keys,
    line: Option<u32>,
    own: Option<Address>,
    given: Option<(Option<u32>, Address)>,
) -> Option<Address> {
    match (own, given) {
        (Some(own), Some((at, given))) => {
            let any = given.host == "0.0.0.0" || given.host == "::";
            if own.port != given.port || (!any && own.host != given.host) {
                let what = format!("{given} differs from {own} in the server line of this server");
                keys.error(at.or(line), "clientPort", what, "remove one of the two");
            }
            Some(own)
        }
        (Some(own), None) => Some(own),
        (None, Some((_, given))) => Some(given),
        (None, None) => None,
    }
}

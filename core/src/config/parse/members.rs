//! Who this server is and with whom it forms an ensemble.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use crate::config::findings::{Origin, Severity};
use crate::config::given::{Document, Given, Setting, settings, version_in_name};
use crate::config::member::parse_role;
use crate::config::{Address, EnsembleConfig, MemberRole};
use crate::ids::ServerId;

use super::keys::Keys;

pub(super) struct Membership {
    /// `None`: standalone.
    pub(super) me: Option<ServerId>,
    /// To be written into `myid`, which does not exist.
    pub(super) new_myid: Option<ServerId>,
    pub(super) ensemble: Option<EnsembleConfig>,
    pub(super) client: Option<Address>,
    pub(super) standalone_enabled: bool,
}

/// Ids above this share a high byte in session ids.
const MOST_SESSIONS_ID: u64 = 255;
const FAMILIES: &[&str] = &["server.", "group.", "weight."];

pub(super) fn read(
    keys: &mut Keys,
    given: &Given,
    client: Option<(Origin, Address)>,
) -> Membership {
    let standalone_enabled = keys.flag("standaloneEnabled").unwrap_or(true);
    let role = peer_type(keys);
    read_dynamic_file(keys, given);
    let mut membership =
        Membership { me: None, new_myid: None, ensemble: None, client: None, standalone_enabled };
    let Some(config) = ensemble(keys) else {
        membership.client = client.map(|(_, address)| address);
        return membership;
    };
    if config.members.len() == 1 && standalone_enabled {
        membership.client = alone(keys, &config, client);
        return membership;
    }
    advise(keys, &config, standalone_enabled);
    let me = own_id(keys, &config, given);
    membership.me = me;
    membership.new_myid = me.filter(|_| given.myid.is_none());
    if let Some((me, own)) = me.and_then(|me| Some((me, config.members.get(&me)?))) {
        let at = keys.at(&format!("server.{me}"));
        if let Some((given_at, given)) = role.filter(|(_, given)| *given != own.role) {
            let what = format!("says {given:?}, {at} says {:?}, which counts", own.role);
            keys.warn(&given_at, "peerType", what, "make both say the same");
        }
        membership.client = client_of(keys, &at, own.client.clone(), client);
    }
    membership.ensemble = Some(config);
    membership
}

fn peer_type(keys: &mut Keys) -> Option<(Origin, MemberRole)> {
    let setting = keys.take("peerType")?;
    match parse_role(&setting.value) {
        Ok(role) => Some((setting.at, role)),
        Err(what) => {
            keys.error(&setting.at, "peerType", what, "write one of the two");
            None
        }
    }
}

/// Apache: `QuorumPeerConfig.parse`. The version stands in the name of the file; one inside, as in
/// files that were copied out of `/zookeeper/config`, is read too.
fn read_dynamic_file(keys: &mut Keys, given: &Given) {
    let Some(named) = keys.take("dynamicConfigFile").filter(|named| !named.value.is_empty()) else {
        return;
    };
    let doubled = keys.take_families(FAMILIES);
    for Setting { at, key, .. } in doubled {
        let what =
            format!("stands beside dynamicConfigFile, and may stand in {} only", named.value);
        keys.error(&at, &key, what, "move it there");
    }
    let Document { name, text } = match &given.dynamic {
        Some(Ok(document)) => document,
        Some(Err(why)) => {
            let what = format!("'{}' cannot be read: {why}", named.value);
            keys.error(&named.at, "dynamicConfigFile", what, "name the file with the server lines");
            return;
        }
        None => {
            let what = format!("'{}' was not read", named.value);
            keys.error(&named.at, "dynamicConfigFile", what, "name the file with the server lines");
            return;
        }
    };
    let mut version = version_in_name(name);
    for setting in settings(name, text) {
        if setting.key == "version" {
            version = Some(setting.value);
        } else if FAMILIES.iter().any(|family| setting.key.starts_with(family)) {
            keys.add(setting);
        } else {
            let what = "does not belong into the file of the servers and has no effect";
            keys.warn(&setting.at, &setting.key, what, format!("move it to {}", given.file));
        }
    }
    if let Some(value) = version {
        let at = Origin::File(name.clone());
        keys.add(Setting { at, key: VERSION.into(), value });
    }
}

/// The version of the configuration, as a setting that no file can hold.
const VERSION: &str = "dynamicConfigFile version";

/// `None`: no servers are listed, or errors that were recorded.
fn ensemble(keys: &mut Keys) -> Option<EnsembleConfig> {
    let mut config = EnsembleConfig {
        members: BTreeMap::new(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    };
    let errors = keys.errors();
    if let Some(Setting { at, value, .. }) = keys.take(VERSION) {
        match u64::from_str_radix(&value, 16) {
            Ok(version) => config.version = version,
            Err(_) => {
                let what = format!("'{value}' is not hexadecimal");
                keys.error(
                    &at,
                    "version",
                    what,
                    "write it as the leader's /zookeeper/config has it",
                );
            }
        }
    }
    for Setting { at, key, value } in keys.take_families(FAMILIES) {
        match config.take(&key, &value) {
            Ok(taken) if taken.more_addresses => {
                let what = "several addresses are given, only the first is used";
                keys.warn(&at, &key, what, "remove those behind '|'");
            }
            Ok(_) => {}
            Err(what) => {
                let help = "write 'server.1=host:2888:3888', 'group.1=1:2:3' or 'weight.1=1'";
                keys.error(&at, &key, what, help);
            }
        }
    }
    if config.members.is_empty() || keys.errors() > errors {
        return None;
    }
    if let Err((key, what)) = config.check() {
        let at = keys.at(&key);
        keys.error(&at, &key, what, "every voter must be listed once, and one group may hold it");
        return None;
    }
    Some(config)
}

/// One server in the list: ZooKeeper takes its client port from there, and else ignores the line.
fn alone(
    keys: &mut Keys,
    config: &EnsembleConfig,
    client: Option<(Origin, Address)>,
) -> Option<Address> {
    let (id, member) = config.members.iter().next()?;
    let (key, at) = (format!("server.{id}"), keys.at(&format!("server.{id}")));
    let what = "is the only server that is listed, so this one runs standalone";
    let help = "list the others, or set standaloneEnabled=false for an ensemble of one";
    let severity = if at == Origin::Default { Severity::Info } else { Severity::Warning };
    keys.note(severity, at.clone(), &key, what, help);
    client_of(keys, &at, member.client.clone(), client)
}

fn advise(keys: &mut Keys, config: &EnsembleConfig, standalone_enabled: bool) {
    let voters = config.members.values().filter(|m| m.role == MemberRole::Participant).count();
    let servers = config.members.keys().next().map(|id| keys.at(&format!("server.{id}")));
    let file = match servers {
        Some(Origin::Line { file, .. }) => Origin::File(file),
        Some(other) => other,
        None => Origin::Default,
    };
    if voters == 1 && standalone_enabled {
        let what = "there is only one voter beside observers";
        let help = "make one of them a participant, or set standaloneEnabled=false";
        keys.error(&file, "server.N", what, help);
    } else if voters % 2 == 0 && config.groups.is_empty() {
        let what = format!("{voters} voters survive no more failures than {}", voters - 1);
        keys.warn(&file, "server.N", what, "use an odd number of participants");
    }
    if let Some(id) = config.members.keys().find(|id| id.0 > MOST_SESSIONS_ID) {
        let key = format!("server.{id}");
        let what = "session ids of this server may meet those of another";
        keys.warn(&keys.at(&key), &key, what, "use numbers from 1 to 255");
    }
    if let Some(id) = config.weights.keys().find(|id| !config.members.contains_key(id)) {
        let key = format!("weight.{id}");
        keys.warn(&keys.at(&key), &key, format!("there is no server.{id}"), "remove the line");
    } else if let Some(id) = config.weights.keys().next().filter(|_| config.groups.is_empty()) {
        let key = format!("weight.{id}");
        let what = "weights have no effect without groups";
        keys.warn(&keys.at(&key), &key, what, "add group lines, or remove the weights");
    }
}

fn own_id(keys: &mut Keys, ensemble: &EnsembleConfig, given: &Given) -> Option<ServerId> {
    let mut listed = String::new();
    for id in ensemble.members.keys() {
        listed.push_str(&format!("{}{id}", if listed.is_empty() { "" } else { ", " }));
    }
    let file = format!("{}/myid", given.data_dir().unwrap_or_default());
    let variable = given.my_id_variable();
    let (text, at) = match (&given.myid, &variable) {
        (Some(myid), _) => (myid.text.as_str(), Origin::File(file.clone())),
        (None, Some((id, at))) => (*id, at.clone()),
        (None, None) => {
            let help = format!("write this server's number into it, one of {listed}");
            keys.error(&Origin::File(file), "myid", "is missing", help);
            return None;
        }
    };
    let short: String = text.trim().chars().take(40).collect();
    let id = text.trim().parse().ok().map(ServerId);
    let Some(id) = id.filter(|id| ensemble.members.contains_key(id)) else {
        let what = format!("'{short}' is not among the servers that are listed, {listed}");
        let help =
            format!("write the number of this server, or add 'server.{short}=host:2888:3888'");
        keys.error(&at, "myid", what, help);
        return None;
    };
    match variable {
        Some((other, at)) if given.myid.is_some() && at != Origin::Default && other != short => {
            let what = format!("'{other}' has no effect: {file} holds {short}, which counts");
            keys.warn(&at, "myid", what, "correct one of the two");
        }
        Some(_) | None => {}
    }
    Some(id)
}

/// The own `server.N` line and `clientPort` must not contradict each other.
fn client_of(
    keys: &mut Keys,
    line: &Origin,
    own: Option<Address>,
    given: Option<(Origin, Address)>,
) -> Option<Address> {
    match (own, given) {
        (Some(own), Some((at, given))) => {
            let any = given.host == "0.0.0.0" || given.host == "::";
            if own.port != given.port || (!any && own.host != given.host) {
                let what = format!("{given} differs from {own} in the server line of this server");
                keys.error(&at, "clientPort", what, "remove one of the two");
            }
            Some(own)
        }
        (Some(own), None) => {
            keys.origins.insert("clientPort".into(), line.clone());
            keys.origins.insert("clientPortAddress".into(), line.clone());
            Some(own)
        }
        (None, Some((_, given))) => Some(given),
        (None, None) => None,
    }
}

//! What one client remembers of the tree, to ask for what may be there.

use std::collections::{BTreeMap, VecDeque};

use crate::history::{Call, Life, Reply, SubReply};

#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Newest last.
    seen: VecDeque<String>,
    versions: BTreeMap<String, i32>,
    /// Ephemeral nodes that its session has made, newest last.
    own: VecDeque<String>,
}

const REMEMBERED: usize = 24;

impl Memory {
    /// One of the paths that were seen.
    pub(super) fn pick(&self, per_mille: u16) -> Option<&str> {
        let at = self.seen.len() * usize::from(per_mille) / 1000;
        self.seen.get(at).map(String::as_str)
    }

    /// The newest ephemeral node of its own.
    pub(super) fn own(&self) -> Option<&str> {
        self.own.back().map(String::as_str)
    }

    /// Its session is over, and its nodes with it.
    pub fn forget_own(&mut self) {
        self.own.clear();
    }

    /// The version last seen.
    pub(super) fn version(&self, path: &str) -> Option<i32> {
        self.versions.get(path).copied()
    }

    pub fn learn(&mut self, call: &Call, reply: &Reply) {
        let asked = match call {
            Call::GetData { path, .. }
            | Call::Exists { path, .. }
            | Call::SetData { path, .. }
            | Call::GetChildren { path, .. } => Some(path.as_str()),
            Call::Create(_)
            | Call::Delete { .. }
            | Call::Multi(_)
            | Call::MultiRead(_)
            | Call::GetEphemerals { .. }
            | Call::CountAll { .. }
            | Call::GetAcl { .. }
            | Call::SetAcl { .. }
            | Call::AddAuth { .. }
            | Call::WhoAmI
            | Call::Reconfig { .. }
            | Call::Sync { .. }
            | Call::Watch(_)
            | Call::CloseSession
            | Call::UnknownOp { .. }
            | Call::Malformed { .. } => None,
        };
        match (call, reply) {
            (Call::Create(create), Reply::Path(path) | Reply::PathStat(path, _))
                if create.life == Life::Ephemeral =>
            {
                self.own.push_back(path.clone());
                if self.own.len() > REMEMBERED {
                    self.own.pop_front();
                }
            }
            (Call::Delete { path, .. }, Reply::Empty) => self.own.retain(|own| own != path),
            _ => {}
        }
        match reply {
            Reply::Path(path) => self.saw(path, 0),
            Reply::PathStat(path, stat) => self.saw(path, stat.version),
            Reply::Stat(stat) | Reply::Data(_, stat) => {
                if let Some(path) = asked {
                    self.saw(path, stat.version);
                }
            }
            Reply::Children(children) | Reply::ChildrenStat(children, _) => {
                let parent = asked.filter(|path| *path != "/");
                if let (Some(parent), Some(last)) = (parent, children.iter().next()) {
                    self.saw(&format!("{parent}/{last}"), 0);
                }
            }
            Reply::Multi(subs) => {
                for sub in subs {
                    if let SubReply::Path(path) | SubReply::PathStat(path, _) = sub {
                        self.saw(path, 0);
                    }
                }
            }
            Reply::Empty
            | Reply::MultiRead(_)
            | Reply::Count(_)
            | Reply::Acl(..)
            | Reply::Clients(_) => {}
        }
    }

    fn saw(&mut self, path: &str, version: i32) {
        if path.starts_with("/zookeeper") || path == "/" {
            return;
        }
        if !self.versions.contains_key(path) {
            self.seen.push_back(path.into());
        }
        self.versions.insert(path.into(), version);
        if self.seen.len() > REMEMBERED
            && let Some(oldest) = self.seen.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }
}

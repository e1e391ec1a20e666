//! A data folder in memory, and the start of a server on it.

use std::collections::BTreeMap;

use bytes::Bytes;
use vivarium_core::config::{
    Address, Config, EnsembleConfig, FirstStart, Member, MemberRole, Words,
};
use vivarium_core::ids::{ReadId, ServerId};
use vivarium_core::server::Server;
use vivarium_core::server::action::{Action, DiskAction, FatalReason};
use vivarium_core::server::input::{FileEntry, ReadData};
use vivarium_core::server::{Recovery, RecoveryInput, RecoveryStep};
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::time::{Mono, Span, Stamp, Wall};

/// A start takes no more operations than this: files are a few kilobytes here.
const MOST_OPERATIONS: usize = 10_000;

/// All files of one server. What is written is there at once: power cuts are the simulator's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) files: BTreeMap<FileName, Vec<u8>>,
}

impl Folder {
    /// Carries out one operation; reads are answered with their id.
    pub(crate) fn run(&mut self, action: DiskAction) -> Option<(ReadId, ReadData)> {
        match action {
            DiskAction::Read { read, file, offset, len } => {
                return Some((read, self.read(&file, offset as usize, len as usize)));
            }
            DiskAction::List { read, dir } => {
                return Some((read, ReadData::Listing(self.list(dir))));
            }
            DiskAction::Write { file, offset, bytes, .. } => {
                let (start, end) = (offset as usize, offset as usize + bytes.len());
                let content = self.files.entry(file).or_default();
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(&bytes);
            }
            DiskAction::SetLen { file, len, .. } => {
                self.files.entry(file).or_default().resize(len as usize, 0);
            }
            DiskAction::Rename { from, to, .. } => {
                let content = self.files.remove(&from).expect("only files that exist are renamed");
                self.files.insert(to, content);
            }
            DiskAction::Remove { file, .. } => {
                self.files.remove(&file);
            }
            DiskAction::SyncFile { file, .. } => {
                assert!(self.files.contains_key(&file), "{file} is synced and was never written");
            }
            DiskAction::SyncDir { .. } => {}
        }
        None
    }

    fn read(&self, file: &FileName, offset: usize, len: usize) -> ReadData {
        let Some(content) = self.files.get(file) else { return ReadData::Missing };
        let start = offset.min(content.len());
        let end = offset.saturating_add(len).min(content.len());
        ReadData::Bytes(Bytes::copy_from_slice(&content[start..end]))
    }

    fn list(&self, dir: Dir) -> Vec<FileEntry> {
        let here = self.files.iter().filter(|(file, _)| file.dir == dir);
        here.map(|(file, content)| FileEntry { name: file.name.clone(), len: content.len() as u64 })
            .collect()
    }

    /// Starts a server; the actions are those that it starts with.
    pub(crate) fn start(
        &mut self,
        config: &Config,
        at: Stamp,
    ) -> Result<(Box<Server>, Vec<Action>), FatalReason> {
        let mut recovery = Recovery::start(config.clone(), at);
        let mut got = RecoveryInput::Begin;
        for _ in 0..MOST_OPERATIONS {
            got = match recovery.next(got) {
                RecoveryStep::Disk(action) => match self.run(action) {
                    Some((_, read)) => RecoveryInput::Read(read),
                    None => RecoveryInput::Done,
                },
                RecoveryStep::Progress(_) => RecoveryInput::Done,
                RecoveryStep::Done(server, mut out) => {
                    return Ok((server, out.drain().collect()));
                }
                RecoveryStep::Refused(reason) => return Err(reason),
            };
        }
        panic!("a start on {} files goes on and on", self.files.len());
    }
}

/// A moment after the start of a host.
pub(crate) fn stamp(ms: u64) -> Stamp {
    const BOOTED_MS: i64 = 1_700_000_000_000;
    Stamp { mono: Mono::default() + Span::from_ms(ms), wall: Wall(BOOTED_MS + ms as i64) }
}

/// Server 1, alone or of an ensemble, with every limit small.
pub(crate) fn config(ensemble: Option<EnsembleConfig>) -> Config {
    let mut config = Config::with_defaults(ServerId(1), ensemble, [1; 32]);
    config.tick = Span::from_ms(200);
    config.min_session_timeout_ms = 400;
    config.max_session_timeout_ms = 20_000;
    config.jute_max_buffer = 4096;
    config.snap_count = 20;
    config.commit_log_count = 10;
    config.pre_alloc_bytes = 1024;
    config.append_batch_bytes = 1024;
    config.first_start = FirstStart::AutoCreate;
    config.link_high_water_bytes = 4 << 10;
    config.link_limit_bytes = 64 << 10;
    config.four_letter_words = Words::All;
    config.full_digest = true;
    config
}

/// Three servers, of which `observers` only look on.
pub(crate) fn ensemble(observers: u64) -> EnsembleConfig {
    let member = |id: u64| Member {
        quorum: Address { host: format!("s{id}"), port: 2888 },
        election: Address { host: format!("s{id}"), port: 3888 },
        role: if id <= observers { MemberRole::Observer } else { MemberRole::Participant },
        client: None,
    };
    EnsembleConfig {
        members: (1..=3).map(|id| (ServerId(id), member(id))).collect(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    }
}

//! Configurations, transactions and folders that the tests share.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use vivarium_core::acl::Acl;
use vivarium_core::config::{Address, Config, EnsembleConfig, Member, MemberRole};
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};
use vivarium_core::server::action::{Action, DiskAction, FatalReason};
use vivarium_core::server::input::Queue;
use vivarium_core::server::{Outbox, RecoveryInput};
use vivarium_core::storage::files::Dir;
use vivarium_core::storage::files::FileName;
use vivarium_core::storage::recovery::{Recovered, Recovering, Step};
use vivarium_core::time::Wall;
use vivarium_core::tree::Database;
use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};

use crate::disk::Disk;

pub(crate) fn alone() -> Config {
    let mut config = Config::with_defaults(ServerId(1), None, [7; 32]);
    config.full_digest = true;
    config
}

pub(crate) fn of_three() -> Config {
    let address = |port| Address { host: "localhost".into(), port };
    let member = |id: u16| Member {
        quorum: address(2000 + id),
        election: address(3000 + id),
        role: MemberRole::Participant,
        client: None,
    };
    let ensemble = EnsembleConfig {
        members: (1..=3).map(|id| (ServerId(id), member(id as u16))).collect(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    };
    Config { ensemble: Some(ensemble), ..alone() }
}

/// Small limits, so that a few transactions fill files and batches.
pub(crate) fn small(config: Config) -> Config {
    Config { append_batch_bytes: 300, pre_alloc_bytes: 5000, commit_log_count: 4, ..config }
}

/// The transaction that every test logs at this zxid: a node with data of some length.
pub(crate) fn txn(zxid: Zxid) -> LoggedTxn {
    let len = [3, 90, 10, 700, 40][zxid.counter() as usize % 5];
    LoggedTxn {
        header: TxnHeader { session: SessionId(9), cxid: 1, zxid, time: Wall(1_000) },
        txn: Txn::Create(CreateTxn {
            path: format!("/n{:x}", zxid.0),
            data: Some(Bytes::from(vec![zxid.counter() as u8 | 1; len])),
            acl: Some(Acl::open()),
            ephemeral: false,
            parent_cversion: None,
        }),
        digest: None,
    }
}

pub(crate) fn payload(zxid: Zxid) -> Bytes {
    let mut out = BytesMut::new();
    txn(zxid).encode(&mut out);
    out.freeze()
}

/// The tree after these transactions, in their own order.
pub(crate) fn tree_of(zxids: &[Zxid]) -> Database {
    let mut database = Database::new(true);
    for zxid in zxids {
        database.apply(&txn(*zxid), &mut Vec::new());
    }
    database
}

pub(crate) fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

pub(crate) fn run_of(epoch: u32, counters: std::ops::RangeInclusive<u32>) -> Vec<Zxid> {
    counters.map(|counter| zxid(epoch, counter)).collect()
}

/// Disk operations of an outbox, in order.
pub(crate) fn drained(out: &mut Outbox) -> Vec<DiskAction> {
    out.drain()
        .filter_map(|action| match action {
            Action::Disk(action) => Some(action),
            Action::Link(_) | Action::Admin { .. } | Action::Note(_) | Action::Halt(_) => None,
        })
        .collect()
}

/// Recovers; `each` sees the disk before every operation.
pub(crate) fn recover_watched(
    config: &Config,
    disk: &mut Disk,
    mut each: impl FnMut(&Disk, &DiskAction),
) -> Result<Recovered, FatalReason> {
    let mut recovering = Recovering::start(config.clone());
    let mut input = RecoveryInput::Begin;
    loop {
        input = match recovering.next(input) {
            Step::Disk(action) => {
                each(disk, &action);
                disk.run(&action).map_or(RecoveryInput::Done, RecoveryInput::Read)
            }
            Step::Progress(_) => RecoveryInput::Done,
            Step::Done(recovered) => return Ok(*recovered),
            Step::Refused(reason) => return Err(reason),
        };
    }
}

pub(crate) fn recover(config: &Config, disk: &mut Disk) -> Result<Recovered, FatalReason> {
    recover_watched(config, disk, |_, _| {})
}

pub(crate) fn data(name: &str) -> FileName {
    FileName::new(Dir::Data, name)
}

/// Whether an operation belongs to a queue, and its id.
pub(crate) fn op_of(action: &DiskAction) -> Option<(Queue, vivarium_core::ids::OpId)> {
    vivarium_core::storage::ops::op_of(action)
}

//! What may never be proposed, at a server alone that was started on an empty folder.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::acl::Acl;
use crate::config::Config;
use crate::ids::ServerId;
use crate::server::action::{Action, DiskAction};
use crate::server::input::{Input, ReadData};
use crate::server::{Recovery, RecoveryInput, RecoveryStep};
use crate::time::Stamp;
use crate::wire::client::{Create, CreateForm, WriteOp};

const ME: SessionId = SessionId(0x0100_0000_0000_0001);

pub(in crate::server) fn serving(config: Config) -> Box<Server> {
    let mut recovery = Recovery::start(config, Stamp::default());
    let mut input = RecoveryInput::Begin;
    let mut server = loop {
        input = match recovery.next(input) {
            RecoveryStep::Disk(DiskAction::Read { .. }) => RecoveryInput::Read(ReadData::Missing),
            RecoveryStep::Disk(DiskAction::List { .. }) => {
                RecoveryInput::Read(ReadData::Listing(Vec::new()))
            }
            RecoveryStep::Disk(_) | RecoveryStep::Progress(_) => RecoveryInput::Done,
            RecoveryStep::Done(server, mut out) => {
                out.drain().for_each(drop);
                break server;
            }
            RecoveryStep::Refused(reason) => panic!("{reason:?}"),
        };
    };
    let mut out = Outbox::new();
    server.step(Stamp::default(), Input::Wake, &mut out);
    out.drain().for_each(drop);
    server
}

/// Proposes, and returns the transactions that went out.
fn proposed(server: &mut Server, change: Change) -> Vec<LoggedTxn> {
    let mut out = Outbox::new();
    let request =
        WriteRequest { session: ME, standing: Standing::Global, cxid: 7, change, ids: [].into() };
    assert!(server.propose(request, Owner::Local, &mut out));
    let payloads = out.drain().filter_map(|action| match action {
        Action::Note(Note::Proposed { payload, .. }) => Some(payload),
        Action::Note(_)
        | Action::Link(_)
        | Action::Disk(_)
        | Action::Admin { .. }
        | Action::Halt(_) => None,
    });
    payloads.map(|payload| LoggedTxn::decode(payload).unwrap()).collect()
}

fn create(path: &str, len: usize) -> WriteOp {
    WriteOp::Create(Create {
        path: path.into(),
        data: Some(Bytes::from(vec![1; len])),
        acl: Some(Acl::open()),
        flags: 0,
        form: CreateForm::Plain,
    })
}

#[test]
fn what_no_peer_would_take_is_refused_and_leaves_nothing_behind() {
    let mut config = Config::with_defaults(ServerId(1), None, [0; 32]);
    config.jute_max_buffer = 10_000;
    let mut server = serving(config);
    proposed(&mut server, Change::CreateSession { timeout_ms: 9000 });

    let ops = vec![create("/a", 15_000), create("/b", 5000)];
    let refused = proposed(&mut server, Change::Multi(ops));
    let code = Code::MarshallingError.to_wire();
    assert_eq!(refused.len(), 1);
    assert_eq!((&refused[0].txn, refused[0].header.cxid), (&Txn::Error { code }, 7));

    let zxid = refused[0].header.zxid;
    let next = proposed(&mut server, Change::Write(create("/a", 15_000)));
    assert!(matches!(next[0].txn, Txn::Create(_)), "neither /a nor /b is pending: {next:?}");
    assert_eq!(Some(next[0].header.zxid), zxid.next(), "no zxid is used twice");
}

//! Preparation against logs of Apache ZooKeeper 3.9.5: a request for each logged change must
//! become the transaction that Apache logged for it, digest included.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use vivarium_core::config::Config;
use vivarium_core::ids::ServerId;
use vivarium_core::request::change::{Change, Standing, WriteRequest};
use vivarium_core::request::prepare::Preparer;
use vivarium_core::tree::Database;
use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn};
use vivarium_core::wire::client::{Create, CreateForm, WriteOp};
use vivarium_core::wire::jute::Reader;

const STANDALONE: &[u8] = include_bytes!("golden/zookeeper-3.9.5/standalone/version-2/log.1");
const ENSEMBLE: &[u8] = include_bytes!("golden/zookeeper-3.9.5/ensemble-1/version-2/log.100000001");
/// Magic, version, dbid.
const HEADER: usize = 16;

fn records(log: &'static [u8]) -> Vec<(Bytes, LoggedTxn)> {
    let mut reader = Reader::new(Bytes::from_static(&log[HEADER..]));
    let mut found = Vec::new();
    while reader.remaining() > 0 {
        let _crc = reader.i64().unwrap();
        let payload = reader.buffer().unwrap().unwrap();
        if payload.is_empty() {
            break;
        }
        assert_eq!(reader.u8().unwrap(), 0x42);
        found.push((payload.clone(), LoggedTxn::decode(payload).unwrap()));
    }
    found
}

/// A request that asks for what was logged; a sequence number is part of the path by now.
fn create(txn: &CreateTxn, form: CreateForm) -> WriteOp {
    let CreateTxn { path, data, acl, ephemeral, .. } = txn.clone();
    WriteOp::Create(Create { path, data, acl, flags: i32::from(ephemeral), form })
}

fn write(txn: &Txn) -> Option<WriteOp> {
    Some(match txn {
        Txn::Create(txn) => create(txn, CreateForm::Plain),
        Txn::Create2(txn) => create(txn, CreateForm::WithStat),
        Txn::Delete { path } => WriteOp::Delete { path: path.clone(), version: -1 },
        Txn::SetData { path, data, version } => {
            WriteOp::SetData { path: path.clone(), data: data.clone(), version: version - 1 }
        }
        Txn::Check { path, version } => WriteOp::Check { path: path.clone(), version: version - 1 },
        Txn::CreateContainer { path, data, acl, .. } => WriteOp::Create(Create {
            path: path.clone(),
            data: data.clone(),
            acl: acl.clone(),
            flags: 4,
            form: CreateForm::Container,
        }),
        Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::CreateTtl { .. }
        | Txn::DeleteContainer { .. }
        | Txn::Reconfig { .. }
        | Txn::SetAcl { .. }
        | Txn::Multi(_)
        | Txn::Error { .. } => return None,
    })
}

/// `None` where no request of today leads there.
fn change(txn: &Txn) -> Option<Change> {
    match txn {
        Txn::CreateSession { timeout_ms } => {
            Some(Change::CreateSession { timeout_ms: *timeout_ms })
        }
        Txn::CloseSession { .. } => Some(Change::CloseSession),
        Txn::SetAcl { path, acl, version } => {
            Some(Change::SetAcl { path: path.clone(), acl: acl.clone(), version: version - 1 })
        }
        Txn::Multi(parts) => parts.iter().map(write).collect::<Option<Vec<_>>>().map(Change::Multi),
        // A container alone is asked for by an opcode that is not served yet.
        Txn::CreateContainer { .. } => None,
        Txn::Create(_)
        | Txn::Create2(_)
        | Txn::CreateTtl { .. }
        | Txn::Delete { .. }
        | Txn::DeleteContainer { .. }
        | Txn::SetData { .. }
        | Txn::Reconfig { .. }
        | Txn::Check { .. }
        | Txn::Error { .. } => write(txn).map(Change::Write),
    }
}

/// Prepares with up to `lag` proposals in flight; returns how many transactions were compared.
fn replay(log: &'static [u8], lag: usize) -> usize {
    let mut db = Database::new(true);
    let mut preparer = Preparer::new(&Config::with_defaults(ServerId(1), None, [0; 32]));
    let mut in_flight = VecDeque::new();
    let mut compared = 0;
    for (payload, logged) in records(log) {
        let header = logged.header;
        let change = change(&logged.txn);
        let mut allowed = 0;
        if let Some(change) = change {
            let (session, cxid, ids) = (header.session, header.cxid, [].into());
            let request = WriteRequest { session, standing: Standing::Global, cxid, ids, change };
            let prepared = preparer.prepare(&db, &request, header.zxid, header.time);
            assert_eq!(prepared, logged);
            let mut bytes = BytesMut::new();
            prepared.encode(&mut bytes);
            assert_eq!(bytes, payload);
            compared += 1;
            allowed = lag;
        }
        // What was not prepared here leaves no record, so nothing stays in flight around it.
        in_flight.push_back(logged);
        while in_flight.len() > allowed {
            let applied = in_flight.pop_front().unwrap();
            db.apply(&applied, &mut Vec::new());
            preparer.applied(applied.header.zxid);
        }
    }
    compared
}

#[test]
fn requests_become_what_apache_logged() {
    for lag in [0, 1, 7, 1000] {
        assert_eq!((replay(STANDALONE, lag), replay(ENSEMBLE, lag)), (96, 6), "lag {lag}");
    }
}

//! Tests of the client plane as a client sees it.

mod asking;
mod connecting;
mod golden;
mod identity;
mod ordering;
mod pressure;
mod random;
mod rewatching;
mod rig;
mod watching;
mod words;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::acl::Acl;
use crate::wire::client::{Create, CreateForm, Op, ReadOp, WriteOp};

fn create(path: &str) -> Op {
    Op::Write(WriteOp::Create(Create {
        path: path.into(),
        data: Some(Bytes::from_static(b"x")),
        acl: Some(Acl::open()),
        flags: 0,
        form: CreateForm::Plain,
    }))
}

fn set(path: &str, data: Vec<u8>) -> Op {
    Op::Write(WriteOp::SetData { path: path.into(), data: Some(data.into()), version: -1 })
}

fn delete(path: &str) -> Op {
    Op::Write(WriteOp::Delete { path: path.into(), version: -1 })
}

fn get(path: &str, watch: bool) -> Op {
    Op::Read(ReadOp::GetData { path: path.into(), watch })
}

fn exists(path: &str, watch: bool) -> Op {
    Op::Read(ReadOp::Exists { path: path.into(), watch })
}

fn children(path: &str, watch: bool) -> Op {
    Op::Read(ReadOp::GetChildren { path: path.into(), watch, with_stat: false })
}

fn sync() -> Op {
    Op::Sync { path: String::from("/") }
}

//! Stand-ins for what other rooms bring.
#![allow(unused)]
use crate::config::Config;
use crate::ids::*;
use crate::wire::client::*;
use crate::wire::code::Code;
use crate::wire::jute::JuteError;
use bytes::{Bytes, BytesMut};

pub(super) fn negotiate(timeout_ms: i32, config: &Config) -> i32 {
    todo!()
}
pub(super) fn password(session: SessionId) -> Password {
    todo!()
}
pub(super) fn verify(session: SessionId, claimed: &[u8]) -> bool {
    todo!()
}
pub(super) fn parse_body(op: i32, body: Bytes) -> Parsed {
    todo!()
}
pub(super) fn encode_reply(
    out: &mut BytesMut,
    xid: Xid,
    zxid: i64,
    reply: &Result<ReplyBody, Code>,
) {
    todo!()
}
pub(super) fn encode_event(out: &mut BytesMut, zxid: i64, kind: EventKind, path: &str) {
    todo!()
}
impl ConnectRequest {
    pub(super) fn decode(frame: Bytes) -> Result<Self, JuteError> {
        todo!()
    }
}
impl ConnectResponse {
    pub(super) fn encode(&self, out: &mut BytesMut) {
        todo!()
    }
}

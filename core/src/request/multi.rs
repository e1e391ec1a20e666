//! Multi: all or nothing under one zxid. Facts: PROTOCOL 2.6, 4.3.
//! Apache: `PrepRequestProcessor.pRequest`, case `multi`.

use alloc::vec::Vec;

use super::prepare::{Place, Preparation};
use crate::txn::Txn;
use crate::wire::client::WriteOp;
use crate::wire::code::Code;

impl Preparation<'_> {
    /// Each part sees the effects of those before it. Where one fails, its effects and theirs are
    /// taken back; parts before it are logged as they are, and replay treats the whole as failed.
    pub(super) fn multi(&mut self, ops: &[WriteOp]) -> Txn {
        let mut parts = Vec::with_capacity(ops.len());
        let mut failed = false;
        for op in ops {
            let part = if failed {
                Err(Code::RuntimeInconsistency)
            } else {
                self.write(op, Place::InMulti)
            };
            parts.push(part.unwrap_or_else(|code| {
                failed = true;
                Txn::Error { code: code.to_wire() }
            }));
        }
        if failed {
            self.pending.roll_back();
        }
        Txn::Multi(parts)
    }
}

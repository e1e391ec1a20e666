//! From what a transaction did to what its client is told (PROTOCOL 1.4).
//! Apache: `FinalRequestProcessor`.

use crate::ids::Zxid;
use crate::tree::TxnResult;
use crate::txn::Txn;
use crate::wire::client::{CreateForm, Op, ReplyBody, WriteOp};
use crate::wire::code::Code;

/// Which reply a replicated request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    Create,
    /// The reply carries the Stat too.
    CreateStat,
    Delete,
    SetData,
    SetAcl,
    Multi,
    /// Never done here; a leader of Apache's kind might.
    Reconfig,
    CloseSession,
}

impl WriteKind {
    /// `None` for requests that are not replicated.
    pub fn of(op: &Op) -> Option<Self> {
        match op {
            Op::Write(WriteOp::Create(create)) => Some(match create.form {
                CreateForm::Plain => Self::Create,
                CreateForm::WithStat | CreateForm::Container | CreateForm::Ttl { .. } => {
                    Self::CreateStat
                }
            }),
            Op::Write(WriteOp::Delete { .. }) => Some(Self::Delete),
            Op::Write(WriteOp::SetData { .. }) => Some(Self::SetData),
            Op::SetAcl { .. } => Some(Self::SetAcl),
            Op::Multi(_) => Some(Self::Multi),
            Op::Reconfig(_) => Some(Self::Reconfig),
            Op::CloseSession => Some(Self::CloseSession),
            Op::Write(WriteOp::Check { .. })
            | Op::Read(_)
            | Op::Watch(_)
            | Op::Sync { .. }
            | Op::Auth { .. }
            | Op::Sasl { .. }
            | Op::Ping => None,
        }
    }
}

impl WriteKind {
    /// Whether such a request can have become this transaction.
    pub fn fits(self, txn: &Txn) -> bool {
        match txn {
            Txn::Error { .. } => true,
            Txn::Create(_) => self == Self::Create,
            Txn::Create2(_) | Txn::CreateTtl { .. } | Txn::CreateContainer { .. } => {
                self == Self::CreateStat
            }
            Txn::Delete { .. } => self == Self::Delete,
            Txn::SetData { .. } => self == Self::SetData,
            Txn::SetAcl { .. } => self == Self::SetAcl,
            Txn::Multi(_) => self == Self::Multi,
            Txn::CloseSession { .. } => self == Self::CloseSession,
            Txn::Reconfig { .. } => self == Self::Reconfig,
            Txn::CreateSession { .. } | Txn::DeleteContainer { .. } | Txn::Check { .. } => false,
        }
    }
}

/// The answer to a write: its zxid, and the body or the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub zxid: Zxid,
    pub reply: Result<ReplyBody, Code>,
}

impl Outcome {
    /// `None` where the result is not one that such a request can have: the transaction belongs
    /// to another request, which a client numbered alike on another connection.
    pub fn new(kind: WriteKind, zxid: Zxid, result: &TxnResult) -> Option<Self> {
        let reply = match (kind, result) {
            (_, TxnResult::Failed(code)) => Err(*code),
            (WriteKind::Create, TxnResult::Created { path, .. }) => {
                Ok(ReplyBody::Path(path.clone()))
            }
            (WriteKind::CreateStat, TxnResult::Created { path, stat }) => {
                Ok(ReplyBody::PathStat { path: path.clone(), stat: *stat })
            }
            (WriteKind::Delete, TxnResult::Deleted)
            | (WriteKind::CloseSession, TxnResult::SessionClosed) => Ok(ReplyBody::Empty),
            (WriteKind::SetData, TxnResult::DataSet { stat })
            | (WriteKind::SetAcl, TxnResult::AclSet { stat }) => Ok(ReplyBody::Stat(*stat)),
            (WriteKind::Multi, TxnResult::Multi(results)) => Ok(ReplyBody::Multi(results.clone())),
            (
                _,
                TxnResult::SessionCreated { .. }
                | TxnResult::SessionClosed
                | TxnResult::Created { .. }
                | TxnResult::Deleted
                | TxnResult::DataSet { .. }
                | TxnResult::AclSet { .. }
                | TxnResult::Multi(_),
            ) => return None,
        };
        Some(Self { zxid, reply })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{Outcome, WriteKind};
    use crate::ids::Zxid;
    use crate::tree::TxnResult;
    use crate::wire::client::{ReplyBody, Stat};
    use crate::wire::code::Code;

    const KINDS: [WriteKind; 8] = [
        WriteKind::Create,
        WriteKind::CreateStat,
        WriteKind::Delete,
        WriteKind::SetData,
        WriteKind::SetAcl,
        WriteKind::Multi,
        WriteKind::Reconfig,
        WriteKind::CloseSession,
    ];

    #[test]
    fn a_result_answers_the_requests_that_can_have_it() {
        let stat = Stat::default();
        let path = "/a";
        for (result, answers) in [
            (TxnResult::SessionCreated { timeout_ms: 1 }, vec![]),
            (TxnResult::SessionClosed, vec![WriteKind::CloseSession]),
            (
                TxnResult::Created { path: path.into(), stat },
                vec![WriteKind::Create, WriteKind::CreateStat],
            ),
            (TxnResult::Deleted, vec![WriteKind::Delete]),
            (TxnResult::DataSet { stat }, vec![WriteKind::SetData]),
            (TxnResult::AclSet { stat }, vec![WriteKind::SetAcl]),
            (TxnResult::Multi(vec![]), vec![WriteKind::Multi]),
            (TxnResult::Failed(Code::NoNode), KINDS.to_vec()),
        ] {
            for kind in KINDS {
                let answered = Outcome::new(kind, Zxid(1), &result).is_some();
                assert_eq!(answered, answers.contains(&kind), "{kind:?} and {result:?}");
            }
        }
    }

    #[test]
    fn a_create_shows_its_stat_only_if_asked() {
        let stat = Stat { czxid: 7, ..Stat::default() };
        let created = TxnResult::Created { path: "/a".into(), stat };
        let reply = |kind| Outcome::new(kind, Zxid(7), &created).map(|outcome| outcome.reply);
        assert_eq!(reply(WriteKind::Create), Some(Ok(ReplyBody::Path("/a".into()))));
        assert_eq!(
            reply(WriteKind::CreateStat),
            Some(Ok(ReplyBody::PathStat { path: "/a".into(), stat }))
        );
    }
}

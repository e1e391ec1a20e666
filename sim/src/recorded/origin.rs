//! Which request made which transaction.
//!
//! The log names a request by its session and by the client's own number, which real clients use
//! again on the next connection. The zxid of a reply settles it; a request that was never answered is
//! found by what it asked for.

use std::collections::BTreeMap;

use vivarium_core::ids::{SessionId, Zxid};

use crate::history::{Call, SubCall};
use crate::observe::Violation;
use crate::oracle::txn::{CreateTxn, Txn};
use crate::recorded::log::Logged;
use crate::recorded::story::{BEYOND_MODEL, Story, is_beyond_model};

/// For each transaction the number of its request; 0 where none is known.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    pub numbers: Vec<i32>,
    /// Transactions that more than one unanswered request may have made.
    pub ambiguous: u64,
    /// Transactions of sessions that the recorder did not see opened.
    pub foreign: u64,
}

type Key = (SessionId, i32);

pub(crate) fn find(story: &mut Story, log: &[Logged]) -> Result<Origins, Violation> {
    let mut owners: Vec<Option<usize>> = vec![None; log.len()];
    let mut waiting: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    let mut answered: BTreeMap<Key, usize> = BTreeMap::new();
    for (place, request) in story.requests.iter().enumerate().filter(|(_, it)| it.writes) {
        let key = (request.id.session, request.raw);
        match request.answer {
            None => waiting.entry(key).or_default().push(place),
            Some((zxid, _)) => {
                answered.insert(key, place);
                let zxid = Zxid::from_wire(zxid).unwrap_or_default();
                if let Ok(at) = log.binary_search_by_key(&zxid, |logged| logged.zxid)
                    && (log[at].session, log[at].cxid) == key
                {
                    owners[at].get_or_insert(place);
                }
            }
        }
    }
    let mut origins = Origins::default();
    for (at, logged) in log.iter().enumerate() {
        if logged.cxid != 0 && owners[at].is_none() {
            owners[at] = unanswered(story, logged, &mut waiting, &answered, &mut origins)?;
        }
        origins.numbers.push(owners[at].map_or(0, |place| story.requests[place].id.xid));
    }
    leave_out(story, log, &owners);
    Ok(origins)
}

/// The request that made a transaction that no reply names.
fn unanswered(
    story: &Story,
    logged: &Logged,
    waiting: &mut BTreeMap<Key, Vec<usize>>,
    answered: &BTreeMap<Key, usize>,
    origins: &mut Origins,
) -> Result<Option<usize>, Violation> {
    let key = (logged.session, logged.cxid);
    // What came after the end of the history may be of a request that came after it.
    let is_later = story.is_cut && logged.zxid.to_wire() > story.shown;
    if let Some(left) = waiting.get_mut(&key) {
        let candidates = candidates(story, &logged.txn, left, is_later);
        if let [one] = candidates[..] {
            left.retain(|place| *place != one);
            return Ok(Some(one));
        }
        if !candidates.is_empty() {
            origins.ambiguous += 1;
            return Ok(None);
        }
    }
    // One that was answered elsewhere: K6 says that it took effect twice.
    if let (Some(place), false) = (answered.get(&key), is_later) {
        return Ok(Some(*place));
    }
    if story.opened.contains(&logged.session) && !is_later {
        let what = format!(
            "{}: request {} of session {} is committed, and no client sent it",
            logged.zxid, logged.cxid, logged.session
        );
        return Err(Violation::new("K6", what));
    }
    origins.foreign += 1;
    Ok(None)
}

/// Of several requests those that can have led to this transaction; `strict`: of a single one too.
fn candidates(story: &Story, txn: &Txn, places: &[usize], strict: bool) -> Vec<usize> {
    if places.len() < 2 && !strict {
        return places.to_vec();
    }
    let fits = |place: &usize| {
        let call = story.call_of(&story.requests[*place]);
        call.is_some_and(|call| can_make(call, txn))
    };
    places.iter().copied().filter(fits).collect()
}

fn can_make(call: &Call, txn: &Txn) -> bool {
    match (call, txn) {
        (_, Txn::Error { .. }) | (Call::UnknownOp { .. }, _) => true,
        (Call::Create(create), Txn::Create(made)) => {
            can_name(&create.path, create.sequential, made)
        }
        (Call::Delete { path, .. }, Txn::Delete { path: made })
        | (Call::SetData { path, .. }, Txn::SetData { path: made, .. }) => path == made,
        (Call::Multi(subs), Txn::Multi(made)) => {
            subs.len() == made.len()
                && subs.iter().zip(made).all(|(sub, made)| match (sub, made) {
                    (_, Txn::Error { .. }) => true,
                    (SubCall::Create(create), Txn::Create(made)) => {
                        can_name(&create.path, create.sequential, made)
                    }
                    (SubCall::Delete { path, .. }, Txn::Delete { path: made })
                    | (SubCall::SetData { path, .. }, Txn::SetData { path: made, .. })
                    | (SubCall::Check { path, .. }, Txn::Check { path: made, .. }) => path == made,
                    (_, _) => false,
                })
        }
        (Call::SetAcl { path, .. }, Txn::SetAcl { path: made, .. }) => path == made,
        (Call::CloseSession, Txn::CloseSession { .. }) => true,
        (_, _) => false,
    }
}

fn can_name(asked: &str, sequential: bool, made: &CreateTxn) -> bool {
    match sequential {
        true => made.path.starts_with(asked) && made.path.len() == asked.len() + 10,
        false => made.path == asked,
    }
}

/// Requests whose fate depends on what the model does not hold.
fn leave_out(story: &mut Story, log: &[Logged], owners: &[Option<usize>]) {
    for (logged, owner) in log.iter().zip(owners) {
        let Some(owner) = *owner else { continue };
        let access = story.access();
        let refused =
            |txn: &Txn| matches!(txn, Txn::Error { code } if is_beyond_model(*code, access));
        let is_beyond = match &logged.txn {
            Txn::Multi(subs) => subs.iter().any(refused),
            txn @ (Txn::Error { .. }
            | Txn::CreateSession { .. }
            | Txn::CloseSession { .. }
            | Txn::Create(_)
            | Txn::Delete { .. }
            | Txn::DeleteContainer { .. }
            | Txn::SetData { .. }
            | Txn::Check { .. }
            | Txn::SetAcl { .. }) => refused(txn),
        };
        if is_beyond {
            story.leave_out(owner, BEYOND_MODEL);
        }
    }
}

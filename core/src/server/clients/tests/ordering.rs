//! One session's answers leave in the order of its requests, and each goes to the right request.

use alloc::vec;
use alloc::vec::Vec;

use super::rig::{FIRST_SESSION, Rig, connect, frame};
use super::{create, get, set, sync};
use crate::ids::{LinkId, SessionId, Xid, Zxid};
use crate::request::change::Change;
use crate::server::clients::Refusal;
use crate::session::password::password;
use crate::txn::Txn;
use crate::wire::client::{Op, WriteOp};

#[test]
fn reads_pings_and_malformed_bodies_wait_for_the_writes_before_them() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create("/a"));
    rig.request(1, 2, &get("/a", false));
    rig.request(1, -2, &Op::Ping);
    rig.bytes(1, &[0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 1]);
    rig.request(1, 4, &create("/b"));
    rig.request(1, 5, &sync());
    assert_eq!(rig.xids(1), [], "nothing can be answered yet");
    assert_eq!(rig.asked_cxids(), [1, 4, 5], "writes are pipelined");
    assert_eq!(rig.clients.outstanding(), 6);
    rig.work();
    let replies: Vec<_> =
        rig.replies(1).into_iter().map(|(xid, zxid, err, _)| (xid, zxid, err)).collect();
    assert_eq!(
        replies,
        [(1, 2, 0), (2, 2, 0), (-2, 2, 0), (3, 2, -5), (4, 3, 0), (5, 3, 0)],
        "in order, each at the state of its turn"
    );
    assert_eq!(rig.clients.outstanding(), 0);
}

#[test]
fn a_read_does_not_see_a_write_behind_it() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create("/a"));
    rig.request(1, 2, &get("/a", false));
    rig.request(1, 3, &set("/a", b"later".to_vec()));
    rig.work();
    let replies = rig.replies(1);
    assert_eq!(&replies[1].3[..5], [0, 0, 0, 1, b'x']);
    assert_eq!(replies[1].1, 2);
    assert_eq!(replies[2].1, 3);
}

/// Found by comparing with Apache: the write answered the sync only when it was applied already.
#[test]
fn a_read_behind_a_sync_does_not_see_the_write_that_answers_the_sync() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.request(1, 1, &create("/a"));
    rig.work();
    rig.replies(1);
    rig.request(1, 2, &sync());
    rig.request(1, 3, &get("/a", false));
    rig.request(1, 4, &set("/a", b"later".to_vec()));
    rig.asked.clear();
    let Op::Write(write) = set("/a", b"later".to_vec()) else { unreachable!() };
    rig.change(session, 4, Change::Write(write));
    let replies = rig.replies(1);
    let heads: Vec<_> = replies.iter().map(|reply| (reply.0, reply.1)).collect();
    assert_eq!(heads, [(2, 2), (3, 2), (4, 3)], "each at the state of its turn");
    assert_eq!(&replies[1].3[..5], [0, 0, 0, 1, b'x']);
}

#[test]
fn a_write_that_commits_answers_the_syncs_before_it() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.request(1, 1, &sync());
    rig.request(1, 2, &create("/a"));
    rig.asked.clear();
    let Op::Write(write) = create("/a") else { unreachable!() };
    rig.change(session, 2, Change::Write(write));
    assert_eq!(rig.xids(1), [1, 2]);
    rig.call(|clients, cx| clients.synced(LinkId(1), Xid(1), cx));
    assert_eq!(rig.xids(1), [], "the late answer finds nobody");
}

#[test]
fn an_answer_to_a_sync_of_an_older_connection_answers_no_other() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.request(1, 1, &sync());
    rig.open(2);
    rig.bytes(2, &connect(Some(session), &password(session), 0));
    rig.work();
    rig.request(2, 1, &sync());
    rig.take_sent(2);
    rig.call(|clients, cx| clients.synced(LinkId(1), Xid(1), cx));
    assert_eq!(rig.xids(2), [], "it was asked over the first connection");
    rig.call(|clients, cx| clients.synced(LinkId(2), Xid(1), cx));
    assert_eq!(rig.xids(2), [1]);
}

#[test]
fn a_commit_is_tied_to_its_request_by_session_number_kind_and_age() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    let other = rig.session(2);
    rig.request(1, 7, &create("/a"));
    rig.asked.clear();
    let unlike = || Txn::SetData { path: "/".into(), data: None, version: 1 };
    rig.foreign(other.0, 7, unlike());
    rig.foreign(session.0, 8, unlike());
    rig.foreign(session.0, 7, unlike());
    let old = rig.zxid;
    rig.zxid = Zxid(1);
    rig.foreign(session.0, 7, Txn::Error { code: -110 });
    rig.zxid = old;
    assert_eq!(rig.xids(1), [], "another session, number, kind, or an older transaction");
    rig.foreign(session.0, 7, Txn::Error { code: -110 });
    assert_eq!(rig.replies(1), [(7, old.to_wire(), -110, vec![])]);
}

#[test]
fn a_new_connection_gets_no_reply_of_the_old_one() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.request(1, 1, &create("/old"));
    rig.request(1, 2, &create("/old2"));
    let old_writes: Vec<_> = rig.asked.drain(..).collect();

    rig.open(2);
    rig.bytes(2, &connect(Some(session), &password(session), 0));
    rig.work();
    assert_eq!(rig.seen(), ["attached 1", "abort 1 superseded", "attached 2"]);
    rig.take_sent(2);
    // The client numbers its requests anew, as some libraries do.
    rig.request(2, 1, &create("/new"));
    let new_writes: Vec<_> = rig.asked.drain(..).collect();

    rig.asked.extend(old_writes);
    rig.work();
    assert_eq!(rig.xids(1), [], "that link is gone");
    assert_eq!(rig.xids(2), [], "the old requests were applied, but not for this link");
    assert!(rig.db.node("/old").is_some() && rig.db.node("/old2").is_some());
    rig.asked.extend(new_writes);
    rig.work();
    let replies = rig.replies(2);
    assert_eq!(replies.len(), 1);
    assert_eq!(&replies[0].3[4..], b"/new");
}

#[test]
fn a_moved_session_loses_its_link_without_a_reply() {
    for by_transaction in [false, true] {
        let mut rig = Rig::new();
        let session = rig.session(1);
        rig.request(1, 1, &create("/a"));
        rig.seen();
        if by_transaction {
            rig.foreign(session.0, 1, Txn::Error { code: -118 });
        } else {
            rig.call(|clients, cx| clients.refused(session, Xid(1), Refusal::Moved, cx));
        }
        assert_eq!(rig.seen(), ["close 1 moved"]);
        assert_eq!(rig.xids(1), []);
        assert_eq!((rig.clients.outstanding(), rig.clients.sessions()), (0, 0));
    }
}

#[test]
fn a_refusal_of_an_abandoned_write_spares_the_new_link() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.request(1, 1, &create("/old"));
    rig.asked.clear();
    rig.open(2);
    let right = password(session);
    rig.bytes(2, &connect(Some(session), &right, 0));
    rig.work();
    rig.take_sent(2);
    rig.request(2, 1, &create("/new"));
    rig.seen();
    rig.call(|clients, cx| clients.refused(session, Xid(1), Refusal::Moved, cx));
    assert!(rig.seen().is_empty());
    rig.work();
    assert_eq!(rig.xids(2), [1]);
}

#[test]
fn close_is_the_last_request() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.seen();
    rig.request(1, 1, &create("/a"));
    rig.request(1, 2, &Op::CloseSession);
    rig.request(1, 3, &create("/b"));
    rig.request(1, -2, &Op::Ping);
    assert_eq!(rig.asked_cxids(), [1, 2], "what follows a close is ignored");
    rig.work();
    assert_eq!(rig.xids(1), [1, 2]);
    assert_eq!(rig.seen(), ["close 1 finished"]);
    assert!(rig.db.sessions().is_empty() && rig.clients.links() == 0);
}

#[test]
fn expiry_drops_the_link_silently() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.seen();
    rig.request(1, 1, &create("/a"));
    rig.asked.clear();
    rig.change(session, 0, Change::CloseSession);
    assert_eq!(rig.xids(1), []);
    assert_eq!(rig.seen(), ["close 1 expired"]);
    assert_eq!(rig.clients.outstanding(), 0);
}

#[test]
fn unknown_opcodes_end_the_connection_in_their_turn() {
    for op in [13, 20, -10, 999] {
        let mut rig = Rig::new();
        rig.session(1);
        rig.seen();
        rig.request(1, 1, &create("/a"));
        let mut unknown = vec![0, 0, 0, 8, 0, 0, 0, 2];
        unknown.extend_from_slice(&i32::to_be_bytes(op));
        rig.bytes(1, &unknown);
        rig.request(1, 3, &create("/b"));
        assert_eq!(rig.asked_cxids(), [1]);
        assert!(rig.seen().is_empty(), "the write before it is answered first");
        rig.work();
        let replies = rig.replies(1);
        assert_eq!((replies[0].0, replies[0].2), (1, 0));
        assert_eq!(replies[1], (2, -1, -6, vec![]));
        assert_eq!(rig.seen(), ["close 1 protocol"]);
    }
}

#[test]
fn chunk_borders_change_nothing() {
    let check = Op::Write(WriteOp::Delete { path: "/a".into(), version: -1 });
    let mut stream = connect(None, &[], 0);
    for (xid, op) in [(1, create("/a")), (2, get("/a", true)), (3, check), (4, sync())] {
        stream.extend(frame(xid, &op));
    }
    stream.extend(frame(5, &Op::CloseSession));
    let whole = run(&[&stream[..]]);
    assert!(whole.len() > 200);
    for border in 1..stream.len() {
        let (head, tail) = stream.split_at(border);
        assert_eq!(run(&[head, tail]), whole, "border at {border}");
    }
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(run(&single), whole);
}

fn run(chunks: &[&[u8]]) -> Vec<u8> {
    let mut rig = Rig::new();
    rig.open(1);
    for chunk in chunks {
        rig.bytes(1, chunk);
    }
    rig.work();
    assert_eq!(rig.clients.links(), 0, "the stream ends with a close");
    rig.take_sent(1)
}

#[test]
fn leaving_the_role_forgets_everything() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.open(2);
    rig.request(1, 1, &create("/a"));
    rig.seen();
    rig.call(|clients, cx| clients.stop_serving(cx));
    assert_eq!(rig.seen(), ["close 1 role ended", "close 2 role ended"]);
    assert_eq!((rig.clients.links(), rig.clients.outstanding()), (0, 0));
    rig.work();
    rig.bytes(1, &frame(2, &create("/b")));
    rig.call(|clients, cx| clients.on_closed(LinkId(1), cx));
    assert!(rig.seen().is_empty() && rig.take_sent(1).is_empty());
    assert_eq!(session, SessionId(FIRST_SESSION));
}

//! Who a client says it is, and what that changes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::rig::{FIRST_SESSION, Rig};
use super::{create, get, set};
use crate::acl::{Acl, Id};
use crate::ids::SessionId;
use crate::server::clients::Submission;
use crate::server::clients::link::MOST_IDENTITIES;
use crate::session::password::password;
use crate::wire::client::{Create, CreateForm, Op, ReadOp, WriteOp};

const DIGEST: &str = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";

fn auth(scheme: &str) -> Op {
    Op::Auth { scheme: scheme.into(), proof: Some(b"u:p".as_slice().into()) }
}

fn acl(scheme: &str, id: &str) -> Vec<Acl> {
    [Acl { perms: 31, id: Id { scheme: scheme.into(), id: id.into() } }].into()
}

fn create_with(path: &str, acl: Vec<Acl>) -> Op {
    let data = Some(bytes::Bytes::new());
    let create =
        Create { path: path.into(), data, acl: Some(acl), flags: 0, form: CreateForm::Plain };
    Op::Write(WriteOp::Create(create))
}

/// (xid, zxid, err) of each reply.
fn heads(rig: &mut Rig) -> Vec<(i32, i64, i32)> {
    rig.replies(1).iter().map(|(xid, zxid, err, _)| (*xid, *zxid, *err)).collect()
}

#[test]
fn a_digest_opens_what_is_closed_to_others_and_stands_for_auth() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create_with("/mine", acl("digest", DIGEST)));
    rig.request(1, 2, &create_with("/early", acl("auth", "")));
    rig.work();
    rig.request(1, 3, &get("/mine", false));
    rig.request(1, -4, &auth("digest"));
    rig.request(1, 4, &get("/mine", false));
    rig.request(1, 5, &create_with("/late", acl("auth", "")));
    rig.work();
    assert_eq!(
        heads(&mut rig),
        [(1, 2, 0), (2, 3, -114), (3, 3, -102), (-4, 0, 0), (4, 3, 0), (5, 4, 0)]
    );
    assert_eq!(rig.db.acl("/late"), Some(acl("digest", DIGEST)));
}

#[test]
fn an_identity_holds_for_requests_behind_it_while_its_answer_waits_in_turn() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create("/a"));
    for scheme in ["digest", "digest", "ip"] {
        rig.request(1, -4, &auth(scheme));
    }
    rig.request(1, 2, &set("/a", b"y".to_vec()));
    let ids = |submission: &Submission| {
        let Submission::Write { ids, .. } = submission else { return None };
        Some(ids.iter().map(|id| id.id.clone()).collect())
    };
    let writes: Vec<Vec<_>> = rig.asked.iter().filter_map(ids).collect();
    assert_eq!(writes, [["10.0.0.1"].as_slice(), &["10.0.0.1", DIGEST]]);
    assert_eq!(heads(&mut rig), []);
    rig.work();
    assert_eq!(heads(&mut rig), [(1, 2, 0), (-4, 0, 0), (-4, 0, 0), (-4, 0, 0), (2, 3, 0)]);
}

/// Apache copies them into each request as it arrives. Seed 395 of the simulator found it.
#[test]
fn a_read_that_waits_has_the_identities_of_when_it_was_asked() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create_with("/mine", acl("digest", DIGEST)));
    rig.request(1, 2, &get("/mine", false));
    rig.request(1, -4, &auth("digest"));
    rig.request(1, 3, &get("/mine", false));
    rig.work();
    assert_eq!(heads(&mut rig), [(1, 2, 0), (2, 2, -102), (-4, 0, 0), (3, 2, 0)]);
}

#[test]
fn a_scheme_that_nobody_knows_ends_the_connection_behind_its_answer() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.seen();
    rig.request(1, -4, &auth("nosuch"));
    rig.request(1, 1, &create("/a"));
    rig.work();
    assert_eq!(heads(&mut rig), [(-4, 0, -115)]);
    assert_eq!(rig.seen(), ["close 1 protocol"]);
    assert!(rig.db.node("/a").is_none());
}

#[test]
fn identities_are_bounded_in_number_and_size() {
    let mut rig = Rig::new();
    rig.session(1);
    let digest = |proof: String| Op::Auth {
        scheme: "digest".into(),
        proof: Some(proof.into_bytes().into()),
    };
    for user in 0..MOST_IDENTITIES {
        rig.request(1, -4, &digest(format!("user{user}:p")));
    }
    let codes: Vec<i32> = heads(&mut rig).iter().map(|head| head.2).collect();
    let (last, before) = codes.split_last().expect("each was answered");
    assert!(before.iter().all(|code| *code == 0) && *last == -115, "{codes:?}");

    rig.session(2);
    rig.request(2, -4, &digest("u".repeat(4097)));
    assert_eq!(rig.replies(2)[0].2, -115);
}

#[test]
fn identities_end_with_their_connection() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, -4, &auth("digest"));
    rig.open(2);
    let session = SessionId(FIRST_SESSION);
    rig.bytes(2, &super::rig::connect(Some(session), &password(session), 0));
    rig.work();
    rig.take_sent(2);
    rig.request(2, 1, &create_with("/late", acl("auth", "")));
    rig.work();
    assert_eq!(rig.replies(2)[0].2, -114, "it must be presented again (T28)");
}

#[test]
fn sasl_is_answered_without_a_token_and_without_an_identity() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &Op::Sasl { token: Some(b"token".as_slice().into()) });
    rig.request(1, 2, &create_with("/a", acl("auth", "")));
    rig.work();
    let replies = rig.replies(1);
    assert_eq!(replies[0], (1, 0, 0, [0xff; 4].to_vec()));
    assert_eq!(replies[1].2, -114);
}

#[test]
fn an_address_of_version_6_is_shown_unabridged_and_matched_in_every_form() {
    let mut rig = Rig::new();
    rig.ip = "fe80::1";
    rig.session(1);
    rig.request(1, 1, &create_with("/mine", acl("ip", "fe80::/16")));
    rig.request(1, 2, &Op::Read(ReadOp::WhoAmI));
    rig.request(1, 3, &get("/mine", false));
    rig.work();
    let replies = rig.replies(1);
    assert_eq!(replies.iter().map(|(_, _, err, _)| *err).collect::<Vec<_>>(), [0, 0, 0]);
    let shown = b"fe80:0:0:0:0:0:0:1";
    assert!(replies[1].3.windows(shown.len()).any(|part| part == shown), "{:?}", replies[1].3);
}

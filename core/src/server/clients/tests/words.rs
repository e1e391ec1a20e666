//! Four-letter words on the client port.

use super::rig::Rig;
use crate::server::clients::Submission;

#[test]
fn words_are_answered_and_end_the_connection() {
    let mut rig = Rig::new();
    rig.open(1);
    for byte in b"srvr\n" {
        rig.bytes(1, &[*byte]);
    }
    assert!(matches!(rig.asked.front(), Some(Submission::Word { word: "srvr", .. })));
    rig.work();
    assert_eq!(rig.take_sent(1), b"srvr", "the rig answers with the word itself");
    assert_eq!(rig.seen(), ["close 1 finished"]);
}

#[test]
fn words_are_looked_for_in_the_first_four_bytes_only() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.seen();
    rig.bytes(1, b"ruok");
    assert_eq!(rig.seen(), ["abort 1 too long"], "the length of a frame");
}

#[test]
fn telnet_may_leave() {
    let mut rig = Rig::new();
    rig.open(1);
    rig.bytes(1, &[0xff, 0xf4, 0xff, 0xfd]);
    assert_eq!(rig.seen(), ["close 1 finished"]);
}

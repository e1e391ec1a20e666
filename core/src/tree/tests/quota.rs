//! What stands in the nodes of quotas, change by change and after a load.

use super::*;
use crate::tree::DatabaseBuilder;

const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";

fn stats(rig: &Rig) -> String {
    text(&rig.database)
}

fn text(database: &Database) -> String {
    let data = database.node(STATS).and_then(Node::data_bytes).unwrap_or_default();
    String::from_utf8(data.to_vec()).unwrap()
}

/// `/a` with a byte and a child with another, limited and counted.
fn limited() -> Rig {
    let mut rig = Rig::new();
    for txn in [
        create("/a"),
        create("/a/x"),
        create("/zookeeper/quota/a"),
        Txn::Create(create_txn(
            "/zookeeper/quota/a/zookeeper_limits",
            "count=9,bytes=9",
            false,
            None,
        )),
        create(STATS),
    ] {
        rig.apply(txn);
    }
    rig
}

#[test]
fn nodes_and_bytes_are_counted_as_they_come_and_go() {
    let mut rig = limited();
    assert_eq!(stats(&rig), "count=2,bytes=2");
    let (version, digest) = (rig.database.node(STATS).unwrap().stat(), rig.database.digest().tree);
    for (txn, expected) in [
        (create("/a/y"), "count=3,bytes=3"),
        (set_data("/a/y", "12345", 1), "count=3,bytes=7"),
        (create("/b"), "count=3,bytes=7"),
        (delete("/a/x"), "count=2,bytes=6"),
        (set_data("/a", "", 1), "count=2,bytes=5"),
        (delete("/a/none"), "count=2,bytes=5"),
        (create("/a/y"), "count=2,bytes=5"),
    ] {
        rig.apply(txn);
        assert_eq!(stats(&rig), expected);
    }
    assert_eq!(rig.database.node(STATS).unwrap().stat(), version, "it is no write of a client's");
    assert_ne!(rig.database.digest().tree, digest, "of the nodes that did change");
    rig.apply(delete("/zookeeper/quota/a/zookeeper_limits"));
    rig.apply(create("/a/z"));
    assert_eq!(stats(&rig), "count=2,bytes=5", "nothing limits it any more");
}

#[test]
fn ephemerals_that_end_with_their_session_are_counted_out() {
    let mut rig = limited();
    rig.apply(ephemeral("/a/e"));
    assert_eq!(stats(&rig), "count=3,bytes=2");
    rig.apply(Txn::CloseSession { paths: None });
    assert_eq!(stats(&rig), "count=2,bytes=2");
}

/// Each server counts for itself, and may begin anew: no two have to agree on it.
#[test]
fn trap_19_a_load_counts_anew_and_the_digest_does_not_care() {
    let rig = limited();
    let mut builder = DatabaseBuilder::new(true);
    builder.session(SESSION, 5000);
    for (path, node) in rig.database.iter() {
        let data = if path == STATS { Some(&b"stale"[..]) } else { node.data() };
        let acl = OPEN_ACL_ID;
        assert!(builder.node(if path == "/" { "" } else { &path }, data, acl, node.stat()));
    }
    let mut loaded = builder.finish(Zxid(9));
    assert_eq!(text(&loaded), "count=2,bytes=2");
    let before = loaded.digest().full;
    loaded.edit(STATS, |node| node.set_data(None));
    assert_eq!(loaded.digest().full, before);
    loaded.apply(&logged(10, SESSION, create("/a/z")), &mut vec![]);
    assert_eq!(text(&loaded), "count=0,bytes=0", "from nothing, which reads as -1");
}

//! Quotas that refuse. Facts: PROTOCOL 2.3.

use super::*;
use crate::tree::{Counted, QuotaExcess};

fn put(path: &str, data: &str) -> Change {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Change::Write(WriteOp::Create(Create { data, ..create_op(path, 0) }))
}

fn write(path: &str, data: &str, version: i32) -> Change {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Change::Write(WriteOp::SetData { path: path.into(), data, version })
}

/// `/q` with four bytes, and these limits.
fn bench(enforce: bool, limits: &str) -> Bench {
    let mut bench = Bench::with(|config| config.enforce_quota = enforce);
    for (path, data) in [
        ("/q", "1234"),
        ("/zookeeper/quota/q", ""),
        ("/zookeeper/quota/q/zookeeper_limits", limits),
        ("/zookeeper/quota/q/zookeeper_stats", ""),
    ] {
        assert_eq!(bench.code(ME, put(path, data)), 0, "{path}");
    }
    bench
}

#[test]
fn a_hard_count_refuses_one_node_too_many() {
    let mut bench = bench(true, "count=-1,bytes=-1=;countHardLimit=2");
    assert_eq!(bench.code(ME, put("/q/a", "x")), 0, "the node itself counts too");
    assert_eq!(bench.code(ME, put("/q/b", "x")), -125);
    assert_eq!(bench.code(ME, put("/q/a", "x")), -110, "that it exists comes first");
    assert_eq!(bench.code(ME, write("/q/a", "longer", -1)), 0, "it adds no node");
    assert_eq!(bench.code(ME, delete("/q/a", -1)), 0);
    assert_eq!(bench.code(ME, put("/q/b", "x")), 0);
    assert_eq!(bench.code(ME, put("/other", "x")), 0);
}

#[test]
fn hard_bytes_refuse_a_write_before_its_version() {
    let mut bench = bench(true, "count=-1,bytes=-1=;byteHardLimit=6");
    assert_eq!(bench.code(ME, put("/q/a", "xyz")), -125);
    assert_eq!(bench.code(ME, put("/q/a", "xy")), 0);
    assert_eq!(bench.code(ME, write("/q", "12345", 9)), -125);
    assert_eq!(bench.code(ME, write("/q", "1", 9)), -103);
    assert_eq!(bench.code(ME, write("/q", "1", -1)), 0);
    assert_eq!(bench.code(ME, write("/q", "12345", -1)), -125);
}

#[test]
fn soft_limits_and_those_that_are_not_enforced_refuse_nothing() {
    for (enforce, limits) in
        [(true, "count=1,bytes=1"), (false, "count=1,bytes=1=;byteHardLimit=1;countHardLimit=1")]
    {
        let mut bench = bench(enforce, limits);
        assert_eq!(bench.code(ME, put("/q/a", "xyz")), 0, "{limits}");
        assert_eq!(bench.code(ME, write("/q/a", "longer", -1)), 0, "{limits}");
    }
}

#[test]
fn what_goes_beyond_a_limit_is_told_where_quotas_are_enforced() {
    let told = |enforce, limits, path| {
        let mut bench = bench(enforce, limits);
        bench.prepare(ME, put(path, "xyz"));
        bench.preparer.take_excesses()
    };
    let excess =
        |of, amount, limit, hard| QuotaExcess { limited: "/q".into(), of, amount, limit, hard };
    let soft = excess(Counted::Nodes, 2, 1, false);
    assert_eq!(told(true, "count=1,bytes=9", "/q/a"), core::slice::from_ref(&soft));
    let hard = excess(Counted::Bytes, 7, 6, true);
    assert_eq!(told(true, "count=1,bytes=-1=;byteHardLimit=6", "/q/a"), [soft, hard]);
    assert_eq!(told(true, "count=1,bytes=1", "/other"), []);
    assert_eq!(told(false, "count=1,bytes=1", "/q/a"), []);
}

/// What is proposed and not applied yet is not counted: a burst overshoots, as in Apache.
#[test]
fn a_burst_may_overshoot() {
    let mut bench = bench(true, "count=-1,bytes=-1=;countHardLimit=2");
    for path in ["/q/a", "/q/b", "/q/c"] {
        assert!(matches!(bench.prepare(ME, put(path, "")).txn, Txn::Create(_)), "{path}");
    }
    bench.apply_all();
    assert_eq!(bench.code(ME, put("/q/d", "")), -125);
}

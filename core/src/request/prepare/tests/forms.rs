//! Opcode, flags and TTL of a create, in every combination; what outlives its purpose.

use super::*;
use crate::wire::client::CreateForm;

const TTL_MAX: i64 = (1 << 40) - 1;

fn asked(form: CreateForm, flags: i32) -> WriteOp {
    WriteOp::Create(Create { form, ..create_op("/n", flags) })
}

/// Error codes of a create alone and as the only part of a multi.
fn codes(extended: bool, op: &WriteOp) -> (i32, i32) {
    let mut bench = Bench::with(|config| config.extended_types = extended);
    let alone = bench.code(ME, Change::Write(op.clone()));
    bench.apply_all();
    let mut bench = Bench::with(|config| config.extended_types = extended);
    let multi = bench.prepare(ME, Change::Multi(vec![op.clone()]));
    let Txn::Multi(parts) = multi.txn else { panic!("{multi:?}") };
    bench.apply_all();
    (alone, if let Txn::Error { code } = parts[0] { code } else { 0 })
}

/// A clean answer, and a tree that agrees with the digest, whatever is asked for.
#[test]
fn trap_30_every_form_and_flag_of_a_create_is_answered() {
    let (ok, bad, no) = (0, -8, -6);
    let plain = [CreateForm::Plain, CreateForm::WithStat];
    for extended in [false, true] {
        let off_or = |code| if extended { code } else { no };
        for flags in [0, 1, 2, 3] {
            for form in plain {
                assert_eq!(codes(extended, &asked(form, flags)), (ok, ok), "{form:?} {flags}");
            }
            assert_eq!(codes(extended, &asked(CreateForm::Container, flags)), (bad, bad));
            for ms in [i64::MIN, -1, 0, 1, TTL_MAX + 1] {
                // There it is what its flags say.
                assert_eq!(codes(extended, &asked(CreateForm::Ttl { ms }, flags)), (bad, ok));
            }
        }
        for form in plain {
            assert_eq!(codes(extended, &asked(form, 4)), (bad, ok), "{form:?}");
        }
        assert_eq!(codes(extended, &asked(CreateForm::Container, 4)), (ok, ok));
        assert_eq!(codes(extended, &asked(CreateForm::Ttl { ms: 1 }, 4)), (bad, ok));
        for flags in [5, 6] {
            for form in [CreateForm::Plain, CreateForm::WithStat, CreateForm::Container] {
                let want = (off_or(bad), off_or(bad));
                assert_eq!(codes(extended, &asked(form, flags)), want, "{form:?}");
            }
            for (ms, code) in
                [(i64::MIN, bad), (-1, bad), (0, bad), (1, ok), (TTL_MAX, ok), (TTL_MAX + 1, bad)]
            {
                let want = (off_or(code), off_or(code));
                assert_eq!(codes(extended, &asked(CreateForm::Ttl { ms }, flags)), want, "{ms}");
            }
        }
        for flags in [7, -1, i32::MIN, i32::MAX] {
            for form in [plain[0], plain[1], CreateForm::Container, CreateForm::Ttl { ms: 1 }] {
                assert_eq!(codes(extended, &asked(form, flags)), (bad, bad), "{form:?} {flags}");
            }
        }
    }
}

fn outlive(path: &str) -> Change {
    Change::DeleteContainer { path: path.into() }
}

fn bench() -> Bench {
    Bench::with(|config| {
        config.extended_types = true;
        config.containers.never_used = Span::from_ms(500);
    })
}

#[test]
fn a_container_goes_when_its_last_child_is_gone() {
    let mut bench = bench();
    assert_eq!(bench.code(ME, Change::Write(asked(CreateForm::Container, 4))), 0);
    assert_eq!(bench.code(ME, outlive("/n")), -103, "it was never used");
    assert_eq!(bench.code(ME, create("/n/c", 0)), 0);
    assert_eq!(bench.code(ME, outlive("/n")), -111, "it is in use");
    assert_eq!(bench.code(ME, delete("/n/c", -1)), 0);
    assert_eq!(bench.code(SessionId(0), outlive("/n")), 0, "no session stands behind it");
    assert_eq!(bench.code(ME, outlive("/n")), -101);
    bench.apply_all();
    assert_eq!(bench.db.node_count(), 4);
}

#[test]
fn a_container_that_was_never_used_goes_when_it_is_old() {
    let mut bench = bench();
    bench.code(ME, Change::Write(asked(CreateForm::Container, 4)));
    bench.now.0 += 500;
    assert_eq!(bench.code(ME, outlive("/n")), -103);
    bench.now.0 += 1;
    assert_eq!(bench.code(ME, outlive("/n")), 0);
    bench.apply_all();
}

#[test]
fn a_ttl_node_goes_when_its_data_is_older_than_that() {
    let mut bench = bench();
    assert_eq!(bench.code(ME, Change::Write(asked(CreateForm::Ttl { ms: 100 }, 5))), 0);
    bench.now.0 += 100;
    assert_eq!(bench.code(ME, outlive("/n")), -103, "on the stroke it stays");
    bench.now.0 += 1;
    assert_eq!(bench.code(ME, create("/n/c", 0)), 0);
    assert_eq!(bench.code(ME, outlive("/n")), -111, "children keep it");
    assert_eq!(bench.code(ME, delete("/n/c", -1)), 0);
    let set = WriteOp::SetData { path: "/n".into(), data: None, version: -1 };
    assert_eq!(bench.code(ME, Change::Write(set)), 0);
    assert_eq!(bench.code(ME, outlive("/n")), -103, "what is written makes it young");
    bench.now.0 += 101;
    assert_eq!(bench.code(ME, outlive("/n")), 0);
    bench.apply_all();
    assert_eq!(bench.db.node_count(), 4);
}

#[test]
fn other_nodes_do_not_go_by_themselves() {
    let mut bench = bench();
    bench.create("/plain");
    assert_eq!(bench.code(ME, create("/e", 1)), 0);
    bench.now.0 += 1_000_000;
    for (path, code) in [("/plain", -103), ("/e", -103), ("/", -8), ("/zookeeper", -8)] {
        assert_eq!(bench.code(ME, outlive(path)), code, "{path}");
    }
    bench.apply_all();
}

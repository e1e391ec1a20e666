//! Random requests, applied after a random lag: every prepared transaction applies as it was
//! meant, and its digest is the tree's.

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Request(SessionId, Change),
    Apply,
}

fn path() -> impl Strategy<Value = String> {
    // Few names, so that requests meet.
    let name = || prop_oneof![Just("a"), Just("b"), Just("s-"), Just("s-0000000001"), Just("")];
    prop_oneof![
        6 => name().prop_map(|a| format!("/{a}")),
        6 => (name(), name()).prop_map(|(a, b)| format!("/{a}/{b}")),
        3 => (name(), name(), name()).prop_map(|(a, b, c)| format!("/{a}/{b}/{c}")),
        1 => prop_oneof![Just("/zookeeper/quota/a"), Just("/zookeeper"), Just("/zookeeper/a")]
            .prop_map(String::from),
    ]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop_oneof![Just(None), Just(Some(Bytes::new())), Just(Some(Bytes::from_static(b"data")))]
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(-1), 1 => 0..3i32]
}

fn write() -> impl Strategy<Value = WriteOp> {
    let form = prop_oneof![
        3 => Just(CreateForm::Plain),
        3 => Just(CreateForm::WithStat),
        1 => Just(CreateForm::Container),
        1 => (-1..3i64).prop_map(|ms| CreateForm::Ttl { ms }),
    ];
    let create = (path(), data(), -1..8i32, form).prop_map(|(path, data, flags, form)| {
        WriteOp::Create(Create { path, data, acl: Some(Acl::open()), flags, form })
    });
    let delete = (path(), version()).prop_map(|(path, version)| WriteOp::Delete { path, version });
    let set = (path(), data(), version()).prop_map(|(path, data, version)| WriteOp::SetData {
        path,
        data,
        version,
    });
    let check = (path(), version()).prop_map(|(path, version)| WriteOp::Check { path, version });
    prop_oneof![5 => create, 2 => delete, 2 => set, 1 => check]
}

fn change() -> impl Strategy<Value = Change> {
    let set_acl = (path(), version()).prop_map(|(path, version)| Change::SetAcl {
        path,
        acl: Some(Acl::open()),
        version,
    });
    prop_oneof![
        8 => write().prop_map(Change::Write),
        3 => proptest::collection::vec(write(), 0..5).prop_map(Change::Multi),
        1 => set_acl,
        1 => Just(Change::CloseSession),
        1 => Just(Change::CreateSession { timeout_ms: 4000 }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let session = prop_oneof![4 => Just(ME), 3 => Just(OTHER), 1 => Just(STRANGER)];
    prop_oneof![
        3 => (session, change()).prop_map(|(session, change)| Step::Request(session, change)),
        2 => Just(Step::Apply),
    ]
}

/// A transaction that was prepared as good is good: checks and tree agree about what is in flight.
fn succeeded(txn: &Txn, result: &TxnResult) -> bool {
    let Txn::Multi(parts) = txn else {
        return matches!(txn, Txn::Error { .. }) == matches!(result, TxnResult::Failed(_));
    };
    let TxnResult::Multi(results) = result else {
        return false;
    };
    let failed = parts.iter().any(|part| matches!(part, Txn::Error { .. }));
    parts.len() == results.len()
        && results.iter().all(|result| matches!(result, MultiResult::Error(_)) == failed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn predictions_come_true(steps in proptest::collection::vec(step(), 1..150)) {
        let mut bench = Bench::new();
        for step in steps {
            match step {
                Step::Request(session, change) => {
                    bench.prepare(session, change);
                }
                Step::Apply => {
                    let txn = bench.in_flight.front().map(|logged| logged.txn.clone());
                    if let (Some(txn), Some(result)) = (txn, bench.apply()) {
                        prop_assert!(succeeded(&txn, &result), "{:?} -> {:?}", txn, result);
                    }
                }
            }
        }
        while let Some(txn) = bench.in_flight.front().map(|logged| logged.txn.clone()) {
            let result = bench.apply().unwrap();
            prop_assert!(succeeded(&txn, &result), "{:?} -> {:?}", txn, result);
        }
        prop_assert!(bench.preparer.pending.is_empty());
        prop_assert_eq!(bench.db.remove_orphan_ephemerals(), 0, "no node outlives its session");
    }

    /// What was in flight makes no difference: with and without lag, the same log.
    #[test]
    fn lag_changes_nothing(
        requests in proptest::collection::vec((any::<bool>(), change()), 1..60)
    ) {
        let (mut eager, mut lazy) = (Bench::new(), Bench::new());
        for (me, change) in requests {
            let session = if me { ME } else { OTHER };
            let first = eager.prepare(session, change.clone());
            eager.apply();
            prop_assert_eq!(first, lazy.prepare(session, change));
        }
        lazy.apply_all();
        prop_assert_eq!(eager.db.digest(), lazy.db.digest());
    }
}

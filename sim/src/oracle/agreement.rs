//! Two implementations of the tree, driven by one workload, agree after every transaction.

use vivarium_core::ids::Zxid;
use vivarium_core::tree::Database;
use vivarium_core::txn::LoggedTxn;

use crate::history::Call;
use crate::oracle::Oracle;
use crate::oracle::access::{Rules, of_address};
use crate::oracle::predict::{Terms, predict};
use crate::oracle::txn::{Header, Txn, build::payload};
use crate::rng::{SimRng, Stream};
use crate::workload::{Memory, Workload};

#[test]
fn core_and_the_oracle_agree_on_every_state() {
    for seed in 0..30 {
        let workload = Workload::draw(seed);
        let mut rng = SimRng::new(seed, Stream::Workload, 0);
        let memory = Memory::default();
        let mut oracle = Oracle::default();
        let mut core = Database::new(true);
        assert_eq!(core.digest().full, oracle.full_digest(), "fresh trees");
        let mut zxid = 0;
        let mut run = |oracle: &mut Oracle, session, call: Option<Call>| {
            zxid += 1;
            let header = Header { session, cxid: 1, zxid: Zxid(zxid), time: 1000 + zxid as i64 };
            let txn = match &call {
                None => Txn::CreateSession { timeout_ms: 4000 },
                Some(call) => {
                    let terms = Terms {
                        ids: &[of_address("10.0.1.1")],
                        rules: &Rules::default(),
                        quotas: None,
                    };
                    match predict(&mut oracle.tree().clone(), header, call, terms) {
                        Some(expected) => expected.txn,
                        None => return,
                    }
                }
            };
            let payload = payload(header, &txn);
            let logged = LoggedTxn::decode(payload.clone()).expect("it was just built");
            core.apply(&logged, &mut Vec::new());
            oracle.commit(payload, |_| None).expect("it was just built");
            assert_eq!(core.digest().full, oracle.full_digest(), "seed {seed} {header:?} {txn:?}");
        };
        for n in 0..200 {
            let session = 5 + rng.below(3) as i64;
            if !oracle.tree().is_open(session) {
                run(&mut oracle, session, None);
            } else if rng.chance(20) {
                run(&mut oracle, session, Some(Call::CloseSession));
            } else {
                let operation = workload.draw_operation(1, n, &mut rng).settled(&memory);
                for call in operation.calls() {
                    run(&mut oracle, session, Some(call));
                }
            }
        }
    }
}

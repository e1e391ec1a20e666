//! D7: a write is refused for a hard limit where the limit, and what its leader had counted when it made the
//! transaction, say so, and nowhere else. What servers show as counted is K4's.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;
use crate::oracle::quota::QUOTA_EXCEEDED;
use crate::oracle::txn::Txn;

#[derive(Debug, Default)]
pub(crate) struct D07;

impl Check for D07 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, _: &SimEvent) -> Result<(), String> {
        for (fresh, judged) in cx.canon.judged() {
            let (Some(call), Some(expected)) = (&fresh.call, &judged.expected) else { continue };
            if refused(&expected.txn) != refused(&judged.txn) {
                return Err(format!(
                    "{}: {call:?} has to be {:?} but is {:?}",
                    fresh.entry.zxid, expected.txn, judged.txn
                ));
            }
        }
        Ok(())
    }
}

/// The first part of a transaction that a quota refused.
fn refused(txn: &Txn) -> Option<usize> {
    let is_refused = |txn: &Txn| matches!(txn, Txn::Error { code: QUOTA_EXCEEDED });
    match txn {
        Txn::Multi(parts) => parts.iter().position(is_refused),
        txn => is_refused(txn).then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Call;
    use crate::oracle::txn::CreateTxn;
    use bytes::Bytes;
    use vivarium_core::config::Config;
    use vivarium_core::ids::ServerId;

    /// Below /a there may be one node, beside /a itself.
    fn run() -> Run<D07> {
        let mut run = Run::new(D07);
        let mut config = Config::with_defaults(ServerId(1), None, [0; 32]);
        config.enforce_quota = true;
        let cluster = SimEvent::Cluster { servers: vec![config], apache: Vec::new() };
        run.feed(crate::ids::NodeId::World, &cluster).unwrap();
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        let limits = "count=-1,bytes=-1=;countHardLimit=2";
        let folder = "/zookeeper/quota/a";
        let all = [
            ("/a".to_owned(), ""),
            (folder.to_owned(), ""),
            (format!("{folder}/zookeeper_limits"), limits),
            (format!("{folder}/zookeeper_stats"), ""),
        ];
        for (n, (path, data)) in (2..).zip(all) {
            let data = Some(Bytes::from(data));
            let made = CreateTxn { data, ..create_txn(&path, false, 1) };
            run.commit(1, header(z(1, n), 5, 0), &Txn::Create(made)).unwrap();
        }
        run
    }

    fn create(run: &mut Run<D07>, n: u32, path: &str, txn: Option<Txn>) -> Result<(), String> {
        run.invoke(5, n as i32, Call::Create(create_call(path, false)))?;
        let made = txn.unwrap_or_else(|| Txn::Create(create_txn(path, false, 1)));
        run.commit(1, header(z(1, n), 5, n as i32), &made)
    }

    #[test]
    fn a_limit_holds_from_where_it_is_reached() {
        let refused = || Some(Txn::Error { code: QUOTA_EXCEEDED });
        assert!(create(&mut run(), 6, "/a/x", refused()).is_err());
        let mut full = run();
        create(&mut full, 6, "/a/x", None).unwrap();
        create(&mut full, 7, "/b", None).unwrap();
        create(&mut full, 8, "/a/y", refused()).unwrap();
        assert!(create(&mut full, 9, "/a/y", None).is_err());
    }
}

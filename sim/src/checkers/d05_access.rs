//! D5: what an access list lets a client do is decided by the list and by who the client is at that place in
//! the order; a list is kept as the rules for lists say; and a proof of an identity is taken or refused as
//! its scheme says.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact};
use crate::observe::SimEvent;
use crate::oracle::access::{AUTH_FAILED, INVALID_ACL, NO_AUTH, proven};
use crate::oracle::predict::same_txn;
use crate::oracle::txn::Txn;
use std::collections::BTreeMap;
use vivarium_core::ids::SessionId;

#[derive(Debug, Default)]
pub(crate) struct D05 {
    /// Proofs under way, and whether they are good.
    proofs: BTreeMap<(SessionId, i32), bool>,
}

impl Check for D05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for (fresh, judged) in cx.canon.judged() {
            let (Some(call), Some(expected)) = (&fresh.call, &judged.expected) else { continue };
            let (wanted, logged) = (&expected.txn, &judged.txn);
            let other_list = match (wanted, logged) {
                (Txn::Create(wanted), Txn::Create(logged)) => wanted.acl != logged.acl,
                (_, _) => matches!(call, Call::SetAcl { .. }) && !same_txn(wanted, logged),
            };
            if other_list || refusals(wanted) != refusals(logged) {
                return Err(format!(
                    "{}: {call:?} has to be {:?} but is {:?}",
                    fresh.entry.zxid, wanted, logged
                ));
            }
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call: Call::AddAuth { scheme, proof } } => {
                let good = proven(&cx.canon.cluster.access, scheme, proof).is_some();
                self.proofs.insert((op.session, op.xid), good);
                Ok(())
            }
            ClientFact::Ok { op, .. } => match self.proofs.remove(&(op.session, op.xid)) {
                Some(false) => Err(format!("{op:?} proves nothing, and is taken")),
                Some(true) | None => Ok(()),
            },
            ClientFact::Err { op, code, .. } => match self.proofs.remove(&(op.session, op.xid)) {
                Some(false) if *code == AUTH_FAILED => Ok(()),
                Some(good) => Err(format!("{op:?} (good: {good}) is answered {code}")),
                None => Ok(()),
            },
            ClientFact::Unknown { op } => {
                self.proofs.remove(&(op.session, op.xid));
                Ok(())
            }
            ClientFact::Invoke { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => Ok(()),
        }
    }
}

/// Which parts of a transaction were refused by an access list, or for one.
fn refusals(txn: &Txn) -> Vec<(usize, i32)> {
    let code_of = |txn: &Txn| match txn {
        Txn::Error { code: code @ (NO_AUTH | INVALID_ACL) } => Some(*code),
        _ => None,
    };
    match txn {
        Txn::Multi(parts) => {
            let codes = parts.iter().map(code_of).enumerate();
            codes.filter_map(|(place, code)| Some((place, code?))).collect()
        }
        txn => code_of(txn).map(|code| (0, code)).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::{AccessList, CreateCall, Reply};
    use crate::oracle::access::{READ, digest};
    use vivarium_core::config::DigestAlg;

    fn closed() -> AccessList {
        [(READ, "digest".to_owned(), digest(DigestAlg::Sha1, "u:p"))].into()
    }

    /// Session 5 has made /a, which nobody may write who is not u.
    fn run() -> Run<D05> {
        let mut run = Run::new(D05::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.grant(5, 1000, 1).unwrap();
        let create = CreateCall { acl: closed(), ..create_call("/a", false) };
        run.invoke(5, 1, Call::Create(create)).unwrap();
        let mut made = create_txn("/a", false, 1);
        made.acl = Some(closed());
        run.commit(1, header(z(1, 2), 5, 1), &Txn::Create(made)).unwrap();
        run
    }

    fn set(run: &mut Run<D05>, xid: i32, txn: &Txn) -> Result<(), String> {
        run.invoke(5, xid, Call::SetData { path: "/a".into(), data: None, version: -1 })?;
        run.commit(1, header(z(1, 2 + xid as u32), 5, xid), txn)
    }

    #[test]
    fn a_write_of_who_may_not_is_found_and_a_refusal_of_who_may() {
        let wrote = Txn::SetData { path: "/a".into(), data: None, version: 1 };
        let refused = Txn::Error { code: NO_AUTH };
        assert!(set(&mut run(), 2, &wrote).unwrap_err().contains("has to be"));
        set(&mut run(), 2, &refused).unwrap();
        assert!(set(&mut run(), 2, &Txn::Error { code: -101 }).is_err());
    }

    #[test]
    fn a_list_is_kept_as_the_rules_say() {
        let asked = |acl: AccessList| Call::SetAcl { path: "/".into(), acl, version: -1 };
        let kept = |acl: AccessList| Txn::SetAcl { path: "/".into(), acl: Some(acl), version: 1 };
        let auth: AccessList = [(READ, "auth".to_owned(), String::new())].into();
        let mut run = run();
        run.invoke(5, 2, asked(auth.clone())).unwrap();
        run.commit(1, header(z(1, 3), 5, 2), &Txn::Error { code: INVALID_ACL }).unwrap();
        let proof = Call::AddAuth { scheme: "digest".into(), proof: "u:p".into() };
        run.invoke(5, 3, proof).unwrap();
        run.ok(5, 3, z(1, 3), Reply::Empty).unwrap();
        run.invoke(5, 4, asked(auth.clone())).unwrap();
        run.commit(1, header(z(1, 4), 5, 4), &kept(closed())).unwrap();
        run.invoke(5, 5, asked(auth.clone())).unwrap();
        assert!(run.commit(1, header(z(1, 5), 5, 5), &kept(auth)).is_err());
    }

    #[test]
    fn a_proof_is_taken_or_refused_as_its_scheme_says() {
        for (scheme, good) in [("digest", true), ("nosuch", false)] {
            let proof = Call::AddAuth { scheme: scheme.into(), proof: "u:p".into() };
            let mut taken = run();
            taken.invoke(5, 2, proof.clone()).unwrap();
            assert_eq!(taken.ok(5, 2, z(1, 2), Reply::Empty).is_ok(), good);
            let mut refused = run();
            refused.invoke(5, 2, proof).unwrap();
            assert_eq!(refused.err(5, 2, z(1, 2), AUTH_FAILED).is_ok(), !good);
        }
    }
}

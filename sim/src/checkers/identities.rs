//! Who each session is known as on its present connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use vivarium_core::ids::SessionId;

use crate::cluster::client_ip;
use crate::history::{AclEntry, Call, ClientFact, SessionFact};
use crate::ids::ClientId;
use crate::oracle::access::{Identity, READ, Rules, of_address, permits, proven};

/// Whether somebody is told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    Yes,
    No,
    /// By an identity that came at about the same time.
    Perhaps,
}

#[derive(Debug, Default)]
pub(crate) struct Identities {
    of: BTreeMap<SessionId, Arc<[Identity]>>,
    /// Of clients, by their numbers; empty in the simulated world.
    addresses: Vec<String>,
}

impl Identities {
    /// Those that the next request of this session has: what a client presents counts from the request
    /// behind it.
    pub(crate) fn of(&self, session: SessionId) -> Arc<[Identity]> {
        self.of.get(&session).map_or_else(|| Arc::new([]), Arc::clone)
    }

    pub(crate) fn see_at(&mut self, addresses: &[String]) {
        self.addresses = addresses.to_vec();
    }

    fn address(&self, client: ClientId) -> Identity {
        match self.addresses.get(client.0 as usize) {
            Some(address) => of_address(address),
            None => of_address(&client_ip(client.0 as usize)),
        }
    }

    pub(crate) fn learn(&mut self, client: ClientId, fact: &ClientFact, rules: &Rules) {
        match fact {
            ClientFact::Session(SessionFact::Granted { got, .. }) => {
                let address = self.address(client);
                self.of.insert(*got, Arc::new([address]));
            }
            ClientFact::Invoke { op, call: Call::AddAuth { scheme, proof } } => {
                let Some(known) = self.of.get_mut(&op.session) else { return };
                let mut new = proven(rules, scheme, proof).unwrap_or_default();
                new.retain(|id| !known.contains(id));
                if !new.is_empty() {
                    *known = known.iter().cloned().chain(new).collect();
                }
            }
            ClientFact::Session(
                SessionFact::Left { session } | SessionFact::Expired { session, .. },
            ) => {
                self.of.remove(session);
            }
            ClientFact::Invoke { .. }
            | ClientFact::Ok { .. }
            | ClientFact::Err { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
    }

    /// Whether this session is told of what happens to a node with such a list. Its address is what it was
    /// known by all along.
    pub(crate) fn may_hear(
        &self,
        session: SessionId,
        acl: Option<&[AclEntry]>,
        rules: &Rules,
    ) -> May {
        let ids = self.of.get(&session).map_or(&[][..], |ids| ids);
        let address = &ids[..ids.len().min(1)];
        if permits(rules, acl, READ, address) {
            May::Yes
        } else if permits(rules, acl, READ, ids) {
            May::Perhaps
        } else {
            May::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::request;
    use crate::oracle::access::digest;
    use vivarium_core::ids::ServerId;

    #[test]
    fn what_a_client_presents_counts_until_it_connects_anew() {
        let (mut known, rules) = (Identities::default(), Rules::default());
        let session = SessionId(5);
        let granted = ClientFact::Session(SessionFact::Granted {
            asked: None,
            got: session,
            same_password: true,
            timeout_ms: 1000,
            server: ServerId(1),
            connection: 1,
        });
        let closed = [(READ, "digest".to_owned(), digest(rules.digest_alg, "u:p"))];
        let may = |known: &Identities| known.may_hear(session, Some(&closed), &rules);
        known.learn(ClientId(3), &granted, &rules);
        assert_eq!(known.of(session)[..], [of_address("10.0.1.3")]);
        assert_eq!(may(&known), May::No);
        let (scheme, proof) = ("digest".to_owned(), "u:p".to_owned());
        let shows = ClientFact::Invoke { op: request(5, 1), call: Call::AddAuth { scheme, proof } };
        known.learn(ClientId(3), &shows, &rules);
        known.learn(ClientId(3), &shows, &rules);
        assert_eq!(known.of(session).len(), 2);
        assert_eq!(may(&known), May::Perhaps);
        assert_eq!(known.may_hear(session, None, &rules), May::Yes);
        known.learn(ClientId(3), &granted, &rules);
        assert_eq!(may(&known), May::No);
    }
}

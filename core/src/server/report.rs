//! What words are told about this server.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::admin::four_letter::{self, Reset};
use crate::admin::report::{ExpirySet, Lead, Report, Version};
use crate::ids::SessionId;
use crate::server::Server;
use crate::server::role::Role;
use crate::server::view::{Counters, Service, View};
use crate::time::Span;

/// Clients compare the number: this is the release whose behaviour we keep.
const VERSION: Version =
    Version { number: "3.9.5", revision: "vivarium", built: env!("CARGO_PKG_VERSION") };

fn listed<'a>(sets: impl Iterator<Item = (Span, &'a BTreeSet<SessionId>)>) -> Vec<ExpirySet> {
    let listed = |(left, sessions): (_, &BTreeSet<_>)| ExpirySet {
        left,
        sessions: sessions.iter().copied().collect(),
    };
    sets.map(listed).collect()
}

impl Server {
    pub(super) fn answer_word(&mut self, word: &str) -> String {
        let allowed = &self.config.four_letter_words;
        match four_letter::reset(word, allowed, self.service != Service::None) {
            Some(Reset::Connections) => self.clients.reset_links(),
            Some(Reset::Server) => {
                self.counters = Counters::default();
                self.clients.reset_traffic();
                self.excesses.reset();
            }
            None => {}
        }
        let view = self.view();
        four_letter::answer(word, &self.config.four_letter_words, &self.report(&view))
    }

    fn report<'a>(&'a self, view: &'a View) -> Report<'a> {
        Report {
            version: VERSION,
            at: self.at,
            config: &self.config,
            view,
            db: &self.db,
            watches: self.clients.watches(),
            traffic: self.clients.traffic(),
            connections: self.clients.connections(),
            serving_since: self.serving_since,
            expiry: self.tracker.as_ref().map(|tracker| listed(tracker.expiry_sets())),
            local_expiry: self.local.as_ref().map(|local| listed(local.expiry_sets())),
            lead: self.describe_lead(),
            quota_refusals: self.excesses.refused(),
        }
    }

    fn describe_lead(&self) -> Option<Lead> {
        let leading = match &self.role {
            Role::Leading(leading) => leading,
            Role::Starting
            | Role::Looking
            | Role::Following(_)
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => return None,
        };
        let mut lead = Lead {
            learners: leading.learners(),
            synced_followers: 0,
            synced_non_voting_followers: 0,
            synced_observers: 0,
            pending_syncs: leading.pending_syncs(),
            proposal_sizes: self.proposal_sizes,
        };
        for (id, observer) in leading.synced() {
            if observer {
                lead.synced_observers += 1;
                continue;
            }
            lead.synced_followers += 1;
            let votes = id.is_some_and(|id| self.ensemble.is_voter(id));
            lead.synced_non_voting_followers += usize::from(!votes);
        }
        Some(lead)
    }
}

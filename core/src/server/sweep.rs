//! The leader's look at containers and TTL nodes: those that have outlived their purpose go, by a
//! proposal of its own, one at a time. Facts: PROTOCOL 2.5. Apache: `ContainerManager`.

use alloc::string::String;

use crate::config::ContainerRules;
use crate::ids::SessionId;
use crate::request::change::{Change, Standing, WriteRequest};
use crate::server::{Outbox, Server};
use crate::time::{Mono, Span};

/// Nodes that one step looks at.
const PAGE: usize = 256;
const MINUTE: Span = Span::from_ms(60_000);

/// One look after another over all such nodes, in the order of their paths.
#[derive(Debug)]
pub(super) struct Sweep {
    /// When this look began, or the next one will.
    began: Mono,
    /// When it goes on.
    next: Mono,
    /// It has seen everything up to here.
    seen: String,
}

impl Sweep {
    /// The first look is one interval away, so that who comes back finds its nodes.
    pub(super) fn new(now: Mono, rules: &ContainerRules) -> Self {
        let first = now + rules.check_interval;
        Self { began: first, next: first, seen: String::new() }
    }

    fn pause(&mut self, now: Mono, rules: &ContainerRules) {
        self.next = now + Span(MINUTE.0 / u64::from(rules.max_per_minute.max(1)));
    }

    fn begin_anew(&mut self, now: Mono, rules: &ContainerRules) {
        self.began = (self.began + rules.check_interval).max(now + Span::from_ms(1));
        self.next = self.began;
        self.seen.clear();
    }
}

impl Server {
    /// While nothing may be proposed, nothing is swept.
    pub(super) fn sweep_deadline(&self) -> Option<Mono> {
        self.next_zxid()?;
        self.sweep.as_ref().map(|sweep| sweep.next)
    }

    /// Goes on with the look that is due: up to the next node that has to go, or to the end of a page.
    pub(super) fn sweep_containers(&mut self, out: &mut Outbox) {
        if self.sweep_deadline().is_none_or(|at| at > self.at.mono) {
            return;
        }
        let Some(sweep) = &mut self.sweep else { return };
        let (now, rules) = (self.at, &self.config.containers);
        for _ in 0..PAGE {
            let Some(path) = self.db.next_mortal(&sweep.seen) else {
                return sweep.begin_anew(now.mono, rules);
            };
            sweep.seen = path.into();
            if self.preparer.is_outlived(&self.db, path, now.wall) {
                sweep.pause(now.mono, rules);
                let change = Change::DeleteContainer { path: path.into() };
                let session = SessionId(0);
                let request = WriteRequest {
                    session,
                    standing: Standing::Global,
                    cxid: 0,
                    ids: [].into(),
                    change,
                };
                self.replicate(&request, out);
                return;
            }
        }
        sweep.pause(now.mono, rules);
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use super::*;
    use crate::config::Config;
    use crate::ids::{OpId, ServerId, Zxid};
    use crate::server::action::{Action, DiskAction};
    use crate::server::input::{DiskInput, Input, Queue};
    use crate::server::note::Note;
    use crate::server::write::tests::serving;
    use crate::session::tracker::Owner;
    use crate::time::{Stamp, Wall};
    use crate::txn::{LoggedTxn, Txn};
    use crate::wire::client::{Create, CreateForm, WriteOp};

    const ME: SessionId = SessionId(0x0100_0000_0000_0001);

    fn log_op(action: &DiskAction) -> Option<OpId> {
        match action {
            DiskAction::Write { op, queue: Queue::Log, .. }
            | DiskAction::SetLen { op, queue: Queue::Log, .. }
            | DiskAction::SyncFile { op, queue: Queue::Log, .. }
            | DiskAction::Rename { op, queue: Queue::Log, .. }
            | DiskAction::SyncDir { op, queue: Queue::Log, .. }
            | DiskAction::Remove { op, queue: Queue::Log, .. } => Some(*op),
            DiskAction::Write { .. }
            | DiskAction::SetLen { .. }
            | DiskAction::SyncFile { .. }
            | DiskAction::Rename { .. }
            | DiskAction::SyncDir { .. }
            | DiskAction::Remove { .. }
            | DiskAction::Read { .. }
            | DiskAction::List { .. } => None,
        }
    }

    /// A server alone whose disk does everything at once.
    struct Alone {
        server: Box<Server>,
        at: Stamp,
        proposed: Vec<LoggedTxn>,
    }

    impl Alone {
        fn new() -> Self {
            let mut config = Config::with_defaults(ServerId(1), None, [0; 32]);
            config.extended_types = true;
            config.containers.max_per_minute = 60;
            let mut alone =
                Self { server: serving(config), at: Stamp::default(), proposed: Vec::new() };
            alone.ask(Change::CreateSession { timeout_ms: 60_000 });
            alone
        }

        fn ask(&mut self, change: Change) {
            let mut out = Outbox::new();
            let request = WriteRequest {
                session: ME,
                standing: Standing::Global,
                cxid: 7,
                change,
                ids: [].into(),
            };
            let zxid = self.server.next_zxid();
            if let Change::CreateSession { timeout_ms } = request.change
                && let Some(tracker) = &mut self.server.tracker
            {
                tracker.track(ME, timeout_ms, Some(Owner::Local));
            }
            assert!(zxid.is_some() && self.server.replicate(&request, &mut out));
            self.settle(&mut out);
        }

        fn create(&mut self, path: &str, form: CreateForm, flags: i32) {
            let acl = Some(crate::acl::Acl::open());
            let create = Create { path: path.into(), data: None, acl, flags, form };
            self.ask(Change::Write(WriteOp::Create(create)));
        }

        fn delete(&mut self, path: &str) {
            self.ask(Change::Write(WriteOp::Delete { path: path.into(), version: -1 }));
        }

        fn wait(&mut self, ms: u64) {
            let until = self.at.mono + Span::from_ms(ms);
            while self.at.mono < until {
                let due = self.server.deadline().map_or(until, |(at, _)| at.min(until));
                let step = due.max(self.at.mono + Span(1)).since(self.at.mono);
                self.at.mono = self.at.mono + step;
                self.at.wall = Wall((self.at.mono.0 / 1000) as i64);
                let mut out = Outbox::new();
                self.server.step(self.at, Input::Wake, &mut out);
                self.settle(&mut out);
            }
        }

        fn settle(&mut self, out: &mut Outbox) {
            loop {
                let mut newest: Option<OpId> = None;
                for action in out.drain() {
                    match action {
                        Action::Note(Note::Proposed { payload, .. }) => {
                            self.proposed.push(LoggedTxn::decode(payload).unwrap());
                        }
                        Action::Disk(disk) => newest = newest.max(log_op(&disk)),
                        Action::Note(_)
                        | Action::Link(_)
                        | Action::Admin { .. }
                        | Action::Halt(_) => {}
                    }
                }
                let Some(upto) = newest else { return };
                let done = DiskInput::Done { queue: Queue::Log, upto };
                self.server.step(self.at, Input::Disk(done), out);
            }
        }

        fn swept(&mut self) -> Vec<String> {
            let all = core::mem::take(&mut self.proposed).into_iter();
            let swept = all.filter_map(|logged| {
                let Txn::DeleteContainer { path } = logged.txn else { return None };
                assert_eq!((logged.header.session, logged.header.cxid), (SessionId(0), 0));
                assert!(logged.digest.is_some());
                Some(path)
            });
            swept.collect()
        }
    }

    #[test]
    fn a_leader_deletes_what_has_outlived_its_purpose_at_its_pace() {
        let mut alone = Alone::new();
        for path in ["/c1", "/c2", "/used", "/new"] {
            alone.create(path, CreateForm::Container, 4);
        }
        for path in ["/c1/x", "/c2/x", "/used/x"] {
            alone.create(path, CreateForm::Plain, 0);
        }
        alone.delete("/c1/x");
        alone.delete("/c2/x");
        alone.create("/ttl", CreateForm::Ttl { ms: 70_000 }, 5);
        alone.create("/plain", CreateForm::Plain, 0);
        alone.wait(59_999);
        assert_eq!(alone.swept(), Vec::<String>::new(), "the first look is an interval away");
        alone.wait(1);
        assert_eq!(alone.swept(), ["/c1"]);
        alone.wait(999);
        assert_eq!(alone.swept(), Vec::<String>::new(), "one a second");
        alone.wait(1);
        assert_eq!(alone.swept(), ["/c2"]);
        alone.wait(58_000);
        assert_eq!(alone.swept(), Vec::<String>::new(), "what is in use, or too new, stays");
        alone.wait(1_000);
        assert_eq!(alone.swept(), ["/ttl"]);
        assert_eq!(alone.server.db.node_count(), 4 + 4, "/used with its child, /new and /plain");
        alone.wait(600_000);
        assert_eq!(alone.swept(), Vec::<String>::new());
        assert!(alone.server.db.applied() > Zxid::ZERO);
    }
}

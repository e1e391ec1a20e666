//! L6: when the clients have left, and their sessions have ended, nothing of them is left at a running
//! server: no waiting request, no connection, no session, no watch.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;

#[derive(Debug, Default)]
pub(crate) struct L06;

impl Check for L06 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::AtRest])
    }

    fn needs_quorum(&self) -> bool {
        true
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let (Some(server), SimEvent::AtRest(view)) = (cx.server(), event) else { return Ok(()) };
        if cx.canon.is_spared(server) {
            return Ok(());
        }
        let left = [
            ("requests", view.outstanding),
            ("connections", view.clients),
            ("sessions", view.sessions),
            ("local sessions", view.local_sessions),
            ("sessions to watch over", view.tracked_sessions),
            ("watches", view.watches),
        ];
        match left.into_iter().find(|(_, count)| *count > 0) {
            Some((what, count)) => {
                Err(format!("{server} still has {count} {what} after the last client left"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::ids::NodeId;
    use crate::observe::Sickness;
    use vivarium_core::ids::ServerId;
    use vivarium_core::server::view::View;

    fn judge(change: impl FnOnce(&mut View)) -> Result<(), String> {
        let mut run = Run::new(L06);
        run.boot_all();
        run.feed(
            NodeId::World,
            &SimEvent::Healed { dead: Vec::new(), sick: vec![(ServerId(3), Sickness::DiskFull)] },
        )?;
        let mut view = view(2);
        change(&mut view);
        run.server(3, SimEvent::AtRest(Box::new(view.clone()))).expect("who is sick is not judged");
        run.server(2, SimEvent::AtRest(Box::new(view)))
    }

    #[test]
    fn whatever_is_left_is_found() {
        judge(|_| ()).unwrap();
        assert!(judge(|view| view.outstanding = 1).unwrap_err().contains("1 requests"));
        assert!(judge(|view| view.clients = 2).unwrap_err().contains("connections"));
        assert!(judge(|view| view.sessions = 3).unwrap_err().contains("sessions"));
        let tracked = |view: &mut View| view.tracked_sessions = 5;
        assert!(judge(tracked).unwrap_err().contains("watch over"));
        assert!(judge(|view| view.watches = 4).unwrap_err().contains("watches"));
    }
}

//! What disks had still to write when faults ended. No server can acknowledge a history before it is
//! there, so that a slow disk puts off the leader that needs it, and yet comes nearer all the time.

use std::collections::BTreeMap;

use vivarium_core::ids::{ServerId, Zxid};

use crate::checkers::Cx;

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Where each server's log ended, and how much of it was durable at the last look.
    servers: BTreeMap<ServerId, (Zxid, Option<Zxid>)>,
}

impl Backlog {
    pub(crate) fn at_heal(cx: &Cx<'_>) -> Self {
        let well = cx
            .canon
            .members
            .iter()
            .filter(|(id, member)| member.up && !cx.canon.sick.contains_key(id));
        let servers = well.filter_map(|(id, member)| {
            let end = member.log.last(&cx.canon.committed)?;
            let durable = cx.disks.durable_last_log(*id);
            (durable < Some(end)).then_some((*id, (end, durable)))
        });
        Self { servers: servers.collect() }
    }

    /// The first server whose disk has come on since the last look, and is not through.
    pub(crate) fn shrinking(&mut self, cx: &Cx<'_>) -> Option<ServerId> {
        let mut first = None;
        for (id, (end, known)) in &mut self.servers {
            let durable = cx.disks.durable_last_log(*id);
            if durable > *known && durable < Some(*end) {
                first = first.or(Some(*id));
            }
            *known = durable;
        }
        first
    }
}

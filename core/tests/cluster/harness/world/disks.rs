//! The two disk queues of each server, and its reads.

use vivarium_core::ids::OpId;
use vivarium_core::server::Input;
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{DiskInput, Queue};
use vivarium_core::storage::ops::op_of;

use super::{Event, MS, World};

impl World {
    pub(super) fn disk_action(&mut self, node: usize, action: DiskAction) {
        let boot = self.nodes[node].boot;
        let Some((queue, _)) = op_of(&action) else {
            let (low, high) = self.disk_time;
            let delay = self.rng.range(low, high);
            self.at(self.now + delay, Event::Read { node, boot, action });
            return;
        };
        self.nodes[node].queues[queue as usize].push_back(action);
        self.kick_disk(node, queue);
    }

    pub(super) fn kick_disk(&mut self, node: usize, queue: Queue) {
        let this = &mut self.nodes[node];
        if this.busy[queue as usize] || this.queues[queue as usize].is_empty() {
            return;
        }
        this.busy[queue as usize] = true;
        let boot = this.boot;
        let (low, high) = self.disk_time;
        let delay = self.rng.range(low, high);
        self.at(self.now + delay, Event::RunDisk { node, boot, queue });
    }

    pub(super) fn run_disk(&mut self, node: usize, boot: u64, queue: Queue) {
        if !self.is_up(node, boot) {
            return;
        }
        // Several operations complete at once, as they do behind one wake-up of a disk thread.
        let waiting = self.nodes[node].queues[queue as usize].len() as u64;
        let batch = self.rng.range(1, waiting.min(4));
        let mut upto = OpId(0);
        for _ in 0..batch {
            if self.cut_is_due(node) {
                self.cut_now(node, false);
                return;
            }
            let this = &mut self.nodes[node];
            let action = this.queues[queue as usize].pop_front().expect("counted above");
            let (_, op) = op_of(&action).expect("queues hold writes");
            assert!(op > upto, "ids rise within a queue");
            upto = op;
            let ops = this.disk.ops;
            this.disk.run(&action);
            self.log(|| format!("s{} disk {ops} {}", node + 1, short_disk(&action)));
        }
        self.nodes[node].busy[queue as usize] = false;
        self.step(node, Input::Disk(DiskInput::Done { queue, upto }));
        self.kick_disk(node, queue);
    }

    pub(super) fn run_read(&mut self, node: usize, boot: u64, action: DiskAction) {
        if !self.is_up(node, boot) {
            return;
        }
        let data = self.nodes[node].disk.run(&action).expect("reads answer");
        let (DiskAction::Read { read, .. } | DiskAction::List { read, .. }) = action else {
            unreachable!("only reads are scheduled here")
        };
        self.step(node, Input::Disk(DiskInput::ReadDone { read, result: Ok(data) }));
    }

    pub(super) fn cut_is_due(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.cuts.front().is_some_and(|(ops, _)| node.disk.ops >= *ops)
    }

    pub(super) fn cut_now(&mut self, node: usize, recovering: bool) {
        let (_, survivors) = self.nodes[node].cuts.pop_front().expect("a cut is due");
        self.nodes[node].cuts_in_recovery.push(recovering);
        self.power_cut(node, survivors);
        if !self.nodes[node].stay_down {
            let boot = self.nodes[node].boot;
            self.at(self.now + 100 * MS, Event::Boot { node, boot });
        }
    }
}

pub fn short_disk(action: &DiskAction) -> String {
    match action {
        DiskAction::Write { file, offset, bytes, .. } => {
            format!("write {} at {offset} +{}", file.name, bytes.len())
        }
        DiskAction::SetLen { file, len, .. } => format!("set_len {} {len}", file.name),
        DiskAction::SyncFile { file, .. } => format!("sync {}", file.name),
        DiskAction::Rename { from, to, .. } => format!("rename {} {}", from.name, to.name),
        DiskAction::SyncDir { dir, .. } => format!("sync_dir {dir:?}"),
        DiskAction::Remove { file, .. } => format!("remove {}", file.name),
        DiskAction::Read { file, offset, len, .. } => format!("read {} {offset} {len}", file.name),
        DiskAction::List { dir, .. } => format!("list {dir:?}"),
    }
}

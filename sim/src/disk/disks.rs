//! The disks of all servers.

use vivarium_core::ids::{Epoch, ServerId, Zxid};

use crate::disk::{DiskSim, Image};
use crate::disk_view::DiskView;

/// The disks of all servers, for checkers. The first is that of server 1.
#[derive(Debug)]
pub struct Disks(pub(crate) Vec<DiskSim>);

impl Disks {
    fn image(&self, server: ServerId) -> Option<&Image> {
        self.0.get(place_of(server)?).map(DiskSim::image)
    }

    pub(crate) fn of(&mut self, server: ServerId) -> &mut DiskSim {
        let disk = place_of(server).and_then(|place| self.0.get_mut(place));
        disk.expect("every server has a disk")
    }
}

/// Servers are numbered from 1 without gaps.
fn place_of(server: ServerId) -> Option<usize> {
    usize::try_from(server.0.checked_sub(1)?).ok()
}

impl DiskView for Disks {
    fn durable_has_txn(&self, server: ServerId, zxid: Zxid, hash: u64) -> bool {
        self.image(server).is_some_and(|image| image.has_txn(zxid, hash))
    }

    fn durable_has_record(&self, server: ServerId, zxid: Zxid, hash: u64) -> bool {
        self.image(server).is_some_and(|image| image.log_hash(zxid) == Some(hash))
    }

    fn durable_last_log(&self, server: ServerId) -> Option<Zxid> {
        self.image(server)?.last_log()
    }

    fn durable_snapshot(&self, server: ServerId) -> Option<Zxid> {
        self.image(server)?.snapshot()
    }

    fn durable_snapshots(&self, server: ServerId) -> Vec<Zxid> {
        self.image(server).map(|image| image.snapshots().collect()).unwrap_or_default()
    }

    fn durable_log(&self, server: ServerId) -> Vec<Zxid> {
        self.image(server).map(Image::log_zxids).unwrap_or_default()
    }

    fn rot_reach(&self, server: ServerId) -> Option<u64> {
        self.image(server)?.rot_reach()
    }

    fn durable_accepted_epoch(&self, server: ServerId) -> Option<Epoch> {
        self.image(server)?.epoch("acceptedEpoch")
    }

    fn durable_current_epoch(&self, server: ServerId) -> Option<Epoch> {
        self.image(server)?.epoch("currentEpoch")
    }
}

//! What a recovery would find of the log.

use vivarium_core::ids::Zxid;

use super::Image;

impl Image {
    /// The whole durable records of all log files, file by file.
    pub fn log_zxids(&self) -> Vec<Zxid> {
        let files = self.logs.iter().flat_map(|(_, id)| self.inodes[id].records());
        files.map(|record| record.zxid).collect()
    }

    /// Bytes of what lies whole behind the first damaged record of the newest log file; damage in an
    /// older one reaches for ever.
    pub fn rot_reach(&self) -> Option<u64> {
        let newest = self.logs.last().map(|(zxid, _)| *zxid);
        let reaches = self.logs.iter().filter_map(|(zxid, id)| {
            let reach = self.inodes[id].index()?.rot_reach()?;
            Some(if Some(*zxid) == newest { reach } else { u64::MAX })
        });
        reaches.max()
    }
}

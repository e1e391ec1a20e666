//! The bytes of one file: what its processes read, and what a power cut would leave of them.
//!
//! Both are the same but for what was written and not synced, so that only the bytes below those
//! writes are kept twice.

use std::borrow::Cow;

use bytes::Bytes;

use crate::disk::padded::Padded;
use crate::disk::survivors::Survivors;
use crate::rng::SimRng;

/// A change that no sync has made durable.
#[derive(Clone, Debug)]
enum Pending {
    Write { offset: usize, bytes: Bytes },
    SetLen(usize),
}

/// What takes one change back.
#[derive(Clone, Debug)]
struct Undo {
    len: usize,
    offset: usize,
    bytes: Bytes,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    current: Padded,
    /// Not synced, oldest first.
    pending: Vec<Pending>,
    durable: Durable,
}

/// Where the durable bytes are.
#[derive(Clone, Debug)]
enum Durable {
    /// `current` without these changes, which are those of `pending`.
    Below(Vec<Undo>),
    /// Apart: a fault made a difference that no list of changes tells. Until the power goes.
    Apart(Padded),
}

impl Default for Durable {
    fn default() -> Self {
        Self::Below(Vec::new())
    }
}

impl Content {
    /// What a process reads.
    pub(super) fn current(&self) -> &Padded {
        &self.current
    }

    /// What a power cut leaves for certain.
    pub(super) fn durable(&self) -> Cow<'_, Padded> {
        match &self.durable {
            Durable::Below(undo) if undo.is_empty() => Cow::Borrowed(&self.current),
            Durable::Below(undo) => {
                let mut content = self.current.clone();
                take_back(&mut content, undo);
                Cow::Owned(content)
            }
            Durable::Apart(content) => Cow::Borrowed(content),
        }
    }

    /// Whether a power cut changes nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty() && matches!(self.durable, Durable::Below(_))
    }

    /// Written, and not synced: what a power cut tears.
    pub(super) fn unsynced_bytes(&self) -> usize {
        let written = |pending: &Pending| match pending {
            Pending::Write { bytes, .. } => bytes.len(),
            Pending::SetLen(_) => 0,
        };
        self.pending.iter().map(written).sum()
    }

    pub(super) fn write(&mut self, offset: usize, bytes: Bytes) {
        let len = self.current.len();
        if let Durable::Below(undo) = &mut self.durable {
            let below = self.current.read(offset, offset + bytes.len());
            undo.push(Undo { len, offset, bytes: below });
        }
        self.current.write(offset, &bytes);
        self.pending.push(Pending::Write { offset, bytes });
    }

    pub(super) fn set_len(&mut self, to: usize) {
        let len = self.current.len();
        if let Durable::Below(undo) = &mut self.durable {
            let cut = self.current.head_from(to);
            undo.push(Undo { len, offset: to, bytes: cut });
        }
        self.current.resize(to);
        self.pending.push(Pending::SetLen(to));
    }

    /// Makes everything durable that is pending. Returns the first byte that this may have changed.
    pub(super) fn sync(&mut self) -> Option<u64> {
        let pending = std::mem::take(&mut self.pending);
        let first = pending.iter().map(Pending::first).min();
        match &mut self.durable {
            Durable::Below(undo) => undo.clear(),
            Durable::Apart(content) => pending.iter().for_each(|effect| effect.apply(content)),
        }
        first
    }

    /// A failed fsync: the kernel marks the pages clean, so that no later fsync writes them.
    pub(super) fn lose_pending(&mut self) {
        if !self.pending.is_empty() {
            self.set_apart();
            self.pending.clear();
        }
    }

    /// The machine lost power. Returns the first byte that what survived may have changed.
    pub(super) fn power_loss(
        &mut self,
        survivors: Survivors,
        sector: Option<usize>,
        rng: &mut SimRng,
    ) -> Option<u64> {
        match std::mem::take(&mut self.durable) {
            Durable::Below(undo) => take_back(&mut self.current, &undo),
            Durable::Apart(content) => self.current = content,
        }
        let pending = survivors.keep(std::mem::take(&mut self.pending), rng);
        let first = pending.iter().map(Pending::first).min();
        for effect in pending {
            effect.apply_torn(&mut self.current, sector, rng);
        }
        first
    }

    /// A fault changes bytes on the platter, and in every copy of them.
    pub(super) fn damage(&mut self, harm: impl Fn(&mut Padded)) {
        self.set_apart();
        harm(&mut self.current);
        if let Durable::Apart(content) = &mut self.durable {
            harm(content);
        }
    }

    fn set_apart(&mut self) {
        if matches!(self.durable, Durable::Below(_)) {
            self.durable = Durable::Apart(self.durable().into_owned());
        }
    }
}

impl Pending {
    /// The first byte that it touches, or an earlier one.
    fn first(&self) -> u64 {
        match self {
            Self::Write { offset, .. } => *offset as u64,
            Self::SetLen(len) => *len as u64,
        }
    }

    fn apply(&self, content: &mut Padded) {
        match self {
            Self::Write { offset, bytes } => content.write(*offset, bytes),
            Self::SetLen(len) => content.resize(*len),
        }
    }

    /// As `apply`, or in part: what a power cut leaves of a write, where `sector` bytes are written as
    /// a whole or not at all.
    fn apply_torn(&self, content: &mut Padded, sector: Option<usize>, rng: &mut SimRng) {
        let (Self::Write { offset, bytes }, Some(sector)) = (self, sector) else {
            return self.apply(content);
        };
        if rng.chance(500) {
            return self.apply(content);
        }
        let mut at = 0;
        while at < bytes.len() {
            let border = ((offset + at) / sector + 1) * sector - offset;
            let to = border.min(bytes.len());
            if rng.chance(500) {
                content.overwrite(offset + at, &bytes[at..to]);
            }
            at = to;
        }
    }
}

/// Takes changes back, the newest first.
fn take_back(content: &mut Padded, undo: &[Undo]) {
    for Undo { len, offset, bytes } in undo.iter().rev() {
        content.resize(*len);
        content.overwrite(*offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// Two whole copies, as a disk with a cache has them.
    #[derive(Default)]
    struct Model {
        current: Padded,
        durable: Padded,
        pending: Vec<Pending>,
    }

    impl Model {
        fn change(&mut self, effect: Pending) {
            effect.apply(&mut self.current);
            self.pending.push(effect);
        }

        fn sync(&mut self) {
            let pending = std::mem::take(&mut self.pending);
            pending.iter().for_each(|effect| effect.apply(&mut self.durable));
        }
    }

    #[test]
    fn a_content_is_what_two_whole_copies_would_be() {
        for seed in 0..300 {
            let mut rng = SimRng::new(seed, Stream::Disk, 0);
            let (mut content, mut model) = (Content::default(), Model::default());
            for _ in 0..40 {
                match rng.below(12) {
                    0..=5 => {
                        let offset = rng.below(40) as usize;
                        let bytes = Bytes::from(vec![rng.below(250) as u8; rng.below(20) as usize]);
                        content.write(offset, bytes.clone());
                        model.change(Pending::Write { offset, bytes });
                    }
                    6 => {
                        let len = rng.below(50) as usize;
                        content.set_len(len);
                        model.change(Pending::SetLen(len));
                    }
                    7 | 8 => {
                        content.sync();
                        model.sync();
                    }
                    9 => {
                        content.lose_pending();
                        model.pending.clear();
                    }
                    10 if model.durable.len() > 0 && model.current.len() > 0 => {
                        let flip = |bytes: &mut Padded| bytes.flip(0, 4);
                        content.damage(flip);
                        flip(&mut model.current);
                        flip(&mut model.durable);
                    }
                    11 => {
                        content.power_loss(Survivors::Nothing, None, &mut rng);
                        model.pending.clear();
                        model.current.clone_from(&model.durable);
                    }
                    _ => {}
                }
                assert_eq!(content.current().whole(), model.current.whole(), "seed {seed}");
                assert_eq!(content.durable().whole(), model.durable.whole(), "seed {seed}");
            }
        }
    }
}

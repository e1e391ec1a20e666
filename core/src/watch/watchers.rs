//! Who watches one path, and how.

use alloc::collections::BTreeMap;

use super::modes::Modes;
use crate::ids::LinkId;

/// Most paths have one watcher: it costs no allocation of its own.
#[derive(Debug)]
pub(super) enum Watchers {
    One(LinkId, Modes),
    /// Empty only between a change and the removal of the path.
    Many(BTreeMap<LinkId, Modes>),
}

impl Watchers {
    pub(super) fn modes(&self, link: LinkId) -> Modes {
        match self {
            Self::One(one, modes) if *one == link => *modes,
            Self::One(..) => Modes::NONE,
            Self::Many(all) => all.get(&link).copied().unwrap_or_default(),
        }
    }

    /// `modes` may be none: the link watches no more.
    pub(super) fn set(&mut self, link: LinkId, modes: Modes) {
        match self {
            Self::One(one, held) if *one == link && modes != Modes::NONE => *held = modes,
            Self::One(one, _) if *one == link => *self = Self::Many(BTreeMap::new()),
            Self::One(one, held) => *self = Self::Many([(*one, *held), (link, modes)].into()),
            Self::Many(all) if modes == Modes::NONE => {
                all.remove(&link);
                self.shrink();
            }
            Self::Many(all) => {
                all.insert(link, modes);
            }
        }
    }

    /// Changes the modes of all in link order, and drops those who are left without any.
    pub(super) fn update(&mut self, mut change: impl FnMut(LinkId, Modes) -> Modes) {
        match self {
            Self::One(link, modes) => {
                *modes = change(*link, *modes);
                if *modes == Modes::NONE {
                    *self = Self::Many(BTreeMap::new());
                }
            }
            Self::Many(all) => {
                all.retain(|link, modes| {
                    *modes = change(*link, *modes);
                    *modes != Modes::NONE
                });
                self.shrink();
            }
        }
    }

    fn shrink(&mut self) {
        if let Self::Many(all) = self
            && all.len() == 1
            && let Some((link, modes)) = all.pop_first()
        {
            *self = Self::One(link, modes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Many(all) if all.is_empty())
    }

    /// In link order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, Modes)> {
        let (one, many) = match self {
            Self::One(link, modes) => (Some((*link, *modes)), None),
            Self::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(link, modes)| (*link, *modes)))
    }
}

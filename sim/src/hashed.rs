//! Maps that nobody walks through in an order that shows: quicker than ordered ones. Their hasher is
//! seeded with nothing, so that a seed is the same run everywhere.

use foldhash::fast::FixedState;

pub(crate) type HashedMap<K, V> = hashbrown::HashMap<K, V, FixedState>;
pub(crate) type HashedSet<K> = hashbrown::HashSet<K, FixedState>;

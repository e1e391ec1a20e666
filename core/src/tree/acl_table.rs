//! Access lists by number: a node stores the number, each list is kept once.
//! Apache: `ReferenceCountedACLCache`.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{BufMut, BytesMut};

use crate::acl::{Acl, Id};
use crate::wire::jute::JuteWrite;

/// The number of a null list: open to everybody and never listed in a snapshot.
/// Apache: `OPEN_UNSAFE_ACL_ID`.
pub const OPEN_ACL_ID: i64 = -1;

#[derive(Debug)]
struct Entry {
    acl: Arc<[Acl]>,
    used_by: usize,
}

/// Numbers count up from 1 and are not reused while the process lives; unused lists vanish.
#[derive(Debug)]
pub(super) struct AclTable {
    by_id: BTreeMap<i64, Entry>,
    by_list: BTreeMap<Arc<[Acl]>, i64>,
    open: Arc<[Acl]>,
    last_id: i64,
}

impl AclTable {
    pub(super) fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_list: BTreeMap::new(),
            open: Acl::open().into(),
            last_id: 0,
        }
    }

    /// The number of a list, with one more user.
    pub(super) fn acquire(&mut self, acl: Option<&[Acl]>) -> i64 {
        let Some(acl) = acl else { return OPEN_ACL_ID };
        if let Some(&id) = self.by_list.get(acl) {
            self.acquire_id(id);
            return id;
        }
        let id = self.free_id();
        self.insert(id, acl.into());
        self.acquire_id(id);
        id
    }

    /// Counts one more node that carries `id`. An unknown number gets a list that lets nobody in.
    ///
    /// Apache numbers lists while it walks the tree, so that a fuzzy snapshot may name a list that
    /// its own table lacks; replay of the transaction that brought the list repairs the node.
    pub(super) fn acquire_id(&mut self, id: i64) {
        if id == OPEN_ACL_ID {
            return;
        }
        if !self.by_id.contains_key(&id) {
            self.insert(id, closed());
        }
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.used_by += 1;
        }
    }

    pub(super) fn release(&mut self, id: i64) {
        if id == OPEN_ACL_ID {
            return;
        }
        let entry =
            self.by_id.get_mut(&id).expect("a node's ACL id is in the table while it lives");
        entry.used_by -= 1;
        if entry.used_by == 0 {
            self.remove(id);
        }
    }

    /// A list as a snapshot numbers it; unused until a node names it.
    pub(super) fn insert(&mut self, id: i64, acl: Arc<[Acl]>) {
        if id == OPEN_ACL_ID {
            return;
        }
        self.last_id = self.last_id.max(id);
        let replaced = self.by_id.remove(&id);
        if let Some(old) = &replaced {
            self.forget_list(id, &old.acl);
        }
        let used_by = replaced.map_or(0, |old| old.used_by);
        self.by_list.insert(Arc::clone(&acl), id);
        self.by_id.insert(id, Entry { acl, used_by });
    }

    pub(super) fn purge_unused(&mut self) {
        let unused: Vec<i64> =
            self.by_id.iter().filter(|(_, entry)| entry.used_by == 0).map(|(&id, _)| id).collect();
        for id in unused {
            self.remove(id);
        }
    }

    /// What a list means to readers: null is open to everybody.
    pub(super) fn list(&self, id: i64) -> &Arc<[Acl]> {
        if id == OPEN_ACL_ID {
            return &self.open;
        }
        &self.by_id.get(&id).expect("a node's ACL id is in the table while it lives").acl
    }

    /// Entries as stored: none for the null list.
    pub(super) fn stored(&self, id: i64) -> &[Acl] {
        if id == OPEN_ACL_ID { &[] } else { self.list(id) }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The ACL part of a snapshot (PROTOCOL 4.4).
    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_i32(self.by_id.len() as i32);
        for (&id, entry) in &self.by_id {
            out.put_i64(id);
            out.put_acl_vector(Some(&entry.acl));
        }
    }

    /// Numbers of a damaged or hostile file may end at the largest one: then search for a gap.
    fn free_id(&self) -> i64 {
        let mut id = self.last_id.checked_add(1).unwrap_or(1);
        while self.by_id.contains_key(&id) {
            id += 1;
        }
        id
    }

    fn remove(&mut self, id: i64) {
        if let Some(old) = self.by_id.remove(&id) {
            self.forget_list(id, &old.acl);
        }
    }

    /// Two numbers may stand for the same list in a snapshot of Apache's.
    fn forget_list(&mut self, id: i64, acl: &Arc<[Acl]>) {
        if self.by_list.get(acl) == Some(&id) {
            self.by_list.remove(acl);
        }
    }
}

fn closed() -> Arc<[Acl]> {
    [Acl { perms: 0, id: Id { scheme: "world".into(), id: "anyone".into() } }].into()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::acl::PERM_READ;

    #[test]
    fn lists_are_numbered_from_one_and_vanish_with_their_last_user() {
        let mut table = AclTable::new();
        let read = vec![Acl::world(PERM_READ)];
        assert_eq!(table.acquire(None), OPEN_ACL_ID);
        assert_eq!(table.acquire(Some(&read)), 1);
        assert_eq!(table.acquire(Some(&Acl::open())), 2);
        assert_eq!(table.acquire(Some(&read)), 1);
        table.release(1);
        assert_eq!(table.list(1).to_vec(), read);
        table.release(1);
        assert_eq!(table.len(), 1);
        assert_eq!(table.acquire(Some(&read)), 3);
    }

    #[test]
    fn an_empty_list_is_not_the_null_list() {
        let mut table = AclTable::new();
        assert_eq!(table.acquire(Some(&[])), 1);
        assert_eq!(table.list(1).to_vec(), []);
        assert_eq!(table.list(OPEN_ACL_ID).to_vec(), Acl::open());
        assert_eq!(table.stored(OPEN_ACL_ID), &[]);
    }

    #[test]
    fn an_unknown_number_lets_nobody_in_and_is_not_handed_out_again() {
        let mut table = AclTable::new();
        table.acquire_id(7);
        assert_eq!(table.list(7)[0].perms, 0);
        assert_eq!(table.acquire(Some(&Acl::open())), 8);
    }

    #[test]
    fn one_list_under_two_numbers_keeps_both() {
        let mut table = AclTable::new();
        table.insert(3, Acl::open().into());
        table.insert(5, Acl::open().into());
        table.acquire_id(3);
        table.acquire_id(5);
        table.release(3);
        assert_eq!(table.acquire(Some(&Acl::open())), 5);
        table.release(5);
        assert_eq!(table.list(5).to_vec(), Acl::open());
    }

    #[test]
    fn the_largest_number_does_not_stop_the_count() {
        let mut table = AclTable::new();
        table.insert(i64::MAX, [].into());
        table.insert(1, Acl::open().into());
        table.acquire_id(1);
        assert_eq!(table.acquire(Some(&[Acl::world(PERM_READ)])), 2);
    }
}

//! Names of children in a reply: one buffer for all of them, since a folder may have thousands.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, BytesMut};

use crate::wire::jute::{JuteError, Reader};

/// Of one name with its length: what is reserved, no limit.
const USUAL_LEN: usize = 20;

/// A list of names in their wire form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Names {
    count: usize,
    /// Each name behind its length.
    packed: Vec<u8>,
}

impl Names {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut rest = &self.packed[..];
        core::iter::from_fn(move || {
            let (len, behind) = rest.split_first_chunk()?;
            let (name, behind) = behind.split_at(u32::from_be_bytes(*len) as usize);
            rest = behind;
            Some(core::str::from_utf8(name).expect("`push` takes text alone"))
        })
    }

    pub fn push(&mut self, name: &str) {
        self.count += 1;
        self.packed.put_u32(name.len() as u32);
        self.packed.put_slice(name.as_bytes());
    }

    /// Bytes of all names with their lengths.
    pub(super) fn wire_len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_i32(self.count as i32);
        out.put_slice(&self.packed);
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, JuteError> {
        Ok(reader.vector(4, Reader::string)?.unwrap_or_default().into_iter().collect())
    }
}

impl<S: AsRef<str>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let names = names.into_iter();
        let mut all = Self::default();
        all.packed.reserve(names.size_hint().0 * USUAL_LEN);
        names.for_each(|name| all.push(name.as_ref()));
        all
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

//! Jute binary encoding (PROTOCOL 1.1). Apache: `BinaryInputArchive`, `BinaryOutputArchive`.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::acl::{Acl, Id};

/// Why bytes are not the record that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JuteError {
    #[error("the record ends after {have} of {need} bytes")]
    Truncated { need: usize, have: usize },
    #[error("length {0} is negative or larger than what is there")]
    BadLength(i32),
    #[error("{0} is no legal value here")]
    BadValue(i32),
    #[error("{0} bytes are left over")]
    Trailing(usize),
}

/// Reads one record from bytes that are all there. Slices share the input's memory.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// All that was not read.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    pub fn finish(self) -> Result<(), JuteError> {
        if self.rest.is_empty() { Ok(()) } else { Err(JuteError::Trailing(self.rest.len())) }
    }

    fn need(&self, need: usize) -> Result<(), JuteError> {
        let have = self.rest.len();
        if have < need { Err(JuteError::Truncated { need, have }) } else { Ok(()) }
    }

    pub fn u8(&mut self) -> Result<u8, JuteError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }

    /// Any byte but zero is true.
    pub fn bool(&mut self) -> Result<bool, JuteError> {
        Ok(self.u8()? != 0)
    }

    pub fn i32(&mut self) -> Result<i32, JuteError> {
        self.need(4)?;
        Ok(self.rest.get_i32())
    }

    pub fn i64(&mut self) -> Result<i64, JuteError> {
        self.need(8)?;
        Ok(self.rest.get_i64())
    }

    /// `None` is the null buffer (length -1), distinct from an empty one (T26).
    pub fn buffer(&mut self) -> Result<Option<Bytes>, JuteError> {
        Ok(self.length()?.map(|size| self.rest.split_to(size)))
    }

    /// Of what lies right behind, and is all there.
    fn length(&mut self) -> Result<Option<usize>, JuteError> {
        let len = self.i32()?;
        if len == -1 {
            return Ok(None);
        }
        let size = usize::try_from(len).ok().filter(|size| *size <= self.rest.len());
        size.map(Some).ok_or(JuteError::BadLength(len))
    }

    /// Malformed UTF-8 becomes U+FFFD, as Java's decoder does.
    pub fn ustring(&mut self) -> Result<Option<String>, JuteError> {
        let Some(size) = self.length()? else { return Ok(None) };
        let text = String::from_utf8_lossy(&self.rest[..size]).into_owned();
        self.rest.advance(size);
        Ok(Some(text))
    }

    /// A null string reads as empty: for fields where null has no meaning of its own.
    pub fn string(&mut self) -> Result<String, JuteError> {
        Ok(self.ustring()?.unwrap_or_default())
    }

    /// A vector whose elements take at least `min` bytes each; `None` is the null vector.
    /// The count is bounded by what is left, so that it cannot make us allocate.
    pub fn vector<T>(
        &mut self,
        min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, JuteError>,
    ) -> Result<Option<Vec<T>>, JuteError> {
        let count = self.i32()?;
        if count == -1 {
            return Ok(None);
        }
        let size = usize::try_from(count).map_err(|_| JuteError::BadLength(count))?;
        if size.saturating_mul(min.max(1)) > self.rest.len() {
            return Err(JuteError::BadLength(count));
        }
        (0..size).map(|_| element(self)).collect::<Result<_, _>>().map(Some)
    }

    pub fn id(&mut self) -> Result<Id, JuteError> {
        Ok(Id { scheme: self.string()?, id: self.string()? })
    }

    pub fn acl_vector(&mut self) -> Result<Option<Vec<Acl>>, JuteError> {
        self.vector(12, |reader| Ok(Acl { perms: reader.i32()?, id: reader.id()? }))
    }
}

/// Writes records to the end of a buffer.
pub trait JuteWrite {
    fn put_bool(&mut self, value: bool);
    fn put_buffer(&mut self, value: Option<&[u8]>);
    fn put_ustring(&mut self, value: &str);
    fn put_id(&mut self, id: &Id);
    fn put_acl_vector(&mut self, acl: Option<&[Acl]>);
    fn put_vector<T>(&mut self, items: Option<&[T]>, put: impl FnMut(&mut Self, &T));
}

impl JuteWrite for BytesMut {
    fn put_bool(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }

    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_i32(-1),
            Some(bytes) => {
                self.put_i32(bytes.len() as i32);
                self.put_slice(bytes);
            }
        }
    }

    fn put_ustring(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }

    fn put_id(&mut self, id: &Id) {
        self.put_ustring(&id.scheme);
        self.put_ustring(&id.id);
    }

    fn put_acl_vector(&mut self, acl: Option<&[Acl]>) {
        self.put_vector(acl, |out, entry| {
            out.put_i32(entry.perms);
            out.put_id(&entry.id);
        });
    }

    fn put_vector<T>(&mut self, items: Option<&[T]>, mut put: impl FnMut(&mut Self, &T)) {
        match items {
            None => self.put_i32(-1),
            Some(items) => {
                self.put_i32(items.len() as i32);
                for item in items {
                    put(self, item);
                }
            }
        }
    }
}

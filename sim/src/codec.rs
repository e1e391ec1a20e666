//! Big-endian records of ZooKeeper, read and written without core: an independent second reading.

use core::ops::Range;

use bytes::Bytes;

/// Reads one buffer from the front. `None`: the bytes end too early or lie about a length.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    pub fn rest(self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, len: usize) -> Option<Range<usize>> {
        let taken = self.at..self.at.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        self.at = taken.end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.take(N)?;
        self.bytes[taken].try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn bool(&mut self) -> Option<bool> {
        self.u8().map(|byte| byte != 0)
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Where the bytes lie, behind their length; -1 is null, and not the same as empty.
    fn counted(&mut self) -> Option<Option<Range<usize>>> {
        match self.i32()? {
            -1 => Some(None),
            len => Some(Some(self.take(usize::try_from(len).ok()?)?)),
        }
    }

    /// Length -1 is null, and not the same as empty.
    pub fn buffer(&mut self) -> Option<Option<Bytes>> {
        Some(self.counted()?.map(|taken| self.bytes.slice(taken)))
    }

    pub fn string(&mut self) -> Option<String> {
        let taken = self.counted()??;
        core::str::from_utf8(&self.bytes[taken]).ok().map(String::from)
    }

    /// A vector of strings; a null vector is `Some(None)`, and none of them may be null.
    pub fn strings(&mut self) -> Option<Option<Vec<&str>>> {
        let Some(places) = self.vector(|reader| reader.counted().flatten())? else {
            return Some(None);
        };
        let text = |place| core::str::from_utf8(&self.bytes[place]).ok();
        places.into_iter().map(text).collect::<Option<Vec<_>>>().map(Some)
    }

    /// A vector whose elements `read` reads; a null vector is `Some(None)`.
    pub fn vector<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Option<Vec<T>>> {
        let count = self.i32()?;
        if count == -1 {
            return Some(None);
        }
        let count = usize::try_from(count).ok()?;
        // Every element has at least one byte: a count beyond that is a lie.
        if count > self.left() {
            return None;
        }
        (0..count).map(|_| read(self)).collect::<Option<Vec<T>>>().map(Some)
    }
}

/// Appends records to a growing buffer.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn buffer(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => self.i32(-1),
            Some(bytes) => self.i32(i32::try_from(bytes.len()).expect("small")).raw(bytes),
        }
    }

    pub fn string(&mut self, text: &str) -> &mut Self {
        self.buffer(Some(text.as_bytes()))
    }

    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }

    /// The bytes behind their length, as the client port frames them.
    pub fn frame(self) -> Bytes {
        let mut framed = Self::new();
        framed.buffer(Some(&self.bytes));
        framed.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new();
        writer.i32(-7).i64(1 << 40).bool(true).buffer(None).buffer(Some(b"")).string("/a");
        let mut reader = Reader::new(writer.finish());
        assert_eq!(reader.i32(), Some(-7));
        assert_eq!(reader.i64(), Some(1 << 40));
        assert_eq!(reader.bool(), Some(true));
        assert_eq!(reader.buffer(), Some(None));
        assert_eq!(reader.buffer().flatten().as_deref(), Some(&b""[..]));
        assert_eq!(reader.string().as_deref(), Some("/a"));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        let mut writer = Writer::new();
        writer.i32(9).raw(b"abc");
        assert_eq!(Reader::new(writer.clone().finish()).buffer(), None);
        assert_eq!(Reader::new(writer.finish()).vector(Reader::u8), None);
    }
}

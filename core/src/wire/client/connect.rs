//! The first exchange of a client connection. Facts: PROTOCOL 1.2.

use bytes::{BufMut, Bytes, BytesMut};

use super::{ConnectRequest, ConnectResponse};
use crate::ids::SessionId;
use crate::wire::frame::put_frame;
use crate::wire::jute::{JuteError, JuteWrite, Reader};

impl ConnectRequest {
    /// Decodes the payload of the first frame.
    pub fn decode(frame: Bytes) -> Result<Self, JuteError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: reader.i64()?,
            timeout_ms: reader.i32()?,
            session: session(reader.i64()?),
            password: reader.buffer()?.unwrap_or_default(),
            read_only: optional_bool(&mut reader)?,
        })
    }

    /// Appends the whole frame, length included.
    pub fn encode(&self, out: &mut BytesMut) {
        put_frame(out, |out| {
            out.put_i32(self.protocol_version);
            out.put_i64(self.last_zxid_seen);
            out.put_i32(self.timeout_ms);
            out.put_i64(self.session.map_or(0, |session| session.0));
            out.put_buffer(Some(&self.password));
            put_optional_bool(self.read_only, out);
        });
    }
}

impl ConnectResponse {
    /// Decodes the payload of the first frame that a server sends.
    pub fn decode(frame: Bytes) -> Result<Self, JuteError> {
        let mut reader = Reader::new(frame);
        let _protocol_version = reader.i32()?;
        Ok(Self {
            timeout_ms: reader.i32()?,
            session: session(reader.i64()?),
            password: {
                let bytes = reader.buffer()?.unwrap_or_default();
                let wrong = JuteError::BadLength(bytes.len() as i32);
                bytes.as_ref().try_into().map_err(|_| wrong)?
            },
            read_only: optional_bool(&mut reader)?,
        })
    }

    /// Appends the whole frame, length included.
    pub fn encode(&self, out: &mut BytesMut) {
        put_frame(out, |out| {
            out.put_i32(0);
            out.put_i32(self.timeout_ms);
            out.put_i64(self.session.map_or(0, |session| session.0));
            out.put_buffer(Some(&self.password));
            put_optional_bool(self.read_only, out);
        });
    }
}

fn session(raw: i64) -> Option<SessionId> {
    if raw == 0 { None } else { Some(SessionId(raw)) }
}

/// The last byte of the connect records, which old peers do not know (T5).
fn optional_bool(reader: &mut Reader) -> Result<Option<bool>, JuteError> {
    if reader.remaining() == 0 { Ok(None) } else { reader.bool().map(Some) }
}

fn put_optional_bool(value: Option<bool>, out: &mut BytesMut) {
    if let Some(value) = value {
        out.put_bool(value);
    }
}

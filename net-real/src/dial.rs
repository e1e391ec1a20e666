//! One attempt to connect: resolve the name anew, then try its addresses in order.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use vivarium_core::ids::DialId;
use vivarium_core::server::input::{DialError, Plane};

/// A finished attempt.
#[derive(Debug)]
pub struct Dialed {
    pub dial: DialId,
    pub plane: Plane,
    pub result: Result<TcpStream, DialError>,
}

pub async fn dial(dial: DialId, plane: Plane, host: String, port: u16, limit: Duration) -> Dialed {
    let result = match tokio::time::timeout(limit, connect(&host, port, limit)).await {
        Ok(result) => result,
        Err(_) => Err(DialError::TimedOut),
    };
    Dialed { dial, plane, result }
}

/// An address that answers nothing leaves the others their share of the time.
async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, DialError> {
    let Ok(addresses) = tokio::net::lookup_host((host, port)).await else {
        return Err(DialError::Unresolved);
    };
    let addresses: Vec<_> = addresses.collect();
    let share = limit / (addresses.len() as u32 + 1);
    let mut why = DialError::Unresolved;
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = reason(error.kind()),
            Err(_) => why = DialError::TimedOut,
        }
    }
    Err(why)
}

fn reason(kind: io::ErrorKind) -> DialError {
    if kind == io::ErrorKind::ConnectionRefused {
        DialError::Refused
    } else if kind == io::ErrorKind::TimedOut {
        DialError::TimedOut
    } else {
        DialError::Other
    }
}

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
    let result = match tokio::time::timeout(limit, connect(&host, port)).await {
        Ok(result) => result,
        Err(_) => Err(DialError::TimedOut),
    };
    Dialed { dial, plane, result }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let Ok(addresses) = tokio::net::lookup_host((host, port)).await else {
        return Err(DialError::Unresolved);
    };
    let mut why = DialError::Unresolved;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => why = reason(error.kind()),
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

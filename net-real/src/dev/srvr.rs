//! The four-letter word `srvr`: whether a server serves, as what, and how far it is.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that answers at all answers faster.
const LIMIT: Duration = Duration::from_secs(1);
/// An answer is a few hundred bytes.
const LONGEST: u64 = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srvr {
    /// `leader`, `follower`, `observer`, `standalone`.
    pub mode: String,
    pub zxid: String,
}

impl Srvr {
    /// `None`: it does not serve.
    pub async fn ask(port: u16) -> Option<Self> {
        let answer = tokio::time::timeout(LIMIT, word(port)).await.ok()?.ok()?;
        Self::parse(&answer)
    }

    fn parse(answer: &str) -> Option<Self> {
        let find = |key| answer.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        Some(Self { mode: find("Mode: ")?, zxid: find("Zxid: ")? })
    }

    pub fn leads(&self) -> bool {
        self.mode == "leader"
    }

    /// Of two that say that they lead, the newer epoch is right.
    pub fn epoch(&self) -> u64 {
        let digits = self.zxid.strip_prefix("0x").unwrap_or_default();
        u64::from_str_radix(digits, 16).unwrap_or(0) >> 32
    }
}

async fn word(port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"srvr").await?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_serves_is_read_and_one_that_does_not_is_none() {
        let text = "Zookeeper version: 3.9.5\nZxid: 0x500000007\nMode: leader\nNode count: 5\n";
        let srvr = Srvr::parse(text).unwrap();
        assert!(srvr.leads());
        assert_eq!(srvr.epoch(), 5);
        let not = "This ZooKeeper instance is not currently serving requests\n";
        assert_eq!(Srvr::parse(not), None);
    }
}

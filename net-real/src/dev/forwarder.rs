//! The wires between the servers: every connection of the quorum and election ports runs through
//! this process, so that it can be cut.
//!
//! A cut is silence, as on a real network: bytes and ends of connections wait on this side and
//! arrive after the heal; who connects is met by nobody. A server whose process is gone refuses, as
//! a machine without that process does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::now;
use crate::dev::cuts::Cuts;
use crate::dev::ports::Port;
use crate::dev::talk::Number;

const CHUNK: usize = 64 << 10;
/// What a caller may say to a server that it cannot reach; then nobody listens even here.
const MOST_EARLY: usize = 64 << 10;
/// How long a process may take from its start to its open ports.
const BOOT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);
/// Rest after an error that is not a connection's own, as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all wires look at.
#[derive(Clone, Debug)]
pub struct Net {
    cuts: watch::Receiver<Cuts>,
    /// Whether the process of the server at the far end lives.
    alive: watch::Receiver<bool>,
}

/// The way from one server to one port of another.
#[derive(Debug)]
pub struct Wire {
    from: Number,
    to: Number,
    /// Where `from` believes `to` to be.
    door: Port,
    target: SocketAddr,
    net: Net,
}

impl Net {
    pub fn new(cuts: watch::Receiver<Cuts>, alive: watch::Receiver<bool>) -> Self {
        Self { cuts, alive }
    }
}

impl Wire {
    pub fn new(from: Number, to: Number, door: Port, target: u16, net: Net) -> Self {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
        Self { from, to, door, target, net }
    }

    /// Never ends; dropping it ends all connections.
    pub async fn run(mut self) {
        let mut carried = JoinSet::new();
        loop {
            self.answering(true).await;
            let listener = match self.door.listen() {
                Ok(listener) => listener,
                Err(error) => {
                    eprintln!("vivarium dev: the way from {} to {}: {error}", self.from, self.to);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.accept(&listener, &mut carried).await;
        }
    }

    /// Takes calls as long as callers may not learn that nobody is there.
    async fn accept(&mut self, listener: &TcpListener, carried: &mut JoinSet<()>) {
        let (from, to, target) = (self.from, self.to, self.target);
        let net = self.net.clone();
        loop {
            tokio::select! {
                biased;
                () = self.answering(false) => return,
                Some(_) = carried.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((near, _)) => {
                        let call = Call { from, to, net: net.clone() };
                        carried.spawn(call.carry(near, target));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        }
    }

    /// Resolves once callers are met by silence or by the server (`true`), or by a refusal.
    async fn answering(&mut self, wanted: bool) {
        loop {
            let cut = !self.net.cuts.borrow_and_update().connects(self.from, self.to);
            let alive = *self.net.alive.borrow_and_update();
            if (alive || cut) == wanted {
                return;
            }
            let changed = tokio::select! {
                changed = self.net.cuts.changed() => changed,
                changed = self.net.alive.changed() => changed,
            };
            if changed.is_err() {
                // The ensemble is gone, and this with it.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Call {
    from: Number,
    to: Number,
    net: Net,
}

impl Call {
    async fn carry(mut self, mut near: TcpStream, target: SocketAddr) {
        let Ok(early) = self.met_by_silence(&mut near).await else { return };
        let Ok(mut far) = self.connect(target).await else { return };
        // Small packets must not wait for each other.
        let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
        let (from, to) = (self.from, self.to);
        let (mut there, mut back) = (self.net.cuts.clone(), self.net.cuts.clone());
        let (near_read, near_write) = near.split();
        let (far_read, mut far_write) = far.split();
        let sent = far_write.write_all(&early).await;
        let broken = sent.is_err()
            || tokio::try_join!(
                pump(near_read, far_write, |cuts| cuts.passes(from, to), &mut there),
                pump(far_read, near_write, |cuts| cuts.passes(to, from), &mut back),
            )
            .is_err();
        if broken {
            // A reset crosses a cut as little as anything else.
            let _ = self.net.cuts.wait_for(|cuts| cuts.connects(from, to)).await;
            for stream in [&near, &far] {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
        }
    }

    /// While the way is cut, keeps what the caller says; an error when it hangs up, so that the
    /// server never hears of attempts that were given up.
    async fn met_by_silence(&mut self, near: &mut TcpStream) -> io::Result<Vec<u8>> {
        let (from, to) = (self.from, self.to);
        let mut early = Vec::new();
        loop {
            let healed = self.net.cuts.wait_for(|cuts| cuts.connects(from, to));
            let full = early.len() >= MOST_EARLY;
            let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
            tokio::select! {
                biased;
                healed = healed => return healed.map(|_| early).map_err(|_| gone()),
                read = near.read_buf(&mut early), if !full => if read? == 0 {
                    return Err(gone());
                }
            }
        }
    }

    /// A process that has just been started opens its ports in a moment: its callers wait.
    async fn connect(&mut self, target: SocketAddr) -> io::Result<TcpStream> {
        let until = now() + BOOT;
        loop {
            match TcpStream::connect(target).await {
                Err(_) if *self.net.alive.borrow() && now() < until => {
                    tokio::time::sleep(LOOK).await;
                }
                done => return done,
            }
        }
    }
}

/// Carries one direction until its end, which it carries too.
async fn pump(
    mut read: ReadHalf<'_>,
    mut write: WriteHalf<'_>,
    passes: impl Fn(&Cuts) -> bool,
    cuts: &mut watch::Receiver<Cuts>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let closed = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        cuts.wait_for(&passes).await.map_err(closed)?;
        let length = tokio::select! {
            biased;
            cut = cuts.wait_for(|cuts| !passes(cuts)) => {
                cut.map_err(closed)?;
                continue;
            }
            length = read.read(&mut chunk) => length?,
        };
        if length == 0 {
            return write.shutdown().await;
        }
        write.write_all(&chunk[..length]).await?;
    }
}

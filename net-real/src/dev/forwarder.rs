//! The wires between the servers: every connection of the quorum and election ports runs through
//! this process, so that it can be cut.
//!
//! A cut is silence, as on a real network: bytes and ends of connections wait on this side and
//! arrive after the heal; who connects is met by nobody. A server whose process is gone refuses, as
//! a machine without that process does.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
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
        let mut said = false;
        loop {
            self.answering(true).await;
            let listener = match self.door.listen() {
                Ok(listener) => listener,
                Err(error) => {
                    if !said {
                        let (from, to) = (self.from, self.to);
                        eprintln!("vivarium: the way from server {from} to {to}: {error}");
                        said = true;
                    }
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
        let whole = sent.is_ok()
            && until_the_end(
                Box::pin(pump(near_read, far_write, |cuts| cuts.passes(from, to), &mut there)),
                Box::pin(pump(far_read, near_write, |cuts| cuts.passes(to, from), &mut back)),
            )
            .await;
        if !whole {
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

type Pump<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'a>>;

/// Why a direction ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// The side that speaks is gone.
    Read,
    /// The side that listens is gone.
    Write,
}

/// Whether both directions came to their end. One that cannot be written on leaves the other to
/// deliver what was said before; it ends soon, for its speaker is gone.
async fn until_the_end(mut there: Pump<'_>, mut back: Pump<'_>) -> bool {
    let (first, other) = tokio::select! {
        first = &mut there => (first, back),
        first = &mut back => (first, there),
    };
    match first {
        Ok(()) => other.await.is_ok(),
        Err(Broken::Write) => {
            let _ = other.await;
            false
        }
        Err(Broken::Read) => false,
    }
}

/// Carries one direction until its end, which it carries too.
async fn pump(
    mut read: ReadHalf<'_>,
    mut write: WriteHalf<'_>,
    passes: impl Fn(&Cuts) -> bool,
    cuts: &mut watch::Receiver<Cuts>,
) -> Result<(), Broken> {
    let mut chunk = vec![0; CHUNK];
    loop {
        // Fails only where the ensemble is gone.
        cuts.wait_for(&passes).await.map_err(|_| Broken::Write)?;
        let length = tokio::select! {
            biased;
            cut = cuts.wait_for(|cuts| !passes(cuts)) => {
                cut.map_err(|_| Broken::Write)?;
                continue;
            }
            length = read.read(&mut chunk) => length.map_err(|_| Broken::Read)?,
        };
        let written = match length {
            0 => write.shutdown().await,
            length => write.write_all(&chunk[..length]).await,
        };
        written.map_err(|_| Broken::Write)?;
        if length == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Number = Number(1);
    const TWO: Number = Number(2);

    /// The way from server 1 to a listener that plays server 2.
    struct Rig {
        cuts: watch::Sender<Cuts>,
        alive: watch::Sender<bool>,
        door: SocketAddr,
        server: TcpListener,
        _wire: JoinSet<()>,
    }

    impl Rig {
        async fn start() -> Self {
            let (cuts, seen_cuts) = watch::channel(Cuts::default());
            let (alive, seen_alive) = watch::channel(true);
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let target = server.local_addr().unwrap().port();
            let door = Port::hold(0).unwrap();
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, door.number()));
            let mut wires = JoinSet::new();
            wires.spawn(Wire::new(ONE, TWO, door, target, Net::new(seen_cuts, seen_alive)).run());
            Self { cuts, alive, door: at, server, _wire: wires }
        }

        async fn call(&self) -> TcpStream {
            loop {
                match TcpStream::connect(self.door).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        }

        fn cut(&self, one_way: bool) {
            self.cuts.send_replace(Cuts::between(&[vec![ONE], vec![TWO]], one_way));
        }

        fn heal(&self) {
            self.cuts.send_replace(Cuts::default());
        }
    }

    /// Nothing arrives, though everything that could run has run.
    async fn silent(stream: &mut TcpStream) {
        let mut byte = [0];
        let wait = Duration::from_millis(50);
        assert!(tokio::time::timeout(wait, stream.read(&mut byte)).await.is_err());
    }

    async fn says(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
        from.write_all(text).await.unwrap();
        hears(to, text).await;
    }

    async fn hears(stream: &mut TcpStream, text: &[u8]) {
        let mut got = vec![0; text.len()];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, text);
    }

    #[tokio::test]
    async fn what_is_said_during_a_cut_arrives_after_the_heal_and_so_does_the_end() {
        let rig = Rig::start().await;
        let mut near = rig.call().await;
        let (mut far, _) = rig.server.accept().await.unwrap();
        says(&mut near, &mut far, b"there").await;
        says(&mut far, &mut near, b"back").await;
        rig.cut(false);
        near.write_all(b"late").await.unwrap();
        far.write_all(b"late too").await.unwrap();
        near.shutdown().await.unwrap();
        silent(&mut near).await;
        silent(&mut far).await;
        rig.heal();
        hears(&mut near, b"late too").await;
        hears(&mut far, b"late").await;
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0, "the end");
        says(&mut far, &mut near, b"half closed").await;
    }

    #[tokio::test]
    async fn one_way_loses_one_direction() {
        let rig = Rig::start().await;
        let mut near = rig.call().await;
        let (mut far, _) = rig.server.accept().await.unwrap();
        says(&mut near, &mut far, b"there").await;
        rig.cut(true);
        says(&mut far, &mut near, b"still back").await;
        near.write_all(b"lost").await.unwrap();
        silent(&mut far).await;
        rig.heal();
        hears(&mut far, b"lost").await;
    }

    #[tokio::test]
    async fn who_calls_during_a_cut_is_met_by_silence_and_who_gave_up_is_never_heard() {
        let rig = Rig::start().await;
        rig.cut(false);
        let mut gave_up = rig.call().await;
        gave_up.write_all(b"gave up").await.unwrap();
        drop(gave_up);
        let mut near = rig.call().await;
        near.write_all(b"patient").await.unwrap();
        silent(&mut near).await;
        rig.heal();
        let (mut far, _) = rig.server.accept().await.unwrap();
        hears(&mut far, b"patient").await;
    }

    #[tokio::test]
    async fn a_server_whose_process_is_gone_refuses_and_one_behind_a_cut_does_not() {
        let rig = Rig::start().await;
        drop(rig.call().await);
        rig.alive.send_replace(false);
        let until = now() + Duration::from_secs(10);
        while TcpStream::connect(rig.door).await.is_ok() {
            assert!(now() < until, "nobody refuses");
            tokio::task::yield_now().await;
        }
        rig.cut(false);
        drop(rig.call().await);
    }

    #[tokio::test]
    async fn a_reset_is_passed_on() {
        let rig = Rig::start().await;
        let mut near = rig.call().await;
        let (mut far, _) = rig.server.accept().await.unwrap();
        says(&mut near, &mut far, b"there").await;
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        let error = near.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn what_was_said_before_a_reset_arrives() {
        let rig = Rig::start().await;
        for _ in 0..20 {
            let mut near = rig.call().await;
            let (mut far, _) = rig.server.accept().await.unwrap();
            says(&mut near, &mut far, b"there").await;
            far.write_all(b"last words").await.unwrap();
            // What it did not read makes its end a reset.
            near.write_all(b"unread").await.unwrap();
            drop(far);
            hears(&mut near, b"last words").await;
        }
    }
}

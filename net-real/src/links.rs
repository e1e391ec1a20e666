//! Connections of the three ports: reads in chunks, writes as far as the kernel takes them.

mod link;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use vivarium_core::config::Address;
use vivarium_core::ids::{DialId, LinkId};
use vivarium_core::server::Input;
use vivarium_core::server::action::{Close, LinkAction};
use vivarium_core::server::input::{DialError, Far, LinkInput, Plane};

use crate::clock::now;
use crate::dial::{Dialed, dial};
use crate::host::Net;
use crate::ready::{Ready, ReadyList, Token};
use link::{Link, Turn};

/// Connections that one look at a listener accepts.
const ACCEPTS: usize = 64;
/// Inputs of one batch, roughly; what is ready beyond it waits for the next one.
const BATCH: usize = 1024;
/// Rest of a listener after an error that is not a connection's own, as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a closed connection may take to deliver its last bytes and see the other side's FIN.
const LINGER: Duration = Duration::from_secs(5);
/// Largest single read.
const READ: usize = 64 << 10;

/// All sockets of a server process. Survives a restart of the server inside it.
#[derive(Debug)]
pub struct Sockets {
    ready: Arc<ReadyList>,
    tokens: Vec<Token>,
    listeners: Vec<Listener>,
    links: HashMap<LinkId, Link, FixedState>,
    /// Never reset: a number is never used again.
    last: LinkId,
    dials: JoinSet<Dialed>,
    dial_limit: Duration,
    /// Connections that wait for the loop to accept them.
    backlog: u32,
    /// Links that have closed, or took bytes, since the last gather.
    news: Vec<LinkId>,
    /// When a closing link is given up; in order, since all wait equally long.
    lingering: VecDeque<(Instant, LinkId)>,
    read: Box<[u8]>,
}

#[derive(Debug)]
struct Listener {
    plane: Plane,
    socket: TcpListener,
    ready: Arc<Ready>,
    waker: Waker,
    rest_until: Option<Instant>,
}

/// A port that could not be opened.
#[derive(Debug)]
pub struct BindError {
    pub address: Address,
    pub plane: Plane,
    pub error: io::Error,
}

impl Sockets {
    pub fn new(dial_limit: Duration, backlog: u32) -> Self {
        Self {
            ready: Arc::default(),
            tokens: Vec::new(),
            listeners: Vec::new(),
            links: HashMap::default(),
            last: LinkId(0),
            dials: JoinSet::new(),
            dial_limit,
            backlog,
            news: Vec::new(),
            lingering: VecDeque::new(),
            read: vec![0; READ].into_boxed_slice(),
        }
    }

    /// Opens a port. Connections are accepted once the loop runs.
    pub async fn listen(&mut self, plane: Plane, address: &Address) -> Result<(), BindError> {
        let socket = bind(address, self.backlog).await.map_err(|error| BindError {
            address: address.clone(),
            plane,
            error,
        })?;
        let ready = Ready::new(Token::Listener(self.listeners.len()), &self.ready);
        let waker = Waker::from(Arc::clone(&ready));
        ready.again();
        self.listeners.push(Listener { plane, socket, ready, waker, rest_until: None });
        Ok(())
    }

    /// Closes every connection and every attempt; the ports stay open.
    pub fn reset(&mut self) {
        self.dials = JoinSet::new();
        self.links.clear();
        self.news.clear();
        self.lingering.clear();
        for listener in &self.listeners {
            listener.ready.again();
        }
    }

    /// Delivers what closing connections still hold, within `limit`.
    pub async fn finish(&mut self, limit: Duration) {
        let gone = poll_fn(|cx| {
            let mut ignored = Vec::new();
            self.gather_links(cx, &mut ignored);
            if self.links.values().any(Link::is_flushing) { Poll::Pending } else { Poll::Ready(()) }
        });
        // What is not taken by then is dropped with the process.
        let _ = tokio::time::timeout(limit, gone).await;
    }

    fn open(&mut self, stream: TcpStream, dial: Option<DialId>, plane: Plane) -> Option<Input> {
        let far = stream.peer_addr().ok()?;
        self.last = LinkId(self.last.0 + 1);
        let ready = Ready::new(Token::Link(self.last), &self.ready);
        let link = Link::new(stream, ready).ok()?;
        link.again();
        self.links.insert(self.last, link);
        let far = Far { ip: far.ip().to_canonical().to_string(), port: far.port() };
        Some(Input::Link(LinkInput::Opened { link: self.last, dial, plane, far }))
    }

    fn accept(&mut self, index: usize, inbox: &mut Vec<Input>) {
        self.listeners[index].ready.seen();
        for _ in 0..ACCEPTS {
            let listener = &mut self.listeners[index];
            if listener.rest_until.is_some() {
                return;
            }
            let mut cx = Context::from_waker(&listener.waker);
            match listener.socket.poll_accept(&mut cx) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, _))) => {
                    let plane = listener.plane;
                    inbox.extend(self.open(stream, None, plane));
                }
                Poll::Ready(Err(error)) if is_of_one_connection(&error) => {}
                Poll::Ready(Err(error)) => {
                    tracing::error!(plane = ?listener.plane, %error, "accepting a connection");
                    listener.rest_until = Some(now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
        self.listeners[index].ready.again();
    }

    fn gather_dials(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>) {
        while !self.dials.is_empty() {
            let Poll::Ready(Some(joined)) = self.dials.poll_join_next(cx) else { return };
            let Ok(Dialed { dial, plane, result }) = joined else { continue };
            let opened = match result {
                Ok(stream) => self.open(stream, Some(dial), plane).ok_or(DialError::Other),
                Err(why) => Err(why),
            };
            let failed = |why| Input::Link(LinkInput::DialFailed { dial, why });
            inbox.push(opened.unwrap_or_else(failed));
        }
    }

    fn gather_links(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>) {
        self.expire();
        for id in mem::take(&mut self.news) {
            self.report(id, inbox);
        }
        let mut tokens = mem::take(&mut self.tokens);
        self.ready.take(cx.waker(), &mut tokens);
        let mut looked = 0;
        for &token in &tokens {
            if inbox.len() >= BATCH {
                break;
            }
            looked += 1;
            match token {
                Token::Listener(index) => self.accept(index, inbox),
                Token::Link(id) => self.turn(id, inbox),
            }
        }
        tokens.drain(..looked);
        if !tokens.is_empty() || !self.news.is_empty() {
            cx.waker().wake_by_ref();
        }
        self.tokens = tokens;
    }

    /// One socket's turn: write what waits, then read.
    fn turn(&mut self, id: LinkId, inbox: &mut Vec<Input>) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.turn(id, &mut self.read, inbox) {
            Turn::Done => self.report(id, inbox),
            Turn::Later => self.news.push(id),
        }
    }

    fn report(&mut self, id: LinkId, inbox: &mut Vec<Input>) {
        if let Some(link) = self.links.get_mut(&id)
            && !link.report(id, inbox)
        {
            self.links.remove(&id);
        }
    }

    fn expire(&mut self) {
        if Net::deadline(self).is_none() {
            return;
        }
        let now = now();
        while let Some(&(at, id)) = self.lingering.front()
            && at <= now
        {
            self.lingering.pop_front();
            if let Some(link) = self.links.get_mut(&id) {
                link.give_up();
                self.news.push(id);
            }
        }
        for listener in &mut self.listeners {
            if listener.rest_until.is_some_and(|until| until <= now) {
                listener.rest_until = None;
                listener.ready.again();
            }
        }
    }
}

impl Net for Sockets {
    fn carry(&mut self, action: LinkAction) {
        match action {
            LinkAction::Dial { dial: id, plane, host, port } => {
                self.dials.spawn(dial(id, plane, host, port, self.dial_limit));
            }
            LinkAction::Send { link: id, bytes } => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.send(bytes);
                self.news.push(id);
            }
            LinkAction::Hold { link: id } => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.hold();
                }
            }
            LinkAction::Resume { link: id } => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.resume();
                }
            }
            LinkAction::Close { link: id, how, why } => {
                let Some(link) = self.links.get_mut(&id) else { return };
                tracing::debug!(link = %id, ?how, ?why, "closing a connection");
                match how {
                    Close::Flush => {
                        link.close();
                        self.lingering.push_back((now() + LINGER, id));
                    }
                    Close::Abort => link.give_up(),
                }
                self.news.push(id);
            }
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>) {
        self.gather_dials(cx, inbox);
        self.gather_links(cx, inbox);
    }

    fn deadline(&self) -> Option<Instant> {
        let lingering = self.lingering.front().map(|&(at, _)| at);
        let resting = self.listeners.iter().filter_map(|listener| listener.rest_until).min();
        [lingering, resting].into_iter().flatten().min()
    }
}

async fn bind(address: &Address, backlog: u32) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in tokio::net::lookup_host((address.host.as_str(), address.port)).await? {
        match bind_one(candidate, backlog) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The wildcard of IPv4 means all addresses of both versions, as it does in Java: an operator who wrote no
/// address has clients that find this machine by either.
fn bind_one(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        match bind_both(address.port(), backlog) {
            Err(error) if !is_about_the_port(&error) => {
                tracing::debug!(%error, "no IPv6 on this machine");
            }
            bound => return bound,
        }
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

fn bind_both(port: u16, backlog: u32) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    SockRef::from(&socket).set_only_v6(false)?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv6Addr::UNSPECIFIED, port).into())?;
    socket.listen(backlog)
}

/// What IPv4 alone would not cure.
fn is_about_the_port(error: &io::Error) -> bool {
    [io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied].contains(&error.kind())
}

/// Errors of `accept` that concern a connection which broke before it was taken.
fn is_of_one_connection(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::Interrupted,
    ]
    .contains(&error.kind())
}

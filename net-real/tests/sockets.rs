//! The loop over real loopback sockets, with a scripted machine in the place of the server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test panics on what it does not expect")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Context;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use vivarium::clock::Clock;
use vivarium::host::{Disk, Host, Machine, Net, Notes};
use vivarium::links::Sockets;
use vivarium_core::config::Address;
use vivarium_core::ids::{DialId, LinkId};
use vivarium_core::server::action::{
    Action, Close, CloseReason, DiskAction, Halt, LinkAction, RestartReason,
};
use vivarium_core::server::input::{DialError, LinkEnd, LinkInput, Plane};
use vivarium_core::server::note::Note;
use vivarium_core::server::{Input, Outbox};
use vivarium_core::time::{Mono, Stamp};

/// Far longer than any step takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

struct NoDisk;

impl Disk for NoDisk {
    fn carry(&mut self, action: DiskAction) {
        panic!("no script asks for {action:?}");
    }
    fn flush(&mut self) {}
    fn gather(&mut self, _: &mut Context<'_>, _: &mut Vec<Input>) {}
}

struct NoNotes;

impl Notes for NoNotes {
    fn take(&mut self, _: Note) {}
}

type React = Box<dyn FnMut(&LinkInput, &mut Outbox) + Send>;

/// Tells a test what it is fed and answers with what the script says.
struct Script {
    react: React,
    seen: Sender<LinkInput>,
}

impl Machine for Script {
    fn step(&mut self, _: Stamp, input: Input, out: &mut Outbox) {
        if let Input::Link(input) = input {
            (self.react)(&input, out);
            // The test may have seen enough.
            let _ = self.seen.send(input);
        }
    }
    fn deadline(&self) -> Option<Mono> {
        None
    }
}

/// A loop on a thread of its own, with one open client port.
struct Rig {
    port: u16,
    seen: Receiver<LinkInput>,
    thread: JoinHandle<Halt>,
}

fn rig(react: impl FnMut(&LinkInput, &mut Outbox) + Send + 'static) -> Rig {
    let mut first = Outbox::new();
    first.push(Action::Note(Note::Serving { on: true }));
    start(react, first)
}

fn start(react: impl FnMut(&LinkInput, &mut Outbox) + Send + 'static, first: Outbox) -> Rig {
    start_on("127.0.0.1", react, first)
}

fn start_on(
    host: &'static str,
    react: impl FnMut(&LinkInput, &mut Outbox) + Send + 'static,
    first: Outbox,
) -> Rig {
    let (seen_by, seen) = channel();
    let (tell_port, port) = channel();
    let react = Box::new(react);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut net = Sockets::new(PATIENCE, 1024);
            let port = free_port();
            let address = Address { host: host.into(), port };
            net.listen(Plane::Client, &address).await.unwrap();
            tell_port.send(port).unwrap();
            let machine = Script { react, seen: seen_by };
            let halt = Host {
                machine,
                net: &mut net,
                disk: &mut NoDisk,
                notes: &mut NoNotes,
                operator: None,
                clock: Clock::start(),
            }
            .run(first)
            .await;
            net.finish(PATIENCE).await;
            halt
        })
    });
    Rig { port: port.recv_timeout(PATIENCE).unwrap(), seen, thread }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Rig {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn next(&self) -> LinkInput {
        self.seen.recv_timeout(PATIENCE).expect("an input")
    }

    fn closed(&self) -> LinkEnd {
        loop {
            if let LinkInput::Closed { end, .. } = self.next() {
                return end;
            }
        }
    }
}

fn send(out: &mut Outbox, link: LinkId, bytes: &[u8]) {
    out.send(link, |buffer| buffer.extend_from_slice(bytes));
}

fn close(out: &mut Outbox, link: LinkId, how: Close) {
    out.close(link, how, CloseReason::Finished);
}

#[test]
fn the_wildcard_listens_on_both_versions() {
    let rig = start_on("0.0.0.0", |_, _| {}, Outbox::new());
    let mut from = vec!["127.0.0.1"];
    if TcpListener::bind("[::1]:0").is_ok() {
        from.push("::1");
    }
    let mut open = Vec::new();
    for ip in from {
        open.push(TcpStream::connect((ip, rig.port)).unwrap());
        let LinkInput::Opened { far, .. } = rig.next() else { panic!("a connection from {ip}") };
        assert_eq!(far.ip, ip);
    }
}

#[test]
fn bytes_are_echoed_and_counted() {
    let rig = rig(|input, out| {
        if let LinkInput::Bytes { link, bytes } = input {
            send(out, *link, bytes);
        }
    });
    let mut client = rig.connect();
    client.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    let LinkInput::Opened { link, dial: None, plane: Plane::Client, far } = rig.next() else {
        panic!("a connection opens first")
    };
    assert_eq!((far.ip.as_str(), far.port), ("127.0.0.1", client.local_addr().unwrap().port()));
    let bytes = Bytes::from_static(b"hello");
    assert_eq!(rig.next(), LinkInput::Bytes { link, bytes });
    assert_eq!(rig.next(), LinkInput::Sent { link, bytes: 5 });
    drop(client);
    assert_eq!(rig.next(), LinkInput::Closed { link, end: LinkEnd::Finished });
    let _other = rig.connect();
    let LinkInput::Opened { link: other, .. } = rig.next() else { panic!("opened") };
    assert!(other > link, "a number is never used again");
}

#[test]
fn a_flush_delivers_megabytes_before_its_fin() {
    const LEN: usize = 24 << 20;
    let rig = rig(|input, out| {
        if let LinkInput::Bytes { link, .. } = input {
            send(out, *link, &vec![7; LEN]);
            close(out, *link, Close::Flush);
        }
    });
    let mut client = rig.connect();
    // The second half lies unread in the server's socket when it closes: no reset may follow.
    client.write_all(b"ask").unwrap();
    client.write_all(&[0; 5000]).unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), LEN);
    let mut sent = 0;
    loop {
        match rig.next() {
            LinkInput::Sent { bytes, .. } => sent += bytes,
            LinkInput::Closed { end, .. } => {
                assert_eq!(end, LinkEnd::Closed);
                break;
            }
            LinkInput::Opened { .. } | LinkInput::Bytes { .. } | LinkInput::DialFailed { .. } => {}
        }
    }
    assert_eq!(sent, LEN as u64);
}

#[test]
fn a_far_side_that_closed_its_half_still_gets_its_answer() {
    let rig = rig(|input, out| {
        if let LinkInput::Bytes { link, .. } = input {
            send(out, *link, b"imok");
            close(out, *link, Close::Flush);
        }
    });
    for _ in 0..50 {
        let mut client = rig.connect();
        client.write_all(b"ruok").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        assert_eq!(got, "imok");
        assert_eq!(rig.closed(), LinkEnd::Closed);
    }
}

#[test]
fn an_abort_resets_the_connection() {
    let rig = rig(|input, out| {
        if let LinkInput::Bytes { link, .. } = input {
            send(out, *link, &vec![7; 16 << 20]);
            close(out, *link, Close::Abort);
        }
    });
    let mut client = rig.connect();
    client.write_all(b"ask").unwrap();
    assert_eq!(rig.closed(), LinkEnd::Closed);
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(rig.seen.try_recv().is_err(), "an end is told once");
}

#[test]
fn a_held_link_is_not_read_and_pushes_back() {
    let rig = rig(|input, out| match input {
        LinkInput::Opened { link: link @ LinkId(1), .. } => {
            out.push(Action::Link(LinkAction::Hold { link: *link }));
        }
        // A second connection releases the first.
        LinkInput::Bytes { link: LinkId(2), .. } => {
            out.push(Action::Link(LinkAction::Resume { link: LinkId(1) }));
        }
        LinkInput::Opened { .. }
        | LinkInput::Bytes { .. }
        | LinkInput::Sent { .. }
        | LinkInput::Closed { .. }
        | LinkInput::DialFailed { .. } => {}
    });
    let mut held = rig.connect();
    held.set_nonblocking(true).unwrap();
    let chunk = vec![1; 1 << 20];
    let mut written = 0;
    // Ends because buffers of the kernel are finite.
    loop {
        match held.write(&chunk) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if written > 0 && matches!(rig.seen.try_recv(), Ok(LinkInput::Opened { .. })) {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    let mut other = rig.connect();
    other.write_all(b"go").unwrap();
    let mut read = 0;
    while read < written {
        match rig.next() {
            LinkInput::Bytes { link: LinkId(1), bytes } => read += bytes.len(),
            LinkInput::Bytes { link: LinkId(2), .. } => {
                assert!(read <= 64 << 10, "read {read} bytes of a held link");
            }
            LinkInput::Opened { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn dials_open_or_say_why_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut first = Outbox::new();
    let dial = |id, host: &str, port| {
        let (plane, host) = (Plane::Quorum, host.to_string());
        Action::Link(LinkAction::Dial { dial: DialId(id), plane, host, port })
    };
    first.push(dial(1, "127.0.0.1", port));
    first.push(dial(2, "127.0.0.1", free_port()));
    first.push(dial(3, "no-such-host.invalid", port));
    let rig = start(|_, _| {}, first);
    let mut ends = [None, None, None];
    for _ in 0..3 {
        match rig.next() {
            LinkInput::Opened { dial: Some(dial), plane, far, .. } => {
                assert_eq!((plane, far.port), (Plane::Quorum, port));
                ends[dial.0 as usize - 1] = Some(None);
            }
            LinkInput::DialFailed { dial, why } => ends[dial.0 as usize - 1] = Some(Some(why)),
            other => panic!("{other:?}"),
        }
    }
    let unresolved = Some(Some(DialError::Unresolved));
    assert_eq!(ends, [Some(None), Some(Some(DialError::Refused)), unresolved]);
}

#[test]
fn a_halt_ends_the_loop_after_the_actions_before_it() {
    let rig = rig(|input, out| {
        if let LinkInput::Bytes { link, .. } = input {
            send(out, *link, b"bye");
            close(out, *link, Close::Flush);
            out.push(Action::Halt(Halt::Restart(RestartReason::Truncated)));
        }
    });
    let mut client = rig.connect();
    client.write_all(b"ask").unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "bye");
    assert_eq!(rig.thread.join().unwrap(), Halt::Restart(RestartReason::Truncated));
}

#[test]
fn hundreds_of_connections_take_turns() {
    let rig = rig(|input, out| {
        if let LinkInput::Bytes { link, bytes } = input {
            send(out, *link, bytes);
        }
    });
    let mut clients: Vec<_> = (0..300).map(|_| rig.connect()).collect();
    for round in 0..5_u8 {
        for client in &mut clients {
            client.write_all(&[round; 100]).unwrap();
        }
        for client in &mut clients {
            let mut answer = [0; 100];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [round; 100]);
        }
    }
}

/// The name is here so that a change of the trait is noticed where fakes rely on it.
const _: fn(&mut Sockets) = |sockets| {
    let _: &mut dyn Net = sockets;
};

//! Real servers as processes, and a small client, for tests that need the whole binary.

#![allow(unreachable_pub, reason = "a module of several test binaries")]
#![allow(dead_code, reason = "each test binary uses its own part of the rig")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use vivarium_core::acl::Acl;
use vivarium_core::ids::{SessionId, Xid};
use vivarium_core::wire::client::{
    ConnectRequest, ConnectResponse, Create, CreateForm, EventKind, Op, Password, ReadOp,
    ReplyBody, WriteOp, decode_event, decode_reply, decode_reply_body, encode_request,
};
use vivarium_core::wire::code::Code;

/// Only a test that fails waits for so long.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test of real processes has real deadlines")]
fn now() -> Instant {
    Instant::now()
}

/// A port below the range that the kernel hands out by itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    until("a free port", || {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16 % 350) * 60 + offset % 60;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    })
}

/// A server process and its folder. Killed when dropped.
pub struct Server {
    folder: tempfile::TempDir,
    pub client_port: u16,
    child: Option<Child>,
}

impl Server {
    /// `more`: lines for zoo.cfg beside the basic ones.
    pub fn new(myid: Option<u64>, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client_port = free_port();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        if let Some(myid) = myid {
            fs::write(data.join("myid"), myid.to_string()).unwrap();
        }
        let text = format!(
            "dataDir={}\nclientPort={client_port}\nclientPortAddress=127.0.0.1\ntickTime=500\n\
             initLimit=20\nsyncLimit=6\n4lw.commands.whitelist=*\nsome.unknown.key=1\n{more}",
            data.display()
        );
        fs::write(folder.path().join("zoo.cfg"), text).unwrap();
        Self { folder, client_port, child: None }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("zoo.cfg")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn start(&mut self) {
        assert!(self.child.is_none());
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        self.child = Some(serve(&self.config(), Stdio::from(log)));
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Loses everything but `myid`.
    pub fn wipe(&self) {
        fs::remove_dir_all(self.folder.path().join("data/version-2")).unwrap();
    }

    pub fn exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        until("the end of the process", || child.try_wait().unwrap())
    }

    /// The answer to a four-letter word; `None` while nothing listens.
    pub fn word(&self, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.client_port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// `leader`, `follower` or `standalone`, once it serves.
    pub fn mode(&self) -> Option<String> {
        let srvr = self.word("srvr")?;
        let mode = srvr.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_string())
    }

    pub fn connect(&self) -> Client {
        until("a session", || Client::open(self.client_port, None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the server on {}\n{}", self.client_port, self.log());
        }
    }
}

pub fn serve(config: &std::path::Path, stderr: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vivarium"))
        .arg("serve")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

/// A client with one request in flight.
pub struct Client {
    stream: TcpStream,
    pub session: SessionId,
    pub password: Password,
    xid: i32,
    pub events: Vec<(EventKind, String)>,
}

pub type Answer = Result<ReplyBody, Code>;

impl Client {
    /// `None` where the server refuses, or is gone.
    pub fn open(port: u16, again: Option<(SessionId, Password)>) -> Option<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: 10_000,
            session: again.map(|(session, _)| session),
            password: Bytes::copy_from_slice(&again.map_or([0; 16], |(_, password)| password)),
            read_only: Some(false),
        };
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes);
        stream.write_all(&bytes).ok()?;
        let response = ConnectResponse::decode(frame(&mut stream)?).unwrap();
        let (session, password) = (response.session?, response.password);
        Some(Self { stream, session, password, xid: 0, events: Vec::new() })
    }

    /// `None` where the connection broke.
    pub fn ask(&mut self, op: &Op) -> Option<Answer> {
        self.xid += 1;
        let xid = Xid(self.xid);
        let mut bytes = BytesMut::new();
        encode_request(&mut bytes, xid, op);
        self.stream.write_all(&bytes).ok()?;
        loop {
            let (header, body) = decode_reply(frame(&mut self.stream)?).unwrap();
            if header.xid == xid {
                let answered = header.code == Code::Ok;
                let body = answered.then(|| decode_reply_body(op.code(), body).unwrap());
                return Some(body.ok_or(header.code));
            }
            self.events.push(decode_event(body).unwrap());
        }
    }

    pub fn must(&mut self, op: &Op) -> ReplyBody {
        self.ask(op).expect("the connection stands").expect("no error code")
    }

    pub fn create(&mut self, path: &str, data: &str) -> ReplyBody {
        self.must(&create(path, data))
    }

    pub fn data(&mut self, path: &str) -> Option<String> {
        let op = Op::Read(ReadOp::GetData { path: path.into(), watch: false });
        let Ok(ReplyBody::Data { data, .. }) = self.ask(&op)? else { return None };
        Some(String::from_utf8(data?.to_vec()).unwrap())
    }

    /// Waits for the next event.
    pub fn event(&mut self) -> (EventKind, String) {
        if self.events.is_empty() {
            let (_, body) = decode_reply(frame(&mut self.stream).expect("an event")).unwrap();
            self.events.push(decode_event(body).unwrap());
        }
        self.events.remove(0)
    }
}

pub fn create(path: &str, data: &str) -> Op {
    Op::Write(WriteOp::Create(Create {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        acl: Some(Acl::open()),
        flags: 0,
        form: CreateForm::Plain,
    }))
}

pub fn set(path: &str, data: &str) -> Op {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Op::Write(WriteOp::SetData { path: path.into(), data, version: -1 })
}

fn frame(stream: &mut TcpStream) -> Option<Bytes> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut body).ok()?;
    Some(Bytes::from(body))
}

//! `vivarium serve` alone: the real binary, real sockets, real files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod rig;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::time::Duration;

use rig::{Client, Server, create, serve, set};
use vivarium_core::wire::client::{EventKind, Op, ReadOp, ReplyBody};
use vivarium_core::wire::code::Code;

fn standalone() -> Server {
    let mut server = Server::new(None, "");
    server.start();
    server
}

/// A start that is expected to fail.
fn refused(config: &std::path::Path) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = serve(config, Stdio::piped()).wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn a_client_creates_reads_and_watches() {
    let server = standalone();
    let mut client = server.connect();
    assert_eq!(client.create("/a", "one"), ReplyBody::Path("/a".into()));
    assert_eq!(client.ask(&create("/a", "two")), Some(Err(Code::NodeExists)));
    let watch = Op::Read(ReadOp::GetData { path: "/a".into(), watch: true });
    assert!(matches!(client.must(&watch), ReplyBody::Data { .. }));
    let mut other = server.connect();
    other.must(&set("/a", "two"));
    assert_eq!(client.event(), (EventKind::NodeDataChanged, "/a".into()));
    assert_eq!(client.data("/a").as_deref(), Some("two"));
}

#[test]
fn words_answer_and_an_unknown_key_is_only_warned_about() {
    let server = standalone();
    let _session = server.connect();
    assert_eq!(server.word("ruok").as_deref(), Some("imok"));
    assert_eq!(server.mode().as_deref(), Some("standalone"));
    let config = format!("{}:8: some.unknown.key", server.config().display());
    assert!(server.log().contains(&config), "{}", server.log());
}

/// As Apache's server does, which shuts its side before it drops what it was sent: the Java client's own
/// tests take a reset for a failure.
#[test]
fn who_breaks_the_protocol_reads_to_the_end_and_is_not_reset() {
    let server = standalone();
    let _session = server.connect();
    let first_frame_too_long = [&[0x7f; 4][..], &[0; 5000]].concat();
    // A ConnectRequest in the form of old clients, an empty frame, and what nobody is going to read.
    let then_an_empty_one = [&[0, 0, 0, 44][..], &[0; 24], &[0, 0, 0, 16], &[0; 5016]].concat();
    for (sent, answered) in [(first_frame_too_long, 0), (then_an_empty_one, 40)] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.client_port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(&sent).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), answered);
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let mut server = standalone();
    for life in 0..3 {
        let mut client = server.connect();
        for index in 0..20 {
            client.create(&format!("/n{life}-{index}"), "kept");
        }
        server.kill();
        server.start();
        let mut client = server.connect();
        for index in 0..20 {
            let path = format!("/n{life}-{index}");
            assert_eq!(client.data(&path).as_deref(), Some("kept"), "{path}");
        }
    }
}

#[test]
fn a_session_goes_on_after_a_kill() {
    let mut server = standalone();
    let client = server.connect();
    let known = (client.session, client.password);
    server.kill();
    server.start();
    let again = rig::until("the session", || Client::open(server.client_port, Some(known)));
    assert_eq!(again.session, known.0);
}

#[test]
fn sigterm_ends_with_code_0() {
    for signal in ["TERM", "INT"] {
        let mut server = standalone();
        let mut client = server.connect();
        client.create("/a", "one");
        server.signal(signal);
        assert_eq!(server.exit().code(), Some(0), "{signal}: {}", server.log());
    }
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let server = standalone();
    let _session = server.connect();
    let text = fs::read_to_string(server.config()).unwrap();
    let other = server.config().with_file_name("other.cfg");
    let port = format!("clientPort={}", server.client_port);
    fs::write(&other, text.replace(&port, &format!("clientPort={}", rig::free_port()))).unwrap();
    let (code, text) = refused(&other);
    assert_eq!(code, Some(2), "{text}");
    assert!(last_line(&text).contains(&format!("(process {})", server.pid())), "{text}");
}

#[test]
fn a_wrong_configuration_names_file_line_and_key() {
    let server = Server::new(None, "maxClientCnxns=many\n");
    let (code, text) = refused(&server.config());
    let expected = format!("vivarium: {}:9: maxClientCnxns ", server.config().display());
    assert!(last_line(&text).starts_with(&expected), "{text}");
    assert_eq!(code, Some(2));
    let (code, text) = refused(&server.config().with_file_name("missing.cfg"));
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
}

#[test]
fn the_binary_holds_nothing_of_the_simulator() {
    let mut bytes = Vec::new();
    let binary = env!("CARGO_BIN_EXE_vivarium");
    fs::File::open(binary).unwrap().read_to_end(&mut bytes).unwrap();
    let finds = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(finds(b"vivarium_core"), "the search itself works");
    assert!(!finds(b"madsim"));
}

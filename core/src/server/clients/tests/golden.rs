//! The recorded exchanges of Apache ZooKeeper 3.9.5, replayed against this client plane.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::rig::Rig;
use crate::ids::Zxid;
use crate::time::Wall;

const VECTORS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/client-vectors.txt"));

/// What this server answers in another order on purpose.
const NOT_HERE: &[&str] = &["getChildren /", "multiread"];

struct Exchange {
    name: String,
    request: Vec<u8>,
    replies: Vec<Reply>,
}

struct Reply {
    zxid: i64,
    frame: Vec<u8>,
}

#[test]
fn recorded_exchanges_replay_byte_by_byte() {
    let (first, second) = VECTORS.split_once("# second run").expect("the file has two parts");
    let mut rig = Rig::new();
    rig.ip = "127.0.0.1";
    first_connections(&mut rig);
    let mut compared = replay(&mut rig, 1, &exchanges(first));

    rig.session(3);
    let second = exchanges(second);
    compared += replay(&mut rig, 3, &second[..1]);
    rig.session(4);
    compared += replay(&mut rig, 4, &second[1..2]);
    rig.session(5);
    let last = second.len() - 1;
    compared += replay(&mut rig, 5, &second[2..last]);
    rig.session(6);
    compared += replay(&mut rig, 6, &second[last..]);
    assert_eq!(compared, 52, "all but two are answered alike");
}

/// The two ConnectRequests at the head of the file: with and without the readOnly byte.
fn first_connections(rig: &mut Rig) {
    let lines: Vec<&str> = VECTORS.lines().filter(|line| line.starts_with("CONNECT")).collect();
    let request = hex(lines[0].split_once("> ").unwrap().1);
    let mut old_client = request.clone();
    old_client.truncate(request.len() - 1);
    old_client[3] -= 1;
    for (link, request, line) in [(1, &request, lines[1]), (2, &old_client, lines[2])] {
        rig.open(link);
        rig.bytes(link, request);
        rig.work();
        let expected = hex(line.rsplit(' ').next().unwrap());
        assert_eq!(rig.take_sent(link)[4..], expected[..], "{line}");
    }
}

fn replay(rig: &mut Rig, link: u64, exchanges: &[Exchange]) -> usize {
    let mut compared = 0;
    for Exchange { name, request, replies } in exchanges {
        let Some(last) = replies.last() else { continue };
        rig.wall = Wall(0x01a1_f72c_e000 | wall_of(last.zxid));
        // A reply that tells of no new transaction says nothing of the next one's number.
        if last.zxid > rig.db.applied().to_wire() {
            rig.zxid = Zxid(last.zxid as u64);
        }
        if NOT_HERE.contains(&name.as_str()) {
            continue;
        }
        rig.bytes(link, request);
        rig.work();
        let mut expected = Vec::new();
        for reply in replies {
            expected.extend_from_slice(&reply.frame);
        }
        assert_eq!(rig.take_sent(link), expected, "{name}");
        compared += 1;
    }
    compared
}

/// Low bits of the wall clock of the recording when it wrote a transaction.
fn wall_of(zxid: i64) -> i64 {
    match zxid {
        3 => 0x4fc,
        4 => 0x50a,
        5 => 0x510,
        7 => 0x520,
        8 => 0x524,
        10 => 0x528,
        11 => 0x52f,
        13 => 0x547,
        14 => 0x55a,
        _ => 0,
    }
}

fn exchanges(text: &str) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(request) = line.strip_prefix("  > ") {
            let request = hex(request);
            all.push(Exchange { name: name.to_string(), request, replies: Vec::new() });
        } else if let Some(reply) = line.strip_prefix("  < ") {
            let exchange = all.last_mut().expect("a reply follows its request");
            exchange.replies.push(parse_reply(reply));
        } else if !line.starts_with("   ") {
            name = line;
        }
    }
    all
}

/// `(xid, zxid, err) body`.
fn parse_reply(text: &str) -> Reply {
    let (header, body) = text.trim_start_matches('(').split_once(") ").unwrap();
    let numbers: Vec<i64> = header.split(", ").map(|number| number.parse().unwrap()).collect();
    let body = hex(body);
    let mut frame = Vec::new();
    frame.extend_from_slice(&(16 + body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&(numbers[0] as i32).to_be_bytes());
    frame.extend_from_slice(&numbers[1].to_be_bytes());
    frame.extend_from_slice(&(numbers[2] as i32).to_be_bytes());
    frame.extend_from_slice(&body);
    Reply { zxid: numbers[1], frame }
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim();
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

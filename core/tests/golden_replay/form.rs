//! What must differ between two runs, brought to one form: times and sessions become the order in which they
//! first showed, children are sorted. Everything else stays the bytes that it was.

use bytes::Bytes;
use vivarium_core::wire::jute::Reader;

const STAT: usize = 68;
const CTIME: usize = 16;
const MTIME: usize = 24;
const OWNER: usize = 44;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) xid: i32,
    pub(crate) zxid: i64,
    pub(crate) code: i32,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn of(frame: &[u8]) -> Self {
        Self {
            xid: i32::from_be_bytes(frame[..4].try_into().unwrap()),
            zxid: i64::from_be_bytes(frame[4..12].try_into().unwrap()),
            code: i32::from_be_bytes(frame[12..16].try_into().unwrap()),
            body: frame[16..].to_vec(),
        }
    }
}

/// Values of one side in the order in which they first showed. Zero stays zero.
#[derive(Default)]
struct Names(Vec<i64>);

impl Names {
    fn of(&mut self, value: i64) -> i64 {
        if value == 0 {
            return 0;
        }
        let at = self.0.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.0.push(value);
            self.0.len() - 1
        });
        at as i64 + 1
    }
}

#[derive(Default)]
struct Side {
    times: Names,
    sessions: Names,
}

pub(crate) struct Former {
    theirs: Side,
    ours: Side,
}

impl Former {
    pub(crate) fn new() -> Self {
        Self { theirs: Side::default(), ours: Side::default() }
    }

    /// The replies to one request of this operation, theirs and ours, in the form in which they must be equal.
    pub(crate) fn both(
        &mut self,
        op: i32,
        theirs: &[Reply],
        ours: Vec<Reply>,
    ) -> (Vec<Reply>, Vec<Reply>) {
        let theirs = theirs.iter().map(|reply| self.theirs.form(op, reply.clone())).collect();
        let ours = ours.into_iter().map(|reply| self.ours.form(op, reply)).collect();
        (theirs, ours)
    }
}

impl Side {
    fn form(&mut self, op: i32, mut reply: Reply) -> Reply {
        if reply.xid != -1 && reply.code == 0 {
            for at in children(op, &reply.body) {
                sort(&mut reply.body, at);
            }
            for at in stats(op, &reply.body) {
                self.stat(&mut reply.body[at..at + STAT]);
            }
        }
        reply
    }

    fn stat(&mut self, stat: &mut [u8]) {
        for at in [CTIME, MTIME] {
            rename(&mut stat[at..at + 8], &mut self.times);
        }
        rename(&mut stat[OWNER..OWNER + 8], &mut self.sessions);
    }
}

fn rename(field: &mut [u8], names: &mut Names) {
    let name = names.of(i64::from_be_bytes((&*field).try_into().unwrap()));
    field.copy_from_slice(&name.to_be_bytes());
}

/// Where the Stats of a reply begin.
fn stats(op: i32, body: &[u8]) -> Vec<usize> {
    match op {
        3 | 4 | 5 | 6 | 7 | 12 | 15 | 19 | 21 => vec![body.len() - STAT],
        14 | 22 => results(body).into_iter().filter_map(|result| result.stat).collect(),
        _ => Vec::new(),
    }
}

/// Where the lists of names of a reply begin that come in no order.
fn children(op: i32, body: &[u8]) -> Vec<usize> {
    match op {
        8 | 12 | 103 => vec![0],
        22 => results(body).into_iter().filter_map(|result| result.children).collect(),
        _ => Vec::new(),
    }
}

struct MultiResult {
    stat: Option<usize>,
    children: Option<usize>,
}

/// The results of a multi or a multiRead.
fn results(body: &[u8]) -> Vec<MultiResult> {
    let mut reader = Reader::new(Bytes::copy_from_slice(body));
    let mut found = Vec::new();
    loop {
        let (kind, done) = (reader.i32().unwrap(), reader.bool().unwrap());
        let _code = reader.i32().unwrap();
        if done {
            return found;
        }
        let start = body.len() - reader.remaining();
        match kind {
            -1 => {
                reader.i32().unwrap();
            }
            1 | 15 => {
                reader.ustring().unwrap();
            }
            4 => {
                reader.buffer().unwrap();
            }
            8 => {
                reader.vector(4, Reader::ustring).unwrap();
            }
            2 | 5 | 13 => {}
            other => panic!("a result of type {other}"),
        }
        let at = body.len() - reader.remaining();
        let stat = matches!(kind, 4 | 5 | 15).then_some(at);
        if stat.is_some() {
            for _ in 0..STAT {
                reader.u8().unwrap();
            }
        }
        found.push(MultiResult { stat, children: (kind == 8).then_some(start) });
    }
}

/// Sorts the list of names that begins there.
fn sort(body: &mut [u8], at: usize) {
    let mut reader = Reader::new(Bytes::copy_from_slice(&body[at..]));
    let mut names = reader.vector(4, Reader::ustring).unwrap().unwrap_or_default();
    names.sort();
    let mut place = at + 4;
    for name in names.into_iter().flatten() {
        body[place..place + 4].copy_from_slice(&(name.len() as u32).to_be_bytes());
        body[place + 4..place + 4 + name.len()].copy_from_slice(name.as_bytes());
        place += 4 + name.len();
    }
}

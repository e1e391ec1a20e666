//! What clients observed, from the frames of their connections.
//!
//! Real clients count their requests anew on every connection, and checkers want a number that a
//! session never uses twice: every request gets one here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::net::IpAddr;

use bytes::Bytes;
use vivarium_core::ids::SessionId;

use crate::codec::Reader;
use crate::history::{Call, ClientFact, Reply, RequestId, SessionFact, SubReply};
use crate::ids::ClientId;
use crate::recorded::lines::{Line, What};
use crate::recorded::requests::{self, Access, Asked, Connect, is_modelled};
use crate::zkclient::wire;

/// A fact, and where in the history it stands.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub line: u64,
    /// The place among the addresses of who saw it.
    pub client: ClientId,
    pub fact: ClientFact,
}

/// One request, over its whole life.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub id: RequestId,
    /// The client's own number, as it stands in the log.
    pub raw: i32,
    /// Where its `Invoke` stands in the moments.
    pub moment: usize,
    /// Whether it takes a zxid.
    pub writes: bool,
    /// Zxid and error code of its reply.
    pub answer: Option<(i64, i32)>,
}

#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Under which servers see clients; none where the recorder did not write them down.
    pub addresses: Vec<String>,
    pub moments: Vec<Moment>,
    pub requests: Vec<Request>,
    /// Sessions that were opened in front of the recorder.
    pub opened: BTreeSet<SessionId>,
    pub frames: u64,
    /// The history stopped while clients went on: the log may know of more.
    pub is_cut: bool,
    /// Highest zxid that any client was shown.
    pub shown: i64,
    /// Requests that are not compared with the model, by name.
    pub unjudged: BTreeMap<String, u64>,
    links: BTreeMap<u64, Link>,
    books: BTreeMap<SessionId, Book>,
    /// The place of the address of each connection.
    clients: BTreeMap<u64, ClientId>,
}

/// What is known of a session.
#[derive(Debug, Default)]
struct Book {
    password: Option<Bytes>,
    connections: u32,
    last_id: i32,
    /// The link that it is attached to.
    link: Option<u64>,
}

/// One connection.
#[derive(Debug)]
enum Link {
    Fresh,
    /// `early`: requests that were sent before the answer.
    Asking {
        connect: Connect,
        early: Vec<Line>,
    },
    Attached {
        session: SessionId,
        connection: u32,
        outstanding: VecDeque<usize>,
    },
    Ended,
}

/// Answers that depend on what the model does not hold: how arguments are checked, which connection a session
/// moved to, what each server counts for quotas; and identities, where they are not known.
pub(crate) fn is_beyond_model(code: i32, access: Access) -> bool {
    let of_access = matches!(code, -102 | -114 | -115);
    matches!(code, -5 | -6 | -8 | -118 | -125) || (of_access && access == Access::Unknown)
}

/// How such a request is counted.
pub(crate) const BEYOND_MODEL: &str = "refused for its arguments, its identity or a moved session";

impl Story {
    /// The first connection tells: a recorder knows all addresses, or none.
    pub(crate) fn access(&self) -> Access {
        if self.addresses.is_empty() { Access::Unknown } else { Access::Known }
    }

    fn open(&mut self, connection: u64, address: Option<&String>) {
        let Some(address) = address.map(|address| as_shown(address)) else { return };
        let known = self.addresses.iter().position(|known| *known == address);
        let place = known.unwrap_or(self.addresses.len());
        if known.is_none() {
            self.addresses.push(address);
        }
        let place = u32::try_from(place).expect("there are few addresses");
        self.clients.insert(connection, ClientId(place));
    }

    pub(crate) fn take(&mut self, line: Line) {
        let link = self.links.remove(&line.connection).unwrap_or(Link::Fresh);
        let key = line.connection;
        if matches!(line.what, What::Asked(_) | What::Answered(_)) {
            self.frames += 1;
        }
        let next = match (link, &line.what) {
            (_, What::Opened { address }) => {
                self.open(key, address.as_ref());
                Link::Fresh
            }
            (link, What::Closed) => {
                self.detach(line.number, link);
                Link::Ended
            }
            (Link::Fresh, What::Asked(frame)) => self.ask(&line, frame.clone()),
            (Link::Asking { connect, mut early }, What::Asked(_)) => {
                early.push(line);
                Link::Asking { connect, early }
            }
            (Link::Asking { connect, early }, What::Answered(frame)) => {
                self.granted(&line, frame.clone(), &connect, early)
            }
            (attached @ Link::Attached { .. }, What::Asked(frame)) => {
                self.request(&line, frame.clone(), attached)
            }
            (attached @ Link::Attached { .. }, What::Answered(frame)) => {
                self.answer(&line, frame.clone(), attached)
            }
            (Link::Fresh, What::Answered(_)) => {
                self.nonsense(&line, None, "an answer to nothing");
                Link::Ended
            }
            (Link::Ended, What::Asked(_) | What::Answered(_)) => Link::Ended,
        };
        self.links.insert(key, next);
    }

    /// The history is over: what is still under way was never answered.
    pub(crate) fn finish(&mut self, line: u64) {
        for link in mem::take(&mut self.links).into_values() {
            self.is_cut |= !matches!(link, Link::Ended);
            self.detach(line, link);
        }
    }

    /// This request is not compared with the model.
    pub(crate) fn leave_out(&mut self, request: usize, why: &str) {
        let moment = self.requests[request].moment;
        if let ClientFact::Invoke { call, .. } = &mut self.moments[moment].fact
            && !matches!(call, Call::UnknownOp { .. })
        {
            *call = Call::UnknownOp { code: 0 };
            *self.unjudged.entry(why.into()).or_default() += 1;
        }
    }

    pub(crate) fn call_of(&self, request: &Request) -> Option<&Call> {
        let ClientFact::Invoke { call, .. } = &self.moments[request.moment].fact else {
            return None;
        };
        Some(call)
    }

    fn tell(&mut self, line: u64, fact: ClientFact) {
        self.moments.push(Moment { line, client: ClientId(0), fact });
    }

    fn nonsense(&mut self, line: &Line, session: Option<SessionId>, what: &str) {
        let (server, what) = (line.server, what.into());
        self.tell(line.number, ClientFact::Nonsense { session, server, what });
    }

    fn ask(&mut self, line: &Line, frame: Bytes) -> Link {
        let Some(connect) = requests::connect(frame) else {
            *self.unjudged.entry("connections without a ConnectRequest".into()).or_default() += 1;
            return Link::Ended;
        };
        let asked = SessionFact::Asked {
            resume: connect.session,
            last_zxid: connect.last_zxid,
            timeout_ms: connect.timeout_ms,
            server: line.server,
        };
        self.tell(line.number, ClientFact::Session(asked));
        Link::Asking { connect, early: Vec::new() }
    }

    fn granted(&mut self, line: &Line, frame: Bytes, asked: &Connect, early: Vec<Line>) -> Link {
        let server = line.server;
        let Some(answer) = requests::connected(frame) else {
            self.nonsense(line, asked.session, "a connect response that does not decode");
            return Link::Ended;
        };
        let Some(got) = answer.session else {
            // A wrong password is refused in the same words.
            if let Some(session) = asked.session {
                let known = self.books.get(&session).and_then(|book| book.password.as_ref());
                if known.is_none_or(|known| *known == asked.password) {
                    self.supersede(line.number, session);
                    let expired = SessionFact::Expired { session, server };
                    self.tell(line.number, ClientFact::Session(expired));
                }
            }
            return Link::Ended;
        };
        self.supersede(line.number, got);
        if asked.session.is_none() {
            self.opened.insert(got);
        }
        let book = self.books.entry(got).or_default();
        book.connections += 1;
        book.link = Some(line.connection);
        let password = book.password.get_or_insert_with(|| answer.password.clone());
        let same_password = *password == answer.password;
        let connection = book.connections;
        let fact = ClientFact::Session(SessionFact::Granted {
            asked: asked.session,
            got,
            same_password,
            timeout_ms: answer.timeout_ms,
            server,
            connection,
        });
        let client = self.clients.get(&line.connection).copied().unwrap_or(ClientId(0));
        self.moments.push(Moment { line: line.number, client, fact });
        let outstanding = VecDeque::new();
        let mut link = Link::Attached { session: got, connection, outstanding };
        for line in early {
            if let What::Asked(frame) = &line.what {
                link = self.request(&line, frame.clone(), link);
            }
        }
        link
    }

    /// Whatever still comes on an older connection of this session counts no more.
    fn supersede(&mut self, line: u64, session: SessionId) {
        let older = self.books.get(&session).and_then(|book| book.link);
        if let Some(link) = older.and_then(|key| self.links.insert(key, Link::Ended)) {
            self.detach(line, link);
        }
    }

    fn request(&mut self, line: &Line, frame: Bytes, link: Link) -> Link {
        let Link::Attached { session, connection, mut outstanding } = link else { return link };
        let (raw, call, writes) = match requests::request(frame, self.access()) {
            Some(Asked::Ping) => {
                self.tell(line.number, ClientFact::Ping { session, connection });
                return Link::Attached { session, connection, outstanding };
            }
            Some(Asked::Call { xid, call }) => {
                let writes = call.is_write();
                (xid, call, writes)
            }
            Some(Asked::Other { xid, code, name, writes }) => {
                *self.unjudged.entry(name.into()).or_default() += 1;
                if is_out_of_band(xid) {
                    return Link::Attached { session, connection, outstanding };
                }
                (xid, Call::UnknownOp { code }, writes)
            }
            None => {
                *self.unjudged.entry("frames that are no request".into()).or_default() += 1;
                return Link::Attached { session, connection, outstanding };
            }
        };
        let book = self.books.entry(session).or_default();
        book.last_id += 1;
        let (xid, server) = (book.last_id, line.server);
        let id = RequestId { session, xid, connection, server, cxid: xid };
        outstanding.push_back(self.requests.len());
        let moment = self.moments.len();
        self.requests.push(Request { id, raw, moment, writes, answer: None });
        self.tell(line.number, ClientFact::Invoke { op: id, call });
        Link::Attached { session, connection, outstanding }
    }

    fn answer(&mut self, line: &Line, frame: Bytes, link: Link) -> Link {
        let Link::Attached { session, connection, mut outstanding } = link else { return link };
        let mut reader = Reader::new(frame);
        let Some(header) = wire::header(&mut reader) else {
            self.nonsense(line, Some(session), "a reply header that does not decode");
            return Link::Attached { session, connection, outstanding };
        };
        let zxid = header.zxid;
        self.shown = self.shown.max(zxid);
        match header.xid {
            -1 => match wire::event(reader) {
                Some((kind, path)) if is_modelled(&path) => {
                    let fact = ClientFact::Watch { session, connection, kind, path, zxid };
                    self.tell(line.number, fact);
                }
                Some(_) => {}
                None => self.nonsense(line, Some(session), "an event that does not decode"),
            },
            -2 => self.tell(line.number, ClientFact::Pong { session, connection, zxid }),
            xid => match self.due(xid, &outstanding) {
                Some(at) => {
                    let place = outstanding.remove(at).expect("it was found there");
                    self.reply(line, place, header, reader);
                    if header.err == 0 && self.closes(place) {
                        self.leave(line.number, session, &mut outstanding);
                    }
                }
                // Of a request that could not be read.
                None if is_out_of_band(xid) => {}
                None => {
                    let what = match outstanding.front() {
                        Some(place) => {
                            let due = self.requests[*place].raw;
                            format!("a reply to request {xid} where {due} is the next")
                        }
                        None => format!("a reply to request {xid}, which was not asked"),
                    };
                    self.nonsense(line, Some(session), &what);
                }
            },
        }
        Link::Attached { session, connection, outstanding }
    }

    /// The place of the request that a reply with this number is for. Replies come in the order of requests;
    /// Apache answers who proves an identity at once.
    fn due(&self, xid: i32, outstanding: &VecDeque<usize>) -> Option<usize> {
        let is_it = |place: &usize| self.requests[*place].raw == xid;
        match xid {
            XID_AUTH => outstanding.iter().position(is_it),
            _ => outstanding.front().filter(|place| is_it(place)).map(|_| 0),
        }
    }

    fn reply(&mut self, line: &Line, place: usize, header: wire::ReplyHeader, reader: Reader) {
        let request = &mut self.requests[place];
        let (op, zxid) = (request.id, header.zxid);
        request.answer = Some((zxid, header.err));
        let moment = request.moment;
        let ClientFact::Invoke { call, .. } = self.moments[moment].fact.clone() else { return };
        if header.err != 0 {
            if is_beyond_model(header.err, self.access()) {
                self.leave_out(place, BEYOND_MODEL);
            }
            self.tell(line.number, ClientFact::Err { op, zxid, code: header.err });
        } else if matches!(call, Call::UnknownOp { .. }) {
            self.tell(line.number, ClientFact::Ok { op, zxid, result: Reply::Empty });
        } else {
            let Some(result) = wire::reply(&call, reader) else {
                return self.nonsense(line, Some(op.session), "a reply body that does not decode");
            };
            let access = self.access();
            let refused = |sub: &SubReply| matches!(sub, SubReply::Error(code) if is_beyond_model(*code, access));
            if matches!(&result, Reply::Multi(subs) if subs.iter().any(refused)) {
                self.leave_out(place, BEYOND_MODEL);
            }
            self.tell(line.number, ClientFact::Ok { op, zxid, result });
        }
    }

    fn closes(&self, place: usize) -> bool {
        matches!(self.call_of(&self.requests[place]), Some(Call::CloseSession))
    }

    /// The session is closed: what was sent behind that has no answer to come.
    fn leave(&mut self, line: u64, session: SessionId, outstanding: &mut VecDeque<usize>) {
        for place in outstanding.drain(..) {
            let op = self.requests[place].id;
            self.tell(line, ClientFact::Unknown { op });
        }
        self.tell(line, ClientFact::Session(SessionFact::Left { session }));
    }

    fn detach(&mut self, line: u64, link: Link) {
        let Link::Attached { session, connection, outstanding } = link else { return };
        for place in outstanding {
            let op = self.requests[place].id;
            self.tell(line, ClientFact::Unknown { op });
        }
        let detached = SessionFact::Detached { session, connection, cut_off: false };
        self.tell(line, ClientFact::Session(detached));
        let book = self.books.entry(session).or_default();
        if book.connections == connection {
            book.link = None;
        }
    }
}

/// As servers show it to clients: Java shortens nothing in an address of version 6.
fn as_shown(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(six)) => six.segments().map(|part| format!("{part:x}")).join(":"),
        Ok(IpAddr::V4(_)) | Err(_) => address.into(),
    }
}

/// The numbers under which clients send what proves an identity, and watches that they set again.
const XID_AUTH: i32 = -4;
const XID_SET_WATCHES: i32 = -8;

const fn is_out_of_band(xid: i32) -> bool {
    matches!(xid, XID_AUTH | XID_SET_WATCHES)
}

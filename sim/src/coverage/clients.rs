//! What clients asked for, and what they were told.

use std::collections::VecDeque;

use vivarium_core::ids::{Epoch, ServerId};
use vivarium_core::wire::client::WatchOp;

use crate::coverage::labels::{Answer, Asked, Class, Event, Moment, Part};
use crate::coverage::mark::Mark;
use crate::coverage::marks::Marks;
use crate::coverage::seat::Seat;
use crate::history::{
    Call, ClientFact, CreateCall, Forgery, Life, Reply, RequestId, SessionFact, SubReply,
};
use crate::ids::ClientId;

#[derive(Debug, Default)]
pub(crate) struct Clients(Vec<Client>);

/// One client process.
#[derive(Clone, Debug, Default)]
struct Client {
    /// Requests under way, in the order of the connection.
    asked: VecDeque<(RequestId, Asked)>,
    /// Where its session was granted last.
    home: Option<Home>,
}

#[derive(Clone, Copy, Debug)]
struct Home {
    server: ServerId,
    /// Of the server at that moment.
    lives: u32,
    reign: Epoch,
}

impl Clients {
    /// `reign`: the newest epoch that was established.
    pub(crate) fn fact(
        &mut self,
        client: ClientId,
        fact: &ClientFact,
        seats: &[Seat],
        reign: Epoch,
        marks: &mut Marks,
    ) {
        let place = client.0 as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, Client::default());
        }
        let client = &mut self.0[place];
        match fact {
            ClientFact::Invoke { op, call } => client.asked.push_back((*op, asked(call))),
            ClientFact::Ok { op, result, .. } => {
                if let Some(asked) = client.answered(op, answer(result), marks) {
                    served(asked, op.server, seats, reign, marks);
                }
            }
            ClientFact::Err { op, code, .. } => {
                client.answered(op, Answer::of(*code), marks);
            }
            ClientFact::Unknown { op } => {
                client.answered(op, Some(Answer::Lost), marks);
            }
            ClientFact::Watch { kind, zxid, .. } => {
                marks.hit(Mark::Watch(Event::of(*kind)));
                if matches!(client.asked.front(), Some((_, Asked::SetWatches))) {
                    let replayed = *zxid > 0;
                    let moment =
                        if replayed { Moment::MissedReplayed } else { Moment::MissedShown };
                    marks.hit(Mark::Moment(moment));
                }
            }
            ClientFact::Session(fact) => client.session(fact, seats, reign, marks),
            ClientFact::Ping { .. } | ClientFact::Pong { .. } | ClientFact::Nonsense { .. } => {}
        }
    }
}

impl Client {
    /// Requests of a connection end in their order.
    fn answered(
        &mut self,
        op: &RequestId,
        answer: Option<Answer>,
        marks: &mut Marks,
    ) -> Option<Asked> {
        let place = self.asked.iter().position(|(asked, _)| asked == op)?;
        let (_, asked) = self.asked.remove(place)?;
        if let Some(answer) = answer {
            marks.hit(Mark::Answered(asked, answer));
        }
        Some(asked)
    }

    fn session(&mut self, fact: &SessionFact, seats: &[Seat], reign: Epoch, marks: &mut Marks) {
        let moment = match fact {
            SessionFact::Granted { asked, server, .. } => {
                let lives = seats.get(server.0 as usize - 1).map_or(0, |seat| seat.lives);
                let home = self.home.replace(Home { server: *server, lives, reign });
                match home.filter(|_| asked.is_some()) {
                    Some(home) => {
                        if home.reign < reign {
                            marks.hit(Mark::Moment(Moment::SessionOutlivesLeader));
                        }
                        match (home.server == *server, home.lives == lives) {
                            (true, true) => Moment::SessionKept,
                            (true, false) => Moment::SessionRestarted,
                            (false, _) => Moment::SessionMoved,
                        }
                    }
                    None => Moment::SessionOpened,
                }
            }
            SessionFact::ReadOnly { .. } => Moment::SessionReadsOnly,
            SessionFact::Expired { .. } => Moment::SessionOver,
            SessionFact::Silent { .. } => Moment::ClientSilent,
            SessionFact::Left { .. } => Moment::ClientLeaves,
            SessionFact::Forged { forgery: Forgery::WrongPassword, .. } => Moment::WrongPassword,
            SessionFact::Forged { forgery: Forgery::ClientAhead, .. } => Moment::ClientAhead,
            SessionFact::Asked { .. }
            | SessionFact::Detached { .. }
            | SessionFact::GaveUp { .. } => return,
        };
        marks.hit(Mark::Moment(moment));
    }
}

/// A request took effect, or was answered from the tree, at this server.
fn served(asked: Asked, server: ServerId, seats: &[Seat], reign: Epoch, marks: &mut Marks) {
    let class = match asked {
        Asked::Exists
        | Asked::GetData
        | Asked::GetChildren
        | Asked::MultiRead
        | Asked::GetEphemerals
        | Asked::CountAll
        | Asked::GetAcl
        | Asked::WhoAmI
        | Asked::AddWatch
        | Asked::CheckWatches
        | Asked::RemoveWatches
        | Asked::SetWatches => Class::Read,
        Asked::Sync => Class::Sync,
        Asked::Create
        | Asked::CreateSequential
        | Asked::CreateEphemeral
        | Asked::CreateContainer
        | Asked::CreateTtl
        | Asked::Delete
        | Asked::SetData
        | Asked::Multi
        | Asked::SetAcl
        | Asked::CloseSession => Class::Write,
        Asked::AddAuth | Asked::Reconfig | Asked::UnknownOp | Asked::Malformed => return,
    };
    let Some(seat) = seats.get(server.0 as usize - 1) else { return };
    // The reply may come when its server is long in another part.
    let Some(part) = seat.part.filter(|part| part.serves()) else { return };
    marks.hit(Mark::Served(class, part));
    if class == Class::Read && part == Part::LeadingBroadcast && seat.epoch < reign {
        marks.hit(Mark::Moment(Moment::DeposedAnswers));
    }
}

/// A multi that failed is answered in order; its first own error says why.
fn answer(reply: &Reply) -> Option<Answer> {
    let Reply::Multi(parts) = reply else { return Some(Answer::Done) };
    let error = parts.iter().find_map(|part| match part {
        // The other operations of a multi that failed.
        SubReply::Error(0 | -2) => None,
        SubReply::Error(code) => Some(*code),
        SubReply::Path(_) | SubReply::PathStat(..) | SubReply::Stat(_) | SubReply::Empty => None,
    });
    error.map_or(Some(Answer::Done), Answer::of)
}

const fn asked(call: &Call) -> Asked {
    match call {
        Call::Create(CreateCall { life: Life::Ephemeral, .. }) => Asked::CreateEphemeral,
        Call::Create(CreateCall { life: Life::Container, .. }) => Asked::CreateContainer,
        Call::Create(CreateCall { life: Life::Ttl { .. }, .. }) => Asked::CreateTtl,
        Call::Create(CreateCall { sequential: true, .. }) => Asked::CreateSequential,
        Call::Create(_) => Asked::Create,
        Call::Delete { .. } => Asked::Delete,
        Call::SetData { .. } => Asked::SetData,
        Call::Multi(_) => Asked::Multi,
        Call::Exists { .. } => Asked::Exists,
        Call::GetData { .. } => Asked::GetData,
        Call::GetChildren { .. } => Asked::GetChildren,
        Call::MultiRead(_) => Asked::MultiRead,
        Call::GetEphemerals { .. } => Asked::GetEphemerals,
        Call::CountAll { .. } => Asked::CountAll,
        Call::Sync { .. } => Asked::Sync,
        Call::AddAuth { .. } => Asked::AddAuth,
        Call::GetAcl { .. } => Asked::GetAcl,
        Call::SetAcl { .. } => Asked::SetAcl,
        Call::WhoAmI => Asked::WhoAmI,
        Call::Reconfig { .. } => Asked::Reconfig,
        Call::Watch(WatchOp::Add { .. }) => Asked::AddWatch,
        Call::Watch(WatchOp::Check { .. }) => Asked::CheckWatches,
        Call::Watch(WatchOp::Remove { .. }) => Asked::RemoveWatches,
        Call::Watch(WatchOp::Set(_)) => Asked::SetWatches,
        Call::CloseSession => Asked::CloseSession,
        Call::UnknownOp { .. } => Asked::UnknownOp,
        Call::Malformed { .. } => Asked::Malformed,
    }
}

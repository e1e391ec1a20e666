//! Four-letter words on the client port (PROTOCOL 5.1).

use crate::admin::four_letter;
use crate::ids::LinkId;
use crate::server::action::{Close, CloseReason};
use crate::server::clients::link::Phase;
use crate::server::clients::{ClientCx, Clients, Submission};

/// What a telnet client sends when it wants to leave.
const TELNET_CLOSE: [u8; 4] = [0xff, 0xf4, 0xff, 0xfd];

impl Clients {
    /// Takes the first four bytes for a word, if they are one. False: they are a frame length.
    pub(super) fn ask(&mut self, link: LinkId, first: [u8; 4], cx: &mut ClientCx<'_>) -> bool {
        if first == TELNET_CLOSE {
            self.end(link, Close::Flush, CloseReason::Finished, cx);
            return true;
        }
        let Some(word) = four_letter::known(&first) else { return false };
        let Some(known) = self.links.get_mut(&link) else { return false };
        known.phase = Phase::Asked;
        known.traffic.received += 1;
        self.traffic.received += 1;
        self.submissions.push_back(Submission::Word { link, word });
        true
    }

    /// Answers a word and closes the connection that brought it.
    pub fn word_answer(&mut self, link: LinkId, text: &str, cx: &mut ClientCx<'_>) {
        let Some(known) = self.links.get(&link) else { return };
        if !matches!(known.phase, Phase::Asked) {
            return;
        }
        self.send(link, cx, |out| out.extend_from_slice(text.as_bytes()));
        self.end(link, Close::Flush, CloseReason::Finished, cx);
    }
}

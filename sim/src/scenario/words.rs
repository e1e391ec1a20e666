//! A line of a scenario file, word by word.

use std::collections::VecDeque;

use super::span;
use crate::schedule::Peer;

/// The words of one line that have not been read yet.
pub(crate) struct Words<'a>(VecDeque<&'a str>);

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        Self(line.split_whitespace().collect())
    }

    /// The next word; `what` says what should have stood there.
    pub(crate) fn next(&mut self, what: &str) -> Result<&'a str, String> {
        self.0.pop_front().ok_or_else(|| format!("the line ends where {what} should stand"))
    }

    /// Takes the next word if it is this one.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let is_next = self.0.front() == Some(&word);
        if is_next {
            self.0.pop_front();
        }
        is_next
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.next(&format!("`{word}`"))? {
            next if next == word => Ok(()),
            next => Err(format!("`{next}` stands where `{word}` should")),
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.next(what)?;
        word.parse().map_err(|_| format!("`{word}` stands where {what} should"))
    }

    /// Microseconds.
    pub(crate) fn span(&mut self) -> Result<u64, String> {
        let number = self.next("a time such as `3.2 s`")?;
        let unit = self.next("the unit of a time: s, ms or us")?;
        span::parse(number, unit)
    }

    /// Names between commas, with or without spaces behind them.
    pub(crate) fn peers(&mut self) -> Result<Vec<Peer>, String> {
        let mut peers = Vec::new();
        if self.take(NOBODY) {
            return Ok(peers);
        }
        loop {
            let word = self.next("names such as `s1,s2` or `c0`")?;
            let goes_on = word.ends_with(',');
            for name in word.trim_end_matches(',').split(',') {
                peers.push(peer(name)?);
            }
            if !goes_on {
                return Ok(peers);
            }
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        match self.0.front() {
            None => Ok(()),
            Some(word) => Err(format!("the line goes on with `{word}` where it should end")),
        }
    }
}

/// One side of a cut through a single server.
const NOBODY: &str = "nobody";

/// `s1` is a server, `c0` a client.
pub(crate) fn peer(name: &str) -> Result<Peer, String> {
    let wrong =
        || format!("`{name}` names neither a server (s1, s2, ..) nor a client (c0, c1, ..)");
    if let Some(id) = name.strip_prefix('s') {
        return id.parse().map(Peer::Server).map_err(|_| wrong());
    }
    let id = name.strip_prefix('c').ok_or_else(wrong)?;
    id.parse().map(Peer::Client).map_err(|_| wrong())
}

/// The other way round, between commas.
pub(crate) fn names(peers: &[Peer]) -> String {
    let name = |peer: &Peer| match peer {
        Peer::Server(id) => format!("s{id}"),
        Peer::Client(id) => format!("c{id}"),
    };
    match peers {
        [] => NOBODY.into(),
        peers => peers.iter().map(name).collect::<Vec<_>>().join(","),
    }
}

//! The lines of a recorded history: what they say before anything is decoded.

use std::io::BufRead;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use vivarium_core::ids::ServerId;

use crate::recorded::Unusable;

/// One thing that the recorder saw, in the order in which it saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Of the file, from 1.
    pub number: u64,
    pub connection: u64,
    pub server: ServerId,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// By somebody whom the server sees under this address, where the recorder knows it.
    Opened {
        address: Option<String>,
    },
    Asked(Bytes),
    Answered(Bytes),
    Closed,
}

#[derive(Deserialize)]
struct Head {
    vivarium_history: u32,
}

#[derive(Deserialize)]
struct Raw {
    connection: u64,
    #[serde(default)]
    server: u64,
    #[serde(default)]
    opened: bool,
    address: Option<String>,
    #[serde(default)]
    closed: bool,
    from: Option<Side>,
    frame: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Client,
    Server,
}

/// Gives every line to `take`; answers whether the last one is torn, as after a recorder that was
/// killed.
pub(crate) fn read(mut from: impl BufRead, mut take: impl FnMut(Line)) -> Result<bool, Unusable> {
    let mut text = Vec::new();
    let mut number = 0;
    loop {
        text.clear();
        number += 1;
        let at = |what: String| Unusable(format!("line {number}: {what}"));
        let len = from.read_until(b'\n', &mut text).map_err(|error| at(error.to_string()))?;
        if number == 1 {
            match serde_json::from_slice(&text) {
                Ok(Head { vivarium_history: 1 }) => continue,
                Ok(Head { vivarium_history }) => {
                    return Err(at(format!("history version {vivarium_history}, not 1")));
                }
                Err(_) => return Err(at("not a history: it begins without a header".into())),
            }
        }
        if len == 0 {
            return Ok(false);
        }
        match decode(&text, number) {
            Ok(line) => take(line),
            Err(_) if text.last() != Some(&b'\n') => return Ok(true),
            Err(what) => return Err(at(what)),
        }
    }
}

fn decode(text: &[u8], number: u64) -> Result<Line, String> {
    let raw: Raw = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let what = match (raw.opened, raw.closed, raw.from, raw.frame) {
        (true, false, None, None) => What::Opened { address: raw.address },
        (false, true, None, None) => What::Closed,
        (false, false, Some(side), Some(frame)) => {
            let frame = STANDARD.decode(frame).map_err(|error| error.to_string())?;
            match side {
                Side::Client => What::Asked(frame.into()),
                Side::Server => What::Answered(frame.into()),
            }
        }
        (_, _, _, _) => return Err("neither opened, nor closed, nor a frame".into()),
    };
    Ok(Line { number, connection: raw.connection, server: ServerId(raw.server), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<(Vec<Line>, bool), Unusable> {
        let mut all = Vec::new();
        let torn = read(text.as_bytes(), |line| all.push(line))?;
        Ok((all, torn))
    }

    const HEAD: &str = "{\"vivarium_history\": 1, \"servers\": []}\n";

    #[test]
    fn a_torn_last_line_is_accepted_and_told() {
        let whole = format!("{HEAD}{{\"connection\": 1, \"server\": 2, \"opened\": true}}\n");
        let (all, torn) = lines(&format!("{whole}{{\"connection\": 1, \"fra")).unwrap();
        assert!(torn);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].number, all[0].server), (2, ServerId(2)));
        assert!(!lines(&whole).unwrap().1);
    }

    #[test]
    fn what_is_no_history_is_refused_with_its_line() {
        for (text, what) in [
            ("", "line 1: not a history"),
            ("{\"vivarium_history\": 9}\n", "line 1: history version 9"),
            (&format!("{HEAD}{{\"connection\": 1}}\n"), "line 2: neither"),
            (&format!("{HEAD}nonsense\n{{}}\n"), "line 2: "),
        ] {
            let told = lines(text).unwrap_err().to_string();
            assert!(told.starts_with(what), "{told}");
        }
    }
}

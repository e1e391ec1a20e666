//! One `server.N` line: `host:quorum:election[|host2:q:e..][:role][;[host:]clientPort]`.
//! Apache: `QuorumPeer.QuorumServer`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use core::fmt;

use crate::config::{Address, Member, MemberRole};

/// What the line held besides the member that we keep.
#[derive(Debug, PartialEq, Eq)]
pub struct ParsedMember {
    pub member: Member,
    /// More addresses stood behind `|`; the first one is used.
    pub more_addresses: bool,
}

impl Member {
    pub fn parse(text: &str) -> Result<ParsedMember, String> {
        let (server, client) = match text.split_once(';') {
            Some((server, client)) => (server.trim(), Some(parse_client(client.trim())?)),
            None => (text.trim(), None),
        };
        let mut addresses = server.split('|');
        let first = split_colons(addresses.next().unwrap_or(""))?;
        let rest: Vec<&str> = addresses.collect();
        let mut role = first.get(3).cloned();
        if let Some(last) = rest.last() {
            // The role closes the line, so it stands behind the last address.
            role = split_colons(last)?.get(3).cloned().or(role);
        }
        if first.len() < 3 || first.len() > 4 {
            return Err(format!(
                "'{text}' is not 'host:quorumPort:electionPort[:role][;clientPort]'"
            ));
        }
        let member = Self {
            quorum: Address { host: parse_host(&first[0])?, port: parse_port(&first[1])? },
            election: Address { host: parse_host(&first[0])?, port: parse_port(&first[2])? },
            role: role.map_or(Ok(MemberRole::Participant), |role| parse_role(&role))?,
            client,
        };
        Ok(ParsedMember { member, more_addresses: !rest.is_empty() })
    }
}

/// As `QuorumServer.toString`: the role always, the client part only where it stood in the line.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            MemberRole::Participant => "participant",
            MemberRole::Observer => "observer",
        };
        write!(f, "{}:{}:{role}", self.quorum, self.election.port)?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

pub fn parse_role(text: &str) -> Result<MemberRole, String> {
    if text.eq_ignore_ascii_case("participant") {
        Ok(MemberRole::Participant)
    } else if text.eq_ignore_ascii_case("observer") {
        Ok(MemberRole::Observer)
    } else {
        Err(format!("'{text}' is neither 'participant' nor 'observer'"))
    }
}

/// 0 is no port: nobody could connect to it.
pub fn parse_port(text: &str) -> Result<u16, String> {
    match text.trim().parse::<u16>() {
        Ok(port) if port != 0 => Ok(port),
        Ok(_) | Err(_) => Err(format!("'{text}' is not a port between 1 and 65535")),
    }
}

fn parse_host(text: &str) -> Result<String, String> {
    let legal = |c: char| !c.is_whitespace() && !c.is_control();
    if text.is_empty() || text.len() > 255 || !text.chars().all(legal) {
        return Err(format!("'{text}' is not a host name or address"));
    }
    Ok(text.to_string())
}

fn parse_client(text: &str) -> Result<Address, String> {
    match split_colons(text)?.as_slice() {
        [port] => Ok(Address { host: "0.0.0.0".into(), port: parse_port(port)? }),
        [host, port] => Ok(Address { host: parse_host(host)?, port: parse_port(port)? }),
        [] | [_, _, _, ..] => Err(format!("'{text}' is not '[host:]clientPort'")),
    }
}

/// Splits at colons, except inside the brackets of an IPv6 address, which are dropped.
fn split_colons(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('[') else {
        return Ok(text.split(':').map(|part| part.trim().to_string()).collect());
    };
    let (host, rest) =
        inner.split_once(']').ok_or_else(|| format!("'{text}' lacks the closing ']'"))?;
    let mut parts = alloc::vec![host.to_string()];
    match rest.strip_prefix(':') {
        Some(rest) => parts.extend(rest.split(':').map(|part| part.trim().to_string())),
        None if rest.is_empty() => {}
        None => return Err(format!("'{text}' needs a ':' behind ']'")),
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_print_as_apache_prints_them() {
        for (line, printed) in [
            ("a:2888:3888", "a:2888:3888:participant"),
            ("a:2888:3888:observer", "a:2888:3888:observer"),
            ("a:2888:3888;2181", "a:2888:3888:participant;0.0.0.0:2181"),
            (" a : 1 : 2 : PARTICIPANT ; b : 3 ", "a:1:2:participant;b:3"),
            ("[::1]:1:2:observer;[fe80::1]:3", "[::1]:1:2:observer;[fe80::1]:3"),
            ("a:1:2|b:3:4:observer;5", "a:1:2:observer;0.0.0.0:5"),
        ] {
            let parsed = Member::parse(line).unwrap();
            assert_eq!(parsed.member.to_string(), printed);
            assert_eq!(parsed.more_addresses, line.contains('|'));
            assert_eq!(Member::parse(printed).unwrap().member, parsed.member);
        }
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        for (line, what) in [
            ("", "is not 'host:quorumPort"),
            ("a:1", "is not 'host:quorumPort"),
            ("a:1:x", "'x' is not a port"),
            ("a:1:0", "'0' is not a port"),
            ("a:1:65536", "'65536' is not a port"),
            ("a:1:2:leader", "neither 'participant'"),
            ("[::1:1:2", "closing ']'"),
            ("[::1]1:2", "needs a ':'"),
            (":1:2", "'' is not a host"),
            ("a:1:2;b:c:3", "clientPort"),
        ] {
            let error = Member::parse(line).unwrap_err();
            assert!(error.contains(what), "{line}: {error}");
        }
    }
}

//! How many servers, on which ports, and what each is told about the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dev::cuts::Cuts;
use crate::dev::folder::Folder;
use crate::dev::forwarder::{Net, Wire};
use crate::dev::ports::Port;
use crate::dev::server::{Ports, Server};
use crate::dev::talk::Number;
use crate::failure::Failure;

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub servers: u8,
    /// Of the first server's client port; `None`: free ones.
    pub base_port: Option<u16>,
    pub tick_ms: u32,
}

pub type Servers = BTreeMap<Number, Server>;

impl Plan {
    /// Holds the ports, writes each server's files, and lays the wires between the servers.
    pub fn build(
        self,
        folder: &Folder,
        cuts: &watch::Sender<Cuts>,
    ) -> Result<(Servers, JoinSet<()>), Failure> {
        let mut servers = BTreeMap::new();
        for number in (1..=self.servers).map(Number) {
            let ports = self.ports(number)?;
            servers.insert(number, Server::new(folder.home(number), ports));
        }
        let first = !servers.values().any(|server| server.home.has_data());
        let mut wires = JoinSet::new();
        for (&me, server) in &servers {
            let members = if servers.len() == 1 {
                String::new()
            } else {
                members(me, &servers, cuts, &mut wires).map_err(no_port)?
            };
            let client = server.ports.client.number();
            let text = server.home.config_text(client, self.tick_ms, &members);
            server.home.prepare(me, &text, first)?;
        }
        Ok((servers, wires))
    }

    fn ports(self, number: Number) -> Result<Ports, Failure> {
        let client = match self.base_port {
            None => Port::hold(0).map_err(no_port)?,
            Some(base) => given_port(base, number)?,
        };
        let quorum = Port::hold(0).map_err(no_port)?;
        let election = Port::hold(0).map_err(no_port)?;
        Ok(Ports { client, quorum, election })
    }
}

fn given_port(base: u16, number: Number) -> Result<Port, Failure> {
    let offset = u16::from(number.0) - 1;
    let port = base.checked_add(offset).filter(|port| *port > 0).ok_or_else(|| {
        Failure::configuration(format!("--base-port {base}: no ports follow; choose a lower one"))
    })?;
    Port::hold(port).map_err(|error| {
        let help = if error.kind() == io::ErrorKind::AddrInUse {
            "another process uses it; choose another --base-port, or none"
        } else {
            "choose another --base-port, or none"
        };
        Failure::configuration(format!("client port 127.0.0.1:{port}: {error}; {help}"))
    })
}

/// The lines `server.N=..` as `me` is to see them: its own ports as they are, those of the others
/// behind doors of ours.
fn members(
    me: Number,
    servers: &Servers,
    cuts: &watch::Sender<Cuts>,
    wires: &mut JoinSet<()>,
) -> io::Result<String> {
    let mut lines = String::new();
    for (&other, server) in servers {
        let mut port = |target: &Port| -> io::Result<u16> {
            if other == me {
                return Ok(target.number());
            }
            let door = Port::hold(0)?;
            let number = door.number();
            let net = Net::new(cuts.subscribe(), server.watch_alive());
            wires.spawn(Wire::new(me, other, door, target.number(), net).run());
            Ok(number)
        };
        let (quorum, election) = (port(&server.ports.quorum)?, port(&server.ports.election)?);
        // Writing into a String cannot fail.
        let _ = writeln!(lines, "server.{other}=127.0.0.1:{quorum}:{election}");
    }
    Ok(lines)
}

fn no_port(error: io::Error) -> Failure {
    Failure::running(format!("no free port on 127.0.0.1: {error}"))
}

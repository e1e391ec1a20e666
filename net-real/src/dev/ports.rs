//! Ports on loopback that stay ours while nobody listens on them.
//!
//! A server of the ensemble must get its ports back whenever it is started again, and an ephemeral
//! port that is only remembered may meanwhile be given to any outgoing connection. So a socket that
//! is bound and never listens holds each port. It allows a second socket of this user on the same
//! address (SO_REUSEADDR) only after it was bound, hence nobody is given the port by chance, while
//! a server that sets the same option may listen there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpSocket};

const BACKLOG: u32 = 128;

#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _held: Socket,
}

impl Port {
    /// `number` 0: any free one.
    pub fn hold(number: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, number)).into())?;
        socket.set_reuse_address(true)?;
        let address = socket.local_addr()?.as_socket();
        let address = address.ok_or_else(|| io::Error::other("the socket has no address"))?;
        Ok(Self { address, _held: socket })
    }

    pub fn number(&self) -> u16 {
        self.address.port()
    }

    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        socket.listen(BACKLOG)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_held_port_refuses_strangers_and_lets_its_server_listen_again_and_again() {
        let port = Port::hold(0).unwrap();
        assert!(Port::hold(port.number()).is_err(), "a second holder");
        assert!(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_ok());
        for _ in 0..2 {
            let refused = TcpStream::connect(port.address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = port.listen().unwrap();
            let (_near, far) = tokio::join!(TcpStream::connect(port.address), listener.accept());
            drop(far.unwrap());
        }
    }
}

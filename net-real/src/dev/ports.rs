//! Ports on loopback that stay ours while nobody listens on them.
//!
//! A server of the ensemble must get its ports back whenever it is started again, and an ephemeral
//! port that is only remembered may meanwhile be given to any outgoing connection. So a socket that
//! is bound and never listens holds each port: nobody is given the port by chance, while a server
//! that sets SO_REUSEADDR, as this socket does, may listen there.

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
        // A free port is chosen without the option, so that another holder's is never it. A given
        // one is bound with it, or connections of a server that was stopped a moment ago would
        // keep it for a minute.
        socket.set_reuse_address(number != 0)?;
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
        let stranger = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let taken = stranger.bind(&port.address.into()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        for _ in 0..2 {
            let refused = TcpStream::connect(port.address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = port.listen().unwrap();
            let (_near, far) = tokio::join!(TcpStream::connect(port.address), listener.accept());
            drop(far.unwrap());
        }
    }

    #[test]
    fn a_given_port_is_refused_while_somebody_listens_there() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        assert_eq!(Port::hold(number).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert_eq!(Port::hold(number).unwrap().number(), number);
    }
}

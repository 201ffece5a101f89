//! Plain TCP.

use std::io;

use futures::{FutureExt, future::BoxFuture};
use tokio::net::{TcpListener, TcpStream};

use super::{Connection, Detached, Io, Listener, Transport, delegate_io};

/// TCP with `TCP_NODELAY` on: a link already gathers a tick's frames into one write, so that
/// waiting for more (Nagle) could only add latency.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn dial<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Connection>>> {
        async move { Ok(Tcp::new(TcpStream::connect(addr).await?)?.boxed()) }.boxed()
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move { Ok(Box::new(Accepting(TcpListener::bind(addr).await?)) as Box<dyn Listener>) }
            .boxed()
    }
}

struct Accepting(TcpListener);

impl Listener for Accepting {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Connection>, String)>> {
        async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Tcp::new(stream)?.boxed(), from.to_string()))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }
}

struct Tcp(TcpStream);

impl Tcp {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    fn boxed(self) -> Box<dyn Connection> {
        Box::new(self)
    }
}

delegate_io!([] Tcp);

impl Connection for Tcp {
    /// Through `std::net`: a tokio socket is registered with one runtime's poller for life.
    fn detach(self: Box<Self>) -> io::Result<Detached> {
        let stream = self.0.into_std()?;
        Ok(Detached::new(move || {
            Ok(Box::new(Tcp(TcpStream::from_std(stream)?)) as Box<dyn Io>)
        }))
    }
}

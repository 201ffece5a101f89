//! The simulated network as a node's transport: turmoil's sockets, each read and write in the trace.

use std::{
    io,
    net::Ipv4Addr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use henge_rpc::{AnyThread, Connection, Listener, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use crate::{history::Micros, sim::Trace};

/// What all hosts of a run write their trace to.
pub(super) type SharedTrace = Arc<Mutex<Trace>>;

/// The time of the run. Outside of a simulated host it is 0.
pub(super) fn now() -> Micros {
    turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_micros() as Micros)
}

/// One host's sockets. Addresses are `NAME:PORT`.
pub(super) struct SimulatedTcp {
    /// The host's number, for the trace.
    pub(super) host: usize,
    /// Where to note what passes.
    pub(super) trace: SharedTrace,
}

impl SimulatedTcp {
    fn traced(&self, stream: TcpStream) -> Box<dyn Connection> {
        Box::new(AnyThread(Traced {
            stream,
            host: self.host,
            trace: Arc::clone(&self.trace),
        }))
    }
}

impl Transport for SimulatedTcp {
    fn dial<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Connection>>> {
        async move { Ok(self.traced(TcpStream::connect(addr).await?)) }.boxed()
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        async move {
            let invalid = || io::Error::new(io::ErrorKind::InvalidInput, addr.to_owned());
            let (_, port) = addr.split_once(':').ok_or_else(invalid)?;
            let port: u16 = port.parse().map_err(|_| invalid())?;
            let listener = Simulated {
                listener: TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?,
                name: addr.to_owned(),
                sockets: Self {
                    host: self.host,
                    trace: Arc::clone(&self.trace),
                },
            };
            Ok(Box::new(listener) as Box<dyn Listener>)
        }
        .boxed()
    }
}

struct Simulated {
    listener: TcpListener,
    name: String,
    sockets: SimulatedTcp,
}

impl Listener for Simulated {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Connection>, String)>> {
        async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((self.sockets.traced(stream), from.to_string()))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<String> {
        Ok(self.name.clone())
    }
}

/// A stream whose reads and writes are noted. Not their bytes and lengths: tarpc puts random span
/// ids of varying length into every call. What the bytes mean shows in what happens next.
struct Traced {
    stream: TcpStream,
    host: usize,
    trace: SharedTrace,
}

impl Traced {
    fn note(&self, what: u8) {
        let mut trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = self.stream.peer_addr().ok();
        let place = peer.map_or([0; 6], |peer| {
            let mut place = [0; 6];
            if let std::net::IpAddr::V4(ip) = peer.ip() {
                place[..4].copy_from_slice(&ip.octets());
            }
            place[4..].copy_from_slice(&peer.port().to_le_bytes());
            place
        });
        trace.event(now(), self.host, what, &place, || {
            let verb = if what == b'r' {
                "reads from"
            } else {
                "writes to"
            };
            format!("{verb} {peer:?}")
        });
    }
}

impl AsyncRead for Traced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.note(b'r');
        }
        polled
    }
}

impl AsyncWrite for Traced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if polled.is_ready() {
            self.note(b'w');
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

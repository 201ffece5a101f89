//! How bytes get from one node to another: TCP, an in-process pipe, a simulated network.
//!
//! A connection may be accepted on one runtime and used on another: [`Connection::detach`] takes it
//! off its runtime, the [`Detached`] half-thing crosses threads, [`Detached::attach`] registers it
//! with the runtime it is called in.

use std::{fmt, io};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

mod tcp;
pub use tcp::TcpTransport;

mod in_process;
pub use in_process::InProcess;

mod any_thread;
pub use any_thread::AnyThread;

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + ?Sized> Io for T {}

/// A connection that is registered with the runtime it was made in.
pub trait Connection: Io {
    /// Takes the connection off its runtime. Call it inside that runtime, with nothing read ahead
    /// and nothing left to write.
    fn detach(self: Box<Self>) -> io::Result<Detached>;
}

/// A connection between two runtimes.
pub struct Detached(Box<dyn FnOnce() -> io::Result<Box<dyn Io>> + Send>);

impl Detached {
    /// A connection that `attach` will register with the runtime it is called in.
    pub fn new(attach: impl FnOnce() -> io::Result<Box<dyn Io>> + Send + 'static) -> Self {
        Self(Box::new(attach))
    }

    /// Registers the connection with the current runtime.
    pub fn attach(self) -> io::Result<Box<dyn Io>> {
        (self.0)()
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detached")
    }
}

/// Makes connections. Addresses are text whose meaning is the transport's own.
pub trait Transport: Send + Sync {
    /// Connects to a listener. The caller bounds the time.
    fn dial<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Connection>>>;

    /// Listens on an address.
    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;
}

/// Takes in connections.
pub trait Listener: Send {
    /// The next connection, with the address it came from (for logs only).
    ///
    /// Dropping the future loses no connection.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Connection>, String)>>;

    /// The address others dial; with port 0 asked for, the port that was given.
    fn local_addr(&self) -> io::Result<String>;
}

/// Passes reads and writes through to a field.
macro_rules! delegate_io {
    ([$($bound:tt)*] $type:ty) => {
        impl<$($bound)*> tokio::io::AsyncRead for $type {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
            }
        }

        impl<$($bound)*> tokio::io::AsyncWrite for $type {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(&mut self.0).poll_write(cx, bytes)
            }

            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }
    };
}
use delegate_io;

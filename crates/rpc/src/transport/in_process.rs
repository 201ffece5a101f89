//! Pipes between nodes of one process: tests, and several nodes embedded in one program.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};

use super::{AnyThread, Connection, Listener, Transport};

/// Bytes a pipe holds in each direction before its writer waits: about a socket's buffer.
const PIPE_BYTES: usize = 256 * 1024;

/// Connections waiting to be accepted; a listener that lags makes diallers wait.
const BACKLOG: usize = 64;

type Listeners = BTreeMap<String, mpsc::Sender<DuplexStream>>;

/// A network within the process. Clones share it; names are its addresses.
#[derive(Clone, Default)]
pub struct InProcess(Arc<Mutex<Listeners>>);

impl InProcess {
    fn listeners<R>(&self, act: impl FnOnce(&mut Listeners) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Transport for InProcess {
    fn dial<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Connection>>> {
        async move {
            let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, addr.to_owned());
            let listener = self
                .listeners(|all| all.get(addr).cloned())
                .ok_or_else(refused)?;
            let (ours, theirs) = duplex(PIPE_BYTES);
            listener.send(theirs).await.map_err(|_| refused())?;
            Ok(Box::new(AnyThread(ours)) as Box<dyn Connection>)
        }
        .boxed()
    }

    fn listen<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        let (sender, incoming) = mpsc::channel(BACKLOG);
        self.listeners(|all| all.insert(addr.to_owned(), sender));
        let listener = Box::new(Pipes {
            name: addr.to_owned(),
            incoming,
        }) as Box<dyn Listener>;
        async move { Ok(listener) }.boxed()
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.listeners(|all| all.keys().cloned().collect::<Vec<_>>()))
            .finish()
    }
}

struct Pipes {
    name: String,
    incoming: mpsc::Receiver<DuplexStream>,
}

impl Listener for Pipes {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Connection>, String)>> {
        async move {
            let closed = || io::Error::new(io::ErrorKind::NotConnected, "listener replaced");
            let stream = self.incoming.recv().await.ok_or_else(closed)?;
            Ok((
                Box::new(AnyThread(stream)) as Box<dyn Connection>,
                self.name.clone(),
            ))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<String> {
        Ok(self.name.clone())
    }
}

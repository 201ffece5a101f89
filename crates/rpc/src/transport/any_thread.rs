//! Streams that belong to no particular runtime.

use std::io;

use super::{Connection, Detached, Io, delegate_io};

/// Makes a [`Connection`] of a stream that any thread may poll: an in-process pipe, a simulated
/// socket (`turmoil::net::TcpStream`), a TLS session over one of these.
#[derive(Debug)]
pub struct AnyThread<T>(pub T);

delegate_io!([T: Io] AnyThread<T>);

impl<T: Io + 'static> Connection for AnyThread<T> {
    fn detach(self: Box<Self>) -> io::Result<Detached> {
        Ok(Detached::new(move || Ok(self as Box<dyn Io>)))
    }
}

//! What the door remembers of one client between its commands.

use std::{cell::RefCell, rc::Rc};

use henge_node::Options;

use super::{commands::Subscriptions, database::Database, decode::OwnedArgs, encode::Protocol};

/// Whether a client wants replies (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    /// To every command.
    #[default]
    On,
    /// To none.
    Off,
    /// Not to the next command.
    SkipNext,
}

/// Commands queued since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The commands, in order.
    pub(crate) queued: Vec<OwnedArgs>,
    /// Bytes of their arguments.
    pub(crate) bytes: usize,
    /// A command was refused while queueing: `EXEC` aborts.
    pub(crate) spoiled: bool,
}

/// Keys, each with the digest its record had (0: absent). Shared with the steps that read them.
pub(crate) type Watched = Rc<RefCell<Vec<(Vec<u8>, u64)>>>;

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// A number no other connection of this process has had.
    pub(crate) id: u64,
    /// `ip:port`.
    pub(crate) address: String,
    /// When it connected, milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// What it calls itself (`CLIENT SETNAME`).
    pub(crate) name: Vec<u8>,
    /// Its library's name and version (`CLIENT SETINFO`).
    pub(crate) library: (Vec<u8>, Vec<u8>),
    /// The protocol it speaks.
    pub(crate) protocol: Protocol,
    /// Whether it may do anything but authenticate.
    pub(crate) authenticated: bool,
    /// Whose keys its commands name (`SELECT`).
    pub(crate) database: Database,
    /// Consistency of requests that do not say (`HENGE.QUORUM`).
    pub(crate) defaults: Options,
    /// Whether it wants replies.
    pub(crate) replies: Replies,
    /// Between `MULTI` and `EXEC`.
    pub(crate) transaction: Option<Transaction>,
    /// Keys that must not change until `EXEC`.
    pub(crate) watched: Watched,
    /// What it would hear of, if anything were published.
    pub(crate) subscriptions: Subscriptions,
    /// It asked to leave: close when everything is answered.
    pub(crate) leaving: bool,
}

impl Client {
    /// A client that has just connected.
    pub(crate) fn new(id: u64, address: String, since_ms: u64, authenticated: bool) -> Self {
        Self {
            id,
            address,
            since_ms,
            name: Vec::new(),
            library: Default::default(),
            protocol: Protocol::default(),
            authenticated,
            database: Database::default(),
            defaults: Options::default(),
            replies: Replies::default(),
            transaction: None,
            watched: Watched::default(),
            subscriptions: Subscriptions::default(),
            leaving: false,
        }
    }

    /// Whether it is subscribed to something in a protocol that has no other use for the connection then.
    #[inline]
    pub(crate) fn is_listening(&self) -> bool {
        self.subscriptions.count() > 0 && self.protocol == Protocol::Resp2
    }

    /// What `RESET` does: everything as after connecting.
    pub(crate) fn reset(&mut self, authenticated: bool) {
        *self = Self::new(
            self.id,
            std::mem::take(&mut self.address),
            self.since_ms,
            authenticated,
        );
    }

    /// A client that looks the same to the commands of a batch; what they change in it is dropped.
    pub(crate) fn copy_for_batch(&self) -> Self {
        let mut copy = Self::new(
            self.id,
            self.address.clone(),
            self.since_ms,
            self.authenticated,
        );
        copy.protocol = self.protocol;
        copy.database = self.database;
        copy.defaults = self.defaults;
        copy
    }

    /// What other clients may see of it.
    pub(crate) fn card(&self) -> Card {
        Card {
            id: self.id,
            address: self.address.clone(),
            since_ms: self.since_ms,
            name: String::from_utf8_lossy(&self.name).into_owned(),
            library: String::from_utf8_lossy(&self.library.0).into_owned(),
            library_version: String::from_utf8_lossy(&self.library.1).into_owned(),
            protocol: self.protocol,
            database: self.database,
            subscriptions: self.subscriptions.counts(),
        }
    }
}

/// What `CLIENT LIST` tells of a client.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) id: u64,
    address: String,
    since_ms: u64,
    name: String,
    library: String,
    library_version: String,
    protocol: Protocol,
    database: Database,
    /// Channels and patterns.
    subscriptions: (usize, usize),
}

impl Card {
    /// Whether it has subscribed to anything.
    pub(crate) fn is_listening(&self) -> bool {
        self.subscriptions != (0, 0)
    }

    /// Its line, without a line end.
    pub(crate) fn line(&self, now_ms: u64) -> String {
        format!(
            "id={} addr={} laddr= fd=-1 name={} age={} idle=0 flags={} db={} sub={} psub={} ssub=0 \
             multi=-1 cmd=client user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.name,
            now_ms.saturating_sub(self.since_ms) / 1000,
            if self.is_listening() { "P" } else { "N" },
            self.database.number(),
            self.subscriptions.0,
            self.subscriptions.1,
            self.protocol.number(),
            self.library,
            self.library_version,
        )
    }
}

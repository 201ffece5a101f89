//! Hostile clients and peers against the real binary.
//!
//! Each test starts `henge serve` on free loopback ports, attacks it, and then asks three things: is
//! the attacker refused or cut, is another client still answered in time, and does `/metrics` tell
//! what happened. What takes longer than a few seconds by design (a head that trickles in for ten)
//! is tested with shorter limits beside the code it belongs to.

mod clients;
mod http;
mod memory;
mod node;
mod peers;
mod resp;

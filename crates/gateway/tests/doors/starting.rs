//! What a client that finds a node just started is told.

use std::{net::TcpListener, sync::Arc, time::Duration};

use henge_gateway::{Doors, Limits};
use henge_node::{Config, Node, NodeBuilder, Settings};

use super::one_node::Client;

/// A node of two, each with its address for the other.
fn start(peer_ports: [u16; 2], own: usize) -> Node {
    let any = "127.0.0.1:0".parse().unwrap();
    let text = format!(
        "listen_peer = \"127.0.0.1:{}\"\npeers = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n",
        peer_ports[own], peer_ports[0], peer_ports[1]
    );
    let settings = Settings::parse("test", &text).unwrap();
    let config = Config {
        listen_resp: any,
        listen_http: any,
        data_threads: 1,
        ..Config::check(&settings).unwrap()
    };
    let doors = Doors::new(None, Limits::default(), b"secret of the tests");
    NodeBuilder::new(config)
        .door(Arc::new(doors))
        .start()
        .unwrap()
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn who_connects_to_a_node_that_starts_is_served_as_soon_as_it_is_ready() {
    let ports = free_ports();
    let first = start(ports, 0);
    let mut client = Client::connect(&first.handle().info().endpoints.resp);
    client.send(b"SET sess:a v EX 60\r\nGET sess:a\r\n");
    assert!(!first.handle().is_ready(), "its peer is not there");
    let _second = start(ports, 1);
    assert_eq!(client.reply(), "+OK");
    assert_eq!(client.reply(), "\"v\"");
}

#[test]
fn who_connects_to_a_node_whose_peers_do_not_come_is_told_so() {
    let alone = start(free_ports(), 0);
    let mut client = Client::connect(&alone.handle().info().endpoints.resp);
    client.send(b"SET sess:a v EX 60\r\n");
    assert_eq!(
        client.reply(),
        "-NOTREADY this node is waiting for its peers"
    );
    let begun = std::time::Instant::now();
    let mut late = Client::connect(&alone.handle().info().endpoints.resp);
    assert_eq!(
        late.ask("GET sess:a"),
        "-NOTREADY this node is waiting for its peers"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "at once, when it has waited for long enough already"
    );
}

//! An operator names the wrong one of a node's three ports.

use crate::{
    nodes::{Cluster, Port},
    programs::Ran,
};

#[test]
fn the_wrong_port_is_told_with_the_flag_of_the_right_one() {
    let cluster = Cluster::start(1);
    let at = |port| cluster.address(0, port);
    for command in [
        &["get", "k"][..],
        &["set", "k", "v"],
        &["del", "k"],
        &["touch", "k", "1m"],
        &["explain", "k"],
        &["ring"],
        &["status"],
        &["repair"],
        &["repair", "--only"],
        &["export"],
    ] {
        for (port, said) in [(Port::Http, "it speaks HTTP"), (Port::Peer, "it closed")] {
            let address = at(port);
            let words = [command, &["--node", &address]].concat();
            Ran::refused(&words, &[&address, said, "--listen-resp"]);
        }
    }
    for command in [
        &["leave", "abcd"][..],
        &["reweight", "abcd", "2"],
        &["join"],
    ] {
        for (port, said) in [
            (Port::Resp, "speaks the Redis protocol"),
            (Port::Peer, "does not speak HTTP"),
        ] {
            let address = at(port);
            let words = [command, &["--http", &address]].concat();
            Ran::refused(&words, &[&address, said, "--listen-http"]);
        }
    }
}

#[test]
fn what_is_no_member_or_cannot_go_is_refused_in_words() {
    let cluster = Cluster::start(1);
    let (http, id) = (cluster.address(0, Port::Http), cluster.id(0));
    let stranger = if id.starts_with('a') { "bb" } else { "aa" };
    let leave = |node: &str, wanted: &str| {
        Ran::refused(&["leave", node, "--apply", "--http", &http], &[wanted]);
    };
    leave(stranger, "node must be the id of one member");
    leave("sess:1", "is no node id");
    leave(&id, "the last member cannot leave");
    let nobody = ["leave", &id, "--http", "127.0.0.1:1"];
    Ran::refused(&nobody, &["no node at 127.0.0.1:1"]);
}

//! What real nodes tell each other of a third.

mod rig;

use henge_node::{Handle, Node};
use henge_ring::NodeId;
use rig::{free_addresses, start, wait_until};

/// Whether a node holds another to be down; `None`: it does not know it.
fn declared_down(node: &Node, other: NodeId) -> Option<bool> {
    let peers = node.handle().peers();
    let peer = peers.iter().find(|peer| peer.id == other)?;
    Some(peer.declared_down)
}

fn id(handle: &Handle) -> NodeId {
    handle.info().id
}

#[test]
fn all_nodes_hear_of_a_death_and_of_the_successor() {
    let all = free_addresses(5);
    let mut nodes: Vec<_> = all.iter().map(|at| start(*at, &all, 1)).collect();
    wait_until("all ready", || {
        nodes.iter().all(|node| node.handle().is_ready())
    });
    let everybody =
        |nodes: &[Node]| -> Vec<NodeId> { nodes.iter().map(|node| id(node.handle())).collect() };
    let agree = |nodes: &[Node], about: NodeId, down: bool| {
        let mut others = nodes.iter().filter(|node| id(node.handle()) != about);
        others.all(|node| declared_down(node, about) == Some(down))
    };
    for about in everybody(&nodes) {
        wait_until("all are up", || agree(&nodes, about, false));
    }
    let dead = id(nodes[2].handle());
    drop(nodes.remove(2));
    wait_until("the others know", || agree(&nodes, dead, true));
    for about in everybody(&nodes) {
        assert!(agree(&nodes, about, false), "nobody else is blamed");
    }
    let members = nodes[0].handle().ring().members().len();
    assert_eq!(members, 5, "a silent node stays a member");

    nodes.push(start(all[2], &all, 1));
    wait_until("the successor serves", || nodes[4].handle().is_ready());
    let successor = id(nodes[4].handle());
    wait_until("and is known", || agree(&nodes, successor, false));
    let gossip = nodes[0].handle().metrics();
    assert!(gossip.contains("henge_gossip_bytes_total"));
}

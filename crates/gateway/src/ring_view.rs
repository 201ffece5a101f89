//! The ring as JSON, for clients that place keys themselves and for people.

use henge_node::Handle;
use henge_ring::RingTag;
use serde_json::{Value, json};

/// `{"tag", "bits", "n", "members": [{"id", "resp", "http", "peer", "zone", "weight", "up"}],
/// "partitions": [[member index, …], …]}`; a partition's members stand in preference order.
pub(crate) fn ring_json(node: &Handle) -> Value {
    let ring = node.ring();
    let partitions: Vec<Vec<usize>> = ring
        .partitions()
        .map(|partition| {
            ring.primaries(partition)
                .iter()
                .map(|member| member.index())
                .collect()
        })
        .collect();
    json!({
        "tag": tag_text(ring.tag()),
        "bits": ring.bits(),
        "n": ring.n(),
        "members": members_json(node),
        "partitions": partitions,
    })
}

/// A ring's tag for people and programs: its number, and what tells concurrent ones apart.
pub(crate) fn tag_text(tag: RingTag) -> String {
    format!("{}-{:016x}", tag.lamport, tag.hash)
}

/// The members, in the ring's order, each with whether this node reaches it.
pub(crate) fn members_json(node: &Handle) -> Vec<Value> {
    let (ring, peers, own) = (node.ring(), node.peers(), node.info().id);
    let describe = |member: &henge_ring::Member| {
        let peer = peers.iter().find(|peer| peer.id == member.id);
        json!({
            "id": member.id.to_string(),
            "resp": member.endpoints.resp,
            "http": member.endpoints.http,
            "peer": member.endpoints.peer,
            "zone": member.zone.as_str(),
            "weight": member.weight.get(),
            "up": member.id == own || peer.is_some_and(|peer| peer.up),
            "declared_down": peer.is_some_and(|peer| peer.declared_down),
            "rtt_us": peer.map(|peer| peer.rtt_us),
        })
    };
    ring.members().iter().map(describe).collect()
}

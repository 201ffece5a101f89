//! Invariants that hold at every moment, each a function named after what it says.

use henge_node::{Receipt, ReplicaAnswer, ReplicaRole};
use henge_ring::NodeId;
use henge_versioning::RecordRef;

use super::{
    ask::{Ask, What},
    lineage::Lineage,
    world::World,
};
use crate::history::Element;

/// The moment a write is acknowledged, W distinct places of the preference list hold it: each is a
/// primary, or a fallback for one, and no primary is counted twice.
///
/// # Errors
/// In words, what is not so.
pub(super) fn an_acknowledgement_covers_w_distinct_places<A>(
    world: &World<A>,
    ask: &Ask,
    receipt: &Receipt,
    lineage: &Lineage,
) -> Result<(), String> {
    if receipt.needed < ask.quorum.w {
        return Err(format!(
            "{} needed {} of W={}",
            ask.key, receipt.needed, ask.quorum.w
        ));
    }
    let mut places: Vec<NodeId> = Vec::new();
    for place in &receipt.places {
        if !matches!(
            place.answer,
            ReplicaAnswer::InMemory | ReplicaAnswer::Durable
        ) {
            continue;
        }
        let holds = world.nodes[world.number(place.node)]
            .store
            .record(ask.key.as_bytes());
        let holds = descends(holds.as_deref(), ask, lineage);
        if !holds && !was_handed_over(world, ask, place.node, receipt.needed, lineage) {
            return Err(format!(
                "{} said that it holds {ask:?}, and does not",
                place.node.short()
            ));
        }
        match place.role {
            ReplicaRole::Primary => places.push(place.node),
            ReplicaRole::FallbackFor(_) if ask.quorum.strict => {
                return Err(format!("a fallback counted in strict mode for {ask:?}"));
            }
            ReplicaRole::FallbackFor(primary) => places.push(primary),
        }
    }
    let owners = world.owners(&ask.key);
    let stranger = |id: &&NodeId| !owners.contains(&world.number(**id));
    if let Some(stranger) = places.iter().find(stranger)
        && !world.has_changed()
    {
        return Err(format!("{} is no place of {}", stranger.short(), ask.key));
    }
    places.sort_unstable();
    places.dedup();
    if places.len() < usize::from(receipt.needed) {
        return Err(format!(
            "{} distinct places acknowledged, {} needed: {receipt:?}",
            places.len(),
            receipt.needed
        ));
    }
    Ok(())
}

/// Whether a node that lacks a write may have given it away: the ring has changed, the node does not
/// own the key any more, and enough others hold what it held.
fn was_handed_over<A>(
    world: &World<A>,
    ask: &Ask,
    node: NodeId,
    needed: u8,
    lineage: &Lineage,
) -> bool {
    let number = world.number(node);
    if !world.has_changed() || world.owners(&ask.key).contains(&number) {
        return false;
    }
    let records = world
        .nodes
        .iter()
        .map(|node| node.store.record(ask.key.as_bytes()));
    let holders = records.filter(|record| descends(record.as_deref(), ask, lineage));
    holders.count() >= usize::from(needed)
}

/// Whether a replica's record holds a write, or what came after it.
fn descends(record: Option<&[u8]>, ask: &Ask, lineage: &Lineage) -> bool {
    let Some(record) = record.and_then(|bytes| RecordRef::parse(bytes).ok()) else {
        return false;
    };
    match ask.what {
        What::PutSibling(element, _) => lineage.accounts_for(&siblings(record), element),
        What::PutField(element, _) => record.is_dead() || fields(record).contains(&element),
        What::Logout => record.is_dead(),
        // Which of two stamps is later cannot be told from outside.
        What::PutRegister(_) | What::Touch(_) | What::DeleteSiblings(_) | What::Get => true,
    }
}

/// The elements of a sibling set.
pub(super) fn siblings(record: RecordRef<'_>) -> Vec<Element> {
    record.siblings().filter_map(number).collect()
}

/// The elements of a session's fields.
pub(super) fn fields(record: RecordRef<'_>) -> Vec<Element> {
    record
        .fields()
        .filter_map(|(_, value)| number(value))
        .collect()
}

/// The element of a value.
pub(super) fn number(value: &[u8]) -> Option<Element> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

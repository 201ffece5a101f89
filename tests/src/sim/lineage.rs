//! Which element replaced which, as the clients of a run made it: what a replica's siblings prove.

use std::collections::BTreeSet;

use crate::history::Element;

/// The contexts of all writes so far. Elements are numbered in the order in which they are written.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    /// For each element those that its writer had seen.
    parents: Vec<Vec<Element>>,
    /// Elements that some deletion had seen.
    deleted: BTreeSet<Element>,
}

impl Lineage {
    /// The number of the next element, which replaces these.
    pub(crate) fn add(&mut self, seen: &[Element]) -> Element {
        if self.parents.is_empty() {
            self.parents.push(Vec::new()); // elements count from 1
        }
        self.parents.push(seen.to_vec());
        self.parents.len() as Element - 1
    }

    /// These may have been deleted.
    pub(crate) fn delete(&mut self, seen: &[Element]) {
        self.deleted.extend(seen);
    }

    /// Whether holding these values proves that the element is held, was replaced by one of them,
    /// or may have been removed by a deletion.
    pub(crate) fn accounts_for(&self, held: &[Element], element: Element) -> bool {
        let mut visited = BTreeSet::new();
        let mut stack: Vec<Element> = held.to_vec();
        stack.extend(self.deleted.range(element..));
        while let Some(next) = stack.pop() {
            if next == element {
                return true;
            }
            // Whoever saw the element was written after it.
            if next > element && visited.insert(next) {
                stack.extend(&self.parents[next as usize]);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Lineage;

    #[test]
    fn successors_and_deletions_account_for_what_they_saw() {
        let mut lineage = Lineage::default();
        let a = lineage.add(&[]);
        let b = lineage.add(&[]);
        let c = lineage.add(&[a]);
        let d = lineage.add(&[c]);
        assert!(lineage.accounts_for(&[d], a));
        assert!(lineage.accounts_for(&[a, d], a));
        assert!(!lineage.accounts_for(&[d], b));
        assert!(!lineage.accounts_for(&[a], c));
        lineage.delete(&[b]);
        assert!(lineage.accounts_for(&[], b));
        assert!(!lineage.accounts_for(&[], a));
    }
}

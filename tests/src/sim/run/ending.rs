//! The end of a run: everything is read once more, and the history is judged.

use super::{
    Action, Ask, Entry, Mark, Micros, Quorum, Run, SECOND, TIMEOUT_MS, Verdict, What, Workload,
};
use crate::{
    checker::{self, Limits},
    history::{Fault, Hints, Replica},
    sim::node::{Convergence, Node},
};

impl Run<'_> {
    /// Everything is read once more, from all replicas, and the replicas themselves are looked at.
    pub(super) fn final_reads(&mut self) {
        if self.plan.workload == Workload::Principals {
            // Clients may not read indexes, and what sessions show was judged on the way.
            self.keys.clear();
        }
        let n = self.plan.quorum.n;
        let quorum = Quorum {
            n,
            r: n,
            w: n,
            strict: true,
        };
        for key in self.keys.clone() {
            let node = self.world.owners(&key)[0];
            let ask = Ask {
                key,
                what: What::Get,
                quorum,
                timeout_ms: TIMEOUT_MS,
                after: None,
            };
            self.ask(None, node, ask, Action::Get, 0);
            self.drive(self.world.now + 20_000);
        }
        self.drive(self.world.now + 2 * SECOND);
        for key in self.keys.clone() {
            let owners = self.world.owners(&key);
            for node in 0..self.plan.nodes + self.plan.spares {
                let digest = self.visible(node, &key);
                let owner = owners.contains(&node);
                let replica = Replica {
                    key: key.clone(),
                    node: node as u32,
                    owner,
                    digest,
                };
                self.history.entries.push(Entry::Replica(replica));
            }
        }
        for (node, count) in self.world.nodes.iter().map(Node::hints).enumerate() {
            self.history.entries.push(Entry::Hints(Hints {
                node: node as u32,
                count,
            }));
        }
    }

    pub(super) fn judge(mut self, converged_after: Option<Micros>) -> Verdict {
        for (name, fired) in &self.fired {
            let fault = Fault {
                name: (*name).to_owned(),
                fired: *fired,
            };
            self.history.entries.push(Entry::Fault(fault));
        }
        let must_converge = matches!(
            self.plan.convergence,
            Convergence::Everything | Convergence::AntiEntropyAlone
        );
        if must_converge && converged_after.is_none() {
            self.broken
                .push("the replicas did not become equal".to_owned());
        }
        let is_of_users = self.plan.workload == Workload::Principals;
        if is_of_users {
            self.broken.extend(self.principals.proves_nothing());
        }
        let limits = Limits {
            // With W = N, and machines that leave, a run of a minute may acknowledge no more.
            min_acks: if is_of_users { 0 } else { 30 },
            disk_lost: self.plan.loses_a_machine(),
            ..Limits::default()
        };
        let mut observed = self
            .world
            .observed
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
            .take_broken();
        self.broken.append(&mut observed);
        if !self.world.is_settled() {
            self.broken
                .push("partitions are still in motion".to_owned());
        }
        self.count_marks();
        Verdict {
            plan: self.plan.clone(),
            report: checker::check(&self.history, &limits),
            broken: self.broken,
            hash: self.world.trace.hash(),
            events: self.world.trace.events(),
            text: self.world.trace.take_text(),
            marks: self.world.marks,
            converged_after,
            changes: self.changes.made,
            changes_amid_faults: self.changes.amid_faults,
            history: self.history,
        }
    }

    /// Marks that the engines counted themselves.
    fn count_marks(&mut self) {
        let marks = &mut self.world.marks;
        for counters in self.world.nodes.iter().map(|node| &node.counters) {
            marks.add(Mark::Forwarded, counters.forwards.get());
            marks.add(Mark::ReadRepaired, counters.divergent_reads.get());
            marks.add(Mark::AskedOn, counters.older_reads.get());
            marks.add(Mark::Hedged, counters.hedged_reads.get());
            marks.add(Mark::TouchCovered, counters.covered_touches.get());
            marks.add(Mark::HintKept, counters.hints_stored.get());
        }
        for node in &self.world.nodes {
            marks.add(Mark::AntiEntropyRepaired, node.repair.repaired);
        }
    }
}

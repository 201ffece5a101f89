//! What a machine does with packets of other machines: lets them in, drops all of some, some of all,
//! doubles or delays them. Clients' packets are left alone.

use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

use super::{lab::Lab, shell};

/// Rules of one machine. The default lets everything in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Machines of which nothing is let in.
    pub deaf_to: BTreeSet<u8>,
    /// Of a hundred packets of other machines, those that are dropped.
    pub loss: u8,
    /// Of a hundred packets to other machines, those that are sent twice.
    pub doubled: u8,
}

impl Filter {
    /// The rules as nft takes them, in one transaction.
    fn rules(&self, clients: IpAddr, subnet: &str, address: impl Fn(u8) -> IpAddr) -> String {
        let mut text = "table ip l3 {}\ndelete table ip l3\ntable ip l3 {\n".to_owned();
        let mut line = |words: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{words}");
        };
        line("chain in { type filter hook input priority 0;".to_owned());
        for machine in &self.deaf_to {
            line(format!("ip saddr {} counter drop", address(*machine)));
        }
        let others = format!("ip saddr {subnet} ip saddr != {clients}");
        if self.loss > 0 {
            line(format!(
                "{others} numgen random mod 100 < {} counter drop",
                self.loss
            ));
        }
        line("}\nchain out { type filter hook output priority 0;".to_owned());
        if self.doubled > 0 {
            // A copy to each machine's own address, because a rule names one gateway.
            for machine in 1..=super::MOST_MACHINES {
                let to = address(machine);
                line(format!(
                    "ip daddr {to} numgen random mod 100 < {} counter dup to {to}",
                    self.doubled
                ));
            }
        }
        line("}\n}".to_owned());
        text
    }

    /// Puts the rules in force on a machine, in place of those before.
    ///
    /// # Errors
    /// If nft refuses them.
    pub fn apply(&self, lab: &Lab, machine: u8) -> anyhow::Result<()> {
        let rules = self.rules(lab.clients(), &lab.subnet(), |other| lab.address(other));
        let space = lab.namespace(machine);
        shell::feed(&format!("ip netns exec {space} nft -f -"), &rules)?;
        Ok(())
    }
}

/// Packets that the rules in force on a machine have dropped or doubled so far.
///
/// # Errors
/// If there are no rules.
pub(super) fn struck(lab: &Lab, machine: u8) -> anyhow::Result<u64> {
    let space = lab.namespace(machine);
    let listed = shell::run(&format!("ip netns exec {space} nft list table ip l3"))?;
    Ok(packets(&listed))
}

/// The sum of the counters of packets in a listing of nft.
fn packets(listed: &str) -> u64 {
    let counts = listed.split("counter packets ").skip(1);
    counts
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(filter: &Filter) -> String {
        let address = |machine: u8| IpAddr::from([198, 18, 7, 10 + machine]);
        filter.rules(address(0), "198.18.7.0/24", address)
    }

    #[test]
    fn without_faults_there_are_no_rules() {
        let text = rules(&Filter::default());
        assert!(!text.contains("drop") && !text.contains("dup"), "{text}");
    }

    #[test]
    fn counters_are_added_up() {
        let listed = "chain in {\n ip saddr 198.18.7.12 counter packets 7 bytes 420 drop\n\
                      ip saddr 198.18.7.14 counter packets 30 bytes 1 drop\n }";
        assert_eq!(packets(listed), 37);
        assert_eq!(packets("table ip l3 { }"), 0);
    }

    #[test]
    fn each_fault_is_a_rule_that_spares_clients() {
        let filter = Filter {
            deaf_to: [2, 4].into(),
            loss: 5,
            doubled: 3,
        };
        let text = rules(&filter);
        assert!(
            text.contains("ip saddr 198.18.7.12 counter drop\nip saddr 198.18.7.14 counter drop\n")
        );
        assert!(text.contains("ip saddr != 198.18.7.10 numgen random mod 100 < 5 counter drop"));
        assert!(
            text.contains(
                "ip daddr 198.18.7.11 numgen random mod 100 < 3 counter dup to 198.18.7.11"
            )
        );
        assert!(
            !text.contains("ip daddr 198.18.7.10 "),
            "clients are not doubled"
        );
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}

//! Fair shares and quotas: how many replicas each node should hold.
//!
//! With Q partitions of N' replicas each, find the level λ at which
//! `Σ_zones min(cap·Q, Σ_nodes min(λ·weight, Q)) = N'·Q`: no node holds a partition twice, no zone
//! holds more than `cap` replicas of one, and otherwise everyone carries in proportion to its
//! weight. A zone at its cap has a lower level of its own. All exact, in `u128`: numerators are at
//! most 2^18 replicas times 2^32 weight, denominators at most 2^16 members times 2^32.

use std::cmp::Reverse;

use crate::{Member, member::number_zones};

/// A level λ = `num / den` in replicas per unit of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    num: u128,
    den: u128,
}

/// The exact fair share of each node, and the zones it was found for.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    /// Zone number of each node.
    pub(super) zone_of: Vec<u16>,
    /// Number of zones.
    pub(super) zones: usize,
    /// Most replicas of one partition a zone may hold.
    pub(super) zone_cap: usize,
    /// Share of each node, as a numerator over its zone's level's denominator.
    numerators: Vec<u128>,
    /// The level of each zone.
    levels: Vec<Level>,
    /// The level of the zones that are not at their cap.
    level: Level,
}

/// Fair shares of the members when there are `q` partitions of `width` replicas. `width` must not
/// exceed the number of members.
pub(crate) fn fair_shares(members: &[Member], q: usize, width: usize) -> Shares {
    let (zone_of, zones) = number_zones(members);
    let mut weights: Vec<Vec<u128>> = vec![Vec::new(); zones];
    for (member, &zone) in members.iter().zip(&zone_of) {
        weights[usize::from(zone)].push(u128::from(member.weight.get()));
    }
    let zone_cap = zone_cap(&weights, width);
    let [q, cap, total] = [q, zone_cap * q, width * q].map(|count| count as u128);
    let level = water_level(&weights, q, cap, total);
    let level_of = |zone: &Vec<u128>| match carried(zone, q, cap, level) {
        Carried { fixed, slope: 0 } => water_level(std::slice::from_ref(zone), q, fixed, fixed),
        Carried { .. } => level,
    };
    let levels: Vec<Level> = weights.iter().map(level_of).collect();
    let numerator = |(member, &zone): (&Member, &u16)| {
        let level = levels[usize::from(zone)];
        (level.num * u128::from(member.weight.get())).min(q * level.den)
    };
    let numerators = members.iter().zip(&zone_of).map(numerator).collect();
    Shares {
        zone_of,
        zones,
        zone_cap,
        numerators,
        levels,
        level,
    }
}

/// The fewest replicas of a partition per zone that still allow `width` of them in all: 1 if there
/// are as many zones, else as even as the zones' sizes permit.
fn zone_cap(zones: &[Vec<u128>], width: usize) -> usize {
    let room = |cap: usize| zones.iter().map(|zone| zone.len().min(cap)).sum::<usize>();
    (1..width).find(|&cap| room(cap) >= width).unwrap_or(width)
}

/// What a zone carries around some level: `fixed + slope · λ`.
struct Carried {
    fixed: u128,
    slope: u128,
}

/// What a zone carries just above `level`, given that a node carries at most `q` and all of them
/// together at most `cap`.
fn carried(weights: &[u128], q: u128, cap: u128, level: Level) -> Carried {
    let Level { num, den } = level;
    let (full, growing): (Vec<u128>, Vec<u128>) = weights.iter().partition(|&w| num * w >= q * den);
    let (fixed, slope) = (full.len() as u128 * q, growing.iter().sum::<u128>());
    if fixed * den + slope * num >= cap * den {
        return Carried {
            fixed: cap,
            slope: 0,
        };
    }
    Carried { fixed, slope }
}

/// The level at which the zones carry `total` together.
///
/// What they carry is a concave, piecewise linear function of the level, so Newton's method from
/// below never overshoots and ends exactly, after at most one round per node and zone.
fn water_level(zones: &[Vec<u128>], q: u128, cap: u128, total: u128) -> Level {
    let mut level = Level {
        num: total,
        den: zones.iter().flatten().sum(),
    };
    loop {
        let parts = zones.iter().map(|zone| carried(zone, q, cap, level));
        let (fixed, slope) = parts.fold((0, 0), |(fixed, slope), part| {
            (fixed + part.fixed, slope + part.slope)
        });
        // Everything is at its limit, or this line already passes through `total` here.
        if slope == 0 || level.num * slope == (total - fixed) * level.den {
            return level;
        }
        level = Level {
            num: total - fixed,
            den: slope,
        };
    }
}

impl Shares {
    /// Whole quotas: each the share rounded down or up, zone sums likewise, N'·Q in all. Who holds
    /// exactly its share rounded up keeps that, so that rounding alone moves nothing; then the
    /// largest remainder is rounded up first, and among equals the smaller id.
    pub(super) fn quotas(&self, loads: &[usize]) -> Vec<usize> {
        let mut nodes_of: Vec<Vec<usize>> = vec![Vec::new(); self.zones];
        for (node, &zone) in self.zone_of.iter().enumerate() {
            nodes_of[usize::from(zone)].push(node);
        }
        let sum = |(nodes, level): (&Vec<usize>, &Level)| {
            let sum: u128 = nodes.iter().map(|&node| self.numerators[node]).sum();
            // A zone with a level of its own carries a whole number of replicas.
            if level == &self.level {
                sum
            } else {
                sum / level.den * self.level.den
            }
        };
        let sums: Vec<u128> = nodes_of.iter().zip(&self.levels).map(sum).collect();
        let held: Vec<usize> = nodes_of
            .iter()
            .map(|nodes| nodes.iter().map(|&node| loads[node]).sum())
            .collect();
        let total = (sums.iter().sum::<u128>() / self.level.den) as usize;
        let zone_quotas = round(&sums, self.level.den, total, &held);

        let mut quotas = vec![0; loads.len()];
        for ((nodes, level), total) in nodes_of.iter().zip(&self.levels).zip(zone_quotas) {
            let shares: Vec<u128> = nodes.iter().map(|&node| self.numerators[node]).collect();
            let held: Vec<usize> = nodes.iter().map(|&node| loads[node]).collect();
            for (&node, quota) in nodes.iter().zip(round(&shares, level.den, total, &held)) {
                quotas[node] = quota;
            }
        }
        quotas
    }

    /// For reports.
    pub(crate) fn as_floats(&self) -> Vec<f64> {
        let share =
            |(&zone, &num): (&u16, &u128)| num as f64 / self.levels[usize::from(zone)].den as f64;
        self.zone_of
            .iter()
            .zip(&self.numerators)
            .map(share)
            .collect()
    }
}

/// Rounds `shares[i] / den` to whole numbers that sum to `total`, which must lie between the sums
/// of all rounded down and of all rounded up.
fn round(shares: &[u128], den: u128, total: usize, held: &[usize]) -> Vec<usize> {
    let mut rounded: Vec<usize> = shares.iter().map(|share| (share / den) as usize).collect();
    let missing = total - rounded.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..shares.len())
        .filter(|&i| !shares[i].is_multiple_of(den))
        .collect();
    order.sort_by_key(|&i| (held[i] != rounded[i] + 1, Reverse(shares[i] % den)));
    for &i in &order[..missing] {
        rounded[i] += 1;
    }
    rounded
}

#[cfg(test)]
mod tests;

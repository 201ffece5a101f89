//! What a change would do, as a table for people.

use comfy_table::Table;
use serde_json::Value;

/// Prints a plan as the door tells it.
pub(super) fn print(what: &str, plan: &Value) {
    let number = |name: &str| plan[name].as_u64().unwrap_or(0);
    println!(
        "{what}: {} replicas of partitions move; any layout as even moves at least {}",
        number("moves"),
        number("least")
    );
    println!("{}", table(plan));
    println!(
        "data: {}, {} a replica, as {} of {} members say",
        bytes(number("bytes")),
        bytes(number("replica_bytes")),
        number("sized_by"),
        members(plan)
    );
    let ms = |name: &str| plan["duration"][name].as_u64().unwrap_or(0);
    println!(
        "time: {} if clients never feel it, {} if they feel it all the while; longer if a node that \
         holds the data is away",
        span(ms("soonest_ms")),
        span(ms("slowest_ms"))
    );
    zones(plan);
}

/// The peer addresses of the members whose id is wanted.
pub(super) fn peers(members: &Value, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let members = members["members"].as_array().into_iter().flatten();
    let named = members.filter(|it| it["id"].as_str().is_some_and(&wanted));
    named
        .filter_map(|it| it["peer"].as_str().map(str::to_owned))
        .collect()
}

/// Those that hold something now.
fn members(plan: &Value) -> usize {
    let nodes = plan["nodes"].as_array().into_iter().flatten();
    nodes.filter(|node| node["before"] != 0).count()
}

fn table(plan: &Value) -> Table {
    let mut table = Table::new();
    table.set_header(["node", "address", "zone", "copies now", "then", "receives"]);
    for node in plan["nodes"].as_array().into_iter().flatten() {
        let text = |name: &str| node[name].as_str().unwrap_or("").to_owned();
        let count = |name: &str| node[name].to_string();
        let id = match node["id"] == plan["newcomer"] {
            true => "(new)".to_owned(),
            false => text("id").chars().take(8).collect(),
        };
        table.add_row([
            id,
            text("resp"),
            text("zone"),
            count("before"),
            count("after"),
            count("receives"),
        ]);
    }
    table
}

fn zones(plan: &Value) {
    let (before, after) = (&plan["zones"]["before"], &plan["zones"]["after"]);
    println!(
        "zones: {} for {} replicas, then {} for {}; partitions crowded in one zone: {}, then {}",
        before["zones"],
        before["replicas"],
        after["zones"],
        after["replicas"],
        before["crowded"],
        after["crowded"]
    );
    let count = |it: &Value, name: &str| it[name].as_u64().unwrap_or(0);
    if count(after, "replicas") < count(before, "replicas") {
        println!(
            "! too few nodes are left: {} copies of everything instead of {}",
            after["replicas"], before["replicas"]
        );
    }
    // One zone is none: nobody asked for replicas to be spread.
    let short = |it: &Value| count(it, "zones") < count(it, "replicas");
    if short(after) && !short(before) {
        println!("! fewer zones than replicas: some of each partition share a zone");
    }
}

/// So many bytes, for people.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// So many milliseconds, for people.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..7_200_000 => format!("{:.1} min", ms as f64 / 60_000.0),
        _ => format!("{:.1} h", ms as f64 / 3_600_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, span};

    #[test]
    fn numbers_are_told_in_units_that_people_read() {
        let told = [0, 1_023, 1_024, 5 << 20, 3 << 40].map(bytes);
        assert_eq!(told, ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 TiB"]);
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        let told = [40, 59_999, 90_000, 7_200_000].map(span);
        assert_eq!(told, ["0.0 s", "60.0 s", "1.5 min", "2.0 h"]);
    }
}

//! Values that come in faster than a peer takes them.

use crate::{doors::Reply, nodes::Cluster};

/// A quarter of what may be under way to a peer.
const LARGE: usize = 1 << 20;

/// Post-mortem: what a link had no room for was dropped, so that twenty values of a mebibyte in one
/// pipeline ended as `UNKNOWN` on a cluster in the best of health.
#[test]
fn a_pipeline_of_large_values_waits_for_its_peers_and_is_acknowledged() {
    let cluster = Cluster::start(3);
    let value = "v".repeat(LARGE);
    let keys: Vec<String> = (0..32)
        .map(|number| format!("sess:large:{number}"))
        .collect();
    let writes: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, &value]).collect();
    let mut client = cluster.resp(0);
    let asked = client.call(&["HENGE.QUORUM", "W", "3", "TIMEOUT", "20000"]);
    assert_eq!(asked, Reply::text("OK"));
    for (key, told) in keys.iter().zip(client.pipeline(&writes)) {
        assert_eq!(told, Reply::text("OK"), "{key}");
    }
    let mut other = cluster.resp(1);
    for key in &keys {
        assert_eq!(
            other.call(&["STRLEN", key]),
            Reply::Integer(LARGE as i64),
            "{key}"
        );
    }
}

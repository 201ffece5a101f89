//! Configuration: every complaint names its place and what would be right.

use super::{Config, Setting, Settings, parse_duration_ms, parse_size};

fn complaint(text: &str) -> String {
    match Settings::parse("henge.toml", text) {
        Ok(settings) => Config::check(&settings).expect_err("accepted").to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn defaults_serve_on_loopback_with_majorities() {
    let config = Config::check(&Settings::default()).expect("defaults are right");
    assert_eq!(config.listen_resp.to_string(), "127.0.0.1:7379");
    assert_eq!(
        (config.defaults.n, config.defaults.r, config.defaults.w),
        (3, 2, 2)
    );
}

#[test]
fn a_wrong_value_is_named_with_file_line_key_and_remedy() {
    let text = complaint("replicas = 3\n\nr = 7\n");
    assert_eq!(
        text,
        "henge.toml:3: r: 7 is not possible: a whole number from 1 to 3"
    );
    let text = complaint("timeout = \"soon\"\n");
    assert!(
        text.starts_with("henge.toml:1: timeout") && text.contains("250ms"),
        "{text}"
    );
}

#[test]
fn an_unknown_key_and_a_wrong_type_are_named_with_their_line() {
    let text = complaint("replicas = 3\nreplica = 2\n");
    assert!(
        text.contains("line 2") && text.contains("replica"),
        "{text}"
    );
    let text = complaint("weight = \"heavy\"\n");
    assert!(text.contains("line 1"), "{text}");
}

#[test]
fn hedging_has_a_budget_that_can_be_nothing() {
    let percent = |text| {
        Config::check(&Settings::parse("f", text).expect("parses")).map(|it| it.hedge_percent)
    };
    assert_eq!(percent(""), Ok(5));
    assert_eq!(percent("hedge_percent = 0\n"), Ok(0));
    assert!(complaint("hedge_percent = 101\n").contains("from 0 to 100"));
}

#[test]
fn flags_win_over_the_file() {
    let file = Settings::parse("henge.toml", "r = 1\nw = 3\n").expect("parses");
    let flags = Settings {
        r: Some(Setting::flag("r", 2)),
        ..Settings::default()
    };
    let config = Config::check(&flags.over(file)).expect("right");
    assert_eq!((config.defaults.r, config.defaults.w), (2, 3));
}

#[test]
fn exposed_listeners_need_secrets() {
    let text = complaint("listen_peer = \"0.0.0.0:7381\"\n");
    assert!(text.contains("--cluster-key-file"), "{text}");
    let text = complaint("listen_resp = \"0.0.0.0:7379\"\n");
    assert!(
        text.contains("--password") && text.contains("--open"),
        "{text}"
    );
    let opened = Settings::parse("f", "listen_resp = \"0.0.0.0:7379\"\nopen = true\n").expect("ok");
    assert!(Config::check(&opened).is_ok());
}

#[test]
fn a_short_key_is_refused_without_showing_it() {
    let text = complaint("cluster_key = \"hunter2\"\n");
    assert!(
        text.contains("at least 16 bytes, not 7") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn this_node_is_not_its_own_peer() {
    let settings = Settings::parse(
        "f",
        "peers = [\"127.0.0.1:7381\", \"127.0.0.1:7391\", \"127.0.0.1:7391\"]\n",
    )
    .expect("parses");
    assert_eq!(Config::check(&settings).expect("right").peers.len(), 1);
}

#[test]
fn sizes_and_durations() {
    assert_eq!(parse_size("512mb"), Some(512 << 20));
    assert_eq!(parse_size("1 GiB"), Some(1 << 30));
    assert_eq!(parse_size("99999999999t"), None);
    assert_eq!(parse_size("many"), None);
    assert_eq!(parse_duration_ms("250ms"), Some(250));
    assert_eq!(parse_duration_ms("30m"), Some(1_800_000));
    assert_eq!(parse_duration_ms("2"), Some(2_000));
    assert_eq!(parse_duration_ms("-1s"), None);
}

#[test]
fn members_are_let_go_only_if_that_is_said_and_not_soon() {
    let config = |text| Config::check(&Settings::parse("henge.toml", text).expect("parses"));
    assert_eq!(config("").expect("right").evict_after_ms, None);
    let set = config("evict_after = \"15m\"\n").expect("right");
    assert_eq!(set.evict_after_ms, Some(900_000));
    assert!(config("evict_after = \"60s\"\n").is_ok());
    for short in ["59s", "1", "0"] {
        let text = complaint(&format!("evict_after = \"{short}\"\n"));
        assert!(
            text.contains("henge.toml:1: evict_after") && text.contains("1m or longer"),
            "{text}"
        );
    }
}

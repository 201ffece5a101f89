//! The house rules, read from manifests and sources: which crate may use which, what stays out of
//! the crates below the tokio line, and what every file has.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Which of our crates each crate may use (tests and examples may use more).
const ARROWS: &[(&str, &[&str])] = &[
    ("henge-ring", &[]),
    ("henge-versioning", &[]),
    ("henge-coordinator", &[]),
    ("henge-repair", &["henge-ring", "henge-versioning"]),
    ("henge-membership", &["henge-ring", "henge-versioning"]),
    ("henge-store", &["henge-ring", "henge-versioning"]),
    ("henge-rpc", &["henge-ring"]),
    (
        "henge-node",
        &[
            "henge-ring",
            "henge-versioning",
            "henge-coordinator",
            "henge-repair",
            "henge-membership",
            "henge-store",
            "henge-rpc",
        ],
    ),
    (
        "henge-gateway",
        &[
            "henge-ring",
            "henge-versioning",
            "henge-store",
            "henge-node",
            "henge-rpc",
        ],
    ),
    ("henge-tower-sessions", &["henge-versioning", "henge-node"]),
    ("henge-actix-session", &["henge-versioning", "henge-node"]),
    ("henge-client", &["henge-ring"]),
    (
        "henge",
        &[
            "henge-ring",
            "henge-versioning",
            "henge-store",
            "henge-node",
            "henge-gateway",
            "henge-client",
            "henge-rpc",
        ],
    ),
    ("henge-loadgen", &["henge-client"]),
];

/// Crates without tokio, sockets, files and clocks of their own.
const BELOW_THE_LINE: &[&str] = &[
    "ring",
    "versioning",
    "coordinator",
    "repair",
    "membership",
    "store",
];

/// What those crates do not contain; `store` may use files, for it is where the disk is.
const NOT_BELOW: &[&str] = &[
    "tokio::",
    "tarpc::",
    "std::net",
    "std::fs",
    "SystemTime::now",
    "Instant::now",
    "rand::rng",
    "thread_rng",
    "getrandom::",
    "thread::sleep",
    "thread::spawn",
];

/// Longest source file, in lines.
const LONGEST: usize = 650;

/// Names that end up knowing everybody.
const NO_NAMES: &[&str] = &[
    "common", "util", "utils", "types", "core", "helper", "helpers", "misc", "manager",
];

/// What no file contains.
const NOWHERE: &[&str] = &["todo!(", "unimplemented!(", "#[ignore", "dbg!("];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the root")
        .to_owned()
}

/// The folders of all our crates.
fn crates() -> Vec<PathBuf> {
    let root = root();
    let listed = fs::read_dir(root.join("crates")).expect("crates/ can be listed");
    let mut found: Vec<_> = listed
        .map(|entry| entry.expect("crates/ can be listed").path())
        .collect();
    found.extend(["bins/henge", "loadgen", "tests"].map(|folder| root.join(folder)));
    found.retain(|folder| folder.join("Cargo.toml").is_file());
    found.sort();
    found
}

fn manifest(folder: &Path) -> toml::Table {
    let text = fs::read_to_string(folder.join("Cargo.toml")).expect("the manifest can be read");
    text.parse().expect("the manifest is TOML")
}

fn package_name(manifest: &toml::Table) -> String {
    manifest["package"]["name"]
        .as_str()
        .expect("a package has a name")
        .to_owned()
}

/// Every Rust source under a folder, with its text.
fn sources(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("the source can be read");
            found.insert(path, text);
        }
    }
}

fn all_sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for folder in crates() {
        sources(&folder, &mut found);
    }
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

/// Fails with every complaint at once.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The path from the root, for messages.
fn short(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The lines of a source that are code: no comments, and nothing from the tests at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn crates_use_only_those_below_them() {
    let mut complaints = Vec::new();
    for folder in crates() {
        let manifest = manifest(&folder);
        let name = package_name(&manifest);
        if name == "henge-tests" {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            complaints.push(format!("{name} has no line in ARROWS: say what it may use"));
            continue;
        };
        for section in ["dependencies", "build-dependencies"] {
            let Some(used) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            let ours = used.keys().filter(|used| used.starts_with("henge"));
            let wrong = ours.filter(|used| !allowed.contains(&used.as_str()));
            complaints.extend(wrong.map(|used| format!("{name} may not use {used}")));
        }
    }
    none(complaints);
}

#[test]
fn below_the_line_there_is_no_runtime_clock_or_socket() {
    let mut complaints = Vec::new();
    for name in BELOW_THE_LINE {
        let folder = root().join("crates").join(name);
        let manifest = manifest(&folder);
        let used = manifest.get("dependencies").and_then(toml::Value::as_table);
        for banned in ["tokio", "tarpc", "futures", "getrandom", "rand", "socket2"] {
            if used.is_some_and(|used| used.contains_key(banned)) {
                complaints.push(format!("crates/{name} depends on {banned}"));
            }
        }
        let mut found = BTreeMap::new();
        sources(&folder.join("src"), &mut found);
        for (path, text) in &found {
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            for (number, line) in code(text).filter(|_| !is_test) {
                let banned = NOT_BELOW.iter().filter(|banned| line.contains(**banned));
                let banned = banned.filter(|banned| !(*name == "store" && **banned == "std::fs"));
                complaints
                    .extend(banned.map(|banned| format!("{}:{number}: {banned}", short(path))));
            }
        }
    }
    none(complaints);
}

/// A node whose clock is wrong knows it by its guard; whoever went past that would believe it.
#[test]
fn a_nodes_wall_clock_is_read_in_one_place() {
    let mut complaints = Vec::new();
    for name in ["rpc", "node", "gateway"] {
        let mut found = BTreeMap::new();
        sources(&root().join("crates").join(name).join("src"), &mut found);
        for (path, text) in &found {
            let reads = code(text).filter(|(_, line)| line.contains("SystemTime::now"));
            let reads = reads.map(|(number, _)| format!("{}:{number}", short(path)));
            let the_place = path.ends_with("crates/node/src/shared.rs");
            complaints.extend(reads.filter(|_| !the_place));
        }
    }
    none(complaints);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = all_sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"));
    none(
        silent
            .map(|(path, _)| format!("{} does not begin with //!", short(&path)))
            .collect(),
    );
}

#[test]
fn no_file_is_too_long() {
    let long = all_sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LONGEST);
    let complaint = |(path, text): (PathBuf, String)| {
        format!(
            "{} has {} lines, at most {LONGEST}",
            short(&path),
            text.lines().count()
        )
    };
    none(long.map(complaint).collect());
}

#[test]
fn nothing_is_called_by_a_name_that_says_nothing() {
    let mut complaints = Vec::new();
    for folder in crates() {
        let name = package_name(&manifest(&folder));
        if NO_NAMES
            .iter()
            .any(|banned| name.trim_start_matches("henge-") == *banned)
        {
            complaints.push(format!("a crate is called {name}"));
        }
    }
    for (path, _) in all_sources() {
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        let folder = folder.to_string_lossy().into_owned();
        if NO_NAMES
            .iter()
            .any(|banned| stem == *banned || (folder == *banned && stem == "mod"))
        {
            complaints.push(short(&path));
        }
    }
    none(complaints);
}

#[test]
fn nothing_is_left_open() {
    let mut complaints = Vec::new();
    for (path, text) in all_sources() {
        if path.ends_with("tests/tests/tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let open = NOWHERE.iter().filter(|open| line.contains(**open));
            complaints.extend(open.map(|open| format!("{}:{}: {open}", short(&path), number + 1)));
        }
    }
    none(complaints);
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let workspace: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .expect("the root manifest can be read")
        .parse()
        .expect("the root manifest is TOML");
    let level = workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str();
    assert_eq!(level, Some("forbid"));
    for folder in crates() {
        let manifest = manifest(&folder);
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        let inherits = inherits.and_then(toml::Value::as_bool);
        assert_eq!(
            inherits,
            Some(true),
            "{} does not take the workspace's lints",
            short(&folder)
        );
    }
}

//! Plays every scenario and compares it with its transcript. `UPDATE=1` writes what came out
//! instead; read the difference before it is committed.

use std::{fs, path::Path};

use henge_tests::sim::play;

#[test]
fn scenarios_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in fs::read_dir(folder).expect("the scenarios are there") {
        let path = file.expect("the folder can be listed").path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("the scenario can be read");
        let played = play(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        count += 1;
        if update {
            fs::write(&path, &played).expect("the scenario can be written");
        } else if let Some((old, new)) = first_difference(&text, &played) {
            wrong.push(format!("{name}:\n  written: {old}\n  played:  {new}"));
        }
    }
    assert!(count >= 6, "only {count} scenarios");
    assert!(
        wrong.is_empty(),
        "\n{}\nUPDATE=1 rewrites them",
        wrong.join("\n")
    );
}

fn first_difference<'a>(old: &'a str, new: &'a str) -> Option<(&'a str, &'a str)> {
    let longest = old.lines().count().max(new.lines().count());
    let line = |text: &'a str, number| text.lines().nth(number).unwrap_or("(nothing)");
    (0..longest)
        .map(|number| (line(old, number), line(new, number)))
        .find(|(old, new)| old != new)
}

#[test]
fn a_wrong_command_is_named() {
    let error = play("# nothing\n> n1 sing sess:1\n").expect_err("nodes do not sing");
    assert_eq!(error.to_string(), "line 2: \"sing\" is no operation");
}

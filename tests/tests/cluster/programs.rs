//! The programs under test, built if need be, and what a run of one said.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

/// One of the binaries, as a command without arguments and without settings of the surroundings.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(folder().join(name));
    for variable in ["HENGE_NODE", "HENGE_HTTP", "HENGE_PASSWORD", "HENGE_CONFIG"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Where the binaries lie.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "-p", "henge", "-p", "henge-loadgen"])
            .status();
        let built = built.is_ok_and(|status| status.success());
        assert!(built, "the binaries do not build");
        // This test lies in target/debug/deps, the binaries one floor up.
        let test = std::env::current_exe().expect("this test has a path");
        let folder = test.parent().and_then(|deps| deps.parent());
        folder.expect("in target/debug/deps").to_owned()
    })
}

/// What one of the operator's commands did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit status.
    pub(crate) status: i32,
    /// What it said.
    pub(crate) out: String,
    /// What it complained of.
    pub(crate) err: String,
}

impl Ran {
    /// Runs `henge` with these words.
    pub(crate) fn henge(words: &[&str]) -> Self {
        let ran = program("henge").args(words).output();
        let Output {
            status,
            stdout,
            stderr,
        } = ran.expect("it can be run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it says text");
        Self {
            status: status.code().expect("it ends by itself"),
            out: text(stdout),
            err: text(stderr),
        }
    }

    /// Runs `henge` with these words, which must succeed without a complaint; what it said.
    pub(crate) fn well(words: &[&str]) -> String {
        let ran = Self::henge(words);
        let well = ran.status == 0 && ran.err.is_empty();
        assert!(well, "{words:?}: {ran:?}");
        ran.out
    }

    /// Runs `henge` with these words, which must fail as misuse does and say all that is wanted.
    pub(crate) fn refused(words: &[&str], wanted: &[&str]) {
        let ran = Self::henge(words);
        assert_eq!(
            (ran.status, ran.out.as_str()),
            (2, ""),
            "{words:?}: {ran:?}"
        );
        for text in wanted {
            assert!(ran.err.contains(text), "{words:?} lacks {text:?}: {ran:?}");
        }
    }
}

//! Other programs: `ip`, `nft`, `iptables`, `kill`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

/// Runs a command line of words without blanks in them; its output.
///
/// # Errors
/// If the program is missing or says no.
pub(super) fn run(line: &str) -> anyhow::Result<String> {
    feed(line, "")
}

/// As [`run`], with text to read.
///
/// # Errors
/// As [`run`].
pub(super) fn feed(line: &str, input: &str) -> anyhow::Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command")?;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says itself what is wrong.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{line}: {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

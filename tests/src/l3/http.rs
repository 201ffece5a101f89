//! As much of an HTTP client as asking a node's operators' routes needs: one request a connection,
//! every wait bounded.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

/// The port of the HTTP door of every node.
pub const PORT: u16 = 7380;

/// Longest wait for a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most bytes of an answer: a page of an export is far below.
const MOST_ANSWER: u64 = 256 << 20;

/// Status and body of what a node answers.
///
/// # Errors
/// If it does not answer in time, or not in HTTP.
pub fn ask(node: IpAddr, method: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let address = SocketAddr::new(node, PORT);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("no connection to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream
        .take(MOST_ANSWER)
        .read_to_end(&mut answer)
        .with_context(|| format!("{method} {address}{path}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("{method} {address}{path}: no HTTP"))?;
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let status = status.with_context(|| format!("{method} {address}{path}: no status"))?;
    Ok((status, body.to_owned()))
}

/// What a node answers in JSON.
///
/// # Errors
/// As [`ask`], and if the status is not 200 or the body is no JSON.
pub fn json(node: IpAddr, method: &str, path: &str) -> anyhow::Result<Value> {
    let (status, body) = ask(node, method, path)?;
    if status != 200 {
        bail!("{method} {node}{path}: status {status}: {body}");
    }
    serde_json::from_str(&body).with_context(|| format!("{method} {node}{path}: no JSON"))
}

/// One figure of a node's `/metrics`.
///
/// # Errors
/// As [`ask`], and if there is no such figure.
pub fn metric(node: IpAddr, name: &str) -> anyhow::Result<u64> {
    metrics(node, &[name])
}

/// The sum of some figures of a node's `/metrics`, of one answer.
///
/// # Errors
/// As [`metric`].
pub fn metrics(node: IpAddr, names: &[&str]) -> anyhow::Result<u64> {
    let (_, text) = ask(node, "GET", "/metrics")?;
    let figures = names
        .iter()
        .map(|name| figure(&text, name).with_context(|| format!("{node} has no metric {name}")));
    figures.sum()
}

/// One figure in the Prometheus text form.
fn figure(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, number)| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn a_figure_is_found_by_its_whole_name() {
        let text = "# TYPE a_b counter\na_b_total 7\na_b 3\n";
        assert_eq!(figure(text, "a_b"), Some(3));
        assert_eq!(figure(text, "a_b_total"), Some(7));
        assert_eq!(figure(text, "a"), None);
    }
}

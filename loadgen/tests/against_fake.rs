//! The whole program against a tiny Redis that can be told to misbehave: it must be believed when it
//! is right and caught when it is not.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use serde_json::Value;

/// What the server does wrong. Each applies to one key in eight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Acknowledges every write but the first of the key and drops it.
    LosesWrites,
    /// Acknowledges a delete and keeps the key.
    IgnoresDeletes,
    /// Changes one byte of the value.
    FlipsBytes,
    /// Answers that the write failed, and does it nevertheless.
    LiesAboutFailure,
    /// Answers that it does not know, and does not do it; allowed.
    DoesNotKnow,
    /// Closes the connection instead of answering, now and then; allowed.
    Hangs,
}

struct Server {
    fault: Fault,
    data: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    commands: Mutex<u64>,
}

impl Server {
    /// Starts a server; its address.
    fn start(fault: Fault) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Arc::new(Self {
            fault,
            data: Mutex::default(),
            commands: Mutex::default(),
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Replies go out one by one: without this each would wait for the last one's ACK.
                stream.set_nodelay(true).unwrap();
                let server = server.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        address
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let words = read_command(&mut reader)?;
            *self.commands.lock().unwrap() += 1;
            if self.fault == Fault::Hangs && *self.commands.lock().unwrap() % 500 == 499 {
                return None;
            }
            writer.write_all(&self.answer(&words)).ok()?;
        }
    }

    fn answer(&self, words: &[Vec<u8>]) -> Vec<u8> {
        let data = self.data.lock().unwrap();
        match words[0].as_slice() {
            b"GET" => self.get(&data, &words[1]),
            b"SET" => self.set(data, &words[1], &words[2]),
            b"DEL" => self.del(data, &words[1]),
            b"PEXPIRE" => format!(":{}\r\n", i32::from(data.contains_key(&words[1]))).into_bytes(),
            _ => b"-ERR unknown command\r\n".to_vec(),
        }
    }

    fn get(&self, data: &HashMap<Vec<u8>, Vec<u8>>, key: &[u8]) -> Vec<u8> {
        let Some(value) = data.get(key) else {
            return b"$-1\r\n".to_vec();
        };
        let mut value = value.clone();
        if self.strikes(Fault::FlipsBytes, key) {
            value[50] ^= 1;
        }
        let mut reply = format!("${}\r\n", value.len()).into_bytes();
        reply.extend(value);
        reply.extend(b"\r\n");
        reply
    }

    fn set(
        &self,
        mut data: MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>>,
        key: &[u8],
        value: &[u8],
    ) -> Vec<u8> {
        if self.strikes(Fault::DoesNotKnow, key) {
            return b"-UNKNOWN needed 2 got 1\r\n".to_vec();
        }
        if !(self.strikes(Fault::LosesWrites, key) && data.contains_key(key)) {
            data.insert(key.to_vec(), value.to_vec());
        }
        let lies = self.strikes(Fault::LiesAboutFailure, key);
        if lies {
            b"-FAILED needed 2 got 1\r\n".to_vec()
        } else {
            b"+OK\r\n".to_vec()
        }
    }

    fn del(&self, mut data: MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>>, key: &[u8]) -> Vec<u8> {
        if !self.strikes(Fault::IgnoresDeletes, key) {
            data.remove(key);
        }
        b":1\r\n".to_vec()
    }

    fn strikes(&self, fault: Fault, key: &[u8]) -> bool {
        self.fault == fault && key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 8 == 0
    }
}

/// A command as an array of bulk strings.
fn read_command(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let count = read_number(reader, b'*')?;
    (0..count).map(|_| read_bulk(reader)).collect()
}

fn read_bulk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut bytes = vec![0; read_number(reader, b'$')? + 2];
    reader.read_exact(&mut bytes).ok()?;
    bytes.truncate(bytes.len() - 2);
    Some(bytes)
}

fn read_number(reader: &mut impl BufRead, kind: u8) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().as_bytes();
    (line.first() == Some(&kind))
        .then(|| std::str::from_utf8(&line[1..]).ok()?.parse().ok())
        .flatten()
}

fn loadgen(target: &str, args: &str) -> Output {
    let common =
        "--quiet --settle 10ms --keys 200 --connections 4 --value-size 100 --requests 6000";
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command
        .args(["--target", target])
        .args(common.split(' '))
        .args(args.split_whitespace());
    command.output().unwrap()
}

/// Exit status and JSON report of one run.
fn report(target: &str, args: &str) -> (i32, Value) {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let output = loadgen(target, &format!("{args} --json {}", json.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let json = std::fs::read_to_string(&json).unwrap_or_else(|_| panic!("no report: {text}"));
    (
        output.status.code().unwrap(),
        serde_json::from_str(&json).unwrap(),
    )
}

fn count(report: &Value, finding: &str) -> u64 {
    report["findings"][finding].as_u64().unwrap()
}

#[test]
fn an_honest_server_verifies_in_every_workload() {
    let target = Server::start(Fault::None);
    for args in [
        "--workload session",
        "--workload session --populate --pipeline 8 --threads 2",
        "--workload mixed --reads 0.5 --distribution zipf --pipeline 16",
        "--workload set --distribution hot:0.95",
        "--workload get --populate",
        "--workload touch --touches 3 --pipeline 8",
        "--workload touch --protocol native --pipeline 4",
        "--workload session --protocol native --pipeline 4",
        "--workload mixed --rate 20000 --pipeline 4",
    ] {
        let (status, report) = report(&target, args);
        assert_eq!(status, 0, "{args}: {report:#}");
        assert!(
            report["total"]["ok"].as_u64().unwrap() >= 6000,
            "{args}: {report:#}"
        );
        assert!(
            args.contains("get") || count(&report, "read_back") > 0,
            "{args}: nothing was read back"
        );
    }
}

#[test]
fn lost_writes_are_caught() {
    let (status, report) = report(
        &Server::start(Fault::LosesWrites),
        "--workload mixed --reads 0.2",
    );
    assert_eq!(status, 1);
    assert!(count(&report, "lost") > 0, "{report:#}");
    assert_eq!(count(&report, "corrupt"), 0);
}

#[test]
fn sessions_that_come_back_are_caught() {
    let args = "--workload session --weights read=50,change=10,logout=20,ghost=20";
    let (status, report) = report(&Server::start(Fault::IgnoresDeletes), args);
    assert_eq!(status, 1);
    assert!(count(&report, "resurrected") > 0, "{report:#}");
    assert_eq!(count(&report, "lost"), 0, "{report:#}");
}

#[test]
fn corrupt_values_are_caught() {
    let (status, report) = report(&Server::start(Fault::FlipsBytes), "--workload session");
    assert_eq!(status, 1);
    assert!(count(&report, "corrupt") > 0, "{report:#}");
}

#[test]
fn writes_answered_as_failed_must_not_be_seen() {
    let (status, report) = report(
        &Server::start(Fault::LiesAboutFailure),
        "--workload mixed --reads 0.5",
    );
    assert_eq!(status, 1);
    assert!(count(&report, "phantom") > 0, "{report:#}");
}

#[test]
fn unknown_outcomes_are_no_failure() {
    let (status, report) = report(
        &Server::start(Fault::DoesNotKnow),
        "--workload mixed --reads 0.5",
    );
    assert_eq!(status, 0, "{report:#}");
    assert!(report["total"]["unknown"].as_u64().unwrap() > 0);
    assert!(
        report["error_texts"]
            .to_string()
            .contains("UNKNOWN needed 2 got 1")
    );
}

#[test]
fn broken_connections_and_dead_targets_are_survived_and_counted() {
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = format!("{},{dead}", Server::start(Fault::Hangs));
    let (status, report) = report(&target, "--workload session");
    assert_eq!(status, 0, "{report:#}");
    assert!(report["connection_errors"].as_u64().unwrap() > 0);
    assert!(report["first_error_ms"].is_u64());
}

#[test]
fn a_server_that_is_not_there_is_told_by_the_exit_status() {
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(loadgen(&dead.to_string(), "").status.code(), Some(2));
    let plain = Server::start(Fault::None);
    assert_eq!(
        loadgen(&plain, "--r 2").status.code(),
        Some(2),
        "a plain Redis has no quorum to set"
    );
    assert_eq!(loadgen(&plain, "--reads 7").status.code(), Some(2));
}

#[test]
fn the_page_stands_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.html");
    let args = format!("--workload session --html {}", Path::display(&path));
    assert!(loadgen(&Server::start(Fault::None), &args).status.success());
    let mut page = String::new();
    std::fs::File::open(&path)
        .unwrap()
        .read_to_string(&mut page)
        .unwrap();
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for outside in ["http://", "https://", "<script", "<link", "@import", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    for word in ["verified", "login", "logout", "p99"] {
        assert!(page.contains(word), "{word}");
    }
}

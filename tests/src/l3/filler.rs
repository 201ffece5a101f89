//! Memory made full: large values are written until no node takes one more, and deleted again.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// Bytes of the first values, and of the last: when nothing of a size is taken any more, it is halved,
/// until not even a session would find room.
const VALUES: (usize, usize) = (128 << 10, 128);

/// Refused writes in a row after which there is no room for a size.
const REFUSALS: u32 = 20;

/// Longest time for filling, and for each answer.
const FILLING: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(5);

/// What it wrote, and where.
#[derive(Debug)]
pub(super) struct Filler {
    doors: Vec<SocketAddr>,
    /// Values written so far, or tried; they are named by their numbers.
    tried: u64,
}

impl Filler {
    /// It will write through these Redis doors in turn.
    pub(super) fn new(doors: Vec<SocketAddr>) -> Self {
        Self { doors, tried: 0 }
    }

    /// Writes until nothing is taken any more.
    ///
    /// # Errors
    /// If a node cannot be reached, or is not full within a minute.
    pub(super) fn fill(&mut self) -> anyhow::Result<()> {
        let mut doors = self.open()?;
        let (begun, mut size) = (Instant::now(), VALUES.0);
        let (mut value, mut refusals, mut told) = ("x".repeat(size), 0, false);
        while size > VALUES.1 || refusals < REFUSALS || !told {
            if refusals >= REFUSALS && size > VALUES.1 {
                size /= 2;
                value.truncate(size);
                refusals = 0;
            }
            if begun.elapsed() > FILLING {
                bail!("after {} values memory is not full", self.tried);
            }
            let turn = self.tried as usize % doors.len();
            let key = format!("fill:{}", self.tried);
            let said = ask(&mut doors[turn], &["SET", &key, &value, "EX", "3600"])?;
            self.tried += 1;
            match said.split(' ').next() {
                Some("+OK") => refusals = 0,
                Some("-OOM") => {
                    refusals += 1;
                    told = true;
                }
                // Its own replica took it and others did not: it may yet come to be.
                Some("-UNKNOWN") => refusals += 1,
                _ => bail!("a write to a memory that fills: {said}"),
            }
        }
        Ok(())
    }

    /// Deletes everything. Deletes must be taken however full memory is.
    ///
    /// # Errors
    /// If a delete is refused.
    pub(super) fn remove(&mut self) -> anyhow::Result<()> {
        let mut doors = self.open()?;
        for number in 0..self.tried {
            let turn = number as usize % doors.len();
            let key = format!("fill:{number}");
            let said = ask(&mut doors[turn], &["DEL", &key])?;
            if !said.starts_with(':') {
                bail!("a delete in a full memory: {said}");
            }
        }
        Ok(())
    }

    fn open(&self) -> anyhow::Result<Vec<BufReader<TcpStream>>> {
        let open = |door: &SocketAddr| -> anyhow::Result<_> {
            let stream = TcpStream::connect_timeout(door, PATIENCE)
                .with_context(|| format!("no connection to {door}"))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(BufReader::new(stream))
        };
        self.doors.iter().map(open).collect()
    }
}

/// One command, and the one line of its answer.
fn ask(door: &mut BufReader<TcpStream>, command: &[&str]) -> anyhow::Result<String> {
    let mut text = format!("*{}\r\n", command.len());
    for word in command {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    door.get_mut().write_all(text.as_bytes())?;
    let mut line = String::new();
    door.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

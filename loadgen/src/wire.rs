//! Requests of the raw path: preformatted around key and value.

use crate::{
    plan::{Common, Kind, Op},
    settings::Settings,
};

/// How long WAIT may take, in milliseconds.
const WAIT_MS: u32 = 100;

/// Writes requests into a connection's buffer.
pub(crate) struct Encoder {
    common: Common,
    get: Template,
    del: Template,
    expire: Template,
    set_head: Vec<u8>,
    set_middle: Vec<u8>,
    set_tail: Vec<u8>,
}

/// What stands before and after the key.
struct Template(Vec<u8>, Vec<u8>);

fn arg(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

impl Encoder {
    pub(crate) fn new(common: Common, settings: &Settings) -> Self {
        let key = common.space.key_len();
        let head =
            |count: usize, word: &str| format!("*{count}\r\n{}${key}\r\n", arg(word)).into_bytes();
        let ttl = common.ttl.unwrap_or(0).to_string();
        let expiry = if common.ttl.is_some() {
            arg("PX") + &arg(&ttl)
        } else {
            String::new()
        };
        let wait = settings.wait_n.map(|n| {
            format!(
                "*3\r\n{}{}{}",
                arg("WAIT"),
                arg(&n.to_string()),
                arg(&WAIT_MS.to_string())
            )
        });
        let wait = wait.unwrap_or_default();
        let tail = |rest: String| format!("\r\n{rest}{wait}").into_bytes();
        Self {
            get: Template(head(2, "GET"), b"\r\n".to_vec()),
            del: Template(head(2, "DEL"), tail(String::new())),
            expire: Template(head(3, "PEXPIRE"), tail(arg(&ttl))),
            set_head: head(if common.ttl.is_some() { 5 } else { 3 }, "SET"),
            set_middle: format!("\r\n${}\r\n", common.stamper.value_len()).into_bytes(),
            set_tail: tail(expiry),
            common,
        }
    }

    /// Appends the request of an operation.
    pub(crate) fn push(&self, op: &Op, out: &mut Vec<u8>) {
        let template = match op.kind {
            Kind::Get | Kind::Ghost => &self.get,
            Kind::Touch => &self.expire,
            Kind::Logout => &self.del,
            Kind::Set | Kind::Login | Kind::Change => return self.push_set(op, out),
        };
        out.extend_from_slice(&template.0);
        self.common.space.push_key(op.key, out);
        out.extend_from_slice(&template.1);
    }

    fn push_set(&self, op: &Op, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.set_head);
        self.common.space.push_key(op.key, out);
        out.extend_from_slice(&self.set_middle);
        self.common
            .stamper
            .push_value(&self.common.space, op.key, op.write.seq, out);
        out.extend_from_slice(&self.set_tail);
    }
}

/// The command that sets a connection's quorum, if any of it was asked for.
pub(crate) fn quorum_command(settings: &Settings) -> Option<Vec<u8>> {
    let mut words = vec!["HENGE.QUORUM".to_owned()];
    let mut pair = |word: &str, number: Option<u64>| {
        words.extend(
            number
                .map(|number| [word.to_owned(), number.to_string()])
                .into_iter()
                .flatten(),
        );
    };
    pair("R", settings.quorum.r.map(u64::from));
    pair("W", settings.quorum.w.map(u64::from));
    pair(
        "TIMEOUT",
        settings
            .quorum
            .timeout
            .map(|timeout| timeout.as_millis() as u64),
    );
    words.extend(
        settings
            .quorum
            .strict
            .map(|strict| if strict { "STRICT" } else { "SLOPPY" }.to_owned()),
    );
    (words.len() > 1).then(|| command(&words))
}

/// One command from its words.
pub(crate) fn command(words: &[String]) -> Vec<u8> {
    let args: String = words.iter().map(|word| arg(word)).collect();
    format!("*{}\r\n{args}", words.len()).into_bytes()
}

//! The example as its users run it: three processes, a browser's requests, one process killed hard.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Killed when the test ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn example() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let profile = test.ancestors().nth(2).expect("target/debug/deps");
    profile.join("examples").join("embedded")
}

/// Six ports that were free a moment ago, as the example takes them: three in a row, and three a hundred on.
fn free_ports() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let from = 12_000 + (std::process::id() % 4_000) as u16 * 3;
    let mut firsts = (from..30_000).step_by(3);
    let all_free = |first: &u16| (0..3).all(|it| is_free(first + it) && is_free(first + 100 + it));
    firsts.find(all_free).expect("free ports")
}

fn start(first_port: u16, number: u16) -> Server {
    let mut command = Command::new(example());
    command.args([first_port.to_string(), number.to_string()]);
    Server(
        command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example is built"),
    )
}

/// What a server answers: its status, the cookie it sets, the page.
struct Answer {
    status: u16,
    cookie: Option<String>,
    page: String,
}

fn ask(port: u16, request: &str, cookie: Option<&str>, form: &str) -> std::io::Result<Answer> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port))?);
    stream
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(10)))?;
    let cookie = cookie.map_or_else(String::new, |it| format!("Cookie: {it}\r\n"));
    let length = form.len();
    write!(
        stream.get_mut(),
        "{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{cookie}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    )?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
    let mut cookie = None;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(": ")
            && name.eq_ignore_ascii_case("set-cookie")
        {
            cookie = value.split(';').next().map(str::to_owned);
        }
    }
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(Answer {
        status: status.unwrap_or(0),
        cookie,
        page,
    })
}

/// The page of one server, once it answers with one: while a process has just died, a request may fail.
fn page(port: u16, cookie: &str) -> String {
    let begun = Instant::now();
    loop {
        match ask(port, "GET /", Some(cookie), "") {
            Ok(answer) if answer.status == 200 => return answer.page,
            other => {
                let waited = begun.elapsed();
                let told = other.map(|it| (it.status, it.page));
                assert!(waited < Duration::from_secs(20), "{told:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[test]
fn who_logs_in_on_one_server_stays_logged_in_when_it_dies_and_logs_out_everywhere() {
    let first = free_ports();
    let mut servers: Vec<_> = (0..3).map(|number| start(first, number)).collect();
    for server in &mut servers {
        let out = server.0.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .expect("its address");
        assert!(line.starts_with("http://"), "{line}");
    }
    let login = ask(first, "POST /login", None, "name=Ada").expect("answered");
    assert_eq!(login.status, 303, "{}", login.page);
    let cookie = login.cookie.expect("a session");
    for port in first..first + 3 {
        assert!(page(port, &cookie).contains("Logged in as <b>Ada</b>"));
    }
    drop(servers.remove(0));
    for port in [first + 1, first + 2] {
        assert!(page(port, &cookie).contains("Logged in as <b>Ada</b>"));
    }
    let logout = ask(first + 1, "POST /logout", Some(&cookie), "").expect("answered");
    assert_eq!(logout.status, 303, "{}", logout.page);
    for port in [first + 1, first + 2] {
        assert!(page(port, &cookie).contains("Log in"));
    }
}

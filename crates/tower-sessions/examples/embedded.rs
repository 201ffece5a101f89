//! Three web servers with a login page that keep their users' sessions themselves, each by a node of its
//! own.
//!
//! ```text
//! cargo run -p henge-tower-sessions --example embedded             # http://127.0.0.1:3000 … 3002
//! cargo run -p henge-tower-sessions --example embedded -- 4000     # … on other ports
//! cargo run -p henge-tower-sessions --example embedded -- 4000 1   # the second of them alone
//! ```
//!
//! Log in on one, reload the page of another. As three processes they can be killed, too: start 0, 1 and
//! 2 alone. In production each machine runs one, and `peers` names them all.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::{
    Form, Router,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use henge_node::{Config, Handle, Node, Settings};
use henge_tower_sessions::HengeStore;
use serde::Deserialize;
use tower_sessions::{Expiry, Session, SessionManagerLayer, cookie::SameSite};

const SERVERS: u16 = 3;

#[derive(Deserialize)]
struct Login {
    name: String,
}

async fn page(session: Session) -> Result<Html<String>, Failed> {
    let name: Option<String> = session.get("name").await?;
    Ok(Html(match name {
        Some(name) => format!(
            "<p>Logged in as <b>{}</b>.<form method=post action=/logout><button>Log out</button></form>",
            escaped(&name)
        ),
        None => "<form method=post action=/login><input name=name placeholder=Name><button>Log in</button></form>"
            .to_owned(),
    }))
}

async fn login(session: Session, Form(login): Form<Login>) -> Result<Redirect, Failed> {
    // A new id for what is a new login: whoever knew the old one has nothing.
    session.cycle_id().await?;
    session.insert("name", login.name).await?;
    Ok(Redirect::to("/"))
}

async fn logout(session: Session) -> Result<Redirect, Failed> {
    session.flush().await?;
    Ok(Redirect::to("/"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The store did not answer as it should: the page says why.
struct Failed(tower_sessions::session::Error);

impl From<tower_sessions::session::Error> for Failed {
    fn from(error: tower_sessions::session::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
        (status, self.0.to_string()).into_response()
    }
}

fn app(node: Handle) -> Router {
    let sessions = SessionManagerLayer::new(HengeStore::new(node))
        .with_secure(false) // plain HTTP on this machine
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(
            tower_sessions::cookie::time::Duration::hours(1),
        ));
    Router::new()
        .route("/", get(page))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(sessions)
}

fn node(number: u16, first_port: u16) -> anyhow::Result<Node> {
    let at = |number: u16| format!("\"127.0.0.1:{}\"", first_port + 100 + number);
    let peers: Vec<_> = (0..SERVERS).map(at).collect();
    let text = format!(
        "listen_peer = {}\npeers = [{}]\ndata_threads = 1\n",
        at(number),
        peers.join(", ")
    );
    let config = Config::check(&Settings::parse("example", &text)?)?;
    Ok(Node::builder(config).start()?)
}

async fn wait_until_ready(nodes: &[Node]) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !nodes.iter().all(|node| node.handle().is_ready()) {
        if begun.elapsed() > Duration::from_secs(30) {
            bail!("the nodes have not met within 30 s");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let first_port = match std::env::args().nth(1) {
        Some(port) => port.parse().context("the argument is the first port")?,
        None => 3000,
    };
    let alone = std::env::args().nth(2).map(|number| number.parse());
    let alone: Option<u16> = alone.transpose().context("which of the servers, from 0")?;
    let numbers: Vec<u16> = alone.map_or_else(|| (0..SERVERS).collect(), |number| vec![number]);
    let nodes = numbers
        .iter()
        .map(|number| node(*number, first_port))
        .collect::<anyhow::Result<Vec<_>>>()?;
    wait_until_ready(&nodes).await?;
    for (node, number) in nodes.iter().zip(numbers) {
        let port = first_port + number;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        println!("http://127.0.0.1:{port}");
        let app = app(node.handle().clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
    }
    tokio::signal::ctrl_c().await?;
    tokio::task::spawn_blocking(move || nodes.into_iter().for_each(Node::stop)).await?;
    Ok(())
}

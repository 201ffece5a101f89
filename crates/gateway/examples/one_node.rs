//! One node with both doors on free ports of 127.0.0.1, for trying clients against it. Prints the
//! addresses; runs until its input ends.

use std::sync::Arc;

use henge_gateway::{Doors, Limits};
use henge_node::{Config, NodeBuilder, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let any = "127.0.0.1:0".parse()?;
    let config = Config {
        listen_resp: any,
        listen_http: any,
        listen_peer: any,
        ..Config::check(&Settings::default())?
    };
    let doors = Doors::new(
        std::env::var("PASSWORD").ok(),
        Limits::default(),
        b"example",
    );
    let node = NodeBuilder::new(config).door(Arc::new(doors)).start()?;
    println!("resp {}", node.handle().info().endpoints.resp);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

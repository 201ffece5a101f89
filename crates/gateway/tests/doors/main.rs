//! Both doors of a running one-node cluster, over real sockets.

mod abuse;
mod common;
mod http;
mod pipelines;
mod transcripts;

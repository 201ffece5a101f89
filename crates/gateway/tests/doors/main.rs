//! Both doors of a running one-node cluster, over real sockets.

mod abuse;
mod channels;
mod http;
mod one_node;
mod pipelines;
mod principals;
mod rotations;
mod scripts;
mod starting;
mod transcripts;

//! Gossip frames, read and written from outside. `crates/membership/src/swim.rs` has the format.

use foca::{Codec, Header, Member, Message, PostcardCodec};
use henge_ring::NodeId;
use serde::{Deserialize, Serialize};

/// Bytes before the library's message: a version and a digest.
const OUTER: usize = 9;

/// That version.
const VERSION: u8 = 1;

/// A member in one of its lives, as `crates/membership/src/swim/identity.rs` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) node: NodeId,
    pub(super) generation: u64,
}

/// A frame, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    outer: [u8; OUTER],
    pub(super) header: Header<Life>,
    /// `None` where the message has no room for any.
    pub(super) news: Option<Vec<Member<Life>>>,
}

impl Frame {
    /// One piece of news from one member to another.
    pub(super) fn new(src: Life, incarnation: u16, dst: Life, news: Member<Life>) -> Self {
        let mut outer = [0; OUTER];
        outer[0] = VERSION;
        Self {
            outer,
            header: Header {
                src,
                src_incarnation: incarnation,
                dst,
                message: Message::Gossip,
            },
            news: Some(vec![news]),
        }
    }

    /// `None`: it makes no sense.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (outer, mut rest) = bytes.split_first_chunk::<OUTER>()?;
        let mut codec = PostcardCodec;
        let header = codec.decode_header(&mut rest).ok()?;
        let news = match rest.split_first_chunk::<2>() {
            None => None,
            Some((count, mut rest)) => {
                let count = u16::from_be_bytes(*count);
                let members = (0..count).map(|_| codec.decode_member(&mut rest).ok());
                Some(members.collect::<Option<_>>()?)
            }
        };
        Some(Self {
            outer: *outer,
            header,
            news,
        })
    }

    /// The bytes of the frame. `None`: there is more news than a frame can count.
    pub(super) fn write(&self) -> Option<Vec<u8>> {
        let (mut bytes, mut codec) = (self.outer.to_vec(), PostcardCodec);
        codec.encode_header(&self.header, &mut bytes).ok()?;
        if let Some(news) = &self.news {
            bytes.extend_from_slice(&u16::try_from(news.len()).ok()?.to_be_bytes());
            for member in news {
                codec.encode_member(member, &mut bytes).ok()?;
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use henge_membership::{Effect, Swim, SwimPolicy};

    use super::{Frame, NodeId};

    #[test]
    fn what_members_send_is_read_and_written_alike() {
        let ids = [NodeId([1; 16]), NodeId([2; 16])];
        let mut nodes = ids.map(|id| Swim::new(id, 1, SwimPolicy::default(), 7));
        nodes[0].meet(ids[1], 0);
        let (mut with_news, mut seen) = (0, 0);
        for now in 0..5_000 {
            for number in 0..2 {
                let mut effects = Vec::new();
                nodes[number].tick(now, &mut effects);
                while let Some(effect) = effects.pop() {
                    let Effect::Send { to, frame } = effect else {
                        continue;
                    };
                    let read = Frame::read(&frame).expect("it is a frame");
                    assert_eq!(
                        (read.header.dst.node, read.write()),
                        (to, Some(frame.clone()))
                    );
                    seen += 1;
                    with_news += usize::from(read.news.is_some_and(|it| !it.is_empty()));
                    let other = 1 - number;
                    let heard = nodes[other].receive(ids[number], &frame, now, &mut Vec::new());
                    assert_eq!(heard, Ok(()));
                }
            }
        }
        assert!(
            seen > 0 && with_news > 0,
            "{seen} frames, {with_news} with news"
        );
    }
}

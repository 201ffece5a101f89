//! What a node says of its own condition: the answer to `status`, which is also what links ping with.
//!
//! ```text
//! wall.u64 flags.u8          flags: 1 it does not stamp, its clock being wrong
//! ```
//! Little-endian. Later builds may say more behind it, and set more flags. Saying nothing is allowed:
//! then nothing is known.

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What its machine's clock says, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Whether it knows that its clock is wrong, so that it coordinates nothing.
    pub is_astray: bool,
}

const ASTRAY: u8 = 1;

impl Condition {
    /// Its bytes.
    pub fn encode(self) -> [u8; 9] {
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&self.wall_ms.to_le_bytes());
        bytes[8] = if self.is_astray { ASTRAY } else { 0 };
        bytes
    }

    /// What these bytes say; `None`: nothing.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (wall, rest) = bytes.split_first_chunk()?;
        Some(Self {
            wall_ms: u64::from_le_bytes(*wall),
            is_astray: rest.first()? & ASTRAY != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Condition;

    #[test]
    fn golden_bytes() {
        for (is_astray, last) in [(false, 0), (true, 1)] {
            let condition = Condition {
                wall_ms: 0x0102_0304_0506_0708,
                is_astray,
            };
            let bytes = [8, 7, 6, 5, 4, 3, 2, 1, last];
            assert_eq!(condition.encode(), bytes);
            assert_eq!(Condition::decode(&bytes), Some(condition));
            let later = [&bytes[..8], &[last | 0xfe, 9, 9]].concat();
            assert_eq!(
                Condition::decode(&later),
                Some(condition),
                "what is new is passed over"
            );
            (0..9).for_each(|short| assert_eq!(Condition::decode(&bytes[..short]), None));
        }
    }
}

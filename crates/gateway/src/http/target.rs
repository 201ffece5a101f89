//! From `/v1/buckets/{bucket}/keys/{key}` to a key.

use henge_node::{Bucket, Buckets};

/// A key with its bucket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'b> {
    /// The whole key, prefix included.
    pub(super) key: Vec<u8>,
    /// Its bucket.
    pub(super) bucket: &'b Bucket,
}

/// Longest key, in bytes.
const MAX_KEY: usize = 64 * 1024;

impl<'b> Target<'b> {
    /// Finds the key. Buckets are named prefixes: a key that lacks its bucket's prefix gets it (of
    /// several, the shortest).
    pub(super) fn find(buckets: &'b Buckets, name: &str, key: &str) -> Result<Self, String> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(format!("a key has 1 to {MAX_KEY} bytes, not {}", key.len()));
        }
        let named = || buckets.iter().filter(|bucket| bucket.name == name);
        let Some(shortest) = named().min_by_key(|bucket| bucket.prefix.len()) else {
            let names: Vec<&str> = buckets.names().into_iter().collect();
            return Err(format!(
                "there is no bucket {name:?}; there are {}",
                names.join(", ")
            ));
        };
        let has_prefix = named().any(|bucket| key.as_bytes().starts_with(&bucket.prefix));
        let key = match has_prefix {
            true => key.as_bytes().to_vec(),
            false => [&shortest.prefix, key.as_bytes()].concat(),
        };
        let bucket = buckets.of(&key);
        if bucket.name != name {
            return Err(format!(
                "a key with this prefix belongs to bucket {:?}",
                bucket.name
            ));
        }
        Ok(Self { key, bucket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_added_where_they_are_missing() {
        let buckets = Buckets::builtin();
        let key = |bucket: &str, key: &str| {
            Target::find(&buckets, bucket, key).map(|t| String::from_utf8(t.key).unwrap())
        };
        assert_eq!(key("sessions", "1"), Ok("sess:1".into()));
        assert_eq!(key("sessions", "sess:1"), Ok("sess:1".into()));
        assert_eq!(
            key("sessions", "spring:session:1"),
            Ok("spring:session:1".into())
        );
        assert_eq!(key("default", "plain"), Ok("plain".into()));
        assert_eq!(key("siblings", "k"), Ok("siblings:k".into()));
        assert!(
            key("default", "sess:1")
                .unwrap_err()
                .contains("belongs to bucket \"sessions\"")
        );
        assert!(
            key("nothing", "k")
                .unwrap_err()
                .contains("there is no bucket \"nothing\"")
        );
        assert!(key("default", "").is_err() && key("default", &"x".repeat(MAX_KEY + 1)).is_err());
    }
}

//! Buckets as JSON: what they are, and what is to change of one.

use henge_node::{BucketDefinition, Handle, Kind, OnDead};
use serde_json::{Map, Value, json};

/// The words for kinds.
const KINDS: [(&str, Kind); 3] = [
    ("session", Kind::Session),
    ("register", Kind::Register),
    ("siblings", Kind::Siblings),
];

/// The words for what becomes of writes to destroyed sessions.
const ON_DEAD: [(&str, OnDead); 2] = [("absorb", OnDead::Absorb), ("error", OnDead::Error)];

/// What may stand in a bucket's JSON, beside `name` and `defined`, which are only shown.
const KNOWN: &str = "prefixes, kind, r, w, strict, ttl_ms, max_lifetime_ms, on_dead, max_value, \
                     max_siblings";

/// One bucket: its rules, and whether the cluster's log defines it.
pub(crate) fn bucket_json(bucket: &BucketDefinition, node: &Handle) -> Value {
    let mut shown = rules_json(bucket);
    let ring = node.ring();
    shown["defined"] = ring.buckets().get(&bucket.name).is_some().into();
    shown
}

/// One bucket's rules.
pub(crate) fn rules_json(bucket: &BucketDefinition) -> Value {
    json!({
        "name": bucket.name,
        "prefixes": bucket.prefixes,
        "kind": word(&KINDS, bucket.kind),
        "r": bucket.r,
        "w": bucket.w,
        "strict": bucket.strict,
        "ttl_ms": bucket.ttl_ms,
        "max_lifetime_ms": bucket.max_lifetime_ms,
        "on_dead": word(&ON_DEAD, bucket.on_dead),
        "max_value": bucket.max_value,
        "max_siblings": bucket.max_siblings,
    })
}

/// All buckets, by name.
pub(crate) fn buckets_json(node: &Handle) -> Value {
    let buckets = node.buckets();
    let shown = buckets.names().into_iter();
    let shown = shown.filter_map(|name| Some(bucket_json(&buckets.definition(name)?, node)));
    json!({ "buckets": shown.collect::<Vec<_>>() })
}

/// A bucket as it will be: what the JSON names is changed (`null` takes a rule away), the rest stays.
/// A bucket that does not exist yet needs a kind.
///
/// # Errors
/// What is wrong, for the client.
pub(crate) fn changed(
    name: &str,
    present: Option<BucketDefinition>,
    changes: &Map<String, Value>,
) -> Result<BucketDefinition, String> {
    let kind = changes.get("kind").map(|it| read_word(&KINDS, "kind", it));
    let kind = kind.transpose()?.or(present.as_ref().map(|it| it.kind));
    let Some(kind) = kind else {
        return Err(format!(
            "there is no bucket {name:?} yet: a new one needs a kind, which is {}",
            words(&KINDS)
        ));
    };
    let mut bucket = present.unwrap_or_else(|| BucketDefinition::new(name, kind));
    bucket.kind = kind;
    for (rule, value) in changes {
        match rule.as_str() {
            "kind" => {}
            "prefixes" => bucket.prefixes = read_prefixes(value)?,
            "r" => bucket.r = number(rule, value)?,
            "w" => bucket.w = number(rule, value)?,
            "strict" => bucket.strict = flag(rule, value)?,
            "ttl_ms" => bucket.ttl_ms = number(rule, value)?,
            "max_lifetime_ms" => bucket.max_lifetime_ms = number(rule, value)?,
            "on_dead" => bucket.on_dead = read_word(&ON_DEAD, rule, value)?,
            "max_value" => bucket.max_value = number(rule, value)?,
            "max_siblings" => bucket.max_siblings = number(rule, value)?,
            "n" => {
                return Err(
                    "N is the cluster's, not a bucket's: transfers, hints and anti-entropy work on \
                     whole partitions, which all buckets share"
                        .to_owned(),
                );
            }
            _ => return Err(format!("{rule:?} is unknown; known are {KNOWN}")),
        }
    }
    Ok(bucket)
}

fn word<T: PartialEq>(words: &[(&'static str, T)], of: T) -> Option<&'static str> {
    let named = words.iter().find(|(_, it)| *it == of);
    named.map(|(word, _)| *word)
}

fn words<T>(words: &[(&str, T)]) -> String {
    let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    words.join(" or ")
}

fn read_word<T: Copy>(known: &[(&str, T)], rule: &str, value: &Value) -> Result<T, String> {
    let named = known.iter().find(|(word, _)| *value == **word);
    let found = named.map(|(_, it)| *it);
    found.ok_or_else(|| format!("{rule} must be {}, not {value}", words(known)))
}

fn read_prefixes(value: &Value) -> Result<Vec<String>, String> {
    let texts = value.as_array().and_then(|all| {
        let texts = all.iter().map(|it| it.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    texts.ok_or_else(|| format!("prefixes must be a list of texts, not {value}"))
}

fn number<T: TryFrom<u64>>(rule: &str, value: &Value) -> Result<Option<T>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_u64().and_then(|it| T::try_from(it).ok());
    match number {
        None => Err(format!("{rule} must be a whole number, not {value}")),
        some => Ok(some),
    }
}

fn flag(rule: &str, value: &Value) -> Result<Option<bool>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        _ => Err(format!("{rule} must be true, false or null, not {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(present: Option<BucketDefinition>, text: &str) -> Result<BucketDefinition, String> {
        let changes: Value = serde_json::from_str(text).expect("it is JSON");
        changed("own", present, changes.as_object().expect("an object"))
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let made = change(
            None,
            r#"{"kind":"session","prefixes":["o:"],"ttl_ms":5,"r":1}"#,
        );
        let made = made.expect("it is complete");
        assert_eq!(
            (made.ttl_ms, made.r, made.kind),
            (Some(5), Some(1), Kind::Session)
        );
        let later = change(Some(made.clone()), r#"{"ttl_ms":null,"on_dead":"error"}"#);
        let later = later.expect("it is complete");
        assert_eq!(
            (later.ttl_ms, later.r, later.on_dead),
            (None, Some(1), OnDead::Error)
        );
        assert_eq!(later.prefixes, made.prefixes);
        let shown = rules_json(&later);
        let mut again = shown.as_object().expect("an object").clone();
        again.remove("name");
        assert_eq!(changed("own", None, &again), Ok(later));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, wanted) in [
            (
                "{}",
                "a new one needs a kind, which is session or register or siblings",
            ),
            (
                r#"{"kind":"set"}"#,
                "kind must be session or register or siblings, not \"set\"",
            ),
            (
                r#"{"kind":"session","n":5}"#,
                "N is the cluster's, not a bucket's",
            ),
            (
                r#"{"kind":"session","r":300}"#,
                "r must be a whole number, not 300",
            ),
            (
                r#"{"kind":"session","ttl":1}"#,
                "\"ttl\" is unknown; known are prefixes",
            ),
            (
                r#"{"kind":"session","strict":1}"#,
                "strict must be true, false or null, not 1",
            ),
            (
                r#"{"kind":"session","prefixes":"x"}"#,
                "must be a list of texts, not \"x\"",
            ),
        ] {
            let said = change(None, text).expect_err(wanted);
            assert!(said.contains(wanted), "{said}");
        }
    }
}

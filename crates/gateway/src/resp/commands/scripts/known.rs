//! The scripts that are known, each in one spelling, and what they mean.

use std::{collections::BTreeMap, sync::LazyLock};

use super::fold::fold;

/// What a script does to its one key. Numbers are those of the arguments, as Lua counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Deletes the key if its value is argument 1; 1 or 0. How locks are released.
    DeleteIfEqual,
    /// Gives the key a lifetime of argument 2 if its value is argument 1; 1 or 0.
    ExpireIfEqual {
        /// In milliseconds, not seconds.
        millis: bool,
    },
    /// Adds argument 2 to the key's lifetime in milliseconds (or sets it, if argument 3 is not 0) if its
    /// value is argument 1; 1 or 0.
    ExtendIfEqual,
    /// The value; where there is a lifetime, it becomes argument 1 seconds.
    GetAndRenew,
    /// The value; the key is deleted.
    GetAndDelete,
    /// Deletes all keys that match argument 1, of all nodes; nil.
    DeleteMatching,
    /// Adds argument 1, or 1, if the key is there, or in any case; the sum or nil.
    Increment {
        /// Only if it is there.
        only_present: bool,
        /// By argument 1.
        by_argument: bool,
    },
    /// Adds 1; the first to do so sets a lifetime of argument 1. The sum.
    Count {
        /// In milliseconds, not seconds.
        millis: bool,
    },
    /// Sets argument 1 for argument 2 seconds if the key is absent; OK or nil.
    Add,
    /// Sets the fields `absexp`, `sldexp` and `data`, and a lifetime of argument 3 seconds unless it is
    /// -1; 1.
    SetCached,
}

impl Script {
    /// How many arguments it needs beside its key.
    pub(crate) fn arguments(self) -> usize {
        match self {
            Self::GetAndDelete => 0,
            Self::Increment { by_argument, .. } => usize::from(by_argument),
            Self::DeleteIfEqual | Self::GetAndRenew | Self::DeleteMatching | Self::Count { .. } => {
                1
            }
            Self::ExpireIfEqual { .. } | Self::Add => 2,
            Self::ExtendIfEqual => 3,
            Self::SetCached => 4,
        }
    }

    /// How many keys it needs.
    pub(crate) fn keys(self) -> usize {
        usize::from(self != Self::DeleteMatching)
    }
}

/// By folded text.
static KNOWN: LazyLock<BTreeMap<String, Script>> = LazyLock::new(|| {
    let texts = SPELLINGS.iter();
    let folded = texts.filter_map(|(text, script)| Some((fold(text.as_bytes())?, *script)));
    folded.collect()
});

/// The script that a text is.
pub(super) fn known(text: &[u8]) -> Option<Script> {
    KNOWN.get(&fold(text)?).copied()
}

/// In the spellings of those who use them.
pub(super) const SPELLINGS: &[(&str, Script)] = &[
    // PHP's session handler, Laravel's locks, and most who release a lock.
    (
        r#"if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end"#,
        Script::DeleteIfEqual,
    ),
    // redis-py's locks, three scripts.
    (
        "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('del', KEYS[1])
        return 1
    ",
        Script::DeleteIfEqual,
    ),
    (
        "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        local expiration = redis.call('pttl', KEYS[1])
        if not expiration then
            expiration = 0
        end
        if expiration < 0 then
            return 0
        end

        local newttl = ARGV[2]
        if ARGV[3] == \"0\" then
            newttl = ARGV[2] + expiration
        end
        redis.call('pexpire', KEYS[1], newttl)
        return 1
    ",
        Script::ExtendIfEqual,
    ),
    (
        "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('pexpire', KEYS[1], ARGV[2])
        return 1
    ",
        Script::ExpireIfEqual { millis: true },
    ),
    // Those who prolong a lock, as they release it.
    (
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end",
        Script::ExpireIfEqual { millis: true },
    ),
    (
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('expire', KEYS[1], ARGV[2]) else return 0 end",
        Script::ExpireIfEqual { millis: false },
    ),
    // Litestar's store, two scripts.
    (
        "
        local key = KEYS[1]
        local renew = tonumber(ARGV[1])

        local data = redis.call('GET', key)
        local ttl = redis.call('TTL', key)

        if ttl > 0 then
            redis.call('EXPIRE', key, renew)
        end

        return data
        ",
        Script::GetAndRenew,
    ),
    (
        "
        local cursor = 0

        repeat
            local result = redis.call('SCAN', cursor, 'MATCH', ARGV[1])
            for _,key in ipairs(result[2]) do
                redis.call('UNLINK', key)
            end
            cursor = tonumber(result[1])
        until cursor == 0
        ",
        Script::DeleteMatching,
    ),
    // Those who take a value once, where GETDEL is not known.
    (
        "local value = redis.call('get', KEYS[1]) if value then redis.call('del', KEYS[1]) end return value",
        Script::GetAndDelete,
    ),
    (
        "local value = redis.call('get', KEYS[1]) if value ~= nil then redis.call('del', KEYS[1]) end return value",
        Script::GetAndDelete,
    ),
    (
        "local value = redis.call('get', KEYS[1]) redis.call('del', KEYS[1]) return value",
        Script::GetAndDelete,
    ),
    // django-redis, two scripts.
    (
        "
                local exists = redis.call('EXISTS', KEYS[1])
                if (exists == 1) then
                    return redis.call('INCRBY', KEYS[1], ARGV[1])
                else return false end
                ",
        Script::Increment {
            only_present: true,
            by_argument: true,
        },
    ),
    (
        "return redis.call('INCRBY', KEYS[1], ARGV[1])",
        Script::Increment {
            only_present: false,
            by_argument: true,
        },
    ),
    // Those who limit attempts.
    (
        "local current = redis.call('incr', KEYS[1]) if current == 1 then redis.call('expire', KEYS[1], ARGV[1]) end return current",
        Script::Count { millis: false },
    ),
    (
        "local current = redis.call('incr', KEYS[1]) if tonumber(current) == 1 then redis.call('expire', KEYS[1], ARGV[1]) end return current",
        Script::Count { millis: false },
    ),
    (
        "local current = redis.call('incr', KEYS[1]) if current == 1 then redis.call('expire', KEYS[1], tonumber(ARGV[1])) end return current",
        Script::Count { millis: false },
    ),
    (
        "local current = redis.call('incr', KEYS[1]) if current == 1 then redis.call('pexpire', KEYS[1], ARGV[1]) end return current",
        Script::Count { millis: true },
    ),
    // Laravel's cache.
    (
        "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])",
        Script::Add,
    ),
    // ASP.NET Core's distributed cache, new and old.
    (
        "
                redis.call('HSET', KEYS[1], 'absexp', ARGV[1], 'sldexp', ARGV[2], 'data', ARGV[4])
                if ARGV[3] ~= '-1' then
                  redis.call('EXPIRE', KEYS[1], ARGV[3])
                end
                return 1",
        Script::SetCached,
    ),
    (
        "
                redis.call('HMSET', KEYS[1], 'absexp', ARGV[1], 'sldexp', ARGV[2], 'data', ARGV[4])
                if ARGV[3] ~= '-1' then
                  redis.call('EXPIRE', KEYS[1], ARGV[3])
                end
                return 1",
        Script::SetCached,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_known_for_what_it_is() {
        for (text, script) in SPELLINGS {
            assert_eq!(known(text.as_bytes()), Some(*script), "{text}");
        }
        assert_eq!(KNOWN.len(), SPELLINGS.len(), "no two are the same");
    }

    #[test]
    fn other_scripts_are_not() {
        for text in [
            "return 1",
            "",
            "return redis.call('flushall')",
            "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[2]) else return 0 end",
            "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 1 end",
        ] {
            assert_eq!(known(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn laravel_spells_it_on_five_lines() {
        let text = "if redis.call(\"get\",KEYS[1]) == ARGV[1] then\n    return redis.call(\"del\",KEYS[1])\nelse\n    return 0\nend";
        assert_eq!(known(text.as_bytes()), Some(Script::DeleteIfEqual));
    }
}

//! Redis, where `REDIS_URL` names one: it can be away, and then costs speed; what it must not be is one that forgets marks.

use indicatif::BinaryBytes;
use kvstore_storage::{CacheMode, RedisFacts};

use super::Diagnosis;
use crate::{app, settings::Settings};

const CHECK: &str = "redis";
/// The oldest of which those who make it still take care.
const MAJOR_MIN: u32 = 6;

pub(super) async fn look(settings: &Settings) -> Option<Diagnosis> {
    let cache = settings.cache()?;
    Some(match app::examine_redis(&cache).await {
        Ok(facts) => judge(&facts, cache.mode),
        Err(error) => {
            let advice = "see that it runs, and that REDIS_URL is right; without it every read goes to the database";
            Diagnosis::warning(CHECK, error.to_string(), advice)
        }
    })
}

fn judge(facts: &RedisFacts, mode: CacheMode) -> Diagnosis {
    let memory = match facts.memory_max {
        0 => "any amount of memory".to_owned(),
        limit => format!("{} of memory, of which {} are used", BinaryBytes(limit), BinaryBytes(facts.memory_used)),
    };
    let detail = format!("Redis {} may take {memory} ({}), and answers in {:.1?}", facts.version, facts.policy, facts.took);
    let evicts = facts.memory_max > 0 && facts.policy != "noeviction";
    let major = facts.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if facts.role != "master" {
        Diagnosis::warning(CHECK, format!("{detail}; it is a replica, so it is not used"), "name the master in REDIS_URL")
    } else if evicts && mode == CacheMode::Fenced {
        let advice = "set maxmemory-policy to noeviction, or serve with --cache validate";
        Diagnosis::warning(CHECK, format!("{detail}; it may evict marks, so it is not used with --cache fenced"), advice)
    } else if facts.memory_max > 0 && !evicts && mode == CacheMode::Validate {
        let advice = "set maxmemory-policy to allkeys-lru: a full Redis takes no new entries else";
        Diagnosis::warning(CHECK, detail, advice)
    } else if facts.memory_max == 0 && mode == CacheMode::Validate {
        Diagnosis::warning(CHECK, detail, "set maxmemory, and maxmemory-policy to allkeys-lru, so that it leaves memory for others")
    } else if major.is_some_and(|major| major < MAJOR_MIN) {
        Diagnosis::warning(CHECK, detail, "upgrade it: Redis before 6 gets no more fixes")
    } else {
        Diagnosis::ok(CHECK, detail)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn what_each_mode_asks_of_redis_is_said() {
        let level = |memory_max: u64, policy: &str, mode: CacheMode| {
            let facts = RedisFacts {
                version: "7.0.15".into(),
                role: "master".into(),
                memory_max,
                memory_used: 1,
                policy: policy.into(),
                took: Duration::from_millis(1),
            };
            judge(&facts, mode).level
        };
        assert_eq!(level(0, "noeviction", CacheMode::Fenced), Level::Ok);
        assert_eq!(level(9, "noeviction", CacheMode::Fenced), Level::Ok);
        assert_eq!(level(9, "allkeys-lru", CacheMode::Fenced), Level::Warning);
        assert_eq!(level(9, "allkeys-lru", CacheMode::Validate), Level::Ok);
        assert_eq!(level(9, "noeviction", CacheMode::Validate), Level::Warning);
        assert_eq!(level(0, "noeviction", CacheMode::Validate), Level::Warning);
    }
}

//! The Lua scripts that wrk runs. Requests are built before the clock starts wherever they fit into memory.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workload::{BASE, BATCH_ITEMS, HOT_KEY, KEYS, PAGE_ENTRIES, VALUE_BYTES, key_path};

/// Prints what was counted as one line that a parser can trust.
const DONE: &str = r#"
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    "RESULT requests=%.0f duration_us=%.0f status=%.0f connect=%.0f read=%.0f write=%.0f timeout=%.0f p50_us=%.0f p99_us=%.0f\n",
    summary.requests, summary.duration, e.status, e.connect, e.read, e.write, e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// Text to cut values from: long enough that values within one block of a table rarely share a stretch.
const TEXT: &str = r#"
local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
local function random_text(length)
  local out = {}
  for i = 1, length do
    local at = math.random(64)
    out[i] = letters:sub(at, at)
  end
  return table.concat(out)
end
local text = nil
local function value(bytes)
  local at = math.random(#text - bytes)
  return text:sub(at, at + bytes - 1)
end
"#;

/// Whether a batch's answer lists the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchAnswer {
    Entries,
    Minimal,
}

/// GET of one key.
pub(crate) fn hot_get() -> String {
    format!("wrk.path = \"{}\"\n{DONE}", key_path(HOT_KEY))
}

/// GET of random keys; all requests are made beforehand.
pub(crate) fn random_get() -> String {
    let make = format!(r#"wrk.format("GET", string.format("{BASE}/kv/key:%012d/", n - 1))"#);
    prepared(KEYS, &make)
}

/// PUT of random keys; all requests are made beforehand.
pub(crate) fn random_put() -> String {
    let make = format!(
        r#"wrk.format("PUT", string.format("{BASE}/kv/key:%012d/", n - 1), {{["Content-Type"] = "application/json"}}, '{{"value":"' .. value({VALUE_BYTES}) .. '"}}')"#
    );
    prepared(KEYS, &make)
}

/// GET of pages that start at random keys.
pub(crate) fn pages() -> String {
    let make = format!(r#"wrk.format("GET", string.format("{BASE}/kv/?start=key:%012d&limit={PAGE_ENTRIES}", n - 1))"#);
    prepared(KEYS - PAGE_ENTRIES as u64, &make)
}

/// POST of batches; each key is in one of them.
pub(crate) fn batches(answer: BatchAnswer) -> String {
    let prefer = match answer {
        BatchAnswer::Entries => "",
        BatchAnswer::Minimal => r#", ["Prefer"] = "return=minimal""#,
    };
    let bodies = KEYS / BATCH_ITEMS as u64;
    let make = format!(
        r#"(function()
      local items = {{}}
      for i = 0, {BATCH_ITEMS} - 1 do
        items[i + 1] = string.format('{{"key":"key:%012d","value":"%s"}}', i * {bodies} + n - 1, value({VALUE_BYTES}))
      end
      return wrk.format("POST", "{BASE}/kv/batch/", {{["Content-Type"] = "application/json"{prefer}}},
        '{{"items":[' .. table.concat(items, ",") .. ']}}')
    end)()"#
    );
    prepared(bodies, &make)
}

/// GET of random keys among very many: made one at a time, since all of them would not fit.
pub(crate) fn random_get_of(keys: u64) -> String {
    each(keys, &format!(r#"wrk.format("GET", string.format("{BASE}/kv/key:%012d/", n - 1))"#))
}

/// PUT of random keys among very many.
pub(crate) fn random_put_of(keys: u64, value_bytes: usize) -> String {
    let make = format!(
        r#"wrk.format("PUT", string.format("{BASE}/kv/key:%012d/", n - 1), {{["Content-Type"] = "application/json"}}, '{{"value":"' .. value({value_bytes}) .. '"}}')"#
    );
    each(keys, &make)
}

/// Writes a script into a folder.
pub(crate) fn save(dir: &Path, name: &str, script: &str) -> Result<PathBuf> {
    let path = dir.join(format!("{name}.lua"));
    std::fs::write(&path, script)?;
    Ok(path)
}

fn prepared(count: u64, make: &str) -> String {
    format!(
        r#"{TEXT}
local requests = {{}}
init = function()
  math.randomseed(42)
  text = random_text(1000000)
  for n = 1, {count} do
    requests[n] = {make}
  end
end
request = function() return requests[math.random({count})] end
{DONE}"#
    )
}

fn each(keys: u64, make: &str) -> String {
    format!(
        r#"{TEXT}
init = function()
  math.randomseed(os.time())
  text = random_text(1000000)
end
request = function()
  local n = math.random({keys})
  return {make}
end
{DONE}"#
    )
}

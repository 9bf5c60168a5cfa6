//! What other stores export: `etcdctl get --prefix "" -w json` and `consul kv export`. Their JSON is read as a stream, entry by entry.

use std::{fmt, io::BufRead, marker::PhantomData};

use anyhow::anyhow;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    super::output,
    batcher::{Batcher, Becomes, Given},
    item::becomes,
};

/// How a file of entries is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines of JSON, as `kvstore export` writes them
    Ndjson,
    /// The JSON of `etcdctl get --prefix "" -w json`
    Etcd,
    /// The JSON of `consul kv export`
    Consul,
}

/// Gives every entry of an etcd's export to the batcher.
pub(super) fn read_etcd(reader: &mut dyn BufRead, batcher: &mut Batcher) -> anyhow::Result<()> {
    read::<EtcdEntry>(reader, batcher, |deserializer, sink| deserializer.deserialize_map(Kvs(sink)))
}

/// Gives every entry of a Consul's export to the batcher.
pub(super) fn read_consul(reader: &mut dyn BufRead, batcher: &mut Batcher) -> anyhow::Result<()> {
    read::<ConsulEntry>(reader, batcher, |deserializer, sink| deserializer.deserialize_seq(Elements(sink)))
}

type Json<'r> = serde_json::Deserializer<serde_json::de::IoRead<&'r mut dyn BufRead>>;

fn read<'r, E: Foreign>(
    reader: &'r mut dyn BufRead,
    batcher: &mut Batcher,
    all: impl FnOnce(&mut Json<'r>, &mut Sink<'_, E>) -> serde_json::Result<()>,
) -> anyhow::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let mut sink = Sink { batcher, json: Vec::new(), lost: 0, stopped: None, form: PhantomData };
    let result = all(&mut deserializer, &mut sink).and_then(|()| deserializer.end());
    let Sink { lost, stopped, .. } = sink;
    if let Some(stopped) = stopped {
        return Err(stopped);
    }
    if let Err(error) = result {
        // What came before is whole, and is stored.
        batcher.flush()?;
        return Err(anyhow!("item {}: the input is not {}: {error}", batcher.next_line(), E::FORM));
    }
    if lost > 0 {
        batcher.note(format!("{} {}", output::entries(lost), E::LOSES))?;
    }
    Ok(())
}

/// An entry of another store's export.
trait Foreign: DeserializeOwned {
    /// What the whole input is.
    const FORM: &'static str;
    /// What is said of entries that have something that is not kept.
    const LOSES: &'static str;

    fn loses(&self) -> bool;

    fn key_and_value(self) -> Result<(Vec<u8>, Vec<u8>), String>;
}

#[derive(Deserialize)]
struct EtcdEntry {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    lease: i64,
}

impl Foreign for EtcdEntry {
    const FORM: &'static str = "the JSON of `etcdctl get --prefix \"\" -w json`";
    const LOSES: &'static str = "had a lease, which is not kept: etcdctl does not tell when it ends";

    fn loses(&self) -> bool {
        self.lease != 0
    }

    fn key_and_value(self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let key = STANDARD.decode(self.key).map_err(|error| format!("the key is not base64: {error}"))?;
        Ok((key, decoded(&self.value)?))
    }
}

#[derive(Deserialize)]
struct ConsulEntry {
    key: String,
    value: Option<String>,
    #[serde(default)]
    flags: u64,
}

impl Foreign for ConsulEntry {
    const FORM: &'static str = "the JSON of `consul kv export`";
    const LOSES: &'static str = "had flags, which are not kept";

    fn loses(&self) -> bool {
        self.flags != 0
    }

    fn key_and_value(self) -> Result<(Vec<u8>, Vec<u8>), String> {
        Ok((self.key.into_bytes(), decoded(&self.value.unwrap_or_default())?))
    }
}

fn decoded(value: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(value).map_err(|error| format!("the value is not base64: {error}"))
}

/// Where the entries go while they are parsed.
struct Sink<'a, E> {
    batcher: &'a mut Batcher,
    json: Vec<u8>,
    lost: u64,
    /// Why the batcher took no more: a parser's error can't carry it.
    stopped: Option<anyhow::Error>,
    form: PhantomData<E>,
}

impl<E: Foreign> Sink<'_, E> {
    fn take(&mut self, entry: E) -> Result<(), &'static str> {
        let loses = entry.loses();
        let becomes = match entry.key_and_value() {
            Ok((key, value)) => becomes(&key, &value, None, &mut self.json),
            Err(reason) => Becomes::Fault(reason),
        };
        self.lost += u64::from(loses && matches!(becomes, Becomes::Item { .. }));
        let raw = if let Becomes::Item { json, .. } = &becomes { *json } else { b"?" };
        self.batcher.take(Given { raw, becomes }).map_err(|stopped| {
            self.stopped = Some(stopped);
            "stopped"
        })
    }
}

/// The member `kvs` of etcd's answer; the others say nothing of entries.
struct Kvs<'s, 'b, E>(&'s mut Sink<'b, E>);

impl<'de, E: Foreign> Visitor<'de> for Kvs<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with kvs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "kvs" {
                map.next_value_seed(Elements(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An array of entries.
struct Elements<'s, 'b, E>(&'s mut Sink<'b, E>);

impl<'de, E: Foreign> DeserializeSeed<'de> for Elements<'_, '_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, E: Foreign> Visitor<'de> for Elements<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(entry) = sequence.next_element()? {
            self.0.take(entry).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

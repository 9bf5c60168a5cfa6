//! Cases of C3 and C7: the order of keys, and what start, end and prefix leave of it.

use kvstore_types::{Entry, Key, KeyRange, Projection, Scan, limits::KEY_CHARS_MAX};

use super::{
    Stop,
    bed::{Bed, key_of, keys, put},
    check::{cases, ensure, ensure_eq},
};

cases! {
    keys_are_ordered_by_their_bytes: ["C3"],
    start_and_end_are_inclusive: ["C7"],
    start_end_and_prefix_restrict_together: ["C7", "C3"],
    a_cursor_may_lie_anywhere: ["C6", "C7"],
    prefixes_of_the_last_characters_end: ["C7"],
}

/// Keys whose order differs by bytes, by UTF-16, by case and by locale, with neighbours that end and begin with what the others do.
fn odd_keys() -> Vec<String> {
    let long = |text: &str| text.repeat(KEY_CHARS_MAX);
    [
        "\u{1}",
        " ",
        "!",
        "/",
        "0",
        "10",
        "9",
        "A",
        "B",
        "Z",
        "a",
        "a\u{1}",
        "a ",
        "a/",
        "a/b",
        "a/b/",
        "aa",
        "ab",
        "aé",
        "b",
        "z",
        "~",
        "\u{7f}",
        "\u{80}",
        "É",
        "é",
        "é\u{1}",
        "éa",
        "éé",
        "ê",
        "ÿ",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ff61}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{1f600}",
        "\u{10fffe}",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
        "e\u{301}",
        "ß",
        "ss",
        "ı",
        "I",
        "i",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([long("a"), long("é"), long("\u{10ffff}"), format!("{}b", "a".repeat(254))])
    .collect()
}

async fn with_odd_keys(bed: &Bed) -> Result<Vec<Key>, Stop> {
    let mut sorted: Vec<_> = odd_keys().iter().map(|key| key_of(key)).collect::<Result<_, _>>()?;
    // Written in an order that is neither theirs nor its reverse.
    sorted.sort_by_key(|key| key.as_bytes().iter().map(|byte| u64::from(byte.reverse_bits())).sum::<u64>());
    bed.apply(sorted.iter().map(|key| put(key.as_str(), key.as_bytes())).collect()).await?;
    sorted.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(sorted)
}

async fn keys_are_ordered_by_their_bytes(bed: Bed) -> Result<(), Stop> {
    let sorted = with_odd_keys(&bed).await?;
    for reverse in [false, true] {
        for limit in [1, 4, 10_000] {
            let read = bed.entries(Scan { reverse, limit, ..Scan::of(KeyRange::all()) }).await?;
            let mut expected: Vec<_> = sorted.iter().map(Key::as_str).collect();
            if reverse {
                expected.reverse();
            }
            ensure_eq!(keys(&read), expected, "the keys, reverse: {reverse}, in pages of {limit}");
            ensure!(read.iter().all(|entry| entry.value.as_deref() == Some(entry.key.as_bytes())), "each value is its key's");
        }
    }
    Ok(())
}

async fn start_and_end_are_inclusive(bed: Bed) -> Result<(), Stop> {
    bed.apply(["a", "b", "b\u{1}", "c", "d"].map(|key| put(key, "x")).to_vec()).await?;
    for (start, end, expected) in [
        (Some("b"), Some("c"), vec!["b", "b\u{1}", "c"]),
        (Some("b"), Some("b"), vec!["b"]),
        (Some("bb"), Some("bz"), vec![]),
        (None, Some("b"), vec!["a", "b"]),
        (Some("c"), None, vec!["c", "d"]),
        (Some("e"), None, vec![]),
        (None, Some("A"), vec![]),
    ] {
        let ends = (start.map(key_of).transpose()?, end.map(key_of).transpose()?);
        let read = bed.entries(Scan::of(KeyRange::new(ends.0, ends.1, None)?)).await?;
        ensure_eq!(keys(&read), expected, "from {start:?} to {end:?}");
    }
    Ok(())
}

/// Starts, ends and prefixes that lie before, in, at the edges of and after each other.
const MARKS: [&str; 10] = ["A", "a", "a/", "aa", "b", "é", "é\u{1}", "\u{ffff}", "\u{10ffff}", "\u{10ffff}\u{10ffff}"];

fn marks() -> impl Iterator<Item = Option<&'static str>> + Clone {
    std::iter::once(None).chain(MARKS.into_iter().map(Some))
}

async fn start_end_and_prefix_restrict_together(bed: Bed) -> Result<(), Stop> {
    let sorted = with_odd_keys(&bed).await?;
    for start in marks() {
        for end in marks() {
            for prefix in marks() {
                let ends = (start.map(key_of).transpose()?, end.map(key_of).transpose()?);
                let Ok(range) = KeyRange::new(ends.0, ends.1, prefix) else { continue };
                let expected: Vec<_> = sorted.iter().filter(|key| in_range(key, start, end, prefix)).map(Key::as_str).collect();
                both_ways(&bed, range, &expected, &format!("start {start:?}, end {end:?}, prefix {prefix:?}")).await?;
            }
        }
    }
    Ok(())
}

/// The clause itself, on bytes.
fn in_range(key: &Key, start: Option<&str>, end: Option<&str>, prefix: Option<&str>) -> bool {
    let bytes = key.as_bytes();
    start.is_none_or(|start| bytes >= start.as_bytes())
        && end.is_none_or(|end| bytes <= end.as_bytes())
        && prefix.is_none_or(|prefix| bytes.starts_with(prefix.as_bytes()))
}

async fn both_ways(bed: &Bed, range: KeyRange, expected: &[&str], what: &str) -> Result<(), Stop> {
    let forward = Scan { projection: Projection::Header, ..Scan::of(range) };
    ensure_eq!(keys(&bed.entries(forward.clone()).await?), expected, "{what}");
    let backward = bed.entries(Scan { reverse: true, ..forward }).await?;
    let turned: Vec<_> = backward.into_iter().rev().collect::<Vec<Entry>>();
    ensure_eq!(keys(&turned), expected, "{what}, reverse");
    Ok(())
}

async fn a_cursor_may_lie_anywhere(bed: Bed) -> Result<(), Stop> {
    let sorted = with_odd_keys(&bed).await?;
    let range = KeyRange::new(Some(key_of("a")?), Some(key_of("é")?), None)?;
    // Before the range, in it on a key and between keys, at its ends, and after it.
    for after in ["\u{1}", "A", "Zz", "a", "a/a", "aa", "q", "z", "é", "é\u{1}", "ê", "\u{10ffff}"] {
        for reverse in [false, true] {
            let after = key_of(after)?;
            let scan = Scan { reverse, after: Some(after.clone()), limit: 3, ..Scan::of(range.clone()) };
            let mut expected: Vec<_> = sorted
                .iter()
                .filter(|key| in_range(key, Some("a"), Some("é"), None))
                .filter(|key| if reverse { **key < after } else { **key > after })
                .map(Key::as_str)
                .collect();
            if reverse {
                expected.reverse();
            }
            ensure_eq!(keys(&bed.entries(scan).await?), expected, "after {after:?}, reverse: {reverse}");
        }
    }
    Ok(())
}

async fn prefixes_of_the_last_characters_end(bed: Bed) -> Result<(), Stop> {
    let sorted = with_odd_keys(&bed).await?;
    let long = "\u{10ffff}".repeat(KEY_CHARS_MAX);
    for prefix in ["\u{7f}", "\u{7ff}", "\u{d7ff}", "\u{ffff}", "\u{10ffff}", "\u{10ffff}\u{10ffff}", &long, "é", "éé", "nothing"] {
        let expected: Vec<_> = sorted.iter().map(Key::as_str).filter(|key| key.starts_with(prefix)).collect();
        both_ways(&bed, KeyRange::prefix(prefix), &expected, &format!("prefix {:?}...", prefix.chars().next())).await?;
    }
    both_ways(&bed, KeyRange::prefix(""), &sorted.iter().map(Key::as_str).collect::<Vec<_>>(), "an empty prefix").await
}

//! A range's bounds in bytes agree with what it holds, for any keys, ends and prefix.

use kvstore_types::{Key, KeyRange};
use proptest::prelude::*;

/// Short texts over characters whose encodings touch: ends of each encoded length, and neighbours.
fn text() -> impl Strategy<Value = String> {
    let character = prop::sample::select(
        &['\u{1}', 'a', 'b', '\u{7f}', '\u{80}', 'é', '\u{7ff}', '\u{800}', '\u{ffff}', '\u{10000}', '\u{10ffff}'][..],
    );
    prop::collection::vec(character, 1..4).prop_map(|characters| characters.into_iter().collect())
}

fn key() -> impl Strategy<Value = Key> {
    text().prop_map(|text| Key::new(&text).expect("a valid key"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_exactly_the_keys_of_the_range(
        start in prop::option::of(key()), end in prop::option::of(key()), prefix in prop::option::of(text()), key in key(),
    ) {
        let Ok(range) = KeyRange::new(start.clone(), end.clone(), prefix.as_deref()) else {
            prop_assert!(start > end, "only ends the wrong way round are refused");
            return Ok(());
        };
        let within = start.is_none_or(|start| key >= start)
            && end.is_none_or(|end| key <= end)
            && prefix.is_none_or(|prefix| key.as_str().starts_with(&prefix));
        prop_assert_eq!(range.contains(&key), within);
        let bounded = key.as_bytes() >= range.lower() && range.upper().is_none_or(|upper| key.as_bytes() < &upper[..]);
        prop_assert_eq!(bounded, within, "the bounds of {:?}", range);
    }
}

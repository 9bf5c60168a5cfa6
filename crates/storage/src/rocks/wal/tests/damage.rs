//! Flipped, zeroed and missing bytes.

use super::image::Image;

const MASKS: [u8; 6] = [0x01, 0x04, 0x08, 0x40, 0x80, 0xff];

/// Small records, and a chain of fragments second to last.
fn mixed() -> Image {
    Image::new(&[20, 300, 40, 9_000, 60, 70_000, 80], &[])
}

/// All in one block: only the search byte by byte finds what follows.
fn small() -> Image {
    Image::new(&[20, 30, 300, 40, 50], &[])
}

/// The last record is a chain of four fragments.
fn long_tail() -> Image {
    Image::new(&[20, 300, 40, 100_000], &[])
}

/// Flips `mask` into the byte at `at` of the log, which belongs to record `n`, and asserts that nothing is lost in silence.
fn flip(image: &Image, n: usize, at: usize, mask: u8) {
    let last = image.places.len() - 1;
    let case = image.damaged(n, |log| log[at] ^= mask);
    let what = format!("record {n}, byte {at}, mask {mask:#04x}");
    if n < last {
        case.assert_refused(image, n, &what);
    } else if case.result.is_err() {
        // The last record may be refused too: its later fragments can be valid.
        case.assert_refused(image, n, &what);
    } else {
        case.assert_cut(image, n, &what);
    }
}

fn start(image: &Image, n: usize) -> usize {
    usize::try_from(image.places[n].1).unwrap()
}

#[test]
fn an_undamaged_log_passes_whole() {
    for image in [mixed(), long_tail()] {
        let count = image.places.len();
        let case = image.damaged(0, |_| {});
        let checked = case.result.as_ref().unwrap();
        assert!(checked.cut.is_none(), "{checked:?}");
        assert_eq!(checked.records, count as u64);
        assert_eq!(checked.bytes, image.log(&image.places[0].0).len() as u64);
        case.assert_holds(&image, count, "undamaged");
    }
}

#[test]
fn every_header_byte_of_the_last_three_records_flipped() {
    for image in [small(), mixed(), long_tail()] {
        let count = image.places.len();
        for n in count - 3..count {
            for byte in 0..7 {
                for mask in MASKS {
                    flip(&image, n, start(&image, n) + byte, mask);
                }
            }
        }
    }
}

#[test]
fn a_flip_in_the_last_small_record_is_always_cut() {
    let image = mixed();
    let last = image.places.len() - 1;
    for byte in 0..image.log(&image.places[last].0).len() - start(&image, last) {
        let at = start(&image, last) + byte;
        image.damaged(last, |log| log[at] ^= 0x20).assert_cut(&image, last, &format!("byte {at}"));
    }
}

#[test]
fn headers_of_later_fragments_flipped() {
    let image = long_tail();
    let last = image.places.len() - 1;
    for block in 1..=3 {
        for byte in 0..7 {
            for mask in MASKS {
                flip(&image, last, block * 32_768 + byte, mask);
            }
        }
    }
}

#[test]
fn payload_bytes_flipped() {
    let image = mixed();
    for n in 0..image.places.len() {
        for byte in [7, 14, 15, 19, 25] {
            flip(&image, n, start(&image, n) + byte, 0x10);
        }
    }
}

#[test]
fn zeroed_headers() {
    for image in [small(), mixed(), long_tail()] {
        for n in 0..image.places.len() {
            let at = start(&image, n);
            let case = image.damaged(n, |log| log[at..at + 7].fill(0));
            if n + 1 < image.places.len() {
                case.assert_refused(&image, n, &format!("zeroed header of record {n}"));
            } else {
                case.assert_cut(&image, n, "zeroed last header");
            }
        }
    }
}

#[test]
fn a_page_of_zeros_inside_the_last_chain_is_cut_and_inside_an_earlier_one_refused() {
    let image = long_tail();
    image.damaged(3, |log| log[36_864..40_960].fill(0)).assert_cut(&image, 3, "page inside a middle fragment");
    image.damaged(3, |log| log[32_768..36_864].fill(0)).assert_cut(&image, 3, "page over a middle header");
    let image = mixed();
    image.damaged(5, |log| log[32_768..36_864].fill(0)).assert_refused(&image, 5, "page inside the chain before the last record");
}

#[test]
fn truncated_at_each_byte_of_the_last_record() {
    let image = mixed();
    let last = image.places.len() - 1;
    let (from, to) = (start(&image, last), image.log(&image.places[last].0).len());
    for length in from..to {
        let case = image.damaged(last, |log| log.truncate(length));
        let what = format!("cut to {length} of {from}..{to}");
        if length == from {
            assert!(case.result.as_ref().unwrap().cut.is_none(), "{what}: a whole record ends there");
            case.assert_holds(&image, last, &what);
        } else {
            case.assert_cut(&image, last, &what);
            assert!(case.result.as_ref().unwrap().cut.as_ref().unwrap().torn, "{what}: not told as torn");
        }
    }
}

#[test]
fn truncated_inside_a_chain() {
    let image = long_tail();
    let from = start(&image, 3);
    let end = image.log(&image.places[3].0).len();
    for length in [from + 3, from + 7, 32_767, 32_768, 32_771, 65_536, 65_543, 90_000, end - 1] {
        let case = image.damaged(3, |log| log.truncate(length));
        case.assert_cut(&image, 3, &format!("cut to {length}"));
        assert!(case.result.as_ref().unwrap().cut.as_ref().unwrap().torn, "cut to {length}: not told as torn");
    }
}

#[test]
fn damage_in_a_log_with_a_successor_is_refused() {
    let image = Image::new(&[20, 30, 5_000, 40, 50], &[3]);
    assert_ne!(image.places[2].0, image.places[3].0, "the records are in two files");
    let end = image.log(&image.places[2].0).len();
    for n in 0..3 {
        for byte in 0..7 {
            for mask in MASKS {
                flip(&image, n, start(&image, n) + byte, mask);
            }
        }
    }
    for length in start(&image, 2) + 1..start(&image, 2) + 30 {
        image.damaged(2, |log| log.truncate(length)).assert_refused(&image, 2, &format!("first file cut to {length}"));
    }
    image.damaged(2, |log| log.truncate(end - 1)).assert_refused(&image, 2, "first file less a byte");
    flip(&image, 4, start(&image, 4) + 2, 0x10);
}

/// A sector of garbage or zeros over many records, at every place: refused, or cut where it begins if nothing valid follows.
#[test]
fn a_bad_sector_anywhere_leaves_a_prefix_or_a_refusal() {
    let (mut cuts, mut refusals) = (0, 0);
    for image in [small(), mixed(), long_tail()] {
        let length = image.log(&image.places[0].0).len();
        for (at, garbage) in (0..length).step_by(512).flat_map(|at| [(at, true), (at, false)]).step_by(if length > 10_000 { 5 } else { 1 })
        {
            let case = image.damaged(0, |log| {
                let end = (at + 512).min(log.len());
                log[at..end].iter_mut().enumerate().for_each(|(n, byte)| *byte = if garbage { byte.wrapping_add(n as u8 | 1) } else { 0 });
            });
            let hit = image.places.iter().rposition(|(_, start)| *start <= at as u64).unwrap();
            let what = format!("sector at {at} of {length}, garbage: {garbage}");
            if case.result.is_ok() {
                case.assert_cut(&image, hit, &what);
                cuts += 1;
            } else {
                case.assert_refused(&image, hit, &what);
                refusals += 1;
            }
        }
    }
    assert!(cuts > 10 && refusals > 10, "{cuts} cuts and {refusals} refusals");
}

//! Tests of the data model's public face: stored forms, byte for byte and at random, and ranges against their definition.

mod formats;
mod ranges;

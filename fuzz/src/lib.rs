//! The rooms of values, compiled once more, so that they alone are instrumented: what the network
//! sends is decoded in them. `base` and `proto` here are links to the rooms themselves.

#![allow(dead_code, unused_imports)]

pub mod base;
pub mod proto;

use proto::Wire;

/// What holds of every decoder: a prefix of a value is not yet a value, what comes behind it is not
/// part of it, and no input breaks it.
pub fn decodes<W: Wire>(input: &[u8]) {
    let Ok(Some((_, taken))) = W::decode(input) else { return };
    assert!(taken <= input.len(), "took {taken} of {}", input.len());
    let whole = &input[..taken];
    assert!(matches!(W::decode(whole), Ok(Some((_, n))) if n == taken), "depends on what follows");
    for end in 0..taken {
        assert!(matches!(W::decode(&whole[..end]), Ok(None)), "{end} of {taken} bytes are enough");
    }
}

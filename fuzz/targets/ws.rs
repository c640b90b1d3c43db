//! Frames from a hostile peer, whole and in pieces.

#![no_main]

use adit_fuzz::proto::ws::{Decoder, Role};

/// The payload, the pings and the end of what comes in pieces of `size` bytes.
fn decoded(role: Role, input: &[u8], size: usize) -> (Vec<u8>, Vec<Vec<u8>>, String) {
    let mut decoder = Decoder::new(role);
    let (mut payload, mut pings) = (Vec::new(), Vec::new());
    for piece in input.chunks(size.max(1)) {
        let mut piece = piece.to_vec();
        let range = decoder.decode(&mut piece);
        payload.extend_from_slice(&piece[range]);
        pings.extend(decoder.take_ping());
    }
    (payload, pings, format!("{:?}", decoder.end()))
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, frames)) = input.split_first() else { return };
    let role = if first & 1 == 0 { Role::Server } else { Role::Client };
    let (payload, pings, end) = decoded(role, frames, frames.len());
    assert!(payload.len() <= frames.len());
    let (in_pieces, all_pings, end_of_pieces) = decoded(role, frames, usize::from(first >> 1) + 1);
    assert_eq!(payload, in_pieces, "payload depends on how bytes come in");
    assert_eq!(end, end_of_pieces, "the end depends on how bytes come in");
    // Of pings that come together only the last is kept.
    assert!(pings.iter().all(|ping| all_pings.contains(ping)), "a ping was lost");
});

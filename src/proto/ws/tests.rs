use proptest::prelude::*;

use super::*;

const KEY: [u8; 4] = [1, 2, 3, 4];

/// Decodes pieces one after the other and puts the payload together.
fn decoded<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let range = decoder.decode(&mut piece);
        payload.extend_from_slice(&piece[range]);
    }
    payload
}

fn frame(header: FrameHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header.encode().as_slice().to_vec();
    let mut body = payload.to_vec();
    if let Some(key) = header.key {
        mask(&mut body, key);
    }
    bytes.extend(body);
    bytes
}

fn data(opcode: Opcode, fin: bool, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    frame(FrameHeader { fin, opcode, key, len: payload.len() as u64 }, payload)
}

/// The bytes that gorilla/websocket, GOST's library, puts before payloads.
const VECTORS: &[(&[u8], FrameHeader)] = {
    const fn of(fin: bool, opcode: Opcode, key: Option<[u8; 4]>, len: u64) -> FrameHeader {
        FrameHeader { fin, opcode, key, len }
    }
    &[
        (&[0x02, 0xfe, 0x10, 0x00, 1, 2, 3, 4], of(false, Opcode::Binary, Some(KEY), 4096)),
        (&[0x80, 0xfe, 0x03, 0x88, 1, 2, 3, 4], of(true, Opcode::Continuation, Some(KEY), 904)),
        (&[0x82, 0x7e, 0x13, 0x88], of(true, Opcode::Binary, None, 5000)),
        (&[0x89, 0x80, 1, 2, 3, 4], of(true, Opcode::Ping, Some(KEY), 0)),
        (&[0x8a, 0x00], of(true, Opcode::Pong, None, 0)),
        (&[0x81, 0x7d], of(true, Opcode::Text, None, 125)),
        (&[0x82, 0x7e, 0, 126], of(true, Opcode::Binary, None, 126)),
        (&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], of(true, Opcode::Binary, None, 65536)),
        (
            &[0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4],
            of(true, Opcode::Binary, Some(KEY), u64::MAX >> 1),
        ),
    ]
};

#[test]
fn headers_are_gost_s_bytes_both_ways() {
    for (bytes, header) in VECTORS {
        assert_eq!(header.encode().as_slice(), *bytes);
        let mut with_tail = bytes.to_vec();
        with_tail.extend([9; 20]);
        assert_eq!(FrameHeader::decode(&with_tail), Ok(Some((*header, bytes.len()))));
    }
}

#[test]
fn every_prefix_of_a_header_wants_more() {
    for (bytes, _) in VECTORS {
        for n in 0..bytes.len() {
            assert_eq!(FrameHeader::decode(&bytes[..n]), Ok(None), "{bytes:x?} cut at {n}");
        }
    }
}

#[test]
fn breaches_of_the_header_are_refused() {
    for (bytes, error) in [
        (&[0xc2, 0x00][..], WsError::ReservedBits),
        (&[0x83, 0x00], WsError::Opcode(3)),
        (&[0x8f, 0x00], WsError::Opcode(15)),
        (&[0x09, 0x00], WsError::Control),
        (&[0x88, 0x7e], WsError::Control),
        (&[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], WsError::Length),
    ] {
        assert_eq!(FrameHeader::decode(bytes), Err(error), "{bytes:x?}");
    }
}

#[test]
fn breaches_of_the_order_end_the_decoder() {
    let ping_unmasked = control_frame(Opcode::Ping, b"", None);
    for (bytes, error) in [
        (data(Opcode::Binary, true, b"x", None), WsError::Mask),
        (ping_unmasked, WsError::Mask),
        (data(Opcode::Continuation, true, b"x", Some(KEY)), WsError::Fragment),
        (
            [data(Opcode::Text, false, b"", Some(KEY)), data(Opcode::Binary, true, b"", Some(KEY))]
                .concat(),
            WsError::Fragment,
        ),
        (control_frame(Opcode::Close, &[3], Some(KEY)), WsError::Close),
        (control_frame(Opcode::Close, &1005u16.to_be_bytes(), Some(KEY)), WsError::Close),
        (control_frame(Opcode::Close, &[3, 0xe8, 0xff], Some(KEY)), WsError::Close),
    ] {
        let mut decoder = Decoder::new(Role::Server);
        decoded(&mut decoder, [&bytes[..]]);
        assert_eq!(decoder.end(), Some(End::Failed(error)), "{bytes:x?}");
    }
    let mut decoder = Decoder::new(Role::Client);
    decoded(&mut decoder, [&data(Opcode::Binary, true, b"x", Some(KEY))[..]]);
    assert_eq!(decoder.end(), Some(End::Failed(WsError::Mask)));
}

/// A conversation with everything in it, and the payload that a tunnel sees.
fn conversation(key: Option<[u8; 4]>) -> (Vec<u8>, Vec<u8>) {
    let long: Vec<u8> = (0..70_000u32).map(|i| i as u8).collect();
    let bytes = [
        data(Opcode::Binary, true, b"one", key),
        data(Opcode::Binary, true, b"", key),
        data(Opcode::Text, false, b"t", key),
        control_frame(Opcode::Ping, b"are you there", key),
        data(Opcode::Continuation, false, b"", key),
        control_frame(Opcode::Pong, b"", key),
        data(Opcode::Continuation, true, b"wo", key),
        data(Opcode::Binary, true, &long, key),
    ];
    (bytes.concat(), [b"one", b"two", &long[..]].concat())
}

#[test]
fn payload_comes_out_however_the_bytes_come_in() {
    for (role, key) in [(Role::Server, Some(KEY)), (Role::Client, None)] {
        let (bytes, payload) = conversation(key);
        for size in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut decoder = Decoder::new(role);
            assert_eq!(decoded(&mut decoder, bytes.chunks(size)), payload, "pieces of {size}");
            assert_eq!(decoder.take_ping().as_deref(), Some(&b"are you there"[..]));
            assert_eq!(decoder.take_ping(), None);
            assert_eq!(decoder.end(), None);
            assert!(!decoder.mid_frame());
        }
    }
}

#[test]
fn payload_of_a_frame_that_announces_exabytes_streams() {
    let header = FrameHeader { fin: true, opcode: Opcode::Binary, key: None, len: u64::MAX >> 1 };
    let mut decoder = Decoder::new(Role::Client);
    assert_eq!(decoded(&mut decoder, [header.encode().as_slice(), b"abc"]), b"abc");
    assert!(decoder.mid_frame());
}

#[test]
fn only_the_latest_ping_is_kept() {
    let bytes: Vec<u8> = (0..100u8).flat_map(|i| control_frame(Opcode::Ping, &[i], None)).collect();
    let mut decoder = Decoder::new(Role::Client);
    assert!(decoded(&mut decoder, [&bytes[..]]).is_empty());
    assert_eq!(decoder.take_ping(), Some(vec![99]));
}

#[test]
fn data_before_a_close_is_kept_and_data_after_it_is_not() {
    let bytes = [
        data(Opcode::Binary, true, b"last", None),
        close_frame(Some(4000), "bye", None),
        data(Opcode::Binary, true, b"late", None),
    ]
    .concat();
    let mut decoder = Decoder::new(Role::Client);
    assert_eq!(decoded(&mut decoder, [&bytes[..]]), b"last");
    assert_eq!(decoder.end(), Some(End::Closed(Some(4000))));
    let mut decoder = Decoder::new(Role::Client);
    decoded(&mut decoder, [&close_frame(None, "", None)[..]]);
    assert_eq!(decoder.end(), Some(End::Closed(None)));
}

proptest! {
    #[test]
    fn masking_twice_is_nothing(mut bytes in prop::collection::vec(any::<u8>(), 0..100), key: [u8; 4]) {
        let plain = bytes.clone();
        mask(&mut bytes, key);
        for (i, (masked, plain)) in bytes.iter().zip(&plain).enumerate() {
            prop_assert_eq!(*masked, plain ^ key[i % 4]);
        }
        mask(&mut bytes, key);
        prop_assert_eq!(bytes, plain);
    }

    #[test]
    fn no_bytes_panic_and_pieces_do_not_matter(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cut in 0usize..300,
    ) {
        let cut = cut.min(bytes.len());
        for role in [Role::Client, Role::Server] {
            let (mut whole, mut pieces) = (Decoder::new(role), Decoder::new(role));
            let payload = decoded(&mut whole, [&bytes[..]]);
            prop_assert_eq!(payload, decoded(&mut pieces, [&bytes[..cut], &bytes[cut..]]));
            prop_assert_eq!(whole.end(), pieces.end());
        }
    }
}

#![no_main]

use adit_fuzz::decodes;
use adit_fuzz::proto::{Wire, relay, socks4, socks5};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    decodes::<socks4::Request>(input);
    decodes::<socks4::Reply>(input);
    decodes::<socks5::Greeting>(input);
    decodes::<socks5::Choice>(input);
    decodes::<socks5::Login>(input);
    decodes::<socks5::LoginReply>(input);
    decodes::<socks5::Request>(input);
    decodes::<socks5::Reply>(input);
    decodes::<socks5::FrameHeader>(input);
    decodes::<socks5::PacketHeader>(input);
    decodes::<relay::Request>(input);
    decodes::<relay::Response>(input);
    // What is known of a datagram before it is decoded is what it turns out to be.
    if let Ok(Some((header, taken))) = socks5::FrameHeader::decode(input) {
        let span = socks5::FrameHeader::span(input);
        assert_eq!(span, Ok(Some((taken, usize::from(header.length)))));
    }
    if let Ok(Some((_, taken))) = socks5::PacketHeader::decode(input) {
        assert_eq!(socks5::PacketHeader::span(input), Some(taken));
    }
    if let Some(span) = socks5::PacketHeader::span(input) {
        assert!(span <= input.len());
    }
});

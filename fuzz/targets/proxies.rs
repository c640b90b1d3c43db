#![no_main]

use adit_fuzz::decodes;
use adit_fuzz::proto::{relay, socks4, socks5};

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
});

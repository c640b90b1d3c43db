//! What holds of every message: its golden bytes, every prefix, what follows it.

use std::fmt::Debug;

use proptest::prelude::*;

use super::address::{Address, MAX_ADDRESS};
use super::relay::{self, UserAuth};
use super::{Wire, socks4, socks5};
use crate::base::{Host, Network, Secret};

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Decodes to the value, whole and with more behind it; no prefix is enough.
fn golden<W: Wire + PartialEq + Debug>(hex: &str, value: &W) {
    let wire = bytes(hex);
    for end in 0..wire.len() {
        assert!(matches!(W::decode(&wire[..end]), Ok(None)), "{end} bytes of {hex}");
    }
    for behind in [&b""[..], b"\x05payload"] {
        let (decoded, length) = W::decode(&[&wire[..], behind].concat()).unwrap().unwrap();
        assert_eq!((&decoded, length), (value, wire.len()), "{hex}");
    }
}

fn address(text: &str) -> Address {
    let (host, port) = text.rsplit_once(':').unwrap();
    let host = (!host.is_empty()).then(|| host.parse().unwrap());
    Address { host, port: port.parse().unwrap() }
}

#[test]
fn socks5_is_that_of_gost() {
    let greeting = socks5::Greeting(vec![0, 0x80]);
    golden("05 02 00 80", &greeting);
    assert_eq!(greeting.encode(), bytes("05 02 00 80"));
    golden("05 04 00 02 80 82", &socks5::Greeting(vec![0, 2, 0x80, 0x82]));
    golden("05 ff", &socks5::Choice(socks5::method::NO_ACCEPTABLE));
    let login = socks5::Login { username: "u".into(), password: Secret::new("pw".to_string()) };
    golden("01 01 75 02 70 77", &login);
    assert_eq!(login.encode(), bytes("01 01 75 02 70 77"));
    golden("01 00", &socks5::LoginReply(true));
    golden("01 01", &socks5::LoginReply(false));
    for (hex, text) in [
        ("05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 00 50", "example.com:80"),
        ("05 01 00 01 08 08 04 04 01 bb", "8.8.4.4:443"),
        ("05 01 00 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 50", "[::1]:80"),
        ("05 01 00 03 00 00 50", ":80"),
    ] {
        let request = socks5::Request { command: socks5::command::CONNECT, address: address(text) };
        golden(hex, &request);
        assert_eq!(request.encode(), bytes(hex), "{text}");
    }
    let frame = socks5::FrameHeader { length: 5, address: address("example.com:53") };
    golden("00 05 ff 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 00 35", &frame);
    assert_eq!(frame.encode(), bytes("00 05 ff 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 00 35"));
    let packet = socks5::PacketHeader { fragment: 0, address: address("8.8.8.8:53") };
    golden("00 00 00 01 08 08 08 08 00 35", &packet);
    assert_eq!(packet.encode(), bytes("00 00 00 01 08 08 08 08 00 35"));
    let granted = socks5::Reply::new(socks5::reply::OK);
    golden("05 00 00 01 00 00 00 00 00 00", &granted);
    assert_eq!(granted.encode(), bytes("05 00 00 01 00 00 00 00 00 00"));
}

#[test]
fn socks4_is_that_of_gost() {
    let request = |target: &str, user: &str| socks4::Request {
        command: socks4::CONNECT,
        target: target.parse().unwrap(),
        user: user.into(),
    };
    for (hex, value) in [
        (
            "04 01 00 50 00 00 00 01 75 00 65 78 61 6d 70 6c 65 2e 63 6f 6d 00",
            request("example.com:80", "u"),
        ),
        ("04 01 01 bb 08 08 04 04 00", request("8.8.4.4:443", "")),
    ] {
        golden(hex, &value);
        assert_eq!(value.encode(), bytes(hex));
    }
    golden("00 5a 00 00 00 00 00 00", &socks4::Reply(socks4::reply::OK));
    assert_eq!(socks4::Reply(91).encode(), *bytes("00 5b 00 00 00 00 00 00"));
}

#[test]
fn relay_is_that_of_gost() {
    let request = |command, network, auth: Option<(&str, &str)>, addr: &str| relay::Request {
        command,
        network,
        auth: auth.map(|(username, password)| UserAuth {
            username: username.into(),
            password: Secret::new(password.to_string()),
        }),
        address: Some(address(addr)),
    };
    let (connect, bind) = (relay::command::CONNECT, relay::command::BIND);
    for (hex, value) in [
        (
            "01 01 00 12 02 00 0f 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 00 50",
            request(connect, Network::Tcp, None, "example.com:80"),
        ),
        (
            "01 01 00 19 01 00 04 01 75 01 70 02 00 0f 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 00 50",
            request(connect, Network::Tcp, Some(("u", "p")), "example.com:80"),
        ),
        (
            "01 81 00 0f 04 00 02 00 01 02 00 07 01 08 08 08 08 00 35",
            request(connect, Network::Udp, None, "8.8.8.8:53"),
        ),
        (
            "01 02 00 0f 04 00 02 00 00 02 00 07 01 7f 00 00 01 08 ae",
            request(bind, Network::Tcp, None, "127.0.0.1:2222"),
        ),
        (
            "01 02 00 0c 04 00 02 00 00 02 00 04 03 00 08 ae",
            request(bind, Network::Tcp, None, ":2222"),
        ),
        (
            "01 82 00 0f 04 00 02 00 01 02 00 07 01 00 00 00 00 00 00",
            request(bind, Network::Udp, None, "0.0.0.0:0"),
        ),
    ] {
        golden(hex, &value);
        assert_eq!(value.encode(), bytes(hex));
    }
    golden(
        "01 02 00 19 04 00 02 00 00 02 00 11 03 0d 30 2e 30 2e 30 2e 30 3a 3a 32 32 32 32 00 00",
        &request(bind, Network::Tcp, None, ":2222"),
    );
    for (hex, status, addr) in [
        ("01 00 00 00", 0, None),
        ("01 02 00 00", 2, None),
        ("01 07 00 00", 7, None),
        ("01 00 00 0a 02 00 07 01 7f 00 00 01 08 ae", 0, Some("127.0.0.1:2222")),
    ] {
        let value = relay::Response { status, address: addr.map(address) };
        golden(hex, &value);
        assert_eq!(value.encode(), bytes(hex));
    }
}

#[test]
fn a_feature_that_is_not_known_is_passed_over() {
    let hex = "01 01 00 14 09 00 04 00 00 00 00 02 00 0a 03 06 61 2e 74 65 73 74 00 50";
    let (request, _) = relay::Request::decode(&bytes(hex)).unwrap().unwrap();
    assert_eq!(request.address, Some(address("a.test:80")));
}

#[test]
fn of_several_addresses_of_a_response_the_first_is_the_peer_s() {
    let hex = "01 00 00 14 02 00 07 01 c0 00 02 07 10 92 02 00 07 01 7f 00 00 01 08 ae";
    let (response, _) = relay::Response::decode(&bytes(hex)).unwrap().unwrap();
    assert_eq!(response.address, Some(address("192.0.2.7:4242")));
}

#[test]
fn what_no_further_byte_can_mend_is_an_error() {
    for hex in ["04", "47 45 54"] {
        assert!(socks5::Greeting::decode(&bytes(hex)).is_err(), "{hex}");
    }
    assert!(socks5::Greeting::decode(&bytes("05 00")).is_err());
    assert!(socks5::Request::decode(&bytes("05 01 00 02")).is_err());
    assert!(socks5::Request::decode(&bytes("05 01 00 03 02 0a 20 00 50")).is_err());
    assert!(socks4::Request::decode(&bytes("05")).is_err());
    assert!(
        socks4::Request::decode(&[&bytes("04 01 00 50 01 02 03 04")[..], &[b'u'; 256]].concat())
            .is_err()
    );
    assert!(socks4::Request::decode(&bytes("04 01 00 00 01 02 03 04 00")).is_err());
    assert!(relay::Request::decode(&bytes("02")).is_err());
    assert!(relay::Request::decode(&bytes("01 01 00 02 02 00")).is_err());
    assert!(relay::Request::decode(&bytes("01 01 00 04 02 00 02 01")).is_err());
    assert!(relay::Request::decode(&bytes("01 01 00 05 04 00 02 00 00 00")).is_ok());
}

#[test]
fn a_name_with_a_port_in_it_is_a_bind_of_newer_gost_and_nothing_else() {
    let of = |port: &str| format!("01 01 00 0f 02 00 0c 03 08 30 2e 30 2e 30 2e 30 3a {port}");
    // "0.0.0.0:" and port 80: no name is like that.
    assert!(relay::Request::decode(&bytes(&of("00 50"))).is_err());
    let hex = "01 02 00 11 02 00 0e 03 0a 30 2e 30 2e 30 2e 30 3a 3a 31 00 50";
    assert!(relay::Request::decode(&bytes(hex)).is_err());
    let hex = "01 02 00 11 02 00 0e 03 0a 30 2e 30 2e 30 2e 30 3a 3a 31 00 00";
    let (request, _) = relay::Request::decode(&bytes(hex)).unwrap().unwrap();
    assert_eq!(request.address, Some(address(":1")));
}

#[test]
fn passwords_do_not_print() {
    let login = socks5::Login { username: "u".into(), password: Secret::new("hunter2".into()) };
    let auth = UserAuth { username: "u".into(), password: Secret::new("hunter2".into()) };
    assert!(!format!("{login:?} {auth:?}").contains("hunter2"));
}

fn any_address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![
        Just(None),
        any::<std::net::IpAddr>().prop_map(|ip| Some(Host::Ip(ip))),
        "[a-z][a-z0-9-]{0,30}(\\.[a-z][a-z0-9-]{0,30}){0,6}\\.?"
            .prop_map(|name| Some(Host::Name(name))),
    ];
    (host, any::<u16>()).prop_map(|(host, port)| Address { host, port })
}

fn again<W: Wire + PartialEq + Debug>(value: &W, wire: &[u8]) {
    let (decoded, length) = W::decode(wire).unwrap().unwrap();
    assert_eq!((&decoded, length), (value, wire.len()));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        address in any_address(), code: u8, length: u16, udp: bool, bind: bool,
        username in ".{0,63}", password in ".{0,63}",
    ) {
        let request = socks5::Request { command: code, address: address.clone() };
        again(&request, &request.encode());
        let answer = socks5::Reply { code, address: address.clone() };
        prop_assert!(answer.encode().len() <= 3 + MAX_ADDRESS);
        again(&answer, &answer.encode());
        let frame = socks5::FrameHeader { length, address: address.clone() };
        again(&frame, &frame.encode());
        let span = Ok(Some((frame.encode().len(), usize::from(length))));
        prop_assert_eq!(socks5::FrameHeader::span(&frame.encode()), span);
        let packet = socks5::PacketHeader { fragment: code, address: address.clone() };
        again(&packet, &packet.encode());
        let (mut wire, whole) = (packet.encode(), packet.encode().len());
        prop_assert_eq!(socks5::PacketHeader::span(&wire), Some(whole));
        prop_assert_eq!(socks5::PacketHeader::span(&wire[..whole - 1]), None);
        socks5::FrameHeader::of_packet(&mut wire, length);
        prop_assert_eq!(&wire, &frame.encode());
        socks5::FrameHeader::to_packet(&mut wire);
        again(&socks5::PacketHeader { fragment: 0, address: address.clone() }, &wire);
        let password = Secret::new(password);
        let login = socks5::Login { username: username.clone(), password: password.clone() };
        again(&login, &login.encode());
        let request = relay::Request {
            command: if bind { relay::command::BIND } else { relay::command::CONNECT },
            network: if udp { Network::Udp } else { Network::Tcp },
            auth: Some(UserAuth { username: username.clone(), password }),
            address: Some(address.clone()),
        };
        again(&request, &request.encode());
        let response = relay::Response { status: code, address: Some(address.clone()) };
        again(&response, &response.encode());
        let user = username.replace('\0', "");
        if let (Some(target @ crate::base::Target { host: Some(_), .. }), true) =
            (address.target(), user.len() <= 255)
        {
            let request = socks4::Request { command: code, target, user };
            // An address from 0.0.0.1 to 0.0.0.255 cannot be said in SOCKS4.
            let sayable = !matches!(&request.target.host,
                Some(Host::Ip(std::net::IpAddr::V4(ip))) if ip.octets()[..3] == [0; 3]);
            if sayable {
                again(&request, &request.encode());
            }
        }
    }
}

use std::net::Ipv4Addr;

use super::*;

fn guard() -> Guard {
    Guard::controller(GuardConfig {
        allow: vec!["127.9.0.0/16".parse().unwrap()],
        deny: vec!["10.96.0.1/32".parse().unwrap()],
        own: vec!["10.1.2.3".parse().unwrap()],
    })
}

fn verdict(ip: &str) -> Result<(), Denied> {
    guard().check(&Origin::Files, Network::Tcp, ip.parse().unwrap(), 80)
}

#[test]
fn addresses_of_the_place_are_denied_in_every_clothing() {
    for (ip, denied) in [
        ("127.0.0.1", Denied::Loopback),
        ("::1", Denied::Loopback),
        ("::ffff:127.0.0.1", Denied::Loopback),
        ("64:ff9b::7f00:1", Denied::Loopback),
        ("64:ff9b:1::7f00:1", Denied::Loopback),
        ("::ffff:0:127.0.0.1", Denied::Loopback),
        ("2002:7f00:1::", Denied::Loopback),
        ("::127.0.0.1", Denied::Loopback),
        ("0.0.0.0", Denied::Unspecified),
        ("0.1.2.3", Denied::Unspecified),
        ("::", Denied::Unspecified),
        ("169.254.1.1", Denied::LinkLocal),
        ("fe80::1", Denied::LinkLocal),
        ("169.254.169.254", Denied::Metadata),
        ("::ffff:169.254.169.254", Denied::Metadata),
        ("fd00:ec2::254", Denied::Metadata),
        ("100.100.100.200", Denied::Metadata),
        ("168.63.129.16", Denied::Metadata),
        ("192.0.0.192", Denied::Metadata),
        ("fd20:ce::254", Denied::Metadata),
        ("fd00:ec2::23", Denied::Metadata),
        ("fd00:ec2::123", Denied::Metadata),
        ("fd00:c1::a9fe:a9fe", Denied::Metadata),
        ("fd00:42::42", Denied::Metadata),
        ("64:ff9b:1::192.0.0.192", Denied::Metadata),
        // NAT64 by prefixes of 48, 56 and 64 bits (RFC 6052 2.2).
        ("64:ff9b:1:a9fe:a9:fe00::", Denied::Metadata),
        ("64:ff9b:1:a9fe:a9:fe00:0:1", Denied::Metadata),
        ("64:ff9b:1:a9:fe:a9fe::", Denied::Metadata),
        ("64:ff9b:1::a9:fea9:fe00:0", Denied::Metadata),
        ("64:ff9b:1:abcd::169.254.169.254", Denied::Metadata),
        // Teredo's client and server, ISATAP.
        ("2001:0:808:808:0:0:5601:5601", Denied::Metadata),
        ("2001:0:a9fe:a9fe:0:0:f7f7:f7f7", Denied::Metadata),
        ("2001:db8::5efe:169.254.169.254", Denied::Metadata),
        ("2001:db8::200:5efe:127.0.0.1", Denied::Loopback),
        ("224.0.0.1", Denied::Multicast),
        ("ff02::1", Denied::Multicast),
        ("255.255.255.255", Denied::Broadcast),
        ("10.1.2.3", Denied::Own),
        ("::ffff:10.1.2.3", Denied::Own),
        ("10.96.0.1", Denied::Listed),
        ("::ffff:10.96.0.1", Denied::Listed),
    ] {
        assert_eq!(verdict(ip), Err(denied), "{ip}");
    }
}

#[test]
fn the_cluster_and_the_world_are_allowed() {
    for ip in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "8.8.8.8", "2001:db8::1", "fd12::1"] {
        assert_eq!(verdict(ip), Ok(()), "{ip}");
    }
    // Addresses with another one in them are not denied for that.
    for ip in
        ["64:ff9b:1::8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:db8::5efe:8.8.8.8"]
    {
        assert_eq!(verdict(ip), Ok(()), "{ip}");
    }
}

#[test]
fn the_allow_list_lifts_a_denial() {
    assert_eq!(verdict("127.9.0.1"), Ok(()));
}

#[test]
fn a_loopback_port_is_open_to_the_origin_that_listens_there_only() {
    let guard = guard();
    let (mine, other) = (Origin::tunnel("ns", "a"), Origin::tunnel("ns", "b"));
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    guard.local_ports().replace([(mine.clone(), Network::Tcp, 1080)].into());
    assert_eq!(guard.check(&mine, Network::Tcp, ip, 1080), Ok(()));
    assert_eq!(guard.check(&mine, Network::Udp, ip, 1080), Err(Denied::Loopback));
    assert_eq!(guard.check(&mine, Network::Tcp, ip, 1081), Err(Denied::Loopback));
    assert_eq!(guard.check(&other, Network::Tcp, ip, 1080), Err(Denied::Loopback));
    guard.local_ports().replace(HashSet::new());
    assert_eq!(guard.check(&mine, Network::Tcp, ip, 1080), Err(Denied::Loopback));
}

#[test]
fn a_class_denies_besides_and_allows_no_more() {
    let guard = guard();
    let (mine, other) = (Origin::tunnel("ns", "a"), Origin::tunnel("ns", "b"));
    let egress = crate::config::model::Egress {
        deny: vec!["8.8.0.0/16".parse().unwrap()],
        allow: ["10.5.0.0/16", "8.8.8.8/32", "127.0.0.0/8", "10.96.0.0/16"]
            .map(|net| net.parse().unwrap())
            .into(),
        deny_private: true,
    };
    let terms = Terms { egress, ..Terms::default() };
    guard.classes().replace([(mine.clone(), Arc::new(terms))].into());
    let verdict = |origin: &Origin, ip: &str| {
        guard.check(origin, Network::Tcp, ip.parse().unwrap(), 80).err()
    };
    for (ip, denied) in [
        ("8.8.4.4", Some(Denied::Class)),
        ("::ffff:8.8.4.4", Some(Denied::Class)),
        ("8.8.8.8", None),
        ("9.9.9.9", None),
        ("10.0.0.1", Some(Denied::Private)),
        ("::ffff:10.0.0.1", Some(Denied::Private)),
        ("100.64.0.1", Some(Denied::Private)),
        ("fd12::1", Some(Denied::Private)),
        ("10.5.0.1", None),
        // What nobody may, a class cannot give.
        ("127.0.0.1", Some(Denied::Loopback)),
        ("10.96.0.1", Some(Denied::Listed)),
    ] {
        assert_eq!(verdict(&mine, ip), denied, "{ip}");
    }
    assert_eq!(verdict(&other, "8.8.4.4"), None);
    guard.classes().replace(HashMap::new());
    assert_eq!(verdict(&mine, "8.8.4.4"), None);
}

#[test]
fn what_is_found_out_later_is_denied_too() {
    let guard = guard();
    let of = |ip: &str| guard.check(&Origin::Files, Network::Udp, ip.parse().unwrap(), 80);
    assert_eq!(of("10.7.0.1"), Ok(()));
    let ip = |text: &str| text.parse().unwrap();
    guard.surroundings().replace(
        vec![ip("10.7.0.1"), ip("fd00::7")],
        vec![ip("172.18.0.2")],
        vec![ip("10.96.0.66")],
    );
    assert_eq!(of("10.7.0.1"), Err(Denied::Own));
    assert_eq!(of("::ffff:10.7.0.1"), Err(Denied::Own));
    assert_eq!(of("fd00::7"), Err(Denied::Own));
    assert_eq!(of("172.18.0.2"), Err(Denied::Listed));
    assert_eq!(of("10.96.0.66"), Err(Denied::Service));
}

#[test]
fn without_a_guard_everything_is_allowed() {
    assert_eq!(
        Guard::off().check(&Origin::Files, Network::Tcp, "127.0.0.1".parse().unwrap(), 1),
        Ok(())
    );
}

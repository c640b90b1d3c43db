//! To a `WsTunnel` and back.

use super::*;
use crate::config::gost_page::{COMMANDS, examples};
use proptest::prelude::*;

#[test]
fn every_example_of_the_page_means_the_same_as_a_tunnel_and_back() {
    let mut configs: Vec<raw::Config> = examples().map(|text| config(&text)).collect();
    let commands = COMMANDS.iter().map(|(listen, forward)| {
        let flags = |flag: &str, texts: &str| {
            texts.split_whitespace().map(|text| format!("{flag} {text} ")).collect::<String>()
        };
        line(&(flags("-L", listen) + &flags("-F", forward)))
    });
    configs.extend(commands);
    assert_eq!(configs.len(), 24 + 13);
    for config in configs {
        let (documents, said) = as_tunnel(&config, &WANTED);
        assert_eq!(meant_by_tunnel(&documents), at_port(meant(&config)));
        let any_port = config.services.iter().any(|s| s.addr == ":");
        assert_eq!(said.iter().filter(|l| l.contains("any port")).count(), usize::from(any_port));
        assert_eq!(said.len(), usize::from(any_port), "{said:?}");
        let (back, said) = and_back(&documents);
        assert_eq!(said, Vec::<String>::new());
        assert_eq!(meant(&back), at_port(meant(&config)));
    }
}

const RICH: &str = "
services:
- name: in
  addr: ':8443'
  admissions: [office, lab]
  bypass: inner
  resolver: dns
  hosts: names
  limiter: bytes
  climiter: many
  rlimiter: often
  handler:
    type: socks5
    chain: up
    auther: users
    retries: 2
    metadata: {readTimeout: 5s, udp: true}
  listener:
    type: mws
    metadata: {path: /t, mux: {version: 2}, header: {X-A: b}, trustedProxies: [10.0.0.0/8], pingInterval: 5s}
  metadata: {dialTimeout: 3, proxyProtocol: 1}
- name: out
  addr: ':9000'
  handler: {type: tcp, metadata: {idleTimeout: 1m}}
  listener: {type: tcp}
  forwarder:
    selector: {strategy: fifo, maxFails: 2, failTimeout: 5s}
    nodes:
    - {name: a, addr: 'db:5432', metadata: {weight: 2, backup: true}}
    - {name: b, addr: 'db-1:5432', bypasses: [inner]}
- {name: own, addr: ':9001', handler: {type: http, auth: {username: u, password: p}}}
chains:
- name: up
  hops:
  - name: named
  - name: last
    bypass: inner
    selector: {strategy: hash, maxFails: 3, failTimeout: 1m}
    nodes:
    - addr: gw:443
      connector: {type: relay, auth: {username: u, password: 'p: #1'}, metadata: {nodelay: true}}
      dialer: {type: mwss, tls: {secure: true, serverName: gw.example}, metadata: {keepalive: true, ttl: 5s}}
hops: [{name: named, nodes: [{addr: 'one:1', connector: {type: socks5}, dialer: {type: ws}}]}]
authers:
- name: users
  auths: [{username: u, password: '0123'}, {username: 'a@b', password: 'true'}, {username: v, password: \"x'y\"}]
admissions:
- {name: office, whitelist: true, matchers: [10.0.0.0/8]}
- {name: lab, reverse: true, matchers: ['10.1.0.0/16', '::1']}
bypasses: [{name: inner, network: tcp, matchers: ['*.corp', '10.0.0.1-10.0.0.9', '.local:80-90']}]
resolvers: [{name: dns, nameservers: [{addr: 'tcp://1.1.1.1', only: ipv6, ttl: -1s, timeout: 2s}]}]
hosts: [{name: names, mappings: [{ip: 10.0.0.9, hostname: db.corp, aliases: [db2.corp, .db.corp]}]}]
limiters: [{name: bytes, limits: ['$ 1MB 2MB', '$$ 1KB', '10.0.0.0/8 5MB']}]
climiters: [{name: many, limits: ['$$ 5']}]
rlimiters: [{name: often, limits: ['$ 2.5']}]
";

#[test]
fn everything_that_a_file_can_say_means_the_same_as_a_tunnel_and_back() {
    let config = config(RICH);
    let (documents, said) = as_tunnel(&config, &WANTED);
    assert_eq!(said, Vec::<String>::new());
    assert_eq!(meant_by_tunnel(&documents), meant(&config));
    let (back, said) = and_back(&documents);
    assert_eq!(meant(&back), meant(&config));
    let expected = ["trustedProxies", "pingInterval"];
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().zip(expected).all(|(line, key)| line.contains(key)), "{said:?}");
    let metadata = &back.services[0].listener.as_ref().unwrap().metadata;
    assert!(metadata.contains_key("mux.version"), "gost finds no nested keys: {metadata:?}");
    assert_eq!(back.hosts[0].mappings.len(), 3, "gost reads no aliases");
}

#[test]
fn no_password_is_in_the_tunnel_and_those_that_are_sent_may_leave() {
    let (documents, _) = as_tunnel(&config(RICH), &WANTED);
    let text = serde_yaml::to_string(&documents.tunnels[0].spec).unwrap();
    assert!(!text.contains("password"), "{text}");
    let (objects, _) =
        tunnel(raw::TunnelSpec { config: config(RICH), ..raw::TunnelSpec::default() }, &WANTED);
    let secrets = objects.unwrap().secrets;
    let secrets: Vec<_> = secrets.iter().map(|s| serde_json::to_value(s).unwrap()).collect();
    let named = |name: &str| secrets.iter().find(|s| s["metadata"]["name"] == name).unwrap();
    assert_eq!(secrets.len(), 4, "{secrets:#?}");
    assert_eq!(named("edge-users")["type"], "Opaque");
    assert_eq!(named("edge-users")["metadata"]["labels"]["adit.dev/usage"], "auther");
    assert_eq!(named("edge-users")["stringData"]["u"], "0123");
    assert_eq!(named("edge-users-a-b")["stringData"]["username"], "a@b");
    assert_eq!(named("edge-up-auth")["type"], "kubernetes.io/basic-auth");
    assert_eq!(named("edge-up-auth")["metadata"]["labels"]["adit.dev/share"], "true");
    let own = named("edge-own-auth");
    assert_eq!(
        (&own["metadata"]["namespace"], &own["metadata"]["labels"]),
        (&serde_json::json!("team-a"), &serde_json::Value::Null,)
    );
    let inline = Wanted { inline: true, ..WANTED };
    let (documents, _) = as_tunnel(&config(RICH), &inline);
    assert_eq!(documents.secrets, Secrets::default());
    assert_eq!(meant_by_tunnel(&documents), meant(&config(RICH)));
}

#[test]
fn equal_credentials_of_one_use_are_one_secret() {
    let config = line("-L http://u:p@:1 -L socks5://u:p@:2 -F relay+wss://u:p@h:1,i:1");
    let (documents, _) = as_tunnel(&config, &WANTED);
    let names: Vec<&str> = documents.secrets.0.keys().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["edge-chain-0-auth", "edge-service-0-auth"]);
}

#[test]
fn a_cluster_has_no_hosts_no_remote_ports_and_no_bind() {
    let text = "
services:
- {name: Web, addr: '127.0.0.1:8080', handler: {type: http}, listener: {type: ws}}
- {name: any, addr: ':0', handler: {type: http}, listener: {type: tcp}}
- {name: remote, addr: ':80', handler: {type: rtcp}, listener: {type: rtcp, chain: c}, forwarder: {nodes: [{addr: 'h:1'}]}}
- {addr: 'localhost:1080', handler: {type: socks5, metadata: {bind: true}}, metadata: {bind: true}}
- {name: fwd, addr: ':81', handler: {type: rtcp}, listener: {type: ws}, forwarder: {nodes: [{addr: 'h:1'}]}}
chains: [{name: c, hops: [{nodes: [{addr: 'h:1', connector: {type: relay}}]}]}]
";
    let (documents, said) = as_tunnel(&config(text), &WANTED);
    let services = &documents.tunnels[0].spec.config.services;
    let shown: Vec<_> = services.iter().map(|s| (s.name.as_str(), s.addr.as_str())).collect();
    assert_eq!(shown, [("web", ":8080"), ("service-3", ":1080"), ("fwd", ":81")]);
    assert_eq!(services[1].metadata, raw::Metadata::new());
    assert_eq!(services[2].handler.as_ref().unwrap().kind, "forward");
    let starts = [
        "services[0].name: ",
        "services[1].addr: left out",
        "services[2].listener.type: left out",
        "services[0].addr: \"127.0.0.1:8080\" is \":8080\" now, for whoever",
        "services[3].addr: \"localhost:1080\" is \":1080\" now",
        "services[3].handler.metadata.bind: dropped",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    for (line, start) in said.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    let nothing = raw::TunnelSpec {
        config: config("services: [{name: a, addr: ':', handler: {type: http}}]"),
        ..raw::TunnelSpec::default()
    };
    assert_eq!(tunnel(nothing, &WANTED).0, None);
}

#[test]
fn files_become_references_to_secrets_and_the_commands_that_make_them() {
    let text = "
services:
- name: in
  addr: ':8443'
  handler: {type: http, auther: users}
  listener: {type: wss, tls: {certFile: /etc/it's.pem, keyFile: k.pem, caFile: ca.pem}}
- {name: two, addr: ':8444', listener: {type: wss, tls: {certFile: /etc/it's.pem, keyFile: k.pem}}}
chains:
- name: up
  hops:
  - nodes:
    - addr: h:1
      connector: {type: relay, auth: {file: user.txt}}
      dialer: {type: wss, tls: {caFile: ca.pem, certFile: c.pem, keyFile: c.key}}
authers: [{name: users, file: {path: users.txt}, reload: 5s}]
";
    let (documents, said) = as_tunnel(&config(text), &WANTED);
    let services = &documents.tunnels[0].spec.config.services;
    let tls = |i: usize| services[i].listener.as_ref().unwrap().tls.as_ref().unwrap();
    assert_eq!(tls(0).secret_ref.as_ref().unwrap().name, "edge-in-tls");
    assert_eq!(tls(0).client_ca_ref.as_ref().unwrap().name, "edge-in-ca");
    assert_eq!(tls(1).secret_ref, tls(0).secret_ref);
    for (start, part) in [
        (
            "services[0].listener.tls.certFile: ",
            r"kubectl create secret tls edge-in-tls --cert='/etc/it'\''s.pem' --key=k.pem -n team-a",
        ),
        (
            "services[0].listener.tls.caFile: ",
            "kubectl create secret generic edge-in-ca --from-file=ca.crt=ca.pem -n team-a && \
             kubectl label secret edge-in-ca adit.dev/usage=ca -n team-a",
        ),
        ("chains[0].hops[0].nodes[0].connector.auth.file: ", "adit.dev/share=true"),
        ("chains[0].hops[0].nodes[0].dialer.tls.certFile: ", "secret tls edge-up-tls"),
        ("authers[0].file.path: ", "adit.dev/usage=auther"),
    ] {
        let found = said.iter().any(|line| line.starts_with(start) && line.contains(part));
        assert!(found, "{start}{part}\n{said:#?}");
    }
    assert!(!serde_yaml::to_string(&documents.tunnels[0].spec).unwrap().contains("file"));
}

#[test]
fn what_a_file_says_for_all_listeners_is_said_at_each() {
    let text = "
tls: {certFile: c, keyFile: k, caFile: ca, options: {minVersion: VersionTLS13}}
services:
- {name: a, addr: ':1', listener: {type: wss}}
- {name: b, addr: ':2', listener: {type: ws}}
- {name: c, addr: ':3', listener: {type: tls, tls: {options: {alpn: [x]}}}}
";
    let (documents, _) = as_tunnel(&config(text), &WANTED);
    let config = &documents.tunnels[0].spec.config;
    assert_eq!(config.tls, None);
    let tls = |i: usize| config.services[i].listener.as_ref().unwrap().tls.clone();
    let first = tls(0).unwrap();
    assert_eq!(first.options.as_ref().unwrap().min_version, "VersionTLS13");
    assert!(first.secret_ref.is_some() && first.client_ca_ref.is_some());
    assert_eq!(tls(1), None);
    let third = tls(2).unwrap();
    assert_eq!(third.secret_ref, first.secret_ref);
    assert_eq!(third.options.unwrap().min_version, "");
    let mut bare = super::config("services: [{name: a, addr: ':1', listener: {type: wss}}]");
    name_default_certificate(&mut bare);
    let tls = bare.services[0].listener.as_ref().unwrap().tls.as_ref().unwrap();
    assert_eq!((tls.cert_file.as_str(), tls.key_file.as_str()), ("cert.pem", "key.pem"));
}

#[test]
fn copies_and_what_is_left_over_of_a_command_line_are_gone() {
    let config = line(
        "-L http+ws://:8080?path=/x&keepalive=true&idleTimeout=1m -F wss://u:p@h:1?path=/y&x=1",
    );
    let (documents, said) = as_tunnel(&config, &WANTED);
    assert_eq!(said, Vec::<String>::new());
    let service = &documents.tunnels[0].spec.config.services[0];
    let keys = |map: &raw::Metadata| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&service.listener.as_ref().unwrap().metadata), ["keepalive", "path"]);
    assert_eq!(keys(&service.handler.as_ref().unwrap().metadata), ["idleTimeout", "keepalive"]);
    assert_eq!(keys(&service.metadata), Vec::<String>::new());
    let hop = &documents.tunnels[0].spec.config.chains[0].hops[0];
    let node = &hop.nodes.as_ref().unwrap()[0];
    assert_eq!(keys(&node.dialer.as_ref().unwrap().metadata), ["path", "x"]);
    assert_eq!(keys(&hop.metadata), Vec::<String>::new());
    assert_eq!(meant_by_tunnel(&documents), meant(&config));

    let printed = "
services: [{name: a, addr: ':1', handler: {type: http, chain: c}, metadata: {admission: x, Retries: 1}}]
chains: [{name: c, hops: [{metadata: {auth: dTpodW50ZXIy}, nodes: [{addr: 'h:1'}]}]}]
";
    let (documents, said) = as_tunnel(&super::config(printed), &WANTED);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(!format!("{documents:?}").contains("dTpodW50ZXIy"));
}

#[test]
fn secrets_that_are_not_among_the_documents_become_files() {
    let text = "
apiVersion: adit.dev/v1alpha1
kind: WsTunnel
metadata: {name: t, namespace: ns}
spec:
  className: x
  suspend: true
  drain: {timeout: 5s}
  services:
  - name: in
    addr: ':8443'
    hostnames: [a.example]
    handler: {type: http, auth: {secretRef: {name: one}}}
    listener: {type: wss, tls: {secretRef: {name: cert}, clientCARef: {name: ca}}}
  - {name: two, addr: ':1', handler: {type: http, auther: in}}
  chains:
  - name: c
    hops: [{nodes: [{addr: 'h:1', connector: {auth: {secretRef: {name: three}}}, dialer: {type: wss, tls: {caRef: {name: ca, key: x}}}}]}]
  authers: [{name: in, secretRef: {name: two}}]
";
    let documents = read(text).unwrap();
    let (back, said) = and_back(&documents);
    let handler = |i: usize| back.services[i].handler.clone().unwrap();
    assert_eq!((handler(0).auther.as_str(), handler(0).auth), ("in-2", None));
    assert_eq!(handler(1).auther, "in");
    let paths: Vec<_> = back.authers.iter().map(|a| a.file.clone().unwrap().path).collect();
    assert_eq!(paths, ["two.users", "one.users"]);
    let tls = back.services[0].listener.as_ref().unwrap().tls.clone().unwrap();
    assert_eq!(
        (tls.cert_file, tls.key_file, tls.ca_file),
        ("cert.crt".into(), "cert.key".into(), "ca.ca.crt".into())
    );
    let node = &back.chains[0].hops[0].nodes.as_ref().unwrap()[0];
    assert_eq!(node.connector.as_ref().unwrap().auth.as_ref().unwrap().file, "three.users");
    for part in [
        "className: dropped",
        "suspend: dropped",
        "drain: dropped",
        "services[0].hostnames: dropped",
        r#"kubectl get secret cert -n ns -o go-template='{{index .data "tls.key" | base64decode}}' > cert.key"#,
        r#"{{index .data "x" | base64decode}}"#,
        "authers[0].secretRef: Secret \"two\" is not among the documents",
    ] {
        assert!(said.iter().any(|line| line.contains(part)), "{part}\n{said:#?}");
    }
    let missing = text.replace("secretRef: {name: two}", "auths: [{secretRef: {name: two}}]");
    let documents = read(&missing).unwrap();
    let error = gost(&documents.tunnels[0], &documents.secrets).unwrap_err().to_string();
    assert!(error.starts_with("authers[0].auths[0].secretRef: "), "{error}");
}

#[test]
fn tunnels_of_one_file_keep_their_names_apart() {
    let one = config(RICH);
    let mut all = one.clone();
    let said = join(&mut all, one.clone(), "b");
    assert_eq!(said.len(), 3 + 3 + 1 + 1 + 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1);
    let twice: Vec<_> = [meant(&one), meant(&one)].concat();
    assert_eq!(said.iter().filter(|d| d.message.starts_with("gost binds")).count(), 3);
    let lowered = meant(&{
        let mut all = all.clone();
        for service in all.services.iter_mut().skip(3) {
            service.addr.insert(1, '1');
        }
        all
    });
    assert_eq!(lowered.len(), twice.len());
    assert_eq!(all.services[3].handler.as_ref().unwrap().chain, "b-up");
}

proptest! {
    #[test]
    fn a_password_survives_every_form(
        user in "[ -9;-~ä]{1,12}",
        password in "[ -~ä€]{1,20}",
        name in "[ -~]{1,20}",
    ) {
        let mut config = line("-L http://u:p@:1 -F relay+wss://u:p@h:1");
        config.services[0].name = name;
        let auth = raw::Auth { username: user, password: Some(password), ..raw::Auth::default() };
        config.authers.push(raw::Auther {
            name: "a".into(),
            auths: vec![auth.clone()],
            ..raw::Auther::default()
        });
        let handler = config.services[0].handler.as_mut().unwrap();
        (handler.auth, handler.auther) = (None, "a".into());
        let node = &mut config.chains[0].hops[0].nodes.as_mut().unwrap()[0];
        node.connector.as_mut().unwrap().auth = Some(auth);
        let (documents, _) = as_tunnel(&config, &WANTED);
        prop_assert_eq!(meant_by_tunnel(&documents), meant(&config));
        let (back, _) = and_back(&documents);
        prop_assert_eq!(meant(&back), meant(&config));
        let text = serde_yaml::to_string(&back).unwrap();
        prop_assert_eq!(meant(&read(&text).unwrap().gost), meant(&config));
        let (_, services, _) = as_commands(&back);
        prop_assert_eq!(services, meant(&config));
    }
}

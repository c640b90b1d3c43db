use std::sync::LazyLock;

use super::*;
use crate::config::model::{Pem, ServerTls, TlsVersion};

/// A certificate, its key, and one of a CA.
static PEMS: LazyLock<[String; 3]> = LazyLock::new(|| {
    let signed = |params: rcgen::CertificateParams| {
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = signed(rcgen::CertificateParams::default());
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    [certificate, key, signed(authority).0]
});

fn cert() -> &'static str {
    &PEMS[0]
}

fn key() -> &'static str {
    &PEMS[1]
}

fn cert_2() -> &'static str {
    &PEMS[2]
}

fn held() -> [(&'static str, &'static str); 5] {
    [("c", cert()), ("k", key()), ("ca", cert_2()), ("empty", ""), ("text", "-----BEGIN CERT")]
}

fn listener(kind: &str, tls: &str) -> String {
    format!(
        "services: [{{name: a, addr: '127.0.0.1:1', listener: {{type: {kind}, tls: {tls}}}}}]\n"
    )
}

fn dialer(addr: &str, dialer: &str) -> String {
    format!(
        "services: [{{name: a, addr: '127.0.0.1:1', handler: {{chain: c}}}}]\n\
         chains: [{{name: c, hops: [{{nodes: [{{addr: '{addr}', dialer: {dialer}}}]}}]}}]\n"
    )
}

fn server(text: &str, contents: &[(&str, &str)]) -> (ServerTls, Vec<String>) {
    let lowered = with_files(text, contents).unwrap_or_else(|e| panic!("{text}{e}"));
    let warnings = warnings(&lowered);
    ((**lowered.services[0].listener.tls().unwrap()).clone(), warnings)
}

fn client(text: &str) -> (crate::config::model::ClientTls, Vec<String>) {
    let lowered = with_files(text, &held()).unwrap_or_else(|e| panic!("{text}{e}"));
    let warnings = warnings(&lowered);
    let tls = match &lowered.services[0].chain.hops[0].nodes[0].dialer {
        DialerConfig::Tcp { tls, .. } => tls.clone(),
        DialerConfig::Ws(ws) => ws.tls.clone(),
    };
    ((*tls.unwrap()).clone(), warnings)
}

fn text(pem: &Pem) -> &str {
    std::str::from_utf8(pem.expose()).unwrap()
}

#[test]
fn a_listener_shows_its_files_and_asks_by_its_options() {
    let options = "options: {minVersion: VersionTLS12, maxVersion: versiontls13, alpn: [http/1.1], \
                   cipherSuites: [TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305, \
                   TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]}";
    for kind in ["tls", "wss", "mwss"] {
        let tls = format!(
            "{{certFile: c, keyFile: k, caFile: ca, {options}, rejectUnknownSNI: true, \
             serverNames: [B.io, a.io]}}"
        );
        let (tls, warnings) = server(&listener(kind, &tls), &held());
        assert_eq!(warnings, Vec::<String>::new());
        let certificate = tls.certificate.as_ref().unwrap();
        assert_eq!((text(&certificate.chain), text(&certificate.key)), (cert(), key()));
        assert_eq!(text(tls.client_ca.as_ref().unwrap()), cert_2());
        let versions = (tls.min_version, tls.max_version);
        assert_eq!(versions, (Some(TlsVersion::Tls12), Some(TlsVersion::Tls13)));
        let suites = [
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ];
        assert_eq!(tls.cipher_suites, suites);
        assert_eq!(
            (tls.alpn, tls.server_names),
            (vec!["http/1.1".into()], vec!["a.io".into(), "b.io".into()])
        );
        assert!(tls.reject_unknown_sni);
    }
}

#[test]
fn without_a_certificate_it_is_the_files_then_gosts_default_then_self_signed() {
    let bare = listener("wss", "{}");
    let global = format!("{bare}tls: {{certFile: c, keyFile: k, caFile: ca}}");
    let (tls, warnings) = server(&global, &held());
    assert_eq!(text(&tls.certificate.unwrap().chain), cert());
    assert_eq!((text(tls.client_ca.as_ref().unwrap()), warnings.len()), (cert_2(), 0));
    let (tls, warnings) = server(&bare, &[("cert.pem", cert()), ("key.pem", key())]);
    assert_eq!((text(&tls.certificate.unwrap().chain), warnings.len()), (cert(), 0));
    let (tls, warnings) = server(&bare, &[("cert.pem", cert())]);
    assert_eq!(tls.certificate, None);
    assert!(warnings[0].contains("self-signed"), "{warnings:?}");
    let own = format!(
        "{}tls: {{certFile: c, keyFile: k, caFile: ca}}",
        listener("wss", "{certFile: c, keyFile: k}")
    );
    let (tls, _) = server(&own, &held());
    assert_eq!((text(&tls.certificate.unwrap().chain), tls.client_ca), (cert(), None));
}

#[test]
fn secrets_are_as_good_as_files() {
    let secrets = format!(
        "---\n{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, stringData: \
         {{tls.crt: {:?}, tls.key: {:?}}}}}\n---\n{{apiVersion: v1, kind: Secret, \
         metadata: {{name: cas}}, stringData: {{ca.crt: {:?}, other: {:?}}}}}\n",
        cert(),
        key(),
        cert_2(),
        cert()
    );
    let tls = "{secretRef: {name: s}, clientCARef: {name: cas}}";
    let (tls, warnings) = server(&format!("{}{secrets}", listener("mwss", tls)), &[]);
    assert_eq!((text(&tls.certificate.unwrap().key), warnings.len()), (key(), 0));
    assert_eq!(text(&tls.client_ca.unwrap()), cert_2());
    let tls =
        "{type: wss, tls: {secure: true, secretRef: {name: s}, caRef: {name: cas, key: other}}}";
    let (tls, warnings) = client(&format!("{}{secrets}", dialer("h:1", tls)));
    assert_eq!((text(&tls.certificate.unwrap().key), warnings.len()), (key(), 0));
    assert_eq!(text(&tls.ca.unwrap()), cert());
}

#[test]
fn the_name_of_a_server_is_written_or_its_address_or_its_host_header() {
    let name = |addr: &str, written: &str| client(&dialer(addr, written)).0.server_name;
    for (addr, written, expected) in [
        ("H.io:1", "{type: wss}", Some("h.io")),
        ("10.0.0.1:1", "{type: wss}", Some("10.0.0.1")),
        ("h.io:1", "{type: tls, tls: {serverName: X.io}}", Some("x.io")),
        (":1", "{type: wss, metadata: {host: 'e.io:8443'}}", Some("e.io")),
        (":1", "{type: mwss, metadata: {header: {host: e.io}}}", Some("e.io")),
        ("h.io:1", "{type: wss, metadata: {host: e.io}}", Some("h.io")),
        (":1", "{type: wss}", None),
    ] {
        assert_eq!(name(addr, written).as_deref(), expected, "{addr} {written}");
    }
}

#[test]
fn a_server_that_nobody_verifies_is_a_warning() {
    for (tls, quiet) in [("{}", false), ("{secure: true}", true), ("{caFile: ca}", true)] {
        let (_, warnings) = client(&dialer("h:1", &format!("{{type: tls, tls: {tls}}}")));
        assert_eq!(warnings.is_empty(), quiet, "{tls}: {warnings:?}");
    }
}

#[test]
fn what_would_weaken_tls_is_an_error_with_its_field() {
    let at = "services[0].listener.tls";
    for (tls, path, word) in [
        ("{caFile: ca}", "", "listener without one"),
        ("{certFile: c}", ".keyFile", "go together"),
        ("{keyFile: k}", ".certFile", "go together"),
        ("{certFile: c, keyFile: k, caFile: k}", ".caFile", "\"k\" has no certificate"),
        ("{certFile: c, keyFile: c}", ".keyFile", "\"c\" has no private key"),
        ("{certFile: k, keyFile: k}", ".certFile", "\"k\" has no certificate"),
        ("{certFile: empty, keyFile: k}", ".certFile", "\"empty\" has no certificate"),
        ("{certFile: text, keyFile: k}", ".certFile", "\"text\" "),
        ("{certFile: gone, keyFile: k}", ".certFile", "cannot read \"gone\""),
        ("{secretRef: {name: s}}", ".secretRef", "does not exist"),
        ("{secretRef: {name: s}, certFile: c}", ".secretRef", "keep one form"),
        ("{certFile: c, keyFile: k, caRef: {name: s}}", ".caRef", "clientCARef"),
        ("{options: {minVersion: VersionTLS11}}", ".options.minVersion", "known: VersionTLS12"),
        ("{options: {maxVersion: TLS12}}", ".options.maxVersion", "known: VersionTLS12"),
        (
            "{options: {minVersion: VersionTLS13, maxVersion: VersionTLS12}}",
            ".options.minVersion",
            "above maxVersion",
        ),
        (
            "{options: {cipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA]}}",
            ".options.cipherSuites[0]",
            "known: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        ("{options: {alpn: [h2]}}", ".options.alpn[0]", "known: http/1.1"),
        ("{options: {alpn: ['']}}", ".options.alpn[0]", "1 to 255 bytes"),
    ] {
        let errors = errors(with_files(&listener("wss", tls), &held()));
        assert_eq!(errors.len(), 1, "{tls}: {errors:?}");
        let expected = format!("{at}{path}: ");
        assert!(errors[0].starts_with(&expected) && errors[0].contains(word), "{tls}: {errors:?}");
    }
}

/// Pairs that OpenSSL makes and TLS has no use for.
#[test]
fn a_pair_that_cannot_be_shown_is_told_by_what_it_is() {
    macro_rules! vector {
        ($name:literal) => {
            include_str!(concat!("../../../../tests/vectors/tls/", $name))
        };
    }
    let version_1 = [("c", vector!("version-1.crt")), ("k", vector!("version-1.key"))];
    let short = [("c", vector!("rsa-1024.crt")), ("k", vector!("rsa-1024.key"))];
    let pkcs8 = [("c", cert()), ("k", vector!("encrypted-pkcs8.key"))];
    let pkcs1 = [("c", cert()), ("k", vector!("encrypted-pkcs1.key"))];
    let other = [("c", cert()), ("k", vector!("version-1.key"))];
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (contents, field, words) in [
        (
            version_1,
            "certFile",
            "\"c\" has a certificate of X.509 version 1, which is not accepted: ",
        ),
        (
            short,
            "keyFile",
            "\"k\" has a private key that is not accepted: write RSA of 2048 to 8192",
        ),
        (pkcs8, "keyFile", "\"k\" has an encrypted private key: write it without a password"),
        (pkcs1, "keyFile", "\"k\" has an encrypted private key: write it without a password"),
        (other, "keyFile", "\"k\" has the private key of another certificate"),
        ([("c", broken), ("k", key())], "certFile", "\"c\" has a certificate that cannot be read"),
    ] {
        let text = listener("wss", "{certFile: c, keyFile: k}");
        let errors = errors(with_files(&text, &contents));
        let expected = format!("services[0].listener.tls.{field}: {words}");
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{errors:?}");
    }
}

#[test]
fn tls_on_a_plain_type_is_an_error() {
    for (kind, word) in [("ws", "wss"), ("mws", "mwss"), ("tcp", "type tls"), ("udp", "remove")] {
        let text = listener(kind, "{certFile: c, keyFile: k}").replace(
            "listener:",
            "handler: {type: tcp}, forwarder: {nodes: [{addr: 'h:1'}]}, listener:",
        );
        let errors = errors(with_files(&text, &held()));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("is plain") && errors[0].contains(word), "{errors:?}");
    }
    let text = dialer("h:1", "{type: ws, tls: {secure: true}}");
    assert!(errors(files(&text))[0].contains("dialer ws is plain; write type wss"));
    // GOST's command line writes the name beside every dialer.
    let text = dialer("h:1", "{type: tcp, tls: {serverName: h}}");
    assert_eq!(warnings(&files(&text).unwrap()).len(), 1);
    assert!(controller(&text).is_err());
}

#[test]
fn a_dialer_says_what_it_cannot_verify() {
    for (addr, dialer_, path, word) in [
        (":1", "{type: wss, tls: {secure: true}}", "serverName", "no host whose name"),
        ("h:1", "{type: wss, tls: {serverName: 'a b'}}", "serverName", "not a host name"),
        ("h:1", "{type: wss, tls: {clientCARef: {name: s}}}", "clientCARef", "caRef"),
        ("h:1", "{type: wss, tls: {certFile: c}}", "keyFile", "go together"),
        ("h:1", "{type: wss, tls: {caFile: k}}", "caFile", "has no certificate"),
    ] {
        let errors = errors(with_files(&dialer(addr, dialer_), &held()));
        let path = format!("chains[0].hops[0].nodes[0].dialer.tls.{path}: ");
        assert_eq!(errors.len(), 1, "{dialer_}: {errors:?}");
        assert!(errors[0].starts_with(&path) && errors[0].contains(word), "{errors:?}");
    }
}

#[test]
fn no_message_holds_a_key() {
    let contents = [("c", key()), ("k", "-----BEGIN PRIVATE KEY-----\nMIIBhunter2")];
    let text = listener("wss", "{certFile: c, keyFile: k}");
    let found = errors(with_files(&text, &contents)).join("\n");
    assert!(!found.contains("MII") && !found.contains("hunter2"), "{found}");
}

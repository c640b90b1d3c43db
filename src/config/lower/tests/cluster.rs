//! What a tenant may not do, because the controller would do it.

use super::*;

fn error(text: &str) -> String {
    let errors = errors(controller(text));
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    errors[0].clone()
}

fn service(rest: &str) -> String {
    format!("services: [{{name: a, addr: ':1', {rest}}}]\n")
}

#[test]
fn what_would_act_with_the_controllers_identity_is_refused() {
    let file = "a file would be read with the controller's rights, not with yours; write the \
                values, or refer to a Secret";
    let bind = "clients would open ports of the controller, with its identity; remove `bind`";
    let secret =
        |instead: &str| format!("a Secret is resolved from files only in this version; {instead}");
    let tls = "services[0].listener.tls";
    for (text, expected) in [
        (
            service("listener: {type: wss, tls: {secretRef: {name: s}}}"),
            format!(
                "{tls}.secretRef: {}",
                secret("run a sidecar, or leave it out: the certificate is then self-signed")
            ),
        ),
        (
            service("handler: {auth: {secretRef: {name: s}}}"),
            format!(
                "services[0].handler.auth.secretRef: {}",
                secret("write the user name and password, or run a sidecar")
            ),
        ),
        (service("handler: {auth: {file: u}}"), format!("services[0].handler.auth.file: {file}")),
        ("authers: [{name: a, file: {path: u}}]".into(), format!("authers[0].file.path: {file}")),
        ("bypasses: [{name: a, file: {path: u}}]".into(), format!("bypasses[0].file.path: {file}")),
        (
            service("handler: {type: socks5, metadata: {bind: true}}"),
            format!("services[0].handler.metadata.bind: {bind}"),
        ),
        (
            service("handler: {type: relay, metadata: {bind: true}}"),
            format!("services[0].handler.metadata.bind: {bind}"),
        ),
        (
            service(
                "handler: {type: forward}, listener: {type: rtcp}, forwarder: {nodes: [{addr: 'h:1'}]}",
            ),
            "services[0].listener.type: listener rtcp is not supported in a cluster: its ports \
             would have to be declared; supported there: ws, wss, mws, mwss, tcp, tls, udp"
                .into(),
        ),
        (
            service("handler: {type: rtcp}, forwarder: {nodes: [{addr: 'h:1'}]}"),
            "services[0].handler.type: handler rtcp is not supported in a cluster; write forward"
                .into(),
        ),
        (
            "resolvers: [{name: r, nameservers: [{addr: '127.0.0.1:53'}]}]".into(),
            "resolvers[0].nameservers[0].addr: 127.0.0.1:53 is the controller's own loopback \
             interface"
                .into(),
        ),
    ] {
        assert_eq!(error(&text), expected);
    }
    let files_of_tls = service("listener: {type: wss, tls: {certFile: c, keyFile: k}}");
    assert_eq!(errors(controller(&files_of_tls)).len(), 2);
}

#[test]
fn tenants_get_udp_over_tcp_and_no_ports() {
    let lowered = controller(&service("handler: {type: socks5, metadata: {udp: true}}")).unwrap();
    let HandlerConfig::Socks5(socks5) = &lowered.services[0].handler else { panic!() };
    assert!(socks5.udp && !socks5.udp_associate);
}

#[test]
fn a_loopback_port_of_a_tcp_listener_is_not_one_for_datagrams() {
    let text = |listener: &str| {
        format!(
            "services:\n\
             - {{name: p, addr: ':1080', handler: {{type: http}}, listener: {{type: tcp}}}}\n\
             - {{name: f, addr: ':9000', handler: {{type: forward}}, listener: {{type: {listener}}},\n\
             \x20  forwarder: {{nodes: [{{addr: 'h:1'}}, {{addr: ':1080'}}]}}}}"
        )
    };
    assert!(controller(&text("ws")).is_ok());
    let error = controller(&text("udp")).unwrap_err();
    assert_eq!(error.reason(), Reason::LoopbackTarget);
    assert_eq!(error.0[0].path, "services[1].forwarder.nodes[1].addr");
}

#[test]
fn a_tunnel_has_no_certificate_for_all() {
    let config = raw::Config { tls: Some(raw::Tls::default()), ..raw::Config::default() };
    let spec = raw::TunnelSpec { config, ..raw::TunnelSpec::default() };
    let secrets = Secrets::default();
    let context = LowerContext::files("a", &secrets);
    let errors = errors(lower_tunnel(&spec, &context));
    assert!(errors[0].starts_with("tls: "), "{errors:?}");
}

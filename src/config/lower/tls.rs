//! TLS of listeners and dialers.

mod class;
mod options;
mod pem;

use std::sync::Arc;

pub use class::{UnusableCertificate, usable};
use options::options;
use pem::{ca, certificate, checked_pair, names_ca, names_certificate};

use super::{LowerContext, Mode};
use crate::base::{Host, Reason, Target};
use crate::config::error::Findings;
use crate::config::files::{DEFAULT_CERTIFICATE, DEFAULT_KEY};
use crate::config::model::{ClientTls, Pem, ServerTls};
use crate::config::raw;
use crate::config::types;

/// `listener.tls`, and what the file's `tls` gives where it names no certificate.
///
/// `None` for a plain listener. GOST ignores `caFile` without a certificate, and with it the check of
/// the clients: here it is an error.
pub(super) fn server(
    listener: &raw::Listener,
    global: Option<&ServerTls>,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Arc<ServerTls>> {
    let written = listener.tls.as_ref();
    let path = format!("{path}.tls");
    if !types::is_tls(&listener.kind) {
        if written.is_some() {
            plain("listener", &listener.kind, &path, findings);
        }
        return None;
    }
    let mut tls =
        written.and_then(|tls| of_server(tls, &path, context, findings)).unwrap_or_default();
    if tls.certificate.is_none() {
        let given = global.cloned().or_else(|| default_certificate(context, findings));
        let global = given.unwrap_or_default();
        tls.certificate = global.certificate;
        tls.client_ca = tls.client_ca.or(global.client_ca);
        if written.is_none_or(|tls| tls.options.is_none()) {
            (tls.min_version, tls.max_version) = (global.min_version, global.max_version);
            (tls.cipher_suites, tls.alpn) = (global.cipher_suites, global.alpn);
        }
    }
    if tls.certificate.is_none() && names_certificate(written) {
        return None;
    }
    if tls.certificate.is_none() && context.class_certificate.is_some() {
        tls.default_certificate = Some(class::certificate(&path, context, findings)?);
        return Some(Arc::new(tls));
    }
    if tls.certificate.is_none() && names_ca(written) {
        let message = "clients would be asked for a certificate by a listener without one; add \
                       certFile and keyFile, or secretRef";
        findings.invalid(&path, message);
        return None;
    }
    if tls.certificate.is_none() {
        let message = match context.mode {
            Mode::Files => {
                "no certificate is given: a self-signed one is made at every start, which no \
                 client can verify; add tls.certFile and tls.keyFile, or tls.secretRef"
            }
            Mode::Controller => {
                "no certificate is given: a self-signed one is made at every start, which no \
                 client can verify, unless another service on its hostnames has one; add \
                 tls.secretRef"
            }
        };
        findings.warn(&path, Reason::Accepted, message);
    }
    Some(Arc::new(tls))
}

/// The file's `tls`.
pub(super) fn global(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<ServerTls> {
    let tls = of_server(config.tls.as_ref()?, "tls", context, findings)?;
    if tls.certificate.is_none() {
        if names_ca(config.tls.as_ref()) {
            findings
                .invalid("tls", "a CA of clients needs a certificate; add certFile and keyFile");
        }
        let default = default_certificate(context, findings);
        return Some(ServerTls { certificate: default.and_then(|d| d.certificate), ..tls });
    }
    Some(tls)
}

/// GOST's `cert.pem` and `key.pem` of the working directory, if both are there.
fn default_certificate(context: &LowerContext, findings: &mut Findings) -> Option<ServerTls> {
    let files = &context.files.0;
    let (chain, key) = (files.get(DEFAULT_CERTIFICATE)?, files.get(DEFAULT_KEY)?);
    let mut read = |file: &str, bytes: &Result<Pem, String>| {
        let report = |e: &String| findings.invalid("", format!("cannot read {file}: {e}"));
        bytes.as_ref().map_err(report).ok().cloned()
    };
    let pair = (read(DEFAULT_CERTIFICATE, chain), read(DEFAULT_KEY, key));
    let (chain, key) = (pair.0?, pair.1?);
    let certificate =
        checked_pair(chain, (DEFAULT_CERTIFICATE, ""), key, (DEFAULT_KEY, ""), findings)?;
    Some(ServerTls { certificate: Some(certificate), ..ServerTls::default() })
}

fn of_server(
    tls: &raw::Tls,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<ServerTls> {
    if tls.ca_ref.is_some() {
        let message = "on a listener, the CAs of its clients are clientCARef";
        findings.invalid(&format!("{path}.caRef"), message);
    }
    for (key, given) in [("secure", tls.secure), ("serverName", !tls.server_name.is_empty())] {
        if given {
            let message = "means nothing on a listener, which verifies clients by caFile";
            findings.warn(&format!("{path}.{key}"), Reason::Accepted, message);
        }
    }
    if !tls.reject_unknown_sni && !tls.server_names.is_empty() {
        let message = "has no effect without `rejectUnknownSNI: true`";
        findings.warn(&format!("{path}.serverNames"), Reason::Accepted, message);
    }
    let options = options(tls.options.as_ref(), path, findings);
    let certificate = certificate(tls, path, false, context, findings);
    let client_ca = ca(tls, "clientCARef", tls.client_ca_ref.as_ref(), path, context, findings);
    let options = options?;
    let mut server_names: Vec<_> =
        tls.server_names.iter().map(|name| name.to_ascii_lowercase()).collect();
    server_names.sort();
    server_names.dedup();
    Some(ServerTls {
        certificate,
        default_certificate: None,
        client_ca,
        min_version: options.min_version,
        max_version: options.max_version,
        cipher_suites: options.cipher_suites,
        alpn: options.alpn,
        reject_unknown_sni: tls.reject_unknown_sni,
        server_names,
    })
}

/// `dialer.tls`; `addr` is the node's, `host` the Host header that is written for it.
pub(super) fn client(
    dialer: &raw::Dialer,
    addr: Option<&Target>,
    host: Option<&str>,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Arc<ClientTls>> {
    let path = format!("{path}.tls");
    if !types::is_tls(&dialer.kind) {
        let Some(tls) = &dialer.tls else { return None };
        let name_only = raw::Tls { server_name: tls.server_name.clone(), ..raw::Tls::default() };
        if *tls == name_only && context.mode == Mode::Files {
            let message = "the dialer is plain and the server's name is not used (GOST writes it)";
            findings.warn(&path, Reason::Accepted, message);
        } else {
            plain("dialer", &dialer.kind, &path, findings);
        }
        return None;
    }
    let none = raw::Tls::default();
    let tls = dialer.tls.as_ref().unwrap_or(&none);
    for (key, given) in [
        ("rejectUnknownSNI", tls.reject_unknown_sni),
        ("serverNames", !tls.server_names.is_empty()),
    ] {
        if given {
            let message = "means nothing on a dialer; see serverName";
            findings.warn(&format!("{path}.{key}"), Reason::Accepted, message);
        }
    }
    if tls.client_ca_ref.is_some() {
        let message = "on a dialer, the CAs of the server are caRef";
        findings.invalid(&format!("{path}.clientCARef"), message);
    }
    let options = options(tls.options.as_ref(), &path, findings);
    let certificate = certificate(tls, &path, true, context, findings);
    let ca = ca(tls, "caRef", tls.ca_ref.as_ref(), &path, context, findings);
    let server_name = server_name(tls, addr, host, &path, findings);
    if tls.secure && server_name.is_none() && tls.server_name.is_empty() && addr.is_some() {
        let message = "the node's address has no host whose name could be verified; write it";
        findings.invalid(&format!("{path}.serverName"), message);
    }
    if !tls.secure && !names_ca(Some(tls)) {
        let message = "the server's certificate is not verified, as in GOST; set tls.secure: true";
        findings.warn(&path, Reason::Accepted, message);
    }
    let options = options?;
    Some(Arc::new(ClientTls {
        server_name,
        secure: tls.secure,
        ca,
        certificate,
        min_version: options.min_version,
        max_version: options.max_version,
        cipher_suites: options.cipher_suites,
        alpn: options.alpn,
    }))
}

/// What is written, else the host of the address, else (as GOST's WebSocket) of the Host header.
fn server_name(
    tls: &raw::Tls,
    addr: Option<&Target>,
    host: Option<&str>,
    path: &str,
    findings: &mut Findings,
) -> Option<String> {
    let text = |host: &Host| match host {
        Host::Ip(ip) => ip.to_string(),
        Host::Name(name) => name.trim_end_matches('.').to_ascii_lowercase(),
    };
    if !tls.server_name.is_empty() {
        let report = |e| findings.invalid(&format!("{path}.serverName"), format!("{e}"));
        let host: Host = tls.server_name.parse().map_err(report).ok()?;
        return Some(text(&host));
    }
    if let Some(host) = addr.and_then(|addr| addr.host.as_ref()) {
        return Some(text(host));
    }
    let host = Target::parse(host?, Some(443)).ok()?;
    host.host.as_ref().map(text)
}

fn plain(noun: &str, kind: &str, path: &str, findings: &mut Findings) {
    let (kind, instead) = match kind {
        "ws" => ("ws", "write type wss, or remove tls"),
        "mws" => ("mws", "write type mwss, or remove tls"),
        "" | "tcp" => ("tcp", "write type tls, or remove tls"),
        other => (other, "remove tls"),
    };
    findings.invalid(path, format!("{noun} {kind} is plain; {instead}"));
}

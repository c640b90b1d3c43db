//! Versions, cipher suites, application protocols.

use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::model::TlsVersion;
use crate::config::raw;

/// The suites of TLS 1.2 that are had, by Go's names.
const SUITES: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Those of TLS 1.3, which Go does not let one choose either.
const SUITES_13: &[&str] =
    &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// What a configuration may negotiate.
#[derive(Default)]
pub(super) struct Options {
    pub(super) min_version: Option<TlsVersion>,
    pub(super) max_version: Option<TlsVersion>,
    pub(super) cipher_suites: Vec<String>,
    pub(super) alpn: Vec<String>,
}

/// `tls.options`; `None` after an error.
pub(super) fn options(
    options: Option<&raw::TlsOptions>,
    path: &str,
    findings: &mut Findings,
) -> Option<Options> {
    let Some(options) = options else { return Some(Options::default()) };
    let path = format!("{path}.options");
    let errors = findings.errors.len();
    let min_version = version(&options.min_version, &format!("{path}.minVersion"), findings);
    let max_version = version(&options.max_version, &format!("{path}.maxVersion"), findings);
    if let (Some(min), Some(max)) = (min_version, max_version)
        && min > max
    {
        findings.invalid(&format!("{path}.minVersion"), "is above maxVersion");
    }
    let suites = suites(&options.cipher_suites, &path, findings);
    for (i, protocol) in options.alpn.iter().enumerate() {
        let path = format!("{path}.alpn[{i}]");
        if protocol.is_empty() || protocol.len() > 255 {
            findings.invalid(&path, "a protocol's name has 1 to 255 bytes");
        } else if matches!(protocol.as_str(), "h2" | "h3") {
            let message = format!(
                "{protocol} is not spoken here, but a peer could pick it; known: \
                                   http/1.1, and names of your own"
            );
            findings.unsupported(&path, message);
        }
    }
    let alpn = options.alpn.clone();
    (findings.errors.len() == errors).then_some(Options {
        min_version,
        max_version,
        cipher_suites: suites,
        alpn,
    })
}

fn version(text: &str, path: &str, findings: &mut Findings) -> Option<TlsVersion> {
    let known = "known: VersionTLS12, VersionTLS13";
    match text.to_ascii_lowercase().as_str() {
        "" => {}
        "versiontls12" => return Some(TlsVersion::Tls12),
        "versiontls13" => return Some(TlsVersion::Tls13),
        "versiontls10" | "versiontls11" => {
            let message = format!("{text} is broken and not supported; {known}");
            findings.unsupported(path, message);
        }
        _ => findings.invalid(path, format!("{text:?} is not a version of TLS; {known}")),
    }
    None
}

fn suites(written: &[String], path: &str, findings: &mut Findings) -> Vec<String> {
    let mut suites = Vec::new();
    for (i, name) in written.iter().enumerate() {
        let path = format!("{path}.cipherSuites[{i}]");
        // Go has two names for these.
        let long = format!("{name}_SHA256");
        let name = if name.ends_with("_POLY1305") { &long } else { name };
        if SUITES.contains(&name.as_str()) {
            suites.push(name.clone());
        } else if SUITES_13.contains(&name.as_str()) {
            let message = "suites of TLS 1.3 cannot be chosen, as in GOST: all of them are offered";
            findings.warn(&path, Reason::Accepted, message);
        } else {
            let message =
                format!("{name:?} is not a cipher suite here; known: {}", SUITES.join(", "));
            findings.invalid(&path, message);
        }
    }
    suites.sort_by_key(|name| SUITES.iter().position(|suite| suite == name));
    suites.dedup();
    suites
}

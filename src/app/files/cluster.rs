//! A `WsTunnel` judged as a controller would, without a cluster: what it refers to may be there.

use super::flawless;
use crate::base::Reason;
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::lower::{LowerContext, Lowered, lower_tunnel};
use crate::config::model::ClassLimits;
use crate::config::read::TunnelDoc;
use crate::config::secrets::{ClassCertificate, SecretState, Secrets};
use crate::config::services::{ServiceState, Services};
use crate::control::policy::Policy;
use crate::crd;

/// The front ports of a controller, without TLS and with it, unless flags say otherwise.
pub(in crate::app) const FRONTS: [u16; 2] = [8080, 8443];
/// Its admin port.
pub(in crate::app) const ADMIN: Option<u16> = Some(9180);

/// What the object would come to. A reference to what the files do not hold is a warning.
///
/// # Errors
/// What the API server or the controller would refuse by the object alone.
pub(super) fn judge(
    tunnel: &TunnelDoc,
    secrets: &Secrets,
    classes: Option<&Policy>,
) -> Result<Lowered, ConfigErrors> {
    let (namespace, config) = (&*tunnel.namespace, &tunnel.spec.config);
    let unseen = || format!("no cluster was asked; namespace {namespace:?} has to have it");
    let key = |name: &str| (namespace.to_string(), name.to_string());
    let mut secrets = secrets.clone();
    for name in config.secrets() {
        secrets.0.entry(key(name)).or_insert_with(|| SecretState::Unread(unseen()));
    }
    let service = |name: &str| (key(name), ServiceState::Unread(unseen()));
    let services = Services(config.service_refs().into_iter().map(service).collect());
    let class = classes.and_then(|classes| classes.class(Some(&tunnel.spec.class_name)));
    let certificate = class.filter(|class| class.default_certificate.is_some());
    let state = SecretState::Unread("no cluster was asked".into());
    let certificate =
        certificate.map(|class| ClassCertificate { class: &class.name, state: &state });
    // Without a class file there is one class, which says nothing.
    let limits = class.map_or_else(ClassLimits::default, |class| class.limits.clone());
    let context = LowerContext::controller(namespace, &secrets, &FRONTS)
        .with_limits(&limits)
        .with_services(&services)
        .with_class_certificate(certificate)
        .of_tunnel(&tunnel.name);
    let lowered = lower_tunnel(&tunnel.spec, &context).and_then(flawless);
    let misfits = misfits(tunnel);
    match lowered {
        Ok(lowered) if misfits.is_empty() => Ok(with_doubts(lowered)),
        Ok(_) => Err(ConfigErrors(misfits)),
        Err(ConfigErrors(mut errors)) => {
            // There is a mistake among them; what was not asked for is none.
            errors.retain(|error| error.reason != Reason::Pending);
            // Who has both would read of one field twice.
            let new = misfits.into_iter().filter(|d| errors.iter().all(|e| e.path != d.path));
            let new: Vec<_> = new.collect();
            errors.extend(new);
            Err(ConfigErrors(errors))
        }
    }
}

/// Sizes that the API server refuses.
fn misfits(tunnel: &TunnelDoc) -> Vec<Diagnostic> {
    // A spec has text keys only, so it can always be written.
    let spec = serde_json::to_value(&tunnel.spec).unwrap_or_default();
    let diagnostic = |(path, message)| Diagnostic::new(path, Reason::Invalid, message);
    crd::misfits(&spec).into_iter().map(diagnostic).collect()
}

/// What is not known of references, as warnings. Each is said once, however many services need it.
fn with_doubts(mut lowered: Lowered) -> Lowered {
    for doubt in lowered.references.values().flat_map(|references| &references.missing) {
        if !lowered.warnings.contains(doubt) {
            lowered.warnings.push(doubt.clone());
        }
    }
    lowered
}

//! What an object's spec comes to, judged anew when it or a Secret that it names is another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DRAIN, Good, Outside, Seen};
use crate::base::{Reason, caught};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::files::wants_default_certificate;
use crate::config::lower::{LowerContext, Lowered, lower_tunnel};
use crate::config::model::ClassLimits;
use crate::config::raw::TunnelSpec;
use crate::config::secrets::{ClassCertificate, Holder, Kept, SecretState};
use crate::config::services::ServiceState;
use crate::control::claim::digest_of;
use crate::control::object::Object;
use crate::control::policy::Class;

/// What a spec is judged by.
pub(super) struct Sight<'a> {
    pub(super) outside: Outside<'a>,
    pub(super) namespace: &'a str,
    /// The object's name.
    pub(super) tunnel: &'a str,
    pub(super) fronts: &'a [u16],
    /// What its class allows.
    pub(super) limits: &'a ClassLimits,
    /// What its class has for listeners without a certificate.
    pub(super) certificate: Option<ClassCertificate<'a>>,
}

impl<'a> Sight<'a> {
    /// What an object of a class is judged by in a release's namespace, with these front ports.
    pub(super) fn new(
        object: &'a Object,
        class: &'a Class,
        outside: Outside<'a>,
        (release, fronts): (&str, &'a [u16]),
    ) -> Self {
        let certificate = class.default_certificate.as_ref().map(|name| ClassCertificate {
            class: &class.name,
            state: outside.secrets.find(release, name),
        });
        let (namespace, tunnel) = (&*object.key.namespace, &*object.key.name);
        Self { outside, namespace, tunnel, fronts, limits: &class.limits, certificate }
    }

    /// The class's certificate, if the spec can show it.
    fn certificate_for(&self, spec: &TunnelSpec) -> Option<ClassCertificate<'a>> {
        self.certificate.filter(|_| wants_default_certificate(&spec.config))
    }
}

/// A spec with its outcome.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// `None` if it does not decode.
    pub(super) spec: Option<Arc<TunnelSpec>>,
    /// Its class lets it run.
    pub(super) allowed: bool,
    /// The generation of the spec.
    generation: i64,
    /// The Secrets that it names, as they were.
    secrets: BTreeMap<String, SecretState>,
    /// The Services that it names, as they were.
    services: BTreeMap<String, ServiceState>,
    /// Its class, as the default certificate of it was, if that can be shown.
    certificate: Option<(String, SecretState)>,
    /// What its class allowed.
    limits: ClassLimits,
    pub(super) outcome: Result<Arc<Good>, ConfigErrors>,
}

impl Judged {
    /// It runs nothing.
    pub(super) fn is_suspended(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.suspend)
    }

    /// The names of its Secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// The names of its Services.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Before anything was looked at.
    fn not_yet() -> Self {
        let none = Diagnostic::new("spec", Reason::Pending, "it was not looked at yet");
        let (secrets, services, certificate, limits) = Default::default();
        let outcome = Err(ConfigErrors::one(none));
        let (spec, allowed, generation) = (None, false, 0);
        Self { spec, allowed, generation, secrets, services, certificate, limits, outcome }
    }

    /// What an object's spec comes to.
    fn of(object: &Object, sight: &Sight, kept: &mut Kept) -> Self {
        match &object.spec {
            Ok(spec) => Self::of_spec(spec.clone(), object.generation, sight, kept),
            Err(error) => {
                let message =
                    format!("the stored object does not fit the CRD ({error}); apply it anew");
                let error = Diagnostic::new("spec", Reason::Undecodable, message);
                Self { outcome: Err(ConfigErrors::one(error)), ..Self::not_yet() }
            }
        }
    }

    fn of_spec(spec: Arc<TunnelSpec>, generation: i64, sight: &Sight, kept: &mut Kept) -> Self {
        let Sight { outside: Outside { secrets, services }, namespace, tunnel, fronts, .. } =
            *sight;
        let of_class = sight.certificate_for(&spec);
        let context = LowerContext::controller(namespace, secrets, fronts)
            .with_services(services)
            .with_class_certificate(of_class)
            .with_limits(sight.limits)
            .of_tunnel(tunnel);
        // A bug that one object meets must not end the controller of all.
        let lowered = caught(|| lower_tunnel(&spec, &context.with_kept(kept)));
        let lowered = lowered.unwrap_or_else(|panicked| {
            let error = Diagnostic::new("spec", Reason::Invalid, panicked.to_string());
            Err(ConfigErrors::one(error))
        });
        let secret = |name: &str| (name.to_string(), secrets.find(namespace, name).clone());
        let service = |name: &str| (name.to_string(), services.find(namespace, name).clone());
        let secrets = spec.config.secrets().into_iter().map(secret).collect();
        let services = spec.config.service_refs().into_iter().map(service).collect();
        let certificate = of_class.map(|of| (of.class.to_string(), of.state.clone()));
        let outcome = lowered.map(|lowered| {
            let of_class = certificate.as_ref().map(|(_, state)| state);
            remember(&lowered, &secrets, of_class, kept);
            Arc::new(good(lowered, generation))
        });
        let (spec, allowed, limits) = (Some(spec), false, sight.limits.clone());
        Self { spec, allowed, generation, secrets, services, certificate, limits, outcome }
    }

    /// Judges the same spec again if what it refers to, or what its class allows, is something else.
    /// Whether it did.
    fn refresh(&mut self, sight: &Sight, kept: &mut Kept) -> bool {
        let same = |(name, state): (&String, &SecretState)| {
            sight.outside.secrets.find(sight.namespace, name) == state
        };
        let same_service = |(name, state): (&String, &ServiceState)| {
            sight.outside.services.find(sight.namespace, name) == state
        };
        let Some(spec) = &self.spec else { return false };
        let before = self.certificate.as_ref();
        let before = before.map(|(class, state)| ClassCertificate { class, state });
        let same_certificate = before == sight.certificate_for(spec);
        if same_certificate
            && self.limits == *sight.limits
            && self.secrets.iter().all(same)
            && self.services.iter().all(same_service)
        {
            return false;
        }
        let allowed = self.allowed;
        *self = Self::of_spec(spec.clone(), self.generation, sight, kept);
        self.allowed = allowed;
        true
    }
}

impl Seen {
    /// Nothing is known of the object yet.
    pub(super) fn new(object: &Object) -> Self {
        Self {
            namespace: object.key.namespace.clone(),
            generation: object.generation.wrapping_sub(1),
            current: Judged::not_yet(),
            last: None,
            part: None,
            kept: Kept::new(),
            ran: BTreeMap::new(),
        }
    }

    /// Brings the outcome up to date with the object and the Secrets.
    pub(super) fn look(&mut self, object: &Object, sight: &Sight) {
        if self.generation == object.generation {
            if self.current.refresh(sight, &mut self.kept) {
                self.part = None;
            }
        } else {
            self.part = None;
            let judged = Judged::of(object, sight, &mut self.kept);
            let before = std::mem::replace(&mut self.current, judged);
            self.generation = object.generation;
            if before.allowed && before.outcome.is_ok() {
                self.last = Some(before);
            }
        }
        // What goes on behind a refused edit loses its users like everybody else.
        if let Some(last) = &mut self.last {
            last.refresh(sight, &mut self.kept);
        }
        let needed = |holder: &Holder| {
            let of = |judged: &Judged| match holder {
                Holder::Secret(name) => judged.secrets.contains_key(name),
                Holder::Class(name) => {
                    judged.certificate.as_ref().is_some_and(|(class, _)| class == name)
                }
            };
            of(&self.current) || self.last.as_ref().is_some_and(of)
        };
        self.kept.retain(|holder, _| needed(holder));
        let part = self.part.as_ref().and_then(Option::as_ref);
        let good = [Some(&self.current), self.last.as_ref(), part].into_iter().flatten();
        let good: Vec<_> = good.filter_map(|judged| judged.outcome.as_ref().ok()).collect();
        self.ran.retain(|name, _| {
            good.iter().any(|good| {
                good.references.contains_key(name)
                    || good.services.iter().any(|(config, _)| config.name == *name)
            })
        });
    }
}

impl Seen {
    /// Judges a part of the newest spec.
    pub(super) fn judge_part(&mut self, part: Arc<TunnelSpec>, sight: &Sight) -> Judged {
        Judged::of_spec(part, self.generation, sight, &mut self.kept)
    }
}

/// Keeps what TLS Secrets held that are in use as they are now.
fn remember(
    lowered: &Lowered,
    secrets: &BTreeMap<String, SecretState>,
    of_class: Option<&SecretState>,
    kept: &mut Kept,
) {
    for (holder, current) in &lowered.loaded {
        let state = match holder {
            Holder::Secret(name) => secrets.get(name),
            Holder::Class(_) => of_class,
        };
        if let (true, Some(SecretState::Known(data))) = (current, state) {
            kept.insert(holder.clone(), data.clone());
        }
    }
}

fn good(lowered: Lowered, generation: i64) -> Good {
    let services = lowered.services.into_iter().map(|config| {
        let claim = digest_of(&config).into();
        (Arc::new(config), claim)
    });
    Good {
        services: services.collect(),
        outlines: lowered.outlines,
        exposures: lowered.exposures,
        generation,
        references: lowered.references,
        left_out: Vec::new(),
        warnings: lowered.warnings.iter().map(ToString::to_string).collect(),
        drain: lowered.drain.unwrap_or(DRAIN),
    }
}

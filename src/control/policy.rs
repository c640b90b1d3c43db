//! Classes: what the operator of an installation grants its tenants. Pure.
//!
//! `--classes FILE`, or [`Policy::built_in`] without one. A tunnel belongs to the class that its
//! `spec.className` names, or without one to the class with `default: true`. A class that is not
//! in the file is another installation's.

mod file;
mod hosts;
pub(crate) mod quota;
mod range;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use range::Ports;
pub use rules::refusals;

use crate::config::error::ConfigErrors;
use crate::config::model::{
    AutoHandlerConfig, AutoProtocols, ClassLimits, HandlerConfig, ServiceConfig, Terms,
};

/// The class that is served without a class file.
pub const BUILT_IN_CLASS: &str = "adit";

/// The labels of namespaces, by name.
pub type Labels = HashMap<Arc<str>, BTreeMap<String, String>>;

/// The classes of an installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    classes: Vec<Arc<Class>>,
}

/// A class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// `name`.
    pub name: String,
    /// `default`: it serves tunnels without a className.
    pub default: bool,
    /// `namespaces`.
    pub namespaces: Namespaces,
    /// `listeners`: their types.
    pub listeners: Vec<String>,
    /// `handlers`: their types.
    pub handlers: Vec<String>,
    /// `hostnames`: patterns, with `{namespace}`; empty is any.
    pub hostnames: Vec<String>,
    /// `paths`: prefixes, with `{namespace}`; empty is any.
    pub paths: Vec<String>,
    /// `ports.bind`: what `addr` may name besides front ports.
    pub bind: Ports,
    /// `ports.allocate`: where exposed services get their port.
    pub allocate: Ports,
    /// `requireAuth`: every service has users, but for `tcp`, `udp` and `forward`: these are open
    /// by declaration, to declared targets alone.
    pub require_auth: bool,
    /// `inlineCredentials`: passwords may be in the spec.
    pub inline_credentials: bool,
    /// `expose`.
    pub expose: Expose,
    /// `defaultCertificate.secret`: in the namespace of the release, for listeners without a
    /// certificate.
    pub default_certificate: Option<Arc<str>>,
    /// The `limits` of what may be asked for.
    pub limits: ClassLimits,
    /// `egress` and the limits of connections.
    pub terms: Arc<Terms>,
}

/// Which namespaces a class serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// `all: true`.
    All,
    /// `names`.
    Names(Vec<String>),
    /// `matchLabels`: the namespace has all of them.
    Labels(BTreeMap<String, String>),
}

/// What `expose` of a service may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expose {
    /// `types` of the Service.
    pub types: Vec<String>,
    /// Keys of annotations.
    pub annotations: Vec<String>,
    /// Keys of labels.
    pub labels: Vec<String>,
}

/// The ports that the process has for itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reserved<'a> {
    /// The front ports.
    pub fronts: &'a [u16],
    /// The admin port.
    pub admin: Option<u16>,
}

/// Which class a tunnel belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Selected<'a> {
    /// This one.
    Class(&'a Arc<Class>),
    /// It names none, and no class is the default.
    None,
    /// The class of another installation.
    Foreign,
}

impl Policy {
    /// The class that there is without a class file.
    pub fn built_in() -> Self {
        Self { classes: vec![Arc::new(Class::built_in())] }
    }

    /// Reads the texts of a class file, each with its name.
    ///
    /// # Errors
    /// All that is wrong in any of them: then no class of them counts.
    pub fn read<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        reserved: Reserved<'_>,
    ) -> Result<Self, ConfigErrors> {
        file::read(texts, reserved).map(|classes| Self { classes })
    }

    /// The class of a tunnel by its `spec.className`.
    pub fn select(&self, class_name: Option<&str>) -> Selected<'_> {
        match class_name.filter(|name| !name.is_empty()) {
            Some(name) => self
                .classes
                .iter()
                .find(|class| class.name == name)
                .map_or(Selected::Foreign, Selected::Class),
            None => self
                .classes
                .iter()
                .find(|class| class.default)
                .map_or(Selected::None, Selected::Class),
        }
    }

    /// The same, if it is one of these.
    pub fn class(&self, class_name: Option<&str>) -> Option<&Arc<Class>> {
        match self.select(class_name) {
            Selected::Class(class) => Some(class),
            Selected::None | Selected::Foreign => None,
        }
    }

    /// The names of those that serve a namespace.
    pub fn names_for(&self, namespace: &str, labels: &Labels) -> Vec<&str> {
        let serving = self.classes.iter().filter(|class| class.serves(namespace, labels));
        serving.map(|class| class.name.as_str()).collect()
    }

    /// The classes, in the order of the file.
    pub fn classes(&self) -> impl Iterator<Item = &Arc<Class>> {
        self.classes.iter()
    }

    /// The Secrets that classes name for their default certificates.
    pub fn default_certificates(&self) -> impl Iterator<Item = &Arc<str>> {
        self.classes.iter().filter_map(|class| class.default_certificate.as_ref())
    }

    /// Whether a class goes by the labels of namespaces.
    pub fn needs_labels(&self) -> bool {
        self.classes.iter().any(|class| matches!(class.namespaces, Namespaces::Labels(_)))
    }
}

impl Class {
    /// The class that there is without a class file.
    pub fn built_in() -> Self {
        Self { default: true, ..Self::named(BUILT_IN_CLASS) }
    }

    /// What a class grants that says nothing but its name: the values that the chart ships.
    fn named(name: &str) -> Self {
        let all = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            name: name.into(),
            default: false,
            namespaces: Namespaces::All,
            listeners: all(file::LISTENERS),
            handlers: all(file::HANDLERS),
            hostnames: Vec::new(),
            paths: Vec::new(),
            bind: Ports::new(1024, 19_999),
            allocate: Ports::new(20_000, 29_999),
            require_auth: true,
            inline_credentials: true,
            expose: Expose {
                types: vec!["ClusterIP".into()],
                annotations: Vec::new(),
                labels: Vec::new(),
            },
            default_certificate: None,
            limits: ClassLimits::default(),
            terms: Arc::new(Terms {
                connections_of_tunnel: 10_000,
                connections_of_namespace: 20_000,
                ..Terms::default()
            }),
        }
    }

    /// The protocols that handler `auto` speaks under it: those that have a handler of their own.
    pub fn auto(&self) -> AutoProtocols {
        let has = |kind: &str| self.handlers.iter().any(|handler| handler == kind);
        AutoProtocols { http: has("http"), socks4: has("socks4"), socks5: has("socks5") }
    }

    /// A service as it runs under the class.
    pub fn narrowed(&self, service: &Arc<ServiceConfig>) -> Arc<ServiceConfig> {
        match &service.handler {
            HandlerConfig::Auto(auto) if auto.speaks != self.auto() => {
                let auto = AutoHandlerConfig { speaks: self.auto(), ..auto.clone() };
                let handler = HandlerConfig::Auto(auto);
                Arc::new(ServiceConfig { handler, ..(**service).clone() })
            }
            _ => service.clone(),
        }
    }

    /// Whether it serves a namespace.
    pub fn serves(&self, namespace: &str, labels: &Labels) -> bool {
        match &self.namespaces {
            Namespaces::All => true,
            Namespaces::Names(names) => names.iter().any(|name| name == namespace),
            Namespaces::Labels(wanted) => labels
                .get(namespace)
                .is_some_and(|has| wanted.iter().all(|(key, value)| has.get(key) == Some(value))),
        }
    }
}

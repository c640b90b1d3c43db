//! The closed set of reasons for conditions, Events and metric labels.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why something is as it is: a Kubernetes condition reason (CamelCase, closed set).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, for tables and documentation tests.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text in conditions, Events and labels.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

reasons! {
    /// The object is valid and may run.
    Accepted,
    /// Nobody has looked at it yet.
    Pending,
    /// A key that adit does not know.
    UnknownKey,
    /// A value that cannot work.
    Invalid,
    /// The stored object does not fit the schema.
    Undecodable,
    /// GOST has it, this version of adit does not.
    Unsupported,
    /// A target on the controller's own loopback interface.
    LoopbackTarget,
    /// The class of the object does not allow it.
    NotAllowedByClass,
    /// It names no class, and none is the default.
    NoClass,
    /// The class of the object has other hostnames.
    HostnameNotAllowed,
    /// The path cannot be served.
    PathNotAllowed,
    /// The port cannot be claimed.
    PortNotAllowed,
    /// The class of the object allows no more in this namespace.
    QuotaExceeded,
    /// Another service has the host and path.
    HostConflict,
    /// Another service has the port, or the port speaks something else.
    PortConflict,
    /// A Service of the name is there, and is not the tunnel's.
    ServiceNameTaken,
    /// The API server refuses the Service that leads to it: a quota, a policy, a wrong value.
    ServiceRefused,
    /// It is being deleted.
    Deleting,
    /// Every reference was found.
    ResolvedRefs,
    /// A Secret is missing.
    SecretNotFound,
    /// A Secret does not hold what it should, or may not be used so.
    SecretInvalid,
    /// A certificate has ended.
    CertificateExpired,
    /// A Service is missing, or its port.
    ServiceNotFound,
    /// It runs as the spec says.
    Programmed,
    /// Some of its services run.
    Partial,
    /// The newest spec is invalid; the version before it goes on running.
    UsingPreviousConfig,
    /// Another process has the port.
    AddressInUse,
    /// The process may not bind the port.
    BindForbidden,
    /// Every port that may be allocated is in use.
    PortsExhausted,
    /// No replica is ready to serve it.
    NoReplica,
    /// `spec.suspend` is true.
    Suspended,
    /// Everything serves.
    Ready,
}

impl Reason {
    /// Whether it is about something that a spec refers to, and not about the spec: it passes
    /// without an edit.
    pub fn is_of_reference(self) -> bool {
        matches!(
            self,
            Self::SecretNotFound | Self::SecretInvalid | Self::ServiceNotFound | Self::Pending
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

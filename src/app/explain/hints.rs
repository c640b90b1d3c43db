//! What to do next, by the reason of a condition.

use crate::base::Reason;
use crate::base::shell::quoted;

/// What a condition is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// Where the service is in `spec.services`; `None`: the condition is the object's.
    pub(super) service: Option<usize>,
}

impl About<'_> {
    /// A field of the service.
    fn field(&self, name: &str) -> String {
        let at = self.service.map(|at| at.to_string()).unwrap_or_default();
        format!("spec.services[{at}].{name}")
    }

    /// A kubectl command on the object.
    fn kubectl(&self, verb: &str) -> String {
        format!("kubectl {verb} wst {} -n {}", quoted(self.name), quoted(self.namespace))
    }
}

/// What to do. Every reason has a line here: one that is new does not compile without it.
pub(super) fn next(reason: Reason, about: &About<'_>) -> String {
    let (namespace, edit) = (quoted(about.namespace), about.kubectl("edit"));
    let field = |name| about.field(name);
    match reason {
        Reason::Accepted | Reason::ResolvedRefs | Reason::Programmed | Reason::Ready => {
            "nothing".into()
        }
        Reason::Pending => format!(
            "wait: {} --watch; if nothing changes, ask who installed adit whether its controller runs \
             and watches namespace {namespace}",
            about.kubectl("get")
        ),
        Reason::UnknownKey => format!("correct the key that the message names: {edit}"),
        Reason::Invalid => format!(
            "correct the field that the message names: {edit}; to see it before you apply: adit \
             check FILE"
        ),
        Reason::Undecodable => format!(
            "apply the object anew from its manifest: kubectl replace -n {namespace} -f FILE"
        ),
        Reason::Unsupported => {
            format!("leave out what the message names, or write what it offers instead: {edit}")
        }
        Reason::LoopbackTarget => format!(
            "name a Service instead of addr: {}: [{{name: NAME, serviceRef: {{name: SERVICE, port: \
             PORT}}}}]",
            field("forwarder.nodes")
        ),
        Reason::NoClass => format!(
            "set spec.className to a class that the message names, or ask who installed adit; it can \
             be changed while no class serves the object: {edit}"
        ),
        Reason::NotAllowedByClass => format!(
            "write what the message allows, or ask who installed adit for another class: {edit}"
        ),
        Reason::HostnameNotAllowed => {
            format!("set {} to what the message allows: {edit}", field("hostnames"))
        }
        Reason::PathNotAllowed => format!(
            "set {} to a path that the message allows; none has a space, ?, # or braces: {edit}",
            field("listener.metadata.path")
        ),
        Reason::QuotaExceeded => format!(
            "ask for less, delete a tunnel that nobody needs (kubectl get wst -n {namespace}), or \
             ask who installed adit for more"
        ),
        Reason::ServiceNameTaken => format!(
            "set {} to a name that no Service has (kubectl get services -n {namespace}): {edit}",
            field("expose.name")
        ),
        Reason::ServiceRefused => format!(
            "do what the API server's sentence in the message asks for, or leave out {}; ask who \
             administers namespace {namespace} for quotas and policies: kubectl describe quota -n \
             {namespace}",
            field("expose")
        ),
        Reason::Deleting => {
            "it serves nobody; a finalizer of somebody else keeps it: see metadata.finalizers"
                .into()
        }
        Reason::PortsExhausted => {
            "ask who installed adit for more ports (ports.allocate of the class)".into()
        }
        Reason::PortNotAllowed => format!(
            "set {} to a port that the message allows; a front port is always one: \":8080\" for ws \
             and mws, \":8443\" for wss and mwss by default",
            field("addr")
        ),
        Reason::HostConflict => format!(
            "who came first keeps it: set {} or {} to what nobody else has, or have the other one \
             changed",
            field("hostnames"),
            field("listener.metadata.path")
        ),
        Reason::PortConflict => format!(
            "set {} to another port, or {} to what the port speaks",
            field("addr"),
            field("listener.type")
        ),
        Reason::SecretNotFound => format!(
            "make the Secret with the line in the message, or correct its name (kubectl get secrets \
             -n {namespace}); it is followed, so there is nothing to apply again"
        ),
        Reason::SecretInvalid => format!(
            "change the Secret as the message says (kubectl get secrets -n {namespace} \
             --show-labels); it is followed, so there is nothing to apply again"
        ),
        Reason::CertificateExpired => {
            "renew the certificate with the line in the message; open tunnels go on".into()
        }
        Reason::ServiceNotFound => format!(
            "correct serviceRef or make the Service (kubectl get services -n {namespace}); it is \
             followed, so there is nothing to apply again"
        ),
        Reason::Partial => format!(
            "a replica that is behind catches up by itself: {} --watch; if it does not, ask who \
             installed adit to look at the replicas that the message names",
            about.kubectl("get")
        ),
        Reason::UsingPreviousConfig => {
            format!("correct the spec before the controller restarts: {edit}")
        }
        Reason::AddressInUse => format!("set {} to another port: {edit}", field("addr")),
        Reason::BindForbidden => {
            format!("set {} to a port from 1024 on: {edit}", field("addr"))
        }
        Reason::NoReplica => {
            "ask who installed adit why no Pod of its controller is ready: kubectl get pods -A -l \
             app.kubernetes.io/name=adit"
                .into()
        }
        Reason::Suspended => {
            format!(
                "{} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'",
                about.kubectl("patch")
            )
        }
    }
}

/// What to do about a reason as a status has it: that of a newer controller may be unknown here.
pub(super) fn next_of(reason: &str, about: &About<'_>) -> String {
    match Reason::ALL.iter().find(|known| known.as_str() == reason) {
        Some(known) => next(*known, about),
        None => "this adit does not know the reason; use the version of the controller".into(),
    }
}

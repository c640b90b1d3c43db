//! What a file would come to, service by service, without a cluster.

use super::limits;
use super::lines::Lines;
use crate::app::files::{self, For, Part};
use crate::base::shell::quoted;
use crate::config::cmdline::Line;
use crate::config::error::Diagnostic;
use crate::control::policy::Policy;
use crate::sidecar::Inputs;

/// What is to be printed, and whether nothing is wrong.
pub(super) fn tell(inputs: &Inputs, classes: Option<&Policy>) -> (String, bool) {
    let merged = files::merge(inputs, &Line::default());
    let (parts, wrong) = merged.parts(For::Cluster(classes));
    let mut lines = Lines::default();
    let empty = |part: &Part<'_>| {
        part.tunnel.is_none() && part.config.services.is_empty() && part.outcome.is_ok()
    };
    for part in parts.iter().filter(|part| !empty(part)) {
        tell_part(part, classes, &mut lines);
    }
    if !wrong.is_empty() {
        lines.head("Cannot be read");
        wrong.iter().for_each(|error| lines.line("Error", &error.to_string()));
    }
    let doubts = &merged.documents.warnings;
    if !doubts.is_empty() {
        lines.head("Read in spite of a doubt");
        doubts.iter().for_each(|doubt| lines.line("Warning", &doubt.to_string()));
    }
    lines.head("Nothing is known of a cluster here");
    let next = match merged.documents.tunnels.first() {
        _ if !wrong.is_empty() || parts.iter().any(|part| part.outcome.is_err()) => {
            "correct what is wrong, then ask again".into()
        }
        Some(tunnel) => format!(
            "whether ports, hostnames and paths are free and what is referred to exists, the object \
             says: kubectl apply -f FILE, then adit explain {}",
            quoted(&format!("{}/{}", tunnel.namespace, tunnel.name))
        ),
        None => "adit -C FILE runs it; adit convert FILE makes a WsTunnel of it".into(),
    };
    lines.line("Next", &next);
    (lines.text(), wrong.is_empty() && parts.iter().all(|part| part.outcome.is_ok()))
}

fn tell_part(part: &Part<'_>, classes: Option<&Policy>, lines: &mut Lines) {
    let title = part.tunnel.map_or_else(|| "GOST configuration".into(), |tunnel| tunnel.title());
    let (errors, warnings) = match &part.outcome {
        Ok(lowered) => (&[][..], &lowered.warnings[..]),
        Err(errors) => (&errors.0[..], &[][..]),
    };
    let count = errors.len();
    lines.head(&match count {
        0 => format!("{title}: valid"),
        1 => format!("{title}: 1 error; until it is corrected, nothing of it serves"),
        _ => format!("{title}: {count} errors; until they are corrected, nothing of it serves"),
    });
    if part.tunnel.is_some_and(|tunnel| tunnel.spec.suspend) {
        lines.line("Note", "spec.suspend is true: it does not serve until that is removed");
    }
    if let Some(tunnel) = part.tunnel {
        lines.line("Limits", &limits(classes, Some(&tunnel.spec.class_name)));
    }
    let of = |all: &'_ [Diagnostic], at: Option<usize>| -> Vec<Diagnostic> {
        all.iter().filter(|d| service_of(d) == at).cloned().collect()
    };
    findings(&of(errors, None), &of(warnings, None), lines);
    for (at, service) in part.config.services.iter().enumerate() {
        let (errors, warnings) = (of(errors, Some(at)), of(warnings, Some(at)));
        let name =
            if service.name.is_empty() { format!("services[{at}]") } else { service.name.clone() };
        let word = if errors.is_empty() { "valid" } else { "invalid" };
        lines.head(&format!("{name}: {word}"));
        let kind =
            |kind: Option<&str>| kind.filter(|k| !k.is_empty()).unwrap_or("auto").to_string();
        let handler = kind(service.handler.as_ref().map(|h| &*h.kind));
        let listener = service.listener.as_ref().map(|l| &*l.kind).filter(|k| !k.is_empty());
        let listener = listener.unwrap_or("tcp");
        lines.line("Address", &format!("{} ({handler} on {listener})", service.addr));
        findings(&errors, &warnings, lines);
    }
}

fn findings(errors: &[Diagnostic], warnings: &[Diagnostic], lines: &mut Lines) {
    errors.iter().for_each(|error| lines.line("Error", &error.to_string()));
    warnings.iter().for_each(|warning| lines.line("Warning", &warning.to_string()));
}

/// The service that a finding is about.
fn service_of(finding: &Diagnostic) -> Option<usize> {
    finding.path.strip_prefix("services[")?.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (String, bool) {
        told_with(text, None)
    }

    fn told_with(text: &str, classes: Option<&Policy>) -> (String, bool) {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        tell(&Inputs::open(&[file.path().display().to_string()]).unwrap(), classes)
    }

    const TUNNEL: &str = "
apiVersion: adit.dev/v1alpha1
kind: WsTunnel
metadata: {name: edge, namespace: team-a}
spec:
  services:
  - {name: db, addr: ':5432', listener: {type: tcp}, handler: {type: tcp},
     forwarder: {nodes: [{name: n, serviceRef: {name: postgres, port: 5432}}]}}
  - {name: in, addr: ':8443', handler: {type: http, auth: {secretRef: {name: users}}},
     listener: {type: wss, tls: {secretRef: {name: edge}}}}
";

    #[test]
    fn a_good_tunnel_is_valid_and_says_what_only_a_cluster_knows() {
        let (text, good) = told(TUNNEL);
        assert!(good, "{text}");
        for part in [
            "WsTunnel team-a/edge: valid\n",
            "\ndb: valid\n  Address:    :5432 (tcp on tcp)\n  Warning:    services[0].forwarder",
            "Service \"postgres\" is not known: no cluster was asked",
            "\nin: valid\n",
            "Secret \"edge\" was not read yet",
            "Nothing is known of a cluster here",
            "adit explain team-a/edge\n",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn an_error_stands_at_its_service_and_the_others_are_valid() {
        let (text, good) = told(&TUNNEL.replace("type: wss", "type: wsss"));
        assert!(!good, "{text}");
        let db = "db: valid\n";
        let part =
            "in: invalid\n  Address:    :8443 (http on wsss)\n  Error:      services[1].listener";
        assert!(text.contains(db) && text.contains(part), "{text}");
        assert!(text.contains("until it is corrected, nothing of it serves"), "{text}");
    }

    #[test]
    fn what_its_class_allows_otherwise_than_by_default_is_said() {
        let policy = |limits: &str| {
            let text = format!(
                "classes: [{{name: gold, default: true, namespaces: {{all: true}}, {limits}}}]"
            );
            Policy::read([("classes", &*text)], Default::default()).unwrap()
        };
        let other = policy("limits: {receiveBuffer: 64MiB, portsPerNamespace: 8}");
        let (text, _) = told_with(TUNNEL, Some(&other));
        let line = "Limits:     class gold: portsPerNamespace 8 (default 64), receiveBuffer 64MiB \
                    (default 16MiB)\n";
        assert!(text.contains(line), "{text}");
        let (text, _) = told_with(TUNNEL, Some(&policy("limits: {receiveBuffer: 16MiB}")));
        assert!(!text.contains("Limits:"), "{text}");
    }

    #[test]
    fn a_gost_file_is_told_too_and_what_cannot_be_read_is_said() {
        let (text, good) = told("services: [{name: a, addr: ':8080', handler: {type: http}}]");
        assert!(good && text.starts_with("GOST configuration: valid\n"), "{text}");
        let (text, good) = told("services: [{name: a");
        assert!(!good && text.contains("Cannot be read"), "{text}");
    }

    #[test]
    fn a_line_to_copy_is_quoted_and_names_forge_nothing() {
        let tunnel = TUNNEL.replace("namespace: team-a", "namespace: 'a;reboot'");
        let (text, _) = told(&tunnel);
        assert!(text.contains("adit explain 'a;reboot/edge'\n"), "{text}");
        let forged = "services: [{name: \"a\\e[2J\\nb: valid\", addr: \":1\\u009b\"}]";
        let (text, _) = told(forged);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains("\nb: valid"), "{text}");
    }
}

//! What is said of objects, by their status.

use serde_json::{Value, json};

use super::*;

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": 4, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// Conditions of which one does not hold.
fn but(kind: &str, status: &str, reason: &str, message: &str) -> Vec<Value> {
    let all = ["Accepted", "ResolvedRefs", "Programmed"];
    let good = |k: &str| condition(k, "True", k, "");
    let mut conditions: Vec<_> =
        all.map(|k| if k == kind { condition(k, status, reason, message) } else { good(k) }).into();
    let ready = match kind {
        "" => condition("Ready", "True", "Ready", ""),
        _ => condition("Ready", status, reason, message),
    };
    conditions.push(ready);
    conditions
}

fn good() -> Vec<Value> {
    but("", "", "", "")
}

fn listener(name: &str, replicas: &str, conditions: &[Value]) -> Value {
    json!({"name": name, "address": ":8080/x", "port": 8080, "replicas": replicas,
        "conditions": conditions})
}

/// An object at generation 4 with services `in` and `db`.
fn object(status: &Value) -> Object {
    let service = |name: &str| json!({"name": name, "addr": ":8080"});
    let object = json!({
        "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
        "metadata": {"name": "edge", "namespace": "team-a", "uid": "u", "generation": 4},
        "spec": {"className": "adit", "services": [service("in"), service("db")]},
        "status": status,
    });
    Object::read(&serde_json::from_value(object).unwrap())
}

fn told(status: Value) -> (String, bool) {
    tell(&object(&status), None)
}

fn both(of_object: &[Value], listeners: [Value; 2]) -> Value {
    json!({"observedGeneration": 4, "conditions": of_object, "listeners": listeners,
        "summary": {"listeners": "1/2", "replicas": "2/3"}})
}

#[test]
fn what_serves_is_said_in_few_lines() {
    let (text, is_good) =
        told(both(&good(), [listener("in", "3/3", &good()), listener("db", "3/3", &good())]));
    assert!(is_good);
    assert_eq!(
        text,
        "WsTunnel team-a/edge: serves\n\
         \x20 Class:      adit\n\
         \x20 Generation: 4, seen by the controller\n\
         \x20 Replicas:   2/3\n\
         \n\
         in: serves\n\
         \x20 Address:    :8080/x\n\
         \x20 Replicas:   3/3\n\
         \n\
         db: serves\n\
         \x20 Address:    :8080/x\n\
         \x20 Replicas:   3/3\n"
    );
}

/// The word that the line `Next:` must have for each reason, on a service and on the object.
const NEXT: &[(Reason, &str)] = &[
    (Reason::Accepted, "nothing"),
    (Reason::Pending, "kubectl get wst edge -n team-a --watch"),
    (Reason::UnknownKey, "kubectl edit wst edge -n team-a"),
    (Reason::Invalid, "adit check FILE"),
    (Reason::Undecodable, "kubectl replace -n team-a -f FILE"),
    (Reason::Unsupported, "kubectl edit wst edge -n team-a"),
    (Reason::LoopbackTarget, "serviceRef: {name: SERVICE, port: PORT}"),
    (Reason::NotAllowedByClass, "another class"),
    (Reason::NoClass, "spec.className"),
    (Reason::HostnameNotAllowed, "].hostnames"),
    (Reason::PathNotAllowed, "].listener.metadata.path"),
    (Reason::PortNotAllowed, "].addr"),
    (Reason::QuotaExceeded, "kubectl get wst -n team-a"),
    (Reason::HostConflict, "].hostnames"),
    (Reason::PortConflict, "].listener.type"),
    (Reason::ServiceNameTaken, "].expose.name"),
    (Reason::ServiceRefused, "kubectl describe quota -n team-a"),
    (Reason::Deleting, "metadata.finalizers"),
    (Reason::ResolvedRefs, "nothing"),
    (Reason::SecretNotFound, "kubectl get secrets -n team-a"),
    (Reason::SecretInvalid, "--show-labels"),
    (Reason::CertificateExpired, "renew"),
    (Reason::ServiceNotFound, "kubectl get services -n team-a"),
    (Reason::Programmed, "nothing"),
    (Reason::Partial, "catches up"),
    (Reason::UsingPreviousConfig, "before the controller restarts"),
    (Reason::AddressInUse, "].addr to another port"),
    (Reason::BindForbidden, "from 1024"),
    (Reason::PortsExhausted, "ports.allocate"),
    (Reason::NoReplica, "kubectl get pods -A"),
    (
        Reason::Suspended,
        "kubectl patch wst edge -n team-a --type=merge -p '{\"spec\":{\"suspend\":false}}'",
    ),
    (Reason::Ready, "nothing"),
];

#[test]
fn every_reason_is_told_with_its_message_and_what_to_do() {
    for reason in Reason::ALL {
        let next = NEXT.iter().find(|(known, _)| known == reason);
        let (_, next) = next.unwrap_or_else(|| panic!("{reason} has no line in NEXT"));
        let bad = but("Accepted", "False", reason.as_str(), "the words of the controller");
        let status = both(&good(), [listener("in", "3/3", &good()), listener("db", "0/3", &bad)]);
        let (text, is_good) = told(status);
        let db = text.split("\ndb: ").nth(1).unwrap();
        assert!(db.contains(&format!("  Reason:     {reason} (Accepted)\n")), "{text}");
        assert!(db.contains("  Message:    the words of the controller\n"), "{text}");
        let line = db.lines().find_map(|line| line.strip_prefix("  Next:")).unwrap();
        assert!(line.contains(next), "{reason}: {line}");
        assert!(!next.contains("].") || line.contains("spec.services[1]."), "{reason}: {line}");
        assert!(is_good || text.contains("db"), "{text}");
    }
    assert_eq!(NEXT.len(), Reason::ALL.len());
}

#[test]
fn what_the_class_of_an_object_allows_otherwise_is_said() {
    let classes = "classes: [{name: adit, default: true, namespaces: {all: true}, \
                   limits: {maxTimeout: 1h}}]";
    let policy = Policy::read([("classes", classes)], Default::default()).unwrap();
    let status = json!({"observedGeneration": 4});
    let (text, _) = tell(&object(&status), Some(&policy));
    assert!(text.contains("Limits:     class adit: maxTimeout 1h (default 10m)\n"), "{text}");
}

#[test]
fn a_service_on_some_replicas_says_on_which_not() {
    let message = "replica adit-2: port 8080 is taken by another process";
    let bad = but("Programmed", "False", "Partial", message);
    let status = both(&bad, [listener("in", "2/3", &bad), listener("db", "3/3", &good())]);
    let (text, is_good) = told(status);
    assert!(!is_good);
    assert!(text.starts_with("WsTunnel team-a/edge: serves 1 of 2 services\n"), "{text}");
    assert!(text.contains("\nin: serves on 2 of 3 replicas only\n"), "{text}");
    assert_eq!(text.matches(message).count(), 1, "the object does not repeat it:\n{text}");
}

#[test]
fn a_refused_edit_says_what_goes_on_and_what_is_wrong() {
    let conditions = [
        condition("Accepted", "False", "Invalid", "services[0].addr: no port"),
        condition("ResolvedRefs", "Unknown", "Pending", ""),
        condition("Programmed", "False", "UsingPreviousConfig", "the last valid version goes on"),
        condition("Ready", "False", "Invalid", "services[0].addr: no port"),
    ];
    let status =
        both(&conditions, [listener("in", "3/3", &conditions), listener("db", "3/3", &conditions)]);
    let (text, is_good) = told(status);
    assert!(!is_good);
    let wanted = "in: serves as before the last edit, on 3 of 3 replicas\n\
                  \x20 Address:    :8080/x\n\
                  \x20 Replicas:   3/3\n\
                  \x20 Reason:     Invalid (Accepted)\n";
    assert!(text.contains(wanted), "{text}");
    assert!(text.contains("Reason:     UsingPreviousConfig (Programmed)\n"), "{text}");
    assert!(!text.contains("Pending"), "{text}");
}

#[test]
fn an_invalid_object_is_explained_once_and_its_services_point_there() {
    let conditions = [
        condition("Accepted", "False", "Invalid", "services[0].addr: no port"),
        condition("ResolvedRefs", "Unknown", "Pending", ""),
        condition("Programmed", "False", "Pending", "nothing runs until the spec is valid"),
        condition("Ready", "False", "Invalid", "services[0].addr: no port"),
    ];
    let (text, is_good) = told(json!({"observedGeneration": 4, "conditions": conditions}));
    assert!(!is_good && text.starts_with("WsTunnel team-a/edge: does not serve\n"), "{text}");
    assert_eq!(text.matches("services[0].addr: no port").count(), 1, "{text}");
    assert!(text.contains("\nin: does not serve\n  Why:        see above"), "{text}");
}

#[test]
fn an_object_that_nobody_has_looked_at_says_so() {
    let pending = |kind| condition(kind, "Unknown", "Pending", "waiting for a controller");
    let all = [pending("Accepted"), pending("Programmed"), pending("Ready")];
    let (text, is_good) = told(json!({"conditions": all}));
    assert!(!is_good);
    assert!(text.contains("Generation: 4; the controller has not seen this generation"), "{text}");
    assert_eq!(text.matches("waiting for a controller").count(), 1, "{text}");
    assert!(text.contains("watches namespace team-a"), "{text}");
    assert!(text.contains("\nin: does not serve\n  Why:        nothing is known of it yet\n"));
}

#[test]
fn a_status_about_an_older_spec_is_not_good() {
    let mut status =
        both(&good(), [listener("in", "3/3", &good()), listener("gone", "3/3", &good())]);
    status["observedGeneration"] = json!(3);
    let (text, is_good) = told(status);
    assert!(!is_good);
    assert!(text.contains("4; the controller has not seen this generation yet"), "{text}");
    assert!(text.contains("what follows is about 3"), "{text}");
    assert!(text.contains("gone: serves (not in the spec any more)"), "{text}");
    assert!(
        text.contains("db: does not serve\n  Why:        nothing is known of it yet"),
        "{text}"
    );
}

#[test]
fn what_is_worth_a_word_is_no_fault() {
    let mut conditions = good();
    conditions[0]["message"] = json!("service in: an open proxy");
    let status =
        both(&conditions, [listener("in", "1/1", &good()), listener("db", "1/1", &good())]);
    let (text, is_good) = told(status);
    assert!(is_good && text.contains("  Note:       service in: an open proxy\n"), "{text}");
}

#[test]
fn a_reason_of_a_newer_controller_is_told_as_it_is() {
    let bad = but("Programmed", "False", "OutOfLuck", "no luck");
    let status = both(&bad, [listener("in", "0/1", &bad), listener("db", "1/1", &good())]);
    let (text, _) = told(status);
    assert!(text.contains("OutOfLuck") && text.contains("the version of the controller"), "{text}");
}

#[test]
fn an_object_that_waits_for_a_finalizer_serves_nobody() {
    let status = both(&good(), [listener("in", "1/1", &good()), listener("db", "1/1", &good())]);
    let object = Object { deleting: true, ..object(&status) };
    let (text, is_good) = tell(&object, None);
    assert!(!is_good && text.starts_with("WsTunnel team-a/edge: is being deleted\n"), "{text}");
}

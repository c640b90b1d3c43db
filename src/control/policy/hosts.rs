//! Patterns of hostnames and prefixes of paths, with `{namespace}` in them.

use crate::base::name::is_label;
use crate::config::model::HostPattern;

/// The namespace of the tunnel.
const NAMESPACE: &str = "{namespace}";

/// The pattern for a namespace, which is a DNS label: neither a dot nor a slash comes in.
pub(super) fn filled(pattern: &str, namespace: &str) -> String {
    pattern.replace(NAMESPACE, namespace)
}

/// Why a pattern of hostnames cannot be one.
pub(super) fn check_host(pattern: &str) -> Result<(), &'static str> {
    let name = filled(pattern, "n");
    let name = name.strip_prefix("*.").unwrap_or(&name);
    if name.split('.').all(is_label) {
        return Ok(());
    }
    Err("write a name in lower case, or *.name for one more label; {namespace} stands for the \
         tunnel's namespace")
}

/// Why a prefix of paths cannot be one.
pub(super) fn check_path(prefix: &str) -> Result<(), &'static str> {
    let path = filled(prefix, "n");
    let bad = path.contains(['{', '}', '?', '#'])
        || path.contains("//")
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
        || path.chars().any(|c| c.is_whitespace() || c.is_control());
    if path.starts_with('/') && !bad {
        return Ok(());
    }
    Err("write a path that begins with / and has no { } ? # or spaces; {namespace} stands for the \
         tunnel's namespace")
}

/// Whether every name that `host` matches is one that the pattern matches.
pub(super) fn covers_host(pattern: &str, host: &HostPattern) -> bool {
    match (pattern.strip_prefix("*."), host) {
        (Some(above), HostPattern::Exact(name)) => {
            name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == above)
        }
        (Some(above), HostPattern::Wildcard(name)) => above == name,
        (None, HostPattern::Exact(name)) => pattern == name,
        (None, HostPattern::Wildcard(_)) => false,
    }
}

/// Whether every request that `path` matches is below the prefix: `/a` covers `/a`, `/a/` and
/// `/a/b`, never `/ab`.
pub(super) fn covers_path(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

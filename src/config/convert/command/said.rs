//! Objects that a parameter stands for: `bypass=`, `limiter.in=`, and TLS.

use super::Unsaid;
use crate::config::raw;

type Parameters = Vec<(&'static str, String)>;

/// The only name of a single name and a list of them.
fn only<'a>(single: &'a str, listed: &'a [String], key: &str) -> Result<&'a str, Unsaid> {
    let mut names: Vec<&str> = listed.iter().map(String::as_str).collect();
    names.extend((!single.is_empty()).then_some(single));
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => Ok(""),
        [name] => Ok(name),
        _ => Err(Unsaid::new(key, format!("a URL has one {key}"))),
    }
}

fn matchers(
    name: &'static str,
    whitelist: bool,
    matchers: &[String],
    file: Option<&raw::FileRef>,
) -> Result<(&'static str, String), Unsaid> {
    if file.is_some() || matchers.is_empty() {
        return Err(Unsaid::new(name, format!("{name}= is a list of matchers")));
    }
    Ok((name, format!("{}{}", if whitelist { "~" } else { "" }, matchers.join(","))))
}

pub(super) fn admission(
    service: &raw::Service,
    config: &raw::Config,
    query: &mut Parameters,
) -> Result<(), Unsaid> {
    let name = only(&service.admission, &service.admissions, "admission")?;
    for entry in config.admissions.iter().filter(|entry| entry.name == name) {
        let whitelist = entry.whitelist || entry.reverse;
        query.push(matchers("admission", whitelist, &entry.matchers, entry.file.as_ref())?);
    }
    Ok(())
}

pub(super) fn bypass(
    single: &str,
    listed: &[String],
    config: &raw::Config,
    query: &mut Parameters,
) -> Result<(), Unsaid> {
    let name = only(single, listed, "bypass")?;
    for entry in config.bypasses.iter().filter(|entry| entry.name == name) {
        if !entry.network.is_empty() {
            return Err(Unsaid::new("bypass", "bypass= is of every network"));
        }
        let whitelist = entry.whitelist || entry.reverse;
        query.push(matchers("bypass", whitelist, &entry.matchers, entry.file.as_ref())?);
    }
    Ok(())
}

pub(super) fn resolver(
    name: &str,
    config: &raw::Config,
    query: &mut Parameters,
) -> Result<(), Unsaid> {
    for entry in config.resolvers.iter().filter(|entry| entry.name == name) {
        let first = entry.nameservers.first().map(|n| n.prefer.as_str()).unwrap_or_default();
        let plain = |n: &raw::Nameserver| {
            n.only.is_empty() && n.ttl.is_none() && n.timeout.is_none() && n.prefer == first
        };
        if !entry.nameservers.iter().all(plain) {
            let why = "resolver= has addresses and one prefer= only";
            return Err(Unsaid::new("resolver", why));
        }
        let addrs: Vec<&str> = entry.nameservers.iter().map(|n| n.addr.as_str()).collect();
        query.push(("resolver", addrs.join(",")));
        if !first.is_empty() {
            query.push(("prefer", first.into()));
        }
    }
    Ok(())
}

pub(super) fn hosts(
    name: &str,
    config: &raw::Config,
    query: &mut Parameters,
) -> Result<(), Unsaid> {
    for entry in config.hosts.iter().filter(|entry| entry.name == name) {
        if entry.file.is_some() || entry.mappings.is_empty() {
            return Err(Unsaid::new("hosts", "hosts= is a list of name:ip"));
        }
        let pairs = entry.mappings.iter().flat_map(|mapping| {
            let names = std::iter::once(&mapping.hostname).chain(&mapping.aliases);
            names.map(|name| format!("{name}:{}", mapping.ip)).collect::<Vec<_>>()
        });
        query.push(("hosts", pairs.collect::<Vec<_>>().join(",")));
    }
    Ok(())
}

/// `limiter.in` and the others, `climiter`, `rlimiter`.
pub(super) fn limits(
    service: &raw::Service,
    config: &raw::Config,
    query: &mut Parameters,
) -> Result<(), Unsaid> {
    let lines = |limiters: &[raw::Limiter], name: &str, key: &'static str| {
        let entry = limiters.iter().find(|l| l.name == name).cloned().unwrap_or_default();
        let words = |line: &String| line.split_whitespace().map(String::from).collect();
        match entry.file {
            Some(_) => Err(Unsaid::new(key, "a URL names no file of limits")),
            None => Ok(entry.limits.iter().map(words).collect::<Vec<Vec<String>>>()),
        }
    };
    for words in lines(&config.limiters, &service.limiter, "limiter")? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (names, values) = match words.as_slice() {
            ["$", values @ ..] => (["limiter.in", "limiter.out"], values),
            ["$$", values @ ..] => (["limiter.conn.in", "limiter.conn.out"], values),
            _ => return Err(Unsaid::new("limiter", "a URL limits all clients or each connection")),
        };
        if values.len() > names.len() || query.iter().any(|(name, _)| names.contains(name)) {
            return Err(Unsaid::new("limiter", "a URL has one in and one out of each limit"));
        }
        query.extend(names.into_iter().zip(values.iter().map(ToString::to_string)));
    }
    let counted = [
        ("climiter", lines(&config.climiters, &service.climiter, "climiter")?),
        ("rlimiter", lines(&config.rlimiters, &service.rlimiter, "rlimiter")?),
    ];
    for (name, lines) in counted {
        match lines.as_slice() {
            [] => {}
            [words] if words.len() == 2 && words.first().is_some_and(|w| w == "$") => {
                query.extend(words.last().map(|limit| (name, limit.clone())));
            }
            _ => return Err(Unsaid::new(name, format!("{name}= is one number for the service"))),
        }
    }
    Ok(())
}

/// `strategy`, `maxFails`, `failTimeout`: all of them, since a command line has defaults of its own.
pub(super) fn selector(selector: Option<&raw::Selector>, query: &mut Parameters) {
    let Some(selector) = selector else { return };
    let strategy = if selector.strategy.is_empty() { "round" } else { &selector.strategy };
    let max_fails = selector.max_fails.filter(|fails| *fails > 0).unwrap_or(1);
    let zero = |text: &&str| text.parse().is_ok_and(|d: crate::base::GoDuration| d.0.is_zero());
    let fail_timeout = selector.fail_timeout.as_deref().filter(|text| !zero(text));
    query.push(("strategy", strategy.into()));
    query.push(("maxFails", max_fails.to_string()));
    query.push(("failTimeout", fail_timeout.unwrap_or("10s").into()));
}

/// `certFile` and its kin; `of` is `listener` or `dialer`.
pub(super) fn tls(tls: Option<&raw::Tls>, of: &str, query: &mut Parameters) -> Result<(), Unsaid> {
    let Some(tls) = tls else { return Ok(()) };
    let is_client = of == "dialer";
    let why = match tls {
        t if t.options.is_some() => Some(("options", "a URL has no versions and protocols of TLS")),
        t if t.reject_unknown_sni && !is_client => {
            Some(("rejectUnknownSNI", "a URL does not refuse names"))
        }
        t if t.secret_ref.is_some() => Some(("secretRef", "a URL names files")),
        t if t.ca_ref.is_some() => Some(("caRef", "a URL names files")),
        t if t.client_ca_ref.is_some() => Some(("clientCARef", "a URL names files")),
        _ => None,
    };
    if let Some((key, why)) = why {
        return Err(Unsaid::new(format!("{of}.tls.{key}"), why));
    }
    let texts =
        [("certFile", &tls.cert_file), ("keyFile", &tls.key_file), ("caFile", &tls.ca_file)];
    let given = texts.into_iter().filter(|(_, text)| !text.is_empty());
    query.extend(given.map(|(name, text)| (name, text.clone())));
    if is_client && tls.secure {
        query.push(("secure", "true".into()));
    }
    if is_client && !tls.server_name.is_empty() {
        query.push(("serverName", tls.server_name.clone()));
    }
    Ok(())
}

/// The user name and password of a URL.
pub(super) fn user(auth: &raw::Auth, key: &str) -> Result<(String, Option<String>), Unsaid> {
    if auth.secret_ref.is_some() || !auth.file.is_empty() {
        return Err(Unsaid::new(
            key,
            "a URL has a user and password, and no file or Secret of them",
        ));
    }
    Ok((auth.username.clone(), auth.password.clone()))
}

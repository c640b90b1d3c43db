//! Parameters that stand for objects of their own: `bypass=` is an entry of `bypasses`, and a
//! reference to it.

use super::Line;
use super::parts::Parts;
use crate::config::error::Findings;
use crate::config::raw;

/// Parameters of one text, turned into objects of the configuration.
pub(super) struct Objects<'a, 'p> {
    pub(super) parts: &'a mut Parts<'p>,
    pub(super) path: &'a str,
    pub(super) config: &'a mut raw::Config,
    pub(super) findings: &'a mut Findings,
}

impl Objects<'_, '_> {
    /// A parameter's value. A given one is not empty: it was meant to protect.
    fn value(&mut self, name: &str) -> Option<String> {
        let (_, text) = self.parts.take(&[name])?;
        if text.trim_matches([',', '~', ' ']).is_empty() {
            self.findings.invalid(self.path, format!("{name}= is empty"));
            return None;
        }
        Some(text)
    }

    /// `~a,b`: a whitelist (`~`) and its matchers.
    fn matchers(&mut self, name: &str) -> Option<(bool, Vec<String>)> {
        let text = self.value(name)?;
        let (whitelist, list) = match text.strip_prefix('~') {
            Some(list) => (true, list),
            None => (false, text.as_str()),
        };
        Some((whitelist, items(list)))
    }

    /// `admission=`.
    pub(super) fn admission(&mut self) -> String {
        let Some((whitelist, matchers)) = self.matchers("admission") else { return String::new() };
        let name = format!("admission-{}", self.config.admissions.len());
        let admission = raw::Admission { name, whitelist, matchers, ..Default::default() };
        let name = admission.name.clone();
        self.config.admissions.push(admission);
        name
    }

    /// `bypass=`.
    pub(super) fn bypass(&mut self) -> String {
        let Some((whitelist, matchers)) = self.matchers("bypass") else { return String::new() };
        let name = format!("bypass-{}", self.config.bypasses.len());
        let bypass = raw::Bypass { name: name.clone(), whitelist, matchers, ..Default::default() };
        self.config.bypasses.push(bypass);
        name
    }

    /// `resolver=` and `prefer=`. GOST reads `prefer` in `-L` only; here it counts in both.
    pub(super) fn resolver(&mut self) -> String {
        let prefer = self.value("prefer").unwrap_or_default();
        let Some(text) = self.value("resolver") else {
            if !prefer.is_empty() {
                self.findings.invalid(self.path, "prefer= is of a resolver; add resolver=");
            }
            return String::new();
        };
        let name = format!("resolver-{}", self.config.resolvers.len());
        let nameserver =
            |addr| raw::Nameserver { addr, prefer: prefer.clone(), ..Default::default() };
        let nameservers = items(&text).into_iter().map(nameserver).collect();
        self.config.resolvers.push(raw::Resolver { name: name.clone(), nameservers });
        name
    }

    /// `hosts=name:ip,..`. GOST leaves out an entry without a colon; here it is an error.
    pub(super) fn hosts(&mut self) -> String {
        let Some(text) = self.value("hosts") else { return String::new() };
        let mut mappings = Vec::new();
        for item in items(&text) {
            match item.split_once(':') {
                Some((hostname, ip)) => mappings.push(raw::Mapping {
                    ip: ip.into(),
                    hostname: hostname.into(),
                    ..Default::default()
                }),
                None => self.findings.invalid(self.path, "hosts= is a list of name:ip"),
            }
        }
        let name = format!("hosts-{}", self.config.hosts.len());
        self.config.hosts.push(raw::Hosts { name: name.clone(), mappings, ..Default::default() });
        name
    }

    /// `limiter.in`, `.out`, `.conn.in`, `.conn.out`. GOST takes an `.out` without an `.in` for the
    /// `.in`; here it is what it says.
    pub(super) fn limiter(&mut self) -> String {
        let mut limits = Vec::new();
        for (key, input, output) in
            [("$", "limiter.in", "limiter.out"), ("$$", "limiter.conn.in", "limiter.conn.out")]
        {
            match (self.value(input), self.value(output)) {
                (None, None) => {}
                (Some(input), None) => limits.push(format!("{key} {input}")),
                (input, Some(output)) => {
                    limits.push(format!("{key} {} {output}", input.as_deref().unwrap_or("0")));
                }
            }
        }
        if limits.is_empty() {
            return String::new();
        }
        let name = format!("limiter-{}", self.config.limiters.len());
        self.config.limiters.push(raw::Limiter {
            name: name.clone(),
            limits,
            ..Default::default()
        });
        name
    }

    /// `climiter=`: a positive whole number.
    pub(super) fn climiter(&mut self) -> String {
        let Some(text) = self.value("climiter") else { return String::new() };
        if !text.parse::<u32>().is_ok_and(|limit| limit > 0) {
            self.findings.invalid(self.path, "climiter= is not a positive whole number");
        }
        let name = format!("climiter-{}", self.config.climiters.len());
        let limits = vec![format!("$ {text}")];
        let limiter = raw::Limiter { name: name.clone(), limits, ..Default::default() };
        self.config.climiters.push(limiter);
        name
    }

    /// `rlimiter=`: a positive number.
    pub(super) fn rlimiter(&mut self) -> String {
        let Some(text) = self.value("rlimiter") else { return String::new() };
        if !text.parse::<f64>().is_ok_and(|limit| limit > 0.0 && limit.is_finite()) {
            self.findings.invalid(self.path, "rlimiter= is not a positive number");
        }
        let name = format!("rlimiter-{}", self.config.rlimiters.len());
        let limits = vec![format!("$ {text}")];
        let limiter = raw::Limiter { name: name.clone(), limits, ..Default::default() };
        self.config.rlimiters.push(limiter);
        name
    }

    /// `strategy`, `maxFails`, `failTimeout`. With any of them GOST's defaults on the command line:
    /// round, 1 and 30 s instead of a file's 10 s.
    pub(super) fn selector(&mut self) -> Option<raw::Selector> {
        let strategy = self.value("strategy");
        let fails = self.value("maxFails").or_else(|| self.value("max_fails"));
        let timeout = self.value("failTimeout").or_else(|| self.value("fail_timeout"));
        if strategy.is_none() && fails.is_none() && timeout.is_none() {
            return None;
        }
        let max_fails = fails.as_deref().unwrap_or("1").parse().ok().filter(|fails| *fails > 0);
        if max_fails.is_none() {
            self.findings.invalid(self.path, "maxFails= is not a positive whole number");
        }
        let timeout = timeout.unwrap_or_else(|| "30s".into());
        // As in metadata: a bare number is seconds.
        let seconds = timeout.parse::<u32>().is_ok();
        Some(raw::Selector {
            strategy: strategy.unwrap_or_else(|| "round".into()),
            max_fails,
            fail_timeout: Some(if seconds { format!("{timeout}s") } else { timeout }),
        })
    }

    /// The parameters of TLS; `client` has more of them.
    pub(super) fn tls(&mut self, kind: &str, client: bool) -> Option<raw::Tls> {
        let mut given = None;
        let mut text = |names: &[&'static str]| {
            let (_, value) = self.parts.take(names)?;
            given = names.last().copied();
            Some(value)
        };
        let mut tls = raw::Tls {
            cert_file: text(&["tls.certFile", "certFile", "cert"]).unwrap_or_default(),
            key_file: text(&["tls.keyFile", "keyFile", "key"]).unwrap_or_default(),
            ca_file: text(&["tls.caFile", "caFile", "ca"]).unwrap_or_default(),
            ..raw::Tls::default()
        };
        if client {
            match text(&["tls.secure", "secure"]).as_deref().map(crate::config::read::go_bool) {
                None => {}
                Some(Some(secure)) => tls.secure = secure,
                Some(None) => {
                    self.findings.invalid(self.path, "secure= is neither true nor false");
                }
            }
            let name = ["tls.serverName", "serverName"];
            tls.server_name = (self.parts.take(&name).map(|(_, value)| value)).unwrap_or_default();
            if !tls.server_name.is_empty() {
                given = Some("serverName");
            }
        }
        let name = given?;
        if !crate::config::types::is_tls(kind) {
            let message = format!(
                "{name}= is of TLS and {kind} has none; use tls, wss or mwss, or remove it"
            );
            self.findings.invalid(self.path, message);
        }
        (tls != raw::Tls::default()).then_some(tls)
    }
}

fn items(list: &str) -> Vec<String> {
    list.split(',').filter(|item| !item.is_empty()).map(Into::into).collect()
}

/// How many objects there are of each list that parameters add to.
pub(super) struct Counts([(&'static str, usize); 7]);

impl Counts {
    pub(super) fn of(config: &raw::Config) -> Self {
        Self([
            ("admissions", config.admissions.len()),
            ("bypasses", config.bypasses.len()),
            ("resolvers", config.resolvers.len()),
            ("hosts", config.hosts.len()),
            ("limiters", config.limiters.len()),
            ("climiters", config.climiters.len()),
            ("rlimiters", config.rlimiters.len()),
        ])
    }

    /// Names the flag that the objects since then come from.
    pub(super) fn label_new(self, label: &str, line: &mut Line) {
        for ((list, before), (_, now)) in self.0.into_iter().zip(Self::of(&line.config).0) {
            let one = list.strip_suffix("es").filter(|_| list == "bypasses");
            let one = one.or_else(|| list.strip_suffix('s')).unwrap_or(list);
            let one = if list == "hosts" { list } else { one };
            for at in before..now {
                line.labels.push((format!("{list}[{at}]"), format!("{label}: {one}=")));
            }
        }
    }
}

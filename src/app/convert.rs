//! `adit convert`: GOST's YAML, `WsTunnel`s and command lines, from one to another.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::{files, output};
use crate::base::{ListenAddr, Reason};
use crate::cli::{ConvertArgs, Form, Format};
use crate::config::cmdline;
use crate::config::convert::{self, Objects, Wanted};
use crate::config::error::{ConfigErrors, Diagnostic};
use crate::config::files::{Need, referenced};
use crate::config::lower::{LowerContext, Lowered, is_about_outside, lower, lower_tunnel};
use crate::config::raw;
use crate::config::read::{Documents, TunnelDoc, read};
use crate::control::policy::Class;
use crate::crd;
use crate::sidecar::Inputs;

/// The front ports of an installation that says nothing else: without TLS, and with it.
const FRONTS: (u16, u16) = {
    let [http, https] = files::FRONTS;
    (http, https)
};

/// Prints the configuration in another form, and to standard error a line for each thing that is not
/// carried over as it is.
///
/// # Errors
/// An input that is wrong by itself, or of which nothing is left.
pub(super) fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let names: Vec<String> = args.files.iter().chain(&args.config).cloned().collect();
    if names.is_empty() && args.listen.is_empty() && args.forward.is_empty() {
        return Err(wrong("nothing to convert: give files or folders, or -L and -F"));
    }
    let line = cmdline::parse(&args.listen, &args.forward)?;
    let inputs = Inputs::open(&names).context("cannot read standard input")?;
    let (mut documents, places) = files::merge(&inputs, &line).complete()?;
    output::warn(&documents)?;
    let tell = |found: Vec<Diagnostic>| found.into_iter().map(|d| places.tell(d)).collect();
    check(&documents).map_err(|(found, of_gost)| match of_gost {
        true => ConfigErrors(tell(found.0)),
        false => found,
    })?;
    name_default_certificate(&mut documents.gost);
    let form = form(args, &documents)?;
    let mut notes = Notes::default();
    let text = match form {
        Form::Wst => objects(args, &names, &documents, &tell, &mut notes)?,
        Form::Gost => gost(&documents, &mut notes)?,
        Form::Cmdline => command_lines(&documents, &tell, &mut notes)?,
    };
    if form != Form::Gost {
        let given = [("log", documents.log.is_some()), ("metrics", documents.metrics.is_some())];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = "dropped: it is of the process; say it with its flags --log-level, \
                           --log-format and --admin";
            notes.0.push(Diagnostic::new(key, Reason::Accepted, message));
        }
    }
    notes.print()?;
    match text {
        Some(text) => super::print(&text),
        None => Err(wrong("nothing is left to write; the lines above say why")),
    }
}

fn wrong(message: &str) -> anyhow::Error {
    ConfigErrors::one(Diagnostic::new("", Reason::Invalid, message)).into()
}

/// Lines for standard error, each once.
#[derive(Default)]
struct Notes(Vec<Diagnostic>);

impl Notes {
    fn print(&self) -> std::io::Result<()> {
        let mut stderr = std::io::stderr().lock();
        let mut seen = BTreeSet::new();
        let lines = self.0.iter().map(ToString::to_string);
        lines
            .filter(|line| seen.insert(line.clone()))
            .try_for_each(|line| writeln!(stderr, "warning: {line}"))
    }
}

/// What is to be written; by default what the input is not.
fn form(args: &ConvertArgs, documents: &Documents) -> anyhow::Result<Form> {
    let has_gost = !documents.gost.services.is_empty();
    let form = match (args.output, has_gost, documents.tunnels.is_empty()) {
        (_, false, true) => return Err(wrong("the input has neither services nor a WsTunnel")),
        (Some(form), ..) => form,
        (None, true, true) => Form::Wst,
        (None, false, false) => Form::Gost,
        (None, true, false) => {
            let message = "the input has both GOST's services and a WsTunnel; say with -o which \
                           form is wanted: wst, gost or cmdline";
            return Err(wrong(message));
        }
    };
    if form != Form::Wst && (args.name.is_some() || args.namespace.is_some()) {
        return Err(wrong(
            "--name and --namespace are those of a WsTunnel that is written: -o wst",
        ));
    }
    if form == Form::Wst && args.name.is_some() && !has_gost {
        return Err(wrong("--name names what GOST's services become; a WsTunnel keeps its name"));
    }
    Ok(form)
}

/// Everything that would keep the input from running, but for files and Secrets that need not be here.
/// Whether it is in the part that has no name.
fn check(documents: &Documents) -> Result<(), (ConfigErrors, bool)> {
    let context = LowerContext::files("default", &documents.secrets);
    let outcome = lower(&documents.gost, &context);
    within_itself(outcome).map_err(|found| (found, true))?;
    for tunnel in &documents.tunnels {
        check_tunnel(tunnel, documents).map_err(|found| (found.within(&tunnel.title()), false))?;
    }
    Ok(())
}

fn check_tunnel(tunnel: &TunnelDoc, documents: &Documents) -> Result<(), ConfigErrors> {
    let context = LowerContext::files(&tunnel.namespace, &documents.secrets);
    within_itself(lower_tunnel(&tunnel.spec, &context))
}

fn within_itself(outcome: Result<Lowered, ConfigErrors>) -> Result<(), ConfigErrors> {
    let Err(ConfigErrors(mut found)) = outcome else { return Ok(()) };
    found.retain(|error| !is_about_outside(error));
    if found.is_empty() { Ok(()) } else { Err(ConfigErrors(found)) }
}

/// GOST takes `cert.pem` and `key.pem` of the working directory where nothing else is named.
fn name_default_certificate(config: &mut raw::Config) {
    let needs = referenced(config);
    let mut optional = needs.iter().filter(|(_, need)| **need == Need::Optional).peekable();
    if optional.peek().is_some() && optional.all(|(path, _)| Path::new(path).is_file()) {
        convert::name_default_certificate(config);
    }
}

/// `-o wst`.
fn objects(
    args: &ConvertArgs,
    names: &[String],
    documents: &Documents,
    tell: &dyn Fn(Vec<Diagnostic>) -> Vec<Diagnostic>,
    notes: &mut Notes,
) -> anyhow::Result<Option<String>> {
    let mut written: Vec<Objects> = Vec::new();
    let inline = args.inline_credentials;
    if !documents.gost.services.is_empty() {
        let name = args.name.clone().unwrap_or_else(|| name_of(names));
        let namespace = args.namespace.as_deref();
        let wanted = Wanted { name: &name, namespace, inline, fronts: FRONTS };
        let spec = raw::TunnelSpec { config: documents.gost.clone(), ..Default::default() };
        let (objects, found) = convert::tunnel(spec, &wanted);
        notes.0.extend(tell(found));
        written.extend(objects);
    }
    for tunnel in &documents.tunnels {
        let namespace = Some(args.namespace.as_deref().unwrap_or(&tunnel.namespace));
        let wanted = Wanted { name: &tunnel.name, namespace, inline, fronts: FRONTS };
        let (objects, found) = convert::tunnel(tunnel.spec.clone(), &wanted);
        notes.0.extend(found.into_iter().map(|d| d.within(&tunnel.title())));
        written.extend(objects);
    }
    for (namespace, name) in documents.secrets.0.keys() {
        let message = "is not written again; apply it too";
        let title = format!("Secret {namespace}/{name}");
        notes.0.push(Diagnostic::new(title, Reason::Accepted, message));
    }
    if written.is_empty() {
        return Ok(None);
    }
    let mut texts = Vec::new();
    for Objects { secrets, tunnel } in &written {
        for secret in secrets {
            texts.push(output::text(secret, Format::Yaml)?);
        }
        texts.push(output::text(tunnel, Format::Yaml)?);
    }
    let text = texts.join("---\n");
    of_cluster(&text, notes)?;
    Ok(Some(text))
}

/// A name from that of the first file.
fn name_of(names: &[String]) -> String {
    let first = names.first().filter(|name| *name != "-" && !name.starts_with('{'));
    let stem = first.and_then(|name| Path::new(name).file_stem()).and_then(|stem| stem.to_str());
    convert::label(stem.unwrap_or_default(), "tunnel")
}

/// Reads what is written as `check` would, and adds what a cluster would say of it.
///
/// # Errors
/// What the API server would refuse.
fn of_cluster(text: &str, notes: &mut Notes) -> Result<(), ConfigErrors> {
    let documents = read(text)?;
    check(&documents).map_err(|(found, _)| found)?;
    let ports = files::FRONTS;
    for tunnel in &documents.tunnels {
        let spec = serde_json::to_value(&tunnel.spec).unwrap_or_default();
        let misfits = crd::misfits(&spec).into_iter();
        let misfits =
            misfits.map(|(path, message)| Diagnostic::new(path, Reason::Invalid, message));
        let misfits: Vec<_> = misfits.collect();
        if !misfits.is_empty() {
            return Err(ConfigErrors(misfits).within(&tunnel.title()));
        }
        let context = LowerContext::controller(&tunnel.namespace, &documents.secrets, &ports);
        let refused = lower_tunnel(&tunnel.spec, &context).err().map(|found| found.0);
        let refused = refused.unwrap_or_default().into_iter().filter(|d| !is_about_outside(d));
        let refused = refused.chain(ports_refused(tunnel)).map(|found| {
            let message = format!("a cluster refuses it as it is: {}", found.message);
            Diagnostic::new(found.path, found.reason, message).within(&tunnel.title())
        });
        notes.0.extend(refused);
    }
    Ok(())
}

/// Ports that the controller does not give away, unless its flags or its classes say other ones.
fn ports_refused(tunnel: &TunnelDoc) -> Vec<Diagnostic> {
    let bind = Class::built_in().bind;
    let mut refused = Vec::new();
    for (i, service) in tunnel.spec.config.services.iter().enumerate() {
        let Ok(ListenAddr { port, .. }) = service.addr.parse() else { continue };
        let kind = service.listener.as_ref().map(|l| l.kind.as_str()).unwrap_or_default();
        let (plain, secure) = FRONTS;
        let message = match kind {
            "ws" | "mws" if port == plain => continue,
            "wss" | "mwss" if port == secure => continue,
            _ if kind != "udp" && port == plain => {
                format!("port {port} is the front port for ws and mws by default; choose another")
            }
            _ if kind != "udp" && port == secure => {
                format!("port {port} is the front port for wss and mwss by default; choose another")
            }
            _ if bind.contains(port) => continue,
            _ => format!(
                "port {port} is outside of {bind}; choose one of them, or a front port ({plain}, \
                 {secure} with TLS)"
            ),
        };
        let path = format!("services[{i}].addr");
        refused.push(Diagnostic::new(path, Reason::PortNotAllowed, message));
    }
    refused
}

/// One configuration of GOST's for each `WsTunnel`, with what there is to say of it.
fn opened(
    tunnel: &TunnelDoc,
    documents: &Documents,
    notes: &mut Notes,
) -> Result<raw::Config, ConfigErrors> {
    let (config, found) =
        convert::gost(tunnel, &documents.secrets).map_err(|found| found.within(&tunnel.title()))?;
    notes.0.extend(found.into_iter().map(|d| d.within(&tunnel.title())));
    Ok(config)
}

/// `-o gost`.
fn gost(documents: &Documents, notes: &mut Notes) -> anyhow::Result<Option<String>> {
    let mut merged = documents.gost.clone();
    for tunnel in &documents.tunnels {
        let config = opened(tunnel, documents, notes)?;
        let found = convert::join(&mut merged, config, &tunnel.name);
        notes.0.extend(found.into_iter().map(|d| d.within(&tunnel.title())));
    }
    Ok(Some(output::gost(&merged, documents, Format::Yaml)?))
}

/// `-o cmdline`.
fn command_lines(
    documents: &Documents,
    tell: &dyn Fn(Vec<Diagnostic>) -> Vec<Diagnostic>,
    notes: &mut Notes,
) -> anyhow::Result<Option<String>> {
    let (mut commands, found) = convert::commands(&documents.gost);
    notes.0.extend(tell(found));
    for tunnel in &documents.tunnels {
        let config = opened(tunnel, documents, notes)?;
        let (more, found) = convert::commands(&config);
        notes.0.extend(found.into_iter().map(|d| d.within(&tunnel.title())));
        commands.extend(more);
    }
    let text: String = commands.iter().map(|command| format!("{command}\n")).collect();
    Ok((!text.is_empty()).then_some(text))
}

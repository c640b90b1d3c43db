//! Flags and commands, with the texts of `--help`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::base::name::{is_label, is_subdomain};
use crate::base::size::SizeError;
use crate::base::{GoDuration, ListenAddr, Size};
use crate::telemetry::LogFormat;

const LISTEN: &str =
    "A service: [scheme://][user:pass@][host]:port[/target][?key=value]. Repeatable";

/// WebSocket tunnels that speak GOST's wire protocol, in a Kubernetes cluster and without one.
#[derive(Debug, Parser)]
#[command(
    name = "adit",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do; without a command it is `run`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run services from files and GOST's command line (the default command)
    Run(RunArgs),
    /// Run the services of the cluster's WsTunnel objects
    Controller(Box<ControllerArgs>),
    /// Run the services of a mounted folder, and follow its changes
    Sidecar(SidecarArgs),
    /// Say what is wrong with files; exit code 64 if something is
    Check(CheckArgs),
    /// Say for each service of a WsTunnel whether it serves, why not, and what to do next
    Explain(ExplainArgs),
    /// Write files, -L and -F as a WsTunnel, or a WsTunnel as GOST's YAML or a command line
    Convert(ConvertArgs),
    /// Prove that an installation serves: make a WsTunnel, go through it, delete it (for helm test)
    Selftest(SelftestArgs),
    /// Print the CustomResourceDefinition of WsTunnel
    Crd,
    /// Print the version
    Version,
}

/// Flags of `run`, GOST's.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// The services of the command line.
    #[arg(short = 'L', value_name = "URL", help = LISTEN)]
    pub listen: Vec<String>,
    /// A hop of the chain that the -L services dial through. Repeatable, in order
    #[arg(short = 'F', value_name = "URL")]
    pub forward: Vec<String>,
    /// A file or folder of GOST services or WsTunnel manifests; - is standard input, {..} is inline
    /// JSON. Read again when it changes, and on SIGHUP. Repeatable
    #[arg(short = 'C', value_name = "FILE")]
    pub config: Vec<String>,
    /// Print the configuration of -C, -L and -F in GOST's form, and end
    #[arg(short = 'O', value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Read the configuration again at this interval too
    #[arg(short = 'R', value_name = "DURATION", value_parser = interval)]
    pub reload: Option<Duration>,
    /// Log at level debug
    #[arg(short = 'D')]
    pub debug: bool,
    /// Log at level trace (GOST's -DD)
    #[arg(long, hide = true)]
    pub trace: bool,
    /// Address of probes and metrics; off by default
    #[arg(long, value_name = "ADDR", env = "ADIT_ADMIN")]
    pub admin: Option<ListenAddr>,
    /// GOST's flag for --admin: probes and metrics, at /metrics
    #[arg(long, value_name = "ADDR", hide = true, conflicts_with = "admin")]
    pub metrics: Option<String>,
    /// GOST's flag for an API that adit does not have
    #[arg(long, value_name = "ADDR", hide = true)]
    pub api: Option<String>,
    /// Flags of every process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// How a configuration is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

/// Flags of every process.
#[derive(Clone, Debug, Default, Args)]
pub struct ProcessArgs {
    /// How long to go on accepting after SIGTERM
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "ADIT_SHUTDOWN_DELAY")]
    pub shutdown_delay: Option<Duration>,
    /// How long open tunnels may go on after that
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "ADIT_DRAIN_TIMEOUT")]
    pub drain_timeout: Option<Duration>,
    /// trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL", env = "ADIT_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// text or json; text on a terminal, else json
    #[arg(long, value_name = "FORMAT", env = "ADIT_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Flags of `controller`.
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// How to reach the API server; in a cluster its own ServiceAccount by default
    #[arg(long, value_name = "FILE", env = "ADIT_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// The name of this installation, as in the field manager of status writes
    #[arg(long, default_value = "adit", env = "ADIT_INSTANCE")]
    pub instance: String,
    /// The classes: what tunnels may do. Read again when it changes; without it there is one class,
    /// adit, the default, which requires users (requireAuth)
    #[arg(long, value_name = "FILE", env = "ADIT_CLASSES")]
    pub classes: Option<PathBuf>,
    /// The front port without TLS: ws and mws, shared by hostnames and path
    #[arg(long, value_name = "ADDR", default_value = ":8080", env = "ADIT_FRONT_HTTP")]
    pub front_http: ListenAddr,
    /// The front port with TLS: wss and mwss, shared by hostnames and path
    #[arg(long, value_name = "ADDR", default_value = ":8443", env = "ADIT_FRONT_HTTPS")]
    pub front_https: ListenAddr,
    /// Handshakes that may be in flight on the front ports; a tunnel's own port has 128 of its own
    #[arg(long, value_name = "N", default_value_t = 1024, env = "ADIT_FRONT_HANDSHAKES")]
    pub front_handshakes: usize,
    /// Those of one source address (or /64), on the front ports and on each other port
    #[arg(long, value_name = "N", default_value_t = 64, env = "ADIT_FRONT_HANDSHAKES_PER_SOURCE")]
    pub front_handshakes_per_source: usize,
    /// Bytes that may wait in queues for slow peers, as 256MiB; by default half of the memory limit of
    /// the cgroup, else 512MiB. A namespace may hold at most half of what the others leave
    #[arg(long, value_name = "SIZE", value_parser = size, env = "ADIT_MEMORY_BUDGET")]
    pub memory_budget: Option<usize>,
    /// Watch this namespace only. Repeatable; all namespaces by default
    #[arg(long, value_name = "NS", env = "ADIT_NAMESPACE", value_delimiter = ',')]
    pub namespace: Vec<String>,
    /// Watch and read only Secrets of this name in these namespaces, as a Role with resourceNames
    /// allows. Repeatable; every Secret that tunnels can use by default
    #[arg(long, value_name = "NAME", env = "ADIT_SECRET_NAME", value_delimiter = ',')]
    #[arg(requires = "namespace", value_parser = object_name)]
    pub secret_name: Vec<String>,
    /// The namespace of the Lease, the replicas' reports and their Pods; by default the Pod's, else
    /// adit-system
    #[arg(long, value_name = "NS", env = "ADIT_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// This Pod's name (downward API)
    #[arg(long, value_name = "NAME", env = "ADIT_POD_NAME")]
    pub pod_name: Option<String>,
    /// This Pod's namespace (downward API)
    #[arg(long, value_name = "NS", env = "ADIT_POD_NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// This Pod's address, never a target (downward API)
    #[arg(long, value_name = "IP", env = "ADIT_POD_IP", value_delimiter = ',')]
    pub pod_ip: Vec<std::net::IpAddr>,
    /// Lift the egress guard for these addresses, for every tunnel: tests and single-tenant use
    #[arg(long, value_name = "CIDR", env = "ADIT_ALLOW_EGRESS", value_delimiter = ',')]
    pub allow_egress: Vec<IpNet>,
    /// Refuse these targets too, such as the prefix of a NAT64. Repeatable
    #[arg(long, value_name = "CIDR", env = "ADIT_DENY_EGRESS", value_delimiter = ',')]
    pub deny_egress: Vec<IpNet>,
    /// The cluster's DNS domain
    #[arg(long, value_name = "NAME", default_value = "cluster.local", env = "ADIT_CLUSTER_DOMAIN")]
    pub cluster_domain: String,
    /// Address of probes and metrics
    #[arg(long, value_name = "ADDR", default_value = ":9180", env = "ADIT_ADMIN")]
    pub admin: ListenAddr,
    /// Flags of every process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Flags of `sidecar`.
#[derive(Clone, Debug, Args)]
pub struct SidecarArgs {
    /// The folder: a mounted ConfigMap of GOST files or WsTunnel manifests
    #[arg(long, value_name = "DIR", env = "ADIT_CONFIG")]
    pub config: PathBuf,
    /// Address of probes and metrics
    #[arg(long, value_name = "ADDR", default_value = ":9180", env = "ADIT_ADMIN")]
    pub admin: ListenAddr,
    /// Flags of every process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Files and folders to check, together as `-C` would read them, but WsTunnels as a cluster would
    /// judge them; - is standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// The services of the command line, as for `run`.
    #[arg(short = 'L', value_name = "URL", help = LISTEN)]
    pub listen: Vec<String>,
    /// A hop of the chain that the -L services dial through. Repeatable, in order
    #[arg(short = 'F', value_name = "URL")]
    pub forward: Vec<String>,
    /// Check this class file, and WsTunnels against its classes, as a controller on the chart's ports
    /// would
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXPLAIN)]
pub struct ExplainArgs {
    /// An object of the cluster, or a file: what ends in .yaml, .yml or .json or begins with . or /;
    /// - is standard input
    #[arg(value_name = "NS/NAME|FILE")]
    pub what: String,
    /// The namespace of a NAME; by default that of the kubeconfig's context
    #[arg(short, long, value_name = "NS", value_parser = label)]
    pub namespace: Option<String>,
    /// How to reach the API server; by default as kubectl does, or as a pod
    #[arg(long, value_name = "FILE", env = "ADIT_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// The class file of the installation: says too which limits the tunnel's class raises or lowers
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
}

const EXPLAIN: &str = "Examples:
  adit explain team-a/edge
  adit explain edge -n team-a
  adit explain tunnel.yaml

Of the cluster it needs the verb get on wstunnels.adit.dev in that namespace, and nothing else. Exit code 0
if everything serves as the spec says, 1 if something does not, 64 if a file is wrong.";

/// Flags of `selftest`.
#[derive(Clone, Debug, Args)]
#[command(after_help = SELFTEST)]
pub struct SelftestArgs {
    /// The front Service: ws://HOST:PORT, or wss:// for the front port with TLS
    #[arg(long, value_name = "URL")]
    pub front: String,
    /// The namespace to make the WsTunnel in, one that the controller watches; by default that of the
    /// pod, or of the kubeconfig's context
    #[arg(short, long, value_name = "NS", value_parser = label)]
    pub namespace: Option<String>,
    /// The WsTunnel's name; by default one that nobody else has. One of that name, which a test that
    /// was killed left, is deleted first
    #[arg(long, value_name = "NAME", value_parser = label)]
    pub name: Option<String>,
    /// className of the WsTunnel; by default none, and so the default class
    #[arg(long, value_name = "NAME")]
    pub class_name: Option<String>,
    /// The controller's front port behind the URL; by default :8080 for ws, :8443 for wss
    #[arg(long, value_name = "ADDR")]
    pub addr: Option<ListenAddr>,
    /// How long the WsTunnel may take to become Ready
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub timeout: Duration,
    /// How to reach the API server; by default as kubectl does, or as a pod
    #[arg(long, value_name = "FILE", env = "ADIT_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
}

const SELFTEST: &str = "Example:
  adit selftest -n adit-system --front ws://adit.adit-system.svc:80

It makes a WsTunnel with a password of its own and two services: one on the front port, and one that it reaches
through the first and asks for a word that only this run knows. It needs the verbs create, get and delete on
wstunnels.adit.dev in the namespace. Exit code 0 if every step worked, else 1.";

/// Arguments of `convert`.
#[derive(Clone, Debug, Args)]
#[command(after_help = CONVERT)]
pub struct ConvertArgs {
    /// Files and folders of GOST services, WsTunnel and Secret manifests; - is standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// The same, as for `run`. Repeatable
    #[arg(short = 'C', value_name = "FILE")]
    pub config: Vec<String>,
    /// The services of the command line, as for `run`.
    #[arg(short = 'L', value_name = "URL", help = LISTEN)]
    pub listen: Vec<String>,
    /// A hop of the chain that the -L services dial through. Repeatable, in order
    #[arg(short = 'F', value_name = "URL")]
    pub forward: Vec<String>,
    /// What to write: by default a WsTunnel, or GOST's YAML where the input is a WsTunnel
    #[arg(short, long, value_name = "FORM")]
    pub output: Option<Form>,
    /// Name of the WsTunnel; by default that of the file
    #[arg(long, value_name = "NAME", value_parser = label)]
    pub name: Option<String>,
    /// Namespace of the WsTunnel and its Secrets
    #[arg(short, long, value_name = "NS", value_parser = label)]
    pub namespace: Option<String>,
    /// Leave passwords in the WsTunnel; by default they become Secrets beside it
    #[arg(long)]
    pub inline_credentials: bool,
}

const CONVERT: &str = "Examples:
  adit convert gost.yaml | kubectl apply -f -
  adit convert -L 'http+ws://:8080?path=/dev' --name dev -n team-a
  adit convert tunnel.yaml secrets.yaml -o cmdline

What is not carried over as it is has a line on standard error. Exit code 64 if the input is wrong, or
nothing of it is left.";

/// What `convert` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A WsTunnel, and Secrets for its passwords
    Wst,
    /// GOST's YAML
    Gost,
    /// Commands, one for each chain
    Cmdline,
}

/// A name of the cluster's.
fn label(text: &str) -> Result<String, String> {
    match is_label(text) {
        true => Ok(text.into()),
        false => Err("write at most 63 lower-case letters, digits and hyphens between them".into()),
    }
}

/// The name of an object: a DNS subdomain (RFC 1123), so that it means nothing else in a selector.
fn object_name(text: &str) -> Result<String, &'static str> {
    if is_subdomain(text) {
        Ok(text.into())
    } else {
        Err("not the name of an object: lower case letters, digits, '-' and '.'")
    }
}

fn duration(text: &str) -> Result<Duration, crate::base::duration::DurationError> {
    text.parse::<GoDuration>().map(|duration| duration.0)
}

/// A size of at least a mebibyte, in bytes.
fn size(text: &str) -> Result<usize, String> {
    let Size(bytes) = text.parse().map_err(|error: SizeError| error.to_string())?;
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes >= 1 << 20);
    bytes.ok_or_else(|| "at least 1MiB".into())
}

/// How often to read again; not more often than files are looked at.
fn interval(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(every) if every >= Duration::from_secs(1) => Ok(every),
        Ok(_) => Err("at least 1s".into()),
        Err(error) => Err(error.to_string()),
    }
}

impl RunArgs {
    /// Where probes and metrics are: `--admin`, or GOST's `-metrics ADDR[?path=/metrics]`.
    ///
    /// # Errors
    /// What GOST's flags can say and adit cannot do. Never the text: it may hold a password.
    pub fn admin_addr(&self) -> anyhow::Result<Option<ListenAddr>> {
        anyhow::ensure!(
            self.api.is_none(),
            "-api: there is no web API; change the files of -C, which are followed, or send SIGHUP"
        );
        let Some(text) = &self.metrics else { return Ok(self.admin.clone()) };
        let (addr, query) = text.split_once('?').unwrap_or((text, ""));
        anyhow::ensure!(
            !addr.contains('@'),
            "-metrics: there is no password for metrics; keep them on an address of their own"
        );
        anyhow::ensure!(
            matches!(query, "" | "path=/metrics" | "path=%2Fmetrics"),
            "-metrics: the path of metrics is /metrics"
        );
        Ok(Some(addr.parse().context("-metrics")?))
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_budget_is_a_size_of_a_mebibyte_or_more() {
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("1Gi"), Ok(1 << 30));
        assert_eq!(size("2048KB"), Ok(2 << 20));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        for text in ["", "1", "256", "MiB", "512KiB", "99999999999999GiB", "-1MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}

//! `adit selftest`: whether an installation serves, proved from a tunnel's first word to its last byte.

mod passage;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::explain;
use crate::base::{ListenAddr, Reason};
use crate::cli::SelftestArgs;
use crate::control::{Connection, Object, Tunnels};
use crate::shutdown::Shutdown;
use passage::Passage;

/// How often the object is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Ports of the second service. Another tunnel may have one of them; then another one is tried.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// How many ports are tried.
const TRIES: u32 = 3;

/// Makes a tunnel, waits for it, goes through it and deletes it, with a line for each step.
///
/// # Errors
/// The step that failed. The tunnel is deleted then too.
pub(super) async fn run(args: SelftestArgs) -> anyhow::Result<ExitCode> {
    let front = Front::parse(&args.front, args.addr.clone())?;
    let connection = Connection::open(args.kubeconfig.as_deref()).await?;
    let namespace = args.namespace.as_deref().unwrap_or(connection.namespace()).to_string();
    let tunnels = Tunnels::new(&connection, &namespace);
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    for left in (0..TRIES).rev() {
        let attempt = Attempt::new(&front, args.class_name.as_deref(), args.name.as_deref());
        if args.name.is_some() {
            tunnels
                .delete(&attempt.name)
                .await
                .context("a WsTunnel of an earlier test is there")?;
        }
        if let Err(error) = tunnels.create(&attempt.name, attempt.spec()).await {
            // What was said too late may have been done.
            let _ = tunnels.delete(&attempt.name).await;
            return Err(anyhow::Error::from(error).context("the selftest failed"));
        }
        say(&format!("ok: WsTunnel {namespace}/{} made", attempt.name))?;
        let outcome = tokio::select! {
            outcome = attempt.run(&tunnels, args.timeout) => outcome,
            () = shutdown.begin().cancelled() => Err(anyhow::anyhow!("ended by a signal")),
        };
        let deleted = tunnels.delete(&attempt.name).await;
        if let (Err(_), Err(left)) = (&outcome, &deleted) {
            say(&format!("the WsTunnel is left over: {left}"))?;
        }
        match outcome {
            Ok(_) if deleted.is_err() => deleted.context("the WsTunnel is left over")?,
            Ok(Outcome::Passed) => {
                say(&format!("ok: WsTunnel {namespace}/{} deleted", attempt.name))?;
                return Ok(ExitCode::SUCCESS);
            }
            Ok(Outcome::PortTaken) if left > 0 => {
                say(&format!("port {} is taken, trying another one", attempt.port))?;
            }
            Ok(Outcome::PortTaken) => bail!("{TRIES} ports of {PORTS:?} are taken"),
            Err(error) => return Err(error.context("the selftest failed")),
        }
    }
    bail!("no port was tried")
}

/// How an attempt ended that met no fault.
enum Outcome {
    Passed,
    PortTaken,
}

/// Where clients connect to, and which port of the controller that is.
struct Front {
    /// `ws` or `wss`.
    kind: &'static str,
    /// Host and port.
    authority: String,
    addr: ListenAddr,
}

impl Front {
    fn parse(url: &str, addr: Option<ListenAddr>) -> anyhow::Result<Self> {
        let (kind, port, rest) = match (url.strip_prefix("ws://"), url.strip_prefix("wss://")) {
            (Some(rest), _) => ("ws", 8080, rest),
            (_, Some(rest)) => ("wss", 8443, rest),
            _ => bail!("--front: write ws://HOST:PORT or wss://HOST:PORT"),
        };
        let authority = rest.trim_end_matches('/');
        let bare = !authority.is_empty() && !authority.contains(['/', '?', '#', '@']);
        ensure!(bare, "--front: write a host and port alone; path and password are the selftest's");
        let addr = addr.unwrap_or(ListenAddr::port(port));
        Ok(Self { kind, authority: authority.into(), addr })
    }
}

/// One tunnel, with words that nobody else knows.
struct Attempt<'a> {
    front: &'a Front,
    class: Option<&'a str>,
    /// Of the object, and of the path.
    name: String,
    password: String,
    word: String,
    port: u16,
}

impl<'a> Attempt<'a> {
    fn new(front: &'a Front, class: Option<&'a str>, name: Option<&str>) -> Self {
        let name = name.map_or_else(|| format!("adit-selftest-{}", random()), Into::into);
        let (password, word) = (random(), random());
        Self { front, class, name, password, word, port: rand::random_range(PORTS) }
    }

    /// Waits for the object and goes through it.
    async fn run(&self, tunnels: &Tunnels, timeout: Duration) -> anyhow::Result<Outcome> {
        let Self { name, front, .. } = self;
        let began = Instant::now();
        let object = match tokio::time::timeout(timeout, self.settled(tunnels)).await {
            Ok(object) => object?,
            Err(_) => {
                let (text, _) = explain::tell(&tunnels.get(name).await?);
                bail!("it is not Ready after {timeout:?}:\n{text}");
            }
        };
        if !is_ready(&object) {
            if port_is_taken(&object) {
                return Ok(Outcome::PortTaken);
            }
            if let Some(advice) = of_class(&object) {
                bail!("{advice}\nIt was refused:\n{}", explain::tell(&object).0);
            }
            bail!("it was refused:\n{}", explain::tell(&object).0);
        }
        let replicas = object.status.summary.as_ref().map_or("", |summary| &summary.replicas);
        say(&format!("ok: Ready after {:.1?} on {replicas} replicas", began.elapsed()))?;
        let passage = Passage {
            url: format!(
                "http+{}://selftest:{}@{}?path=/{name}",
                front.kind, self.password, front.authority
            ),
            port: self.port,
            word: &self.word,
        };
        passage.go().await.with_context(|| format!("through {}/{name}", front.authority))?;
        say(&format!(
            "ok: through {}://{}/{name} the tunnel's own port {} said the word of this test",
            front.kind, front.authority, self.port
        ))?;
        Ok(Outcome::Passed)
    }

    /// A proxy on the front port, and behind it what can be reached in every cluster: a port of the
    /// same object. That one asks everybody for a password, in a realm that is the word.
    fn spec(&self) -> Value {
        let auth = json!({"username": "selftest", "password": self.password});
        let services = json!([
            {
                "name": "front", "addr": format!(":{}", self.front.addr.port),
                "handler": {"type": "http", "auth": auth},
                "listener": {"type": self.front.kind, "metadata": {"path": format!("/{}", self.name)}},
            },
            {
                "name": "target", "addr": format!(":{}", self.port),
                "handler": {"type": "http", "auth": auth, "metadata": {"authBasicRealm": self.word}},
                "listener": {"type": "tcp"},
            },
        ]);
        match self.class {
            Some(class) => json!({"className": class, "services": services}),
            None => json!({"services": services}),
        }
    }

    /// The object when it is Ready, or is refused for good.
    async fn settled(&self, tunnels: &Tunnels) -> anyhow::Result<Object> {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let object = tunnels.get(&self.name).await?;
            let refused = object.status.condition("Accepted").is_some_and(|c| c.status == "False");
            if is_ready(&object) || refused || port_is_taken(&object) {
                return Ok(object);
            }
        }
    }
}

fn is_ready(object: &Object) -> bool {
    object.status.condition("Ready").is_some_and(|condition| condition.status == "True")
}

/// What to do where no class allows the test: its object is gone when somebody reads this.
fn of_class(object: &Object) -> Option<String> {
    let accepted = object.status.condition("Accepted").filter(|c| c.status == "False")?;
    let of_classes = [
        Reason::NoClass,
        Reason::NotAllowedByClass,
        Reason::HostnameNotAllowed,
        Reason::PathNotAllowed,
        Reason::PortNotAllowed,
        Reason::QuotaExceeded,
    ];
    of_classes.iter().find(|reason| reason.as_str() == accepted.reason)?;
    Some(format!(
        "the installation's classes do not allow this test, which says nothing against the installation: \
         name one with --class-name (the chart's value tests.className) that serves namespace {} and \
         allows listeners ws and tcp, handler http, any hostname, a path /adit-selftest-.., a port of \
         10000-19999 and a password in the spec; or leave the test out (tests.enabled=false)",
        object.key.namespace
    ))
}

/// Another tunnel or another process has the port of the second service.
fn port_is_taken(object: &Object) -> bool {
    let taken = [Reason::PortConflict.as_str(), Reason::AddressInUse.as_str()];
    let target = object.status.listener("target");
    target.is_some_and(|target| {
        target.conditions.iter().any(|c| c.status == "False" && taken.contains(&&*c.reason))
    })
}

fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_a_host_and_a_port_with_or_without_tls() {
        let front = Front::parse("ws://adit.ns.svc:80", None).unwrap();
        assert_eq!(
            (front.kind, &*front.authority, front.addr.port),
            ("ws", "adit.ns.svc:80", 8080)
        );
        let front = Front::parse("wss://[::1]:443/", None).unwrap();
        assert_eq!((front.kind, &*front.authority, front.addr.port), ("wss", "[::1]:443", 8443));
        let front = Front::parse("ws://h:1", Some(ListenAddr::port(9))).unwrap();
        assert_eq!(front.addr.port, 9);
        for url in ["h:80", "http://h:80", "ws://", "ws://u:p@h:80", "ws://h:80/x", "ws://h?path=/"]
        {
            assert!(Front::parse(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn the_tunnel_of_the_test_would_be_accepted_and_is_no_open_proxy() {
        use crate::config::lower::{LowerContext, lower_tunnel};
        use crate::config::secrets::Secrets;
        let front = Front::parse("ws://h:80", None).unwrap();
        let spec = serde_json::from_value(Attempt::new(&front, None, None).spec()).unwrap();
        let secrets = Secrets::default();
        let context = LowerContext::controller("n", &secrets, &[8080, 8443]);
        let lowered = lower_tunnel(&spec, &context).unwrap();
        assert_eq!(lowered.services.len(), 2);
        assert!(lowered.services.iter().all(|service| !service.handler.is_open()));
    }
}

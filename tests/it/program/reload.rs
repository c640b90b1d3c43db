//! Changes of files while `adit -C` runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use crate::support::http::{connect_through, get, get_through, origin};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(20);

struct Run {
    adit: Process,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

impl Run {
    /// Starts adit on `adit.yaml` in a folder of its own; `$DIR` in texts is that folder.
    fn start(files: &[(&str, &str)], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admin = loopback(ports::free());
        let run = |args: &[String]| Process::adit(args);
        let mut args =
            vec!["-C".to_string(), folder.path().join("adit.yaml").display().to_string()];
        args.extend(["--admin".to_string(), admin.to_string()]);
        args.extend(arguments.iter().map(ToString::to_string));
        for (name, text) in files {
            write(
                &folder.path().join(name),
                &text.replace("$DIR", folder.path().to_str().unwrap()),
            );
        }
        let adit = run(&args);
        let run = Self { adit, admin, folder };
        eventually("it is ready", WITHIN, || run.ready().is_some_and(|(code, _)| code == 200));
        run
    }

    fn write(&self, name: &str, text: &str) {
        let folder = self.folder.path();
        write(&folder.join(name), &text.replace("$DIR", folder.to_str().unwrap()));
    }

    fn ready(&self) -> Option<(u16, String)> {
        get(self.admin, "/readyz").ok().map(|response| (response.status, response.text()))
    }

    fn metric(&self, line: &str) -> bool {
        get(self.admin, "/metrics").is_ok_and(|response| response.text().contains(line))
    }
}

/// As editors do: a new file takes the name.
fn write(path: &PathBuf, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn services(ports: &[u16]) -> String {
    let one = |port: &u16| {
        format!(
            "- {{name: s{port}, addr: '127.0.0.1:{port}', handler: {{type: http}}, listener: {{type: tcp}}}}\n"
        )
    };
    format!("services:\n{}", ports.iter().map(one).collect::<String>())
}

#[test]
fn a_changed_file_is_taken_over_and_a_broken_one_is_not() {
    let (first, second) = (ports::free(), ports::free());
    let run = Run::start(&[("adit.yaml", &services(&[first]))], &[]);
    let target = origin("through");
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut tunnel = connect_through(loopback(first), peer.local_addr().unwrap()).unwrap();
    let (mut far, _) = peer.accept().unwrap();

    run.write("adit.yaml", &services(&[second]));
    run.adit.signal("HUP");
    eventually("the new service serves", WITHIN, || {
        get_through(loopback(second), target).is_ok_and(|response| response.text() == "through")
    });
    tunnel.write_all(b"still here").unwrap();
    let mut text = [0; 10];
    far.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"still here");
    assert!(run.metric("adit_config_last_reload_successful 1"));

    run.write("adit.yaml", "services: [{name: a, handler: {type: htp}}, {name: b, addr: ':x'}]");
    eventually("all that is wrong is said", WITHIN, || {
        run.ready().is_some_and(|(code, body)| {
            code == 200 && body.contains("htp") && body.contains("adit.yaml: services[1].addr")
        })
    });
    assert!(run.metric("adit_config_last_reload_successful 0"));
    run.adit.prints("configuration refused");
    assert_eq!(get_through(loopback(second), target).unwrap().text(), "through");

    run.write("adit.yaml", "");
    eventually("an empty file stops nothing", WITHIN, || {
        run.ready().is_some_and(|(_, body)| body.contains("no service is given"))
    });
    run.write("adit.yaml", &services(&[first, second]));
    eventually("the way back", WITHIN, || run.metric("adit_config_last_reload_successful 1"));
    eventually("the first service is back", WITHIN, || {
        get_through(loopback(first), target).is_ok_and(|response| response.text() == "through")
    });
}

#[test]
fn a_hangup_reads_everything_again_and_half_of_a_change_is_none() {
    let (first, second) = (ports::free(), ports::free());
    let run = Run::start(&[("adit.yaml", &services(&[first]))], &[]);
    run.adit.signal("HUP");
    // Nothing has changed, so it is the signal that did it.
    run.adit.prints("\"revision\":2");
    let wrong = "- {name: b, addr: ':1', handler: {type: htp}}\n";
    run.write("adit.yaml", &(services(&[second]) + wrong));
    run.adit.signal("HUP");
    eventually("the change is refused", WITHIN, || {
        run.ready().is_some_and(|(code, body)| code == 200 && body.contains("htp"))
    });
    assert!(run.metric("adit_config_reload_failures_total 1"));
    let target = origin("through");
    assert_eq!(get_through(loopback(first), target).unwrap().text(), "through");
    assert!(get(loopback(second), "/").is_err(), "the good half was taken");
}

#[test]
fn a_port_that_is_taken_keeps_the_rest() {
    let (first, second) = (ports::free(), ports::free());
    let run = Run::start(&[("adit.yaml", &services(&[first]))], &["-R", "1s"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    run.write("adit.yaml", &services(&[first, port, second]));
    let target = origin("through");
    eventually("the new one serves", WITHIN, || get_through(loopback(second), target).is_ok());
    assert_eq!(get_through(loopback(first), target).unwrap().text(), "through");
    assert!(run.ready().is_some_and(|(_, body)| body.contains(&format!("s{port}: AddressInUse"))));
}

#[test]
fn a_changed_users_file_counts_for_new_connections() {
    let port = ports::free();
    let text = format!(
        "
services:
- {{name: a, addr: '127.0.0.1:{port}', handler: {{type: http, auther: users}}, listener: {{type: tcp}}}}
authers: [{{name: users, file: {{path: $DIR/users}}}}]
"
    );
    let run = Run::start(&[("users", "u first"), ("adit.yaml", &text)], &[]);
    let target = origin("through");
    let passes = |password: &str| {
        let mut stream = std::net::TcpStream::connect(loopback(port)).unwrap();
        // base64 of u:first and u:second
        let credentials = if password == "first" { "dTpmaXJzdA==" } else { "dTpzZWNvbmQ=" };
        write!(
            stream,
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
        )
        .unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        status.ends_with(b"200")
    };
    assert!(passes("first") && !passes("second"));
    run.write("users", "u second");
    eventually("the new password counts", WITHIN, || passes("second"));
    assert!(!passes("first"));
    std::fs::remove_file(run.folder.path().join("users")).unwrap();
    eventually("the lost file is said", WITHIN, || {
        run.ready().is_some_and(|(code, body)| code == 200 && body.contains("users"))
    });
    assert!(passes("second"), "the last good configuration runs on");
}

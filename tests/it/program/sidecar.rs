//! `adit sidecar`: a folder as kubelet mounts it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::support::http::{connect_through, get, get_through, origin};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::wait::eventually;

const WITHIN: Duration = Duration::from_secs(20);

/// Lays out `adit.yaml` as kubelet does: in a folder of its own behind the link `..data`.
fn publish(mount: &Path, version: &str, text: &str) {
    let data = mount.join(format!("..{version}"));
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("adit.yaml"), text).unwrap();
    symlink(format!("..{version}"), mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    let _ = symlink("..data/adit.yaml", mount.join("adit.yaml"));
}

fn services(ports: &[u16]) -> String {
    let one = |port: &u16| {
        format!(
            "- {{name: s{port}, addr: '127.0.0.1:{port}', handler: {{type: http}}, listener: {{type: tcp}}}}\n"
        )
    };
    format!("services:\n{}", ports.iter().map(one).collect::<String>())
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn status(admin: SocketAddr, path: &str) -> Option<(u16, String)> {
    get(admin, path).ok().map(|response| (response.status, response.text()))
}

#[test]
fn a_swapped_folder_is_taken_over_and_open_tunnels_go_on() {
    let mount = tempfile::tempdir().unwrap();
    let (first, second, admin) = (ports::free(), ports::free(), loopback(ports::free()));
    publish(mount.path(), "1", &services(&[first]));
    let dir = mount.path().display().to_string();
    let mut adit = Process::adit(&["sidecar", "--config", &dir, "--admin", &admin.to_string()]);
    eventually("it is ready", WITHIN, || {
        status(admin, "/readyz").is_some_and(|(code, _)| code == 200)
    });
    assert_eq!(status(admin, "/startupz").unwrap().0, 200);

    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut tunnel = connect_through(loopback(first), peer.local_addr().unwrap()).unwrap();
    let (mut far, _) = peer.accept().unwrap();

    publish(mount.path(), "2", &services(&[second]));
    let target = origin("through");
    eventually("the new service serves", WITHIN, || {
        get_through(loopback(second), target).is_ok_and(|response| response.text() == "through")
    });
    eventually("the old port is closed", WITHIN, || get(loopback(first), "/").is_err());
    tunnel.write_all(b"still here").unwrap();
    let mut text = [0; 10];
    far.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"still here");

    publish(mount.path(), "3", "services: [{name: broken, handler: {type: htp}}]");
    eventually("the refusal is said", WITHIN, || {
        status(admin, "/readyz").is_some_and(|(code, body)| code == 200 && body.contains("htp"))
    });
    assert!(status(admin, "/metrics").unwrap().1.contains("adit_config_reload_failures_total 1"));
    assert_eq!(get_through(loopback(second), target).unwrap().text(), "through");

    drop((tunnel, far));
    adit.signal("TERM");
    assert_eq!(adit.ends(WITHIN).code(), Some(0));
}

#[test]
fn a_folder_that_is_wrong_at_the_start_ends_the_process() {
    let mount = tempfile::tempdir().unwrap();
    publish(mount.path(), "1", "services: [{name: a, handler: {type: htp}}]");
    let dir = mount.path().display().to_string();
    let mut adit = Process::adit(&["sidecar", "--config", &dir, "--admin", "127.0.0.1:0"]);
    assert_eq!(adit.ends(WITHIN).code(), Some(64));
    assert!(adit.printed().contains("htp"), "{}", adit.printed());
}

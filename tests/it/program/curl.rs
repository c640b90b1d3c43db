//! curl as the client of every proxy protocol: an implementation that is nobody's of ours.

use std::process::Command;
use std::time::Duration;

use crate::support::http::origin;
use crate::support::ports;
use crate::support::process::Process;

/// curl's exit code and what it printed.
fn curl(proxy: &str, url: &str) -> (Option<i32>, String) {
    let args = ["--silent", "--show-error", "--max-time", "20", "--noproxy", "", "--proxy", proxy];
    let output = Command::new("curl").args(args).arg(url).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run curl, install it: {e}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn proxy(handler: &str, user: &str) -> (Process, u16) {
    let port = ports::free();
    let adit = Process::adit(&["-L", &format!("{handler}://{user}127.0.0.1:{port}")]);
    crate::support::wait::eventually("it listens", Duration::from_secs(20), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    (adit, port)
}

#[test]
fn curl_passes_through_each_protocol_with_addresses_and_names() {
    let origin = origin("hello");
    let by_name = format!("http://localhost:{}/", origin.port());
    let by_address = format!("http://{origin}/");
    for (handler, schemes) in [
        ("auto", &["http", "socks4", "socks4a", "socks5", "socks5h"][..]),
        ("socks5", &["socks5", "socks5h"]),
        ("socks4", &["socks4", "socks4a"]),
    ] {
        let (_adit, port) = proxy(handler, "");
        for scheme in schemes {
            for url in [&by_name, &by_address] {
                let said = curl(&format!("{scheme}://127.0.0.1:{port}"), url);
                assert_eq!(said, (Some(0), "hello".into()), "{scheme} to {handler}: {url}");
            }
        }
    }
}

#[test]
fn curl_needs_the_right_password() {
    let url = format!("http://{}/", origin("hello"));
    for handler in ["auto", "socks5"] {
        let (adit, port) = proxy(handler, "u:p@");
        let said = |user: &str| curl(&format!("socks5h://{user}127.0.0.1:{port}"), &url);
        assert_eq!(said("u:p@"), (Some(0), "hello".into()), "{handler}");
        for user in ["", "u:wrong@", "other:p@"] {
            // 97: the proxy handshake failed.
            assert_eq!(said(user).0, Some(97), "{handler} as {user:?}");
            let why = if user.is_empty() { "missing" } else { "wrong" };
            adit.prints(&format!("{why} credentials"));
        }
    }
}

#[test]
fn curl_is_told_that_a_target_is_not_reached() {
    let (_adit, port) = proxy("auto", "");
    let nobody = format!("http://127.0.0.1:{}/", ports::free());
    for scheme in ["socks4a", "socks5h"] {
        let (code, said) = curl(&format!("{scheme}://127.0.0.1:{port}"), &nobody);
        assert_eq!(code, Some(97), "{scheme}: {said}");
    }
}

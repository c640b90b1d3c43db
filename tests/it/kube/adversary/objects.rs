//! What the attacking tenant writes into its namespace.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::neighbour::HOST;
use super::stranger::{FLOOD, HTTP, SLOW, Targets};
use crate::kube::secrets;
use crate::support::cluster::Cluster;

/// The password that the stranger knows.
pub const USER: (&str, &str) = ("a", "b");

fn own(name: &str, port: u16, handler: Value, listener: Value) -> Value {
    json!({"name": name, "addr": format!(":{port}"), "handler": handler, "listener": listener})
}

fn users() -> Value {
    json!([{"name": "users", "auths": [{"username": USER.0, "password": USER.1}]}])
}

/// Tunnels that any tenant may have: a port for slow heads, one for sessions of many streams, and a
/// proxy whose bypasses are as hard to match as may be.
pub fn accepted(cluster: &Cluster, ns: &str, targets: &Targets) {
    let with_users = |kind: &str| json!({"type": kind, "auther": "users"});
    let slow = json!({"type": "ws", "metadata": {"path": "/x", "readHeaderTimeout": "30s"}});
    let mux = json!({"type": "mws", "metadata": {"path": "/x", "mux.version": 2}});
    let plain = json!({"type": "ws", "metadata": {"path": "/x"}});
    let hard: Vec<String> = (0..256).map(|n| format!("*{}b{n:03}", "a".repeat(60))).collect();
    let bypasses: Vec<Value> =
        (0..16).map(|n| json!({"name": format!("b{n}"), "matchers": hard})).collect();
    let names = |from: usize| (from..from + 8).map(|n| format!("b{n}")).collect::<Vec<_>>();
    let node = |n: usize| json!({"name": format!("n{n}"), "addr": targets.closed.to_string(), "bypasses": names(8)});
    let nodes: Vec<Value> = (0..16).map(node).collect();
    let mut http = with_users("http");
    http["retries"] = json!(10);
    http["chain"] = json!("c");
    let mut asked = own("http", HTTP, http, plain);
    asked["bypasses"] = json!(names(0));
    let spec = json!({
        "services": [
            own("slow", SLOW, with_users("http"), slow),
            own("flood", FLOOD, with_users("relay"), mux),
            asked,
        ],
        "authers": users(),
        "bypasses": bypasses,
        "chains": [{"name": "c", "hops": [{"name": "h", "nodes": nodes}]}],
    });
    cluster.put(ns, "tools", spec);
    cluster.becomes(ns, "tools", "Programmed", "True/Programmed");
}

/// Objects that ask for more than a tenant may have; how many the API server refused at once. The
/// controller refuses the others.
pub fn refused(cluster: &Cluster, ns: &str) -> usize {
    let listener = |metadata: Value| json!({"type": "mws", "metadata": metadata});
    let one = |name: &str, port: u16, metadata: Value| {
        let handler = json!({"type": "http", "auther": "users"});
        let service = own(name, port, handler, listener(metadata));
        json!({"services": [service], "authers": users()})
    };
    let node = |n: usize| {
        let tls = json!({"secure": true, "serverName": format!("n{n}.example")});
        json!({"name": format!("n{n}"), "addr": "n.example:443", "dialer": {"type": "wss", "tls": tls}})
    };
    let hops: Vec<Value> = (0..8)
        .map(|h| json!({"name": format!("h{h}"), "nodes": (0..16).map(node).collect::<Vec<_>>()}))
        .collect();
    let service = |n: u16| {
        let handler = json!({"type": "http", "auther": "users", "chain": "c"});
        own(&format!("s{n}"), 10_000 + n, handler, json!({"type": "tcp"}))
    };
    let product = json!({
        "services": (0..32).map(service).collect::<Vec<_>>(),
        "chains": [{"name": "c", "hops": hops}], "authers": users(),
    });
    let named = |name: &str| {
        let mut spec = one("in", 9010, json!({"path": "/n"}));
        spec["authers"] = json!([{"name": "users", "secretRef": {"name": name}}]);
        spec
    };
    let objects = [
        ("product", product.clone()),
        ("product-too", product),
        ("buffers", one("in", 9011, json!({"path": "/b", "mux.maxReceiveBuffer": 2_147_483_647}))),
        ("pings", one("in", 9012, json!({"path": "/p", "mux.keepaliveInterval": "1ns"}))),
        ("slower", one("in", 9013, json!({"path": "/s", "readHeaderTimeout": "8760h"}))),
        ("watch", named("?watch=true&a=1")),
        ("path", named("../../kube-system/secrets/x")),
    ];
    let mut at_once = 0;
    for (name, spec) in objects {
        if cluster.try_put(ns, name, spec).is_err() {
            at_once += 1;
        } else {
            let reason = if name.starts_with("product") { "QuotaExceeded" } else { "Invalid" };
            cluster.becomes(ns, name, "Accepted", &format!("False/{reason}"));
        }
    }
    at_once
}

/// Edits and objects without end: references to Secrets that do not exist, claims of one path and of
/// the neighbour's host, names that change.
pub fn churn(cluster: &Cluster, ns: &str, stop: &AtomicBool) {
    let claims = |path: &str| {
        let service = |n: usize| {
            let listener = json!({"type": "ws", "metadata": {"path": path}});
            let handler = json!({"type": "http", "auther": "users"});
            own(&format!("s{n}"), 8080, handler, listener)
        };
        json!({"services": (0..32).map(service).collect::<Vec<_>>(), "authers": users()})
    };
    let missing = |round: usize| {
        let authers: Vec<Value> = (0..32)
            .map(|n| json!({"name": format!("a{n}"), "secretRef": {"name": format!("none-{round}-{n}")}}))
            .collect();
        let names: Vec<String> = (0..16).map(|n| format!("a{n}")).collect();
        let handler = json!({"type": "http", "authers": names});
        let service = own("in", 9020, handler, json!({"type": "ws", "metadata": {"path": "/m"}}));
        json!({"services": [service], "authers": authers})
    };
    let stolen = |round: usize| {
        let listener = json!({"type": "ws", "metadata": {"path": format!("/elsewhere-{round}")}});
        let tls = json!({"type": "wss", "metadata": {"path": format!("/elsewhere-{round}")}});
        let handler = json!({"type": "http", "auther": "users"});
        let mut services =
            [own("in", 8080, handler.clone(), listener), own("tls", 8443, handler, tls)];
        services.iter_mut().for_each(|service| service["hostnames"] = json!([HOST]));
        json!({"services": services, "authers": users()})
    };
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // A mistake of these requests is not the claim here: the API server may refuse any of them.
        let _ = cluster.try_put(ns, &format!("claims-{}", round % 99), claims("/one"));
        let _ = cluster.try_put(ns, &format!("missing-{}", round % 8), missing(round));
        let _ = cluster.try_put(ns, "stolen", stolen(round));
        let (name, usage) = (format!("s{}", round % 64), json!({"adit.dev/usage": "users"}));
        secrets::put(cluster, ns, &name, "Opaque", usage, &[("u", "p")]);
    }
}

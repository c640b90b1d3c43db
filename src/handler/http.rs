//! Handler `http`: an HTTP proxy as GOST's, CONNECT and plain forwarding.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::reply::{self, Refusal, refusal, refuse};
use super::{Access, Exchanged, FAREWELL, Handler, HandlerError, auth};
use crate::base::{Network, Target};
use crate::config::model::HttpHandlerConfig;
use crate::io::{AsyncIo, BoxIo, Ending, Read, ReadError, ended, read_wire};
use crate::proto::http1::RequestHead;

mod counted;
mod datagrams;
mod fields;
mod forward;

/// From the stream's start to the end of the request's head. GOST has no limit.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest request head, in bytes; it has at most [`MAX_FIELDS`](crate::proto::http1::MAX_FIELDS) fields.
const MAX_HEAD: usize = 128 * 1024;

impl Handler {
    /// One client of the proxy, up to the tunnel or, for plain requests, to the end.
    pub(super) async fn http(
        &self,
        config: &HttpHandlerConfig,
        client: BoxIo,
        access: &mut Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let mut client = AsyncIo::new(client);
        let read = tokio::select! {
            read = read_head(&mut client) => read,
            () = stop.cancelled() => {
                ended(&mut client.into_io(&[]), Ending::Restart, FAREWELL).await;
                return Err(HandlerError::Stopped);
            }
        };
        let read = match read {
            Ok(read) => read,
            Err((refused, error)) => {
                if let Some(refused) = refused {
                    refuse(client, refusal(refused, config, false).as_bytes()).await;
                }
                return Err(error);
            }
        };
        let head = &read.value;
        let keep = head.headers.get("proxy-connection").is_some_and(|v| v == "keep-alive");
        if let Some(users) = &config.users {
            let given = head.headers.get("proxy-authorization");
            match auth::basic(users, given) {
                Some(user) => {
                    self.passwords.right(access.peer.ip());
                    access.user = Some(user);
                }
                None => {
                    self.metrics.auth_failures.inc();
                    let error = match given {
                        Some(_) => HandlerError::WrongPassword,
                        None => HandlerError::Unauthorized,
                    };
                    if given.is_some() {
                        self.brake(access.peer.ip(), client.departed(), stop).await?;
                    }
                    refuse(client, refusal(Refusal::Unauthorized, config, keep).as_bytes()).await;
                    return Err(error);
                }
            }
        }
        self.requested(access)?;
        if head.headers.get("x-gost-protocol") == Some("udp") {
            let asked = self.http_datagrams(config, client, &read, access, stop);
            return Box::pin(asked).await;
        }
        let connect = head.method == "CONNECT";
        let target = match target_of(head) {
            Ok(target) => target,
            Err(e) => {
                refuse(client, refusal(Refusal::BadRequest, config, keep).as_bytes()).await;
                return Err(e);
            }
        };
        access.target = Some(target.clone());
        if let Err(e) = self.check_target(Network::Tcp, &target) {
            refuse(client, refusal(Refusal::Forbidden, config, keep).as_bytes()).await;
            return Err(e);
        }
        if !connect {
            let upgrades = head.headers.has_token("connection", "upgrade");
            let client = (client.into_io(&read.bytes), upgrades);
            return Box::pin(self.forward(config, client, access, stop)).await.map(Exchanged::Done);
        }
        match self.connect(&target, access, client.departed(), stop).await {
            Ok(upstream) => {
                answered(&mut client, &reply::established(config), stop).await?;
                Ok(Exchanged::Tunnel(client.into_io(read.leftover()), upstream))
            }
            Err(e @ HandlerError::ClientGone(_)) => Err(e),
            Err(e) => {
                refuse(client, refusal(Refusal::Unavailable, config, keep).as_bytes()).await;
                Err(e)
            }
        }
    }
}

/// Writes the answer that opens the way.
async fn answered(
    client: &mut AsyncIo,
    answer: &str,
    stop: &CancellationToken,
) -> Result<(), HandlerError> {
    // It has room at once, unless the client let our answers to its pings pile up.
    let written = tokio::select! {
        written = reply::write(client, answer.as_bytes()) => written,
        () = tokio::time::sleep(HEAD_TIMEOUT) => return Err(HandlerError::Slow),
        () = stop.cancelled() => return Err(HandlerError::Stopped),
    };
    written.map_err(HandlerError::ClientGone)
}

/// The first head, or why there is none and what the client is told.
async fn read_head(
    client: &mut AsyncIo,
) -> Result<Read<RequestHead>, (Option<Refusal>, HandlerError)> {
    let head = tokio::time::timeout(HEAD_TIMEOUT, read_wire::<RequestHead>(client, MAX_HEAD)).await;
    head.map_err(|_| (None, HandlerError::Slow))?.map_err(|error| {
        let refused = match &error {
            ReadError::TooLong(_) => Some(Refusal::TooLarge),
            ReadError::Malformed(error) if error.is_too_many() => Some(Refusal::TooLarge),
            ReadError::Malformed(_) => Some(Refusal::BadRequest),
            ReadError::Io(_) | ReadError::Ended(_) => None,
        };
        (refused, HandlerError::unreadable(error))
    })
}

fn target_of(head: &RequestHead) -> Result<Target, HandlerError> {
    host_of(head.headers.count("host"), head.headers.get("host"))?;
    target_of_parts(&head.method, &head.target, head.headers.get("host"))
}

/// Refuses several Host fields, and one that is none (RFC 9112 3.2), also where another part of the
/// request says what it is for: a server behind us may go by either.
fn host_of(fields: usize, host: Option<&str>) -> Result<(), HandlerError> {
    let bad = |text: &str| HandlerError::BadTarget(text.chars().take(200).collect());
    match (fields, host) {
        (0, _) | (1, Some("")) => Ok(()),
        (1, Some(host)) => Target::parse(host, Some(80)).map(drop).map_err(|_| bad("a bad Host")),
        (1, None) => Err(bad("a Host that is no text")),
        _ => Err(bad("several Host fields")),
    }
}

/// What a request asks for: CONNECT's authority, the authority of an absolute `http` URL, or the
/// Host of any other request (so a proxied server's own URLs work). Port 80 if there is none, also
/// for CONNECT: so does GOST.
fn target_of_parts(method: &str, url: &str, host: Option<&str>) -> Result<Target, HandlerError> {
    let bad = || bad_target(url);
    let connect = method == "CONNECT";
    let authority = match url.split_once("://") {
        _ if connect && url.is_empty() => return Err(bad()),
        _ if connect => url,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority.rsplit_once('@').map_or(authority, |(_, host)| host)
        }
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            return Err(bad());
        }
        _ => host.ok_or_else(bad)?,
    };
    let target = Target::parse(authority, Some(80)).map_err(|_| bad())?;
    // A plain request needs a host; CONNECT ":80" is this machine, as in GOST.
    if target.host.is_none() && !connect { Err(bad()) } else { Ok(target) }
}

/// Names what a client asked for, without what may be secret: credentials and query.
fn bad_target(url: &str) -> HandlerError {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            (Some(scheme), rest)
        }
        _ => (None, url),
    };
    let host = match rest.rsplit_once('@') {
        // A query can have an @ too, so nothing but the next word is shown.
        Some((_, rest)) => rest.split(['/', '?', '#', '&']).next(),
        None => rest.split(['?', '#']).next(),
    };
    let shown = scheme.into_iter().flat_map(|s| [s, "://"]).chain(host);
    HandlerError::BadTarget(shown.flat_map(str::chars).take(200).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::base::{ListenAddr, Origin, ServiceKey};
    use crate::config::model::{HandlerConfig, ListenerConfig, ServiceConfig};
    use crate::gate::Entry;
    use crate::handler::HandlerContext;
    use crate::io::Inbound;
    use crate::metrics::Metrics;
    use crate::net::dial::{Dial, DialRequest, Dialing};
    use crate::proto::Wire;

    /// Every target is there and says nothing.
    struct Silent;

    impl Dial for Silent {
        fn dial<'a>(&'a self, _: DialRequest<'a>) -> Dialing<'a> {
            Box::pin(async { Ok(Box::new(tokio::io::duplex(64).0) as _) })
        }
    }

    fn handler() -> Handler {
        let http = HttpHandlerConfig { read_timeout: None, ..Default::default() };
        let listener = ListenerConfig::Tcp(Default::default());
        let http = HandlerConfig::Http(http);
        let config = ServiceConfig::new("s", ListenAddr::port(1), listener, http);
        let key = ServiceKey::new(Origin::Files, "s");
        let metrics = Metrics::new().unwrap().service(&key);
        let stopping = CancellationToken::new();
        let (dialer, clients, passwords) = (Arc::new(Silent), Arc::default(), Arc::default());
        let memory = Default::default();
        let context = HandlerContext { dialer, metrics, clients, key, memory, stopping, passwords };
        Handler::build(&config, context).unwrap()
    }

    fn inbound(io: tokio::io::DuplexStream) -> Inbound {
        let addr = ([127, 0, 0, 1], 1).into();
        Inbound { io: Box::new(io), peer: addr, local: addr }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_answer_is_ended_by_a_stop() {
        let (ours, mut client) = tokio::io::duplex(32);
        let (handler, stop) = (handler(), CancellationToken::new());
        let served = tokio::time::timeout(
            HEAD_TIMEOUT / 2,
            handler.serve(inbound(ours), Entry::free(), None, None, &stop),
        );
        let stopped = async {
            client.write_all(b"CONNECT a:1 HTTP/1.1\r\n\r\n").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.cancel();
        };
        let (served, ()) = tokio::join!(served, stopped);
        assert!(matches!(served.unwrap(), Err(HandlerError::Stopped)));
    }

    #[tokio::test]
    async fn a_tunnel_costs_little_while_it_is_idle() {
        let (ours, _client) = tokio::io::duplex(32);
        let (handler, stop) = (handler(), CancellationToken::new());
        let size = size_of_val(&handler.serve(inbound(ours), Entry::free(), None, None, &stop));
        assert!(size <= 2048, "{size} bytes");
    }

    #[test]
    fn a_bad_target_is_told_without_credentials_and_query() {
        for (request, told) in [
            ("GET https://user:secret@a/b HTTP/1.1\r\n\r\n", "https://a"),
            ("GET https://user:sec?ret@a/ HTTP/1.1\r\n\r\n", "https://a"),
            ("GET https://a/b?key=secret HTTP/1.1\r\n\r\n", "https://a/b"),
            ("GET https://a/?m=secret@b&key=secret HTTP/1.1\r\n\r\n", "https://b"),
            ("GET http://user:secret@bad!/ HTTP/1.1\r\n\r\n", "http://bad!"),
            ("CONNECT user:secret@a:443 HTTP/1.1\r\n\r\n", "a:443"),
        ] {
            let (head, _) = RequestHead::decode(request.as_bytes()).unwrap().unwrap();
            let error = target_of(&head).unwrap_err();
            assert!(matches!(&error, HandlerError::BadTarget(t) if t == told), "{error}");
        }
    }

    fn asked(request: &str) -> Option<String> {
        let (head, _) = RequestHead::decode(request.as_bytes()).unwrap().unwrap();
        target_of(&head).ok().map(|t| t.to_string())
    }

    #[test]
    fn targets_are_found_where_gost_finds_them() {
        for (request, target) in [
            ("CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n", Some("a:443")),
            ("CONNECT a HTTP/1.1\r\n\r\n", Some("a:80")),
            ("CONNECT [::1]:9 HTTP/1.1\r\n\r\n", Some("[::1]:9")),
            ("CONNECT :9 HTTP/1.1\r\n\r\n", Some(":9")),
            ("CONNECT a:99999 HTTP/1.1\r\n\r\n", None),
            ("CONNECT  HTTP/1.1\r\n\r\n", None),
            ("GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", Some("a:80")),
            ("GET http://u:p@a:81?x HTTP/1.1\r\n\r\n", Some("a:81")),
            ("GET https://a/ HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: b:82\r\n\r\n", Some("b:82")),
            ("GET /?u=http://c/ HTTP/1.1\r\nHost: b\r\n\r\n", Some("b:80")),
            ("GET / HTTP/1.1\r\nHost: bad!\r\n\r\n", None),
            ("GET / HTTP/1.0\r\n\r\n", None),
            ("CONNECT a:1 HTTP/1.1\r\nHost: \r\n\r\n", Some("a:1")),
            // RFC 9112 3.2: one Host, of one host.
            ("GET / HTTP/1.1\r\nHost: b\r\nHost: b\r\n\r\n", None),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\nhost: c\r\n\r\n", None),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", None),
            ("GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", None),
            ("CONNECT \u{ff45}vil.example:1 HTTP/1.1\r\n\r\n", None),
            ("CONNECT e%76il.example:1 HTTP/1.1\r\n\r\n", None),
            ("CONNECT 127.1:1 HTTP/1.1\r\n\r\n", None),
        ] {
            assert_eq!(asked(request).as_deref(), target, "{request}");
        }
    }
}

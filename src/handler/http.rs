//! Handler `http`: an HTTP proxy as GOST's, CONNECT and plain forwarding.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::reply::{self, Refusal, refusal, refuse};
use super::{Access, Exchanged, Handler, HandlerError, auth};
use crate::base::Target;
use crate::config::model::HttpHandlerConfig;
use crate::io::{AsyncIo, BoxIo, Read, ReadError, read_wire};
use crate::proto::http1::RequestHead;

mod counted;
mod fields;
mod forward;

/// From the stream's start to the end of the request's head. GOST has no limit.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest request head, in bytes.
const MAX_HEAD: usize = 64 * 1024;

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
            read = read_head(&mut client) => read?,
            () = stop.cancelled() => return Err(HandlerError::Stopped),
        };
        let head = &read.value;
        let keep = head.headers.get("proxy-connection").is_some_and(|v| v == "keep-alive");
        if let Some(users) = &config.users {
            match auth::basic(users, head.headers.get("proxy-authorization")) {
                Some(user) => access.user = Some(user),
                None => {
                    self.metrics.auth_failures.inc();
                    refuse(client, &refusal(Refusal::Unauthorized, config, keep)).await;
                    return Err(HandlerError::Unauthorized);
                }
            }
        }
        let connect = head.method == "CONNECT";
        let target = match target_of(head) {
            Ok(target) => target,
            Err(e) => {
                refuse(client, &refusal(Refusal::BadRequest, config, keep)).await;
                return Err(e);
            }
        };
        access.target = Some(target.clone());
        if !connect {
            let client = client.into_io(&read.bytes);
            return Box::pin(self.forward(config, client, stop)).await.map(Exchanged::Done);
        }
        match self.connect(&target, stop).await {
            Ok(upstream) => {
                let established = reply::established(config);
                reply::write(&mut client, &established).await.map_err(HandlerError::ClientGone)?;
                Ok(Exchanged::Tunnel(client.into_io(read.leftover()), upstream))
            }
            Err(e) => {
                refuse(client, &refusal(Refusal::Unavailable, config, keep)).await;
                Err(e)
            }
        }
    }
}

async fn read_head(client: &mut AsyncIo) -> Result<Read<RequestHead>, HandlerError> {
    let head = tokio::time::timeout(HEAD_TIMEOUT, read_wire(client, MAX_HEAD)).await;
    head.map_err(|_| HandlerError::Slow)?.map_err(|e| match e {
        ReadError::Ended(0) => HandlerError::NoRequest,
        ReadError::Io(e) => HandlerError::ClientGone(e),
        other => HandlerError::Malformed(other),
    })
}

fn target_of(head: &RequestHead) -> Result<Target, HandlerError> {
    target_of_parts(&head.method, &head.target, head.headers.get("host"))
}

/// What a request asks for: CONNECT's authority, the authority of an absolute `http` URL, or the
/// Host of any other request (so a proxied server's own URLs work). Port 80 if there is none, also
/// for CONNECT: so does GOST.
fn target_of_parts(method: &str, url: &str, host: Option<&str>) -> Result<Target, HandlerError> {
    let bad = || HandlerError::BadTarget(url.chars().take(200).collect());
    let connect = method == "CONNECT";
    let authority = match url.split_once("://") {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Wire;

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
            ("GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", Some("a:80")),
            ("GET http://u:p@a:81?x HTTP/1.1\r\n\r\n", Some("a:81")),
            ("GET https://a/ HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: b:82\r\n\r\n", Some("b:82")),
            ("GET /?u=http://c/ HTTP/1.1\r\nHost: b\r\n\r\n", Some("b:80")),
            ("GET / HTTP/1.1\r\nHost: bad!\r\n\r\n", None),
            ("GET / HTTP/1.0\r\n\r\n", None),
        ] {
            assert_eq!(asked(request).as_deref(), target, "{request}");
        }
    }
}

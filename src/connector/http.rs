//! Connector `http`: HTTP CONNECT.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ConnectError;
use crate::base::{Network, Target};
use crate::config::model::HttpConnectorConfig;
use crate::io::{BoxIo, Exchange};
use crate::proto::http1::{ResponseHead, canonical_name, push_field};

/// The longest answer, in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;

pub(super) async fn connect(
    io: BoxIo,
    config: &HttpConnectorConfig,
    target: &Target,
) -> Result<BoxIo, ConnectError> {
    ask(io, config, &target.to_string(), Network::Tcp).await
}

/// Sends a request and waits for its answer.
pub(super) async fn ask(
    io: BoxIo,
    config: &HttpConnectorConfig,
    authority: &str,
    network: Network,
) -> Result<BoxIo, ConnectError> {
    let mut node = Exchange::new(io);
    let request = request(config, authority, network);
    node.write(request.as_bytes()).await.map_err(ConnectError::Io)?;
    let answer: ResponseHead = node.read(MAX_HEAD).await.map_err(ConnectError::answer)?;
    // Exactly 200, as GOST: another 2xx has no tunnel behind it in practice.
    match answer.status {
        200 => Ok(node.into_io()),
        407 => Err(ConnectError::Unauthorized),
        status => Err(ConnectError::Status(status)),
    }
}

/// The bytes of GOST's connector: Go's request, its fields sorted by name.
fn request(config: &HttpConnectorConfig, authority: &str, network: Network) -> String {
    let mut agent = Some("Go-http-client/1.1");
    let mut fields: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in &config.header {
        match canonical_name(name) {
            name if name == "Host" => {}
            name if name == "User-Agent" => agent = Some(value.as_str()).filter(|v| !v.is_empty()),
            name => {
                fields.insert(name, value);
            }
        }
    }
    let basic = config.auth.as_ref().map(|auth| {
        let plain = format!("{}:{}", auth.username, auth.password.expose());
        format!("Basic {}", STANDARD.encode(plain))
    });
    fields.insert("Proxy-Connection".into(), "keep-alive");
    if let Some(basic) = &basic {
        fields.insert("Proxy-Authorization".into(), basic);
    }
    if network == Network::Udp {
        fields.insert("X-Gost-Protocol".into(), "udp");
    }
    let mut request = String::with_capacity(256);
    for text in ["CONNECT ", authority, " HTTP/1.1\r\n"] {
        request.push_str(text);
    }
    push_field(&mut request, "Host", authority);
    if let Some(agent) = agent {
        push_field(&mut request, "User-Agent", agent);
    }
    for (name, value) in fields {
        push_field(&mut request, &name, value);
    }
    request.push_str("\r\n");
    request
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::base::Secret;
    use crate::config::model::{ConnectorConfig, Credentials};
    use crate::connector::connect;
    use crate::io::AsyncIo;
    use std::time::Duration;

    fn target() -> Target {
        "example.com:443".parse().unwrap()
    }

    async fn answered(answer: &[u8]) -> Result<BoxIo, ConnectError> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer).await.unwrap();
        let config = ConnectorConfig::Http(HttpConnectorConfig::default());
        connect(Box::new(ours), &config, Network::Tcp, &target(), Duration::from_secs(15)).await
    }

    #[test]
    fn the_request_is_gost_s() {
        let mut config = HttpConnectorConfig::default();
        assert_eq!(
            request(&config, &target().to_string(), Network::Tcp),
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
             User-Agent: Go-http-client/1.1\r\nProxy-Connection: keep-alive\r\n\r\n"
        );
        let password = Secret::new("p".into());
        config.auth = Some(Credentials { username: "u".into(), password });
        config.header.insert("x-team".into(), "a\r\nb".into());
        config.header.insert("user-agent".into(), String::new());
        assert_eq!(
            request(&config, &target().to_string(), Network::Tcp),
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
             Proxy-Authorization: Basic dTpw\r\nProxy-Connection: keep-alive\r\n\
             X-Team: a  b\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn bytes_behind_the_answer_are_kept() {
        let io = answered(b"HTTP/1.1 200 OK\r\n\r\nearly").await.ok().unwrap();
        let mut early = [0; 5];
        AsyncIo::new(io).read_exact(&mut early).await.unwrap();
        assert_eq!(&early, b"early");
    }

    #[tokio::test]
    async fn any_other_status_is_a_refusal() {
        for status in [201, 204, 503] {
            let answer = format!("HTTP/1.1 {status} X\r\n\r\n");
            let error = answered(answer.as_bytes()).await.err().unwrap();
            assert!(matches!(error, ConnectError::Status(s) if s == status), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mute_node_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(4096);
        let config = ConnectorConfig::Http(HttpConnectorConfig::default());
        let within = Duration::from_secs(15);
        let error =
            connect(Box::new(ours), &config, Network::Tcp, &target(), within).await.err().unwrap();
        assert!(matches!(error, ConnectError::Timeout));
    }

    #[tokio::test]
    async fn an_endless_answer_is_given_up() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(2 * MAX_HEAD));
        let (ours, mut theirs) = tokio::io::duplex(4 * MAX_HEAD);
        theirs.write_all(long.as_bytes()).await.unwrap();
        let config = ConnectorConfig::Http(HttpConnectorConfig::default());
        let within = Duration::from_secs(15);
        let error =
            connect(Box::new(ours), &config, Network::Tcp, &target(), within).await.err().unwrap();
        assert!(matches!(error, ConnectError::Answer(_)), "{error}");
    }
}

//! What is said to a chain's node to reach the next one.
//!
//! Floor 5. A connector gets a stream to a node and returns a stream to the target behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt;

use crate::base::Target;
use crate::config::model::{ConnectorConfig, HttpConnectorConfig};
use crate::io::{AsyncIo, BoxIo, ReadError, read_wire};
use crate::proto::http1::{HeadError, ResponseHead, canonical_name, field_line};

/// The longest answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// A node that did not open the way.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The request could not be sent.
    #[error("the connection broke while the node was asked")]
    Io(#[source] std::io::Error),
    /// Not within the time. (GOST waits forever.)
    #[error("no answer from the node in time")]
    Timeout,
    /// No answer, or one that is not HTTP.
    #[error("no answer from the node")]
    Answer(#[source] ReadError<HeadError>),
    /// The node refused.
    #[error("the node answered with status {0}")]
    Status(u16),
}

impl ConnectError {
    /// The label of `adit_upstream_dial_errors_total{reason}`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            _ => "proxy",
        }
    }
}

/// Asks the node at the other end of `io` for `target`.
///
/// # Errors
/// [`ConnectError`]; in any case within `within`, or the connector's `timeout` if shorter.
pub async fn connect(
    io: BoxIo,
    config: &ConnectorConfig,
    target: &Target,
    within: Duration,
) -> Result<BoxIo, ConnectError> {
    let ConnectorConfig::Http(config) = config;
    let within = config.timeout.map_or(within, |own| own.min(within));
    let asked = tokio::time::timeout(within, http_connect(AsyncIo::new(io), config, target));
    asked.await.map_err(|_| ConnectError::Timeout)?
}

async fn http_connect(
    mut io: AsyncIo,
    config: &HttpConnectorConfig,
    target: &Target,
) -> Result<BoxIo, ConnectError> {
    io.write_all(request(config, target).as_bytes()).await.map_err(ConnectError::Io)?;
    io.flush().await.map_err(ConnectError::Io)?;
    let answer =
        read_wire::<ResponseHead>(&mut io, MAX_HEAD).await.map_err(ConnectError::Answer)?;
    // Exactly 200, as GOST: another 2xx has no tunnel behind it in practice.
    if answer.value.status != 200 {
        return Err(ConnectError::Status(answer.value.status));
    }
    Ok(io.into_io(answer.leftover()))
}

/// The bytes of GOST's connector: Go's request, its fields sorted by name.
fn request(config: &HttpConnectorConfig, target: &Target) -> String {
    let mut agent = Some("Go-http-client/1.1");
    let mut fields = BTreeMap::new();
    for (name, value) in &config.header {
        match canonical_name(name) {
            name if name == "Host" => {}
            name if name == "User-Agent" => agent = Some(value.as_str()).filter(|v| !v.is_empty()),
            name => {
                fields.insert(name, value.clone());
            }
        }
    }
    fields.insert("Proxy-Connection".into(), "keep-alive".into());
    if let Some(auth) = &config.auth {
        let plain = format!("{}:{}", auth.username, auth.password.expose());
        let basic = format!("Basic {}", STANDARD.encode(plain));
        fields.insert("Proxy-Authorization".into(), basic);
    }
    let mut request = format!("CONNECT {target} HTTP/1.1\r\n");
    request.push_str(&field_line("Host", &target.to_string()));
    if let Some(agent) = agent {
        request.push_str(&field_line("User-Agent", agent));
    }
    for (name, value) in fields {
        request.push_str(&field_line(&name, &value));
    }
    request.push_str("\r\n");
    request
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::base::Secret;
    use crate::config::model::Credentials;

    fn target() -> Target {
        "example.com:443".parse().unwrap()
    }

    async fn answered(answer: &[u8]) -> Result<BoxIo, ConnectError> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer).await.unwrap();
        let config = ConnectorConfig::Http(HttpConnectorConfig::default());
        connect(Box::new(ours), &config, &target(), Duration::from_secs(15)).await
    }

    #[test]
    fn the_request_is_gost_s() {
        let mut config = HttpConnectorConfig::default();
        assert_eq!(
            request(&config, &target()),
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
             User-Agent: Go-http-client/1.1\r\nProxy-Connection: keep-alive\r\n\r\n"
        );
        let password = Secret::new("p".into());
        config.auth = Some(Credentials { username: "u".into(), password });
        config.header.insert("x-team".into(), "a\r\nb".into());
        config.header.insert("user-agent".into(), String::new());
        assert_eq!(
            request(&config, &target()),
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
        for status in [201, 204, 407, 503] {
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
        let error = connect(Box::new(ours), &config, &target(), within).await.err().unwrap();
        assert!(matches!(error, ConnectError::Timeout));
    }

    #[tokio::test]
    async fn an_endless_answer_is_given_up() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(2 * MAX_HEAD));
        let (ours, mut theirs) = tokio::io::duplex(4 * MAX_HEAD);
        theirs.write_all(long.as_bytes()).await.unwrap();
        let config = ConnectorConfig::Http(HttpConnectorConfig::default());
        let within = Duration::from_secs(15);
        let error = connect(Box::new(ours), &config, &target(), within).await.err().unwrap();
        assert!(matches!(error, ConnectError::Answer(ReadError::TooLong(_))), "{error}");
    }
}

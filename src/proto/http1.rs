//! Heads of HTTP/1 messages (RFC 9112), as far as CONNECT and the WebSocket handshake need them.

use super::Wire;

/// How GOST asks for UDP over HTTP without one target: nothing stands between two spaces.
const NO_TARGET: &[u8] = b"CONNECT  ";
/// The same with a target that HTTP knows.
const ANY_TARGET: &[u8] = b"CONNECT * ";

/// The most fields in a head. Go's net/http has no such limit, and 100 is less than some real sites
/// send.
pub const MAX_FIELDS: usize = 500;

/// Something that is not the head of an HTTP/1 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an HTTP/1 message: {0}")]
pub struct HeadError(httparse::Error);

impl HeadError {
    /// Whether it is a head, with more fields than [`MAX_FIELDS`].
    pub fn is_too_many(&self) -> bool {
        self.0 == httparse::Error::TooManyHeaders
    }
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method as sent: methods are case-sensitive.
    pub method: String,
    /// The request target as sent; GOST leaves that of a CONNECT out sometimes.
    pub target: String,
    /// The header fields.
    pub headers: Headers,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
}

/// Header fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    fn new(fields: &[httparse::Header<'_>]) -> Self {
        Self(fields.iter().map(|f| (f.name.to_string(), f.value.to_vec())).collect())
    }

    /// The first value of a name, in any case, if it is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Whether a field that is a list has this element, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let words = self.all(name).flat_map(|value| value.split(','));
        words.into_iter().any(|word| word.trim().eq_ignore_ascii_case(token))
    }

    /// How many fields of a name there are, in any case.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name));
        fields.filter_map(|(_, value)| std::str::from_utf8(value).ok()).map(str::trim)
    }
}

impl Wire for RequestHead {
    type Error = HeadError;
    const LINES: bool = true;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        if let Some(rest) = input.strip_prefix(NO_TARGET) {
            let decoded = Self::decode(&[ANY_TARGET, rest].concat())?;
            let length = |len| len + NO_TARGET.len() - ANY_TARGET.len();
            return Ok(decoded.map(|(head, len)| (Self { target: "".into(), ..head }, length(len))));
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(len) = request.parse(input).map_err(HeadError)? else {
            return Ok(None);
        };
        let head = Self {
            method: request.method.unwrap_or_default().to_string(),
            target: request.path.unwrap_or_default().to_string(),
            headers: Headers::new(request.headers),
        };
        Ok(Some((head, len)))
    }
}

impl Wire for ResponseHead {
    type Error = HeadError;
    const LINES: bool = true;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(len) = response.parse(input).map_err(HeadError)? else {
            return Ok(None);
        };
        let status = response.code.unwrap_or_default();
        Ok(Some((Self { status, headers: Headers::new(response.headers) }, len)))
    }
}

/// Go's spelling of a field's name: `x-team` is `X-Team`.
pub fn canonical_name(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            upper = c == '-';
            c
        })
        .collect()
}

/// A field's line. No line can end within the name or value: control characters become spaces.
pub fn field_line(name: &str, value: &str) -> String {
    let mut line = String::new();
    push_field(&mut line, name, value);
    line
}

/// Adds a [`field_line`] to a head.
pub fn push_field(head: &mut String, name: &str, value: &str) {
    for (text, end) in [(name, ": "), (value, "\r\n")] {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            head.extend(text.chars().map(|c| if c.is_ascii_control() { ' ' } else { c }));
        } else {
            head.push_str(text);
        }
        head.push_str(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n";
    const REQUEST: &[u8] = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: x, Upgrade\r\n\r\n";

    #[test]
    fn heads_are_read_and_the_rest_is_left() {
        let (head, len) = ResponseHead::decode(&[RESPONSE, b"rest"].concat()).unwrap().unwrap();
        assert_eq!((head.status, len), (200, RESPONSE.len()));
        assert_eq!(head.headers.get("proxy-agent"), Some("gost/3.0"));
        let (head, len) = RequestHead::decode(&[REQUEST, b"rest"].concat()).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("CONNECT", "a:1"));
        assert_eq!(len, REQUEST.len());
        assert!(head.headers.has_token("connection", "upgrade"));
    }

    #[test]
    fn every_prefix_wants_more() {
        for n in 0..RESPONSE.len() {
            assert_eq!(ResponseHead::decode(&RESPONSE[..n]), Ok(None), "{n}");
        }
        for request in [REQUEST, b"CONNECT  HTTP/1.1\r\nHost: \r\n\r\n"] {
            for n in 0..request.len() {
                assert_eq!(RequestHead::decode(&request[..n]), Ok(None), "{n}");
            }
        }
    }

    #[test]
    fn a_connect_without_a_target_is_read_as_gost_writes_it() {
        let request = b"CONNECT  HTTP/1.1\r\nHost: \r\nX-Gost-Protocol: udp\r\n\r\n";
        let (head, len) = RequestHead::decode(&[request, &b"rest"[..]].concat()).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("CONNECT", ""));
        assert_eq!((head.headers.get("x-gost-protocol"), len), (Some("udp"), request.len()));
        assert!(RequestHead::decode(b"CONNECT   HTTP/1.1\r\n\r\n").is_err());
    }

    #[test]
    fn other_protocols_and_endless_heads_are_refused() {
        assert!(RequestHead::decode(b"\x16\x03\x01\x02\x00").is_err());
        assert!(ResponseHead::decode(b"SSH-2.0-x\r\n").is_err());
        let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert!(RequestHead::decode(many.as_bytes()).is_err());
    }

    #[test]
    fn no_value_ends_its_line() {
        assert_eq!(field_line("X", "a\r\nInjected: b"), "X: a  Injected: b\r\n");
        assert_eq!(canonical_name("x-TEAM"), "X-Team");
    }
}

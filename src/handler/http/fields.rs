//! Header fields of a message that is passed on.

use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// The protocol that an upgrade asks for or announces.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let words = headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let asked =
        words.flat_map(|v| v.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asked).cloned()
}

/// Removes what concerns one connection only (RFC 9110 section 7.6.1), and what GOST removes.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|word| word.trim().parse().ok())
        .filter(|name| !is_for_everybody(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("gost-target"),
        HeaderName::from_static("x-gost-target"),
        HeaderName::from_static("gost-record"),
    ] {
        headers.remove(name);
    }
}

/// Fields for every recipient, which are no connection options whoever says so (RFC 9110 7.6.1): what
/// is asked for and what the body is must not get lost on the way.
fn is_for_everybody(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 6] = [HOST, AUTHORIZATION, CACHE_CONTROL, COOKIE, SET_COOKIE, EXPECT];
    NAMES.contains(name) || name.as_str().starts_with("content-")
}

/// Asks for, or announces, an upgrade again after [`strip`].
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_for_everybody_are_no_connection_options() {
        let names = ["host", "content-length", "content-type", "authorization", "cookie"];
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(CONNECTION, HeaderValue::from_static(name));
            headers.insert(name, HeaderValue::from_static("1"));
        }
        headers.append(CONNECTION, HeaderValue::from_static("close, HOST ,x-own"));
        headers.insert("x-own", HeaderValue::from_static("1"));
        strip(&mut headers);
        assert!(names.iter().all(|name| headers.contains_key(*name)), "{headers:?}");
        assert_eq!(headers.len(), names.len());
    }

    #[test]
    fn fields_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret, Upgrade"),
            ("x-secret", "1"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let protocol = upgrade(&headers).unwrap();
        strip(&mut headers);
        assert_eq!(headers.keys().map(|k| k.as_str()).collect::<Vec<_>>(), ["accept"]);
        set_upgrade(&mut headers, protocol);
        assert_eq!(headers.get(UPGRADE).unwrap(), "websocket");
    }
}

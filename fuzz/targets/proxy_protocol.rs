//! A header that may be absent: what a stream begins with is decided once, whatever follows.

#![no_main]

use adit_fuzz::proto::Wire;
use adit_fuzz::proto::proxy_protocol::ProxyHeader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut decided = None;
    for end in 0..=input.len() {
        let now = match ProxyHeader::decode(&input[..end]) {
            Ok(None) => None,
            Ok(Some((header, taken))) => {
                assert!(taken <= end);
                assert!(taken > 0 || header == ProxyHeader::Absent);
                Some(Some((header, taken)))
            }
            Err(_) => Some(None),
        };
        match decided {
            None => decided = now,
            Some(_) => assert_eq!(decided, now, "{end} bytes decide otherwise"),
        }
    }
});

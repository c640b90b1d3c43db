//! When a certificate ends: the one field of X.509 that rustls keeps to itself (RFC 5280 section 4.1).

use jiff::Timestamp;
use jiff::civil::DateTime;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Pem;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of the first certificate.
pub(super) fn not_after(pem: &Pem) -> Option<Timestamp> {
    let leaf = CertificateDer::pem_slice_iter(pem.expose()).next()?.ok()?;
    let (certificate, _) = value(&leaf, SEQUENCE)?;
    let (mut fields, _) = value(certificate, SEQUENCE)?;
    if let Some((_, rest)) = value(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer, and then the validity.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = value(fields, tag)?.1;
    }
    let (validity, _) = value(fields, SEQUENCE)?;
    let (_, rest) = time(validity)?;
    time(rest)?.0
}

/// A time, and what stands behind it.
fn time(der: &[u8]) -> Option<(Option<Timestamp>, &[u8])> {
    let ((text, rest), year) = match value(der, UTC_TIME) {
        Some(found) => (found, 2),
        None => (value(der, GENERALIZED_TIME)?, 4),
    };
    Some((parse(text, year), rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, as `digits` of the year are written.
fn parse(text: &[u8], digits: usize) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(digits)?;
    let year: i16 = year.parse().ok()?;
    let year = match digits {
        2 if year >= 50 => 1900 + year,
        2 => 2000 + year,
        _ => year,
    };
    let field = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let date =
        DateTime::new(year, field(0)?, field(2)?, field(4)?, field(6)?, field(8)?, 0).ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The value of a DER element with this tag at the beginning, and what stands behind it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn ends(year: i32) -> Option<String> {
        let mut params = rcgen::CertificateParams::new(vec!["a".to_string()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        not_after(&Secret::new(pem.as_bytes().into())).map(|time| time.to_string())
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        for year in [2020, 2049, 2050, 4000] {
            assert_eq!(ends(year), Some(format!("{year}-02-03T00:00:00Z")));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for text in ["", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"] {
            assert_eq!(not_after(&Secret::new(text.as_bytes().into())), None);
        }
        assert_eq!(value(&[0x30, 0x85, 1, 1, 1, 1, 1], 0x30), None);
        assert_eq!(value(&[0x30, 5, 1], 0x30), None);
    }
}

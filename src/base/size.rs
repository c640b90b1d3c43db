//! Sizes in bytes.

use std::fmt;
use std::str::FromStr;

/// A text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size; write for example 512KB, 10MB or 1.5GB (1KB is 1024 bytes)")]
pub struct SizeError(pub String);

/// A number of bytes, read as GOST writes them: `1.5GB`, `1MB512KB`, all units powers of 1024, `KB`,
/// `KiB` and Kubernetes' `Ki` the same. A number alone is bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(pub u64);

const UNITS: &[(&str, u32)] = &[
    ("B", 0),
    ("KB", 10),
    ("KiB", 10),
    ("Ki", 10),
    ("MB", 20),
    ("MiB", 20),
    ("Mi", 20),
    ("GB", 30),
    ("GiB", 30),
    ("Gi", 30),
    ("TB", 40),
    ("TiB", 40),
    ("PB", 50),
    ("PiB", 50),
    ("EB", 60),
    ("EiB", 60),
];

impl Size {
    /// A size whose every number has a unit.
    ///
    /// # Errors
    /// [`SizeError`].
    pub fn with_units(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError(text.into());
        let mut bytes = 0f64;
        let mut rest = text;
        while !rest.is_empty() {
            let letters = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(error)?;
            let (number, tail) = rest.split_at(letters);
            let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let (_, shift) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
            if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                return Err(error());
            }
            bytes += number.parse::<f64>().map_err(|_| error())? * (1u64 << shift) as f64;
            rest = tail;
        }
        if text.is_empty() || bytes >= u64::MAX as f64 {
            return Err(error());
        }
        Ok(Self(bytes as u64))
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        match text.bytes().all(|b| b.is_ascii_digit()) {
            true => text.parse().map(Self).map_err(|_| SizeError(text.into())),
            false => Self::with_units(text),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, shift): &&(&str, u32)| self.0 != 0 && self.0.trailing_zeros() >= *shift;
        let binary = UNITS.iter().rev().filter(|(name, _)| name.len() != 2);
        match binary.clone().find(fits) {
            Some((name, shift)) => write!(f, "{}{name}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1B", 1),
            ("10KB", 10 << 10),
            ("10KiB", 10 << 10),
            ("16MiB", 16 << 20),
            ("1.5GB", 3 << 29),
            ("1MB512KB", (1 << 20) + (512 << 10)),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "16 MiB", "16mib", "-1", "1..5GB", "99EB", "KB10", "1e3", "16M"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_prints_in_the_largest_unit_that_divides_it() {
        for (bytes, text) in [
            (0, "0B"),
            (1000, "1000B"),
            (65_536, "64KiB"),
            (16 << 20, "16MiB"),
            ((1 << 20) + 1, "1048577B"),
            (3 << 29, "1536MiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
    }
}

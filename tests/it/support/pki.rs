//! Certificates for tests: an authority, and what it signs, as PEM files in a folder.

use std::path::{Path, PathBuf};

use jiff::civil::{Date, date};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// A certificate authority and where its files are.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// The authority's certificate.
    pub ca: String,
}

/// A certificate and its key, as paths of PEM files.
pub struct Leaf {
    pub cert: String,
    pub key: String,
}

impl Authority {
    /// A new authority; its certificate is `NAME.pem` in the folder.
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap();
        let ca = put(folder, &format!("{name}.pem"), &cert.pem());
        Self { folder: folder.into(), issuer: Issuer::new(params, key), ca }
    }

    /// A certificate for this machine's loopback names and its own name, for servers and clients.
    pub fn leaf(&self, name: &str) -> Leaf {
        self.until(name, date(2090, 1, 1))
    }

    /// The same, and over since 2020.
    pub fn expired(&self, name: &str) -> Leaf {
        self.until(name, date(2020, 1, 1))
    }

    /// The same, until the first second of a day (UTC).
    pub fn until(&self, name: &str, end: Date) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost", "127.0.0.1", name].map(String::from);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2019, 1, 1);
        let [month, day] = [end.month(), end.day()].map(|number| number.try_into().unwrap());
        params.not_after = date_time_ymd(end.year().into(), month, day);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            cert: put(&self.folder, &format!("{name}.crt"), &cert.pem()),
            key: put(&self.folder, &format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

fn put(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

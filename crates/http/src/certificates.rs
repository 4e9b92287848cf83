//! The certificate authorities that servers are trusted by: those of the system, and those that files add.
//!
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the system's in other programs. Here they add to them, as every other setting
//! does: a company's own CA must not cut off the services that it does not intercept.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// Largest file of certificates. The bundle of all public authorities has a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Trusted certificate authorities.
#[derive(Clone, Debug)]
pub struct Certificates {
    roots: Arc<RootCertStore>,
}

/// A file of certificates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{setting}: {path}: {problem} ({fix})")]
pub struct CertificateError {
    /// The variable or the key that names the file.
    pub setting: String,
    /// The file.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: &'static str,
}

impl Certificates {
    /// Returns no authority: no server is trusted.
    #[must_use]
    pub fn none() -> Certificates {
        Certificates { roots: Arc::new(RootCertStore::empty()) }
    }

    /// Returns the authorities of the system, whatever the environment says. There may be none: a bare container has none.
    #[must_use]
    pub fn system() -> Certificates {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(of_system());
        Certificates { roots: Arc::new(roots) }
    }

    /// Adds what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, which `variable` looks up.
    ///
    /// # Errors
    ///
    /// Where the file, or a file in one of the directories, contains no certificate.
    pub fn with_environment(self, variable: impl Fn(&str) -> Option<String>) -> Result<Certificates, CertificateError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut certificates = self;
        if let Some(file) = set("SSL_CERT_FILE") {
            certificates = certificates.with_file("SSL_CERT_FILE", Path::new(&file))?;
        }
        let directories = set("SSL_CERT_DIR").unwrap_or_default();
        for directory in std::env::split_paths(&directories).filter(|it| !it.as_os_str().is_empty()) {
            // A directory holds other files as well, and links to each certificate: what is none is passed over.
            let loaded = rustls_native_certs::load_certs_from_paths(None, Some(&directory));
            if loaded.certs.is_empty() {
                let fix = "name directories with certificates in PEM form, or unset it";
                return Err(error("SSL_CERT_DIR", &directory, "contains no certificate", fix));
            }
            Arc::make_mut(&mut certificates.roots).add_parsable_certificates(loaded.certs);
        }
        Ok(certificates)
    }

    /// Adds the certificates in a file, which `setting` names.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is damaged, or contains no certificate in PEM form.
    pub fn with_file(self, setting: &str, path: &Path) -> Result<Certificates, CertificateError> {
        let unreadable = |problem: std::io::Error| {
            error(
                setting,
                path,
                format!("cannot be read: {problem}"),
                "correct the path, or let this user read the file",
            )
        };
        let mut text = Vec::new();
        let file = fs::File::open(path).map_err(unreadable)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            let fix = "name a file that holds only certificates";
            return Err(error(setting, path, format!("larger than {FILE_BYTES_MAX} bytes"), fix));
        }
        let fix = "write each certificate as text from -----BEGIN CERTIFICATE----- on; \
                   `openssl x509 -inform der -in FILE` converts one that is not";
        let parsed: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let parsed = parsed.map_err(|it| error(setting, path, format!("not PEM: {it}"), fix))?;
        let mut certificates = self;
        // A bundle of public authorities may hold some that the TLS library does not take, and no server uses.
        let (added, _) = Arc::make_mut(&mut certificates.roots).add_parsable_certificates(parsed);
        if added == 0 {
            return Err(error(setting, path, "contains no certificate", fix));
        }
        Ok(certificates)
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }
}

fn error(setting: &str, path: &Path, problem: impl Into<String>, fix: &'static str) -> CertificateError {
    CertificateError { setting: setting.to_owned(), path: path.display().to_string(), problem: problem.into(), fix }
}

/// Returns the system's certificates. The library looks at two variables first; where one is set, the directories are read
/// that it would look at without them.
fn of_system() -> Vec<CertificateDer<'static>> {
    if ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().all(|name| std::env::var_os(name).is_none()) {
        return rustls_native_certs::load_native_certs().certs;
    }
    let directories: Vec<PathBuf> = openssl_probe::candidate_cert_dirs().map(Path::to_owned).collect();
    directories.iter().flat_map(|it| rustls_native_certs::load_certs_from_paths(None, Some(it)).certs).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Of the test's own authority, which signs `localhost`.
    const CA: &str = include_str!("../../../tests/data/tls/ca.pem");

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn files_and_directories_add_certificates() {
        let ca = file(CA);
        let one = Certificates::none().with_file("tls.ca_file", ca.path()).expect("a certificate");
        assert_eq!(one.roots.len(), 1);
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("ca.pem"), CA).expect("written");
        fs::write(directory.path().join("README"), "none").expect("written");
        let both = one.clone().with_environment(|name| match name {
            "SSL_CERT_FILE" => Some(ca.path().display().to_string()),
            "SSL_CERT_DIR" => Some(format!(":{}", directory.path().display())),
            _ => None,
        });
        assert_eq!(both.expect("certificates").roots.len(), 3);
        assert_eq!(one.with_environment(|_| Some(String::new())).expect("nothing is set").roots.len(), 1);
    }

    #[test]
    fn a_file_without_a_certificate_is_an_error_that_names_setting_file_and_fix() {
        let nothing = file("no certificate");
        let cut = file(&CA[..CA.len() / 2]);
        let garbled = file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        for path in [nothing.path(), cut.path(), garbled.path(), Path::new("/nowhere/ca.pem"), Path::new("/")] {
            let error = Certificates::none().with_file("tls.ca_file", path).expect_err("not a certificate");
            assert!(error.to_string().starts_with(&format!("tls.ca_file: {}: ", path.display())), "{error}");
        }
        let directory = tempfile::tempdir().expect("a directory");
        let variable = |name: &str| (name == "SSL_CERT_DIR").then(|| directory.path().display().to_string());
        assert!(Certificates::none().with_environment(variable).is_err());
    }
}

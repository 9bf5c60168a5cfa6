//! What TLS to PostgreSQL and to Redis have in common: which authorities are trusted, and what a refused certificate means. The
//! cryptography is that of ring; no other provider is compiled in.

use std::{error::Error, io, path::Path, sync::Arc};

use rustls::{
    CertificateError, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};

/// The one provider.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The authorities whose certificates are in a PEM file.
///
/// # Errors
/// One sentence that names the file.
pub(crate) fn roots_of_file(path: &Path) -> Result<RootCertStore, String> {
    Ok(read_roots(path)?.0)
}

/// A PEM file with the certificates of authorities, which can be used.
///
/// # Errors
/// As for [`roots_of_file`].
pub(crate) fn pem_of_file(path: &Path) -> Result<Vec<u8>, String> {
    Ok(read_roots(path)?.1)
}

fn read_roots(path: &Path) -> Result<(RootCertStore, Vec<u8>), String> {
    let unusable = |reason: &dyn std::fmt::Display| format!("the certificates in {} can't be used: {reason}", path.display());
    let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"the file holds none"));
    }
    Ok((roots, pem))
}

/// The authorities that this machine trusts.
///
/// # Errors
/// There is none.
pub(crate) fn roots_of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or_else(|| "it has none".into(), ToString::to_string);
        return Err(format!(
            "no authority is trusted by this machine ({reason}); install ca-certificates, or name a file with certificates"
        ));
    }
    Ok(roots)
}

/// What TLS itself found wrong, if that is the cause of an error.
pub(crate) fn fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<rustls::Error>() {
            return Some(fault);
        }
        // The redis crate shares its causes.
        if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            return fault(&**shared);
        }
        // What an I/O error holds is not its source, but its source's source is that one's.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).and_then(|held| held.downcast_ref::<rustls::Error>());
        if held.is_some() {
            return held;
        }
        cause = error.source();
    }
    None
}

/// Says what is wrong with the certificate of a server, and what to give.
pub(crate) fn told(fault: &rustls::Error, server: &str, roots: &str) -> String {
    match fault {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("the certificate of {server} is of no authority that is trusted here; give the authority's certificate as {roots}")
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            format!("the certificate of {server} is for another name than the one that it is reached by")
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            format!("the certificate of {server} has expired")
        }
        fault => format!("TLS with {server} fails: {fault}"),
    }
}

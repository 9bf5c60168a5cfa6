//! TLS to the database: what each `sslmode` of libpq asks of the server's certificate.

use std::{error::Error as _, path::Path, str::FromStr, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime},
};
use tokio_postgres::{Socket, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls;

/// The value of `sslrootcert` that stands for the authorities of the machine.
pub(super) const SYSTEM: &str = "system";
/// A name for what has none: a folder with a socket. No certificate is ever compared with it.
const NO_NAME: &str = "socket.invalid";

/// What is asked of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum SslMode {
    /// No TLS.
    Disable,
    /// TLS where the server takes it, with any certificate.
    #[default]
    Prefer,
    /// TLS, with any certificate.
    Require,
    /// TLS, with a certificate of a trusted authority, whatever its name.
    VerifyCa,
    /// The same, for the name that the server is reached by.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            other => Err(format!("sslmode is {other:?}; give disable, prefer, require, verify-ca or verify-full")),
        }
    }
}

impl SslMode {
    /// What is asked of the server while the connection is made. The rest is the certificate's matter.
    pub(super) const fn of_connection(self) -> tokio_postgres::config::SslMode {
        use tokio_postgres::config::SslMode as Asked;
        match self {
            Self::Disable => Asked::Disable,
            Self::Prefer => Asked::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => Asked::Require,
        }
    }
}

/// Makes the TLS side of connections.
#[derive(Clone)]
pub(super) struct Tls(MakeRustlsConnect);

/// What a connection's bytes go through.
pub(super) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

impl Tls {
    /// For a mode, with the certificates of a file, of the machine (`system`), or of the machine where none are named.
    ///
    /// # Errors
    /// One sentence: the certificates can't be used.
    pub(super) fn new(mode: SslMode, roots: Option<&str>) -> Result<Self, String> {
        let provider = tls::provider();
        // As with libpq, whoever names an authority wants it to be checked.
        let mode = if mode == SslMode::Require && roots.is_some() { SslMode::VerifyCa } else { mode };
        let verifier: Arc<dyn ServerCertVerifier> = match mode {
            SslMode::Disable | SslMode::Prefer | SslMode::Require => Arc::new(Anybody(Arc::clone(&provider))),
            SslMode::VerifyCa => Arc::new(AnyName(trusted(roots, &provider)?)),
            SslMode::VerifyFull => trusted(roots, &provider)?,
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("TLS can't be set up: {error}"))?;
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }
}

fn trusted(roots: Option<&str>, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let roots: RootCertStore = match roots {
        None | Some(SYSTEM) => tls::roots_of_system(),
        Some(path) => tls::roots_of_file(Path::new(path)),
    }
    .map_err(|reason| format!("{reason} (sslrootcert)"))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map_err(|error| format!("the certificates of sslrootcert can't be used: {error}"))
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, hostname: &str) -> Result<Self::TlsConnect, Self::Error> {
        // It is called before anybody knows whether there is TLS at all.
        let name = if hostname.is_empty() { NO_NAME } else { hostname };
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.0, name)
    }
}

/// Says in a sentence why there is no TLS, where that is why there is no connection. It does not heal by itself.
pub(super) fn refusal(error: &tokio_postgres::Error) -> Option<String> {
    let cause = error.source()?;
    if let Some(fault) = tls::fault(cause) {
        return Some(tls::told(fault, "the database", "sslrootcert"));
    }
    // The library has no kinds for these.
    match cause.to_string().as_str() {
        "server does not support TLS" => {
            Some("the database takes no TLS, and sslmode asks for it; switch it on there (ssl = on), or give sslmode=prefer".into())
        }
        "no hostname provided for TLS handshake" => Some("sslmode asks for TLS, and the host of the database is not named".into()),
        _ => None,
    }
}

/// Takes any certificate: it keeps out who listens, not who pretends to be the server.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes any name. The name is what is looked at last, so a certificate that is wrong in two ways is refused for the other.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

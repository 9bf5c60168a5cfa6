//! `Target`: where the database is, and the one way to connect to it.

use tokio_postgres::{Client, Config, Connection, Error, Socket, config::Host, error::SqlState};

use super::tls::{SYSTEM, SslMode, Stream, Tls, refusal};

/// The connection that a client's requests go over.
pub(super) type Driver = Connection<Socket, Stream>;

/// Where the database is.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: Tls,
    mode: SslMode,
}

/// The address may hold a password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Target {
    /// An address with what is asked of TLS.
    ///
    /// # Errors
    /// One sentence: it can't be used.
    pub(super) fn new(mut config: Config, mode: Option<&str>, roots: Option<&str>) -> Result<Self, String> {
        // Whoever names an authority and no mode means more than `prefer`, which asks for no certificate.
        let default = if roots.is_some() { SslMode::VerifyFull } else { SslMode::default() };
        let mut mode: SslMode = mode.map(str::parse).transpose()?.unwrap_or(default);
        if roots == Some(SYSTEM) && mode != SslMode::VerifyFull {
            // As with libpq: anybody can have a certificate of the authorities that everybody trusts.
            return Err("sslrootcert=system needs sslmode=verify-full".into());
        }
        // As with libpq, TLS is not spoken over a socket of this machine.
        if config.get_hostaddrs().is_empty()
            && !config.get_hosts().is_empty()
            && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
        {
            mode = SslMode::Disable;
        }
        config.ssl_mode(mode.of_connection());
        Ok(Self { config, tls: Tls::new(mode, roots)?, mode })
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Result<(Client, Driver), Error> {
        let connected = self.config.connect(self.tls.clone()).await;
        let is_refused_with_tls =
            |error: &Error| refusal(error).is_some() || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        match connected {
            Err(error) if self.mode == SslMode::Prefer && is_refused_with_tls(&error) => {
                let mut without = self.config.clone();
                without.ssl_mode(tokio_postgres::config::SslMode::Disable);
                without.connect(self.tls.clone()).await
            }
            connected => connected,
        }
    }
}

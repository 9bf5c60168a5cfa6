//! The settings of a database: which of them were given, and whether they go together.

use anyhow::{bail, ensure};
use kvstore_storage::Pooling;

use super::{Settings, Storage};

impl Settings {
    /// Names of the settings of a database that were given.
    fn given_of_database(&self) -> Vec<&'static str> {
        [
            ("POSTGRES_HOST", self.postgres_host.is_some()),
            ("POSTGRES_PORT", self.postgres_port.is_some()),
            ("POSTGRES_USER", self.postgres_user.is_some()),
            ("POSTGRES_PASSWORD", self.postgres_password.is_some()),
            ("POSTGRES_DB", self.postgres_db.is_some()),
            ("POSTGRES_SSLMODE", self.postgres_sslmode.is_some()),
            ("POSTGRES_SSLROOTCERT", self.postgres_sslrootcert.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
        .collect()
    }

    /// How a pooler before the database works.
    pub(crate) fn pooling(&self) -> Pooling {
        self.database_pooling.parse().unwrap_or_default()
    }

    pub(super) fn check_database(&self) -> anyhow::Result<()> {
        let parts = self.given_of_database();
        ensure!(self.database_connections >= 2, "database_connections is {}; give at least 2", self.database_connections);
        ensure!(
            self.database_pooling.parse::<Pooling>().is_ok(),
            "database_pooling is {:?}; give --database-pooling (KVSTORE_DATABASE_POOLING) as `session` or `transaction`",
            self.database_pooling
        );
        if self.storage == Storage::Embedded {
            let given = self.database_url.as_ref().map(|_| "KVSTORE_DATABASE_URL").or(parts.first().copied());
            let Some(name) = given else { return Ok(()) };
            bail!("{name} is set, and the storage is embedded; unset it, or serve from the database with --storage postgres");
        }
        if let (Some(_), Some(part)) = (&self.database_url, parts.first()) {
            bail!("both KVSTORE_DATABASE_URL and {part} are set: give the database as a URL or in parts");
        }
        ensure!(
            self.database_url.is_some() || !parts.is_empty(),
            "the storage is postgres, and no database is given: set KVSTORE_DATABASE_URL (--database-url), or POSTGRES_HOST and the like"
        );
        Ok(())
    }
}

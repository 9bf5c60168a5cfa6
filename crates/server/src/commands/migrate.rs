//! `kvstore migrate`: make the tables that `kvstore serve --storage postgres` works on.

use clap::Args;
use kvstore_storage::Distributed;

use super::output;
use crate::{
    app,
    exit::Exit,
    settings::{self, Given, Settings, Storage},
};

/// Make, or bring up to date, the tables of `serve --storage postgres`
///
/// Takes what `kvstore serve` takes. It can run while servers run, and several times at once.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    given: Given,

    /// Shard the table of entries by its key over the workers of a Citus; the database is the coordinator's
    #[arg(long)]
    distribute: bool,
}

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        settings::check_environment()?;
        let settings = Settings::resolve(&self.given)?;
        anyhow::ensure!(
            settings.storage == Storage::Postgres,
            "there is nothing to migrate: the storage is embedded; say --storage postgres"
        );
        let (ran, distributed) = if self.distribute {
            let (ran, distributed) = app::distribute(&settings)?;
            (ran, Some(distributed))
        } else {
            (app::migrate(&settings)?, None)
        };
        let said = match ran {
            0 => "the tables are up to date\n".to_owned(),
            1 => "1 migration ran\n".to_owned(),
            ran => format!("{ran} migrations ran\n"),
        };
        let also = match distributed {
            None => "",
            Some(Distributed::Now) => "the table is distributed now\n",
            Some(Distributed::Before) => "the table was distributed before\n",
        };
        output::print((said + also).as_bytes())?;
        Ok(Exit::Ok)
    }
}

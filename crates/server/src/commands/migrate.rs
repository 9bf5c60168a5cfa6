//! `kvstore migrate`: make the tables that `kvstore serve --storage postgres` works on.

use clap::Args;

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
}

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        settings::check_environment()?;
        let settings = Settings::resolve(&self.given)?;
        anyhow::ensure!(
            settings.storage == Storage::Postgres,
            "there is nothing to migrate: the storage is embedded; say --storage postgres"
        );
        let said = match app::migrate(&settings)? {
            0 => "the tables are up to date\n".to_owned(),
            1 => "1 migration ran\n".to_owned(),
            ran => format!("{ran} migrations ran\n"),
        };
        output::print(said.as_bytes())?;
        Ok(Exit::Ok)
    }
}

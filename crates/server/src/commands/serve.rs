//! `kvstore serve`: hand the settings to the app.

use clap::Args;

use crate::{
    app,
    exit::{Exit, SERVE_HELP},
    settings::{self, Given, Settings},
};

/// Serve the REST API
#[derive(Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub(super) struct Serve {
    #[command(flatten)]
    given: Given,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let unknown = settings::check_environment()?;
        let settings = Settings::resolve(&self.given)?;
        app::serve(settings, &unknown)
    }
}

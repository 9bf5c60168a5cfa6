//! Running cases: each on a fresh fixture, in a task of its own, with a deadline. A panic or a hang is that case's failure.

use std::{future::Future, sync::Arc, time::Duration};

use super::{Case, Factory, Report, Ruling, Stop, Verdict, bed::Bed, cases};

/// A case that takes longer hangs: the slowest takes some seconds on a busy machine.
pub(super) const CASE_SECONDS_MAX: u64 = 120;

/// Runs every case.
pub async fn run_all(factory: Factory<'_>) -> Report {
    run(factory, cases()).await
}

/// Runs the cases of these names.
///
/// # Errors
/// A name that no case has.
pub async fn run_named(factory: Factory<'_>, names: &[&str]) -> Result<Report, Stop> {
    let chosen: Vec<_> = cases().into_iter().filter(|case| names.contains(&case.name)).collect();
    if chosen.len() == names.len() { Ok(run(factory, chosen).await) } else { Err(Stop::Failed(format!("unknown cases in {names:?}"))) }
}

async fn run(factory: Factory<'_>, cases: Vec<Case>) -> Report {
    let backend = factory().name().to_owned();
    let mut rulings = Vec::with_capacity(cases.len());
    for case in cases {
        let fixture = factory();
        let used = Arc::clone(&fixture);
        let mut verdict = ruled(async move { (case.run)(Bed::on(used).await?).await }).await;
        if let Err(Stop::Failed(why)) = fixture.close().await {
            verdict = Verdict::Failed(format!("its data could not be removed: {why}"));
        }
        rulings.push(Ruling::of(&case, verdict));
    }
    Report { backend, rulings }
}

/// Awaits a case in a task of its own.
pub(super) async fn ruled(case: impl Future<Output = Result<(), Stop>> + Send + 'static) -> Verdict {
    let task = tokio::spawn(case);
    let abort = task.abort_handle();
    match tokio::time::timeout(Duration::from_secs(CASE_SECONDS_MAX), task).await {
        Ok(Ok(result)) => result.into(),
        Ok(Err(error)) => Verdict::Failed(error.to_string()),
        Err(_) => {
            abort.abort();
            Verdict::Failed(format!("no end after {CASE_SECONDS_MAX} seconds"))
        }
    }
}

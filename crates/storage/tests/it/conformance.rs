//! The conformance suite on every backend of this crate, and the count that every clause is cited and proven.

use std::{collections::BTreeSet, io::Write};

use kvstore_storage::{
    CacheMode,
    conformance::{self, Factory, Report, engine},
    contract::CLAUSES,
};

use crate::{
    cache::conforms::CachedMemory,
    fixtures::{EAGER, Embedded, EngineKind, EngineOf, Memory},
    postgres::{Postgres, is_given},
};

fn suite(factory: Factory<'_>) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    conclude(runtime.block_on(conformance::run_all(factory)))
}

/// Prints the report and fails with the name and the clauses of each case that failed.
fn conclude(report: Report) -> Report {
    writeln!(std::io::stderr(), "{report}").expect("a place to report to");
    let failures = report.failures();
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
    report
}

/// What a backend that keeps nothing can't prove.
const NEED_KEEPING: [&str; 3] = ["C14", "C22", "C26"];

fn unproven_of_stores(report: &Report) -> Vec<&'static str> {
    report.unproven().into_iter().filter(|clause| clause.starts_with('C')).collect()
}

#[test]
fn memory_conforms() {
    let report = suite(&|| Memory::fixture(None));
    assert_eq!(unproven_of_stores(&report), NEED_KEEPING, "clauses that no passed case cites");
}

#[test]
fn memory_conforms_while_it_reclaims_eagerly() {
    suite(&|| Memory::fixture(EAGER));
}

#[test]
fn memory_behind_a_cache_that_checks_conforms() {
    let report = suite(&|| CachedMemory::fixture(CacheMode::Validate));
    assert_eq!(unproven_of_stores(&report), NEED_KEEPING, "clauses that no passed case cites");
}

#[test]
fn memory_behind_a_fenced_cache_conforms() {
    let report = suite(&|| CachedMemory::fixture(CacheMode::Fenced));
    assert_eq!(unproven_of_stores(&report), NEED_KEEPING, "clauses that no passed case cites");
}

#[test]
fn embedded_conforms() {
    let report = suite(&|| Embedded::fixture(None));
    assert_eq!(unproven_of_stores(&report), Vec::<&str>::new(), "clauses that no passed case cites");
    let skipped: Vec<_> = report.skipped().collect();
    assert!(
        skipped.iter().all(|(_, why)| *why == "one node owns the data"),
        "the embedded store skips only what needs two nodes: {skipped:?}"
    );
}

#[test]
fn embedded_conforms_while_it_reclaims_eagerly() {
    suite(&|| Embedded::fixture(EAGER));
}

#[test]
fn postgres_conforms() {
    let report = suite(&|| Postgres::fixture(None));
    // Copies are made by PostgreSQL's own tools.
    assert_eq!(unproven_of_stores(&report), ["C26"], "clauses that no passed case cites");
    if !is_given() {
        assert_eq!(report.weaker().len(), 2, "cases in a weaker form: {:?}", report.weaker());
    }
    let skipped: Vec<_> = report.skipped().collect();
    assert!(skipped.iter().all(|(_, why)| *why == "the store makes no checkpoints"), "skipped cases: {skipped:?}");
}

#[test]
fn postgres_behind_a_cache_that_checks_conforms() {
    let report = suite(&|| Postgres::cached(CacheMode::Validate));
    assert_eq!(unproven_of_stores(&report), ["C26"], "clauses that no passed case cites");
}

#[test]
fn postgres_behind_a_fenced_cache_conforms() {
    let report = suite(&|| Postgres::cached(CacheMode::Fenced));
    assert_eq!(unproven_of_stores(&report), ["C26"], "clauses that no passed case cites");
}

#[test]
fn postgres_conforms_while_it_reclaims_eagerly() {
    suite(&|| Postgres::fixture(EAGER));
}

#[test]
fn postgres_conforms_through_a_pooler_in_transaction_mode() {
    let report = suite(&Postgres::pooled);
    assert_eq!(unproven_of_stores(&report), ["C26"], "clauses that no passed case cites");
}

#[test]
fn postgres_without_a_common_snapshot_conforms() {
    let report = suite(&Postgres::distributed);
    assert!(report.weaker().len() > 2, "cases in a weaker form: {:?}", report.weaker());
    assert_eq!(unproven_of_stores(&report), ["C26"], "clauses that no passed case cites");
}

#[test]
fn the_memory_engine_conforms() {
    let report = conclude(engine::run_all(&|| EngineOf::fixture(EngineKind::Memory)));
    for clause in ["E1", "E2", "E3"] {
        assert!(!report.unproven().contains(&clause), "{clause} is proven");
    }
}

#[test]
fn the_rocks_engine_conforms() {
    let report = conclude(engine::run_all(&|| EngineOf::fixture(EngineKind::Rocks)));
    assert_eq!(report.counts().2, 0, "skipped cases: the rocks engine can run all");
}

#[test]
fn every_clause_is_cited_and_every_citation_is_a_clause() {
    let store_cases: Vec<_> = conformance::cases().iter().map(|case| (case.name, case.clauses)).collect();
    let engine_cases: Vec<_> = engine::cases().iter().map(|case| (case.name, case.clauses)).collect();
    let cited = |cases: &[(&str, &[&'static str])]| cases.iter().flat_map(|(_, clauses)| clauses.iter().copied()).collect::<BTreeSet<_>>();
    let (by_stores, by_engines) = (cited(&store_cases), cited(&engine_cases));
    for (clause, about) in CLAUSES {
        let cases = if clause.starts_with('E') { &by_engines } else { &by_stores };
        assert!(cases.contains(clause), "no case cites {clause}, {about}");
    }
    let known: BTreeSet<_> = CLAUSES.iter().map(|(clause, _)| *clause).collect();
    for (name, clauses) in store_cases.iter().chain(&engine_cases) {
        assert!(clauses.iter().all(|clause| known.contains(clause)), "{name} cites {clauses:?}");
    }
    let names: BTreeSet<_> = store_cases.iter().chain(&engine_cases).map(|(name, _)| *name).collect();
    assert_eq!(names.len(), store_cases.len() + engine_cases.len(), "each case has a name of its own");
}

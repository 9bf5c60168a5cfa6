//! The database of `--storage postgres`: whether it can be reached and used, and whether it keeps what it acknowledges.

use std::time::Duration;

use kvstore_storage::{Clock, DatabaseFacts, SystemClock};

use super::Diagnosis;
use crate::{
    app,
    settings::{Migrate, Settings},
};

const DATABASE: &str = "database";
const TABLES: &str = "tables";
const RIGHTS: &str = "rights";
const COMMITS: &str = "commits";
const POOL: &str = "pool";
const CLOCK: &str = "db clock";
/// Older servers get no more fixes from those who make them.
const SERVER_MIN: i64 = 140_000;
/// A question to a database in the same building takes less.
const TOOK_MAX: Duration = Duration::from_millis(10);
/// Apart by more, and people are misled by what they read in logs.
const APART_MAX: Duration = Duration::from_secs(2);

pub(super) async fn look(settings: &Settings) -> Vec<Diagnosis> {
    match app::examine_database(settings).await {
        Ok((place, facts)) => judge(&place, &facts, settings),
        Err(error) => {
            let advice = "see that it runs, and that host, port, role, password, database and sslmode are right, and that it is the primary; `psql` with the same URL tells more";
            vec![Diagnosis::problem(DATABASE, format!("{error:#}"), advice)]
        }
    }
}

fn judge(place: &str, facts: &DatabaseFacts, settings: &Settings) -> Vec<Diagnosis> {
    let apart = (SystemClock::default().now().as_micros() - facts.now_micros).unsigned_abs();
    // It was read a moment ago.
    let apart = Duration::from_micros(apart).saturating_sub(facts.age);
    vec![
        server(place, facts),
        tables(facts, settings.migrate),
        rights(facts),
        commits(facts),
        pool(facts, settings.database_connections),
        clock(apart),
    ]
}

fn server(place: &str, facts: &DatabaseFacts) -> Diagnosis {
    let detail = format!("PostgreSQL {} at {place} takes the role {} and answers in {:.1?}", facts.server_version, facts.role, facts.took);
    if facts.server_number < SERVER_MIN {
        Diagnosis::warning(DATABASE, detail, "upgrade it: PostgreSQL before 14 gets no more fixes")
    } else if facts.took > TOOK_MAX {
        Diagnosis::warning(DATABASE, detail, "each request waits for it at least once: bring the nodes nearer to it")
    } else {
        Diagnosis::ok(DATABASE, detail)
    }
}

fn tables(facts: &DatabaseFacts, migrate: Migrate) -> Diagnosis {
    let known = facts.schema_known;
    match &facts.schema {
        Err(error) => Diagnosis::problem(TABLES, format!("their version can't be told: {error}"), "give the role the rights on them"),
        Ok(found) if *found == known => Diagnosis::ok(TABLES, format!("they have schema {found}, as this version needs")),
        Ok(found) if *found > known => {
            Diagnosis::problem(TABLES, format!("they have schema {found}, and this version knows up to {known}"), "use a newer kvstore")
        }
        Ok(found) => {
            let detail = match found {
                0 => "there are none yet".to_owned(),
                found => format!("they have schema {found}, and this version needs {known}"),
            };
            match (migrate, facts.may_create) {
                (Migrate::Check, _) => Diagnosis::problem(TABLES, detail, "run `kvstore migrate`: with --migrate check a start does not"),
                (Migrate::Run, false) => {
                    let advice = "let a role that may create tables run `kvstore migrate`, or grant CREATE on the schema";
                    Diagnosis::problem(TABLES, format!("{detail}, and the role may create none"), advice)
                }
                (Migrate::Run, true) => Diagnosis::ok(TABLES, format!("{detail}; the next start makes them")),
            }
        }
    }
}

fn rights(facts: &DatabaseFacts) -> Diagnosis {
    if facts.missing.is_empty() {
        return Diagnosis::ok(RIGHTS, format!("the role {} has those that it needs", facts.role));
    }
    let missing = facts.missing.join(", ");
    Diagnosis::problem(RIGHTS, format!("the role {} lacks {missing}", facts.role), "GRANT them to it, or make it the owner of the tables")
}

fn commits(facts: &DatabaseFacts) -> Diagnosis {
    if facts.fsync == "off" {
        let advice = "set fsync = on: a crash of its machine can lose what was acknowledged, or everything";
        return Diagnosis::warning(COMMITS, "the server does not wait for its disk (fsync is off)", advice);
    }
    if facts.full_page_writes == "off" {
        let advice = "set full_page_writes = on, unless its file system never tears a page";
        return Diagnosis::warning(COMMITS, "a crash can leave pages that are torn (full_page_writes is off)", advice);
    }
    match facts.synchronous_commit.as_str() {
        "off" => {
            let advice = "set synchronous_commit = on, so that other programs that write here are safe too";
            Diagnosis::warning(COMMITS, "synchronous_commit is off; kvstore turns it on for its own writes", advice)
        }
        mode => Diagnosis::ok(COMMITS, format!("they wait for the disk (synchronous_commit is {mode})")),
    }
}

fn pool(facts: &DatabaseFacts, connections: usize) -> Diagnosis {
    let free = facts.connections_max - facts.connections_reserved - facts.connections_used;
    let wanted = i64::try_from(connections).unwrap_or(i64::MAX);
    let detail = format!(
        "this node takes up to {wanted} of {} connections, of which {} are used and {} kept for superusers",
        facts.connections_max, facts.connections_used, facts.connections_reserved
    );
    if wanted > facts.connections_max - facts.connections_reserved {
        Diagnosis::problem(POOL, detail, "lower --database-connections, or raise max_connections")
    } else if wanted > free {
        let advice =
            "lower --database-connections, or raise max_connections, unless it is this node that uses them now; each node takes as many";
        Diagnosis::warning(POOL, detail, advice)
    } else {
        Diagnosis::ok(POOL, detail)
    }
}

fn clock(apart: Duration) -> Diagnosis {
    if apart > APART_MAX {
        let detail = format!("it is {:.1} s apart from the clock of this machine", apart.as_secs_f64());
        let advice = "switch on time synchronisation on both: stamps and expiry follow the database's clock, logs this machine's";
        return Diagnosis::warning(CLOCK, detail, advice);
    }
    Diagnosis::ok(CLOCK, "it agrees with the clock of this machine")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    /// A fault, the place of the check that tells of it, and how.
    type Case = (fn(&mut DatabaseFacts), usize, Level);

    fn well() -> DatabaseFacts {
        DatabaseFacts {
            server_version: "15.18".into(),
            server_number: 150_018,
            role: "kv".into(),
            took: Duration::from_millis(1),
            now_micros: SystemClock::default().now().as_micros(),
            age: Duration::ZERO,
            connections_max: 100,
            connections_reserved: 3,
            connections_used: 5,
            synchronous_commit: "on".into(),
            fsync: "on".into(),
            full_page_writes: "on".into(),
            may_create: false,
            missing: Vec::new(),
            schema: Ok(2),
            schema_known: 2,
        }
    }

    fn levels(facts: &DatabaseFacts) -> Vec<Level> {
        judge("h:5432/d", facts, &Settings::default()).iter().map(|diagnosis| diagnosis.level).collect()
    }

    #[test]
    fn each_fault_is_said_by_the_check_that_it_belongs_to() {
        let faults: [Case; 12] = [
            (|_| {}, 0, Level::Ok),
            (|facts| facts.server_number = 130_010, 0, Level::Warning),
            (|facts| facts.took = Duration::from_millis(50), 0, Level::Warning),
            (|facts| facts.schema = Ok(3), 1, Level::Problem),
            (|facts| facts.schema = Ok(0), 1, Level::Problem),
            (|facts| facts.schema = Err("no right".into()), 1, Level::Problem),
            (|facts| facts.missing = vec!["INSERT on kv".into()], 2, Level::Problem),
            (|facts| facts.fsync = "off".into(), 3, Level::Warning),
            (|facts| facts.synchronous_commit = "off".into(), 3, Level::Warning),
            (|facts| facts.connections_used = 90, 4, Level::Warning),
            (|facts| facts.connections_max = 15, 4, Level::Problem),
            (|facts| facts.now_micros -= 5_000_000, 5, Level::Warning),
        ];
        for (number, (fault, check, level)) in faults.into_iter().enumerate() {
            let mut facts = well();
            fault(&mut facts);
            let expected: Vec<_> = (0..6).map(|at| if at == check { level } else { Level::Ok }).collect();
            assert_eq!(levels(&facts), expected, "fault {number}");
        }
        let empty = DatabaseFacts { schema: Ok(0), may_create: true, ..well() };
        assert_eq!(tables(&empty, Migrate::Run).level, Level::Ok);
        assert_eq!(tables(&empty, Migrate::Check).level, Level::Problem);
    }
}

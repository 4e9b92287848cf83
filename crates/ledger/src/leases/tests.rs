//! Leases in a real database: who claims, who takes over, and what a paused replica may still do.

use secrecy::SecretString;

use super::*;
use crate::postgres::PostgresTls;
use crate::postgres::server::Postgres;

/// Shorter than any test: what must hold is renewed, and what must expire is made to, by the database.
const LENGTH: Duration = Duration::from_secs(3_600);

/// Returns a server and the options of a fresh schema with the tables.
fn tables() -> Option<(&'static Postgres, PostgresOptions)> {
    let server = Postgres::shared()?;
    let schema = server.new_schema();
    server.sql(&format!("CREATE SCHEMA {schema}; SET search_path TO {schema}; {TABLES}"));
    let url = SecretString::from(server.url());
    Some((server, PostgresOptions::new(&url, &schema, PostgresTls::Disable).expect("a URL")))
}

fn replica(options: &PostgresOptions, host: &str) -> Leases {
    Leases::new(options.clone(), host, LENGTH).expect("a replica")
}

fn logs(n: usize) -> WantedLeases {
    let shared = vec![(0..n).map(|number| format!("log/{number}")).collect()];
    WantedLeases { shared, ..WantedLeases::default() }
}

fn held(replica: &Leases, wanted: &WantedLeases) -> Vec<Lease> {
    let mine = replica.beat(wanted).expect("the database runs").mine;
    mine.into_iter().map(|(name, epoch)| Lease { name, epoch }).collect()
}

/// Lets all leases and replicas of others than `but` expire, as if they had been paused for long.
fn pause_others(server: &Postgres, options: &PostgresOptions, but: &Leases) {
    let (schema, me) = (options.schema(), &but.me.0);
    server.sql(&format!(
        "UPDATE {schema}.lease SET expires = now() - interval '1 second' WHERE owner <> '{me}'; \
         UPDATE {schema}.replica SET seen = now() - interval '2 hours' WHERE id <> '{me}'"
    ));
}

/// Returns whether a commit under these leases would be fenced.
fn is_fenced(options: &PostgresOptions, leases: &[Lease]) -> bool {
    let connection = Connection::open(options).expect("connected");
    match fence(&connection, leases) {
        Ok(()) => false,
        Err(LedgerError::Fenced { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_second_replica_gets_its_half_and_the_first_takes_all_when_it_leaves() {
    let Some((_, options)) = tables() else { return };
    let (first, second) = (replica(&options, "a"), replica(&options, "b"));
    assert_eq!(held(&first, &logs(6)).len(), 6);
    assert_eq!(held(&second, &logs(6)).len(), 0);
    // What is in flight is given back later.
    let in_use = ["log/4", "log/5"].map(str::to_owned).into();
    assert_eq!(held(&first, &WantedLeases { in_use, ..logs(6) }).len(), 5);
    assert_eq!(held(&first, &logs(6)).len(), 3);
    let of_second = held(&second, &logs(6));
    assert_eq!(of_second.len(), 3);
    let seen = first.beat(&logs(6)).expect("it runs");
    let of_hosts = |host: &str| seen.hosts.values().filter(|its| *its == host).count();
    assert_eq!((seen.alive, of_hosts("a"), of_hosts("b")), (2, 3, 3));
    assert!(!is_fenced(&options, &of_second));

    second.leave().expect("it runs");
    assert!(is_fenced(&options, &of_second[..1]), "what is given back is no fence");
    assert_eq!(held(&first, &logs(6)).len(), 6);
    assert_eq!(held(&first, &logs(0)).len(), 0, "what the config does not name any more is given back");
}

#[test]
fn a_paused_replica_is_fenced_when_another_has_taken_over_and_not_before() {
    let Some((server, options)) = tables() else { return };
    let (first, second) = (replica(&options, "a"), replica(&options, "b"));
    let before = held(&first, &logs(4));
    pause_others(server, &options, &second);
    assert!(!is_fenced(&options, &before), "nobody has taken over");
    let after = held(&second, &logs(4));
    assert_eq!(after.iter().map(|lease| lease.epoch).collect::<Vec<_>>(), [2; 4]);
    assert!(is_fenced(&options, &before));
    assert!(is_fenced(&options, &[after[0].clone(), before[1].clone()]), "one of several is enough");
    assert!(!is_fenced(&options, &after));
    // It wakes, has nothing, and gets its share again.
    assert_eq!(held(&first, &logs(4)), []);
    assert_eq!(held(&second, &logs(4)).len(), 2);
    assert_eq!(held(&first, &logs(4)).iter().map(|lease| lease.epoch).collect::<Vec<_>>(), [4; 2]);
}

#[test]
fn nobody_takes_over_during_a_commit_and_a_renewal_does_not_wait_for_it() {
    let Some((server, options)) = tables() else { return };
    let (first, second) = (replica(&options, "a"), replica(&options, "b"));
    let before = held(&first, &logs(2));
    let commit = Connection::open(&options).expect("connected");
    let run = |sql| commit.wait("test", commit.client().batch_execute(sql)).expect(sql);
    run("BEGIN");
    fence(&commit, &before[..1]).expect("it holds");
    pause_others(server, &options, &second);
    assert_eq!(held(&second, &logs(2)).len(), 1, "only what no commit holds");
    assert_eq!(held(&first, &logs(2)).len(), 1, "it is not waited for the commit, or the database would end this");
    run("COMMIT");
    assert!(!is_fenced(&options, &before[..1]));
}

#[test]
fn what_is_on_one_disk_is_of_its_replica_only() {
    let Some((_, options)) = tables() else { return };
    let (first, second) = (replica(&options, "a"), replica(&options, "b"));
    let own = WantedLeases { own: ["log/file".to_owned()].into(), ..logs(1) };
    assert_eq!(held(&second, &logs(1)).len(), 1);
    assert!(held(&first, &own).iter().any(|lease| lease.name == "log/file"));
    assert!(held(&second, &logs(1)).iter().all(|lease| lease.name != "log/file"));
}

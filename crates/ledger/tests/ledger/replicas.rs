//! Several processes share a ledger in PostgreSQL: each writes on top of what the others wrote, and a kill of the server or of
//! an answer loses and doubles nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use stakeout_core::commit::Commit;
use stakeout_core::delivery::{DeliveryId, Settlement};
use stakeout_core::lease::Lease;
use stakeout_core::novelty::{SeenChange, SeenKey};
use stakeout_core::source::SourceId;
use stakeout_core::time::{Minute, Second};
use stakeout_ledger::{Ledger, LedgerError};

use crate::kill::{self, Acknowledged};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::samples::{self, DESTINATION, log};

fn shared() -> Option<Place> {
    Postgres::shared().map(Place::schema)
}

/// Commits something of everything of log `n`.
fn commit_of(ledger: &Ledger, n: u32) -> Result<(), LedgerError> {
    ledger.alone(|ledger| {
        let source = ledger.source_id_for(&log(n))?;
        let next = ledger.next_delivery();
        let (minute, number) = (Minute(i64::from(n) * 60), u64::from(n));
        let commit = Commit {
            findings: vec![samples::finding(100 + number, 1)],
            deliveries: vec![samples::delivery(next.0, 2, 1)],
            seen: SeenChange { days: vec![(SeenKey(number), samples::seen_days(20_000))], ..SeenChange::default() },
            ..samples::commit(source, log(n), i64::from(n), DeliveryId(next.0 + 1))
        };
        ledger.commit_window(&mut samples::with_rows(commit, [(minute, samples::rows(n, 2, 0))]), &[])
    })
}

#[test]
fn each_knows_what_the_others_wrote() {
    let Some(place) = shared() else { return };
    let [one, other] = [(); 2].map(|()| place.open().expect("opens"));
    assert_eq!(one.hash_key(), other.hash_key());
    commit_of(&one, 0).expect("written");
    commit_of(&other, 1).expect("written");
    let everything = |ledger: &Ledger| {
        (
            ledger.progresses().expect("read"),
            ledger.deliveries(DESTINATION, Second(0)).expect("read"),
            samples::stored_findings(ledger).expect("read"),
            samples::stored_rows(ledger).expect("read"),
            (ledger.next_delivery(), ledger.findings_open().expect("read")),
            ledger.seen().expect("read").days().map(|(key, days)| (*key, *days)).collect::<Vec<_>>().len(),
        )
    };
    assert_eq!(everything(&one), everything(&other));
    assert_eq!(everything(&one).0.len(), 2);
    assert_eq!(everything(&one).5, 2);
    assert!(one.progress_version().expect("read") > 0, "the other has changed the progress");

    // What one deletes, the other forgets.
    let pending = one.deliveries(DESTINATION, Second(0)).expect("read");
    let entries = pending.iter().flat_map(|delivery| delivery.entries.iter().map(|entry| (delivery.id, *entry)));
    let notices = pending.iter().flat_map(|delivery| delivery.notices.iter().map(|it| (delivery.id, it.clone())));
    let all = Settlement { entries: entries.collect(), notices: notices.collect(), shown: Vec::new() };
    one.settle_delivery(&all, &[]).expect("written");
    let forgotten = SeenChange { forgotten: vec![SeenKey(0)], ..SeenChange::default() };
    let next = samples::commit(SourceId(0), log(0), 9, one.next_delivery());
    let archived = vec![samples::finding_key(100)];
    one.commit_window(&mut Commit { seen: forgotten, archived, ..next }, &[]).expect("written");
    assert_eq!(everything(&one), everything(&other));
    assert_eq!((everything(&other).1.len(), everything(&other).5), (0, 1));
    let archive = [&one, &other].map(|ledger| samples::archived_findings(ledger).expect("read"));
    assert_eq!(archive[0].len(), 1);
    assert_eq!(archive[0], archive[1]);
}

/// An id is reserved in memory until a commit writes it. Meanwhile another process may have taken it.
#[test]
fn two_new_logs_of_two_processes_never_share_an_id() {
    let Some(place) = shared() else { return };
    let [one, other] = [(); 2].map(|()| place.open().expect("opens"));
    assert_eq!(one.source_id_for(&log(0)).expect("free"), SourceId(0));
    assert_eq!(other.source_id_for(&log(1)).expect("free"), SourceId(0));
    commit_of(&one, 0).expect("written");
    commit_of(&other, 1).expect("written");
    let ids: Vec<SourceId> = one.progresses().expect("read").into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [SourceId(0), SourceId(1)]);
}

/// Each turn reads a number and writes the next one. Without the lock, two would write the same.
#[test]
fn turns_of_many_processes_follow_each_other() {
    const REPLICAS: u32 = 4;
    const TURNS: u32 = 25;
    let Some(place) = shared() else { return };
    let (place, begin) = (Arc::new(place), Arc::new(Barrier::new(REPLICAS as usize)));
    let replicas: Vec<_> = (0..REPLICAS)
        .map(|replica| {
            let (place, begin) = (place.clone(), begin.clone());
            thread::spawn(move || {
                let ledger = place.open().expect("opens");
                begin.wait();
                for _ in 0..TURNS {
                    commit_of(&ledger, replica).expect("written on top of the others");
                }
            })
        })
        .collect();
    replicas.into_iter().for_each(|replica| replica.join().expect("it does not panic"));
    let ledger = place.open().expect("opens");
    let pending = ledger.deliveries(DESTINATION, Second(0)).expect("read");
    let ids: Vec<u64> = pending.iter().map(|delivery| delivery.id.0).collect();
    assert_eq!(ids, (0..u64::from(REPLICAS * TURNS)).collect::<Vec<_>>());
    assert_eq!(ledger.progresses().expect("read").len(), REPLICAS as usize);
}

#[test]
fn a_write_under_a_lease_of_another_writes_nothing() {
    let (Some(place), Some(server)) = (shared(), Postgres::shared()) else { return };
    let ledger = place.open().expect("opens");
    let Place::Schema(schema, _) = &place else { panic!("a schema") };
    server.sql(&format!("INSERT INTO {schema}.lease VALUES ('log/a', 'me', 7, now())"));
    let lease = |epoch| [Lease { name: "log/a".to_owned(), epoch }];
    let mut commit = samples::full_commit();
    let before = ledger.stored().expect("read");
    for epoch in [6, 8] {
        let error = ledger.commit_window(&mut commit.clone(), &lease(epoch)).expect_err("another epoch");
        assert!(matches!(&error, LedgerError::Fenced { lease } if lease == "log/a"), "{error}");
        let settlement = Settlement { shown: vec![samples::shown_change(1, 0)], ..Settlement::default() };
        let error = ledger.settle_delivery(&settlement, &lease(epoch)).expect_err("another epoch");
        assert!(matches!(error, LedgerError::Fenced { .. }), "{error}");
    }
    assert_eq!(ledger.stored().expect("read"), before);
    ledger.commit_window(&mut commit, &lease(7)).expect("a fence stops nobody else");
}

#[test]
fn tables_and_formats_of_other_versions_are_refused_with_both_numbers() {
    let (Some(place), Some(server)) = (shared(), Postgres::shared()) else { return };
    drop(place.open().expect("opens"));
    let Place::Schema(schema, _) = &place else { panic!("a schema") };
    server.sql(&format!("UPDATE {schema}.ledger SET value = '\\x63000000' WHERE part = 0"));
    let error = place.open().expect_err("another format");
    assert!(matches!(error, LedgerError::Format { found: 99, .. }), "{error}");
    server.sql(&format!("INSERT INTO {schema}.migration (number) VALUES (99)"));
    let error = place.open().expect_err("a newer version").to_string();
    assert!(error.contains("version 99") && error.contains("knows 2"), "{error}");
}

/// An hour passes between two ticks, and whatever is in between closes connections that nobody uses.
#[test]
fn a_connection_that_ended_between_two_turns_is_replaced() {
    let Some(server) = Postgres::start() else { return };
    let ledger = Place::schema(&server).open().expect("opens");
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    for n in 0..3 {
        assert_eq!(server.sql(end), "1");
        commit_of(&ledger, n).expect("connected again");
    }
    assert_eq!(ledger.progresses().expect("read").len(), 3);
}

/// The server dies at any moment of a commit, and starts again.
#[test]
fn a_crash_of_the_server_loses_nothing_that_was_acknowledged() {
    const CRASHES: u64 = 4;
    let Some(mut server) = Postgres::start() else { return };
    let place = Place::schema(&server);
    let mut acknowledged = Acknowledged::default();
    for crash in 0..CRASHES {
        let committed = Arc::new(AtomicUsize::new(0));
        let victim = {
            let (place, committed) = (Place::of_text(&place.text()), committed.clone());
            thread::spawn(move || {
                let mut acknowledged = Acknowledged::default();
                let error = kill::write_on(&place, |line| {
                    acknowledged.read_line(line);
                    committed.fetch_add(1, Ordering::Relaxed);
                });
                (acknowledged, error)
            })
        };
        let enough = usize::try_from(5 + 7 * crash).expect("few");
        while committed.load(Ordering::Relaxed) < enough && !victim.is_finished() {
            thread::yield_now();
        }
        if crash % 2 == 0 {
            server.crash();
        } else {
            server.stop_fast();
        }
        let (more, error) = victim.join().expect("an error, and no panic");
        assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
        acknowledged.add(more);
        server.start_again();
        kill::check(&place.open().expect("opens after a crash"), &mut acknowledged);
    }
}

/// A relay in front of the server that closes both sides at the second commit (the first is that of the tables): before or
/// after the server has it.
fn relay(port: u16, is_forwarded: bool) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let own_port = listener.local_addr().expect("bound").port();
    let commits = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the server runs");
            let commits = commits.clone();
            thread::spawn(move || relay_one(&client, &server, is_forwarded, &commits));
        }
    });
    own_port
}

fn relay_one(client: &TcpStream, server: &TcpStream, is_forwarded: bool, commits: &AtomicUsize) {
    let (mut from_server, mut to_client) = (server.try_clone().expect("open"), client.try_clone().expect("open"));
    let answers = thread::spawn(move || drop(std::io::copy(&mut from_server, &mut to_client)));
    let (mut client_in, mut server_out) = (client, server);
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = client_in.read(&mut bytes) {
        // The ledger commits with a message of its own: a letter, a length and the text.
        let is_commit = bytes[..read].ends_with(b"Q\0\0\0\x0bCOMMIT\0");
        if is_commit && commits.fetch_add(1, Ordering::SeqCst) == 1 {
            let _ = client.shutdown(Shutdown::Both);
            if is_forwarded {
                let _ = server_out.write_all(&bytes[..read]);
            }
            break;
        }
        if server_out.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = answers.join();
}

/// The answer to a commit is lost on the way. Whether it was written, the database knows.
#[test]
fn a_commit_whose_answer_is_lost_is_not_guessed_at() {
    let Some(server) = Postgres::shared() else { return };
    for is_forwarded in [true, false] {
        let schema = server.new_schema();
        let direct = Place::Schema(schema.clone(), server.url()).open().expect("opens");
        commit_of(&direct, 0).expect("written");
        let url = format!("postgresql://stakeout@127.0.0.1:{}/postgres", relay(server.port(), is_forwarded));
        let ledger = Place::Schema(schema, url).open().expect("opens");
        let written = commit_of(&ledger, 1);
        let progresses = direct.progresses().expect("read").len();
        if is_forwarded {
            written.expect("the database said that it is written");
            assert_eq!(progresses, 2);
            commit_of(&ledger, 2).expect("it goes on");
        } else {
            let error = written.expect_err("it was not written");
            assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
            assert_eq!(progresses, 1);
        }
    }
}

//! A state goes from one engine to another and back and is the same, and nothing that is damaged or not whole becomes a state.

use stakeout_core::commit::Commit;
use stakeout_core::delivery::{DeliveryId, Settlement};
use stakeout_core::source::SourceId;
use stakeout_ledger::{Ledger, LedgerError, Transferred};

use crate::place::Place;
use crate::round_trip::Contents;
use crate::samples;

/// Findings of the state: with what says where to find them, more records than an import has in memory at once.
const FINDINGS: u64 = 600;
const ARCHIVED: u64 = 300;

/// Fills a ledger with something of every kind.
fn fill(ledger: &Ledger) {
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    let shown = (0..8).map(|n| samples::shown_change(n, 1)).collect();
    ledger.settle_delivery(&Settlement { shown, ..Settlement::default() }, &[]).expect("written");
    for (first, archived) in [(10, 0..0), (10 + FINDINGS, 10..10 + ARCHIVED)] {
        let findings = (first..first + FINDINGS).map(|n| samples::finding(n, n % 5)).collect();
        let archived = archived.map(samples::finding_key).collect();
        let next = DeliveryId(ledger.next_delivery().0);
        let commit = samples::commit(SourceId(0), samples::log(0), 7, next);
        ledger.commit_window(&mut Commit { findings, archived, ..commit }, &[]).expect("written");
    }
}

fn exported(ledger: &Ledger) -> (Vec<u8>, Transferred) {
    let mut stream = Vec::new();
    let exported = ledger.export(&mut stream).expect("exported");
    (stream, exported)
}

fn imported(place: &Place, stream: &[u8]) -> Result<Transferred, LedgerError> {
    Ledger::import(place.location(), &mut &stream[..])
}

#[test]
fn a_state_goes_to_another_engine_and_back_and_is_the_same() {
    // From the first to the last and back to a new one of the first: with one engine only, to another directory.
    let (places, back) = (Place::each(), Place::each());
    let first = places[0].open().expect("opens");
    fill(&first);
    let (contents, key) = (Contents::of(&first), first.hash_key());
    let (stream, all) = exported(&first);
    assert_eq!(all.archived, ARCHIVED);
    let mut streams = vec![stream];
    for place in places[1..].iter().rev().chain(&back[..1]) {
        let before = streams.last().expect("one at least");
        assert_eq!(imported(place, before).expect("imported"), all);
        let ledger = place.open().expect("a state");
        assert!(Contents::of(&ledger) == contents, "the state is another one");
        assert_eq!((ledger.hash_key(), ledger.is_anew().expect("read")), (key, false));
        streams.push(exported(&ledger).0);
        // It goes on.
        let (next, log) = (DeliveryId(ledger.next_delivery().0), samples::log(0));
        ledger.commit_window(&mut samples::commit(SourceId(0), log, 9, next), &[]).expect("written");
    }
    assert!(streams.len() > 1);
}

#[test]
fn an_import_that_was_not_finished_is_no_state() {
    let source = &Place::each()[0];
    let ledger = source.open().expect("opens");
    fill(&ledger);
    let (stream, _) = exported(&ledger);
    for place in &Place::each() {
        // In the last record: everything else is there already.
        let error = imported(place, &stream[..stream.len() - 1]).expect_err("not whole");
        assert!(matches!(error, LedgerError::Stream { .. }), "{error}");
        let error = place.open().expect_err("not a state");
        assert!(matches!(error, LedgerError::Unfinished), "{error}");
        let error = imported(place, &stream).expect_err("not empty");
        assert!(error.to_string().contains("there is a state already"), "{error}");
    }
    for place in &Place::each() {
        drop(place.open().expect("a new ledger"));
        let error = imported(place, &stream).expect_err("not empty");
        assert!(error.to_string().contains("there is a state already"), "{error}");
        assert!(place.open().expect("as before").stored().expect("read").findings == 0);
    }
}

#[test]
fn a_damaged_stream_is_refused_wherever_the_damage_is() {
    let source = &Place::each()[0];
    let ledger = source.open().expect("opens");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    let (stream, _) = exported(&ledger);
    let is_refused = |stream: &[u8], what: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let error = imported(&Place::directory(dir.path()), stream).expect_err(what);
        assert!(matches!(error, LedgerError::Stream { .. }), "{what}: {error}");
    };
    let begin = stream.windows(1).position(|byte| byte == b"\n").expect("a line") + 1;
    let step = (stream.len() / 40).max(1);
    for at in (0..stream.len()).step_by(step).filter(|at| !(begin + 8..begin + 16).contains(at)) {
        let mut damaged = stream.clone();
        damaged[at] ^= 0x11;
        is_refused(&damaged, &format!("byte {at} of {}", stream.len()));
        is_refused(&stream[..at], &format!("the first {at} bytes"));
    }
    is_refused(&[&stream[..], b"\n"].concat(), "something behind it");
    is_refused(b"", "nothing");
}

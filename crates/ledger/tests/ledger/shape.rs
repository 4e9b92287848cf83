//! The stored form: small values only, and a fixed encoding.

use stakeout_core::commit::Commit;
use stakeout_ledger::Ledger;

use crate::samples;

/// Postcard names no fields, so a changed field would be read as another. A change of these lengths, of rows and of findings,
/// means a new format.
const ENCODING: (usize, usize) = (1_329, 888);

#[test]
fn no_stored_value_is_longer_than_a_page() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    drop(ledger);
    let db = sled::open(dir.path()).expect("free again");
    let longest = db.iter().values().map(|value| value.expect("readable").len()).max();
    assert!(longest <= Some(4096), "{longest:?}");
    assert_eq!(db.tree_names().len(), 1);
}

#[test]
fn the_encoding_of_rows_has_not_changed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    ledger.commit_window(&mut samples::full_commit(), &[]).expect("written");
    drop(ledger);
    let db = sled::open(dir.path()).expect("free again");
    // Keys are hashed with a secret of this ledger, so only lengths can be compared.
    let lengths = |letter: &[u8]| {
        let values = db.scan_prefix(letter).values().map(|value| value.expect("readable").len());
        values.sum::<usize>()
    };
    assert_eq!((lengths(b"r"), lengths(b"f")), ENCODING);
}

/// A rule's text is two thousand characters, and a flood makes thousands of findings of it.
#[test]
fn rule_metadata_is_stored_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::open(dir.path()).expect("a new ledger");
    let findings = (0..1000).map(|n| samples::finding(n, 0)).collect();
    ledger.commit_window(&mut Commit { findings, ..samples::full_commit() }, &[]).expect("written");
    drop(ledger);
    let db = sled::open(dir.path()).expect("free again");
    let bytes =
        |letter: &[u8]| db.scan_prefix(letter).values().map(|value| value.expect("readable").len()).sum::<usize>();
    assert_eq!(db.scan_prefix(b"h").count(), 1);
    assert!(bytes(b"f") < 1000 * 400, "{} bytes of findings", bytes(b"f"));
}

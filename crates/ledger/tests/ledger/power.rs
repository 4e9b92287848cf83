//! A machine that loses its power at any moment loses no acknowledged write.
//!
//! The victim of `kill` works on a disk whose power is cut when it is killed, so what it did not sync is gone.

use std::fs::{self, File};
use std::io::Write;

use stakeout_ledger::Ledger;

use crate::disk::Disk;
use crate::kill::{self, Acknowledged, Moments};
use crate::place::Place;

/// How many times the power is cut.
const CUTS: &str = "STAKEOUT_TEST_POWER_CUTS";
const CUTS_BY_DEFAULT: u64 = 20;
/// Cuts of one state; then a new one begins.
const CUTS_OF_ONE: u64 = 10;

#[test]
fn a_cut_loses_what_was_not_synced() {
    let Some(disk) = Disk::new() else { return };
    let mut synced = File::create(disk.path().join("synced")).expect("created");
    synced.write_all(&[1; 9999]).and_then(|()| synced.sync_all()).expect("written");
    File::open(disk.path()).and_then(|dir| dir.sync_all()).expect("synced");
    fs::write(disk.path().join("not synced"), [1; 9999]).expect("written");
    let disk = disk.cut();
    assert_eq!(fs::read(disk.path().join("synced")).expect("there"), [1; 9999]);
    assert_ne!(fs::read(disk.path().join("not synced")).unwrap_or_default(), [1; 9999], "the power was never cut");
}

#[test]
fn nothing_that_was_acknowledged_is_lost_to_a_power_cut() {
    let cuts = std::env::var(CUTS).ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(CUTS_BY_DEFAULT);
    let mut moments = Moments::new();
    let mut state = None;
    for cut in 0..cuts {
        if cut % CUTS_OF_ONE == 0 {
            state = None;
        }
        let begun = state.take().or_else(|| Some((Disk::new()?, Acknowledged::default())));
        let Some((disk, mut acknowledged)) = begun else { return };
        kill::kill_after(&Place::directory(&disk.path().join("state")), moments.next(), &mut acknowledged);
        let disk = disk.cut();
        let ledger = Ledger::open(&disk.path().join("state")).expect("opens after a power cut");
        kill::check(&ledger, &mut acknowledged);
        drop(ledger);
        state = Some((disk, acknowledged));
    }
}

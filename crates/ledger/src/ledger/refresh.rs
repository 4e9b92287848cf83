//! Brings the memory of a ledger up to date with what other processes wrote.
//!
//! What is in memory is valid for a number of writes. Where the database has another number, what was written since is
//! read: each such record has the number of its write. Deletions leave no record, so those are found by comparing keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use stakeout_core::delivery::{Delivery, DeliveryId};
use stakeout_core::hash::HashKey;
use stakeout_core::novelty::{Seen, SeenChange, SeenKey};
use stakeout_core::rule::{HeadKey, RuleHead};
use stakeout_core::source::SourceId;

use super::{LedgerState, seen_days, totals};
use crate::archive::Archive;
use crate::engine::Engine;
use crate::error::Result;
use crate::id_allocator::IdAllocator;
use crate::key::Key;
use crate::write_batch::parse_json;

/// Brings `state` up to date. Must run in a turn.
pub(super) fn refresh(engine: &Engine, hash_key: HashKey, state: &mut LedgerState) -> Result<()> {
    let now = totals(engine)?;
    let known = state.totals.writes;
    if now.writes == known {
        return Ok(());
    }
    for (key, value) in engine.written_after(Key::RuleMeta(HeadKey(0)), known)? {
        if let Key::RuleMeta(rule) = key {
            state.rule_meta.add(rule, parse_json::<RuleHead>(key, &value)?);
        }
    }
    let progress = engine.written_after(Key::Progress(SourceId(0)), known)?;
    if !progress.is_empty() {
        for (key, value) in progress {
            if let Key::Progress(source) = key {
                state.progress.insert(source, parse_json(key, &value)?);
            }
        }
        state.progress_version += 1;
        // An id that this process gave to a log and did not commit may be the id of another one by now.
        state.ids = IdAllocator::new(&state.progress)?;
    }
    refresh_deliveries(engine, state, known)?;
    if now.groups_forgotten_at > known {
        state.seen = Arc::new(Seen::new(hash_key, seen_days(engine)?));
    } else {
        let mut days = Vec::new();
        for (key, value) in engine.written_after(Key::Seen(SeenKey(0)), known)? {
            if let Key::Seen(group) = key {
                days.push((group, parse_json(key, &value)?));
            }
        }
        if !days.is_empty() {
            Arc::make_mut(&mut state.seen).apply(&SeenChange { days, ..SeenChange::default() });
        }
    }
    state.archive = Archive::open(engine, now.archive)?;
    state.totals = now;
    Ok(())
}

fn refresh_deliveries(engine: &Engine, state: &mut LedgerState, known: u64) -> Result<()> {
    for (key, value) in engine.written_after(Key::Delivery(DeliveryId(0)), known)? {
        state.pending.note(&parse_json::<Delivery>(key, &value)?);
    }
    let mut stored = BTreeSet::new();
    for key in engine.keys([Key::Delivery(DeliveryId(0)).kind()]) {
        if let Key::Delivery(id) = key? {
            stored.insert(id);
        }
    }
    state.pending.retain(&stored);
    Ok(())
}

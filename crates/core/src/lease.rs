//! Who of several replicas does what: a pure function of what each of them sees.
//!
//! How a lease is stored, and for how long it holds, is not decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::source::LogId;

/// One process among several that share a state: random, of one start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub String);

/// What one replica at a time does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Reading a log, and committing its windows.
    Log(LogId),
    /// Sending to the destination of this name.
    Destination(String),
    /// Saying after each tick whether all is well.
    Heartbeat,
}

/// The duty's name, under which its lease is stored.
impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Duty::Log(log) => write!(f, "log/{log}"),
            Duty::Destination(name) => write!(f, "destination/{name}"),
            Duty::Heartbeat => f.write_str("heartbeat"),
        }
    }
}

/// A lease: the right to do something, until another replica has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// The name of the duty.
    pub name: String,
    /// The number of the owner: each change of owner adds one, so a write of an earlier owner can be recognized.
    pub epoch: i64,
}

/// What one replica changes of its leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseChanges {
    /// Claimed, where nobody is faster.
    pub claim: Vec<String>,
    /// Given back, once nothing of it is in flight.
    pub give_back: Vec<String>,
}

/// Returns what the replica `me` changes, so that the `alive` ones end up with equal shares of `names`. `owners` has the
/// leases that hold, of anybody.
///
/// All replicas that see the same come to shares that fit: `names.len()` divided by the replicas, and the first replicas have
/// one more where that leaves a rest. One that does not appear among `alive` is alive, because it asks.
#[must_use]
pub fn share(
    me: &ReplicaId,
    alive: &BTreeSet<ReplicaId>,
    names: &BTreeSet<String>,
    owners: &BTreeMap<String, ReplicaId>,
) -> LeaseChanges {
    let mut alive = alive.clone();
    alive.insert(me.clone());
    let position = alive.iter().position(|replica| replica == me).unwrap_or(0);
    let quota = names.len() / alive.len() + usize::from(position < names.len() % alive.len());
    let mine: Vec<&String> = names.iter().filter(|name| owners.get(*name) == Some(me)).collect();
    let free: Vec<&String> = names.iter().filter(|name| !owners.contains_key(*name)).collect();
    // Each replica begins at another one, so that two rarely claim the same.
    let first = free.len() * position / alive.len();
    let in_turn = free[first..].iter().chain(&free[..first]);
    LeaseChanges {
        claim: in_turn.take(quota.saturating_sub(mine.len())).map(|name| (*name).clone()).collect(),
        give_back: mine.into_iter().skip(quota).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(number: usize) -> ReplicaId {
        ReplicaId(format!("replica-{number}"))
    }

    fn names(n: usize) -> BTreeSet<String> {
        (0..n).map(|number| format!("log/{number:03}")).collect()
    }

    /// Lets all replicas of `alive` change their leases, one after the other, and returns how many changes that were.
    fn turn(alive: &BTreeSet<ReplicaId>, names: &BTreeSet<String>, owners: &mut BTreeMap<String, ReplicaId>) -> usize {
        let mut n = 0;
        for me in alive {
            let changes = share(me, alive, names, owners);
            n += changes.claim.len() + changes.give_back.len();
            changes.give_back.iter().for_each(|name| drop(owners.remove(name)));
            owners.extend(changes.claim.into_iter().map(|name| (name, me.clone())));
        }
        n
    }

    fn shares(owners: &BTreeMap<String, ReplicaId>) -> Vec<usize> {
        let mut shares: BTreeMap<&ReplicaId, usize> = BTreeMap::new();
        owners.values().for_each(|owner| *shares.entry(owner).or_default() += 1);
        shares.into_values().collect()
    }

    #[test]
    fn whoever_comes_and_goes_all_is_done_in_equal_shares_after_two_turns_and_nothing_moves_then() {
        for (n, before, after) in
            [(60, 0..4, 0..4), (60, 0..1, 0..4), (61, 0..4, 1..4), (7, 1..3, 0..5), (2, 0..5, 3..5)]
        {
            let (names, mut owners) = (names(n), BTreeMap::new());
            let before: BTreeSet<ReplicaId> = before.map(replica).collect();
            let alive: BTreeSet<ReplicaId> = after.map(replica).collect();
            turn(&before, &names, &mut owners);
            assert_eq!(owners.len(), n, "all is free, so one turn is enough");
            owners.retain(|_, owner| alive.contains(owner));
            turn(&alive, &names, &mut owners);
            turn(&alive, &names, &mut owners);
            assert_eq!(owners.len(), n, "{alive:?}");
            let shares = shares(&owners);
            let (least, most) = (shares.iter().min().expect("some"), shares.iter().max().expect("some"));
            assert!(most - least <= 1, "{shares:?}");
            assert_eq!(turn(&alive, &names, &mut owners), 0, "{owners:?}");
        }
    }

    #[test]
    fn two_that_see_the_same_claim_different_leases() {
        let alive: BTreeSet<ReplicaId> = (0..4).map(replica).collect();
        let claimed: Vec<Vec<String>> =
            alive.iter().map(|me| share(me, &alive, &names(60), &BTreeMap::new()).claim).collect();
        let all: BTreeSet<&String> = claimed.iter().flatten().collect();
        assert_eq!((claimed.iter().map(Vec::len).collect::<Vec<_>>(), all.len()), (vec![15; 4], 60));
    }

    #[test]
    fn one_that_nobody_sees_is_alive_and_what_others_hold_is_left_to_them() {
        let owners = BTreeMap::from([("log/000".to_owned(), replica(1))]);
        let changes = share(&replica(0), &BTreeSet::from([replica(1)]), &names(3), &owners);
        assert_eq!(
            changes,
            LeaseChanges { claim: vec!["log/001".to_owned(), "log/002".to_owned()], give_back: vec![] }
        );
    }
}

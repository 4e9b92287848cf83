//! Which stored findings decide about the incidents that a commit touches. They are read by their actors, in a few rounds:
//! what a commit reads depends on whom it touches, whatever else is stored.
//!
//! An address's incident is a part of another if an account or a crowd lists it, and an account's level depends on the
//! addresses that it lists. A crowd lists thousands: of these, a commit reads those that it adds, and all of them only
//! where the crowd itself becomes another one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::partition::{self, Run};
use super::{Actor, NARROW_SOURCES_MAX};
use crate::address::SourceIp;
use crate::finding::{Finding, FindingKey, FindingStatus};
use crate::rule::Level;
use crate::time::Second;

/// Rounds of reading in which addresses lead to the accounts and crowds that list them.
const ROUNDS_MAX: usize = 4;
/// Rounds in which accounts lead to the addresses that they list: those that are touched, and those that list a touched
/// address.
const ACCOUNT_ROUNDS_MAX: usize = 2;
/// Most accounts of an address that are read: an exit of many people has thousands.
const ACCOUNTS_MAX: usize = 256;

/// What is known around the findings that a commit touches.
pub struct NearbyFindings {
    /// The touched findings as they are after the commit.
    touched: HashMap<FindingKey, Finding>,
    /// The stored findings, as they were before.
    stored: BTreeMap<FindingKey, Finding>,
    /// Whose findings were read.
    asked: BTreeSet<Actor>,
    /// Whose findings are read next.
    reached: BTreeSet<Actor>,
    /// The findings whose incidents are to be reported in full.
    whole: BTreeSet<FindingKey>,
    round: usize,
    quiet_seconds: i64,
}

impl NearbyFindings {
    /// Begins with the `touched` findings as they are after the commit, and with the incidents of `actors`.
    #[must_use]
    pub fn new(touched: Vec<Finding>, actors: BTreeSet<Actor>, quiet_seconds: i64) -> NearbyFindings {
        let mut reached = actors;
        reached.extend(touched.iter().map(Actor::of));
        let touched = touched.into_iter().map(|finding| (finding.key, finding)).collect();
        NearbyFindings {
            touched,
            stored: BTreeMap::new(),
            asked: BTreeSet::new(),
            reached,
            whole: BTreeSet::new(),
            round: 0,
            quiet_seconds,
        }
    }

    /// Begins with the incidents of `findings`, which are to be reported in full: with what every address of a crowd belongs to.
    pub fn whole<'f>(findings: impl Iterator<Item = &'f Finding>, quiet_seconds: i64) -> NearbyFindings {
        let (whole, actors) = findings.map(|finding| (finding.key, Actor::of(finding))).unzip();
        NearbyFindings { whole, ..NearbyFindings::new(Vec::new(), actors, quiet_seconds) }
    }

    /// Returns the actors whose stored findings are to be read next: those of each, and of an address also those of accounts
    /// that list it among few. Returns none when everything is known.
    #[must_use]
    pub fn next_actors(&mut self) -> BTreeSet<Actor> {
        let wanted: BTreeSet<Actor> = std::mem::take(&mut self.reached).difference(&self.asked).cloned().collect();
        self.asked.extend(wanted.iter().cloned());
        wanted
    }

    /// Adds the stored findings of the actors that were asked for.
    pub fn add(&mut self, findings: Vec<Finding>) {
        self.stored.extend(findings.into_iter().map(|finding| (finding.key, finding)));
        self.round += 1;
        if self.round > ROUNDS_MAX {
            return;
        }
        let mut reached = BTreeSet::new();
        let mut accounts: HashMap<SourceIp, usize> = HashMap::new();
        for finding in self.after() {
            match Actor::of(finding) {
                Actor::Address(_) => {
                    let clusters = finding.clusters.iter().cloned().map(Some).chain([None]);
                    reached.extend(clusters.map(|cluster| Actor::Crowd { cluster }));
                }
                account @ Actor::Account { .. } if !self.asked.contains(&account) => {
                    let listed = narrow_sources(finding).filter(|source| self.asked.contains(&Actor::Address(*source)));
                    let least = listed.map(|source| *accounts.entry(source).and_modify(|n| *n += 1).or_insert(1)).min();
                    if least.is_some_and(|accounts| accounts <= ACCOUNTS_MAX) {
                        reached.insert(account);
                    }
                }
                Actor::Account { .. } if self.round <= ACCOUNT_ROUNDS_MAX => {
                    reached.extend(narrow_sources(finding).map(Actor::Address));
                }
                Actor::Account { .. } | Actor::Crowd { .. } => {}
            }
        }
        if self.round == 1 {
            // The crowds of other days have other addresses.
            let runs = partition::runs(self.after(), self.quiet_seconds).into_iter().map(|run| run.findings);
            let whole = runs.filter(|run| run.iter().any(|finding| self.whole.contains(&finding.key)));
            reached.extend(whole.flatten().flat_map(|finding| finding.sources.iter()).map(Actor::Address));
            reached.extend(self.new_of_crowds().map(Actor::Address));
        }
        self.reached = reached;
    }

    /// Returns whether all findings of an actor were read, `own` among them, and those of the addresses that these list among
    /// few. Who is known only because an address of his was asked for may have others.
    pub(crate) fn is_known<'f>(&self, actor: &Actor, own: impl Iterator<Item = &'f Finding>) -> bool {
        let was_asked = |source| self.asked.contains(&Actor::Address(source));
        self.asked.contains(actor) && own.flat_map(|finding| actor.few_listed(finding)).all(was_asked)
    }

    /// Returns the findings as they were before the commit.
    pub fn before(&self) -> impl Iterator<Item = &Finding> {
        self.stored.values()
    }

    /// Returns the findings as they are after it.
    pub fn after(&self) -> impl Iterator<Item = &Finding> {
        let untouched = self.stored.values().filter(|finding| !self.touched.contains_key(&finding.key));
        untouched.chain(self.touched.values())
    }

    /// Returns the addresses that touched findings bring to crowds, and all addresses of crowds that become others.
    fn new_of_crowds(&self) -> impl Iterator<Item = SourceIp> {
        let crowds = |findings: &mut dyn Iterator<Item = &Finding>| -> BTreeMap<Actor, Vec<(Level, Second, Second)>> {
            let mut crowds: BTreeMap<Actor, Vec<_>> = BTreeMap::new();
            let wanted = findings.filter(|finding| is_crowd(&Actor::of(finding))).cloned().collect::<Vec<_>>();
            for Run { actor, level, first, last, .. } in partition::runs(&wanted, self.quiet_seconds) {
                crowds.entry(actor).or_default().push((level, first, last));
            }
            crowds
        };
        let (before, after) = (crowds(&mut self.before()), crowds(&mut self.after()));
        let newest = self.touched.values().map(|finding| finding.episode.last).max().unwrap_or(Second(i64::MIN));
        let stays = |crowd: &Actor| {
            let (Some(before), Some(after)) = (before.get(crowd), after.get(crowd)) else { return false };
            before.len() == after.len()
                && before.iter().zip(after).all(|((level, first, last), now)| {
                    // An address that comes after a long silence is near the crowd only if the crowd grew meanwhile.
                    let goes_on = *last == now.2 || last.plus(self.quiet_seconds) >= newest;
                    (*level, *first) == (now.0, now.1) && goes_on
                })
        };
        let mut new = BTreeSet::new();
        for finding in self.touched.values() {
            let actor = Actor::of(finding);
            if !is_crowd(&actor) {
                continue;
            }
            let before = self.stored.get(&finding.key).filter(|_| stays(&actor)).map(|before| &before.sources);
            new.extend(finding.sources.iter().filter(|source| before.is_none_or(|before| !before.contains(*source))));
            if !stays(&actor) {
                let others = self.after().filter(|other| Actor::of(other) == actor);
                new.extend(others.flat_map(|other| other.sources.iter()));
            }
        }
        new.into_iter()
    }
}

/// Returns the addresses that a finding of an account lists, if they are few: the account owns their incidents.
pub(super) fn narrow_sources(finding: &Finding) -> impl Iterator<Item = SourceIp> + '_ {
    let is_narrow = !finding.sources.is_cut() && finding.sources.len() <= NARROW_SOURCES_MAX;
    let is_reported = !matches!(finding.status, FindingStatus::MergedInto(_));
    let named = finding.source_ip().into_iter().chain(finding.sources.iter());
    named.take(if is_narrow && is_reported { usize::MAX } else { 0 })
}

fn is_crowd(actor: &Actor) -> bool {
    matches!(actor, Actor::Crowd { .. })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{by_account, finding, sources};
    use super::*;

    /// Reads what is asked for next, as the writer does.
    fn read(nearby: &mut NearbyFindings, stored: &[Finding]) -> bool {
        let wanted = nearby.next_actors();
        let is_wanted = |finding: &&Finding| {
            let mut listed = narrow_sources(finding).map(Actor::Address);
            wanted.contains(&Actor::of(finding)) || listed.any(|address| wanted.contains(&address))
        };
        if !wanted.is_empty() {
            nearby.add(stored.iter().filter(is_wanted).cloned().collect());
        }
        !wanted.is_empty()
    }

    /// Jane was first seen at two addresses, and hours later at one of them. A commit that knows her by the other address only
    /// does not know that she came back, nor what the first address did: her findings must not go to the archive.
    #[test]
    fn who_is_met_at_one_address_is_not_known() {
        let addresses = sources(2);
        let of = |name, first, sources: &[SourceIp]| finding(&by_account(Level::High, name, sources.to_vec(), first));
        let janes = [of("jane", 24_600, &addresses), of("jane", 34_196, &addresses[..1])];
        let maxes = [of("max", 24_600, &addresses[1..]), of("max", 34_196, &addresses[..1])];
        let zoes = [of("zoe", 24_600, &addresses[1..])];
        let stored = [&janes[..], &maxes, &zoes].concat();
        let begun = |actor: Actor| NearbyFindings::new(Vec::new(), BTreeSet::from([actor]), 24 * 3600);
        let is_known = |nearby: &NearbyFindings, own: &[Finding]| nearby.is_known(&Actor::of(&own[0]), own.iter());

        let mut by_address = begun(Actor::Address(addresses[1]));
        assert!(read(&mut by_address, &stored) && by_address.before().any(|finding| finding.key == maxes[0].key));
        assert!(!is_known(&by_address, &maxes[..1]) && !is_known(&by_address, &janes[..1]), "others were not read");

        let mut by_zoe = begun(Actor::of(&zoes[0]));
        while read(&mut by_zoe, &stored) {}
        assert!(is_known(&by_zoe, &zoes));
        assert!(!is_known(&by_zoe, &janes), "nothing of her first address was read");

        let mut by_name = begun(Actor::of(&janes[0]));
        while read(&mut by_name, &stored) {}
        assert!(is_known(&by_name, &janes));
    }
}

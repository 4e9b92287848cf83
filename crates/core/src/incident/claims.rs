//! Which incident a source belongs to, and which one an address's incident is a part of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::partition::Run;
use super::{Actor, IncidentKey, NARROW_SOURCES_MAX, RELATED_MAX};
use crate::address::SourceIp;
use crate::finding::Finding;
use crate::time::Second;

/// Most claims on one source that others are compared with: thousands of accounts name an exit of many people.
const CLAIMS_MAX: usize = 256;

/// How good a claim on a source is; the lowest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The incident of the address itself.
    Own,
    /// An account with a finding of few sources.
    Account,
    /// A crowd.
    Crowd,
    /// An account whose findings have many sources.
    ManySources,
    /// The incident of another address.
    OtherAddress,
}

/// A run that names a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    rank: Rank,
    /// The first second of the run.
    begin: Second,
    key: IncidentKey,
    run: usize,
    /// The span of the findings that name the source.
    first: Second,
    last: Second,
}

impl Claim {
    /// Returns whether the two are at most `seconds` apart.
    fn is_near(&self, other: &Claim, seconds: i64) -> bool {
        self.first <= other.last.plus(seconds) && other.first <= self.last.plus(seconds)
    }
}

/// What the runs own, by their indices.
pub(super) struct Claims {
    /// The parent of each run.
    pub(super) parents: Vec<Option<usize>>,
    /// The sources that each run owns.
    pub(super) owned: Vec<BTreeSet<SourceIp>>,
    related: Vec<BTreeSet<usize>>,
}

impl Claims {
    pub(super) fn of(runs: &[Run<'_>], quiet_seconds: i64) -> Claims {
        let mut claims = Claims {
            parents: vec![None; runs.len()],
            owned: vec![BTreeSet::new(); runs.len()],
            related: vec![BTreeSet::new(); runs.len()],
        };
        let by_source = by_source(runs);
        for named in by_source.values() {
            claims.find_parents(runs, named, quiet_seconds);
        }
        for (source, named) in &by_source {
            claims.share_out(runs, *source, named, quiet_seconds);
        }
        claims
    }

    /// Returns the runs near a run that share a source with it.
    pub(super) fn related(&self, run: usize) -> impl Iterator<Item = usize> {
        self.related[run].iter().copied().take(RELATED_MAX)
    }

    fn root(&self, run: usize) -> usize {
        self.parents[run].unwrap_or(run)
    }

    /// Finds the parents of an address's own runs. `named` are the claims on the address, best first.
    fn find_parents(&mut self, runs: &[Run<'_>], named: &[Claim], quiet_seconds: i64) {
        for own in named.iter().filter(|claim| claim.rank == Rank::Own) {
            let parent = named.iter().take(CLAIMS_MAX).find(|claim| match claim.rank {
                Rank::Account => claim.is_near(own, quiet_seconds),
                Rank::Crowd => {
                    let (own_run, crowd) = (&runs[own.run], &runs[claim.run]);
                    claim.is_near(own, quiet_seconds) && own_run.level <= crowd.level && own_run.is_with(crowd)
                }
                Rank::Own | Rank::ManySources | Rank::OtherAddress => false,
            });
            self.parents[own.run] = parent.map(|claim| claim.run);
        }
    }

    /// Gives `source` to the best of the claims that are near each other. `named` are all claims on it, best first. A crowd
    /// of two days is two incidents that do not compete.
    fn share_out(&mut self, runs: &[Run<'_>], source: SourceIp, named: &[Claim], quiet_seconds: i64) {
        for claim in named {
            let near = || named.iter().take(CLAIMS_MAX).filter(|other| other.is_near(claim, quiet_seconds));
            let own = near().filter(|other| other.rank == Rank::Own).map(|own| self.root(own.run));
            let mut owners: BTreeSet<usize> = own.collect();
            if owners.is_empty() {
                let competes =
                    |other: &&Claim| other.run == claim.run || runs[other.run].actor != runs[claim.run].actor;
                // What a child names, its parent has: a child is not reported by itself.
                owners.extend(near().find(competes).map(|best| self.root(best.run)));
            }
            let root = self.root(claim.run);
            if owners.iter().all(|owner| *owner == root) {
                self.owned[root].insert(source);
            }
            for owner in owners.into_iter().filter(|owner| *owner != root) {
                self.related[root].insert(owner);
                self.related[owner].insert(root);
            }
        }
    }
}

/// Returns the claims on each source, best first: at most one of each run.
fn by_source(runs: &[Run<'_>]) -> BTreeMap<SourceIp, Vec<Claim>> {
    let mut by_source: BTreeMap<SourceIp, Vec<Claim>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        let mut of_run: HashMap<SourceIp, Claim> = HashMap::new();
        for (source, finding) in run.named() {
            let rank = rank(run, source, finding);
            let (first, last) = (finding.episode.first, finding.episode.last);
            let claim =
                of_run.entry(source).or_insert(Claim { rank, begin: run.first, key: run.key, run: index, first, last });
            claim.rank = claim.rank.min(rank);
            claim.first = claim.first.min(first);
            claim.last = claim.last.max(last);
        }
        for (source, claim) in of_run {
            by_source.entry(source).or_default().push(claim);
        }
    }
    by_source.values_mut().for_each(|claims| claims.sort_unstable());
    by_source
}

fn rank(run: &Run<'_>, source: SourceIp, finding: &Finding) -> Rank {
    let is_narrow = !finding.sources.is_cut() && finding.sources.len() <= NARROW_SOURCES_MAX;
    match &run.actor {
        Actor::Address(own) if *own == source => Rank::Own,
        Actor::Address(_) => Rank::OtherAddress,
        Actor::Crowd { .. } => Rank::Crowd,
        Actor::Account { .. } if is_narrow => Rank::Account,
        Actor::Account { .. } => Rank::ManySources,
    }
}

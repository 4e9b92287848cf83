//! Accounts and regions: whose groups a request sees.

use std::collections::{BTreeMap, BTreeSet};

use super::ACCOUNT;
use super::store::{Group, Store};
use super::wire::LogsError;
use crate::sts;

/// The groups of each account and region, or those of all if nothing was put into one.
#[derive(Debug, Default)]
pub(super) struct Places {
    anywhere: Store,
    stores: BTreeMap<(String, String), Store>,
    /// A monitoring account, and an account that it sees.
    links: BTreeSet<(String, String)>,
}

/// What an account sees in a region.
#[derive(Debug)]
pub(super) struct Seen<'p> {
    pub(super) region: &'p str,
    /// Its own groups.
    own: (&'p str, Option<&'p Store>),
    /// Those of the accounts that it monitors.
    linked: Vec<(&'p str, &'p Store)>,
}

/// Returns the account whose role got this access key from the fake of STS.
pub(super) fn account_of(access_key: &str) -> &str {
    access_key.strip_prefix(sts::ROLE_KEY_PREFIX).filter(|account| !account.is_empty()).unwrap_or(ACCOUNT)
}

impl Places {
    pub(super) fn anywhere(&mut self) -> &mut Store {
        &mut self.anywhere
    }

    pub(super) fn of(&mut self, account: &str, region: &str) -> &mut Store {
        self.stores.entry((account.to_owned(), region.to_owned())).or_default()
    }

    pub(super) fn link(&mut self, monitoring: &str, source: &str) {
        self.links.insert((monitoring.to_owned(), source.to_owned()));
    }

    /// Returns where a request of an account in a region writes.
    pub(super) fn written_by(&mut self, account: &str, region: &str) -> &mut Store {
        if self.stores.is_empty() { &mut self.anywhere } else { self.of(account, region) }
    }

    /// Returns what a request of an account in a region sees.
    pub(super) fn seen_by<'p>(&'p self, account: &'p str, region: &'p str) -> Seen<'p> {
        let here = || self.stores.iter().filter(|((_, its), _)| its == region);
        let own = here().find(|((its, _), _)| its == account).map(|(_, store)| store);
        let own = if self.stores.is_empty() { Some(&self.anywhere) } else { own };
        let is_linked = |source: &str| self.links.contains(&(account.to_owned(), source.to_owned()));
        let linked = here().filter(|((its, _), _)| is_linked(its)).map(|((its, _), store)| (its.as_str(), store));
        Seen { region, own: (account, own), linked: linked.collect() }
    }
}

impl<'p> Seen<'p> {
    /// Returns the groups with their accounts and names, in the order of these.
    pub(super) fn groups(&self, includes_linked: bool) -> Vec<(&'p str, &'p str, &'p Group)> {
        let own = self.own.1.map(|store| (self.own.0, store));
        let linked = self.linked.iter().copied().filter(|_| includes_linked);
        let of = |(account, store): (&'p str, &'p Store)| {
            store.groups.iter().map(move |(name, group)| (account, name.as_str(), group))
        };
        own.into_iter().chain(linked).flat_map(of).collect()
    }

    /// Finds an own group by name, or any that is seen by ARN. Returns its account too.
    pub(super) fn group<'i>(&self, identifier: &'i str) -> Result<(&'p str, &'i str, &'p Group), LogsError> {
        let not_found = || LogsError::not_found("log group");
        let (account, name) = match identifier.strip_prefix(format!("arn:aws:logs:{}:", self.region).as_str()) {
            Some(rest) => {
                rest.split_once(":log-group:").filter(|(_, name)| !name.contains(':')).ok_or_else(not_found)?
            }
            None => (self.own.0, identifier),
        };
        let found = self.groups(true).into_iter().find(|(its, group, _)| *its == account && *group == name);
        found.map(|(its, _, group)| (its, name, group)).ok_or_else(not_found)
    }

    /// Returns whose request it is, and where it was sent.
    pub(super) fn caller(&self) -> (String, String) {
        (self.own.0.to_owned(), self.region.to_owned())
    }
}

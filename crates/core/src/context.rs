//! What else the source of a finding asked for around it: the first thing that its reader wants to know, and what no rule
//! counts. A new finding owes one bounded read of its own log for it, whose answer stays with the finding.
//!
//! Nothing here is counted, matched or told by itself, so whether such a read fails or is cut changes no finding.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::address::{self, SourceIp};
use crate::code::{Code, Codes};
use crate::finding::{Finding, FindingKey};
use crate::observation::{Identity, Observation};
use crate::prefilter::Prefilter;
use crate::text::bounded;
use crate::time::{Second, Window};

/// Context queries that a log owes at once: a window with more new findings is a flood, in which nobody reads each.
pub const CONTEXT_QUERIES_MAX: usize = 10;
/// Requests that one context query takes in.
pub const REQUESTS_MAX: u32 = 200;
/// How far before the first and after the last request of a finding is looked, in seconds.
const AROUND_SECONDS: i64 = 3600;
/// Longest span that is looked at, in seconds: of a finding that goes on for days, its last day.
const SPAN_SECONDS_MAX: i64 = 26 * 3600;
/// Addresses that a provider is asked for. Who has an IPv6 network may use each of its addresses.
const ADDRESSES_MAX: usize = 3;
/// Most values of a ranking.
const VALUES_MAX: usize = 10;
/// Longest value of a ranking, in characters.
const VALUE_CHARS_MAX: usize = 128;
/// Longest reason of a failure that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// A read that is owed to a new finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextQuery {
    /// The finding.
    pub finding: FindingKey,
    /// Whose requests are looked for.
    pub source: SourceIp,
    /// The addresses of the source that are known to have asked; at least one.
    pub addresses: Vec<IpAddr>,
    /// When.
    pub window: Window,
}

impl ContextQuery {
    /// Returns what a finding owes, or `None` where it is not of one source, or no address of it is known.
    #[must_use]
    pub fn of(finding: &Finding) -> Option<ContextQuery> {
        let only = || Some(finding.sources.iter().next()?).filter(|_| finding.sources.len() == 1);
        let source = finding.source_ip().or_else(only)?;
        let mut addresses: Vec<IpAddr> = match source {
            SourceIp::V4(address) => vec![address.into()],
            SourceIp::V6Net(_) => Vec::new(),
        };
        let chains = finding.evidence.samples().iter().flat_map(|sample| &sample.source_ips);
        for known in chains.filter_map(|entry| address::parse(entry)).filter(|known| SourceIp::of(*known) == source) {
            if addresses.len() < ADDRESSES_MAX && !addresses.contains(&known) {
                addresses.push(known);
            }
        }
        let latest = finding.episode.last.plus(AROUND_SECONDS + 1);
        let earliest = finding.episode.first.plus(-AROUND_SECONDS).max(latest.plus(-SPAN_SECONDS_MAX));
        let window = Window::new(earliest, latest).filter(|_| !addresses.is_empty())?;
        Some(ContextQuery { finding: finding.key, source, addresses, window })
    }

    /// Returns the same without what lies after `until`: nobody can have written it yet.
    #[must_use]
    pub fn before(self, until: Second) -> ContextQuery {
        let window = Window::new(self.window.earliest(), self.window.latest().min(until)).unwrap_or(self.window);
        ContextQuery { window, ..self }
    }

    /// Returns the filter of the requests in which one of the addresses is named. Those of whom only a client says that
    /// they came from there are among them.
    #[must_use]
    pub fn prefilter(&self) -> Prefilter {
        Prefilter::Or(self.addresses.iter().copied().map(Prefilter::from_address).collect()).simplified()
    }
}

/// What was found around a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingContext {
    /// It was read.
    Read(Box<Around>),
    /// It could not be read.
    Unread {
        /// Why.
        reason: String,
    },
}

impl FindingContext {
    /// Returns that they could not be read, and why.
    #[must_use]
    pub fn unread(reason: &str) -> FindingContext {
        FindingContext::Unread { reason: bounded(reason, REASON_CHARS_MAX) }
    }
}

/// What a source asked one cluster for, whether some rule counts it or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// The cluster.
    pub cluster: String,
    /// The span that was read: where there were more requests than are taken in, up to the last of them.
    pub window: Window,
    /// How many requests the source sent, at most [`REQUESTS_MAX`].
    pub requests: u64,
    /// Whether there were more.
    pub is_cut: bool,
    /// The requests, by how they were answered.
    pub codes: Codes,
    /// What it was let do: verb and resource, or verb and path where there is no resource.
    pub let_in: Ranking,
    /// What it was refused, or what came to nothing.
    pub refused: Ranking,
    /// The namespaces that it asked for.
    pub namespaces: Ranking,
    /// The users that it came as.
    pub users: Ranking,
    /// The user agents that it called itself.
    pub agents: Ranking,
    /// Through what it came: the entries of `sourceIPs` after its own. Of requests straight to the API there are none.
    pub proxies: Ranking,
}

/// Values by how many requests had them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    /// The most frequent values, at most ten, with their requests; equals by name.
    pub top: Vec<(String, u64)>,
    /// How many other values there were.
    pub others: u64,
}

impl Ranking {
    fn of(counts: BTreeMap<String, u64>) -> Ranking {
        let mut top: Vec<(String, u64)> = counts.into_iter().collect();
        top.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        let others = top.len().saturating_sub(VALUES_MAX) as u64;
        top.truncate(VALUES_MAX);
        Ranking { top, others }
    }
}

/// A context query that is being read.
pub struct Looking {
    look: ContextQuery,
    requests: Vec<Request>,
    seen: HashSet<Identity>,
    is_cut: bool,
}

/// What is kept of a request until all were seen.
struct Request {
    at: Second,
    code: Option<i64>,
    operation: String,
    namespace: Option<String>,
    user: Option<String>,
    agent: Option<String>,
    proxies: Vec<String>,
}

impl Looking {
    /// Begins to read what `look` says.
    #[must_use]
    pub fn new(look: ContextQuery) -> Looking {
        Looking { look, requests: Vec::new(), seen: HashSet::new(), is_cut: false }
    }

    /// Takes a request in, if it is one that is looked for. It counts for its source as it does for a rule: what a
    /// client says of itself is nothing.
    pub fn observe(&mut self, observation: &Observation) {
        let is_source = observation.client.map(SourceIp::of) == Some(self.look.source);
        if !is_source || !self.look.window.contains(observation.first) || self.seen.contains(&observation.identity) {
            return;
        }
        if self.is_full() {
            self.is_cut = true;
            return;
        }
        self.seen.insert(observation.identity.clone());
        self.requests.push(Request::of(observation));
    }

    /// Notes that there may be more than what was seen.
    pub fn note_more(&mut self) {
        self.is_cut = true;
    }

    /// Tells whether as many requests were taken in as there is room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.requests.len() >= REQUESTS_MAX as usize
    }

    /// Returns what is looked for.
    #[must_use]
    pub fn look(&self) -> &ContextQuery {
        &self.look
    }

    /// Returns what was seen in `cluster`.
    #[must_use]
    pub fn finish(self, cluster: &str) -> Around {
        let mut window = self.look.window;
        if self.is_cut
            && let Some(last) = self.requests.iter().map(|request| request.at).max()
        {
            window = Window::new(window.earliest(), last.plus(1)).unwrap_or(window);
        }
        let mut codes = Codes::default();
        self.requests.iter().for_each(|request| codes.add(Code::of(request.code), 1));
        let (let_in, refused): (Vec<&Request>, Vec<&Request>) =
            self.requests.iter().partition(|request| request.is_let_in());
        let all = || self.requests.iter();
        Around {
            cluster: cluster.to_owned(),
            window,
            requests: self.requests.len() as u64,
            is_cut: self.is_cut,
            codes,
            let_in: ranked(let_in.iter().map(|request| &request.operation)),
            refused: ranked(refused.iter().map(|request| &request.operation)),
            namespaces: ranked(all().filter_map(|request| request.namespace.as_ref())),
            users: ranked(all().filter_map(|request| request.user.as_ref())),
            agents: ranked(all().filter_map(|request| request.agent.as_ref())),
            proxies: ranked(all().flat_map(|request| &request.proxies)),
        }
    }
}

impl Request {
    fn of(observation: &Observation) -> Request {
        let event = &observation.event;
        let text = |text: &str| bounded(text, VALUE_CHARS_MAX);
        let kept = |value: &Option<String>| value.as_deref().filter(|value| !value.is_empty()).map(text);
        let object = event.object_ref.as_ref();
        let asked = object.and_then(|object| {
            let resource = object.resource.as_deref()?;
            Some(match object.subresource.as_deref() {
                Some(subresource) => format!("{resource}/{subresource}"),
                None => resource.to_owned(),
            })
        });
        let path = || event.request_uri.as_deref().map(|uri| uri.split('?').next().unwrap_or_default().to_owned());
        let asked = asked.or_else(path).unwrap_or_default();
        let verb = event.verb.as_deref().unwrap_or_default();
        let is_own = |entry: &String| address::parse(entry) == observation.client;
        let own = event.source_ips.iter().rposition(is_own);
        Request {
            at: observation.first,
            code: event.response_code,
            operation: text(format!("{verb} {asked}").trim()),
            namespace: object.and_then(|object| kept(&object.namespace)),
            user: kept(&event.username),
            agent: kept(&event.user_agent),
            proxies: own.map_or_else(Vec::new, |own| {
                event.source_ips[own + 1..].iter().take(VALUES_MAX).map(|ip| text(ip)).collect()
            }),
        }
    }

    /// Tells whether the API did what was asked.
    fn is_let_in(&self) -> bool {
        self.code.is_some_and(|code| (100..400).contains(&code))
    }
}

fn ranked<'a>(values: impl Iterator<Item = &'a String>) -> Ranking {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for value in values {
        *counts.entry(value.clone()).or_default() += 1;
    }
    Ranking::of(counts)
}

#[cfg(test)]
mod tests;

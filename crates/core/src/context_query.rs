//! Context queries: one bounded read of a log for each new finding, of all that its source asked for around that time.
//!
//! Rules never see these requests. A query that fails or is cut changes no finding but for its context.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::{self, SourceIp};
use crate::context::{SourceActivity, TopValues, VALUE_CHARS_MAX, VALUES_MAX};
use crate::finding::{Finding, FindingKey};
use crate::observation::{Identity, Observation};
use crate::prefilter::Prefilter;
use crate::response_code::{ResponseCode, ResponseCodes};
use crate::source::ALL_CLUSTERS;
use crate::text::bounded;
use crate::time::{Second, Window};

/// Pending context queries of a log: a window with more new findings is a flood, too many for a person to read.
pub const CONTEXT_QUERIES_MAX: usize = 10;
/// Most requests that one context query keeps.
pub const REQUESTS_MAX: u32 = 200;
/// How far a query reaches before the first and after the last request of its finding, in seconds.
const MARGIN_SECONDS: i64 = 3600;
/// Longest span of a query, in seconds: of a finding that goes on for days, its last day.
const SPAN_SECONDS_MAX: i64 = 26 * 3600;
/// Most addresses in a query. The owner of an IPv6 network may use each of its addresses.
const ADDRESSES_MAX: usize = 3;

/// A read for a new finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextQuery {
    /// The finding.
    pub finding: FindingKey,
    /// The source whose requests are searched.
    pub source: SourceIp,
    /// Known addresses of the source, at least one.
    pub addresses: Vec<IpAddr>,
    /// The span that is searched.
    pub window: Window,
}

impl ContextQuery {
    /// Returns the query of a finding, or `None` where the finding has several sources or no known address.
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
        let latest = finding.episode.last.plus(MARGIN_SECONDS + 1);
        let earliest = finding.episode.first.plus(-MARGIN_SECONDS).max(latest.plus(-SPAN_SECONDS_MAX));
        let window = Window::new(earliest, latest).filter(|_| !addresses.is_empty())?;
        Some(ContextQuery { finding: finding.key, source, addresses, window })
    }

    /// Returns the query without the time after `until`, of which no log can have records yet.
    #[must_use]
    pub fn before(self, until: Second) -> ContextQuery {
        let window = Window::new(self.window.earliest(), self.window.latest().min(until)).unwrap_or(self.window);
        ContextQuery { window, ..self }
    }

    /// Returns the filter of the requests that name the source. It also lets through requests in which only a client claims
    /// such an address.
    #[must_use]
    pub fn prefilter(&self) -> Prefilter {
        Prefilter::from_source(self.source)
    }
}

/// Reads the answer of a context query.
pub struct ContextReader {
    query: ContextQuery,
    requests: Vec<KeptRequest>,
    seen: HashSet<Identity>,
    is_cut: bool,
}

/// What the reader keeps of a request.
struct KeptRequest {
    at: Second,
    cluster: Arc<str>,
    code: Option<i64>,
    operation: String,
    namespace: Option<String>,
    user: Option<String>,
    agent: Option<String>,
    proxies: Vec<String>,
}

impl ContextReader {
    /// Returns a reader of the answer to `query`.
    #[must_use]
    pub fn new(query: ContextQuery) -> ContextReader {
        ContextReader { query, requests: Vec::new(), seen: HashSet::new(), is_cut: false }
    }

    /// Keeps a request of the query's source. A request belongs to its source as rules see it, whatever a client claims.
    pub fn observe(&mut self, observation: &Observation) {
        let is_source = observation.client.map(SourceIp::of) == Some(self.query.source);
        if !is_source || !self.query.window.contains(observation.first) || self.seen.contains(&observation.identity) {
            return;
        }
        if self.is_full() {
            self.is_cut = true;
            return;
        }
        self.seen.insert(observation.identity.clone());
        self.requests.push(KeptRequest::of(observation));
    }

    /// Notes that the log may hold more requests.
    pub fn note_more(&mut self) {
        self.is_cut = true;
    }

    /// Returns whether the reader has reached its limit.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.requests.len() >= REQUESTS_MAX as usize
    }

    fn asked_clusters(&self) -> String {
        let clusters: BTreeSet<&str> = self.requests.iter().map(|request| &*request.cluster).collect();
        bounded(&clusters.into_iter().collect::<Vec<_>>().join(", "), VALUE_CHARS_MAX)
    }

    /// Returns the query.
    #[must_use]
    pub fn query(&self) -> &ContextQuery {
        &self.query
    }

    /// Returns what the source asked `cluster` for; of a log of several clusters, those that it asked.
    #[must_use]
    pub fn finish(self, cluster: &str) -> SourceActivity {
        let mut window = self.query.window;
        if self.is_cut
            && let Some(last) = self.requests.iter().map(|request| request.at).max()
        {
            window = Window::new(window.earliest(), last.plus(1)).unwrap_or(window);
        }
        let mut codes = ResponseCodes::default();
        self.requests.iter().for_each(|request| codes.add(ResponseCode::of(request.code), 1));
        let (allowed, refused): (Vec<&KeptRequest>, Vec<&KeptRequest>) =
            self.requests.iter().partition(|request| request.is_allowed());
        let all = || self.requests.iter();
        SourceActivity {
            cluster: if cluster == ALL_CLUSTERS { self.asked_clusters() } else { cluster.to_owned() },
            window,
            requests: self.requests.len() as u64,
            is_cut: self.is_cut,
            codes,
            allowed: TopValues::of(allowed.iter().map(|request| &request.operation)),
            refused: TopValues::of(refused.iter().map(|request| &request.operation)),
            namespaces: TopValues::of(all().filter_map(|request| request.namespace.as_ref())),
            users: TopValues::of(all().filter_map(|request| request.user.as_ref())),
            agents: TopValues::of(all().filter_map(|request| request.agent.as_ref())),
            proxies: TopValues::of(all().flat_map(|request| &request.proxies)),
        }
    }
}

impl KeptRequest {
    fn of(observation: &Observation) -> KeptRequest {
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
        KeptRequest {
            at: observation.first,
            cluster: observation.cluster.clone(),
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

    /// Returns whether the API server granted the request.
    fn is_allowed(&self) -> bool {
        self.code.is_some_and(|code| (100..400).contains(&code))
    }
}

#[cfg(test)]
mod tests;

//! The samples that a finding shows of its requests: bounded, and the same in whatever order requests come.
//!
//! Samples are ranked by the keyed hash of what they show, and the lowest stay. So the same requests give the same samples
//! in whatever order and pages they came, equal requests share one sample, and without the key no client can choose
//! which of its requests are shown. Samples are shown, never counted.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::hash::HashKey;
use crate::observation::Observation;
use crate::text::{bounded, bounded_cow};
use crate::time::Second;

/// Most samples that a finding keeps: as many as distinct request URIs are shown.
pub const SAMPLES_MAX: usize = 20;
/// Longest request URI or user agent that is kept, in characters.
const TEXT_CHARS_MAX: usize = 256;
/// Longest name (user, verb, namespace, resource) that is kept, in characters.
const NAME_CHARS_MAX: usize = 128;
/// Most entries of a forwarded-for chain that are kept, counted from the right, where the trustworthy end is.
const CHAIN_MAX: usize = 10;

/// One request as a finding shows it. Every text is bounded but not escaped: each destination escapes in its own way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The keyed hash of all fields below except `at` and `audit_id`. Each stored sample has one, so it is short.
    pub rank: u32,
    /// When the request came.
    pub at: Second,
    /// `auditID`, by which the record can be found.
    pub audit_id: String,
    /// `verb`.
    pub verb: String,
    /// `requestURI`.
    pub request_uri: String,
    /// `userAgent`; `None` where the client sent none.
    pub user_agent: Option<String>,
    /// `user.username`; `None` where the client was not logged in.
    pub username: Option<String>,
    /// `responseStatus.code`.
    pub code: Option<i64>,
    /// `objectRef`: resource and subresource, joined by `/`.
    pub resource: Option<String>,
    /// `objectRef.namespace`.
    pub namespace: Option<String>,
    /// The cluster that was asked.
    pub cluster: String,
    /// `sourceIPs` as audited, at most ten entries from the right.
    pub source_ips: Vec<String>,
    /// The source that the request counts for; `None` where its record has none.
    pub source_ip: Option<SourceIp>,
}

/// A sample that borrows its observation. Most requests are never kept, so their texts are not copied.
pub struct SampleDraft<'a> {
    observation: &'a Observation,
    rank: u32,
    verb: Cow<'a, str>,
    request_uri: Cow<'a, str>,
    user_agent: Option<Cow<'a, str>>,
    username: Option<Cow<'a, str>>,
    resource: Option<Cow<'a, str>>,
    namespace: Option<Cow<'a, str>>,
    source_ips: &'a [String],
    written: OnceCell<Arc<Sample>>,
}

impl SampleDraft<'_> {
    /// Returns the sample that an observation gives, ranked with `key`.
    #[must_use]
    pub fn of<'a>(observation: &'a Observation, key: &HashKey) -> SampleDraft<'a> {
        let event = &observation.event;
        let text = |text: &'a Option<String>, max| text.as_deref().map(|text| bounded_cow(text, max));
        let resource = event.object_ref.as_ref().and_then(|object| {
            let resource = object.resource.as_deref()?;
            Some(match object.subresource.as_deref() {
                Some(subresource) => Cow::Owned(bounded(&format!("{resource}/{subresource}"), NAME_CHARS_MAX)),
                None => bounded_cow(resource, NAME_CHARS_MAX),
            })
        });
        let chain_from = event.source_ips.len().saturating_sub(CHAIN_MAX);
        let mut draft = SampleDraft {
            observation,
            rank: 0,
            verb: text(&event.verb, NAME_CHARS_MAX).unwrap_or_default(),
            request_uri: text(&event.request_uri, TEXT_CHARS_MAX).unwrap_or_default(),
            user_agent: text(&event.user_agent, TEXT_CHARS_MAX),
            username: text(&event.username, NAME_CHARS_MAX),
            resource,
            namespace: event.object_ref.as_ref().and_then(|object| text(&object.namespace, NAME_CHARS_MAX)),
            source_ips: &event.source_ips[chain_from..],
            written: OnceCell::new(),
        };
        let mut hasher = SipHasher13::new_with_key(&key.0);
        (&draft.verb, &draft.request_uri, &draft.user_agent, &draft.username, event.response_code).hash(&mut hasher);
        (&draft.resource, &draft.namespace, &*observation.cluster, draft.source_ips.len()).hash(&mut hasher);
        draft.source_ips.iter().for_each(|ip| bounded_cow(ip, NAME_CHARS_MAX).hash(&mut hasher));
        draft.rank = u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX);
        draft
    }

    /// Returns its rank.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// Returns the sample, made once for all groups that keep it.
    #[must_use]
    pub fn sample(&self) -> Arc<Sample> {
        self.written.get_or_init(|| Arc::new(self.write())).clone()
    }

    fn write(&self) -> Sample {
        let Observation { event, first, cluster, client, .. } = self.observation;
        let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        Sample {
            rank: self.rank,
            at: *first,
            audit_id: bounded(event.audit_id.as_deref().unwrap_or(""), NAME_CHARS_MAX),
            verb: self.verb.to_string(),
            request_uri: self.request_uri.to_string(),
            user_agent: text(&self.user_agent),
            username: text(&self.username),
            code: event.response_code,
            resource: text(&self.resource),
            namespace: text(&self.namespace),
            cluster: cluster.to_string(),
            source_ips: self.source_ips.iter().map(|ip| bounded(ip, NAME_CHARS_MAX)).collect(),
            source_ip: client.map(SourceIp::of),
        }
    }
}

impl Sample {
    /// Returns the sample that an observation gives, ranked with `key`.
    #[must_use]
    pub fn of(observation: &Observation, key: &HashKey) -> Sample {
        SampleDraft::of(observation, key).write()
    }
}

/// The samples of a finding, or of one row on the way to it: lowest rank first, one for each rank. A request that counts
/// for several groups has one sample, which they share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    kept: Vec<Arc<Sample>>,
    is_cut: bool,
}

impl Evidence {
    /// Returns the samples, lowest rank first.
    #[must_use]
    pub fn samples(&self) -> &[Arc<Sample>] {
        &self.kept
    }

    /// Returns whether there were more distinct requests than samples.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Notes that there were more distinct requests.
    pub fn note_more(&mut self) {
        self.is_cut = true;
    }

    /// Returns whether a sample of this rank would be kept among `samples_max`.
    #[must_use]
    pub fn would_keep(&self, rank: u32, samples_max: usize) -> bool {
        self.kept.len() < samples_max || self.kept.last().is_some_and(|last| rank <= last.rank)
    }

    /// Adds a sample and keeps the `samples_max` of lowest rank; of equal ranks the earliest is kept.
    pub fn add(&mut self, sample: impl Into<Arc<Sample>>, samples_max: usize) {
        let sample = sample.into();
        match self.kept.binary_search_by_key(&sample.rank, |kept| kept.rank) {
            Ok(index) => {
                let kept = &mut self.kept[index];
                if (sample.at, &sample.audit_id) < (kept.at, &kept.audit_id) {
                    *kept = sample;
                }
            }
            Err(index) if index < samples_max => {
                self.kept.insert(index, sample);
                self.is_cut |= self.kept.len() > samples_max;
                self.kept.truncate(samples_max);
            }
            Err(_) => self.is_cut = true,
        }
    }

    /// Adds all samples of `other` and keeps the [`SAMPLES_MAX`] of lowest rank.
    pub fn merge(&mut self, other: &Evidence) {
        for sample in &other.kept {
            self.add(sample.clone(), SAMPLES_MAX);
        }
        self.is_cut |= other.is_cut;
    }

    /// Keeps the samples with a rank of at most `rank_max`.
    pub fn keep_below(&mut self, rank_max: u32) {
        self.kept.truncate(self.kept.partition_point(|sample| sample.rank <= rank_max));
    }

    /// Returns the samples, lowest rank first, by value.
    #[must_use]
    pub fn into_samples(self) -> Vec<Arc<Sample>> {
        self.kept
    }

    /// Returns the distinct values that `of` reads from the samples, in order, without those that are missing.
    pub fn distinct<'a, T: Ord>(&'a self, of: impl Fn(&'a Sample) -> Option<T>) -> BTreeSet<T> {
        self.kept.iter().filter_map(|sample| of(sample)).collect()
    }
}

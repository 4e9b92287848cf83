//! What a finding shows of the requests behind it: a sample, capped, that does not depend on order.
//!
//! A sample is kept by the keyed hash of what it says, lowest first. So the same requests give the same sample
//! in whatever order and pages they came, equal requests take one place, and without the key nobody can choose
//! which of their requests are shown. Samples are shown, never counted.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::address::SourceIp;
use crate::observation::Observation;
use crate::text::bounded;
use crate::time::Second;

/// Most samples that a finding keeps: as many as distinct request URIs are shown.
pub const SAMPLES_MAX: usize = 20;
/// Longest request URI or user agent that is kept, in characters.
const TEXT_CHARS_MAX: usize = 256;
/// Longest name (user, verb, namespace, resource) that is kept, in characters.
const NAME_CHARS_MAX: usize = 128;
/// Most entries of a forwarded-for chain that are kept, counted from the right, where the trustworthy end is.
const CHAIN_MAX: usize = 10;

/// The key of the hash that chooses samples; the ledger makes one at random when it is created.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SampleKey(pub [u8; 16]);

/// Says nothing of the key.
impl std::fmt::Debug for SampleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SampleKey(..)")
    }
}

/// One request as a finding shows it. Every text is bounded, and none is escaped yet: each destination has its own way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The keyed hash of everything below but `at` and `audit_id`.
    pub rank: u64,
    /// When the request came.
    pub at: Second,
    /// `auditID`, with which the record can be found again.
    pub audit_id: String,
    /// `verb`.
    pub verb: String,
    /// `requestURI`.
    pub request_uri: String,
    /// `userAgent`; `None` where the client sent none.
    pub user_agent: Option<String>,
    /// `user.username`; `None` where nobody was logged in.
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
    /// The source that the request was counted for; `None` where its record names none.
    pub source_ip: Option<SourceIp>,
}

impl Sample {
    /// Returns the sample that an observation gives, ranked with `key`.
    #[must_use]
    pub fn of(observation: &Observation, key: &SampleKey) -> Sample {
        let event = &observation.event;
        let text = |text: &Option<String>, max| text.as_deref().map(|text| bounded(text, max));
        let resource = event.object_ref.as_ref().and_then(|object| {
            let resource = object.resource.as_deref()?;
            Some(match object.subresource.as_deref() {
                Some(subresource) => bounded(&format!("{resource}/{subresource}"), NAME_CHARS_MAX),
                None => bounded(resource, NAME_CHARS_MAX),
            })
        });
        let chain_from = event.source_ips.len().saturating_sub(CHAIN_MAX);
        let mut sample = Sample {
            rank: 0,
            at: observation.first,
            audit_id: bounded(event.audit_id.as_deref().unwrap_or(""), NAME_CHARS_MAX),
            verb: bounded(event.verb.as_deref().unwrap_or(""), NAME_CHARS_MAX),
            request_uri: bounded(event.request_uri.as_deref().unwrap_or(""), TEXT_CHARS_MAX),
            user_agent: text(&event.user_agent, TEXT_CHARS_MAX),
            username: text(&event.username, NAME_CHARS_MAX),
            code: event.response_code,
            resource,
            namespace: event.object_ref.as_ref().and_then(|object| text(&object.namespace, NAME_CHARS_MAX)),
            cluster: observation.cluster.to_string(),
            source_ips: event.source_ips[chain_from..].iter().map(|ip| bounded(ip, NAME_CHARS_MAX)).collect(),
            source_ip: observation.client.map(SourceIp::of),
        };
        let mut hasher = SipHasher13::new_with_key(&key.0);
        (&sample.verb, &sample.request_uri, &sample.user_agent, &sample.username, sample.code).hash(&mut hasher);
        (&sample.resource, &sample.namespace, &sample.cluster, &sample.source_ips).hash(&mut hasher);
        sample.rank = hasher.finish();
        sample
    }
}

/// The samples of a finding, or of one row on the way to it: lowest rank first, one for each rank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    kept: Vec<Sample>,
    is_cut: bool,
}

impl Evidence {
    /// Returns the samples, lowest rank first.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.kept
    }

    /// Tells whether there were requests of another kind than those of the samples. Where not, what the samples show is
    /// all that there was.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Notes that there were requests of another kind, which are not kept.
    pub fn note_more(&mut self) {
        self.is_cut = true;
    }

    /// Tells whether a sample of this rank would be kept among `samples_max`.
    #[must_use]
    pub fn would_keep(&self, rank: u64, samples_max: usize) -> bool {
        self.kept.len() < samples_max || self.kept.last().is_some_and(|last| rank <= last.rank)
    }

    /// Adds a sample and keeps the `samples_max` of lowest rank; of equal ranks the earliest is kept.
    pub fn add(&mut self, sample: Sample, samples_max: usize) {
        match self.kept.binary_search_by_key(&sample.rank, |kept| kept.rank) {
            Ok(place) => {
                let kept = &mut self.kept[place];
                if (sample.at, &sample.audit_id) < (kept.at, &kept.audit_id) {
                    *kept = sample;
                }
            }
            Err(place) if place < samples_max => {
                self.kept.insert(place, sample);
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
    pub fn keep_below(&mut self, rank_max: u64) {
        self.kept.truncate(self.kept.partition_point(|sample| sample.rank <= rank_max));
    }

    /// Returns the samples, lowest rank first, by value.
    #[must_use]
    pub fn into_samples(self) -> Vec<Sample> {
        self.kept
    }

    /// Returns the distinct values that `of` reads from the samples, in order, without those that are missing.
    pub fn distinct<'a, T: Ord>(&'a self, of: impl Fn(&'a Sample) -> Option<T>) -> BTreeSet<T> {
        self.kept.iter().filter_map(of).collect()
    }
}

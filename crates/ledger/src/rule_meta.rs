//! Rule metadata: the texts of a rule, stored once for all findings of it, which name it by its key.
//!
//! It is never deleted. There is one for each version of a rule that ever found something, and people write rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stakeout_core::finding::Finding;
use stakeout_core::rule::{HeadKey, RuleHead};

use crate::error::{LedgerError, Result};

/// The stored rule metadata, shared by the findings that are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleMetaStore(BTreeMap<HeadKey, Arc<RuleHead>>);

/// The rules of some findings, each with its key.
pub(crate) struct NamedRules {
    /// By the address of each: the findings of a rule share one.
    keys: HashMap<usize, HeadKey>,
    /// The rules that are not stored yet.
    pub(crate) new: BTreeMap<HeadKey, Arc<RuleHead>>,
}

impl RuleMetaStore {
    pub(crate) fn new(stored: impl IntoIterator<Item = (HeadKey, RuleHead)>) -> RuleMetaStore {
        RuleMetaStore(stored.into_iter().map(|(key, meta)| (key, Arc::new(meta))).collect())
    }

    /// Finds the keys of the rules of `findings`.
    pub(crate) fn name(&self, findings: &[Finding]) -> NamedRules {
        let mut named = NamedRules { keys: HashMap::new(), new: BTreeMap::new() };
        for finding in findings {
            let key = *named.keys.entry(address_of(finding)).or_insert_with(|| finding.rule.key());
            if !self.0.contains_key(&key) {
                named.new.entry(key).or_insert_with(|| finding.rule.clone());
            }
        }
        named
    }

    /// Remembers what was stored.
    pub(crate) fn note(&mut self, named: NamedRules) {
        self.0.extend(named.new);
    }

    /// Remembers what another process stored.
    pub(crate) fn add(&mut self, key: HeadKey, meta: RuleHead) {
        self.0.insert(key, Arc::new(meta));
    }

    /// Returns a stored finding with its rule.
    pub(crate) fn complete(&self, finding: Finding<HeadKey>) -> Result<Finding> {
        let Some(meta) = self.0.get(&finding.rule) else {
            return Err(LedgerError::damaged(format!("the rule of finding {} is missing", finding.key)));
        };
        Ok(finding.with_rule(meta.clone()))
    }
}

impl NamedRules {
    /// Returns a finding in its stored form.
    pub(crate) fn stored(&self, finding: &Finding) -> Finding<HeadKey> {
        let key = self.keys.get(&address_of(finding)).copied().unwrap_or_else(|| finding.rule.key());
        finding.clone().with_rule(key)
    }
}

fn address_of(finding: &Finding) -> usize {
    Arc::as_ptr(&finding.rule).addr()
}

//! What is shown of rules: stored once for all findings that say the same, which name it by its key.
//!
//! It is never deleted: there is one for each wording of a rule that ever found something, and people write rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stakeout_core::finding::Finding;
use stakeout_core::rule::{HeadKey, RuleHead};

use crate::error::{LedgerError, Result};

/// What is stored of rules, shared by the findings that are read.
#[derive(Debug, Default)]
pub(crate) struct RuleMeta(BTreeMap<HeadKey, Arc<RuleHead>>);

/// What is shown of the rules of some findings.
pub(crate) struct Named {
    /// By the address of each: the findings of a rule share one.
    keys: HashMap<usize, HeadKey>,
    /// Those that are not stored yet.
    pub(crate) new: BTreeMap<HeadKey, Arc<RuleHead>>,
}

impl RuleMeta {
    pub(crate) fn new(stored: impl IntoIterator<Item = (HeadKey, RuleHead)>) -> RuleMeta {
        RuleMeta(stored.into_iter().map(|(key, head)| (key, Arc::new(head))).collect())
    }

    /// Names what is shown of the rules of `findings`.
    pub(crate) fn name(&self, findings: &[Finding]) -> Named {
        let mut named = Named { keys: HashMap::new(), new: BTreeMap::new() };
        for finding in findings {
            let key = *named.keys.entry(address_of(finding)).or_insert_with(|| finding.rule.key());
            if !self.0.contains_key(&key) {
                named.new.entry(key).or_insert_with(|| finding.rule.clone());
            }
        }
        named
    }

    /// Takes note of what was stored.
    pub(crate) fn note(&mut self, named: Named) {
        self.0.extend(named.new);
    }

    /// Returns a stored finding with what is shown of its rule.
    pub(crate) fn complete(&self, finding: Finding<HeadKey>) -> Result<Finding> {
        let Some(head) = self.0.get(&finding.rule) else {
            return Err(LedgerError::damaged(format!(
                "what is shown of the rule of finding {} is missing",
                finding.key
            )));
        };
        Ok(finding.with_rule(head.clone()))
    }
}

impl Named {
    /// Returns a finding as it is stored.
    pub(crate) fn stored(&self, finding: &Finding) -> Finding<HeadKey> {
        let key = self.keys.get(&address_of(finding)).copied().unwrap_or_else(|| finding.rule.key());
        finding.clone().with_rule(key)
    }
}

fn address_of(finding: &Finding) -> usize {
    Arc::as_ptr(&finding.rule).addr()
}

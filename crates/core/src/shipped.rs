//! The rules that ship with Stakeout, compiled in. `build.rs` takes every file of `config/rules`.

use crate::rule::{Origin, RuleFile};

/// The shipped rule files, sorted by name: name and text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/rule_files.rs"));

/// Returns the shipped rule files.
#[must_use]
pub fn rule_files() -> Vec<RuleFile> {
    let file = |(name, text): &(&str, &str)| RuleFile {
        origin: Origin::BuiltIn,
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    FILES.iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::prefilter::Prefilter;
    use crate::rule::{self, Counting, Level, Rules};

    fn rules() -> Rules {
        rule::load(&super::rule_files()).unwrap_or_else(|errors| panic!("{errors:#?}"))
    }

    #[test]
    fn every_shipped_rule_loads_and_passes_its_cases() {
        let rules = rules();
        assert!(rules.rules.len() >= 22);
        let failed: Vec<_> = rules.test().into_iter().filter(|result| !result.is_passed()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(rules.cases.len() >= 110);
        assert_eq!(rules.warnings, []);
    }

    /// Cost follows what is suspicious: a rule that no provider could filter would fetch the whole log. Only what
    /// follows an episode already found may ask for anything.
    #[test]
    fn every_shipped_rule_has_something_that_a_provider_can_filter() {
        for rule in rules().rules {
            let selections: Vec<_> = match &rule.counting {
                Counting::Sequence { rules, .. } => {
                    rules.iter().filter(|rule| !rule.follow_up).flat_map(|rule| &rule.selections).collect()
                }
                Counting::Events | Counting::Values { .. } => rule.selections.iter().collect(),
            };
            for selection in selections {
                assert_ne!(selection.prefilter().simplified(), Prefilter::Any, "{}", rule.head.name);
            }
        }
    }

    /// A finding of a recon rule needs a description, false positives and a runbook, and an incident the phrase of every rule.
    #[test]
    fn every_rule_has_the_texts_that_people_need() {
        let rules = rules();
        let ids: BTreeSet<&str> = rules.rules.iter().map(|rule| rule.head.id.as_str()).collect();
        assert_eq!(ids.len(), rules.rules.len());
        for head in rules.rules.iter().map(|rule| &rule.head) {
            assert!(head.id.len() == 36 && !head.description.is_empty(), "{}", head.name);
            assert!(!head.falsepositives.is_empty() && !head.techniques.is_empty(), "{}", head.name);
            assert_eq!(head.runbook.is_empty(), SEEDS.contains(&head.name.as_str()), "{}", head.name);
            assert!(head.story.phrase(|_| String::new()).is_some(), "{} needs a `story`", head.name);
            let is_context = head.name == CONTEXT || SEEDS.contains(&head.name.as_str());
            assert!(is_context || head.level >= Level::Low, "{}", head.name);
        }
    }

    /// The one recon rule that only gives context.
    const CONTEXT: &str = "kubernetes-authentication-failures";
    const SEEDS: [&str; 4] = [
        "kubernetes-api-multiple-403-from-public-ip",
        "kubernetes-cluster-scan-by-anonymous",
        "kubernetes-pod-scan-by-anonymous",
        "kubernetes-scanning-by-unauthenticated-ip",
    ];
}

//! The rules that ship with Stakeout, compiled in. `config/rules` is their one place.

use crate::rule::RuleFile;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../config/rules/", $name)))),*]
    };
}

/// The shipped rule files: name and text.
const FILES: &[(&str, &str)] = shipped![
    "kubernetes-api-multiple-403-from-public-ip.yml",
    "kubernetes-cluster-scan-by-anonymous.yml",
    "kubernetes-pod-scan-by-anonymous.yml",
    "kubernetes-scanning-by-unauthenticated-ip.yml",
];

/// Returns the shipped rule files.
#[must_use]
pub fn rule_files() -> Vec<RuleFile> {
    FILES.iter().map(|(name, text)| RuleFile { name: (*name).to_owned(), text: (*text).to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use crate::rule;

    #[test]
    fn every_shipped_rule_loads_and_passes_its_cases() {
        let rules = rule::load(&super::rule_files()).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let names: Vec<&str> = rules.rules.iter().map(|rule| rule.head.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "kubernetes-api-multiple-403-from-public-ip",
                "kubernetes-cluster-scan-by-anonymous",
                "kubernetes-pod-scan-by-anonymous",
                "kubernetes-scanning-by-unauthenticated-ip",
            ]
        );
        let failed: Vec<_> = rules.test().into_iter().filter(|result| !result.is_passed()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(rules.cases.len() >= 20);
    }
}

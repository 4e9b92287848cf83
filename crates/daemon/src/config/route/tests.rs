//! Names and patterns of clusters and rules, and the warning about clusters that nobody hears of.

use std::path::Path;

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::rule::{self, Rules};
use stakeout_core::shipped;

use super::*;
use crate::config::Config;
use crate::section::secret::SecretScope;

fn read(notify: &str) -> Result<Config, Vec<Diagnostic>> {
    let text = format!(
        "sources:\n\
         - {{name: a, cluster: prod-eu, file: {{path: /var/log/a.log}}}}\n\
         - {{name: b, cluster: prod-us, file: {{path: /var/log/b.log}}}}\n\
         - {{name: c, cluster: dev, file: {{path: /var/log/c.log}}}}\n\
         notify: {notify}\n"
    );
    Config::read("f.yaml", Path::new("/etc/stakeout"), &text, &|_| None, SecretScope::ALL)
}

#[test]
fn clusters_and_rules_are_names_or_patterns_of_what_there_is() {
    let of = |clusters: &str| read(&format!("[{{name: out, stdout: {{}}, clusters: {clusters}}}]"));
    let clusters = |text: &str| {
        let route = of(text).expect("a config").notify[0].route.clone();
        ["dev", "prod-eu", "prod-us"].map(|cluster| route.has_cluster(cluster))
    };
    assert_eq!(clusters("prod-eu"), [false, true, false]);
    assert_eq!(clusters("[dev, 'prod-*']"), [true, true, true]);
    assert_eq!(clusters("'*'"), [true, true, true]);
    let error = of("'prdo-*'").expect_err("no such cluster")[0].to_string();
    assert!(error.contains("no source has the cluster `prdo-*`"), "{error}");

    let rules: Rules = rule::load(&shipped::rule_files()).expect("the shipped rules");
    let config =
        read("[{name: out, stdout: {}, rules: [kubernetes-token-spray, '*-by-anonymous', kubernets-token-spray]}]");
    let destination = config.expect("a config").notify.remove(0);
    let mut route = destination.route;
    let errors = name_rules(&mut route, &destination.rules, &rules);
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "f.yaml:5: notify[0].rules[2]: no active rule has the name `kubernets-token-spray` (did you mean `kubernetes-token-spray`?)"
        ]
    );
    let rules = route.rules.expect("some rules");
    assert!(
        rules.contains("kubernetes-token-spray") && rules.iter().any(|name| name.ends_with("-by-anonymous")),
        "{rules:?}"
    );
    assert!(rules.iter().all(|name| name == "kubernetes-token-spray" || name.ends_with("-by-anonymous")), "{rules:?}");
}

#[test]
fn a_cluster_that_no_destination_hears_of_is_a_warning() {
    let warnings = |notify: &str| -> Vec<String> {
        read(notify).expect("a config").warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        warnings("[{name: out, stdout: {}, clusters: prod-us}]"),
        [
            "f.yaml:5: notify: no destination hears of cluster `dev` and of 1 other cluster (add it to the `clusters` of a destination, or a destination without `clusters`)"
        ]
    );
    assert_eq!(warnings("[{name: a, stdout: {}, clusters: 'prod-*'}, {name: b, stdout: {}}]"), [""; 0]);
}

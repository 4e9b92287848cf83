//! Where we and the oracle differ on purpose: each entry of the list goes on differing, or is taken out of it.

use serde_json::Value as Json;
use stakeout_core::yaml::{self, At};

const LIST: &str = include_str!("differences.yml");

/// Returns the rule whose one selection holds one line.
fn rule(line: &str) -> String {
    format!(
        "title: One Line\nlogsource: {{product: kubernetes, service: audit}}\ndetection:\n  selection:\n    {line}\n  \
         condition: selection\n"
    )
}

#[test]
fn each_difference_is_still_one() {
    let documents = yaml::parse("differences.yml", LIST).expect("YAML");
    let entries = At::top("differences.yml", &documents[0]).list().expect("a list");
    assert!(!entries.is_empty());
    for entry in entries {
        let map = entry.map(&["line", "event", "ours", "theirs", "reason"]).expect("known keys");
        let text = |key: &str| map.need(key, "say it").and_then(|at| at.text().map(str::to_owned)).expect("a text");
        let event: Json = serde_json::from_str(&text("event")).expect("JSON");
        let rule = rule(&text("line"));
        let (ours, theirs) = super::verdicts(&super::ours(&rule), &super::theirs(&rule), &event);
        let said = |status: bool| if status { "match" } else { "no match" };
        assert_eq!((said(ours), said(theirs)), (text("ours").as_str(), text("theirs").as_str()), "{rule}\n{event}");
        assert_ne!(ours, theirs);
        assert!(!text("reason").is_empty());
    }
}

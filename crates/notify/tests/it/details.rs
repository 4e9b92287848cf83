//! A finding as text for a terminal: complete, and harmless whatever an attacker wrote.

use std::sync::Arc;

use proptest::prelude::*;
use stakeout_core::address::SourceIp;
use stakeout_core::group::{GroupKey, GroupValue};
use stakeout_core::response_code::ResponseCode;
use stakeout_core::rule::Level;
use stakeout_core::text::is_invisible;
use stakeout_notify::details::details;

use crate::strategy;

/// What a line may begin with, if it does not go on with the line above it.
const NAMES: [&str; 22] = [
    "uid",
    "title",
    "level",
    "risk score",
    "status",
    "quiet time",
    "source",
    "group",
    "seen",
    "requests",
    "by code",
    "distinct values",
    "clusters",
    "providers",
    "late",
    "reported",
    "changed",
    "builds upon",
    "related rules",
    "in clusters",
    "sources",
    "more sources",
];
const HEADINGS: [&str; 2] = ["rule", "what else the source did"];

#[test]
fn every_code_every_source_and_every_field_of_the_group_is_listed() {
    let mut finding = strategy::plain_finding(1, Level::High, 30);
    let codes = [200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 422, 429, 500];
    for (n, code) in (1..).zip(codes) {
        finding.codes.add(ResponseCode::of(Some(code)), n);
    }
    finding.group = GroupKey(vec![GroupValue::Text("curl/8".to_owned()), GroupValue::Missing]);
    Arc::make_mut(&mut finding.rule).group_by = vec!["userAgent".to_owned(), "cluster".to_owned()];
    for host in 0..2_000_u32 {
        finding.sources.add(SourceIp::V4((0x0a00_0000 + host).into()));
    }
    let text = details(&finding);
    let unwrapped = text.replace("\n                ", " ");
    for code in codes {
        assert!(unwrapped.contains(&format!(" × {code}")), "{code}\n{text}");
    }
    assert!(text.contains("group           userAgent = curl/8\n                cluster = -\n"), "{text}");
    for source in ["10.0.0.0,", "10.0.3.231,", "10.0.7.207\n"] {
        assert!(unwrapped.contains(source), "{source}\n{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn details_fit_into_80_columns_and_hide_nothing(finding in strategy::finding()) {
        let text = details(&finding);
        prop_assert!(!text.contains(|c| c != '\n' && is_invisible(c)), "{}", text);
        for line in text.lines() {
            prop_assert!(line.chars().count() <= 80, "{}", line);
            let is_known = HEADINGS.contains(&line)
                || line.split_once("distinct request").is_some_and(|(n, _)| n.trim().parse::<usize>().is_ok())
                || NAMES.iter().any(|name| line == *name || line.starts_with(&format!("{name:<16}")));
            prop_assert!(line.is_empty() || line.starts_with("  ") || is_known, "{}", line);
        }
    }
}

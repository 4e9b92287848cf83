//! Finds in an audit log what the four seed rules find, in memory: what `tests/perf/instructions` counts. With a number
//! it is so many rules: those that are shipped, again and again under other names.
//!
//! `cargo run --release -p stakeout-core --example fold -- FILE [--strict] [NUMBER]`

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use stakeout_core::address::TrustedProxies;
use stakeout_core::decode::{EventFilter, borrowed_event};
use stakeout_core::fold::{self, Fold, Limits};
use stakeout_core::group::RuleKey;
use stakeout_core::hash::HashKey;
use stakeout_core::needle::{Needles, NextCandidates, Spelling};
use stakeout_core::observation::Observation;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::time::{Second, Window};
use stakeout_core::{rule, shipped};

fn observe(line: &[u8], source: &Source, filter: &EventFilter, fold: &mut Fold) {
    let Ok(event) = borrowed_event(line) else { return };
    let at = event.stage_time_ms().map_or(Second(0), Second::of_millis);
    if !filter.may_match(&event) {
        return fold.pass_over();
    }
    let (event, trusted) = (event.into_decoded().event, TrustedProxies::default());
    if let Some(observation) = Observation::of_event(source, &trusted, event, at, String::new) {
        fold.observe(&observation);
    }
}

/// Returns the seed rules, or `number` rules.
fn rules(number: Option<usize>) -> Result<Rules, String> {
    let mut files = shipped::rule_files();
    files.retain(|file| number.is_some() || !file.name.contains('/'));
    let mut rules = rule::load(&files).map_err(|faults| format!("{faults:?}"))?;
    if let Some(number) = number {
        let shipped = std::mem::take(&mut rules.rules);
        rules.rules = shipped.into_iter().cycle().take(number).collect();
        for (rule, key) in rules.rules.iter_mut().zip(0..) {
            let name = format!("{}-{key}", rule.head.name);
            Arc::make_mut(&mut rule.head).name = name;
            rule.key = RuleKey(key);
        }
    }
    Ok(rules)
}

/// Returns where the line begins and ends that holds the byte at `at`.
fn line_around(text: &[u8], at: usize) -> (usize, usize) {
    let begin = memchr::memrchr(b'\n', &text[..at]).map_or(0, |end| end + 1);
    let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end);
    (begin, end)
}

#[expect(clippy::disallowed_methods, reason = "core reads no file, but this is a program with one to measure")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = std::fs::read(arguments.first().ok_or("name a file")?)?;
    let is_strict = arguments.iter().any(|argument| argument == "--strict");
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    let rules = Arc::new(rules(number)?);
    let prefilter = rules.prefilter();
    let filter = EventFilter::new(&prefilter);
    let needles = Needles::of(&prefilter, Spelling::Native).filter(|_| !is_strict);
    let source = Source {
        name: "local".to_owned(),
        provider: Provider::File,
        cluster: "local".into(),
        log: LogId("file/local".to_owned()),
    };
    let mut fold = fold::open(rules, Window::ALL, false, HashKey([7; 16]), Limits::of_replay());
    let (mut from, mut next) = (0, NextCandidates::default());
    while from < text.len() {
        let hit = needles.as_ref().map_or(Some(from), |needles| needles.find(&text, from, &mut next));
        let Some(hit) = hit else { break };
        let (begin, end) = line_around(&text, hit);
        observe(&text[begin..end], &source, &filter, &mut fold);
        from = end + 1;
    }
    let read_until = fold.last_matched().unwrap_or(Second(0));
    let closed = fold.close_alone(&source, read_until, jiff::Timestamp::UNIX_EPOCH);
    writeln!(std::io::stdout(), "{} findings", closed.commit.findings.len())?;
    Ok(())
}

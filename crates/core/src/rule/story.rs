//! What an actor did, in words: the phrase of a rule that the title and the steps of an incident are made of.
//!
//! A phrase continues a sentence whose subject is the actor: `probed {clusters} without credentials`. It is written in the
//! past tense, which is the same for one address and for many. Its values are numbers and names of clusters, so a phrase holds
//! nothing that an attacker wrote.

use serde::{Deserialize, Serialize};

/// Longest phrase of a rule, in bytes: titles have one line.
const STORY_BYTES_MAX: usize = 120;

/// A value that a phrase can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoryValue {
    /// `{clusters}`: the cluster that was asked, or how many.
    Clusters,
    /// `{requests}`: how many requests.
    Requests,
    /// `{sources}`: how many addresses.
    Sources,
    /// `{values}`: how many distinct values the rule counted.
    Values,
}

/// A part of a phrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoryPart {
    Text(String),
    Value(StoryValue),
}

/// The phrase of a rule; empty where the rule has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Story(Vec<StoryPart>);

impl StoryValue {
    /// Every value with its name.
    const ALL: [(&str, StoryValue); 4] = [
        ("clusters", StoryValue::Clusters),
        ("requests", StoryValue::Requests),
        ("sources", StoryValue::Sources),
        ("values", StoryValue::Values),
    ];
}

/// Why a text is not a phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadStory {
    pub(super) problem: String,
    pub(super) fix: String,
}

impl Story {
    /// Returns the phrase that `text` is, with values in braces.
    pub(super) fn parse(text: &str) -> Result<Story, BadStory> {
        let bad = |problem: String, fix: String| BadStory { problem, fix };
        if text.len() > STORY_BYTES_MAX || text.contains(char::is_control) {
            let problem = format!("the phrase is longer than {STORY_BYTES_MAX} bytes or than a line");
            return Err(bad(problem, "say in a few words what the actor did".to_owned()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or(("", after));
            let Some((_, value)) = StoryValue::ALL.into_iter().find(|(known, _)| *known == name) else {
                let names: Vec<String> = StoryValue::ALL.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                return Err(bad(format!("unknown value `{{{name}}}`"), format!("use one of {}", names.join(", "))));
            };
            if !before.is_empty() {
                parts.push(StoryPart::Text(before.to_owned()));
            }
            parts.push(StoryPart::Value(value));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(StoryPart::Text(rest.to_owned()));
        }
        Ok(Story(parts))
    }

    /// Returns the phrase with the text that `shown` returns for each value, or `None` where the rule has no phrase.
    #[must_use]
    pub fn phrase(&self, shown: impl Fn(StoryValue) -> String) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let parts = self.0.iter().map(|part| match part {
            StoryPart::Text(text) => text.clone(),
            StoryPart::Value(value) => shown(*value),
        });
        Some(parts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_a_text_with_known_values() {
        let shown = |value| format!("<{value:?}>");
        let phrase = |text| Story::parse(text).map(|story| story.phrase(shown));
        assert_eq!(phrase("sent {requests} to {clusters}!"), Ok(Some("sent <Requests> to <Clusters>!".to_owned())));
        assert_eq!(phrase(""), Ok(None));
        let problem = |text| Story::parse(text).map_err(|bad| bad.problem);
        assert_eq!(problem("by {user}"), Err("unknown value `{user}`".to_owned()));
        assert_eq!(problem("by {values"), Err("unknown value `{}`".to_owned()));
        assert!(problem("two\nlines").is_err() && problem(&"a".repeat(121)).is_err());
    }
}

//! An incident as plain text: what the actor did in a sentence, and its steps.

use stakeout_core::incident::{Incident, Step};
use stakeout_core::text::{bounded, counted, visible};

use crate::text::{by_code, utc};

/// Longest line, in characters.
const LINE_CHARS_MAX: usize = 320;

/// Returns the level and the title of the incident in a line, and an indented line for each step: when it began, what the
/// actor did, how many requests it took and how they were answered.
///
/// No line holds a control, bidirectional or zero-width character, and only the first begins at the left edge.
#[must_use]
pub fn story(incident: &Incident) -> String {
    let head = bounded(&visible(&format!("{} {}", incident.level, incident.title)), LINE_CHARS_MAX);
    incident.steps.iter().fold(head + "\n", |story, step| {
        let line = bounded(&visible(&step_line(step)), LINE_CHARS_MAX);
        story + "    " + &line + "\n"
    })
}

/// Returns when the step began, what the actor did, how many requests it took and how they were answered, as raw text.
pub(crate) fn step_line(step: &Step) -> String {
    let let_in = if step.is_let_in { "LET IN: " } else { "" };
    let line = format!("{}  {let_in}{}: {}", utc(step.first), step.phrase, counted(step.count, "request"));
    match by_code(&step.codes) {
        answers if answers.is_empty() => line,
        answers => format!("{line} ({answers})"),
    }
}

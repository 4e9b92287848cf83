//! The thread of an incident's message: a line for each step that came after the message. Slack reports no edit to anybody,
//! so what raises the level, or lets somebody in, is shown in the channel too.

use serde_json::Value;
use stakeout_core::incident::{Incident, Step};
use stakeout_core::rule::Level;
use stakeout_core::shown::ShownMessage;

use super::Rendering;
use super::blocks::{Blocks, payload};
use super::incident::{mark, step_evidence, step_lines};
use super::markup::{Markup, TEXT_UNITS_MAX, code};
use crate::notification::IncidentReport;

/// Most steps whose lines are remembered, so that none comes twice: more than the rules that find one actor.
const STEPS_MAX: usize = 64;

/// A line of the thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'i> {
    /// The new step; `None` where only the level rose.
    step: Option<&'i Step>,
    /// Whether it is shown in the channel too.
    pub(super) is_broadcast: bool,
}

impl Line<'_> {
    /// Returns what is shown once the thread has the line.
    pub(super) fn added_to(&self, shown: &ShownMessage, report: &IncidentReport<'_>) -> ShownMessage {
        let mut shown = shown.clone();
        shown.steps.extend(self.step.map(|step| step.rule.clone()));
        if self.is_broadcast {
            shown.level = report.incident.level;
        }
        shown
    }
}

/// Returns the lines that the thread lacks: a line for each step, in the order of time. If the level rose since the message
/// was posted, or somebody was let in, the first step that is as high is shown in the channel too.
pub(super) fn lines<'i>(incident: &'i Incident, shown: &ShownMessage) -> Vec<Line<'i>> {
    let room = STEPS_MAX.saturating_sub(shown.steps.len());
    let mut new: Vec<&Step> =
        incident.steps.iter().filter(|step| !shown.steps.contains(&step.rule)).take(room).collect();
    new.sort_by_key(|step| step.first);
    let is_let_in = new.iter().any(|step| step.is_let_in);
    let is_raised = incident.level > shown.level;
    let mut lines: Vec<Line<'_>> = new.into_iter().map(|step| Line { step: Some(step), is_broadcast: false }).collect();
    if is_let_in || is_raised {
        let rank = |line: &&mut Line<'_>| line.step.map(|step| (step.is_let_in, step.level));
        match lines.iter_mut().max_by_key(rank) {
            Some(line) => line.is_broadcast = true,
            None => lines.push(Line { step: None, is_broadcast: true }),
        }
    }
    lines
}

/// Returns the payload of a line.
pub(super) fn line_message(report: &IncidentReport<'_>, line: &Line<'_>, rendering: &Rendering<'_>) -> Value {
    let incident = report.incident;
    let head = |level: Level, what: &str| format!("{} {level}: {}", mark(level), code(what, TEXT_UNITS_MAX));
    let mut blocks = Blocks::new();
    let fallback = match line.step {
        Some(step) => {
            blocks.section(&step_lines(step, rendering.findings));
            blocks.section(&step_evidence(step, rendering.findings));
            head(step.level, &format!("{} {}", incident.actor_name, step.phrase))
        }
        None => head(incident.level, &incident.title),
    };
    let level = incident.level;
    let context = if line.is_broadcast {
        vec![Markup::trusted(format!(
            "{} The incident is now *{level}*: {}",
            mark(level),
            code(&incident.title, TEXT_UNITS_MAX)
        ))]
    } else {
        Vec::new()
    };
    payload(&fallback, &blocks.finish(&context))
}

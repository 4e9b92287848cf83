//! The cards: what a person should see of a message, as Adaptive Card 1.4, within the size that Teams takes.
//! <https://adaptivecards.io/explorer/>

use serde_json::{Value, json};
use stakeout_core::delivery::Activity;
use stakeout_core::evidence::Sample;
use stakeout_core::finding::Finding;
use stakeout_core::incident::Incident;
use stakeout_core::text::{bounded, counted, visible};

use crate::console::Search;
use crate::incident::step_line;
use crate::notice;
use crate::notification::{DIGEST_TOP_MAX, Digest, IncidentReport, Message, MessageBody, counted_subjects, uid_of};
use crate::ocsf::{FORGOTTEN, severity};
use crate::slack::Rendering;
use crate::text::{self, finding_line, period};

/// Most bytes of a message. Teams takes about 28 KB, and counts what it makes of the card.
pub const MESSAGE_BYTES_MAX: usize = 20_000;
/// Reserved for the envelope and the line that says what is left out.
const ENVELOPE_BYTES: usize = 600;
/// Longest line, in characters.
const LINE_CHARS_MAX: usize = 320;
/// Longest runbook and longest command, in characters.
const LONG_CHARS_MAX: usize = 900;
/// Most lines of each list but the steps and the incidents of a digest.
const LIST_MAX: usize = 5;
/// Most lines of a digest's list.
const DIGEST_LINES_MAX: usize = 50;
/// Most logs that a card links to.
const LINKS_MAX: usize = 3;

/// Returns the message that a workflow posts: a card in its envelope.
#[must_use]
pub fn message(message: &Message<'_>, rendering: &Rendering<'_>) -> Value {
    let mut card = Card::default();
    match &message.body {
        MessageBody::Incident(report) => card.incident(report, rendering),
        MessageBody::Finding { finding, activity } => card.finding(finding, *activity),
        MessageBody::Notice(shown) => {
            card.heading(notice::title(shown));
            card.line(&notice::explanation(shown));
            card.list("Reason", notice::reason(shown).into_iter().map(str::to_owned));
            card.list("Most", notice::top(shown).iter().map(|(source, count)| format!("{source} {count}")));
            card.line("Stakeout monitoring notice");
        }
        MessageBody::Digest(digest) => card.digest(digest),
        MessageBody::Forgotten(subjects) => {
            card.heading(&format!("{} no longer stored", counted_subjects(subjects)));
            card.line(FORGOTTEN);
            card.list("Uids", subjects.iter().map(|subject| uid_of(*subject)));
        }
        MessageBody::Test { destination } => {
            card.heading("Stakeout test message");
            card.line(&format!("Destination {destination} works. This is not a finding."));
        }
    }
    card.finish()
}

/// A card that grows from top to bottom.
#[derive(Default)]
struct Card {
    body: Vec<Value>,
    /// What follows the body's list, whatever is left out of that.
    end: Vec<Value>,
    actions: Vec<Value>,
    left_out: usize,
}

impl Card {
    fn incident(&mut self, report: &IncidentReport<'_>, rendering: &Rendering<'_>) {
        let incident = report.incident;
        self.heading(&format!("{}[{}] {}", change(report.activity), severity(incident.level), incident.title));
        let clusters: Vec<&str> = incident.clusters.iter().map(String::as_str).take(LIST_MAX).collect();
        self.line(&format!(
            "{} {} sent at least {} to the Kubernetes API of {} {}.",
            incident.actor.kind(),
            incident.actor_name,
            counted(incident.count, "request"),
            clusters.join(", "),
            period(incident.first, incident.last),
        ));
        if report.is_last {
            self.line(text::LAST_MESSAGE);
        }
        self.below(incident, report, rendering);
        self.list_whole("Steps", incident.steps.iter().map(step_line), incident.steps.len());
    }

    /// Adds what follows the steps: what was asked, what to do, what is known of the addresses, commands and links.
    fn below(&mut self, incident: &Incident, report: &IncidentReport<'_>, rendering: &Rendering<'_>) {
        let body = std::mem::take(&mut self.body);
        let samples = rendering.findings.iter().flat_map(|finding| finding.evidence.samples());
        self.list("Requests", samples.map(|sample| request(sample)));
        let rules = || incident.findings.iter().map(|(_, rule)| rule);
        let runbook = rules().map(|rule| rule.runbook.trim()).find(|runbook| !runbook.is_empty());
        self.list("Next step", runbook.map(str::to_owned).into_iter());
        self.list("Harmless if", rules().flat_map(|rule| rule.falsepositives.iter().cloned()));
        let known = rendering.book.known(incident.sources.iter().copied(), LIST_MAX);
        self.list("Known addresses", known.into_iter().map(|(source, context)| format!("{source} {context}")));
        self.list("Rules", incident.rules.iter().cloned());
        let commands = [Some(text::incident_command(incident)), text::silence_command(incident)];
        self.commands(commands.into_iter().flatten());
        let merged = report.merged_into().map(|other| format!(", merged into {other}")).unwrap_or_default();
        self.line(&format!("uid {}, {}{merged}", report.uid, counted(incident.findings.len() as u64, "finding")));
        self.end = std::mem::replace(&mut self.body, body);
        if let Some(search) = Search::of(incident) {
            let asked = rendering.consoles.iter().filter(|console| incident.clusters.contains(&console.cluster));
            let links = asked.filter_map(|console| {
                let title = shown(&format!("{}: {}", console.name(), console.cluster), LINE_CHARS_MAX);
                Some(json!({"type": "Action.OpenUrl", "title": title, "url": console.url(&search)?}))
            });
            self.actions = links.take(LINKS_MAX).collect();
        }
    }

    fn finding(&mut self, finding: &Finding, activity: Activity) {
        self.heading(&format!("{}[{}] {}", change(activity), severity(finding.rule.level), finding.rule.title));
        self.line(&finding_line(finding));
        self.list("Requests", finding.evidence.samples().iter().map(|sample| request(sample)));
        self.list("Harmless if", finding.rule.falsepositives.iter().cloned());
        self.commands([text::details_command(finding)].into_iter());
    }

    fn digest(&mut self, digest: &Digest<'_>) {
        let of_the_day = if digest.is_of_the_day() { "Digest of the day: " } else { "" };
        self.heading(&format!("{of_the_day}{}", digest.headline()));
        let body = std::mem::take(&mut self.body);
        self.list("Notices", digest.notices.iter().map(|shown| notice::title(shown).to_owned()));
        self.commands(["stakeout incidents list".to_owned(), text::LIST_COMMAND.to_owned()].into_iter());
        self.end = std::mem::replace(&mut self.body, body);
        for (label, reports) in [("Incidents", &digest.incidents), ("Incidents that grew", &digest.grown)] {
            self.list_whole(label, reports.iter().take(DIGEST_LINES_MAX).map(digest_line), reports.len());
        }
        let findings = digest.findings.iter().take(DIGEST_TOP_MAX);
        self.list_whole("Findings", findings.map(|(finding, _)| finding_line(finding)), digest.findings.len());
    }

    fn heading(&mut self, text: &str) {
        self.push(json!({"text": shown(text, LINE_CHARS_MAX), "weight": "Bolder", "size": "Medium"}), false);
    }

    fn line(&mut self, text: &str) {
        self.push(json!({"text": shown(text, LONG_CHARS_MAX)}), false);
    }

    /// Adds a label, and at most [`LIST_MAX`] different lines; nothing where there are none.
    fn list(&mut self, label: &str, lines: impl Iterator<Item = String>) {
        let mut seen = std::collections::BTreeSet::new();
        let mut lines = lines.filter(|line| !line.is_empty() && seen.insert(line.clone())).peekable();
        if lines.peek().is_some() {
            self.label(label);
        }
        lines.take(LIST_MAX).for_each(|line| self.line(&line));
    }

    /// Adds a label and lines, as many as fit beside what follows them, and notes how many of `number` do not.
    fn list_whole(&mut self, label: &str, lines: impl Iterator<Item = String>, number: usize) {
        if number == 0 {
            return;
        }
        self.label(label);
        let mut room = MESSAGE_BYTES_MAX.saturating_sub(ENVELOPE_BYTES + self.bytes());
        let mut fitting = 0;
        for line in lines {
            self.push(json!({"text": shown(&line, LINE_CHARS_MAX)}), false);
            let bytes = self.body.last().map_or(0, |line| line.to_string().len() + 1);
            let Some(left) = room.checked_sub(bytes) else {
                self.body.pop();
                break;
            };
            room = left;
            fitting += 1;
        }
        self.left_out += number - fitting;
    }

    fn label(&mut self, label: &str) {
        self.push(json!({"text": label, "weight": "Bolder"}), true);
    }

    /// Adds commands to copy. One that is too long to be shown whole is of no use.
    fn commands(&mut self, commands: impl Iterator<Item = String>) {
        self.label("Commands");
        for command in commands.filter(|command| command.chars().count() <= LONG_CHARS_MAX) {
            self.push(json!({"text": visible(&command), "fontType": "Monospace"}), false);
        }
    }

    fn push(&mut self, mut run: Value, is_apart: bool) {
        run["type"] = json!("TextRun");
        let spacing = if is_apart { "Medium" } else { "Small" };
        self.body.push(json!({"type": "RichTextBlock", "spacing": spacing, "inlines": [run]}));
    }

    fn bytes(&self) -> usize {
        [&self.body, &self.end, &self.actions].into_iter().flatten().map(|element| element.to_string().len() + 1).sum()
    }

    fn finish(mut self) -> Value {
        if self.left_out > 0 {
            self.line(&format!("… and {}.", counted(self.left_out as u64, "more line")));
        }
        self.body.append(&mut self.end);
        let mut card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "msteams": {"width": "Full"},
            "body": self.body,
        });
        if !self.actions.is_empty() {
            card["actions"] = json!(self.actions);
        }
        json!({
            "type": "message",
            "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card}],
        })
    }
}

fn change(activity: Activity) -> &'static str {
    match activity {
        Activity::Create => "",
        Activity::Update => "Update: ",
        Activity::Close => "Closed: ",
    }
}

fn digest_line(report: &IncidentReport<'_>) -> String {
    let incident = report.incident;
    let requests = counted(incident.count, "request");
    format!("{} {}, {requests}, last {}, {}", incident.level, incident.title, text::utc(incident.last), report.uid)
}

fn request(sample: &Sample) -> String {
    let answer = sample.code.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
    let agent = sample.user_agent.as_deref().unwrap_or("(none)");
    format!("{} {} → {answer}, by {agent}", sample.verb, sample.request_uri)
}

/// Returns another party's text as Teams shows it.
fn shown(text: &str, chars_max: usize) -> String {
    bounded(&visible(text), chars_max)
}

//! The text of a rule's page, and of the index of all pages.

use std::collections::BTreeMap;
use std::fmt::Write;

use stakeout_core::event::AuditEvent;
use stakeout_core::rule::{self, Case, CaseEvent, Rule, RuleFile, Rules};
use stakeout_core::yaml::{self, At};

/// The keys of a rule document that are its logic, in the order of the page.
const LOGIC_KEYS: [&str; 5] = ["name", "logsource", "detection", "correlation", "stakeout"];
/// Keys of `stakeout:` that are texts for people, or that the page shows in another place.
const NO_LOGIC: [&str; 3] = ["runbook", "story", "tests"];

/// The documents of the rule files by name, as their authors wrote them.
pub(crate) struct Documents(BTreeMap<String, Document>);

struct Document {
    lines: Vec<String>,
    /// The rules that it counts.
    references: Vec<String>,
}

impl Documents {
    pub(crate) fn of(files: &[RuleFile]) -> Documents {
        let mut documents = BTreeMap::new();
        for file in files {
            let nodes = yaml::parse(&file.name, &file.text).expect("shipped rules are YAML");
            let lines: Vec<&str> = file.text.lines().collect();
            for node in &nodes {
                let own = lines[node.line - 1..].iter().take_while(|line| **line != "---");
                let map = At::top(&file.name, node).any_map().expect("a document is a mapping");
                let Some(name) = map.get("name") else { continue };
                let references = map.get("correlation").map_or_else(Vec::new, |correlation| {
                    let rules = correlation.any_map().expect("a mapping").need("rules", "").expect("rules");
                    let rules = rules.list_or_one().expect("a list");
                    rules.iter().map(|rule| rule.text().expect("a name").to_owned()).collect()
                });
                let lines = own.map(|line| (*line).to_owned()).collect();
                documents.insert(name.text().expect("a name").to_owned(), Document { lines, references });
            }
        }
        Documents(documents)
    }

    /// Returns the names of a rule's documents: its own, then those of all rules that it counts.
    fn names_of(&self, rule: &str) -> Vec<String> {
        let mut names = vec![rule.to_owned()];
        let mut index = 0;
        while let Some(name) = names.get(index) {
            let references = self.0.get(name).map_or(&[][..], |document| &document.references);
            let new: Vec<String> = references.iter().filter(|name| !names.contains(name)).cloned().collect();
            names.extend(new);
            index += 1;
        }
        names
    }

    /// Returns the YAML of a rule, as far as it is logic.
    fn logic_of(&self, names: &[String]) -> String {
        let documents = names.iter().filter_map(|name| self.0.get(name)).map(|document| {
            let blocks: Vec<&[String]> = LOGIC_KEYS.iter().filter_map(|key| block(&document.lines, key, 0)).collect();
            let lines = blocks.into_iter().flat_map(|block| without_shown_below(block));
            lines.fold(String::new(), |text, line| text + line.trim_end() + "\n")
        });
        documents.collect::<Vec<_>>().join("---\n")
    }
}

/// Returns the lines of a key that is indented by `indent`, with the lines of its value.
fn block<'l>(lines: &'l [String], key: &str, indent: usize) -> Option<&'l [String]> {
    let head = format!("{}{key}:", " ".repeat(indent));
    let begin = lines.iter().position(|line| line.starts_with(&head))?;
    let is_below = |line: &String| line.is_empty() || line.len() - line.trim_start().len() > indent;
    let length = lines[begin + 1..].iter().take_while(|line| is_below(line)).count();
    Some(&lines[begin..=begin + length])
}

/// Returns the lines of a block without the keys of `stakeout:` that the page shows in another place. A block of which
/// nothing is left has no lines.
fn without_shown_below(lines: &[String]) -> Vec<&String> {
    if !lines[0].starts_with("stakeout:") {
        return lines.iter().collect();
    }
    let hidden: Vec<&[String]> = NO_LOGIC.iter().filter_map(|key| block(lines, key, 2)).collect();
    let is_hidden =
        |line: &&String| hidden.iter().any(|block| block.as_ptr_range().contains(&std::ptr::from_ref(*line)));
    let left: Vec<&String> = lines.iter().filter(|line| !is_hidden(line)).collect();
    if left.len() > 1 || lines.len() == 1 { left } else { Vec::new() }
}

/// Returns the page of a rule.
pub(crate) fn page(rules: &Rules, rule: &Rule, documents: &Documents) -> String {
    let names = documents.names_of(&rule.head.name);
    let sections = [
        head(rule),
        format!("## Logic\n\n```yaml\n{}```\n", documents.logic_of(&names)),
        filters(rules, &names),
        list("False positives", &rule.head.falsepositives),
        blind_spots(rule),
        paragraph("What to do", &rule.head.runbook),
        cases(rules, &names),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn head(rule: &Rule) -> String {
    let head = &rule.head;
    let file = &rule.file;
    format!(
        "<!-- Generated from config/rules/{file} by `STAKEOUT_BLESS=1 cargo test -p stakeout-core --test rule_pages`. -->\n\n\
         # {}\n\n{}\n\n\
         | | |\n|---|---|\n| name | `{}` |\n| level | {} |\n| risk score | {} |\n| fires at | {} |\n| ATT&CK | {} |\n\
         | file | [config/rules/{file}](../../config/rules/{file}) |\n",
        head.title,
        head.description,
        head.name,
        head.level,
        head.risk_score,
        rule.needed(),
        techniques(rule),
    )
}

fn techniques(rule: &Rule) -> String {
    let link = |id: &String| format!("[{id}](https://attack.mitre.org/techniques/{}/)", id.replace('.', "/"));
    let tactics = rule.head.tactics.iter().map(ToString::to_string);
    tactics.chain(rule.head.techniques.iter().map(link)).collect::<Vec<_>>().join(", ")
}

fn filters(rules: &Rules, names: &[String]) -> String {
    let is_of_rule = |filter: &&rule::Filter| filter.rules.iter().any(|name| names.contains(name));
    let lines = rules.filters.iter().filter(is_of_rule).map(|filter| format!("`{}`: {}", filter.name, filter.reason));
    list("Filters", &lines.collect::<Vec<_>>())
}

fn blind_spots(rule: &Rule) -> String {
    if !rule.file.starts_with("recon/") {
        return String::new();
    }
    "## What it misses\n\n[The recon rules](../recon-rules.md#what-they-miss) has the list for all recon rules.\n"
        .to_owned()
}

fn list(title: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    items.iter().fold(format!("## {title}\n\n"), |text, item| text + "- " + item + "\n")
}

fn paragraph(title: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("## {title}\n\n{text}\n") }
}

fn cases(rules: &Rules, names: &[String]) -> String {
    let mut text = "## Test cases\n\n| case | request | matches |\n|---|---|---|\n".to_owned();
    for case in rules.cases.iter().filter(|case| names.contains(&case.rule)) {
        let matches = if case.expected { "yes" } else { "no" };
        let _ = writeln!(text, "| {} | {} | {matches} |", cell(&case.name), cell(&request(case)));
    }
    text
}

fn request(case: &Case) -> String {
    match &case.event {
        CaseEvent::Audit(event) => request_of(event),
        CaseEvent::Enveloped(_) => "as its cloud stores it".to_owned(),
    }
}

fn request_of(event: &AuditEvent) -> String {
    let code = event.response_code.map_or_else(String::new, |code| format!(": {code}"));
    let parts = [
        event.verb.as_ref().map(|verb| format!("`{verb}`")),
        event.request_uri.as_ref().map(|uri| format!("`{uri}`")),
        event.username.as_ref().map(|user| format!("by `{user}`")),
        (!event.source_ips.is_empty()).then(|| format!("from {}", event.source_ips.join(", "))),
        event.user_agent.as_ref().map(|agent| format!("with `{agent}`")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ") + &code
}

/// Returns a text as a cell of a table shows it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Returns the index of all pages.
pub(crate) fn index(rules: &Rules) -> String {
    let mut text =
        "<!-- Generated from config/rules by `STAKEOUT_BLESS=1 cargo test -p stakeout-core --test rule_pages`. -->\n\n\
                    # Built-in rules\n\n| rule | finds | fires at | level | ATT&CK |\n|---|---|---|---|---|\n"
            .to_owned();
    for rule in &rules.rules {
        let head = &rule.head;
        let techniques = head.techniques.join(", ");
        let (name, title, level) = (&head.name, cell(&head.title), head.level);
        let _ = writeln!(text, "| [{name}]({name}.md) | {title} | {} | {level} | {techniques} |", rule.needed());
    }
    text
}

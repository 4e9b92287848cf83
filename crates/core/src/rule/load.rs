//! Loads rule files: reads every document, and joins correlations and filters with the rules that they name.

use std::sync::Arc;

use siphasher::sip::SipHasher24;

use super::correlation::{Correlation, CorrelationKind, Grouping};
use super::document::{Body, Document, document};
use super::filter::{Filter, FilterBody};
use super::reference::Reference;
use super::{
    CountCondition, Counting, Detection, Expression, ReferencedRule, RepeatLimit, Rule, RuleHead, RulePlace, Rules,
    Threshold,
};
use crate::address::SourceIp;
use crate::diagnostic::Diagnostic;
use crate::distinct;
use crate::field::Field;
use crate::group::RuleKey;
use crate::hash::TextHash;
use crate::yaml::{self, At};

/// What a rule without a correlation counts by.
const DEFAULT_GROUP_BY: [&str; 3] = ["source_ip", "cluster", "user.username"];
/// Timespan of a rule without a correlation, in seconds.
const DEFAULT_TIMESPAN_SECONDS: i64 = 3600;

/// Who wrote a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The authors of Stakeout: it is compiled in.
    BuiltIn,
    /// The user.
    Own,
}

/// A rule file: its name, for messages, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Who wrote it.
    pub origin: Origin,
    /// The file's name.
    pub name: String,
    /// Its text: one or more YAML documents.
    pub text: String,
}

/// Returns the active rules in `files`, with warnings of probable mistakes; or every error, at most one for each
/// document. A rule or filter of the user replaces the built-in one of the same name.
pub fn load(files: &[RuleFile]) -> Result<Rules, Vec<Diagnostic>> {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    for file in files {
        match yaml::parse(&file.name, &file.text) {
            Err(error) => errors.push(error),
            Ok(nodes) => {
                for node in nodes.iter().filter(|node| node.value != yaml::Value::Null) {
                    match document(&At::top(&file.name, node), file.origin, &mut warnings) {
                        Ok(document) => documents.push(document),
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
    }
    let (replaced, replacements) = replace(&mut documents);
    errors.extend(name_errors(&documents));
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut rules = Join::of(&documents, &replaced).rules()?;
    warnings.extend(rules.rules.iter().filter(|rule| rule.never_matches()).map(never_matches));
    rules.warnings = warnings;
    rules.replacements = replacements;
    Ok(rules)
}

/// Removes each built-in document that one of the user replaces, and returns them, and a note for each that replaces one.
fn replace(documents: &mut Vec<Document>) -> (Vec<Document>, Vec<Diagnostic>) {
    let is_filter = |document: &Document| matches!(document.body, Body::Filter(_));
    let (own, mut kept): (Vec<Document>, Vec<Document>) =
        std::mem::take(documents).into_iter().partition(|document| document.origin == Origin::Own);
    let (mut replaced, mut notes) = (Vec::new(), Vec::new());
    for new in &own {
        let before = replaced.len();
        let is_same = |old: &mut Document| old.names.shown() == new.names.shown() && is_filter(old) == is_filter(new);
        replaced.extend(kept.extract_if(.., is_same));
        if replaced.len() > before {
            let kind = if is_filter(new) { "filter" } else { "rule" };
            notes.push(Diagnostic {
                file: new.file.clone(),
                line: new.line,
                key: "name".to_owned(),
                problem: format!("replaces the built-in {kind} `{}`", new.names.shown()),
                fix: "give it another name to use both".to_owned(),
            });
        }
    }
    kept.extend(own);
    *documents = kept;
    (replaced, notes)
}

/// Warns of a rule that no request can match.
fn never_matches(rule: &Rule) -> Diagnostic {
    Diagnostic {
        file: rule.file.clone(),
        line: rule.line,
        key: String::new(),
        problem: format!("the rule `{}` never matches: it needs a field or value that no event has", rule.head.name),
        fix: "remove it, or remove the lines that never match".to_owned(),
    }
}

fn name_errors(documents: &[Document]) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        for earlier in &documents[..index] {
            let is_same_name = earlier.names.shown() == document.names.shown();
            let is_same_id = document.names.id.is_some() && earlier.names.id == document.names.id;
            if is_same_name || is_same_id {
                let key = if is_same_name { "name" } else { "id" };
                errors.push(Diagnostic {
                    file: document.file.clone(),
                    line: document.line,
                    key: key.to_owned(),
                    problem: format!("the rule at {}:{} already has this {key}", earlier.file, earlier.line),
                    fix: format!("give each rule its own {key}"),
                });
            }
        }
    }
    errors
}

/// Documents while they are joined: correlations and filters with the rules that they name.
struct Join<'a> {
    documents: &'a [Document],
    /// Built-in documents that documents of the user replace.
    replaced: &'a [Document],
    /// Names of the rules behind the first one of an ordered correlation. Only these can be follow-ups.
    later_rules: Vec<&'a str>,
    errors: Vec<Diagnostic>,
}

impl<'a> Join<'a> {
    fn of(documents: &'a [Document], replaced: &'a [Document]) -> Join<'a> {
        let mut later_rules = Vec::new();
        for correlation in documents.iter().filter_map(correlation_of) {
            if matches!(correlation.kind, CorrelationKind::Temporal { is_ordered: true }) {
                later_rules.extend(correlation.rules.iter().skip(1).map(|reference| reference.target.as_str()));
            }
        }
        Join { documents, replaced, later_rules, errors: Vec::new() }
    }

    fn rules(mut self) -> Result<Rules, Vec<Diagnostic>> {
        let has_own = self.documents.iter().any(|document| document.origin == Origin::Own);
        let mut rules = Rules { has_own, ..Rules::default() };
        for document in self.documents {
            rules.places.extend(self.place(document));
            rules.cases.extend(document.own.cases.iter().cloned());
            match &document.body {
                Body::Detection(expression) => {
                    self.check_follow_up(document);
                    let narrowed = self.narrowed(document, expression.clone());
                    rules.detections.push(Detection {
                        name: document.names.shown().to_owned(),
                        expression: narrowed.clone(),
                        selections: document.selections.clone(),
                    });
                    // A follow-up alone would match every request, which `generate` does not ask for.
                    if !self.is_only_counted(document) && document.own.follow_up.is_none() {
                        rules.rules.push(lone_rule(document, narrowed));
                    }
                }
                Body::Correlation(correlation) => match self.counted(document, correlation) {
                    Ok(counted) if document.own.new_for.is_some() && !counted.can_be_new() => {
                        self.errors.extend(document.own.new_for.as_ref().map(|(_, error)| error.clone()));
                    }
                    Ok(counted) if document.own.repeat.is_some() && counted.counting == Counting::Events => {
                        self.errors.extend(document.own.repeat.as_ref().map(|(_, _, error)| error.clone()));
                    }
                    Ok(_) if self.is_only_counted(document) => {}
                    Ok(counted) => rules.rules.push(rule(document, correlation, counted)),
                    Err(error) => self.errors.push(error),
                },
                Body::Filter(body) => match self.filter(document, body) {
                    Ok(filter) => rules.filters.push(filter),
                    Err(error) => self.errors.push(error),
                },
            }
        }
        rules.rules.sort_by(|left, right| left.head.name.cmp(&right.head.name));
        if self.errors.is_empty() { Ok(rules) } else { Err(self.errors) }
    }

    /// Returns whether `document` is a rule that some correlation counts, so that it does not fire alone. To a built-in rule,
    /// only what the built-in correlations say of it matters, also those that the user replaced.
    fn is_only_counted(&self, document: &Document) -> bool {
        let mut correlations = self
            .documents
            .iter()
            .chain(self.replaced)
            .filter(|other| document.origin == Origin::Own || other.origin == Origin::BuiltIn)
            .filter_map(correlation_of)
            .filter(|correlation| correlation.rules.iter().any(|reference| document.names.are_named(&reference.target)))
            .peekable();
        correlations.peek().is_some() && !correlations.any(|correlation| correlation.generate)
    }

    /// Returns where a rule is written; a filter is none.
    fn place(&self, document: &Document) -> Option<RulePlace> {
        let references: &[Reference] = match &document.body {
            Body::Detection(_) => &[],
            Body::Correlation(correlation) => &correlation.rules,
            Body::Filter(_) => return None,
        };
        let counted = references.iter().filter_map(|reference| self.named(reference).ok());
        Some(RulePlace {
            origin: document.origin,
            file: document.file.clone(),
            line: document.line,
            name: document.names.shown().to_owned(),
            counts: counted.map(|document| document.names.shown().to_owned()).collect(),
        })
    }

    fn named(&self, reference: &Reference) -> Result<&'a Document, Diagnostic> {
        let is_rule = |document: &&Document| !matches!(document.body, Body::Filter(_));
        let mut rules = self.documents.iter().filter(is_rule);
        rules.find(|document| document.names.are_named(&reference.target)).ok_or_else(|| reference.error.clone())
    }

    fn check_follow_up(&mut self, document: &Document) {
        let is_later_rule = self.later_rules.iter().any(|target| document.names.are_named(target));
        if let Some(error) = document.own.follow_up.as_ref().filter(|_| !is_later_rule) {
            self.errors.push(error.clone());
        }
    }

    /// Returns a selection of `document` as far as the filters let it through that name `document`.
    fn narrowed(&self, document: &Document, selection: Expression) -> Expression {
        let is_detection = matches!(document.body, Body::Detection(_));
        let filters = self.documents.iter().filter_map(|other| match &other.body {
            Body::Filter(filter) => Some(filter),
            _ => None,
        });
        filters
            .filter(|filter| {
                let is_named = filter.rules.iter().any(|reference| document.names.are_named(&reference.target));
                is_named || (is_detection && filter.rules.is_empty())
            })
            .fold(selection, |selection, filter| filter.narrow(selection))
    }

    /// Returns what a correlation counts, and in which of its rules' fields.
    fn counted(&self, document: &Document, correlation: &Correlation) -> Result<Counted, Diagnostic> {
        let CorrelationKind::Temporal { is_ordered } = &correlation.kind else {
            let named = self.detections(correlation)?;
            let group_by =
                correlation.group_by.iter().map(|grouping| one_field(grouping, &named)).collect::<Result<_, _>>()?;
            let counting = match &correlation.kind {
                CorrelationKind::Values { field } => values(one_field(field, &named)?, correlation)?,
                _ => Counting::Events,
            };
            let selections = self.selections(document, &named);
            return Ok(Counted { selections, counting, group_by });
        };
        let rules: Vec<ReferencedRule> = correlation
            .rules
            .iter()
            .enumerate()
            .map(|(index, reference)| self.referenced(document, correlation, reference, *is_ordered && index > 0))
            .collect::<Result<_, _>>()?;
        check_groups(&rules, &correlation.group_by_at)?;
        let mut selections: Vec<Expression> = Vec::new();
        for selection in rules.iter().flat_map(|rule| &rule.selections) {
            if !selections.contains(selection) {
                selections.push(selection.clone());
            }
        }
        let group_by = rules[0].group_by.clone();
        Ok(Counted { selections, counting: Counting::Sequence { rules, is_ordered: *is_ordered }, group_by })
    }

    /// Returns the detections that a correlation counts.
    fn detections(&self, correlation: &Correlation) -> Result<Vec<(&'a Document, &'a Expression)>, Diagnostic> {
        let detection = |reference: &Reference| match self.named(reference)? {
            document @ Document { body: Body::Detection(expression), .. } => Ok((document, expression)),
            _ => Err(Diagnostic {
                problem: format!("`{}` is a correlation, and a correlation counts detections", reference.target),
                fix: "name the detections that it counts".to_owned(),
                ..reference.error.clone()
            }),
        };
        correlation.rules.iter().map(detection).collect()
    }

    fn selections(&self, document: &Document, detections: &[(&Document, &Expression)]) -> Vec<Expression> {
        let narrowed = detections
            .iter()
            .map(|(detection, expression)| self.narrowed(document, self.narrowed(detection, (*expression).clone())));
        narrowed.collect()
    }

    fn referenced(
        &self,
        document: &Document,
        outer: &Correlation,
        reference: &Reference,
        is_later: bool,
    ) -> Result<ReferencedRule, Diagnostic> {
        let named = self.named(reference)?;
        let refused =
            |problem: String, fix: &str| Diagnostic { problem, fix: fix.to_owned(), ..reference.error.clone() };
        let (detections, count_condition) = match &named.body {
            Body::Correlation(inner) if !matches!(inner.kind, CorrelationKind::Events) => {
                return Err(refused(
                    format!("`{}` is a correlation, but not of type event_count", reference.target),
                    "name a detection, or a correlation of type event_count",
                ));
            }
            Body::Correlation(inner) if inner.timespan_seconds > outer.timespan_seconds => {
                return Err(refused(
                    format!("`{}` has a longer timespan than this correlation", reference.target),
                    "use a timespan that is at least as long here",
                ));
            }
            Body::Correlation(inner) => {
                let count_condition = CountCondition { count: inner.count, timespan_seconds: inner.timespan_seconds };
                (self.detections(inner)?, Some(count_condition))
            }
            Body::Detection(expression) => (vec![(named, expression)], None),
            Body::Filter(_) => return Err(reference.error.clone()),
        };
        let follow_up = detections.iter().any(|(detection, _)| detection.own.follow_up.is_some());
        if follow_up && !is_later {
            return Err(refused(
                format!("`{}` is a follow-up, but the first rule here", reference.target),
                "name it after another rule in a `temporal_ordered` correlation",
            ));
        }
        let mut selections = self.selections(document, &detections);
        if count_condition.is_some() {
            selections = selections.into_iter().map(|selection| self.narrowed(named, selection)).collect();
        }
        Ok(ReferencedRule {
            name: named.names.shown().to_owned(),
            selections,
            group_by: outer
                .group_by
                .iter()
                .map(|grouping| grouping.field_in(&named.names).cloned())
                .collect::<Result<_, _>>()?,
            count_condition,
            follow_up,
        })
    }

    fn filter(&self, document: &Document, body: &FilterBody) -> Result<Filter, Diagnostic> {
        let rules: Vec<String> = if body.rules.is_empty() {
            let detections = self.documents.iter().filter(|other| matches!(other.body, Body::Detection(_)));
            detections.map(|detection| detection.names.shown().to_owned()).collect()
        } else {
            let named = body.rules.iter().map(|reference| Ok(self.named(reference)?.names.shown().to_owned()));
            named.collect::<Result<_, Diagnostic>>()?
        };
        if rules.is_empty() {
            return Err(body.unmatched.clone());
        }
        Ok(Filter {
            name: document.names.shown().to_owned(),
            reason: body.reason.clone(),
            owner: body.owner.clone(),
            expires: body.expires,
            rules,
            passing: body.passing(),
            file: document.file.clone(),
            line: document.line,
        })
    }
}

/// What a correlation counts.
struct Counted {
    selections: Vec<Expression>,
    counting: Counting,
    group_by: Vec<Field>,
}

impl Counted {
    /// Returns whether novelty is defined for the groups: they are of one cluster, and nobody chooses them with an address.
    fn can_be_new(&self) -> bool {
        let has = |name| self.group_by.contains(&Field::Named(name));
        has("cluster") && !has("source_ip")
    }
}

/// Checks that a sequence with follow-ups groups by source and cluster: the daemon reads follow-ups per source of a log.
fn check_groups(rules: &[ReferencedRule], error: &Diagnostic) -> Result<(), Diagnostic> {
    let has_both_groups =
        |rule: &ReferencedRule| ["source_ip", "cluster"].iter().all(|name| rule.group_by.contains(&Field::Named(name)));
    if !rules.iter().any(|rule| rule.follow_up) || rules.iter().all(has_both_groups) {
        return Ok(());
    }
    Err(Diagnostic {
        problem: "a follow-up needs the groups `source_ip` and `cluster`".to_owned(),
        fix: "add them to `group-by`, or remove `follow_up` from the rule".to_owned(),
        ..error.clone()
    })
}

/// Returns the counting of distinct values. A threshold above the number of values that are kept is an error.
fn values(field: Field, correlation: &Correlation) -> Result<Counting, Diagnostic> {
    let is_source = field == Field::Named("source_ip");
    let most = if is_source {
        <SourceIp as distinct::DistinctKind>::VALUES_MAX
    } else {
        <TextHash as distinct::DistinctKind>::VALUES_MAX
    };
    if usize::try_from(correlation.count).is_ok_and(|count| count <= most) {
        return Ok(Counting::Values { field });
    }
    Err(Diagnostic {
        problem: format!("the threshold is above the number of values of `{field}` that are kept"),
        fix: format!("use at most {most}"),
        ..correlation.condition_at.clone()
    })
}

/// Returns the field of `grouping`, which is the same in all rules.
fn one_field(grouping: &Grouping, rules: &[(&Document, &Expression)]) -> Result<Field, Diagnostic> {
    let mut found: Option<&Field> = None;
    for (rule, _) in rules {
        let field = grouping.field_in(&rule.names)?;
        if let (Some(earlier), Grouping::Alias { alias, error }) = (found, grouping)
            && earlier != field
        {
            return Err(Diagnostic {
                problem: format!(
                    "the alias `{}` names different fields, which only a temporal correlation supports",
                    alias.name
                ),
                fix: "use the same field for each rule, or one correlation per rule".to_owned(),
                ..error.clone()
            });
        }
        found = Some(field);
    }
    Ok(found.expect("a correlation names at least one rule").clone())
}

fn correlation_of(document: &Document) -> Option<&Correlation> {
    match &document.body {
        Body::Correlation(correlation) => Some(correlation),
        Body::Detection(_) | Body::Filter(_) => None,
    }
}

/// Returns the rule of a detection that no correlation counts: one request is enough.
fn lone_rule(document: &Document, selection: Expression) -> Rule {
    let group_by: Vec<Field> = DEFAULT_GROUP_BY.iter().map(|name| Field::Named(name)).collect();
    let names = group_by.iter().map(Field::name).collect();
    let counted = Counted { selections: vec![selection], counting: Counting::Events, group_by };
    rule_of(document, names, DEFAULT_TIMESPAN_SECONDS, 1, counted)
}

fn rule(document: &Document, correlation: &Correlation, counted: Counted) -> Rule {
    let names = correlation.group_by.iter().map(Grouping::name).collect();
    rule_of(document, names, correlation.timespan_seconds, correlation.count, counted)
}

fn rule_of(document: &Document, names: Vec<String>, timespan_seconds: i64, count: u64, counted: Counted) -> Rule {
    let own = &document.own;
    let key = key(document, &names, &counted);
    let head = RuleHead {
        name: document.names.shown().to_owned(),
        id: document.names.id.clone().unwrap_or_default(),
        title: document.names.title.clone(),
        description: document.description.clone(),
        level: document.level,
        techniques: document.techniques.clone(),
        tactics: document.tactics.clone(),
        falsepositives: document.falsepositives.clone(),
        runbook: own.runbook.clone(),
        risk_score: own.risk_score,
        story: own.story.clone(),
        group_by: names,
        needed: String::new(),
    };
    let rule = Rule {
        key,
        head: Arc::new(head.clone()),
        selections: counted.selections,
        counting: counted.counting,
        group_by: counted.group_by,
        threshold: Threshold {
            count,
            timespan_seconds,
            quiet_seconds: timespan_seconds.max(own.dedup_period_seconds),
            repeat: own.repeat.as_ref().map(|(max, within_seconds, _)| RepeatLimit {
                max: *max,
                within_seconds: within_seconds.unwrap_or(timespan_seconds),
            }),
            new_for_days: own.new_for.as_ref().map(|(days, _)| *days),
        },
        source_ip: own.source_ip,
        origin: document.origin,
        file: document.file.clone(),
        line: document.line,
    };
    Rule { head: Arc::new(RuleHead { needed: rule.needed(), ..head }), ..rule }
}

/// Returns the fingerprint of a rule's logic: of all that decides which rows it makes.
fn key(document: &Document, names: &[String], counted: &Counted) -> RuleKey {
    let reading = format!("{:?}", document.own.source_ip);
    let logic = (document.names.shown(), &counted.selections, names, reading);
    let reason = "names, texts and numbers always serialize";
    let mut spelled = serde_json::to_vec(&logic).expect(reason);
    let fields: Vec<String> = counted.group_by.iter().map(Field::name).collect();
    if counted.counting != Counting::Events || fields != names {
        spelled.extend(serde_json::to_vec(&(&counted.counting, fields)).expect(reason));
    }
    RuleKey(SipHasher24::new().hash(&spelled))
}

#[cfg(test)]
mod tests;

//! Rule files into active rules: every document is read, correlations are joined with the rules that they name, and
//! filters with those that they narrow.

use std::sync::Arc;

use siphasher::sip::SipHasher24;

use super::correlation::{Correlation, Grouping, Kind};
use super::filter::{Filter, FilterBody};
use super::sigma::{Body, Document, Reference, document};
use super::{CountCondition, Counting, Detection, Expression, ReferencedRule, Rule, RuleHead, Rules, Threshold};
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

/// A rule file: its name, for messages, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// The file's name.
    pub name: String,
    /// Its text: one or more YAML documents.
    pub text: String,
}

/// Returns the active rules in `files`, with warnings of what is allowed but hardly meant; or every fault that was
/// found: at most one for each document.
pub fn load(files: &[RuleFile]) -> Result<Rules, Vec<Diagnostic>> {
    let mut documents = Vec::new();
    let mut faults = Vec::new();
    let mut warnings = Vec::new();
    for file in files {
        match yaml::parse(&file.name, &file.text) {
            Err(fault) => faults.push(fault),
            Ok(nodes) => {
                for node in nodes.iter().filter(|node| node.value != yaml::Value::Null) {
                    match document(&At::top(&file.name, node), &mut warnings) {
                        Ok(document) => documents.push(document),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
        }
    }
    faults.extend(name_faults(&documents));
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut rules = Join::of(&documents).rules()?;
    warnings.extend(rules.rules.iter().filter(|rule| rule.never_matches()).map(never_matches));
    rules.warnings = warnings;
    Ok(rules)
}

/// Warns of a rule that no request can fit.
fn never_matches(rule: &Rule) -> Diagnostic {
    Diagnostic {
        file: rule.file.clone(),
        line: rule.line,
        key: String::new(),
        problem: format!("the rule `{}` never matches: it needs what no event has", rule.head.name),
        fix: "leave it out, or take out the lines that never fit".to_owned(),
    }
}

fn name_faults(documents: &[Document]) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (place, document) in documents.iter().enumerate() {
        for earlier in &documents[..place] {
            let is_same_name = earlier.shown_name() == document.shown_name();
            let is_same_id = document.id.is_some() && earlier.id == document.id;
            if is_same_name || is_same_id {
                let key = if is_same_name { "name" } else { "id" };
                faults.push(Diagnostic {
                    file: document.file.clone(),
                    line: document.line,
                    key: key.to_owned(),
                    problem: format!("the rule at {}:{} has this {key} already", earlier.file, earlier.line),
                    fix: format!("give each rule {} of its own", if is_same_name { "a name" } else { "an id" }),
                });
            }
        }
    }
    faults
}

/// Documents that are being joined: correlations with the rules that they name, filters with those that they narrow.
struct Join<'a> {
    documents: &'a [Document],
    /// Names of later legs of ordered correlations, which alone can be follow-ups.
    later_legs: Vec<&'a str>,
    faults: Vec<Diagnostic>,
}

impl<'a> Join<'a> {
    fn of(documents: &'a [Document]) -> Join<'a> {
        let mut later_legs = Vec::new();
        for correlation in documents.iter().filter_map(correlation_of) {
            if matches!(correlation.kind, Kind::Temporal { is_ordered: true }) {
                later_legs.extend(correlation.rules.iter().skip(1).map(|reference| reference.target.as_str()));
            }
        }
        Join { documents, later_legs, faults: Vec::new() }
    }

    fn rules(mut self) -> Result<Rules, Vec<Diagnostic>> {
        let mut rules = Rules::default();
        for document in self.documents {
            rules.cases.extend(document.own.cases.iter().cloned());
            match &document.body {
                Body::Detection(expression) => {
                    self.check_follow_up(document);
                    let narrowed = self.narrowed(document, expression.clone());
                    rules.detections.push(Detection {
                        name: document.shown_name().to_owned(),
                        expression: narrowed.clone(),
                        selections: document.selections.clone(),
                    });
                    // A follow-up alone would be asked of every request: no correlation that generates means that.
                    if !is_only_counted(document, self.documents) && document.own.follow_up.is_none() {
                        rules.rules.push(lone_rule(document, narrowed));
                    }
                }
                Body::Correlation(correlation) => match self.counted(document, correlation) {
                    Ok(_) if is_only_counted(document, self.documents) => {}
                    Ok(counted) => rules.rules.push(rule(document, correlation, counted)),
                    Err(fault) => self.faults.push(fault),
                },
                Body::Filter(body) => match self.filter(document, body) {
                    Ok(filter) => rules.filters.push(filter),
                    Err(fault) => self.faults.push(fault),
                },
            }
        }
        rules.rules.sort_by(|left, right| left.head.name.cmp(&right.head.name));
        if self.faults.is_empty() { Ok(rules) } else { Err(self.faults) }
    }

    fn named(&self, reference: &Reference) -> Result<&'a Document, Diagnostic> {
        let is_rule = |document: &&Document| !matches!(document.body, Body::Filter(_));
        let mut rules = self.documents.iter().filter(is_rule);
        rules.find(|document| document.is_named(&reference.target)).ok_or_else(|| reference.fault.clone())
    }

    fn check_follow_up(&mut self, document: &Document) {
        let is_later_leg = self.later_legs.iter().any(|target| document.is_named(target));
        if let Some(fault) = document.own.follow_up.as_ref().filter(|_| !is_later_leg) {
            self.faults.push(fault.clone());
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
                let is_named = filter.rules.iter().any(|reference| document.is_named(&reference.target));
                is_named || (is_detection && filter.rules.is_empty())
            })
            .fold(selection, |selection, filter| filter.narrow(selection))
    }

    /// Returns what a correlation counts, and in which of its rules' fields.
    fn counted(&self, document: &Document, correlation: &Correlation) -> Result<Counted, Diagnostic> {
        let Kind::Temporal { is_ordered } = &correlation.kind else {
            let named = self.detections(correlation)?;
            let group_by =
                correlation.group_by.iter().map(|grouping| one_field(grouping, &named)).collect::<Result<_, _>>()?;
            let counting = match &correlation.kind {
                Kind::Values { field } => values(one_field(field, &named)?, correlation)?,
                _ => Counting::Events,
            };
            let selections = self.selections(document, &named);
            return Ok(Counted { selections, counting, group_by });
        };
        let legs: Vec<ReferencedRule> = correlation
            .rules
            .iter()
            .enumerate()
            .map(|(place, reference)| self.leg(document, correlation, reference, *is_ordered && place > 0))
            .collect::<Result<_, _>>()?;
        check_groups(&legs, &correlation.group_by_fault)?;
        let mut selections: Vec<Expression> = Vec::new();
        for selection in legs.iter().flat_map(|leg| &leg.selections) {
            if !selections.contains(selection) {
                selections.push(selection.clone());
            }
        }
        let group_by = legs[0].group_by.clone();
        Ok(Counted { selections, counting: Counting::Sequence { rules: legs, is_ordered: *is_ordered }, group_by })
    }

    /// Returns the detections that a correlation counts.
    fn detections(&self, correlation: &Correlation) -> Result<Vec<(&'a Document, &'a Expression)>, Diagnostic> {
        let detection = |reference: &Reference| match self.named(reference)? {
            document @ Document { body: Body::Detection(expression), .. } => Ok((document, expression)),
            _ => Err(Diagnostic {
                problem: format!("`{}` is a correlation itself", reference.target),
                ..reference.fault.clone()
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

    fn leg(
        &self,
        document: &Document,
        outer: &Correlation,
        reference: &Reference,
        is_later: bool,
    ) -> Result<ReferencedRule, Diagnostic> {
        let named = self.named(reference)?;
        let refused =
            |problem: String, fix: &str| Diagnostic { problem, fix: fix.to_owned(), ..reference.fault.clone() };
        let (detections, count_condition) = match &named.body {
            Body::Correlation(inner) if !matches!(inner.kind, Kind::Events) => {
                return Err(refused(
                    format!("`{}` is a correlation of another type than event_count", reference.target),
                    "name a detection, or a correlation of type event_count",
                ));
            }
            Body::Correlation(inner) if inner.timespan_seconds > outer.timespan_seconds => {
                return Err(refused(
                    format!("`{}` has a longer timespan than this correlation", reference.target),
                    "give this correlation a timespan at least as long",
                ));
            }
            Body::Correlation(inner) => {
                let count_condition = CountCondition { count: inner.count, timespan_seconds: inner.timespan_seconds };
                (self.detections(inner)?, Some(count_condition))
            }
            Body::Detection(expression) => (vec![(named, expression)], None),
            Body::Filter(_) => return Err(reference.fault.clone()),
        };
        let follow_up = detections.iter().any(|(detection, _)| detection.own.follow_up.is_some());
        if follow_up && !is_later {
            return Err(refused(
                format!("`{}` is a follow-up, and follows nothing here", reference.target),
                "name it behind another rule in a `temporal_ordered` correlation",
            ));
        }
        let mut selections = self.selections(document, &detections);
        if count_condition.is_some() {
            selections = selections.into_iter().map(|selection| self.narrowed(named, selection)).collect();
        }
        Ok(ReferencedRule {
            name: named.shown_name().to_owned(),
            selections,
            group_by: outer
                .group_by
                .iter()
                .map(|grouping| grouping.field_in(named).cloned())
                .collect::<Result<_, _>>()?,
            count_condition,
            follow_up,
        })
    }

    fn filter(&self, document: &Document, body: &FilterBody) -> Result<Filter, Diagnostic> {
        let rules: Vec<String> = if body.rules.is_empty() {
            let detections = self.documents.iter().filter(|other| matches!(other.body, Body::Detection(_)));
            detections.map(|detection| detection.shown_name().to_owned()).collect()
        } else {
            let named = body.rules.iter().map(|reference| Ok(self.named(reference)?.shown_name().to_owned()));
            named.collect::<Result<_, Diagnostic>>()?
        };
        if rules.is_empty() {
            return Err(body.unmatched.clone());
        }
        Ok(Filter {
            name: document.shown_name().to_owned(),
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

/// Checks that a sequence with follow-ups keeps apart whom they are looked for by: one source of one log.
fn check_groups(legs: &[ReferencedRule], fault: &Diagnostic) -> Result<(), Diagnostic> {
    let is_kept_apart =
        |leg: &ReferencedRule| ["source_ip", "cluster"].iter().all(|name| leg.group_by.contains(&Field::Named(name)));
    if !legs.iter().any(|leg| leg.follow_up) || legs.iter().all(is_kept_apart) {
        return Ok(());
    }
    Err(Diagnostic {
        problem: "a follow-up is looked for at one address in one cluster".to_owned(),
        fix: "group by `source_ip` and `cluster`, or take `follow_up` out of the rule".to_owned(),
        ..fault.clone()
    })
}

/// Returns the counting of distinct values; more of them than are kept could never be reached.
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
        problem: format!("more values of `{field}` than are kept"),
        fix: format!("ask for at most {most}"),
        ..correlation.count_fault.clone()
    })
}

/// Returns the field that `grouping` stands for in every one of the rules.
fn one_field(grouping: &Grouping, rules: &[(&Document, &Expression)]) -> Result<Field, Diagnostic> {
    let mut found: Option<&Field> = None;
    for (rule, _) in rules {
        let field = grouping.field_in(rule)?;
        if let (Some(earlier), Grouping::Alias { alias, fault }) = (found, grouping)
            && earlier != field
        {
            return Err(Diagnostic {
                problem: format!(
                    "the alias `{}` stands for different fields, and only temporal correlations tell rules apart",
                    alias.name
                ),
                fix: "name the same field for each rule, or write a correlation for each".to_owned(),
                ..fault.clone()
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

/// Tells whether `document` is a rule that some correlation counts, so that it does not fire alone.
fn is_only_counted(document: &Document, documents: &[Document]) -> bool {
    let mut correlations = documents
        .iter()
        .filter_map(correlation_of)
        .filter(|correlation| correlation.rules.iter().any(|reference| document.is_named(&reference.target)))
        .peekable();
    correlations.peek().is_some() && !correlations.any(|correlation| correlation.generate)
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
    Rule {
        key: key(document, &names, &counted),
        head: Arc::new(RuleHead {
            name: document.shown_name().to_owned(),
            id: document.id.clone().unwrap_or_default(),
            title: document.title.clone(),
            description: document.description.clone(),
            level: document.level,
            techniques: document.techniques.clone(),
            falsepositives: document.falsepositives.clone(),
            runbook: own.runbook.clone(),
            risk_score: own.risk_score,
            group_by: names,
        }),
        selections: counted.selections,
        counting: counted.counting,
        group_by: counted.group_by,
        threshold: Threshold { count, timespan_seconds, quiet_seconds: timespan_seconds.max(own.dedup_period_seconds) },
        source_ip: own.source_ip,
        tactics: document.tactics.clone(),
        file: document.file.clone(),
        line: document.line,
    }
}

/// Returns the fingerprint of a rule's logic: of all that decides which rows it makes.
fn key(document: &Document, names: &[String], counted: &Counted) -> RuleKey {
    let reading = format!("{:?}", document.own.source_ip);
    let logic = (document.shown_name(), &counted.selections, names, reading);
    let fault = "names, texts and numbers always spell as JSON";
    let mut spelled = serde_json::to_vec(&logic).expect(fault);
    let fields: Vec<String> = counted.group_by.iter().map(Field::name).collect();
    if counted.counting != Counting::Events || fields != names {
        spelled.extend(serde_json::to_vec(&(&counted.counting, fields)).expect(fault));
    }
    RuleKey(SipHasher24::new().hash(&spelled))
}

#[cfg(test)]
mod tests;

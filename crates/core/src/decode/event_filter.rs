//! A prefilter that is prepared for a test of every record: it compares few values before many, and looks up many
//! addresses or names in a set.

use std::collections::HashSet;

use super::BorrowedEvent;
use crate::field::Field;
use crate::prefilter::{Literal, Prefilter};

/// Smallest number of texts of one field that become a set. Fewer are compared one by one.
const SET_TEXTS_MIN: usize = 8;

/// A filter over borrowed events. Only an event that passes is worth a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter(FilterNode);

#[derive(Clone, Debug, PartialEq, Eq)]
enum FilterNode {
    Any,
    Or(Vec<FilterNode>),
    And(Vec<FilterNode>),
    Is(Field, Literal),
    OneOf(Field, HashSet<String>),
}

impl EventFilter {
    /// Returns the filter of events that `prefilter` may match.
    #[must_use]
    pub fn new(prefilter: &Prefilter) -> EventFilter {
        EventFilter(FilterNode::of(prefilter))
    }

    /// Returns whether `event` may match. If not, no rule of the prefilter matches it.
    #[must_use]
    pub fn may_match(&self, event: &BorrowedEvent<'_>) -> bool {
        self.0.may_match(event)
    }
}

impl FilterNode {
    fn of(prefilter: &Prefilter) -> FilterNode {
        match prefilter {
            Prefilter::Any => FilterNode::Any,
            Prefilter::And(parts) => FilterNode::And(cheapest_first(parts.iter().map(FilterNode::of).collect())),
            Prefilter::Or(parts) => FilterNode::any(cheapest_first(with_sets(parts))),
            Prefilter::Is { field, literal } => FilterNode::Is(field.clone(), literal.clone()),
        }
    }

    fn any(mut parts: Vec<FilterNode>) -> FilterNode {
        if parts.len() == 1 { parts.remove(0) } else { FilterNode::Or(parts) }
    }

    fn may_match(&self, event: &BorrowedEvent<'_>) -> bool {
        match self {
            FilterNode::Any => true,
            FilterNode::And(parts) => parts.iter().all(|part| part.may_match(event)),
            FilterNode::Or(parts) => parts.iter().any(|part| part.may_match(event)),
            FilterNode::Is(field, literal) => {
                event.may_hold(field, |text| literal.is(text), |number| literal.is_number(number))
            }
            FilterNode::OneOf(field, texts) => event.may_hold(field, |text| texts.contains(text), |_| true),
        }
    }

    /// Returns the maximum cost of the test, in comparisons.
    fn comparisons(&self) -> usize {
        match self {
            FilterNode::Any => 0,
            FilterNode::Is(..) => 1,
            FilterNode::OneOf(..) => SET_TEXTS_MIN,
            FilterNode::And(parts) | FilterNode::Or(parts) => parts.iter().map(FilterNode::comparisons).sum(),
        }
    }
}

/// Returns the nodes, cheapest first: an event that matches none of few values is not compared with many.
fn cheapest_first(mut parts: Vec<FilterNode>) -> Vec<FilterNode> {
    parts.sort_by_key(FilterNode::comparisons);
    parts
}

/// Returns the alternatives, with many whole texts of one field joined into a set.
fn with_sets(alternatives: &[Prefilter]) -> Vec<FilterNode> {
    let mut sets: Vec<(&Field, HashSet<String>)> = Vec::new();
    for (field, text) in alternatives.iter().filter_map(whole_text) {
        match sets.iter_mut().find(|(known, _)| *known == field) {
            Some((_, texts)) => drop(texts.insert(text.to_owned())),
            None => sets.push((field, HashSet::from([text.to_owned()]))),
        }
    }
    sets.retain(|(_, texts)| texts.len() >= SET_TEXTS_MIN);
    let is_in_set = |prefilter: &&Prefilter| {
        whole_text(prefilter).is_some_and(|(field, _)| sets.iter().any(|(known, _)| *known == field))
    };
    let mut parts: Vec<FilterNode> = alternatives.iter().filter(|part| !is_in_set(part)).map(FilterNode::of).collect();
    parts.extend(sets.into_iter().map(|(field, texts)| FilterNode::OneOf(field.clone(), texts)));
    parts
}

/// Returns the field and the exact text that it must equal. A code may be a number, so it has no such text.
fn whole_text(prefilter: &Prefilter) -> Option<(&Field, &str)> {
    match prefilter {
        Prefilter::Is { field, literal: Literal::Text { text, cased: true } } if !field.is_number() => {
            Some((field, text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::borrowed_event;

    fn is(name: &'static str, text: &str) -> Prefilter {
        let literal = Literal::Text { text: text.to_owned(), cased: true };
        Prefilter::Is { field: Field::Named(name), literal }
    }

    #[test]
    fn many_addresses_become_a_set_that_is_tested_last() {
        let sources: Vec<Prefilter> =
            (0..300).map(|n| is("sourceIPs", &format!("91.10.{}.{}", n / 256, n % 256))).collect();
        let verbs = Prefilter::Or(vec![is("verb", "get"), is("verb", "list")]);
        let filter = EventFilter::new(&Prefilter::And(vec![Prefilter::Or(sources), verbs.clone()]));
        let FilterNode::And(parts) = &filter.0 else { panic!("{filter:?}") };
        assert!(matches!(&parts[..], [FilterNode::Or(verbs), FilterNode::OneOf(..)] if verbs.len() == 2), "{parts:?}");
        for (verb, source, is_match) in [
            ("get", "91.10.1.43", true),
            ("list", "91.10.0.0", true),
            ("list", "91.10.1.44", false),
            ("watch", "91.10.0.0", false),
            // It may be another spelling of the address.
            ("get", "::ffff:91.10.1.44", true),
        ] {
            let line = format!(r#"{{"verb":"{verb}","sourceIPs":["8.8.8.8","{source}"]}}"#);
            let event = borrowed_event(line.as_bytes()).expect("an event");
            assert_eq!(filter.may_match(&event), is_match, "{line}");
        }
    }
}

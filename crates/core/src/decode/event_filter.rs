//! A prefilter made ready to be asked of every record: few values before many, and many addresses or names at once.

use std::collections::HashSet;

use super::BorrowedEvent;
use crate::field::Field;
use crate::prefilter::{Literal, Prefilter};

/// Texts of one field from which on they are looked up; fewer are compared one by one.
const LOOKED_UP_MIN: usize = 8;

/// What an event must fit to be worth building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter(Part);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    Or(Vec<Part>),
    And(Vec<Part>),
    Is(Field, Literal),
    OneOf(Field, HashSet<String>),
}

impl EventFilter {
    /// Returns the screen that lets through what fits `prefilter`.
    #[must_use]
    pub fn new(prefilter: &Prefilter) -> EventFilter {
        EventFilter(Part::of(prefilter))
    }

    /// Tells whether `event` may fit. Where it does not, nothing matches it that the prefilter was made for.
    #[must_use]
    pub fn lets_through(&self, event: &BorrowedEvent<'_>) -> bool {
        self.0.lets_through(event)
    }
}

impl Part {
    fn of(prefilter: &Prefilter) -> Part {
        match prefilter {
            Prefilter::Any => Part::Any,
            Prefilter::And(parts) => Part::And(shortest_first(parts.iter().map(Part::of).collect())),
            Prefilter::Or(parts) => Part::any(shortest_first(looked_up(parts))),
            Prefilter::Is { field, literal } => Part::Is(field.clone(), literal.clone()),
        }
    }

    fn any(mut parts: Vec<Part>) -> Part {
        if parts.len() == 1 { parts.remove(0) } else { Part::Or(parts) }
    }

    fn lets_through(&self, event: &BorrowedEvent<'_>) -> bool {
        match self {
            Part::Any => true,
            Part::And(parts) => parts.iter().all(|part| part.lets_through(event)),
            Part::Or(parts) => parts.iter().any(|part| part.lets_through(event)),
            Part::Is(field, literal) => {
                event.may_hold(field, |text| literal.is(text), |number| literal.is_number(number))
            }
            Part::OneOf(field, texts) => event.may_hold(field, |text| texts.contains(text), |_| true),
        }
    }

    /// Returns how many comparisons it takes at most, or as much time as.
    fn comparisons(&self) -> usize {
        match self {
            Part::Any => 0,
            Part::Is(..) => 1,
            Part::OneOf(..) => LOOKED_UP_MIN,
            Part::And(parts) | Part::Or(parts) => parts.iter().map(Part::comparisons).sum(),
        }
    }
}

/// Returns the parts, shortest first: what fits none of few values need not be compared with many.
fn shortest_first(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_key(Part::comparisons);
    parts
}

/// Returns alternatives in which many whole texts of one field are one set.
fn looked_up(alternatives: &[Prefilter]) -> Vec<Part> {
    let mut sets: Vec<(&Field, HashSet<String>)> = Vec::new();
    for (field, text) in alternatives.iter().filter_map(whole_text) {
        match sets.iter_mut().find(|(known, _)| *known == field) {
            Some((_, texts)) => drop(texts.insert(text.to_owned())),
            None => sets.push((field, HashSet::from([text.to_owned()]))),
        }
    }
    sets.retain(|(_, texts)| texts.len() >= LOOKED_UP_MIN);
    let is_in_set = |prefilter: &&Prefilter| {
        whole_text(prefilter).is_some_and(|(field, _)| sets.iter().any(|(known, _)| *known == field))
    };
    let mut parts: Vec<Part> = alternatives.iter().filter(|part| !is_in_set(part)).map(Part::of).collect();
    parts.extend(sets.into_iter().map(|(field, texts)| Part::OneOf(field.clone(), texts)));
    parts
}

/// Returns a field and the text that it must be, letter by letter. A code may be a number, so it is none.
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
    fn many_addresses_are_looked_up_and_asked_for_last() {
        let sources: Vec<Prefilter> =
            (0..300).map(|n| is("sourceIPs", &format!("91.10.{}.{}", n / 256, n % 256))).collect();
        let verbs = Prefilter::Or(vec![is("verb", "get"), is("verb", "list")]);
        let screen = EventFilter::new(&Prefilter::And(vec![Prefilter::Or(sources), verbs.clone()]));
        let Part::And(parts) = &screen.0 else { panic!("{screen:?}") };
        assert!(matches!(&parts[..], [Part::Or(verbs), Part::OneOf(..)] if verbs.len() == 2), "{parts:?}");
        for (verb, source, passes) in [
            ("get", "91.10.1.43", true),
            ("list", "91.10.0.0", true),
            ("list", "91.10.1.44", false),
            ("watch", "91.10.0.0", false),
            // It may be an address that is spelled otherwise.
            ("get", "::ffff:91.10.1.44", true),
        ] {
            let line = format!(r#"{{"verb":"{verb}","sourceIPs":["8.8.8.8","{source}"]}}"#);
            let event = borrowed_event(line.as_bytes()).expect("an event");
            assert_eq!(screen.lets_through(&event), passes, "{line}");
        }
    }
}

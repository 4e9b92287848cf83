//! The prefilter: what a provider must return, so that it can leave out the rest. Every request that a rule could match fits
//! it.
//!
//! It is always a superset. A condition that a provider cannot evaluate is `Any`, and rules match every returned record
//! again.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{self, SourceIp};
use crate::field::Field;

/// Fields of which a log has many values, each in few events.
const RARE_FIELDS: [&str; 4] = ["responseStatus.reason", "user.username", "user.groups", "sourceIPs"];

/// A filter over audit events, which provider crates translate into their query languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefilter {
    /// Every event fits.
    Any,
    /// At least one of these fits; an empty list fits nothing.
    Or(Vec<Prefilter>),
    /// Each of these fits; an empty list fits everything.
    And(Vec<Prefilter>),
    /// The field's value fits.
    Is {
        /// The field.
        field: Field,
        /// What its value must be.
        literal: Literal,
    },
}

/// The value that a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A number. The field may hold it as a number or as text.
    Number(i64),
    /// A text, compared letter by letter where `cased`, else without regard to case.
    Text {
        /// The whole text.
        text: String,
        /// Whether case counts.
        cased: bool,
    },
    /// An address in this network, in whatever spelling.
    Network(IpNet),
}

impl Literal {
    /// Returns whether `text` may be it.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        match self {
            Literal::Number(number) => text.parse() == Ok(*number),
            Literal::Text { text: own, cased: true } => text == own,
            Literal::Text { text: own, cased: false } if text.is_ascii() => text.eq_ignore_ascii_case(own),
            Literal::Text { text: own, cased: false } => lower(text).eq(lower(own)),
            Literal::Network(network) => address::parse(text).is_some_and(|address| network.contains(&address)),
        }
    }

    /// Returns whether `number` may be it, however it is written.
    #[must_use]
    pub fn is_number(&self, number: i64) -> bool {
        match self {
            Literal::Number(own) => number == *own,
            Literal::Text { text, .. } => text.parse() == Ok(number),
            Literal::Network(_) => false,
        }
    }
}

fn lower(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

impl Prefilter {
    /// Returns the filter of requests that may be counted for `source`: some entry of `sourceIPs` is its address, or, of an
    /// IPv6 source, an address of its network.
    #[must_use]
    pub fn from_source(source: SourceIp) -> Prefilter {
        match source {
            SourceIp::V4(address) => Prefilter::from_address(address.into()),
            SourceIp::V6Net(_) => {
                Prefilter::Is { field: Field::Named("sourceIPs"), literal: Literal::Network(source.network()) }
            }
        }
    }

    /// Returns the filter of requests with `address` in `sourceIPs`, as the API server writes it.
    #[must_use]
    pub fn from_address(address: IpAddr) -> Prefilter {
        Prefilter::Is {
            field: Field::Named("sourceIPs"),
            literal: Literal::Text { text: address.to_string(), cased: true },
        }
    }

    /// Returns `self` with nested lists joined and everything that `Any` makes pointless left out.
    #[must_use]
    pub fn simplified(self) -> Prefilter {
        match self {
            Prefilter::Or(parts) => {
                let mut flat = Vec::new();
                for part in parts {
                    match part.simplified() {
                        Prefilter::Any => return Prefilter::Any,
                        Prefilter::Or(inner) => flat.extend(inner),
                        other => flat.push(other),
                    }
                }
                dedup(&mut flat);
                if flat.len() == 1 { flat.remove(0) } else { Prefilter::Or(flat) }
            }
            Prefilter::And(parts) => {
                let mut flat = Vec::new();
                for part in parts {
                    match part.simplified() {
                        Prefilter::Any => {}
                        Prefilter::And(inner) => flat.extend(inner),
                        other => flat.push(other),
                    }
                }
                dedup(&mut flat);
                if flat.iter().any(Prefilter::is_nothing) {
                    return Prefilter::Or(Vec::new());
                }
                match flat.len() {
                    0 => Prefilter::Any,
                    1 => flat.remove(0),
                    _ => Prefilter::And(flat),
                }
            }
            leaf => leaf,
        }
    }

    /// Returns the part of `self` that a provider can evaluate, without the conditions that are not `is_pushable`. A list of
    /// alternatives that fits nothing is left out as well, so that an error in it loses no event.
    #[must_use]
    pub fn relaxed(self, is_pushable: &impl Fn(&Field, &Literal) -> bool) -> Prefilter {
        let all = |parts: Vec<Prefilter>| parts.into_iter().map(|part| part.relaxed(is_pushable)).collect();
        match self {
            Prefilter::Is { field, literal } if is_pushable(&field, &literal) => Prefilter::Is { field, literal },
            Prefilter::And(parts) => Prefilter::And(all(parts)).simplified(),
            Prefilter::Or(parts) if !parts.is_empty() => Prefilter::Or(all(parts)).simplified().absorbed(),
            Prefilter::Or(_) | Prefilter::Any | Prefilter::Is { .. } => Prefilter::Any,
        }
    }

    /// Returns `self` without one conjunct at any depth: the least selective one and, of equals, the one of the greatest
    /// `length`; `Any` where there is none. A value that [`is_rare`](Prefilter::is_rare) is more selective than others.
    #[must_use]
    pub fn with_one_conjunct_less(&self, length: &impl Fn(&Prefilter) -> usize) -> Prefilter {
        let Some(least) = self.least_conjunct(&|part| (part.selectivity(), Reverse(length(part)))) else {
            return Prefilter::Any;
        };
        let mut fewer = self.clone();
        fewer.drop_conjunct(least);
        fewer.simplified()
    }

    /// Returns an alternative without those parts that another part includes: of `a` and `a and b`, `a` is enough.
    fn absorbed(self) -> Prefilter {
        let Prefilter::Or(mut parts) = self else {
            return self;
        };
        for index in (0..parts.len()).rev() {
            let part = parts.remove(index);
            if !any_includes(&parts, &part) {
                parts.insert(index, part);
            }
        }
        Prefilter::Or(parts).simplified()
    }

    /// Returns whether all that fits `other` fits `self`, as far as their shapes show it.
    fn includes(&self, other: &Prefilter) -> bool {
        match (self, other) {
            (Prefilter::Any, _) => true,
            (Prefilter::And(own), _) => own.iter().all(|part| part.includes(other)),
            (Prefilter::Or(own), _) => any_includes(own, other),
            (Prefilter::Is { .. }, Prefilter::Or(parts)) => parts.iter().all(|part| self.includes(part)),
            (Prefilter::Is { .. }, Prefilter::And(parts)) => parts.iter().any(|part| self.includes(part)),
            (Prefilter::Is { .. }, _) => self == other,
        }
    }

    fn least_conjunct<K: Ord>(&self, worth: &impl Fn(&Prefilter) -> K) -> Option<&Prefilter> {
        let (Prefilter::And(parts) | Prefilter::Or(parts)) = self else {
            return None;
        };
        let own = if matches!(self, Prefilter::And(_)) { parts.as_slice() } else { &[] };
        own.iter().chain(parts.iter().filter_map(|part| part.least_conjunct(worth))).min_by_key(|part| worth(part))
    }

    /// Takes every conjunct that equals `least` out. An `And` that is left empty fits everything.
    fn drop_conjunct(&mut self, least: &Prefilter) {
        if let Prefilter::And(parts) = self {
            parts.retain(|part| part != least);
        }
        if let Prefilter::And(parts) | Prefilter::Or(parts) = self {
            for part in parts {
                part.drop_conjunct(least);
            }
        }
    }

    /// Returns whether a comparison leaves out much of a log: a refusal, a name or an address is rare, a success, a verb or
    /// a resource is not.
    #[must_use]
    pub fn is_rare(field: &Field, literal: &Literal) -> bool {
        match field {
            Field::Named("responseStatus.code") => !(100..300).any(|success| literal.is_number(success)),
            Field::Named(name) => RARE_FIELDS.contains(name),
            Field::Annotation(_) => false,
        }
    }

    /// Returns how much of a log is left out: 2 where a rare value is asked for, 1 where another is, 0 for nothing.
    fn selectivity(&self) -> u8 {
        match self {
            Prefilter::Any => 0,
            Prefilter::Is { field, literal } => 1 + u8::from(Prefilter::is_rare(field, literal)),
            Prefilter::Or(parts) => parts.iter().map(Prefilter::selectivity).min().unwrap_or(0),
            Prefilter::And(parts) => parts.iter().map(Prefilter::selectivity).max().unwrap_or(0),
        }
    }

    /// Returns whether nothing fits, because each alternative needs a field that events do not have.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Prefilter::Or(parts) if parts.is_empty())
    }
}

/// Returns whether all that fits `other` fits one of `parts`, as far as their shapes show it.
fn any_includes(parts: &[Prefilter], other: &Prefilter) -> bool {
    match other {
        Prefilter::Or(inner) => inner.iter().all(|one| any_includes(parts, one)),
        Prefilter::And(inner) if inner.iter().any(|one| any_includes(parts, one)) => true,
        _ => parts.iter().any(|part| part.includes(other)),
    }
}

fn dedup(parts: &mut Vec<Prefilter>) {
    let mut unique: Vec<Prefilter> = Vec::with_capacity(parts.len());
    for part in parts.drain(..) {
        if !unique.contains(&part) {
            unique.push(part);
        }
    }
    *parts = unique;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(name: &'static str) -> Prefilter {
        Prefilter::Is { field: Field::Named(name), literal: Literal::Number(1) }
    }

    #[test]
    fn conditions_that_are_not_pushable_are_left_out_with_the_parts_that_they_included() {
        let (code, verb, agent) = (is("responseStatus.code"), is("verb"), is("userAgent"));
        let has_no_agent = |field: &Field, _: &Literal| *field != Field::Named("userAgent");
        let of = |prefilter: Prefilter| prefilter.relaxed(&has_no_agent);
        assert_eq!(of(Prefilter::And(vec![code.clone(), agent.clone()])), code);
        assert_eq!(of(Prefilter::Or(vec![code.clone(), agent])), Prefilter::Any);
        assert_eq!(of(Prefilter::Or(vec![])), Prefilter::Any);
        assert_eq!(of(Prefilter::Or(vec![Prefilter::And(vec![code.clone(), verb]), code.clone()])), code);
    }

    #[test]
    fn an_alternative_is_left_out_that_others_include() {
        let (code, verb, name, uri) = (is("responseStatus.code"), is("verb"), is("objectRef.name"), is("requestURI"));
        let or = |parts: &[&Prefilter]| Prefilter::Or(parts.iter().map(|part| (*part).clone()).collect());
        let and = |parts: &[&Prefilter]| Prefilter::And(parts.iter().map(|part| (*part).clone()).collect());
        let of = |prefilter: Prefilter| prefilter.relaxed(&|_, _| true);
        // Of a list of values, the first two are asked for, and one of them once more.
        let wide = and(&[&verb, &or(&[&code, &name])]);
        for narrow in [and(&[&verb, &code]), and(&[&code, &verb, &uri]), and(&[&verb, &or(&[&name, &code])])] {
            assert_eq!(of(or(&[&wide, &narrow])), wide, "{narrow:?}");
        }
        assert_eq!(of(or(&[&and(&[&verb, &code]), &wide])), wide);
        assert_eq!(of(or(&[&code, &verb, &and(&[&or(&[&code, &verb]), &uri])])), or(&[&code, &verb]));
        for other in [and(&[&verb, &uri]), uri.clone(), and(&[&code, &name])] {
            assert_eq!(of(or(&[&wide, &other])), or(&[&wide, &other]), "{other:?}");
        }
    }

    #[test]
    fn the_least_selective_conjunct_goes_first_and_the_longest_of_equals() {
        let (verb, agent) = (is("verb"), is("userAgent"));
        let less = |prefilter: &Prefilter| {
            let length = |part: &Prefilter| usize::from(*part == is("userAgent"));
            prefilter.with_one_conjunct_less(&length)
        };
        let code = Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(403) };
        let all = Prefilter::And(vec![code.clone(), verb.clone(), agent]);
        let two = less(&all);
        assert_eq!(two, Prefilter::And(vec![code.clone(), verb]));
        let one = less(&two);
        assert_eq!((&one, less(&one)), (&code, Prefilter::Any));
        let success = Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(200) };
        let source = Prefilter::from_address([203, 0, 113, 7].into());
        assert_eq!(less(&Prefilter::And(vec![source.clone(), success])), source);
    }

    #[test]
    fn an_ipv6_source_is_its_network_in_whatever_spelling() {
        let Prefilter::Is { literal, .. } = Prefilter::from_source(SourceIp::V6Net(0x2001_0db8_0007_0000)) else {
            panic!("one comparison");
        };
        assert!(["2001:db8:7::1", "2001:0DB8:7:0:a:b:c:d", "2001:db8:7::"].iter().all(|text| literal.is(text)));
        assert!(!["2001:db8:7:1::1", "2001:db8:8::1", "unknown", "203.0.113.7"].iter().any(|text| literal.is(text)));
        assert!(!literal.is_number(7));
    }
}

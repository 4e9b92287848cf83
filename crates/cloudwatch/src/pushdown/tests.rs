//! Patterns are read back by an evaluator of their own and compared with the prefilters that they were made of.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stakeout_core::address::{self, SourceIp};
use stakeout_core::follow_up::{FOLLOW_UP_SOURCES_MAX, FollowUp};
use stakeout_core::time::{Second, Window};

use super::*;

const USERNAME: Field = Field::Named("user.username");
const VERB: Field = Field::Named("verb");
const GROUPS: Field = Field::Named("user.groups");
const SOURCE_IPS: Field = Field::Named("sourceIPs");

fn number(field: Field, number: i64) -> Prefilter {
    Prefilter::Is { field, literal: Literal::Number(number) }
}

fn text(field: Field, text: &str) -> Prefilter {
    Prefilter::Is { field, literal: Literal::Text { text: text.to_owned(), cased: true } }
}

fn uncased(field: Field, text: &str) -> Prefilter {
    Prefilter::Is { field, literal: Literal::Text { text: text.to_owned(), cased: false } }
}

fn pattern(prefilter: &Prefilter) -> Option<String> {
    filter_pattern(prefilter)
}

#[test]
fn a_code_is_searched_for_as_number_and_as_text() {
    let alternatives = Prefilter::Or(vec![number(CODE, 403), text(USERNAME, "system:anonymous")]);
    let expected = "{ ($.responseStatus.code = 403) || ($.responseStatus.code = \"403\") || ($.user.username = \"system:anonymous\") }";
    assert_eq!(pattern(&alternatives).as_deref(), Some(expected));
    let both = Prefilter::And(vec![text(CODE, "403"), text(VERB, "list")]);
    let expected = "{ (($.responseStatus.code = 403) || ($.responseStatus.code = \"403\")) && ($.verb = \"list\") }";
    assert_eq!(pattern(&both).as_deref(), Some(expected));
    assert_eq!(pattern(&text(VERB, "list")).as_deref(), Some("{ $.verb = \"list\" }"));
}

fn sources(addresses: &[&str]) -> Prefilter {
    Prefilter::Or(addresses.iter().map(|one| text(SOURCE_IPS, one)).collect())
}

fn network(network: &str) -> Prefilter {
    Prefilter::Is { field: SOURCE_IPS, literal: Literal::Network(network.parse().expect("a network")) }
}

/// The sender chooses how many addresses precede its own, and the service takes three wildcards.
#[test]
fn addresses_are_searched_for_in_every_entry_with_one_selector() {
    let let_in = |sources: Prefilter| Prefilter::And(vec![sources, number(CODE, 200)]);
    let code = "(($.responseStatus.code = 200) || ($.responseStatus.code = \"200\")) }";
    let expected = format!("{{ ($.sourceIPs[*] = \"203.0.113.7\") && {code}");
    assert_eq!(pattern(&let_in(sources(&["203.0.113.7"]))), Some(expected));
    let expected = format!("{{ ($.sourceIPs[*] = %^198.51.100.8$|^203.0.113.7$%) && {code}");
    assert_eq!(pattern(&let_in(sources(&["203.0.113.7", "198.51.100.8"]))), Some(expected));
    let both = Prefilter::Or(vec![text(SOURCE_IPS, "203.0.113.7"), network("2001:db8:7::/64")]);
    let expected = format!("{{ ($.sourceIPs[*] = %^2001.db8.7.|^203.0.113.7$%) && {code}");
    assert_eq!(pattern(&let_in(both)), Some(expected));
    assert_eq!(pattern(&network("2001:db8:7:8::/64")).as_deref(), Some("{ $.sourceIPs[*] = %^2001.db8.7.8.% }"));
    // Nothing of these texts is known, and this is not how the API server spells an address.
    assert_eq!(pattern(&network("::/64")), None);
    assert_eq!(pattern(&sources(&["::ffff:1.2.3.4"])).as_deref(), Some("{ $.sourceIPs[*] = \"::ffff:1.2.3.4\" }"));
}

/// Returns the filter of the follow-up of the shipped rule that follows addresses.
fn followed(sources: Vec<SourceIp>) -> Prefilter {
    let rules = stakeout_core::rule::load(&stakeout_core::shipped::rule_files()).expect("the shipped rules");
    let rule = rules.named("kubernetes-denied-then-let-in");
    let window = Window::new(Second(0), Second(60)).expect("not empty");
    let sources = sources.into_iter().map(|source| (source, vec![window])).collect();
    FollowUp { rule: rule.expect("one has").key, sources, failures: 0 }.prefilter(&rules)
}

/// The longest addresses and networks.
fn longest(count: u16) -> [Vec<SourceIp>; 2] {
    let address = |n| {
        SourceIp::V4(
            [200, 200 + u8::try_from(n / 100).expect("few"), 200, 100 + u8::try_from(n % 100).expect("few")].into(),
        )
    };
    let network = |n| SourceIp::V6Net(0x2001_1db8_1234_0000 | u64::from(0xf000 + n));
    [(0..count).map(address).collect(), (0..count).map(network).collect()]
}

#[test]
fn a_whole_follow_up_is_asked_for_exactly() {
    for sources in longest(u16::try_from(FOLLOW_UP_SOURCES_MAX).expect("few")) {
        let texts = sources.iter().map(|source| address::text_prefix(&source.network()).replace([':', '.'], "."));
        let pattern = pattern(&followed(sources.clone())).expect("a pattern");
        for text in texts {
            assert!(pattern.contains(&format!("^{text}")), "{text} is not in {pattern}");
        }
        for code in [101, 200, 201, 202] {
            assert!(pattern.contains(&format!("$.responseStatus.code = {code})")), "{pattern}");
        }
    }
}

#[test]
fn more_addresses_than_fit_are_asked_for_by_their_networks() {
    let v4 = |third: u8, fourth: u8| SourceIp::V4([200, 200, third, fourth].into());
    let v6 =
        |third: u8, fourth: u8| SourceIp::V6Net(0x2001_1db8_f000_f000 | (u64::from(third) << 16) | u64::from(fourth));
    let many = 100..200_u8;
    for (sources, expected) in [
        (many.clone().map(|n| v4(200, n)).collect(), "%^200.200.200.%"),
        (many.clone().map(|n| v4(n, 200)).collect(), "%^200.200.%"),
        (many.clone().map(|n| v6(200, n)).collect(), "%^2001.1db8.f0c8.%"),
        (many.map(|n| v6(n, 200)).collect(), "%^2001.1db8.%"),
    ] {
        let pattern = pattern(&followed(sources)).expect("a pattern");
        assert!(pattern.contains(expected) && pattern.contains("code = 200"), "{pattern}");
    }
    // Successes are most of a log: they are left out before the addresses are.
    let spread: Vec<SourceIp> = (0..85).map(|n| SourceIp::V4([200, 100 + n, 200, 200].into())).collect();
    let pattern = pattern(&followed(spread)).expect("a pattern");
    assert!(pattern.contains("^200.184.") && !pattern.contains("code"), "{pattern}");
}

/// Nobody in particular: what `unauthenticated: true` asks for.
#[test]
fn a_group_is_searched_for_beside_the_other_signs_of_no_login() {
    let nobody = Prefilter::Or(vec![
        text(USERNAME, "system:anonymous"),
        text(GROUPS, "system:unauthenticated"),
        number(CODE, 401),
    ]);
    let expected = "{ ($.user.username = \"system:anonymous\") || ($.user.groups[*] = \"system:unauthenticated\") || \
                ($.responseStatus.code = 401) || ($.responseStatus.code = \"401\") }";
    assert_eq!(pattern(&nobody).as_deref(), Some(expected));

    // Beside three alternatives of addresses there is no room for it, beside an alternative of four groups none for them.
    let networks =
        |n: usize| Prefilter::And(vec![network(&format!("2001:db8:7:{n}::/64")), text(VERB, &n.to_string())]);
    let two = Prefilter::Or((1..3).map(networks).collect());
    let group = text(GROUPS, "system:unauthenticated");
    let pushed = pattern(&Prefilter::And(vec![two.clone(), group.clone()])).expect("a pattern");
    assert!(pushed.contains("^2001.db8.7.2.") && pushed.contains("system:unauthenticated"), "{pushed}");
    let three = Prefilter::Or((1..4).map(networks).collect());
    let pushed = pattern(&Prefilter::And(vec![three, group])).expect("a pattern");
    assert!(!pushed.contains("sourceIPs") && pushed.contains("system:unauthenticated"), "{pushed}");
    let groups = Prefilter::Or(["a", "b", "c", "d"].map(|one| text(GROUPS, one)).to_vec());
    assert_eq!(pattern(&Prefilter::And(vec![two.clone(), groups])), pattern(&two));
}

#[test]
fn what_cannot_be_expressed_is_left_out() {
    let unpushable = [
        uncased(USERNAME, "system:anonymous"),
        number(SOURCE_IPS, 7),
        number(GROUPS, 7),
        Prefilter::Or(["a", "b", "c", "d"].map(|one| text(SOURCE_IPS, one)).to_vec()),
        network("::/64"),
        text(Field::Named("source_ip"), "203.0.113.7"),
        text(Field::Named("unauthenticated"), "true"),
        text(Field::Annotation("authorization.k8s.io/decision".to_owned()), "forbid"),
        text(USERNAME, "sys*"),
        text(USERNAME, "%sys%"),
        text(USERNAME, "jürgen"),
        text(USERNAME, "a\nb"),
        text(USERNAME, ""),
        text(CODE, "ALLOW"),
        Prefilter::Any,
    ];
    for part in unpushable {
        assert_eq!(pattern(&part), None, "{part:?}");
        let beside_another = Prefilter::Or(vec![number(CODE, 403), Prefilter::And(vec![part.clone()])]);
        assert_eq!(pattern(&beside_another), None, "{part:?}");
        let with_another = Prefilter::And(vec![part, text(VERB, "list")]);
        assert_eq!(pattern(&with_another), pattern(&text(VERB, "list")));
    }
}

#[test]
fn a_prefilter_that_fits_nothing_is_ignored() {
    let nothing = Prefilter::Or(vec![]);
    assert_eq!(pattern(&nothing), None);
    assert_eq!(pattern(&Prefilter::And(vec![nothing.clone()])), None);
    assert_eq!(pattern(&Prefilter::Or(vec![nothing, text(VERB, "list")])), pattern(&text(VERB, "list")));
}

#[test]
fn quotes_and_backslashes_are_escaped() {
    assert_eq!(pattern(&text(USERNAME, r#"a"\b) || ("#)).as_deref(), Some(r#"{ $.user.username = "a\"\\b) || (" }"#));
}

#[test]
fn a_part_that_another_includes_is_left_out() {
    let narrower = Prefilter::And(vec![number(CODE, 403), text(VERB, "list")]);
    assert_eq!(pattern(&Prefilter::Or(vec![narrower, number(CODE, 403)])), pattern(&number(CODE, 403)));
}

#[test]
fn a_pattern_that_is_too_long_becomes_weaker_and_keeps_what_is_rare() {
    let user = |n: usize| text(USERNAME, &format!("system:serviceaccount:{n:080}"));
    let listed = |n: usize| Prefilter::And(vec![user(n), text(VERB, "list")]);
    let long = |n: usize| {
        Prefilter::And(vec![user(n), text(VERB, "list"), text(Field::Named("requestURI"), &format!("/{n:0300}"))])
    };
    let alternatives = |of: &dyn Fn(usize) -> Prefilter, n: usize| Prefilter::Or((0..n).map(of).collect());

    let one_uri_fits = Prefilter::Or(vec![listed(0), listed(1), long(2)]);
    assert_eq!(pattern(&alternatives(&long, 3)), pattern(&one_uri_fits));
    assert_eq!(pattern(&alternatives(&long, 7)), pattern(&alternatives(&user, 7)));
    assert_eq!(pattern(&alternatives(&user, 40)), None);
}

/// The value of a field in an event of one level.
#[derive(Clone, Debug, PartialEq)]
enum FieldValue {
    Number(i64),
    Text(String),
}

type Event = BTreeMap<String, FieldValue>;

/// Returns whether an event fits a prefilter, as generously as any rule could mean it.
fn fits(prefilter: &Prefilter, event: &Event) -> bool {
    match prefilter {
        Prefilter::Any => true,
        Prefilter::Or(parts) => parts.iter().any(|part| fits(part, event)),
        Prefilter::And(parts) => parts.iter().all(|part| fits(part, event)),
        Prefilter::Is { field, literal } => event.get(&field.name()).is_some_and(|value| {
            let held = match value {
                FieldValue::Number(number) => number.to_string(),
                FieldValue::Text(text) => text.clone(),
            };
            match literal {
                Literal::Number(number) => held == number.to_string(),
                Literal::Text { text, cased: true } => held == *text,
                Literal::Text { text, cased: false } => held.to_lowercase() == text.to_lowercase(),
                Literal::Network(_) => literal.is(&held),
            }
        }),
    }
}

/// Reads a pattern from its text, and refuses all that the service's syntax does not have.
struct PatternReader<'a> {
    rest: &'a str,
    event: &'a Event,
    literals: Vec<String>,
}

impl PatternReader<'_> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn pattern(&mut self) -> bool {
        assert!(self.take("{"));
        let accepted = self.expression();
        assert!(self.take("}") && self.rest.is_empty(), "left over: {}", self.rest);
        accepted
    }

    fn expression(&mut self) -> bool {
        let mut accepted = self.operand();
        let is_or = self.rest.trim_start().starts_with("||");
        while self.take(if is_or { "||" } else { "&&" }) {
            let next = self.operand();
            accepted = if is_or { accepted || next } else { accepted && next };
        }
        accepted
    }

    fn operand(&mut self) -> bool {
        if self.take("(") {
            let accepted = self.expression();
            assert!(self.take(")"), "not closed: {}", self.rest);
            return accepted;
        }
        assert!(self.take("$."), "no selector: {}", self.rest);
        let (field, rest) = self.rest.split_once(" = ").expect("a comparison");
        self.rest = rest;
        let value = if self.take("\"") { FieldValue::Text(self.quoted()) } else { FieldValue::Number(self.number()) };
        // Every list of these tests holds one value.
        self.event.get(field.strip_suffix("[*]").unwrap_or(field)) == Some(&value)
    }

    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => {
                    self.rest = &self.rest[at + 1..];
                    self.literals.push(text.clone());
                    return text;
                }
                (_, '\\') => {
                    text.push(chars.next().map(|(_, c)| c).filter(|c| "\"\\".contains(*c)).expect("an escape"));
                }
                (_, c) => text.push(c),
            }
        }
    }

    fn number(&mut self) -> i64 {
        let end = self.rest.find([' ', ')']).expect("an end");
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.parse().expect("a number")
    }
}

fn leaves(prefilter: &Prefilter) -> Vec<(&Field, &Literal)> {
    match prefilter {
        Prefilter::Any => Vec::new(),
        Prefilter::Is { field, literal } => vec![(field, literal)],
        Prefilter::Or(parts) | Prefilter::And(parts) => parts.iter().flat_map(leaves).collect(),
    }
}

/// Returns an event that holds some of a prefilter's own literals, each in one of the ways that an event may hold it.
fn event_of(prefilter: &Prefilter, choices: &[u8]) -> Event {
    let mut event = Event::new();
    for ((field, literal), choice) in leaves(prefilter).into_iter().zip(choices) {
        let text = match literal {
            Literal::Number(number) => number.to_string(),
            Literal::Text { text, .. } => text.clone(),
            Literal::Network(network) => network.addr().to_string(),
        };
        let value = match choice % 4 {
            0 => continue,
            1 => text.parse().map_or(FieldValue::Text(text), FieldValue::Number),
            2 => FieldValue::Text(text),
            _ => FieldValue::Text(text.to_uppercase()),
        };
        // The API server writes texts everywhere but in the code.
        let value = match value {
            FieldValue::Number(number) if *field != CODE => FieldValue::Text(number.to_string()),
            value => value,
        };
        event.insert(field.name(), value);
    }
    event
}

/// Returns what a comparison of the service sees of an event: no derived field.
fn recorded(event: &Event) -> Event {
    let mut recorded = event.clone();
    recorded.retain(|name, _| name != "source_ip");
    recorded
}

fn any_prefilter() -> impl Strategy<Value = Prefilter> {
    let field = prop_oneof![
        4 => Just(CODE),
        4 => Just(USERNAME),
        4 => Just(VERB),
        2 => Just(Field::Named("userAgent")),
        1 => Just(GROUPS),
        1 => Just(Field::Named("source_ip")),
        1 => Just(Field::Annotation("plain".to_owned())),
        1 => Just(Field::Annotation("pod-security.kubernetes.io/audit\" || (".to_owned())),
    ];
    let words = prop_oneof![
        "[a-c]{1,3}",
        "[ -~]{0,12}",
        "\\PC{0,8}",
        Just("403".to_owned()),
        Just("\\\" || ($.verb = \"*\") } {".to_owned()),
        Just("\\".to_owned()),
        "/[a-z0-9/]{200,400}",
    ];
    let literal = prop_oneof![
        1 => prop_oneof![Just(403), Just(401), any::<i64>()].prop_map(Literal::Number),
        3 => (words, prop::bool::weighted(0.8)).prop_map(|(text, cased)| Literal::Text { text, cased }),
    ];
    let leaf = prop_oneof![
        9 => (field, literal).prop_map(|(field, literal)| Prefilter::Is { field, literal }),
        1 => Just(Prefilter::Any),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Prefilter::Or),
            prop::collection::vec(inner, 0..5).prop_map(Prefilter::And),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn a_pattern_accepts_whatever_its_prefilter_accepts(
        (prefilter, choices) in any_prefilter().prop_flat_map(|prefilter| {
            let leaves = leaves(&prefilter).len();
            (Just(prefilter), prop::collection::vec(any::<u8>(), leaves))
        }),
    ) {
        let Some(pattern) = filter_pattern(&prefilter) else { return Ok(()) };
        let event = event_of(&prefilter, &choices);
        let recorded = recorded(&event);
        let mut reader = PatternReader { rest: &pattern, event: &recorded, literals: Vec::new() };
        let is_accepted = reader.pattern();
        prop_assert!(is_accepted || !fits(&prefilter, &event), "{pattern} refuses {event:?}");

        prop_assert!(pattern.len() <= PATTERN_CHARS_MAX && !pattern.replace("[*] = ", "").contains(['*', '%']) && pattern.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let own: Vec<String> = leaves(&prefilter).into_iter().map(|(_, literal)| match literal {
            Literal::Number(number) => number.to_string(),
            Literal::Text { text, .. } => text.parse::<i64>().map_or(text.clone(), |number| number.to_string()),
            Literal::Network(network) => network.to_string(),
        }).collect();
        for literal in reader.literals {
            let canonical = literal.parse::<i64>().map_or(literal, |number| number.to_string());
            prop_assert!(own.contains(&canonical), "{canonical} comes from nowhere");
        }
    }
}

/// What alternatives have in common is expected once, so that there is room for all that narrows them.
#[test]
fn the_shipped_rules_fit_into_a_pattern_whole() {
    let rules = stakeout_core::rule::load(&stakeout_core::shipped::rule_files()).expect("the shipped rules");
    let expected = "{ ((($.responseStatus.code = 200) || ($.responseStatus.code = \"200\")) && ($.verb = \"list\") && \
                    ($.objectRef.resource = \"secrets\")) || ($.responseStatus.code = 403) || ($.responseStatus.code = \"403\") || \
                    ($.responseStatus.code = 401) || ($.responseStatus.code = \"401\") || ($.user.username = \"system:anonymous\") || \
                    ($.impersonatedUser.username = \"system:admin\") || ($.impersonatedUser.username = \"system:apiserver\") || \
                    ($.impersonatedUser.username = \"system:kube-controller-manager\") || \
                    ($.impersonatedUser.username = \"system:kube-scheduler\") || ($.impersonatedUser.username = \"system:masters\") || \
                    ($.user.groups[*] = \"system:unauthenticated\") || (($.verb = \"create\") && \
                    (($.objectRef.resource = \"selfsubjectaccessreviews\") || ($.objectRef.resource = \"selfsubjectrulesreviews\"))) || \
                    ((($.responseStatus.code = 404) || ($.responseStatus.code = \"404\")) && ($.verb = \"get\") && \
                    ($.objectRef.resource = \"secrets\")) }";
    assert_eq!(filter_pattern(&rules.prefilter()).as_deref(), Some(expected));
}

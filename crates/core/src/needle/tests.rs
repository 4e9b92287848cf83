//! Needles that must be found, and records that must not be skipped.

use super::*;
use crate::decode::decode;
use crate::event::AuditEvent;
use crate::field::Field;
use crate::prefilter::Literal;
use crate::{rule, shipped};
use proptest::prelude::*;

fn is(field: &'static str, literal: Literal) -> Prefilter {
    Prefilter::Is { field: Field::Named(field), literal }
}

fn text(text: &str, cased: bool) -> Literal {
    Literal::Text { text: text.to_owned(), cased }
}

fn refused_or_anonymous() -> Prefilter {
    Prefilter::Or(vec![
        is("responseStatus.code", Literal::Number(403)),
        is("user.username", text("system:anonymous", true)),
    ])
}

fn needles(prefilter: &Prefilter) -> Needles {
    Needles::of(prefilter, Spelling::Native).expect("needles")
}

fn texts(prefilter: &Prefilter) -> Vec<String> {
    let Needles { parts, others, .. } = needles(prefilter);
    let others = others.into_iter().map(|needle| needle.text);
    others.chain(parts).collect()
}

fn hits(prefilter: &Prefilter, line: &str) -> bool {
    needles(prefilter).occur_in(line.as_bytes())
}

#[test]
fn the_shipped_rules_have_needles() {
    let files = shipped::rule_files();
    let all = rule::load(&files).expect("shipped rules load");
    assert!(Needles::of(&all.prefilter(), Spelling::Native).is_some());
    let seeds: Vec<_> = files.into_iter().filter(|file| !file.name.contains('/')).collect();
    let seeds = rule::load(&seeds).expect("the seeds load");
    assert_eq!(texts(&seeds.prefilter()), ["403", "system:anonymous"]);
}

#[test]
fn who_is_impersonated_is_found_by_the_key_where_keys_are_known() {
    let masters = is("impersonatedUser.groups", text("system:masters", true));
    assert_eq!(texts(&masters), ["impersonatedUser"]);
    assert!(!hits(&masters, r#"{"user":{"groups":["system:masters"]}}"#));
    assert!(hits(&masters, r#"{"impersonatedUser":{"groups":["system:masters"]}}"#));
    let wrapped = Needles::of(&masters, Spelling::Wrapped).expect("needles");
    assert!(wrapped.occur_in(br#"{"impersonated_user_groups":"system:masters"}"#));
}

#[test]
fn only_the_addresses_of_the_filter_are_found() {
    let ok = is("responseStatus.code", Literal::Number(200));
    let address = |n: usize| format!("{}.{}.{}.{}", n % 223 + 1, n / 223 % 7, n * 31 % 256, n * 7 % 256);
    let sources: Vec<String> = (0..6_000).step_by(2).map(address).collect();
    let from = Prefilter::Or(sources.iter().map(|source| is("sourceIPs", text(source, true))).collect());
    let needles = needles(&Prefilter::And(vec![ok, from]));
    assert!(needles.parts.is_sorted() && needles.others.is_empty());
    for n in 0..6_000 {
        let line = format!(r#"{{"auditID":"1.1.2","sourceIPs":["10.0.0.1","{}"],"verb":"get"}}"#, address(n));
        // An address may begin with another.
        let is_present = sources.iter().any(|source| line.contains(source));
        assert_eq!(needles.occur_in(line.as_bytes()), is_present, "{line}");
    }
}

#[test]
fn the_rarest_of_several_required_values_is_searched() {
    let code = || is("responseStatus.code", Literal::Number(403));
    let listed = Prefilter::And(vec![is("verb", text("list", true)), is("user.username", text("eve", true))]);
    assert_eq!(texts(&listed), ["eve"]);
    let either = Prefilter::Or(vec![Prefilter::And(vec![is("user.username", text("eve", true)), code()]), code()]);
    assert_eq!(texts(&either), ["403"], "one needle serves both");
    let reviews = is("objectRef.resource", text("selfsubjectaccessreviews", true));
    let asked = Prefilter::And(vec![is("verb", text("create", true)), reviews]);
    assert_eq!(texts(&asked), ["selfsubjectaccessreviews"]);
    let path = is("requestURI", text("/api/v1/namespaces", true));
    assert_eq!(texts(&path), ["namespaces"]);
    for none in [Prefilter::Any, Prefilter::Or(vec![code(), Prefilter::Any]), is("verb", text("äöü", true))] {
        assert!(Needles::of(&none, Spelling::Native).is_none(), "{none:?}");
    }
    assert!(Needles::of(&is("userAgent", text("ﬀäö kube", false)), Spelling::Native).is_none(), "case beyond ASCII");
}

#[test]
fn a_code_is_found_in_every_spelling() {
    let code = is("responseStatus.code", Literal::Number(403));
    for spelled in ["403", "403.0", "\"403\"", "\"0403\"", " 403 ", "\"\\u00340\\u0033\"", "\"4\\u003033\""] {
        assert!(hits(&code, &format!(r#"{{"responseStatus":{{"code":{spelled}}}}}"#)), "{spelled}");
    }
    for other in ["4031", "1403", "40.3", "\"a403b\"", "200"] {
        assert!(!hits(&code, &format!(r#"{{"responseStatus":{{"code":{other}}}}}"#)), "{other}");
    }
}

#[test]
fn a_text_needle_matches_whole_values() {
    let anonymous = is("user.username", text("system:anonymous", true));
    assert!(hits(&anonymous, r#"{"username" : "system:anonymous"}"#));
    assert!(hits(&anonymous, r#"{"username":"system\u003Aanonymous"}"#));
    assert!(!hits(&anonymous, r#"{"username":"system:anonymous2","uri":"/?a=1\u0026b=\u003c"}"#));
    let case_insensitive = is("userAgent", text("kube-hunter", false));
    assert!(hits(&case_insensitive, r#"{"userAgent":"KUBE-Hunter"}"#));
    assert!(hits(&case_insensitive, "{\"userAgent\":\"\u{212a}ube-hunter\"}"));
    assert!(hits(&case_insensitive, r#"{"userAgent":"\u212aube-hunter"}"#));
    assert!(!hits(&case_insensitive, r#"{"userAgent":"kube-hunted"}"#));
}

#[test]
fn a_search_goes_on_after_a_false_candidate() {
    let needles = needles(&refused_or_anonymous());
    let line = br#"{"a":"x403x403","b":"\u0026\u003c","c":403}"#;
    let mut next = NextCandidates::default();
    assert_eq!(needles.find(line, 0, &mut next), Some(line.len() - 4));
    assert_eq!(needles.find(line, 4, &mut next), Some(line.len() - 4));
    assert_eq!(needles.find(line, line.len() - 3, &mut next), None);
}

#[test]
fn sources_that_begin_alike_are_distinguished() {
    let sources = |numbers: std::ops::Range<u8>| {
        Prefilter::Or(numbers.map(|number| is("sourceIPs", text(&format!("91.10.0.{number}"), true))).collect())
    };
    for many in [8, 200] {
        let followed = Prefilter::And(vec![sources(0..many), is("responseStatus.code", Literal::Number(200))]);
        let is_address = |needle: &String| needle.starts_with("91.10.0.");
        assert!(texts(&followed).iter().all(is_address), "values of most records are not searched");
        assert!(hits(&followed, r#"{"sourceIPs":["91.10.9.9","::ffff:91.10.0.7"]}"#));
        assert!(!hits(&followed, r#"{"sourceIPs":["91.10.9.9"],"responseStatus":{"code":200}}"#));
    }
}

/// Returns `value` as a JSON text in which some letters are escapes.
fn spelled(value: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec(0..6_u8, value.len()).prop_map(move |how| {
        let letter = |(c, how): (char, u8)| match how {
            0 => format!("\\u{:04x}", u32::from(c)),
            1 => format!("\\u{:04X}", u32::from(c)),
            _ => c.to_string(),
        };
        format!("\"{}\"", value.chars().zip(how).map(letter).collect::<String>())
    })
}

/// Returns a value that is a needle, resembles one, or is something else.
fn value() -> impl Strategy<Value = String> {
    const NUMBERS: &[&str] =
        &["403", "403.0", "403.00", "4.03e2", "-403", "1403", "4031", "200", "null", "[403]", "{\"code\":403}"];
    const TEXTS: &[&str] =
        &["403", "0403", "4031", "system:anonymous", "system:anonymous:x", "System:Anonymous", "list", "x"];
    prop_oneof![
        2 => proptest::sample::select(NUMBERS).prop_map(str::to_owned),
        3 => proptest::sample::select(TEXTS).prop_flat_map(spelled),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let space = || proptest::sample::select(&["", "", " ", "\t", "  "][..]);
    let member = |key: &'static str| {
        (spelled(key), space(), space(), value())
            .prop_map(|(key, before, after, value)| format!("{key}{before}:{after}{value}"))
    };
    let object = move |key: &'static str, inner: &'static str| {
        (spelled(key), member(inner)).prop_map(|(key, inner)| format!("{key}:{{{inner}}}"))
    };
    let known = prop_oneof![
        member("verb").boxed(),
        member("auditID").boxed(),
        member("requestURI").boxed(),
        object("user", "username").boxed(),
        object("responseStatus", "code").boxed(),
        object("requestObject", "code").boxed(),
    ];
    (proptest::collection::vec(known, 1..8), 0..400_usize).prop_map(|(members, cut)| {
        let line = format!("{{\"stage\":\"Panic\",{}}}", members.join(","));
        let end = line.len().saturating_sub(cut.saturating_sub(300));
        line.get(..end).unwrap_or(&line).to_owned()
    })
}

fn matches(event: &AuditEvent) -> bool {
    event.response_code == Some(403) || event.username.as_deref() == Some("system:anonymous")
}

fn lower(event: &AuditEvent) -> bool {
    event.username.as_deref().is_some_and(|name| name.to_lowercase() == "system:anonymous")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_skipped_record_matches_nothing(line in line()) {
        let Ok(decoded) = decode(line.as_bytes()) else { return Ok(()) };
        if matches(&decoded.event) {
            prop_assert!(hits(&refused_or_anonymous(), &line));
        }
        if lower(&decoded.event) {
            prop_assert!(hits(&is("user.username", text("system:anonymous", false)), &line));
        }
        // The same inside a text of another document, wrapped once and twice.
        let mut wrapped = line.clone();
        for _ in 0..2 {
            wrapped = serde_json::json!({ "message": wrapped }).to_string().replace("\\\"", "\\u0022");
            let needles = Needles::of(&refused_or_anonymous(), Spelling::Wrapped).expect("needles");
            prop_assert!(!matches(&decoded.event) || needles.occur_in(wrapped.as_bytes()));
        }
    }
}

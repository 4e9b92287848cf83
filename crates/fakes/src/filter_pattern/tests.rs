//! Patterns as the documentation has them, what they fit, and what is refused and as what.

use proptest::prelude::*;

use super::*;

/// An event in the shape that AWS' pages use for their examples.
const TRAIL: &str = r#"{
    "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111",
    "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
    "SomeObject": null, "cluster.name": "c", "flag": true, "off": false,
    "user": {"id": 1, "email": "John.Stiles@example.com", "groups": ["system:unauthenticated"]},
    "users": [{"id": 2, "email": "John.Doe@example.com"}],
    "actions": ["GET", "PUT", "DELETE"], "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
    "bandwidth": 80, "latency": 49.5, "errorCode": 400, "tiny": 0.001, "text403": "403"
}"#;

fn fits(pattern: &str) -> bool {
    FilterPattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).fits(TRAIL)
}

#[test]
fn documented_patterns_fit() {
    for pattern in [
        "",
        "   ",
        r#"{ $.eventType = "UpdateTrail" }"#,
        "{$.eventType=UpdateTrail}",
        r#"{ $.eventType = "Update*" }"#,
        "{ $.sourceIPAddress != 123.123.* }",
        "{ $.sourceIPAddress = 111.111.* }",
        r#"{ $.arrayKey[0] = "value" }"#,
        r#"{ $.arrayKey[*] = "another value" }"#,
        "{ $.objectList[1].id = 2 }",
        "{ $.objectList[*].id = 2 }",
        "{ $.SomeObject IS NULL }",
        "{ $.SomeOtherObject NOT EXISTS }",
        "{ $.SomeObject EXISTS }",
        "{ $.flag IS TRUE }",
        "{ $.off IS FALSE }",
        "{ $.bandwidth > 75 }",
        "{ $.latency < 50 }",
        "{ $.bandwidth >= 80 }",
        "{ $.bandwidth <= 80 }",
        "{ $.errorCode = 400 }",
        "{ $.errorCode != 500 }",
        "{ $.tiny = 1e-3 }",
        "{ $.tiny != 1e+3 }",
        r#"{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }"#,
        r#"{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch" && $.actions[2] = "nonmatch" }"#,
        r#"{ $.user.* = "John.*" }"#,
        r#"{ $.user.groups[0] = "system:unauthenticated" }"#,
        "{ $.eventType = %Trail% }",
        "{ $.eventType != %trail% }",
        r"{ $.sourceIPAddress = %^111\.111\.11[0-9]% }",
        "{ $.arrayKey[*] = %^another.value$|^nothing$% }",
        "{ ($.eventType = %^Up%) && ($.user.email = %.com$%) }",
    ] {
        assert!(fits(pattern), "{pattern}");
    }
}

#[test]
fn patterns_that_do_not_fit() {
    for pattern in [
        r#"{ $.eventType = "updatetrail" }"#,
        r#"{ $.eventType = "Trail" }"#,
        "{ $.SomeOtherObject IS NULL }",
        "{ $.SomeObject NOT EXISTS }",
        "{ $.absent != 1 }",
        "{ $.SomeObject != 1 }",
        "{ $.text403 = 403 }",
        r#"{ $.errorCode = "400" }"#,
        "{ $.text403 > 1 }",
        "{ $.flag = true }",
        "{ $.user = 1 }",
        "{ $.eventType = %^Trail% }",
        "{ $.errorCode = %400% }",
        "{ $.errorCode != %500% }",
        "{ $.absent = %.*% }",
        r#"{ $.arrayKey = "value" }"#,
        "{ $.arrayKey[7] EXISTS }",
        r#"{ ($.user.email = "John.Stiles@example.com" || $.errorCode = 1) && $.actions[2] = "nonmatch" }"#,
    ] {
        assert!(!fits(pattern), "{pattern}");
    }
}

#[test]
fn malformed_patterns_are_refused() {
    for pattern in [
        "{",
        "{}",
        "{ }",
        "{ $ }",
        "{ $.a }",
        "{ $.a = }",
        "{ $.a == 1 }",
        "{ $.a = 1",
        "{ $.a = 1 } x",
        "{ .a = 1 }",
        "{ $.a = \"x }",
        "{ $.a = \"\\x\" }",
        "{ $.a > \"x\" }",
        "{ $.a < word }",
        "{ ($.a = 1 }",
        "{ $.a = 1) }",
        "{ $.a = 1 && }",
        "{ $.a = 1 & $.b = 1 }",
        "{ $.a[x] = 1 }",
        "{ $.a[-1] = 1 }",
        "{ $.a[0 = 1 }",
        "{ $[0] = 1 }",
        "{ $.a IS }",
        "{ $.a IS nothing }",
        "{ $.a is null }",
        "{ $.a NOT }",
        "{ $.a..b = 1 }",
        "{ $.a/b = 1 }",
        "{ $.a = system:anonymous }",
        "{ $.a[*].b[*] = 1 }",
        "{ $.a EXISTS EXISTS }",
        "{ $.a = 1 $.b = 1 }",
        "{ $.a[*]=1 && $.b[*]=1 && $.c[*]=1 && $.d[*]=1 }",
        "{ $.a = %% }",
        "{ $.a = %x }",
        "{ $.a = %(x)% }",
        "{ $.a = %a:b% }",
        "{ $.a = %a b% }",
        "{ $.a = %[% }",
        "{ $.a < %x% }",
        "{ $.a = %x% && $.b = %x% && $.c = %x% }",
    ] {
        let parsed = FilterPattern::parse(pattern);
        assert!(matches!(parsed, Err(PatternError::Malformed { .. })), "{pattern}: {parsed:?}");
    }
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(400), ")".repeat(400));
    assert!(FilterPattern::parse(&deep).is_err());
    let long = format!("{{ $.a = \"{}\" }}", "x".repeat(PATTERN_CHARS_MAX));
    assert!(FilterPattern::parse(&long).is_err());
}

#[test]
fn unsupported_patterns_are_refused_as_such() {
    for pattern in [
        "ERROR",
        "\"\"",
        "ERROR \"403\"",
        "\"403\" ERROR",
        "\"403\" \"ERROR\"",
        "\"403\"\"ERROR\"",
        "\"403\" -\"ERROR\"",
        "-\"403\"",
        "?\"403\"",
        "[ip, user]",
        "%40[13]%",
        "?ERROR ?WARN",
    ] {
        let parsed = FilterPattern::parse(pattern);
        assert!(matches!(parsed, Err(PatternError::Unsupported(_))), "{pattern}: {parsed:?}");
    }
}

#[test]
fn a_phrase_fits_anywhere() {
    let cut = r#"{"verb":"list","requestObject":{"a":"b\\c[Truncated...]"#;
    for (pattern, fits) in [
        (r#""[Truncated...]""#, true),
        (r#" "[Truncated...]" "#, true),
        (r#""[truncated...]""#, false),
        (r#""[Truncated....]""#, false),
        (r#""\"verb\":\"list\",""#, true),
        (r#""b\\\\c""#, true),
        (r#""b\\c""#, false),
        (r#""verb" "list""#, false),
        (r#""ver*""#, false),
        (r#""st\",\"req""#, true),
    ] {
        let parsed = FilterPattern::parse(pattern);
        let found = parsed.as_ref().is_ok_and(|pattern| pattern.fits(cut));
        assert_eq!(found, fits, "{pattern}: {parsed:?}");
    }
    let phrase = FilterPattern::parse(r#""[Truncated...]""#).expect("well formed");
    assert!(phrase.fits(r#"{"userAgent":"[Truncated...]"}"#), "whole events are text too");
    assert!(!phrase.fits(TRAIL));
}

#[test]
fn malformed_phrases_are_refused() {
    for pattern in ["\"", "\"a", "\"a\\\"", "\"a\\n\"", "\"a\\"] {
        let parsed = FilterPattern::parse(pattern);
        assert!(matches!(parsed, Err(PatternError::Malformed { .. })), "{pattern}: {parsed:?}");
    }
}

#[test]
fn only_whole_json_objects_fit() {
    let pattern = FilterPattern::parse("{ $.code != 1 }").expect("well formed");
    assert!(pattern.fits(r#" {"code": 2} "#));
    for message in ["", "2", "[2]", "plain text", r#"{"code": 2, "user": {"na[Truncated...]"#, r#"{"code": 2} x"#] {
        assert!(!pattern.fits(message), "{message}");
        assert!(FilterPattern::parse("").expect("well formed").fits(message));
    }
}

#[test]
fn a_star_spans_any_run() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("a*", "a", true),
        ("*a", "ba", true),
        ("a*a", "a", false),
        ("a*b*c", "a-b-b-c", true),
        ("a**c", "abc", true),
        ("*/pods", "/api/v1/pods", true),
        ("*/pods", "/api/v1/pods/x", false),
    ] {
        assert_eq!(wildcard_fits(pattern, text), expected, "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(pattern in ".{0,80}", message in ".{0,80}") {
        if let Ok(pattern) = FilterPattern::parse(&pattern) {
            let _ = pattern.fits(&message);
        }
    }

    #[test]
    fn no_run_of_tokens_makes_it_panic_and_what_parses_prints_itself(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "(", ")", "$.a", "$.b.c", "$.d[0]", "$.e[*]", "$.f.*", "=", "!=", "<", ">=", "&&", "||", "403", "1e3",
            "\"x*\"", "\"\\\"\"", "%^x.$|y%", "word", "IS", "NULL", "TRUE", "NOT", "EXISTS", " ",
        ]), 0..16),
    ) {
        check_round_trip(&tokens.concat())?;
        check_round_trip(&format!("{{ {} }}", tokens.join(" ")))?;
    }

    #[test]
    fn a_phrase_is_found_in_a_text_that_contains_it(before in ".{0,20}", phrase in ".{1,20}", after in ".{0,20}") {
        let pattern = FilterPattern(PatternKind::Phrase(phrase.clone())).to_string();
        let parsed = FilterPattern::parse(&pattern).expect("printed by us");
        let message = format!("{before}{phrase}{after}");
        prop_assert!(parsed.fits(&message));
        check_round_trip(&pattern)?;
    }

    #[test]
    fn generated_patterns_print_themselves(pattern in expression(3)) {
        prop_assert!(FilterPattern::parse(&format!("{{ {pattern} }}")).is_ok(), "{}", pattern);
        check_round_trip(&format!("{{ {pattern} }}"))?;
    }
}

fn check_round_trip(text: &str) -> Result<(), TestCaseError> {
    if let Ok(pattern) = FilterPattern::parse(text) {
        let printed = pattern.to_string();
        prop_assert_eq!(FilterPattern::parse(&printed), Ok(pattern), "{} printed as {}", text, printed);
    }
    Ok(())
}

fn expression(depth: u32) -> impl Strategy<Value = String> {
    let test =
        ("[a-z]{1,4}", prop::sample::select(vec!["= 403", "!= \"a b*\"", "< 5", "IS NULL", "NOT EXISTS", "EXISTS"]))
            .prop_map(|(name, check)| format!("$.{name} {check}"));
    test.prop_recursive(depth, 12, 3, |inner| {
        (prop::collection::vec(inner, 1..4), prop::sample::select(vec![" && ", " || "]))
            .prop_map(|(parts, between)| parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(between))
    })
}

//! Patterns as the documentation has them, what they fit, and what is refused and as what.

use proptest::prelude::*;

use super::*;

/// An event in the shape that AWS' pages use for their examples.
const TRAIL: &str = r#"{
    "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111",
    "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
    "SomeObject": null, "flag": true,
    "user": {"id": 1, "email": "John.Stiles@example.com", "groups": ["system:unauthenticated"]},
    "latency": 49.5, "errorCode": 400, "text403": "403"
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
        r#"{$.eventType="UpdateTrail"}"#,
        r#"{ $.arrayKey[*] = "another value" }"#,
        "{ $.objectList[*].id = 2 }",
        "{ $.errorCode = 400 }",
        r#"{ ($.user.id = 1) && ($.user.email = "John.Stiles@example.com") }"#,
        r#"{ $.user.email = "John.Stiles@example.com" || $.errorCode = 1 && $.eventType = "nonmatch" }"#,
        "{ $.eventType = %Trail% }",
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
        "{ $.absent = 1 }",
        "{ $.SomeObject = 0 }",
        "{ $.text403 = 403 }",
        r#"{ $.errorCode = "400" }"#,
        r#"{ $.flag = "true" }"#,
        "{ $.user = 1 }",
        "{ $.eventType = %^Trail% }",
        "{ $.errorCode = %400% }",
        "{ $.absent = %.*% }",
        r#"{ $.arrayKey = "value" }"#,
        r#"{ ($.user.email = "John.Stiles@example.com" || $.errorCode = 1) && $.eventType = "nonmatch" }"#,
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
        "{ ($.a = 1 }",
        "{ $.a = 1) }",
        "{ $.a = 1 && }",
        "{ $.a = 1 & $.b = 1 }",
        "{ $.a[x] = 1 }",
        "{ $.a[-1] = 1 }",
        "{ $.a[* = 1 }",
        "{ $[*] = 1 }",
        "{ $.a is null }",
        "{ $.a..b = 1 }",
        "{ $.a/b = 1 }",
        "{ $.a[*].b[*] = 1 }",
        "{ $.a = 1 $.b = 1 }",
        "{ $.a[*]=1 && $.b[*]=1 && $.c[*]=1 && $.d[*]=1 }",
        "{ $.a = %% }",
        "{ $.a = %x }",
        "{ $.a = %(x)% }",
        "{ $.a = %a:b% }",
        "{ $.a = %a b% }",
        "{ $.a = %[% }",
        "{ $.a = %x% && $.b = %x% && $.c = %x% }",
        "\"",
        "\"a",
        "\"a\\\"",
        "\"a\\n\"",
    ] {
        let parsed = FilterPattern::parse(pattern);
        assert!(matches!(parsed, Err(PatternError::Malformed { .. })), "{pattern}: {parsed:?}");
    }
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(400), ")".repeat(400));
    assert!(FilterPattern::parse(&deep).is_err());
    let long = format!("{{ $.a = \"{}\" }}", "x".repeat(PATTERN_CHARS_MAX));
    assert!(FilterPattern::parse(&long).is_err());
}

/// What the cloud takes and Stakeout never sends.
#[test]
fn unsupported_patterns_are_refused_as_such() {
    for pattern in [
        "{ $.a != 1 }",
        "{ $.a < 1 }",
        "{ $.a >= 1 }",
        "{ $.a IS NULL }",
        "{ $.a NOT EXISTS }",
        "{ $.a EXISTS }",
        "{ $.a[0] = 1 }",
        "{ $.a.* = 1 }",
        "{ $.a = \"x*\" }",
        "{ $.a = word }",
        "{ $.a = system:anonymous }",
        "{ $.a = 1.5 }",
        "{ $.a = 1e3 }",
        "ERROR",
        "\"\"",
        "ERROR \"403\"",
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
fn only_whole_json_objects_fit() {
    let pattern = FilterPattern::parse("{ $.code = 2 }").expect("well formed");
    assert!(pattern.fits(r#" {"code": 2} "#));
    for message in ["", "2", "[2]", "plain text", r#"{"code": 2, "user": {"na[Truncated...]"#, r#"{"code": 2} x"#] {
        assert!(!pattern.fits(message), "{message}");
        assert!(FilterPattern::parse("").expect("well formed").fits(message));
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
    fn no_run_of_tokens_makes_it_panic(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "(", ")", "$.a", "$.b.c", "$.e[*]", "=", "!=", "&&", "||", "403", "1e3", "\"x\"", "\"\\\"\"", "%^x.$|y%",
            "word", "IS", " ",
        ]), 0..16),
    ) {
        for pattern in [tokens.concat(), format!("{{ {} }}", tokens.join(" "))] {
            if let Ok(pattern) = FilterPattern::parse(&pattern) {
                let _ = pattern.fits(TRAIL);
            }
        }
    }
}

//! That this reads what serde_json reads, to the byte, and what is told apart of it.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;

/// Returns the first value as serde_json delimits it.
fn by_serde_json(text: &str) -> Option<&[u8]> {
    let mut json = serde_json::Deserializer::from_str(text);
    <&RawValue>::deserialize(&mut json).ok().map(|raw| raw.get().as_bytes())
}

#[test]
fn the_edges_of_json_lie_where_serde_json_sees_them() {
    for text in [
        "",
        " ",
        "1",
        "-",
        "-0",
        "01",
        "1.",
        "1.0",
        ".5",
        "1e",
        "1e5",
        "1E+05",
        "1e-",
        "--1",
        "+1",
        "true",
        "tru",
        "truE",
        "null",
        "nul",
        "false",
        "\"",
        "\"a",
        "\"a\"",
        "\"\\\"",
        "\"\\\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\t\"",
        "\"\u{7f}\u{80}\"",
        "[",
        "[]",
        "[ ]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2",
        "[}",
        "{",
        "{}",
        "{ }",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" : 1 , \"b\":[{}]}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":\"\n\"}",
        "\n\r\t {}",
        "\u{b}{}",
        "{}x",
        "[[[]]]]",
    ] {
        assert_eq!(Reader::new(text.as_bytes()).skip().ok(), by_serde_json(text), "{text:?}");
    }
    assert_eq!(Reader::new(b"\"\xff\"").skip(), Ok(&b"\"\xff\""[..]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_passed_over_is_what_serde_json_passes_over(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\":", "{\"c\":", "1", "-0.5e3", "0", "null", "true", " ", "\n", "\\", "\\\"",
            "\\u00e9", "\\ud83d", "\u{1f600}", "\u{1}", "[[", "]]", "},{", "\"\"", "x",
        ]), 0..24),
    ) {
        // Most of what is made up so is no JSON: with its ends fixed it is more often.
        let text: String = parts.concat();
        for text in [text.clone(), format!("[{text}]"), format!("{{\"k\":{text}}}"), format!("[\"{text}\"]")] {
            prop_assert_eq!(Reader::new(text.as_bytes()).skip().ok(), by_serde_json(&text));
        }
    }

    #[test]
    fn a_text_is_read_as_serde_json_reads_it(text in any::<String>(), escapes in "(\\\\u[0-9a-fD]{4}|\\\\.|[a-z]){0,6}") {
        let plain = serde_json::to_string(&text).expect("a text");
        let escaped = format!("\"{escapes}\"");
        for quoted in [plain, escaped] {
            let expected = serde_json::from_str::<String>(&quoted).ok();
            let read = Reader::new(quoted.as_bytes()).text().ok().flatten().map(Cow::into_owned);
            prop_assert_eq!(read, expected);
        }
    }
}

#[test]
fn members_are_given_in_their_order_and_what_follows_is_not_lost() {
    let mut seen = Vec::new();
    let mut json = Reader::new(br#" { "a" : [1, "x", {"y":2}] , "\u0062":"c" } , "#);
    let read = json.object(|json, key| {
        let mut texts = Vec::new();
        let is_list = json.list(|json| {
            texts.push(json.text()?.map(Cow::into_owned));
            Ok(())
        })?;
        if !is_list {
            texts.push(json.text()?.map(Cow::into_owned));
        }
        seen.push((key.into_owned(), texts));
        Ok(())
    });
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(read, Ok(()));
    assert_eq!(seen, [("a".to_owned(), vec![None, text("x"), None]), ("b".to_owned(), vec![text("c")])]);
    assert_eq!(json.end(), Err(Fault));
}

#[test]
fn what_is_no_object_is_passed_over() {
    for text in ["null", "7", "[{}]", "\"x\""] {
        let mut json = Reader::new(text.as_bytes());
        assert_eq!(json.object(|_, _| Err(Fault)), Ok(()), "{text}");
        assert_eq!(json.end(), Ok(()));
    }
    assert_eq!(Reader::new(b"\"\xff\"").object(|_, _| Ok(())), Err(Fault));
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[{\"a\":".repeat(100_000) + "1" + &"}]".repeat(100_000);
    assert_eq!(Reader::new(deep.as_bytes()).skip(), Ok(deep.as_bytes()));
}

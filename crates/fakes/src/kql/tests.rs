//! Each operator and function by itself, the refusals, and arbitrary text.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Cell, Column, ColumnType, DateTime, KqlError, Query, Row};

fn columns() -> Vec<Column> {
    let column = |(name, kind): &(&str, ColumnType)| Column { name: (*name).to_owned(), kind: *kind };
    let all = [
        ("Time", ColumnType::DateTime),
        ("Text", ColumnType::String),
        ("Bag", ColumnType::Dynamic),
        ("Number", ColumnType::Long),
        ("Fact", ColumnType::Bool),
    ];
    all.iter().map(column).collect()
}

fn compile(query: &str) -> Result<Query, KqlError> {
    Query::compile(query, |table| (table == "T").then(columns))
}

/// Returns the error of a refused query.
fn refusal(query: &str) -> String {
    compile(query).expect_err(query).to_string()
}

fn row(text: &str, bag: Json) -> Row {
    let time = Cell::DateTime(DateTime::parse("2026-11-22T01:00:00.5Z").expect("is a time"));
    [time, Cell::text(text), Cell::dynamic(bag), Cell::Long(403), Cell::Bool(true)].into()
}

fn rows() -> Vec<Row> {
    vec![
        row("Foo-bar baz", json!({"a": {"b-c": [1, "two", null]}, "code": 403, "name": "it", "text": "{\"a\":1}"})),
        row("", Json::Null),
    ]
}

/// Returns the cells of the answer over the two rows.
fn cells(query: &str) -> Vec<Vec<Json>> {
    let query = compile(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    query.run(rows()).iter().map(|row| row.iter().map(Cell::to_cell).collect()).collect()
}

/// Returns an expression's value on the first row.
fn value(expression: &str) -> Json {
    cells(&format!("T | take 1 | extend X = {expression} | project X"))[0][0].clone()
}

#[test]
fn texts_are_tested_as_documented() {
    for (expression, expected) in [
        (r#""aBc" == "aBc""#, true),
        (r#""aBc" == "abc""#, false),
        (r#""abc" != "ABC""#, true),
        (r#""abc" =~ "ABC""#, true),
        (r#""FabriKam" contains "BRik""#, true),
        (r#""FabriKam" contains_cs "Kam""#, true),
        (r#""Fabrikam" endswith "Kam""#, true),
        (r#""Fabrikam" endswith "brik""#, false),
        (r#""North America" has "america""#, true),
        (r#""North America" has "amer""#, false),
        (r#""KustoExplorerQueryRun" has "Explorer""#, false),
        (r#""system:anonymous" has "system:anon""#, false),
        (r#""x system:anonymous/" has "System:anonymous""#, true),
        (r#""aa aaa" has "a aa""#, false),
        (r#""abc" in~ ("123", "ABC")"#, true),
        (r#""abc" in~ ("123", "ab")"#, false),
        (r#""" contains "x""#, false),
        (r#""x" contains """#, true),
    ] {
        assert_eq!(value(expression), json!(expected), "{expression}");
    }
}

#[test]
fn undocumented_comparisons_fit_neither_way() {
    for expression in [
        r#""\u212aubectl" =~ "kubectl""#,
        r#""\u00dcber" contains "\u00fcber""#,
        r#""a_b" has "b""#,
        r#""\u00fcb" has "b""#,
        r#""abc" in~ ("\u212a", "\u00fc") or "\u212a" in~ ("k")"#,
    ] {
        assert_eq!(value(expression), Json::Null, "{expression}");
    }
    assert_eq!(value(r#""\u212aubectl" contains_cs "\u212a" or "\u212a" =~ "k""#), json!(true));
    assert_eq!(value(r#""\u212a" =~ "\u212a" and "a_b b" has "b""#), json!(true));
}

#[test]
fn numbers_and_times_compare_and_null_equals_nothing() {
    for (expression, expected) in [
        ("Number == 403 and Number >= 403 and Number > 402 and Number < 404 and Number != 404", json!(true)),
        ("Time >= datetime(2026-11-22T01:00:00.5Z) and Time < datetime(2026-11-22T01:00:00.5000001Z)", json!(true)),
        ("Time > datetime(2026-11-22)", json!(true)),
        ("strlen(\"ab\") > 2 or Fact", json!(true)),
        ("hash(Text, 0) == 0", json!(false)),
        ("hash(Text, 0) != 0", json!(true)),
        ("hash(Text, 0) == hash(Text, 0)", Json::Null),
        ("hash(Text, 0) < 0", Json::Null),
        ("hash(Text, 0) < 0 or Fact", json!(true)),
        ("hash(Text, 0) < 0 and Fact", Json::Null),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
    assert_eq!(cells("T | where hash(Text, 0) < 0"), Vec::<Vec<Json>>::new());
}

#[test]
fn dynamic_values_are_accessed_and_converted() {
    for (expression, expected) in [
        ("tostring(Bag.a[\"b-c\"])", json!(r#"[1,"two",null]"#)),
        ("tostring(Bag.name.deeper)", json!("")),
        ("tostring(Bag.a)", json!(r#"{"b-c":[1,"two",null]}"#)),
        ("tostring(Bag.code)", json!("403")),
        ("tostring(parse_json(tostring(Bag.text)).a)", json!("1")),
        ("tostring(parse_json(Bag.text).a)", json!("")),
        ("gettype(parse_json(\" {\\\"a\\\": 1} \"))", json!("dictionary")),
        ("gettype(parse_json(\"{\\\"a\\\": [Truncated...]\"))", json!("string")),
        ("gettype(parse_json(\"\"))", json!("null")),
        ("gettype(Bag.missing)", json!("null")),
        ("gettype(Bag.a[\"b-c\"])", json!("array")),
        ("gettype(Bag.code)", json!("long")),
        ("gettype(Bag.name)", json!("string")),
        ("gettype(Text)", json!("string")),
        ("gettype(Time)", json!("datetime")),
        ("gettype(Fact)", json!("bool")),
        ("Bag.a has \"two\" and Bag contains \"TWO\"", json!(true)),
        ("isnotempty(Bag.name) and isnotempty(tostring(Bag.code))", json!(true)),
        ("isnotempty(Bag.missing) or isnotempty(\"\")", json!(false)),
        ("strlen(\"\\u00fcb\")", json!(2)),
        ("tostring(Time)", json!("2026-11-22T01:00:00.5000000Z")),
        ("tostring(Fact)", json!("True")),
        ("tostring(dynamic([1,\"a)\"]))", json!(r#"[1,"a)"]"#)),
        ("Bag.a", json!(r#"{"b-c":[1,"two",null]}"#)),
        ("Time", json!("2026-11-22T01:00:00.5Z")),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn addresses_are_found_between_other_signs_and_in_networks() {
    let found = |text: &str, of: &str| value(&format!("has_any_ipv4(\"{text}\", {of})"));
    for (text, of, expected) in [
        ("[\\\"127.0.0.1\\\",\\\"8.8.8.8\\\"]", "dynamic([\"8.8.8.8\", \"9.9.9.9\"])", json!(true)),
        ("at 127.0.0.1 GET", "\"9.9.9.9\", \"127.0.0.1\"", json!(true)),
        ("at127.0.0.1 GET", "\"127.0.0.1\"", json!(false)),
        ("127.0.0.10", "\"127.0.0.1\"", json!(false)),
        ("127.0.0.256", "\"127.0.0.256\"", json!(false)),
        ("127.0.0.1.5", "\"127.0.0.1\"", Json::Null),
        ("", "\"127.0.0.1\"", json!(false)),
    ] {
        assert_eq!(found(text, of), expected, "{text} {of}");
    }
    for (expression, expected) in [
        ("ipv4_is_in_any_range(\"10.1.2.3\", \"8.0.0.0/8\", \"10.0.0.0/8\")", json!(true)),
        ("ipv4_is_in_any_range(\"10.1.2.3\", dynamic([\"10.1.3.0/24\"]))", json!(false)),
        ("ipv6_is_in_any_range(\"2001:db8:7::1\", dynamic([\"2001:db8:7::/64\"]))", json!(true)),
        ("ipv6_is_in_any_range(\"nobody\", \"2001:db8:7::/64\")", Json::Null),
        ("substring(Text, 1, 3)", json!("oo-")),
        ("substring(Text, 50, 3)", json!("")),
        ("hash(Text, 16) == hash(Text, 16) and hash(Text, 16) < 16 and hash(Text, 1) == 0", json!(true)),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
    for expression in ["has_any_ipv4(Text)", "substring(Text, 1)", "hash(Text)"] {
        assert!(refusal(&format!("T | where {expression} == 1")).starts_with("SEM0219"), "{expression}");
    }
}

#[test]
fn literals_are_read_to_the_last_escape() {
    for (literal, expected) in [
        (r#""a\"b\\c\u00fc\u000a'""#, "a\"b\\c\u{fc}\n'"),
        (r#""\ud83d\udd0d""#, "\u{1f50d}"),
        ("\"\u{fc}\"", "\u{fc}"),
    ] {
        assert_eq!(value(literal), json!(expected), "{literal}");
    }
    for bad in [r#""open"#, "\"a\nb\"", r#""\q""#, r#""\u00f""#, r#""\u00zz""#, "\"\\\u{fc}\""] {
        assert!(refusal(&format!("T | where Text == {bad}")).starts_with("SYN0002"), "{bad}");
    }
    assert!(refusal(r#"T | where Text == "\ud83d""#).contains("does not support"));
}

#[test]
fn rows_are_filtered_projected_sorted_and_counted() {
    let texts = |query: &str| -> Vec<Json> { cells(query).into_iter().map(|row| row[0].clone()).collect() };
    assert_eq!(texts("T | where Text == \"\" | project Text"), [""]);
    assert_eq!(texts("T | where isnotempty(Text)\n| project A = strlen(Text), B = 1"), [11]);
    assert_eq!(texts("T | sort by Text asc | project Text"), ["", "Foo-bar baz"]);
    assert_eq!(texts("T | sort by Number asc, Text asc | take 1 | project Text"), [""]);
    assert_eq!(texts("T | extend Text = \"x\" | where Text == \"x\" | summarize Rows = count()"), [2]);
    let newest = compile("T | summarize Rows = count(), Newest = max(Time)").expect("is a query");
    let names: Vec<&str> = newest.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["Rows", "Newest"]);
    assert_eq!(
        newest.run(rows()).iter().map(|row| row.iter().map(Cell::to_cell).collect()).collect::<Vec<Vec<_>>>(),
        [[json!(2), json!("2026-11-22T01:00:00.5Z")]]
    );
    assert_eq!(newest.run(Vec::new()), vec![Row::from([Cell::Long(0), Cell::Null])]);
    let grouped = "T | summarize Rows = count() by Text";
    assert_eq!(texts(grouped), ["Foo-bar baz", ""]);
    assert_eq!(cells(grouped)[0][1], json!(1));
    assert_eq!(compile(grouped).expect("is a query").run(Vec::new()), Vec::<Row>::new());
}

#[test]
fn the_bounds_of_a_column_come_from_the_conditions() {
    let at = |text: &str| DateTime::parse(text);
    let bounds = |query: &str| compile(query).expect(query).bounds_of("Time");
    let (from, to) = (at("2026-11-22T00:50:00Z"), at("2026-11-22T01:50:00Z"));
    let window = "Time >= datetime(2026-11-22T00:50:00Z) and Time < datetime(2026-11-22T01:50:00Z)";
    assert_eq!(bounds(&format!("T | extend A = 1 | where {window} | where Time >= datetime(2026-01-01)")), (from, to));
    assert_eq!(bounds(&format!("T | where {window} or Fact")), (None, None));
    let query = compile("T | where isnotempty(Text) and Number == 1").expect("is a query");
    assert!(query.filters_on("Text") && query.filters_on("Number") && !query.filters_on("Time"));
}

#[test]
fn refusals_look_like_those_of_the_service() {
    for (query, expected) in [
        ("", "SYN0002: Query could not be parsed at '' on line [1,1]"),
        ("T\n| where Text = \"x\"", "SYN0002: Query could not be parsed at '=' on line [2,14]"),
        ("T | where (Text == \"x\"", "SYN0002: Query could not be parsed at '' on line [1,23]"),
        ("T | where Text == \"x\" == Fact", "SYN0002: Query could not be parsed at '==' on line [1,23]"),
        ("T | where Text AND Fact", "SYN0002: Query could not be parsed at 'AND'"),
        ("T | where Text in~ \"x\"", "SYN0002"),
        ("T | where Text in~ ()", "SYN0002"),
        ("T | nonsense", "SYN0002: Query could not be parsed at 'nonsense' on line [1,5]"),
        ("T | take x", "SYN0002"),
        ("T | where \u{fc} == 1", "SYN0002"),
        ("T |", "SYN0002"),
        ("T where Fact", "SYN0002"),
        ("T | where Time > datetime(yesterday)", "SYN0002"),
        ("T | where Number == 99999999999999999999", "SYN0002"),
        ("U", "SEM0100: Failed to resolve table or column expression named 'U'"),
        ("U | take 1", "SEM0100: 'take' operator: Failed to resolve table or column expression named 'U'"),
        ("T | where X == 1", "SEM0100: 'where' operator: Failed to resolve column or scalar expression named 'X'"),
        ("T | project Text | where Fact", "SEM0100: 'where' operator"),
        ("T | extend A = 1, B = A", "SEM0100: 'extend' operator"),
        ("T | where text == \"x\"", "SEM0100"),
        ("T | where foo(Text)", "SEM0260: Unknown function: 'foo'."),
        ("T | where ToString(Text) == \"x\"", "SEM0260"),
        ("T | where isnotempty(Text, Text)", "SEM0219"),
        (
            "T | where Bag.code == 403",
            "SEM0064: Cannot compare values of types dynamic and long. Try adding explicit casts",
        ),
        ("T | where Bag.name =~ \"x\"", "SEM0064: Cannot compare values of types dynamic and string"),
        ("T | where Bag.name endswith \"x\"", "SEM0064"),
        ("T | where Text == 1", "SEM0064: Cannot compare values of types string and long"),
        ("T | where Time > \"2026\"", "SEM0064"),
        ("T | where Number has \"1\"", "SEM0064"),
        ("T | where Text in~ (\"a\", 1)", "SEM0064"),
        ("T | where Text", "SEM0085"),
        ("T | where Text and Fact", "SEM0085"),
        ("T | where isnotempty(Text.a)", "SEM0085"),
        ("T | where parse_json(Number) has \"x\"", "SEM0085"),
        ("T | sort by Bag asc", "SEM0085"),
        ("T | project Text, Text", "SEM0022"),
        ("T | extend A = 1, A = 2", "SEM0022"),
        ("T | summarize A = count(), A = max(Time)", "SEM0022"),
    ] {
        let refused = refusal(query);
        assert!(refused.starts_with(expected), "{query}: {refused}");
    }
}

/// What the cloud takes and Stakeout never sends.
#[test]
fn what_is_never_sent_is_refused_as_unsupported() {
    for unsupported in [
        "let x = 1",
        "T | take 1; T | take 2",
        "union T, T",
        "T | join (T) on Text",
        "T | distinct Text",
        "T | count",
        "T | project-away Text",
        "T | where Text matches regex \"x\"",
        "T | where Text startswith \"x\"",
        "T | where Text has_cs \"x\"",
        "T | where Text !has \"x\"",
        "T | where Text in (\"x\")",
        "T | where Text !~ \"x\"",
        "T | where Number <= 1",
        "T | where Number between (1 .. 2)",
        "T | where Number + 1 == 2",
        "T | where Number - 1 == 2",
        "T | where Number == 0.5",
        "T | where Number == 0x10",
        "T | where Text < \"x\"",
        "T | where not(Fact)",
        "T | where tolong(Text) == 1",
        "T | where isempty(Text)",
        "T | where Bag[0] has \"x\"",
        "T | where Bag[Text] has \"x\"",
        "T | where Text == 'x'",
        "T | where Text == @\"x\"",
        "T | where Text == \"\\n\"",
        "T | sort by Text",
        "T | sort by Text desc",
        "T | project strlen(Text)",
        "T | summarize count()",
        "T | summarize A = dcount(Text)",
        "T | summarize A = count() by strlen(Text)",
    ] {
        let refused = refusal(unsupported);
        assert!(refused.starts_with("this fake does not support"), "{unsupported}: {refused}");
    }
}

#[test]
fn nesting_is_bounded_and_length_is_not() {
    let nested = |depth: usize| format!("T | where {}Fact{}", "(".repeat(depth), ")".repeat(depth));
    assert!(compile(&nested(63)).is_ok());
    assert!(refusal(&nested(64)).contains("fewer nested parentheses"));
    assert!(refusal(&nested(100_000)).contains("fewer nested parentheses"));
    let deep = format!("{}Bag{}", "parse_json(".repeat(62), ".a.a.a.a.a.a.a.a)".repeat(62));
    assert_eq!(value(&format!("gettype({deep})")), json!("null"));
    assert!(refusal(&format!("T | where Bag{} has \"x\"", ".a".repeat(9))).contains("a shorter path"));
    let long = format!("T | where {} Fact", "Text == \"x\" or Text == \"y\" and ".repeat(20_000));
    assert_eq!(compile(&long).expect("is a query").run(rows()), Vec::<Row>::new());
}

/// What queries are made of, so that nonsense comes close to sense.
const PIECES: &[&str] = &[
    "T",
    "|",
    "where",
    "extend",
    "project",
    "summarize",
    "by",
    "sort",
    "take",
    "Text",
    "Bag",
    "Time",
    "Fact",
    "Number",
    "==",
    "!=",
    "=~",
    "in~",
    "!has",
    "has",
    "contains_cs",
    "endswith",
    "<",
    ">=",
    "and",
    "or",
    "(",
    ")",
    "[",
    "]",
    ".",
    ",",
    "=",
    "\"x\"",
    "\"",
    "\\u00",
    "1",
    "-",
    "datetime(",
    "2026-11-22",
    "dynamic(",
    "[1,",
    "{\"a\":",
    "tostring(",
    "parse_json(",
    "max(",
    "count()",
    "\n",
    "[\"a\"]",
    "asc",
    "\u{fc}",
    "!",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![8 => proptest::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,3}"]
}

proptest! {
    #[test]
    fn no_query_panics(pieces in proptest::collection::vec(piece(), 0..40), with_blanks: bool, begins: bool) {
        let text = pieces.join(if with_blanks { " " } else { "" });
        let text = if begins { format!("T | where {text}") } else { text };
        if let Ok(query) = compile(&text) {
            for row in query.run(rows()) {
                prop_assert_eq!(row.len(), query.columns().len(), "{}", text);
            }
        }
    }

    #[test]
    fn bounds_never_exceed_the_conditions(seconds in proptest::collection::vec(0_u32..60, 1..20), low in 0_u32..60, high in 0_u32..60) {
        let at = |second: u32| DateTime::parse(&format!("2026-11-22T01:00:{second:02}Z")).expect("is a time");
        let text = format!("T | where Time >= datetime(2026-11-22T01:00:{low:02}Z) and Time < datetime(2026-11-22T01:00:{high:02}Z)");
        let query = compile(&text).expect("is a query");
        let (from, to) = query.bounds_of("Time");
        for second in seconds {
            let mut row = row("", Json::Null).to_vec();
            row[0] = Cell::DateTime(at(second));
            let is_kept = !query.run(vec![row.into()]).is_empty();
            prop_assert_eq!(is_kept, (low..high).contains(&second));
            prop_assert!(!is_kept || (from <= Some(at(second)) && Some(at(second)) <= to));
        }
    }

    #[test]
    fn a_time_round_trips_through_its_text(ticks in -10_000_000_000_000_i64..20_000_000_000_000_000) {
        let moment = DateTime::parse("1970-01-01").expect("is a date").after(std::time::Duration::from_nanos(ticks.unsigned_abs() * 100));
        prop_assert_eq!(DateTime::parse(&moment.to_string()), Some(moment));
        prop_assert_eq!(DateTime::parse(&moment.in_full()), Some(moment));
    }
}

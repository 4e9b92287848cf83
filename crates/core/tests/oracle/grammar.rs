//! Random rules and random audit events, made of few words, so that they often meet.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

const VERBS: &[&str] = &["list", "get", "create", "Watch"];
const NAMES: &[&str] =
    &["system:anonymous", "alice", "Ålesund", "a*b", r"DOM\bob", "42", "system:serviceaccount:dev:ci"];
const GROUPS: &[&str] = &["system:unauthenticated", "system:authenticated", "dev", "System:Masters"];
const URIS: &[&str] = &["/api/v1/pods", "/api/v1/secrets?limit=500", "/apis", "/healthz", "/version/%2fbin%2fsh"];
const AGENTS: &[&str] = &["kubectl/v1.30", "Mozilla/5.0 (X11)", "c3lzdGVtOmFub255bW91cw==", "dQBpAGQAPQAwAA==", "-"];
const RESOURCES: &[&str] = &["pods", "secrets", "Pods", "selfsubjectrulesreviews"];
const CODES: &[i64] = &[200, 201, 401, 403, 404];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.200.0.9", "203.0.113.7", "2001:db8::7", "unknown"];
const NETWORKS: &[&str] = &["10.0.0.0/8", "10.0.0.0/16", "203.0.113.7/32", "2001:db8::/32", "0.0.0.0/0"];
const DECISIONS: &[&str] = &["allow", "forbid"];
const EXPRESSIONS: &[&str] =
    &["^/api", "pods$", "(get|list)", "[a-z]{3,}:an", "%2f(bin%2f(ash|sh))", "v[0-9.]+", "A", "^4", "o.*s", r"\bob"];

/// Fields that hold one text, with what they hold.
const TEXTS: &[(&str, &[&str])] = &[
    ("verb", VERBS),
    ("user.username", NAMES),
    ("impersonatedUser.username", NAMES),
    ("requestURI", URIS),
    ("userAgent", AGENTS),
    ("objectRef.resource", RESOURCES),
    ("objectRef.name", NAMES),
    ("annotations.authorization.k8s.io/decision", DECISIONS),
    ("source_ip", ADDRESSES),
    ("auth_failure", &["unknown", "bearer"]),
    ("capabilities", NAMES),
];
const LISTS: &[(&str, &[&str])] = &[("user.groups", GROUPS), ("sourceIPs", ADDRESSES)];

/// Random numbers that a seed repeats (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).expect("few sides")
    }

    pub(crate) fn is(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }

    fn word(&mut self, from: &[&'static str]) -> &'static str {
        from[self.roll(from.len())]
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// Returns a rule without a correlation.
pub(crate) fn rule(dice: &mut Dice) -> String {
    let mut text = "title: Random\nlogsource: {product: kubernetes, service: audit}\ndetection:\n".to_owned();
    let names: Vec<String> =
        (0..1 + dice.roll(4)).map(|number| format!("{}{number}", dice.pick(&["sel_", "filter_"]))).collect();
    for name in &names {
        writeln!(text, "  {name}:").expect("memory");
        let is_list = dice.is(25);
        for item in 0..if is_list { 1 + dice.roll(3) } else { 1 } {
            let mut keys: Vec<String> = Vec::new();
            for _ in 0..1 + dice.roll(2) {
                let (key, values) = line(dice);
                if keys.contains(&key) {
                    continue;
                }
                let indent = match (is_list, keys.is_empty()) {
                    (true, true) => "    - ",
                    (true, false) => "      ",
                    (false, _) => "    ",
                };
                writeln!(text, "{indent}{}: {values}", quoted(&key)).expect("memory");
                keys.push(key);
            }
            assert!(item < 3);
        }
    }
    let condition = condition(dice, &names);
    writeln!(text, "  condition: {condition}").expect("memory");
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a condition that names every selection.
fn condition(dice: &mut Dice, names: &[String]) -> String {
    let quantified = ["1 of them", "all of them", "any of them", "not 1 of them", "not all of them"];
    if dice.is(25) {
        return (*dice.pick(&quantified)).to_owned();
    }
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let prefix = name.trim_end_matches(char::is_numeric);
        let part = match dice.roll(8) {
            0 => format!("(1 of {prefix}* and {name})"),
            1 => format!("(all of {prefix}* or {name})"),
            2 => format!("not ({name} or 1 of {prefix}*)"),
            3 => format!("not {name}"),
            _ => name.clone(),
        };
        match (index, dice.is(40)) {
            (0, _) => text = part,
            (_, true) => text = format!("({text}) or {part}"),
            (_, false) => text = format!("{text} {} {part}", dice.pick(&["and", "and", "or"])),
        }
    }
    text
}

/// Returns a key with its modifiers, and its values.
fn line(dice: &mut Dice) -> (String, String) {
    match dice.roll(20) {
        0 => (format!("{}|exists", any_field(dice)), (*dice.pick(&["true", "false"])).to_owned()),
        1 => (any_field(dice).to_owned(), "null".to_owned()),
        2..=4 => code(dice),
        5 => {
            let field = *dice.pick(&["source_ip", "sourceIPs"]);
            (format!("{field}|cidr{}", negation(dice)), list(dice, |dice| quoted(dice.word(NETWORKS)), 1))
        }
        6 => {
            let (field, other) = (dice.pick(TEXTS).0, dice.pick(&["user.username", "objectRef.name", "verb"]));
            let shape = dice.pick(&["", "|contains", "|startswith", "|endswith", "|cased", "|neq"]);
            (format!("{field}|fieldref{shape}"), (*other).to_owned())
        }
        7..=8 => {
            let (field, _) = dice.pick(&[TEXTS, LISTS].concat()).to_owned();
            let flags = dice.pick(&["", "|i", "|m", "|s", "|i|s", "|neq"]);
            (format!("{field}|re{flags}"), list(dice, |dice| quoted(dice.word(EXPRESSIONS)), 1))
        }
        9 => {
            let text = dice.word(&["system:anonymous", "system", "alice:", "anonym", "uid=0"]);
            let modifier = match text {
                "system" => dice.word(&["base64|contains", "base64offset|contains", "base64offset"]),
                _ => {
                    dice.word(&["base64", "base64|contains", "base64|cased", "wide|base64", "utf16le|base64|contains"])
                }
            };
            (format!("userAgent|{modifier}"), quoted(text))
        }
        10 => ("unauthenticated".to_owned(), (*dice.pick(&["true", "false"])).to_owned()),
        _ => texts(dice),
    }
}

fn any_field<'a>(dice: &mut Dice) -> &'a str {
    dice.pick(&[TEXTS, LISTS].concat()).0
}

fn negation(dice: &mut Dice) -> &'static str {
    if dice.is(15) { "|neq" } else { "" }
}

/// Returns a line over the response code.
fn code(dice: &mut Dice) -> (String, String) {
    let number = |dice: &mut Dice| dice.pick(CODES).to_string();
    match dice.roll(6) {
        0 => {
            let order = *dice.pick(&["lt", "lte", "gt", "gte"]);
            (format!("responseStatus.code|{order}"), number(dice))
        }
        1 => ("responseStatus.code".to_owned(), quoted(dice.word(&["40?", "4*", "403", "ALLOW"]))),
        2 => ("responseStatus.code|startswith".to_owned(), number(dice)),
        _ => (format!("responseStatus.code{}", negation(dice)), list(dice, number, 1)),
    }
}

/// Returns a line over texts.
fn texts(dice: &mut Dice) -> (String, String) {
    let (field, pool) = dice.pick(&[TEXTS, TEXTS, LISTS].concat()).to_owned();
    let shape = *dice.pick(&["", "", "|contains", "|startswith", "|endswith"]);
    let cased = if dice.is(30) { "|cased" } else { "" };
    let all = shape == "|contains" && dice.is(30);
    let value = |dice: &mut Dice| quoted(&text(dice, pool, shape));
    let values = list(dice, value, if all { 2 } else { 1 });
    let end = if all { "|all" } else { negation(dice) };
    (format!("{field}{shape}{cased}{end}"), values)
}

/// Returns a value that may fit something in `pool`: a piece of it, with wildcards, in another case.
fn text(dice: &mut Dice, pool: &[&str], shape: &str) -> String {
    let whole = dice.pick(pool).to_string();
    let chars: Vec<char> = whole.chars().collect();
    let (start, end) = (dice.roll(chars.len()), dice.roll(chars.len()));
    let piece = |from: usize, to: usize| chars[from..to].iter().collect::<String>();
    let piece = match shape {
        "|contains" => piece(start.min(end), start.max(end) + 1),
        "|startswith" => piece(0, end + 1),
        "|endswith" => piece(start, chars.len()),
        _ => whole,
    };
    let mut escaped = piece.replace('\\', r"\\").replace('*', r"\*").replace('?', r"\?");
    if shape.is_empty() && dice.is(30) && !escaped.contains('\\') {
        let at = escaped.char_indices().nth(dice.roll(escaped.chars().count())).map_or(0, |(at, _)| at);
        match dice.roll(3) {
            0 => escaped = format!("{}*", &escaped[..at]),
            1 => escaped = format!("*{}", &escaped[at..]),
            _ => {
                let next = escaped[at..].chars().next().map_or(0, char::len_utf8);
                escaped = format!("{}?{}", &escaped[..at], &escaped[at + next..]);
            }
        }
    }
    if dice.is(20) { escaped.to_uppercase() } else { escaped }
}

/// Returns one value, or a list of some.
fn list(dice: &mut Dice, mut value: impl FnMut(&mut Dice) -> String, least: usize) -> String {
    let count = least + dice.roll(3);
    let values: Vec<String> = (0..count).map(|_| value(dice)).collect();
    if values.len() == 1 { values[0].clone() } else { format!("[{}]", values.join(", ")) }
}

/// Returns an audit event of a request, with some of its fields left out.
pub(crate) fn event(dice: &mut Dice) -> Json {
    let mut event = Map::new();
    event.insert("kind".to_owned(), json!("Event"));
    event.insert("stage".to_owned(), json!("ResponseComplete"));
    event.insert("auditID".to_owned(), json!("7f9d"));
    for (key, pool) in [("verb", VERBS), ("requestURI", URIS), ("userAgent", AGENTS)] {
        if dice.is(90) {
            event.insert(key.to_owned(), json!(dice.pick(pool)));
        }
    }
    for key in ["user", "impersonatedUser"] {
        let mut user = Map::new();
        if dice.is(80) {
            user.insert("username".to_owned(), json!(dice.pick(NAMES)));
        }
        if dice.is(80) {
            user.insert("groups".to_owned(), json!([dice.pick(GROUPS), dice.pick(GROUPS)]));
        }
        if dice.is(if key == "user" { 95 } else { 30 }) {
            event.insert(key.to_owned(), Json::Object(user));
        }
    }
    let addresses: Vec<&str> = (0..1 + dice.roll(3)).map(|_| *dice.pick(ADDRESSES)).collect();
    event.insert("sourceIPs".to_owned(), json!(addresses));
    if dice.is(80) {
        event.insert("objectRef".to_owned(), json!({"resource": dice.pick(RESOURCES), "name": dice.pick(NAMES)}));
    }
    if dice.is(90) {
        event.insert("responseStatus".to_owned(), json!({"code": dice.pick(CODES)}));
    }
    if dice.is(60) {
        event.insert("annotations".to_owned(), json!({"authorization.k8s.io/decision": dice.pick(DECISIONS)}));
    }
    Json::Object(event)
}

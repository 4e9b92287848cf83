//! The modifiers in `field|modifier: value`: which there are, and which can be combined.

use ipnet::IpNet;

use super::encoding::{self, Charset};
use super::glob::Glob;
use super::pattern::{Comparison, FieldReference, Pattern, Regexp, TextPosition};
use crate::diagnostic::{Diagnostic, suggestion};
use crate::field::Field;
use crate::yaml::{At, Value};

/// Every modifier that is read.
const KNOWN: &[&str] = &[
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "endswith",
    "exists",
    "fieldref",
    "gt",
    "gte",
    "i",
    "lt",
    "lte",
    "m",
    "neq",
    "re",
    "s",
    "startswith",
    "utf16",
    "utf16be",
    "utf16le",
    "wide",
];
/// Sigma modifiers that are not supported, with the reason and the fix.
const REFUSED: &[(&[&str], &str, &str)] = &[
    (&["windash"], "it varies the dashes of Windows command lines", "remove `|windash`"),
    (&["expand"], "Stakeout has no placeholders", "replace the placeholder by its values"),
    (&["minute", "hour", "day", "week", "month", "year"], "audit events have no fields with times", "remove the line"),
];
/// Longest regular expression, in characters.
const REGEX_CHARS_MAX: usize = 4_096;

/// The modifiers of one line, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modifiers<'a> {
    words: &'a [&'a str],
}

/// What a modifier does. Two modifiers of some kinds exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModifierKind {
    Shape,
    Operator,
    FieldReference,
    Base64,
    Charset,
    Flag,
    Cased,
    All,
    Not,
}

impl<'a> Modifiers<'a> {
    /// Checks the modifiers of a line.
    pub(super) fn read(words: &'a [&'a str], at: &At<'_>) -> Result<Modifiers<'a>, Diagnostic> {
        for (index, word) in words.iter().enumerate() {
            if let Some((_, reason, fix)) = REFUSED.iter().find(|(refused, ..)| refused.contains(word)) {
                return Err(at.error(format!("the modifier `{word}` is not supported: {reason}"), *fix));
            }
            if !KNOWN.contains(word) {
                return Err(at.error(format!("unknown modifier `{word}`"), suggestion(word, KNOWN)));
            }
            if words[..index].contains(word) {
                return Err(at.error(format!("duplicate modifier `{word}`"), "remove one of the two"));
            }
            if let Some(earlier) = words[..index].iter().find(|earlier| clash(earlier, word)) {
                return Err(at.error(format!("`{earlier}` and `{word}` cannot be combined"), "remove one of the two"));
            }
        }
        let modifiers = Modifiers { words };
        modifiers.check_order(at)?;
        Ok(modifiers)
    }

    /// Checks the order of the modifiers: each applies to the result of those before it.
    fn check_order(self, at: &At<'_>) -> Result<(), Diagnostic> {
        for (index, word) in self.words.iter().enumerate() {
            let (before, behind) = (&self.words[..index], &self.words[index + 1..]);
            match kind(word) {
                ModifierKind::Flag if !before.contains(&"re") => {
                    return Err(at.error(format!("`{word}` is a flag of `re`"), format!("write `|re|{word}`")));
                }
                ModifierKind::Charset if !behind.iter().any(|other| kind(other) == ModifierKind::Base64) => {
                    return Err(at.error(
                        format!("`{word}` alone never matches: audit events are not UTF-16"),
                        format!("write `|{word}|base64offset|contains`, or remove `|{word}`"),
                    ));
                }
                ModifierKind::FieldReference | ModifierKind::Base64
                    if before.iter().any(|other| kind(other) == ModifierKind::Shape) =>
                {
                    let shape =
                        before.iter().find(|other| kind(other) == ModifierKind::Shape).copied().unwrap_or_default();
                    return Err(
                        at.error(format!("`{word}` must come before `{shape}`"), format!("write `|{word}|{shape}`"))
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn has(self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// Returns whether each value must fit, not any one.
    pub(super) fn is_all(self) -> bool {
        self.has("all")
    }

    /// Returns whether no value may fit.
    pub(super) fn is_negated(self) -> bool {
        self.has("neq")
    }

    /// Returns whether the values are networks.
    pub(super) fn is_network(self) -> bool {
        self.has("cidr")
    }

    /// Returns whether the values are names of other fields.
    pub(super) fn is_field_reference(self) -> bool {
        self.has("fieldref")
    }

    /// Returns what `value` is compared with: any one of these.
    pub(super) fn patterns(self, value: &At<'_>) -> Result<Vec<Pattern>, Diagnostic> {
        let operator =
            self.words.iter().find(|word| matches!(kind(word), ModifierKind::Operator | ModifierKind::Base64));
        Ok(match operator.copied() {
            Some("re") => vec![Pattern::Regex(self.regex(value)?)],
            Some("cidr") => vec![Pattern::Network(network(value)?)],
            Some("exists") => vec![Pattern::Exists(value.boolean()?)],
            Some("lt") => vec![Pattern::Compared(Comparison::Less, value.integer()?)],
            Some("lte") => vec![Pattern::Compared(Comparison::LessOrEqual, value.integer()?)],
            Some("gt") => vec![Pattern::Compared(Comparison::Greater, value.integer()?)],
            Some("gte") => vec![Pattern::Compared(Comparison::GreaterOrEqual, value.integer()?)],
            Some(base64) => self.encoded(value, base64)?,
            None => vec![self.plain(value)?],
        })
    }

    /// Returns the field that `value` names, to be compared with.
    pub(super) fn reference(self, field: Field) -> Pattern {
        let position = match self.shape() {
            None => TextPosition::Whole,
            Some("startswith") => TextPosition::Start,
            Some("endswith") => TextPosition::End,
            Some(_) => TextPosition::Anywhere,
        };
        Pattern::Other(FieldReference { field, position, cased: self.has("cased") })
    }

    fn shape(self) -> Option<&'a str> {
        self.words.iter().copied().find(|word| kind(word) == ModifierKind::Shape)
    }

    fn regex(self, value: &At<'_>) -> Result<Regexp, Diagnostic> {
        let text = value.text()?;
        if text.chars().count() > REGEX_CHARS_MAX {
            let fix = format!("use at most {REGEX_CHARS_MAX} characters, or several expressions");
            return Err(value.error("this regular expression is too long", fix));
        }
        let flags: Vec<&str> = self.words.iter().copied().filter(|word| kind(word) == ModifierKind::Flag).collect();
        Regexp::new(text, &flags).map_err(|(problem, fix)| value.error(problem, fix))
    }

    fn encoded(self, value: &At<'_>, base64: &str) -> Result<Vec<Pattern>, Diagnostic> {
        let glob = Glob::parse(value.text()?, true);
        let Some(text) = glob.whole() else {
            return Err(value.error(
                "a wildcard cannot be encoded",
                r"write `\*` for the character itself, or one value for each case",
            ));
        };
        let charset = match self.words.iter().find(|word| kind(word) == ModifierKind::Charset) {
            None => Charset::Utf8,
            Some(&"utf16be") => Charset::Utf16Be,
            Some(&"utf16") => Charset::Utf16,
            Some(_) => Charset::Utf16Le,
        };
        let bytes = charset.bytes(text);
        let cased = self.has("cased");
        if base64 == "base64offset" {
            let found = encoding::base64_at_offsets(&bytes);
            let anywhere = |text: &String| Glob::exact(text, cased).after_anything().before_anything();
            return Ok(found.iter().map(|text| Pattern::Text(anywhere(text))).collect());
        }
        Ok(vec![Pattern::Text(self.shaped(Glob::exact(&encoding::base64(&bytes), cased)))])
    }

    fn plain(self, value: &At<'_>) -> Result<Pattern, Diagnostic> {
        let is_shaped = self.shape().is_some();
        let (text, is_plain) = match &value.node.value {
            Value::Null if !is_shaped => return Ok(Pattern::Null),
            Value::Scalar { text, is_plain } => (text, *is_plain),
            _ => return Err(value.error("the value is missing", "write a text, a number, true, false or null")),
        };
        if text.is_empty() && !is_shaped {
            return Ok(Pattern::Null);
        }
        if is_plain && !is_shaped && !self.has("cased") {
            if let Ok(number) = text.parse() {
                return Ok(Pattern::Number(number));
            }
            if let Ok(value) = text.parse() {
                return Ok(Pattern::Bool(value));
            }
        }
        Ok(Pattern::Text(self.shaped(Glob::parse(text, self.has("cased")))))
    }

    fn shaped(self, glob: Glob) -> Glob {
        match self.shape() {
            Some("contains") => glob.after_anything().before_anything(),
            Some("startswith") => glob.before_anything(),
            Some("endswith") => glob.after_anything(),
            _ => glob,
        }
    }
}

/// Returns the network that `value` spells; an address alone is the network of itself.
fn network(value: &At<'_>) -> Result<IpNet, Diagnostic> {
    let text = value.text()?;
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| value.error(format!("`{text}` is not a network"), "write it as 10.0.0.0/8 or 2001:db8::/32"))?;
    if net.trunc() != net {
        return Err(value.error(
            format!("`{text}` has bits set after its prefix"),
            format!("write `{}`, or a longer prefix", net.trunc()),
        ));
    }
    Ok(net)
}

fn kind(word: &str) -> ModifierKind {
    match word {
        "contains" | "startswith" | "endswith" => ModifierKind::Shape,
        "fieldref" => ModifierKind::FieldReference,
        "base64" | "base64offset" => ModifierKind::Base64,
        "wide" | "utf16" | "utf16be" | "utf16le" => ModifierKind::Charset,
        "i" | "m" | "s" => ModifierKind::Flag,
        "cased" => ModifierKind::Cased,
        "all" => ModifierKind::All,
        "neq" => ModifierKind::Not,
        _ => ModifierKind::Operator,
    }
}

/// Returns whether two modifiers contradict each other on one line.
fn clash(one: &str, other: &str) -> bool {
    let either =
        |left: &str, right: &[&str]| (one == left && right.contains(&other)) || (other == left && right.contains(&one));
    let kinds = |left: ModifierKind, right: &[ModifierKind]| {
        (kind(one) == left && right.contains(&kind(other))) || (kind(other) == left && right.contains(&kind(one)))
    };
    kinds(ModifierKind::Shape, &[ModifierKind::Shape])
        || kinds(ModifierKind::Base64, &[ModifierKind::Base64])
        || kinds(ModifierKind::Charset, &[ModifierKind::Charset])
        || kinds(
            ModifierKind::Operator,
            &[
                ModifierKind::Shape,
                ModifierKind::Operator,
                ModifierKind::FieldReference,
                ModifierKind::Base64,
                ModifierKind::Charset,
                ModifierKind::Cased,
            ],
        )
        || kinds(ModifierKind::FieldReference, &[ModifierKind::Base64, ModifierKind::Charset])
        || either("base64offset", &["all", "startswith", "endswith"])
        || either("neq", &["all", "exists", "lt", "lte", "gt", "gte"])
        || either("all", &["exists", "lt", "lte", "gt", "gte"])
}

//! The scalar functions: their arguments and results.
//! <https://learn.microsoft.com/en-us/kusto/query/scalar-functions>

use std::net::Ipv4Addr;

use serde_json::Value as Json;

use super::scalar::{any, not};
use super::value::{Cell, ColumnType};
use crate::network::Network;
use crate::stable_hash;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    GetType,
    HasAnyIpv4,
    Hash,
    IsInAnyRange,
    IsNotEmpty,
    ParseJson,
    StrLen,
    Substring,
    ToString,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Anything,
    Only(ColumnType),
    TextOrDynamic,
}

/// All names.
pub(super) const FUNCTIONS: [(&str, Function); 10] = [
    ("gettype", Function::GetType),
    ("has_any_ipv4", Function::HasAnyIpv4),
    ("hash", Function::Hash),
    ("ipv4_is_in_any_range", Function::IsInAnyRange),
    ("ipv6_is_in_any_range", Function::IsInAnyRange),
    ("isnotempty", Function::IsNotEmpty),
    ("parse_json", Function::ParseJson),
    ("strlen", Function::StrLen),
    ("substring", Function::Substring),
    ("tostring", Function::ToString),
];

/// Functions of Kusto that the fake does not support.
const OTHER_FUNCTIONS: [&str; 12] = [
    "array_length",
    "isempty",
    "isnotnull",
    "isnull",
    "not",
    "set_has_element",
    "todatetime",
    "todynamic",
    "toint",
    "tolong",
    "tolower",
    "toupper",
];

impl Function {
    /// Finds a function by its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// Returns whether the cloud has a function of this name that the fake does not support.
    pub(super) fn is_other(name: &str) -> bool {
        OTHER_FUNCTIONS.contains(&name)
    }

    /// Returns the types of its arguments. Of a function that [`takes_more`](Function::takes_more), the last type is that
    /// of all further ones.
    pub(super) fn takes(self) -> &'static [Takes] {
        match self {
            Self::HasAnyIpv4 | Self::IsInAnyRange => &[Takes::Only(ColumnType::String), Takes::TextOrDynamic],
            Self::Hash => &[Takes::Anything, Takes::Only(ColumnType::Long)],
            Self::Substring => {
                &[Takes::Only(ColumnType::String), Takes::Only(ColumnType::Long), Takes::Only(ColumnType::Long)]
            }
            Self::ParseJson => &[Takes::TextOrDynamic],
            Self::StrLen => &[Takes::Only(ColumnType::String)],
            Self::GetType | Self::IsNotEmpty | Self::ToString => &[Takes::Anything],
        }
    }

    /// Returns whether it takes any number of further arguments.
    pub(super) fn takes_more(self) -> bool {
        matches!(self, Self::HasAnyIpv4 | Self::IsInAnyRange)
    }

    pub(super) fn gives(self) -> ColumnType {
        match self {
            Self::Hash | Self::StrLen => ColumnType::Long,
            Self::GetType | Self::Substring | Self::ToString => ColumnType::String,
            Self::ParseJson => ColumnType::Dynamic,
            Self::HasAnyIpv4 | Self::IsInAnyRange | Self::IsNotEmpty => ColumnType::Bool,
        }
    }

    /// Evaluates it; the number of arguments was checked.
    pub(super) fn call(self, arguments: &[Cell]) -> Cell {
        let [first, rest @ ..] = arguments else {
            return Cell::Null;
        };
        match self {
            Self::GetType => Cell::text(type_of(first)),
            Self::HasAnyIpv4 => {
                let text = first.to_text();
                Cell::bool(any(texts(rest).iter().map(|address| has_ipv4(&text, address))))
            }
            Self::Hash => rest.first().map_or(Cell::Null, |of| hash(first, of)),
            Self::IsInAnyRange => {
                let address = first.to_text();
                Cell::bool(any(texts(rest).iter().map(|network| Network::parse(network)?.contains(&address))))
            }
            Self::IsNotEmpty => Cell::Bool(!first.to_text().is_empty()),
            Self::ParseJson => parse_json(first),
            Self::Substring => match rest {
                [Cell::Long(start), Cell::Long(length)] => substring(&first.to_text(), *start, *length),
                _ => Cell::Null,
            },
            Self::StrLen => i64::try_from(first.to_text().chars().count()).map_or(Cell::Null, Cell::Long),
            Self::ToString => Cell::String(first.to_text()),
        }
    }
}

/// Returns a number below `of` that depends on the value alone. Which one Kusto returns is undocumented.
fn hash(value: &Cell, of: &Cell) -> Cell {
    let Cell::Long(of) = of else { return Cell::Null };
    let hash = i64::try_from(stable_hash::of_bytes(0, value.to_text().as_bytes()) >> 66).unwrap_or_default();
    hash.checked_rem(*of).map_or(Cell::Null, Cell::Long)
}

/// Returns a part of a text, by characters. What a negative start means is not supported.
fn substring(text: &str, start: i64, length: i64) -> Cell {
    match (usize::try_from(start), usize::try_from(length)) {
        (Ok(start), Ok(length)) => Cell::text(&text.chars().skip(start).take(length).collect::<String>()),
        _ => Cell::Null,
    }
}

/// Returns the texts in arguments, each a text or a list of texts.
fn texts(arguments: &[Cell]) -> Vec<String> {
    let of = |argument: &Cell| match argument {
        Cell::String(text) => vec![text.to_string()],
        other => {
            let items = other.json().and_then(Json::as_array).into_iter().flatten();
            items.filter_map(Json::as_str).map(str::to_owned).collect()
        }
    };
    arguments.iter().flat_map(of).collect()
}

/// Returns whether a text has an address with a character beside it that is neither letter nor digit, or nothing. Whether
/// a dot, an underscore or a character outside of ASCII may be there is undocumented.
/// <https://learn.microsoft.com/en-us/kusto/query/has-any-ipv4-function>
fn has_ipv4(text: &str, address: &str) -> Option<bool> {
    if address.parse::<Ipv4Addr>().is_err() {
        return Some(false);
    }
    let edge = |beside: Option<char>| match beside {
        None => Some(true),
        Some(c) if c.is_ascii_alphanumeric() => Some(false),
        Some(c) if matches!(c, '.' | '_') || !c.is_ascii() => None,
        Some(_) => Some(true),
    };
    any(text.match_indices(address).map(|(at, found)| {
        let edges = [edge(text[..at].chars().next_back()), edge(text[at + found.len()..].chars().next())];
        not(any(edges.into_iter().map(not)))
    }))
}

/// The names that `gettype` gives. <https://learn.microsoft.com/en-us/kusto/query/gettype-function>
fn type_of(value: &Cell) -> &'static str {
    match value {
        Cell::Null => "null",
        Cell::Bool(_) => "bool",
        Cell::DateTime(_) => "datetime",
        Cell::Long(_) => "long",
        Cell::String(_) => "string",
        Cell::Dynamic(dynamic) => match &dynamic.json {
            Json::Null => "null",
            Json::Bool(_) => "bool",
            Json::Number(number) if number.is_i64() => "long",
            Json::Number(_) => "double",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "dictionary",
        },
    }
}

/// A dynamic value stays what it is: text inside of it is not parsed.
fn parse_json(value: &Cell) -> Cell {
    match value {
        Cell::String(text) => Cell::parse_json(text),
        other => other.clone(),
    }
}

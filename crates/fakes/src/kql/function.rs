//! The scalar functions: their arguments and results.
//! <https://learn.microsoft.com/en-us/kusto/query/scalar-functions>

use std::net::Ipv4Addr;

use serde_json::Value as Json;

use super::datetime::DateTime;
use super::scalar::{any, not};
use super::value::{Cell, ColumnType};
use crate::network::Network;
use crate::stable_hash;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    ArrayLength,
    GetType,
    HasAnyIpv4,
    Hash,
    IsEmpty,
    IsInAnyRange,
    IsNotEmpty,
    IsNotNull,
    IsNull,
    Not,
    ParseJson,
    SetHasElement,
    StrLen,
    Substring,
    ToDateTime,
    ToLong,
    ToInt,
    ToLower,
    ToReal,
    ToString,
    ToUpper,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Anything,
    Only(ColumnType),
    TextOrDynamic,
}

/// All names. Some functions have several.
const FUNCTIONS: [(&str, Function); 27] = [
    ("array_length", Function::ArrayLength),
    ("gettype", Function::GetType),
    ("has_any_ipv4", Function::HasAnyIpv4),
    ("hash", Function::Hash),
    ("ipv4_is_in_any_range", Function::IsInAnyRange),
    ("ipv6_is_in_any_range", Function::IsInAnyRange),
    ("isempty", Function::IsEmpty),
    ("isnotempty", Function::IsNotEmpty),
    ("isnotnull", Function::IsNotNull),
    ("isnull", Function::IsNull),
    ("not", Function::Not),
    ("notempty", Function::IsNotEmpty),
    ("notnull", Function::IsNotNull),
    ("parse_json", Function::ParseJson),
    ("parsejson", Function::ParseJson),
    ("set_has_element", Function::SetHasElement),
    ("strlen", Function::StrLen),
    ("substring", Function::Substring),
    ("todatetime", Function::ToDateTime),
    ("todouble", Function::ToReal),
    ("todynamic", Function::ParseJson),
    ("toint", Function::ToInt),
    ("tolong", Function::ToLong),
    ("tolower", Function::ToLower),
    ("toreal", Function::ToReal),
    ("tostring", Function::ToString),
    ("toupper", Function::ToUpper),
];

impl Function {
    /// Finds a function by its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// Returns the types of its arguments. Of a function that [`takes_more`](Function::takes_more), the last type is that
    /// of all further ones.
    pub(super) fn takes(self) -> &'static [Takes] {
        match self {
            Self::HasAnyIpv4 | Self::IsInAnyRange => &[Takes::Only(ColumnType::String), Takes::TextOrDynamic],
            Self::ArrayLength => &[Takes::Only(ColumnType::Dynamic)],
            Self::Hash => &[Takes::Anything, Takes::Only(ColumnType::Long)],
            Self::Substring => {
                &[Takes::Only(ColumnType::String), Takes::Only(ColumnType::Long), Takes::Only(ColumnType::Long)]
            }
            Self::Not => &[Takes::Only(ColumnType::Bool)],
            Self::ParseJson => &[Takes::TextOrDynamic],
            Self::SetHasElement => &[Takes::Only(ColumnType::Dynamic), Takes::Anything],
            Self::StrLen | Self::ToLower | Self::ToUpper => &[Takes::Only(ColumnType::String)],
            _ => &[Takes::Anything],
        }
    }

    /// Returns whether it takes any number of further arguments.
    pub(super) fn takes_more(self) -> bool {
        matches!(self, Self::HasAnyIpv4 | Self::IsInAnyRange)
    }

    pub(super) fn gives(self) -> ColumnType {
        match self {
            Self::ArrayLength | Self::Hash | Self::StrLen | Self::ToLong => ColumnType::Long,
            Self::GetType | Self::Substring | Self::ToLower | Self::ToString | Self::ToUpper => ColumnType::String,
            Self::ParseJson => ColumnType::Dynamic,
            Self::ToDateTime => ColumnType::DateTime,
            Self::ToInt => ColumnType::Int,
            Self::ToReal => ColumnType::Real,
            Self::HasAnyIpv4
            | Self::IsEmpty
            | Self::IsInAnyRange
            | Self::IsNotEmpty
            | Self::IsNotNull
            | Self::IsNull
            | Self::Not
            | Self::SetHasElement => ColumnType::Bool,
        }
    }

    /// Evaluates it; the number of arguments was checked.
    pub(super) fn call(self, arguments: &[Cell]) -> Cell {
        let [first, rest @ ..] = arguments else {
            return Cell::Null;
        };
        match self {
            Self::ArrayLength => first.json().and_then(Json::as_array).map_or(Cell::Null, |items| count(items.len())),
            Self::GetType => Cell::text(type_of(first)),
            Self::HasAnyIpv4 => {
                let text = first.to_text();
                Cell::bool(any(texts(rest).iter().map(|address| has_ipv4(&text, address))))
            }
            Self::Hash => rest.first().map_or(Cell::Null, |of| hash(first, of)),
            Self::IsEmpty => Cell::Bool(first.to_text().is_empty()),
            Self::IsInAnyRange => {
                let address = first.to_text();
                Cell::bool(any(texts(rest).iter().map(|network| Network::parse(network)?.contains(&address))))
            }
            Self::IsNotEmpty => Cell::Bool(!first.to_text().is_empty()),
            Self::IsNotNull => Cell::Bool(*first != Cell::Null),
            Self::IsNull => Cell::Bool(*first == Cell::Null),
            Self::Not => Cell::bool(first.truth().map(|truth| !truth)),
            Self::ParseJson => parse_json(first),
            Self::SetHasElement => rest.first().map_or(Cell::Null, |element| set_has_element(first, element)),
            Self::Substring => match rest {
                [Cell::Long(start), Cell::Long(length)] => substring(&first.to_text(), *start, *length),
                _ => Cell::Null,
            },
            Self::StrLen => count(first.to_text().chars().count()),
            Self::ToDateTime => to_datetime(first),
            Self::ToInt => within_int(to_long(first)),
            Self::ToLong => to_long(first),
            Self::ToLower => Cell::text(&first.to_text().to_lowercase()),
            Self::ToReal => to_real(first),
            Self::ToString => Cell::String(first.to_text()),
            Self::ToUpper => Cell::text(&first.to_text().to_uppercase()),
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

fn count(number: usize) -> Cell {
    i64::try_from(number).map_or(Cell::Null, Cell::Long)
}

/// The names that `gettype` gives. <https://learn.microsoft.com/en-us/kusto/query/gettype-function>
fn type_of(value: &Cell) -> &'static str {
    match value {
        Cell::Null => "null",
        Cell::Bool(_) => "bool",
        Cell::DateTime(_) => "datetime",
        Cell::Long(_) => "long",
        Cell::Real(_) => "double",
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

fn set_has_element(set: &Cell, element: &Cell) -> Cell {
    let element = match element {
        Cell::String(text) => Json::String(text.to_string()),
        Cell::Long(number) => Json::from(*number),
        Cell::Real(number) => Json::from(*number),
        Cell::Bool(truth) => Json::Bool(*truth),
        Cell::Dynamic(dynamic) => dynamic.json.clone(),
        Cell::DateTime(_) | Cell::Null => return Cell::Null,
    };
    let items = set.json().and_then(Json::as_array);
    Cell::bool(items.map(|items| items.contains(&element)))
}

fn to_long(value: &Cell) -> Cell {
    let whole = |number: f64| format!("{:.0}", number.trunc()).parse().ok();
    let number = match value {
        Cell::Long(number) => Some(*number),
        Cell::Bool(truth) => Some(i64::from(*truth)),
        Cell::Real(number) => whole(*number),
        Cell::String(text) => text.parse().ok(),
        Cell::Dynamic(dynamic) => match &dynamic.json {
            Json::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
            Json::String(text) => text.parse().ok(),
            _ => None,
        },
        Cell::DateTime(_) | Cell::Null => None,
    };
    number.map_or(Cell::Null, Cell::Long)
}

fn within_int(value: Cell) -> Cell {
    match value {
        Cell::Long(number) if i32::try_from(number).is_err() => Cell::Null,
        other => other,
    }
}

fn to_real(value: &Cell) -> Cell {
    let number = match value {
        Cell::Real(number) => Some(*number),
        Cell::Long(number) => number.to_string().parse().ok(),
        Cell::Dynamic(dynamic) => dynamic.json.as_f64(),
        Cell::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    number.map_or(Cell::Null, Cell::Real)
}

fn to_datetime(value: &Cell) -> Cell {
    match value {
        Cell::DateTime(moment) => Cell::DateTime(*moment),
        other => DateTime::parse(&other.to_text()).map_or(Cell::Null, Cell::DateTime),
    }
}

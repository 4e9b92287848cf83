//! The scalar functions: what they take and what they make of it.
//! <https://learn.microsoft.com/en-us/kusto/query/scalar-functions>

use serde_json::Value as Json;

use super::datetime::DateTime;
use super::value::{Kind, Value};

/// A function of one argument or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    ArrayLength,
    GetType,
    IsEmpty,
    IsNotEmpty,
    IsNotNull,
    IsNull,
    Not,
    ParseJson,
    SetHasElement,
    StrLen,
    ToDateTime,
    ToLong,
    ToInt,
    ToLower,
    ToReal,
    ToString,
    ToUpper,
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Anything,
    Only(Kind),
    TextOrDynamic,
}

/// All names. Some functions have several.
const FUNCTIONS: [(&str, Function); 22] = [
    ("array_length", Function::ArrayLength),
    ("gettype", Function::GetType),
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

    pub(super) fn takes(self) -> &'static [Takes] {
        match self {
            Self::ArrayLength => &[Takes::Only(Kind::Dynamic)],
            Self::Not => &[Takes::Only(Kind::Bool)],
            Self::ParseJson => &[Takes::TextOrDynamic],
            Self::SetHasElement => &[Takes::Only(Kind::Dynamic), Takes::Anything],
            Self::StrLen | Self::ToLower | Self::ToUpper => &[Takes::Only(Kind::String)],
            _ => &[Takes::Anything],
        }
    }

    pub(super) fn gives(self) -> Kind {
        match self {
            Self::ArrayLength | Self::StrLen | Self::ToLong => Kind::Long,
            Self::GetType | Self::ToLower | Self::ToString | Self::ToUpper => Kind::String,
            Self::ParseJson => Kind::Dynamic,
            Self::ToDateTime => Kind::DateTime,
            Self::ToInt => Kind::Int,
            Self::ToReal => Kind::Real,
            Self::IsEmpty | Self::IsNotEmpty | Self::IsNotNull | Self::IsNull | Self::Not | Self::SetHasElement => {
                Kind::Bool
            }
        }
    }

    /// Evaluates it; the number of arguments was checked.
    pub(super) fn call(self, arguments: &[Value]) -> Value {
        let [first, rest @ ..] = arguments else {
            return Value::Null;
        };
        match self {
            Self::ArrayLength => first.json().and_then(Json::as_array).map_or(Value::Null, |items| count(items.len())),
            Self::GetType => Value::text(type_of(first)),
            Self::IsEmpty => Value::Bool(first.to_text().is_empty()),
            Self::IsNotEmpty => Value::Bool(!first.to_text().is_empty()),
            Self::IsNotNull => Value::Bool(*first != Value::Null),
            Self::IsNull => Value::Bool(*first == Value::Null),
            Self::Not => Value::bool(first.fact().map(|fact| !fact)),
            Self::ParseJson => parse_json(first),
            Self::SetHasElement => rest.first().map_or(Value::Null, |element| set_has_element(first, element)),
            Self::StrLen => count(first.to_text().chars().count()),
            Self::ToDateTime => to_datetime(first),
            Self::ToInt => within_int(to_long(first)),
            Self::ToLong => to_long(first),
            Self::ToLower => Value::text(&first.to_text().to_lowercase()),
            Self::ToReal => to_real(first),
            Self::ToString => Value::String(first.to_text()),
            Self::ToUpper => Value::text(&first.to_text().to_uppercase()),
        }
    }
}

fn count(number: usize) -> Value {
    i64::try_from(number).map_or(Value::Null, Value::Long)
}

/// The names that `gettype` gives. <https://learn.microsoft.com/en-us/kusto/query/gettype-function>
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::DateTime(_) => "datetime",
        Value::Long(_) => "long",
        Value::Real(_) => "double",
        Value::String(_) => "string",
        Value::Dynamic(dynamic) => match &dynamic.json {
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
fn parse_json(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::parse_json(text),
        other => other.clone(),
    }
}

fn set_has_element(set: &Value, element: &Value) -> Value {
    let element = match element {
        Value::String(text) => Json::String(text.to_string()),
        Value::Long(number) => Json::from(*number),
        Value::Real(number) => Json::from(*number),
        Value::Bool(fact) => Json::Bool(*fact),
        Value::Dynamic(dynamic) => dynamic.json.clone(),
        Value::DateTime(_) | Value::Null => return Value::Null,
    };
    let items = set.json().and_then(Json::as_array);
    Value::bool(items.map(|items| items.contains(&element)))
}

fn to_long(value: &Value) -> Value {
    let whole = |number: f64| format!("{:.0}", number.trunc()).parse().ok();
    let number = match value {
        Value::Long(number) => Some(*number),
        Value::Bool(fact) => Some(i64::from(*fact)),
        Value::Real(number) => whole(*number),
        Value::String(text) => text.parse().ok(),
        Value::Dynamic(dynamic) => match &dynamic.json {
            Json::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
            Json::String(text) => text.parse().ok(),
            _ => None,
        },
        Value::DateTime(_) | Value::Null => None,
    };
    number.map_or(Value::Null, Value::Long)
}

fn within_int(value: Value) -> Value {
    match value {
        Value::Long(number) if i32::try_from(number).is_err() => Value::Null,
        other => other,
    }
}

fn to_real(value: &Value) -> Value {
    let number = match value {
        Value::Real(number) => Some(*number),
        Value::Long(number) => number.to_string().parse().ok(),
        Value::Dynamic(dynamic) => dynamic.json.as_f64(),
        Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    number.map_or(Value::Null, Value::Real)
}

fn to_datetime(value: &Value) -> Value {
    match value {
        Value::DateTime(moment) => Value::DateTime(*moment),
        other => DateTime::parse(&other.to_text()).map_or(Value::Null, Value::DateTime),
    }
}

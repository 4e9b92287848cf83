//! Replaces `${NAME}` in the values of a config by environment variables; `$${` means the characters `${`.
//!
//! Keys are never expanded, and the value of a variable is not expanded again. No error shows a value, because it may be a
//! secret. Secrets are expanded where they are read, because not every verb needs them.

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Key, Node, Value};

use super::Environment;
use super::secret::is_secret;

/// The directory in which systemd puts the credentials of a service.
pub(crate) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Returns the value at `at` with every variable replaced. A value with an error stays as it is.
pub(crate) fn expand(at: &At<'_>, environment: &Environment<'_>, errors: &mut Vec<Diagnostic>) -> Node {
    let value = match &at.node.value {
        Value::Null => Value::Null,
        Value::Scalar { text, is_plain } => Value::Scalar {
            text: expand_text(at, text, environment).unwrap_or_else(|error| {
                errors.push(error);
                text.clone()
            }),
            is_plain: *is_plain,
        },
        Value::List(_) => Value::List(expand_list(at, environment, errors)),
        Value::Map(_) => Value::Map(expand_map(at, environment, errors)),
    };
    Node { line: at.node.line, value }
}

fn expand_list(at: &At<'_>, environment: &Environment<'_>, errors: &mut Vec<Diagnostic>) -> Vec<Node> {
    let items = at.list().unwrap_or_default();
    items.iter().map(|item| expand(item, environment, errors)).collect()
}

fn expand_map(at: &At<'_>, environment: &Environment<'_>, errors: &mut Vec<Diagnostic>) -> Vec<(Key, Node)> {
    let Ok(map) = at.any_map() else {
        return Vec::new();
    };
    map.entries()
        .map(|(name, at)| {
            let key = Key { name: name.to_owned(), line: at.line() };
            let node = if is_secret(name) { at.node.clone() } else { expand(&at, environment, errors) };
            (key, node)
        })
        .collect()
}

/// Returns `text`, which was written at `at`, with every variable replaced.
pub(super) fn expand_text(at: &At<'_>, text: &str, environment: &Environment<'_>) -> Result<String, Diagnostic> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        let after = &rest[start + 2..];
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        let (name, after) = variable(after).ok_or_else(|| not_a_variable(at))?;
        expanded.push_str(before);
        expanded.push_str(&look_up(at, name, environment)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Splits `NAME}...` into the name and the rest, or returns `None` if it does not begin with a name.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.split_once('}')?;
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, after))
}

fn not_a_variable(at: &At<'_>) -> Diagnostic {
    at.error("`${` without the name of a variable and `}`", "write ${NAME}, or $${ for the characters themselves")
}

fn look_up(at: &At<'_>, name: &str, environment: &Environment<'_>) -> Result<String, Diagnostic> {
    environment(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        let fix = match name {
            CREDENTIALS_DIRECTORY => format!("only the service has it: run {}", with_credentials(at)),
            _ => format!("set {name} before the start, or write the value here"),
        };
        at.error(format!("the environment variable {name} is unset or empty"), fix)
    })
}

/// Returns this command line as one that systemd runs with the credential at `at`, as the user of the shipped unit.
fn with_credentials(at: &At<'_>) -> String {
    let text = at.text().unwrap_or_default();
    let credential = text.rsplit('/').next().filter(|name| is_plain(name)).unwrap_or("slack");
    let file = if credential == "slack" { "slack-webhook" } else { credential };
    let program = std::env::current_exe().unwrap_or_else(|_| "stakeout".into());
    let command: Vec<String> = std::iter::once(program.display().to_string())
        .chain(std::env::args().skip(1))
        .map(|word| if is_plain(&word) { word } else { format!("'{}'", word.replace('\'', r"'\''")) })
        .collect();
    format!(
        "sudo systemd-run --pipe --wait --same-dir -p DynamicUser=yes -p User=stakeout -p StateDirectory=stakeout \
         -p EnvironmentFile=-/etc/stakeout/environment -p LoadCredential={credential}:/etc/stakeout/{file} {}",
        command.join(" ")
    )
}

/// Returns whether a shell takes `word` as it is.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.,:=_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use stakeout_core::yaml;

    use super::*;

    fn expanded(value: &str) -> Result<String, String> {
        let documents = yaml::parse("f.yaml", &format!("a: '{value}'\n")).expect("YAML");
        let mut errors = Vec::new();
        let environment = |name: &str| match name {
            "REGION" => Some("eu-west-1".to_owned()),
            "NESTED" => Some("${REGION}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let node = expand(&At::top("f.yaml", &documents[0]), &environment, &mut errors);
        match errors.pop() {
            Some(error) => Err(error.to_string()),
            None => {
                let top = At::top("f.yaml", &node).any_map().expect("a mapping");
                Ok(top.get("a").expect("there").text().expect("text").to_owned())
            }
        }
    }

    #[test]
    fn variables_are_replaced_once_and_escapes_stay() {
        assert_eq!(expanded("${REGION}").as_deref(), Ok("eu-west-1"));
        assert_eq!(expanded("x-${REGION}-${REGION}!").as_deref(), Ok("x-eu-west-1-eu-west-1!"));
        assert_eq!(expanded("${NESTED}").as_deref(), Ok("${REGION}"));
        assert_eq!(expanded("$${REGION}").as_deref(), Ok("${REGION}"));
        assert_eq!(expanded("a$b $REGION {}").as_deref(), Ok("a$b $REGION {}"));
    }

    #[test]
    fn unset_empty_and_malformed_variables_are_errors() {
        let unset = "f.yaml:1: a: the environment variable NOPE is unset or empty (set NOPE before the start, or write the value here)";
        assert_eq!(expanded("${NOPE}"), Err(unset.to_owned()));
        assert_eq!(expanded("${EMPTY}"), Err(unset.replace("NOPE", "EMPTY")));
        for text in ["${", "${}", "${REGION", "${RE GION}", "${REGION:-x}", "${1}"] {
            let error = expanded(text).expect_err(text);
            assert!(error.contains("without the name of a variable"), "{error}");
        }
    }
}

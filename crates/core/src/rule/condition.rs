//! The `condition` of a Sigma rule: `selection and not 1 of filter_*`, read into an expression.

use super::detection::Expression;
use super::glob::Glob;

/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 32;

/// Returns the expression that `condition` makes of the named selections, or what is wrong with it and the fix.
pub(super) fn parse(condition: &str, selections: &[(&str, Expression)]) -> Result<Expression, (String, String)> {
    let tokens = tokens(condition);
    let mut parser = Parser { tokens: &tokens, at: 0, selections, depth: 0 };
    let expression = parser.any_of()?;
    match parser.peek() {
        None => Ok(expression),
        Some("|") => Err((
            "aggregations after `|` are not supported".to_owned(),
            "write a correlation of type event_count instead".to_owned(),
        )),
        Some(token) => Err((format!("unexpected `{token}`"), "join selections with `and` or `or`".to_owned())),
    }
}

/// Returns whether `condition` names `selection`, itself or among others.
pub(super) fn names(condition: &str, selection: &str) -> bool {
    tokens(condition).iter().any(|token| is_meant(token, selection))
}

fn tokens(condition: &str) -> Vec<String> {
    condition.replace('(', " ( ").replace(')', " ) ").split_whitespace().map(str::to_owned).collect()
}

/// Returns whether a word of a condition means `selection`: its name, a name with `*`, or `them`, which excludes names that
/// begin with `_`.
fn is_meant(word: &str, selection: &str) -> bool {
    if word.eq_ignore_ascii_case("them") {
        !selection.starts_with('_')
    } else {
        Glob::parse(word, true).fits(selection)
    }
}

struct Parser<'a> {
    tokens: &'a [String],
    at: usize,
    selections: &'a [(&'a str, Expression)],
    depth: usize,
}

type Parsed = Result<Expression, (String, String)>;

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.peek().is_some_and(|token| token.eq_ignore_ascii_case(word));
        self.at += usize::from(is_next);
        is_next
    }

    fn any_of(&mut self) -> Parsed {
        let mut parts = vec![self.all_of()?];
        while self.take("or") {
            parts.push(self.all_of()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Or(parts) })
    }

    fn all_of(&mut self) -> Parsed {
        let mut parts = vec![self.one()?];
        while self.take("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) })
    }

    fn one(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((
                "the condition nests too deep".to_owned(),
                "move a part of it into its own selection".to_owned(),
            ));
        }
        let term = self.term();
        self.depth -= 1;
        term
    }

    fn term(&mut self) -> Parsed {
        if self.take("not") {
            return Ok(Expression::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any_of()?;
            if !self.take(")") {
                return Err(("a parenthesis is not closed".to_owned(), "add `)`".to_owned()));
            }
            return Ok(inner);
        }
        let Some(word) = self.tokens.get(self.at) else {
            return Err(("the condition is incomplete".to_owned(), "end it with the name of a selection".to_owned()));
        };
        self.at += 1;
        let of = self.peek().is_some_and(|next| next.eq_ignore_ascii_case("of"));
        if !of {
            return self.named(word);
        }
        self.at += 1;
        match word.to_ascii_lowercase().as_str() {
            "1" | "any" => Ok(Expression::Or(self.quantified()?)),
            "all" => Ok(Expression::And(self.quantified()?)),
            _ => Err((format!("`{word} of` is not Sigma"), "use `1 of`, `any of` or `all of`".to_owned())),
        }
    }

    fn named(&self, name: &str) -> Parsed {
        let known: Vec<&str> = self.selections.iter().map(|(name, _)| *name).collect();
        self.selections
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, expression)| expression.clone())
            .ok_or_else(|| (format!("no selection is named `{name}`"), crate::diagnostic::suggestion(name, &known)))
    }

    /// Reads the names after `1 of` or `all of`.
    fn quantified(&mut self) -> Result<Vec<Expression>, (String, String)> {
        let Some(pattern) = self.tokens.get(self.at) else {
            return Err((
                "the condition is incomplete".to_owned(),
                "write `them` or a name with `*` after `of`".to_owned(),
            ));
        };
        self.at += 1;
        let parts: Vec<Expression> = self
            .selections
            .iter()
            .filter(|(name, _)| is_meant(pattern, name))
            .map(|(_, expression)| expression.clone())
            .collect();
        if parts.is_empty() {
            let known: Vec<&str> = self.selections.iter().map(|(name, _)| *name).collect();
            return Err((format!("no selection fits `{pattern}`"), format!("expected one of: {}", known.join(", "))));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(condition: &str) -> Result<String, String> {
        let is = |name: &str| {
            (Expression::Is {
                field: crate::field::Field::Annotation(name.to_owned()),
                patterns: Vec::new(),
                all: false,
            })
            .clone()
        };
        let names = ["a", "b", "filter_x", "filter_y", "_note"];
        let selections: Vec<(&str, Expression)> = names.iter().map(|name| (*name, is(name))).collect();
        fn spell(expression: &Expression) -> String {
            match expression {
                Expression::And(parts) => format!("({})", parts.iter().map(spell).collect::<Vec<_>>().join("&")),
                Expression::Or(parts) => format!("({})", parts.iter().map(spell).collect::<Vec<_>>().join("|")),
                Expression::Not(part) => format!("!{}", spell(part)),
                Expression::Since(time) => time.to_string(),
                Expression::Is { field, .. } => field.name().replace("annotations.", ""),
            }
        }
        parse(condition, &selections).map(|expression| spell(&expression)).map_err(|(problem, _)| problem)
    }

    #[test]
    fn precedence_and_quantifiers() {
        assert_eq!(shape("a or b and not a").as_deref(), Ok("(a|(b&!a))"));
        assert_eq!(shape("(a or b) and not 1 of filter_*").as_deref(), Ok("((a|b)&!(filter_x|filter_y))"));
        assert_eq!(shape("all of them").as_deref(), Ok("(a&b&filter_x&filter_y)"));
        assert_eq!(shape("NOT a AND b").as_deref(), Ok("(!a&b)"));
        assert_eq!(shape("1 of *_x or any of f*_y").as_deref(), Ok("((filter_x)|(filter_y))"));
    }

    #[test]
    fn errors() {
        for (condition, problem) in [
            ("a and", "the condition is incomplete"),
            ("c", "no selection is named `c`"),
            ("(a", "a parenthesis is not closed"),
            ("a b", "unexpected `b`"),
            ("1 of zeta*", "no selection fits `zeta*`"),
            ("2 of them", "`2 of` is not Sigma"),
            ("a | count() > 5", "aggregations after `|` are not supported"),
        ] {
            assert_eq!(shape(condition), Err(problem.to_owned()));
        }
        assert!(shape(&format!("{}a", "not ".repeat(1000))).is_err());
    }
}

//! What the expressions of the query languages share.

/// Joins operands with `join`; a single one stays as it is.
pub(crate) fn joined<E>(mut operands: Vec<E>, join: fn(Vec<E>) -> E) -> E {
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        last => {
            operands.extend(last);
            join(operands)
        }
    }
}

//! The form of an AWS Signature Version 4 header. The fake holds no secrets and does not verify the signature itself:
//! the mistakes in practice are a missing header, a wrong service or a wrong region.

use crate::exchange::HttpRequest;

/// The credential scope: who signed, for which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) access_key: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

/// Why a request is not validly signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsigned {
    MissingToken,
    Incomplete(String),
    Mismatch(String),
}

/// Checks the header's form and that it was signed for this service.
pub(crate) fn check(request: &HttpRequest, service: &str) -> Result<Scope, Unsigned> {
    let header = request.header("authorization").ok_or(Unsigned::MissingToken)?;
    let scope = scope_of(header).ok_or_else(|| Unsigned::Incomplete(format!("Authorization header {header:?}")))?;
    let signed = part(header, "SignedHeaders").unwrap_or_default();
    if !signed.split(';').any(|name| name == "host") {
        return Err(Unsigned::Incomplete("'Host' must be a signed header".to_owned()));
    }
    let signature = part(header, "Signature").unwrap_or_default();
    if signature.len() != 64 || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Unsigned::Incomplete("Signature is not 64 hexadecimal digits".to_owned()));
    }
    let Some(date) = request.header("x-amz-date") else {
        return Err(Unsigned::Incomplete("X-Amz-Date is missing".to_owned()));
    };
    if !date.starts_with(&scope.date) {
        return Err(Unsigned::Mismatch(format!("Date in Credential scope does not match X-Amz-Date {date}")));
    }
    if scope.service != service {
        return Err(Unsigned::Mismatch(format!("Credential should be scoped to correct service: '{service}'.")));
    }
    Ok(scope)
}

/// Reads the credential scope, if the header holds a complete one.
pub(crate) fn scope_of(header: &str) -> Option<Scope> {
    header.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let credential = part(header, "Credential")?;
    let fields: Vec<&str> = credential.split('/').collect();
    let [access_key, date, region, service, "aws4_request"] = fields[..] else {
        return None;
    };
    let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    if access_key.is_empty() || region.is_empty() || !is_date {
        return None;
    }
    Some(Scope {
        access_key: access_key.to_owned(),
        date: date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    })
}

/// Returns the value of one `name=value` part.
fn part<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let parts = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
    parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_needs_all_five_fields() {
        let whole =
            "AWS4-HMAC-SHA256 Credential=AK/20261122/eu-west-1/logs/aws4_request, SignedHeaders=host, Signature=0";
        let scope = Scope {
            access_key: "AK".to_owned(),
            date: "20261122".to_owned(),
            region: "eu-west-1".to_owned(),
            service: "logs".to_owned(),
        };
        assert_eq!(scope_of(whole), Some(scope));
        for broken in [
            "Bearer abc",
            "AWS4-HMAC-SHA256 Credential=AK/20261122/eu-west-1/logs",
            "AWS4-HMAC-SHA256 Credential=AK/2026/eu-west-1/logs/aws4_request",
            "AWS4-HMAC-SHA256 Credential=AK/20261122//logs/aws4_request",
        ] {
            assert_eq!(scope_of(broken), None, "{broken}");
        }
    }
}

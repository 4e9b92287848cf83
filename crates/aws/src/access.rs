//! Where AWS is asked and as whom, and what follows from that without asking anybody.

use std::fmt;
use std::net::IpAddr;

/// How a service of AWS is reached, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The region, such as `eu-west-1`.
    pub region: String,
    /// A URL to use in place of the region's own.
    pub endpoint: Option<String>,
    /// The role to take on first, where the service belongs to another account.
    pub assume_role: Option<AssumeRole>,
    /// Where the credentials come from that sign the first request.
    pub credential: Credential,
}

/// A role that is taken on before the service is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role's ARN.
    pub arn: String,
    /// What the role's owner asks for beside the ARN. It is nearly a password, so `Debug` leaves it out.
    pub external_id: Option<String>,
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// The SDK's chain: environment, profile, web identity (IRSA), container (EKS Pod Identity), instance metadata.
    #[default]
    Default,
    /// A placeholder, for fakes: it signs in form and opens nothing.
    Anonymous,
}

impl Access {
    /// Returns access to a region's own endpoints with the default credentials.
    #[must_use]
    pub fn new(region: impl Into<String>) -> Access {
        Access { region: region.into(), endpoint: None, assume_role: None, credential: Credential::Default }
    }

    /// Returns access to a fake that takes the place of a region.
    #[must_use]
    pub fn stand_in(region: impl Into<String>, endpoint: impl Into<String>) -> Access {
        Access { endpoint: Some(endpoint.into()), credential: Credential::Anonymous, ..Access::new(region) }
    }

    /// Returns host and port of the endpoint, as they were written.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.endpoint.as_deref().map(authority_of)
    }

    /// Returns the endpoint where it is on this machine, so that credentials may be asked for there as well.
    #[must_use]
    pub fn loopback_endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|url| is_loopback(authority_of(url)))
    }
}

impl AssumeRole {
    /// Returns the account that the ARN names: `arn:PARTITION:SERVICE:REGION:ACCOUNT:...`, twelve digits.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let mut parts = self.arn.split(':');
        let is_arn = parts.next() == Some("arn");
        let account = parts.nth(3).filter(|_| is_arn)?;
        (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
    }
}

/// Shows that there is an external id, not which.
impl fmt::Debug for AssumeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumeRole")
            .field("arn", &self.arn)
            .field("external_id", &self.external_id.as_ref().map(|_| format_args!("[hidden]")))
            .finish()
    }
}

/// Returns `HOST:PORT` of a URL.
fn authority_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(arn: &str) -> AssumeRole {
        AssumeRole { arn: arn.to_owned(), external_id: Some("canary-7f3a".to_owned()) }
    }

    #[test]
    fn an_endpoint_is_named_by_host_and_port() {
        for (url, authority, is_loopback) in [
            ("http://127.0.0.1:1", "127.0.0.1:1", true),
            ("http://localhost/x", "localhost", true),
            ("https://[::1]:4566/a?b", "[::1]:4566", true),
            ("http://user@127.8.0.1", "127.8.0.1", true),
            ("http://localhost.example.com", "localhost.example.com", false),
            ("http://localhost@example.com/", "example.com", false),
            ("http://10.0.0.1", "10.0.0.1", false),
            ("http://example.com/@localhost", "example.com", false),
            ("", "", false),
        ] {
            let access = Access::stand_in("eu-west-1", url);
            assert_eq!(access.authority(), Some(authority), "{url}");
            assert_eq!(access.loopback_endpoint(), is_loopback.then_some(url), "{url}");
        }
        let access = Access::new("eu-west-1");
        assert_eq!((access.authority(), access.loopback_endpoint()), (None, None));
    }

    #[test]
    fn a_role_belongs_to_the_account_in_its_arn() {
        assert_eq!(role("arn:aws:iam::123456789012:role/reader").account(), Some("123456789012"));
        for odd in ["", "reader", "urn:aws:iam::123456789012:role/reader", "arn:aws:iam::1234:role/reader", "arn:aws"] {
            assert_eq!(role(odd).account(), None, "{odd}");
        }
    }

    #[test]
    fn an_external_id_is_not_shown() {
        let role = role("arn:aws:iam::123456789012:role/reader");
        let access = Access { assume_role: Some(role), ..Access::new("eu-west-1") };
        let shown = format!("{access:?} {access:#?}");
        assert!(shown.contains("[hidden]") && !shown.contains("canary"), "{shown}");
    }
}

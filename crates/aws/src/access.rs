//! The endpoint and the identity for AWS, and what follows from them without a request.

use std::fmt;

use stakeout_http::Endpoint;

/// How to reach a service of AWS, and with which identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The region, such as `eu-west-1`.
    pub region: String,
    /// The address to ask instead of the region's own.
    pub endpoint: Option<Endpoint>,
    /// The role to assume first, where the service belongs to another account.
    pub assume_role: Option<AssumeRole>,
    /// Where the credentials come from that sign the first request.
    pub credential: Credential,
}

/// A role that is assumed before the first request.
#[derive(Clone, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role's ARN.
    pub arn: String,
    /// The external id that the role's owner requires. It is nearly a password, so `Debug` leaves it out.
    pub external_id: Option<String>,
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// The SDK's chain: environment, profile, web identity (IRSA), container (EKS Pod Identity), instance metadata.
    #[default]
    Default,
    /// A placeholder for fakes: its signatures have the right form and grant nothing.
    Anonymous,
}

impl Access {
    /// Returns access to a region's own endpoints with the default credentials.
    #[must_use]
    pub fn new(region: impl Into<String>) -> Access {
        Access { region: region.into(), endpoint: None, assume_role: None, credential: Credential::Default }
    }

    /// Returns access to a fake of AWS, without credentials.
    #[must_use]
    pub fn fake(region: impl Into<String>, endpoint: Endpoint) -> Access {
        Access { endpoint: Some(endpoint), credential: Credential::Anonymous, ..Access::new(region) }
    }

    /// Returns the addresses that are asked: that of the service (`logs`, `sns`), and that of STS where a role is assumed.
    ///
    /// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
    #[must_use]
    pub fn addresses(&self, service: &str) -> Vec<String> {
        let domain = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let own = |service: &str| format!("https://{service}.{}.{domain}", self.region);
        let endpoint = self.endpoint.as_ref().map(ToString::to_string);
        let sts = self.assume_role.as_ref().map(|_| match self.loopback_endpoint() {
            Some(endpoint) => endpoint.to_string(),
            None => own("sts"),
        });
        [Some(endpoint.unwrap_or_else(|| own(service))), sts].into_iter().flatten().collect()
    }

    /// Returns the endpoint if it is on this machine, where it gives out credentials as well.
    #[must_use]
    pub fn loopback_endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref().filter(|endpoint| endpoint.is_loopback())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn role(arn: &str) -> AssumeRole {
        AssumeRole { arn: arn.to_owned(), external_id: Some("canary-7f3a".to_owned()) }
    }

    #[test]
    fn a_loopback_endpoint_is_recognized() {
        let access = |text: &str| Access::fake("eu-west-1", Endpoint::parse_base(text).expect("an address"));
        assert!(access("http://127.0.0.1:1").loopback_endpoint().is_some());
        assert_eq!(access("https://logs.example.com").loopback_endpoint(), None);
        assert_eq!(Access::new("eu-west-1").loopback_endpoint(), None);
    }

    #[test]
    fn a_role_belongs_to_the_account_in_its_arn() {
        assert_eq!(role("arn:aws:iam::123456789012:role/reader").account(), Some("123456789012"));
        for odd in ["", "reader", "urn:aws:iam::123456789012:role/reader", "arn:aws:iam::1234:role/reader", "arn:aws"] {
            assert_eq!(role(odd).account(), None, "{odd}");
        }
    }

    #[test]
    fn a_service_and_sts_have_addresses_in_the_region() {
        let mut access = Access::new("cn-north-1");
        assert_eq!(access.addresses("sns"), ["https://sns.cn-north-1.amazonaws.com.cn"]);
        access =
            Access { assume_role: Some(role("arn:aws:iam::123456789012:role/reader")), ..Access::new("eu-west-1") };
        let own = ["https://logs.eu-west-1.amazonaws.com", "https://sts.eu-west-1.amazonaws.com"];
        assert_eq!(access.addresses("logs"), own);
        access.endpoint = Endpoint::parse_base("https://vpce-1.logs.eu-west-1.vpce.amazonaws.com/x").ok();
        assert_eq!(access.addresses("logs"), ["https://vpce-1.logs.eu-west-1.vpce.amazonaws.com", own[1]]);
        access.endpoint = Endpoint::parse_base("http://127.0.0.1:1").ok();
        assert_eq!(access.addresses("logs"), ["http://127.0.0.1:1", "http://127.0.0.1:1"]);
    }

    #[test]
    fn an_external_id_is_not_shown() {
        let role = role("arn:aws:iam::123456789012:role/reader");
        let access = Access { assume_role: Some(role), ..Access::new("eu-west-1") };
        let shown = format!("{access:?} {access:#?}");
        assert!(shown.contains("[hidden]") && !shown.contains("canary"), "{shown}");
    }
}

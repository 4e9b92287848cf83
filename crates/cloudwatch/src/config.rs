//! What is to be read and as whom; and what follows from that without asking anybody: the log's identity, its cluster,
//! the budget that its requests draw on.
//!
//! Parsing YAML and refusing nonsense in it is not done here.

use std::fmt;
use std::net::IpAddr;

/// How EKS names the streams of the audit log; other streams of the group hold other logs of the control plane.
/// <https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html>
const AUDIT_STREAM_PREFIX: &str = "kube-apiserver-audit";
/// Stands for the account of the default credentials, whose number is not known without asking.
const OWN_ACCOUNT: &str = "default";

/// One log group, and how to get at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudWatchConfig {
    /// The region that holds the group.
    pub region: String,
    /// The group's name or ARN.
    pub log_group: String,
    /// What the names of the streams begin with; empty reads every stream of the group.
    pub stream_prefix: String,
    /// The role to take on first, where the log belongs to another account.
    pub assume_role: Option<AssumeRole>,
    /// A URL to use in place of the region's own.
    pub endpoint: Option<String>,
    /// Events per page, 1 to 10,000; the service's own choice where `None`.
    pub page_size: Option<i32>,
    /// Where the credentials come from that sign the first request.
    pub credential: Credential,
}

/// A role that is taken on to read a log.
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
    /// A placeholder, for stand-ins: it signs in form and opens nothing.
    Anonymous,
}

impl CloudWatchConfig {
    /// Returns the config of a group's audit streams, read with the default credentials.
    #[must_use]
    pub fn new(region: impl Into<String>, log_group: impl Into<String>) -> CloudWatchConfig {
        CloudWatchConfig {
            region: region.into(),
            log_group: log_group.into(),
            stream_prefix: AUDIT_STREAM_PREFIX.to_owned(),
            assume_role: None,
            endpoint: None,
            page_size: None,
            credential: Credential::Default,
        }
    }

    /// Returns whose quota a request counts against: the account that asks (or its role, where that names none), and
    /// the region. Sources with equal keys share [`requests_per_second`].
    #[must_use]
    pub fn budget_key(&self) -> (String, String) {
        (self.calling_account().to_owned(), self.region.clone())
    }

    /// Returns the endpoint where it is on this machine, so that credentials may be asked for there as well.
    pub(crate) fn loopback_endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|url| is_loopback(authority_of(url)))
    }

    fn calling_account(&self) -> &str {
        match &self.assume_role {
            Some(role) => account_in(&role.arn).unwrap_or(&role.arn),
            None => self.loopback_endpoint().map_or(OWN_ACCOUNT, authority_of),
        }
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

/// Returns how often an account may ask for events in a region, per second. The quota cannot be raised.
///
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>, "FilterLogEvents throttle
/// limit in transactions per second".
#[must_use]
pub fn requests_per_second(region: &str) -> u32 {
    match region {
        "us-east-1" => 25,
        "ap-northeast-3" | "ap-southeast-3" | "ca-west-1" | "eu-central-1" | "il-central-1" => 5,
        _ => 10,
    }
}

/// Returns the name of a group given by name or by ARN.
pub(crate) fn group_name(log_group: &str) -> &str {
    group_arn(log_group).map_or(log_group, |arn| arn.splitn(7, ':').nth(6).unwrap_or(arn))
}

/// Returns a group's ARN as a request takes it, or `None` where the group is given by name. Consoles and policies show it
/// with `:*` at its end, which the API refuses.
pub(crate) fn group_arn(log_group: &str) -> Option<&str> {
    let mut parts = log_group.splitn(7, ':');
    let is_arn = parts.next() == Some("arn")
        && parts.nth(1) == Some("logs")
        && parts.nth(2) == Some("log-group")
        && parts.next().is_some();
    is_arn.then(|| log_group.strip_suffix(":*").unwrap_or(log_group))
}

/// Returns the account that an ARN names: `arn:PARTITION:SERVICE:REGION:ACCOUNT:...`, twelve digits.
fn account_in(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let account = if parts.next() == Some("arn") {
        parts.nth(3)?
    } else {
        return None;
    };
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
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

    const ARN: &str = "arn:aws-cn:logs:cn-north-1:210987654321:log-group:/aws/eks/prod/cluster:*";

    #[test]
    fn a_budget_belongs_to_the_account_that_asks_and_the_region() {
        let mut config = CloudWatchConfig::new("eu-west-1", ARN);
        let key = |account: &str| (account.to_owned(), "eu-west-1".to_owned());
        assert_eq!(config.budget_key(), key(OWN_ACCOUNT));
        config.endpoint = Some("http://127.0.0.1:4566/".to_owned());
        assert_eq!(config.budget_key(), key("127.0.0.1:4566"));
        config.assume_role =
            Some(AssumeRole { arn: "arn:aws:iam::123456789012:role/reader".to_owned(), external_id: None });
        assert_eq!(config.budget_key(), key("123456789012"));
    }

    #[test]
    fn a_group_is_known_by_name_and_by_arn() {
        assert_eq!(group_arn(ARN), Some("arn:aws-cn:logs:cn-north-1:210987654321:log-group:/aws/eks/prod/cluster"));
        assert_eq!(group_arn("/aws/eks/prod/cluster"), None);
        assert_eq!(group_arn("arn:aws:logs:eu-west-1:1:destination:x"), None);
        assert_eq!([ARN, "audit"].map(group_name), ["/aws/eks/prod/cluster", "audit"]);
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for url in ["http://127.0.0.1:1", "http://localhost/x", "https://[::1]:4566/a?b", "http://user@127.8.0.1"] {
            assert!(is_loopback(authority_of(url)), "{url}");
        }
        for url in [
            "http://localhost.example.com",
            "http://localhost@example.com/",
            "http://10.0.0.1",
            "http://example.com/@localhost",
            "",
        ] {
            assert!(!is_loopback(authority_of(url)), "{url}");
        }
    }

    #[test]
    fn an_external_id_is_not_shown() {
        let mut config = CloudWatchConfig::new("eu-west-1", "audit");
        config.assume_role = Some(AssumeRole {
            arn: "arn:aws:iam::123456789012:role/reader".to_owned(),
            external_id: Some("canary-7f3a".to_owned()),
        });
        let shown = format!("{config:?} {config:#?}");
        assert!(shown.contains("[hidden]") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn quotas_are_those_of_the_page() {
        assert_eq!(["us-east-1", "eu-central-1", "eu-west-1", "moon-1"].map(requests_per_second), [25, 5, 10, 10]);
    }
}

//! Which log to read, and what follows from that without a request: the group's name, and the budget for its requests.
//!
//! Parsing and checking YAML is not done here.

use stakeout_aws::Access;
use stakeout_http::Endpoint;

/// How EKS names the streams of the audit log; other streams of the group hold other logs of the control plane.
/// <https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html>
pub(crate) const AUDIT_STREAM_PREFIX: &str = "kube-apiserver-audit";
/// The account of the default credentials, whose number is unknown without a request.
const OWN_ACCOUNT: &str = "default";

/// One log group, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudWatchConfig {
    /// How CloudWatch Logs is reached, in the region that holds the group, and as whom.
    pub access: Access,
    /// The group's name or ARN.
    pub log_group: String,
    /// What the names of the streams begin with; empty reads every stream of the group.
    pub stream_prefix: String,
    /// Events per page, 1 to 10,000; the service's own choice where `None`.
    pub page_size: Option<i32>,
}

impl CloudWatchConfig {
    /// Returns the config of a group's audit streams.
    #[must_use]
    pub fn new(access: Access, log_group: impl Into<String>) -> CloudWatchConfig {
        CloudWatchConfig {
            access,
            log_group: log_group.into(),
            stream_prefix: AUDIT_STREAM_PREFIX.to_owned(),
            page_size: None,
        }
    }

    /// Returns the key of the quota that a request counts against: the calling account (or its role, if that names no
    /// account) and the region. Sources with equal keys share [`requests_per_second`].
    #[must_use]
    pub fn budget_key(&self) -> (String, String) {
        (self.calling_account().to_owned(), self.access.region.clone())
    }

    fn calling_account(&self) -> &str {
        match &self.access.assume_role {
            Some(role) => role.account().unwrap_or(&role.arn),
            None => self.access.loopback_endpoint().map_or(OWN_ACCOUNT, Endpoint::authority),
        }
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

/// Returns the command that switches on the audit log of an EKS cluster.
#[must_use]
pub fn audit_log_command(region: &str, cluster: &str) -> String {
    format!(
        "aws eks update-cluster-config --region {region} --name {cluster} --logging \
         '{{\"clusterLogging\":[{{\"types\":[\"audit\"],\"enabled\":true}}]}}'"
    )
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

#[cfg(test)]
mod tests {
    use stakeout_aws::AssumeRole;

    use super::*;

    const ARN: &str = "arn:aws-cn:logs:cn-north-1:210987654321:log-group:/aws/eks/prod/cluster:*";

    #[test]
    fn a_budget_belongs_to_the_account_that_asks_and_the_region() {
        let mut config = CloudWatchConfig::new(Access::new("eu-west-1"), ARN);
        let key = |account: &str| (account.to_owned(), "eu-west-1".to_owned());
        assert_eq!(config.budget_key(), key(OWN_ACCOUNT));
        config.access = Access::fake("eu-west-1", Endpoint::parse_base("http://127.0.0.1:4566/").expect("an address"));
        assert_eq!(config.budget_key(), key("127.0.0.1:4566"));
        config.access.assume_role =
            Some(AssumeRole { arn: "arn:aws:iam::123456789012:role/reader".to_owned(), external_id: None });
        assert_eq!(config.budget_key(), key("123456789012"));
    }

    #[test]
    fn a_group_is_given_by_name_or_by_arn() {
        assert_eq!(group_arn(ARN), Some("arn:aws-cn:logs:cn-north-1:210987654321:log-group:/aws/eks/prod/cluster"));
        assert_eq!(group_arn("/aws/eks/prod/cluster"), None);
        assert_eq!(group_arn("arn:aws:logs:eu-west-1:1:destination:x"), None);
        assert_eq!([ARN, "audit"].map(group_name), ["/aws/eks/prod/cluster", "audit"]);
    }

    #[test]
    fn quotas_are_as_documented() {
        assert_eq!(["us-east-1", "eu-central-1", "eu-west-1", "moon-1"].map(requests_per_second), [25, 5, 10, 10]);
    }
}

//! Which EKS clusters there are, by the log groups of accounts and regions: `discover: cloudwatch` in the config.
//!
//! A log group's name comes from the service, and whoever may create a group chooses it: only what can be the name of a
//! cluster is one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use stakeout_aws::{Access, AssumeRole};
use stakeout_cloudwatch::{CloudWatchRegion, GroupOwners, ListedGroup, audit_log_command};
use stakeout_core::check::Check;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::record::{FetchError, PageToken};
use stakeout_core::source::LogId;
use stakeout_core::yaml::At;

use super::{AUDIT_STREAM_PREFIX, LogGroup, Settings, is_group_name};
use crate::cloud::budget::{Budget, Budgets, Quota};
use crate::cloud::{Cloud, FoundLog, FoundPage, LastWritten};
use crate::outbound::Outbound;
use crate::section::aws::{self, Arn};
use crate::section::cluster_choice::{self, CLUSTER, ClusterChoice};
use crate::section::{keys, listed};

const OWN_KEYS: [&str; 6] = ["regions", "accounts", "assume_role", "linked_accounts", "endpoint", "credential"];
/// Most accounts and regions of one discovery, together: each is asked at every tick.
const PLACES_MAX: usize = 1_000;
/// Calls of DescribeLogGroups in a second, for an account and region; DescribeLogStreams has more.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
const QUOTA: Quota = Quota { requests: 10, span: Duration::from_secs(1), at_once: None };
/// The variables of a cluster's name.
const ACCOUNT: &str = "{account}";
const REGION: &str = "{region}";
/// How the tokens of the second listing of a monitoring account begin, and those of the first.
const LINKED: &str = "linked ";
const OWN: &str = "own ";

/// Accounts and regions, and which of their clusters are watched.
#[derive(Clone, Debug)]
pub(crate) struct Discovery {
    places: Vec<Access>,
    sees_linked: bool,
    choice: ClusterChoice,
}

/// Lists the logs of one account and region.
pub(crate) struct Finder {
    discovery: Arc<Discovery>,
    region: CloudWatchRegion,
    budget: Arc<Budget>,
    /// The number of the account that asks, once an answer named it.
    account: OnceLock<String>,
}

impl Discovery {
    /// Reads `cloudwatch` of a discovery. Sends nothing.
    pub(crate) fn read(at: &At<'_>) -> Result<Discovery, Diagnostic> {
        let map = keys(at, &[&OWN_KEYS[..], &cluster_choice::KEYS].concat())?;
        let regions = map.need("regions", "add the regions, such as [eu-west-1]")?;
        let regions = listed(&regions, aws::region)?;
        let accounts = map.get("accounts").map(|at| listed(&at, aws::account)).transpose()?;
        if let (Some(at), None) = (map.get("accounts"), map.get("assume_role")) {
            return Err(at.error(
                "other accounts need a role in each of them",
                "add assume_role: {arn: \"arn:aws:iam::{account}:role/stakeout\"}",
            ));
        }
        if let (Some(at), true) = (map.get("endpoint"), regions.len() > 1) {
            return Err(at.error("one endpoint for several regions", "write a discovery for each region"));
        }
        let accounts: Vec<Option<&str>> = match &accounts {
            Some(accounts) => accounts.iter().map(|account| Some(account.as_str())).collect(),
            None => vec![None],
        };
        let mut places = Vec::new();
        for account in &accounts {
            for region in &regions {
                places.push(aws::access_in(&map, region.clone(), *account)?);
            }
        }
        if places.len() > PLACES_MAX {
            let problem = format!("{} accounts and regions together", places.len());
            return Err(at.error(problem, format!("keep at most {PLACES_MAX}, and run a second daemon for the others")));
        }
        let sees_linked = map.get("linked_accounts").map(|at| at.boolean()).transpose()?.unwrap_or(false);
        let mut usual = CLUSTER.to_owned();
        if accounts.len() > 1 || sees_linked {
            usual += &format!("/{ACCOUNT}");
        }
        if regions.len() > 1 {
            usual += &format!("/{REGION}");
        }
        let choice = ClusterChoice::read(&map, &[ACCOUNT, REGION], usual)?;
        Ok(Discovery { places, sees_linked, choice })
    }

    /// Sets up a finder for each account and region. Sends nothing.
    pub(crate) fn connect(self: &Arc<Self>, budgets: &mut Budgets, outbound: &Outbound) -> Vec<Finder> {
        let mut finder = |access: &Access| {
            let key = (format!("list {}", caller(access)), access.region.clone());
            let region = CloudWatchRegion::sharing(access.clone(), &outbound.aws, &outbound.sessions);
            Finder { discovery: self.clone(), region, budget: budgets.of(key, QUOTA), account: OnceLock::new() }
        };
        self.places.iter().map(&mut finder).collect()
    }

    /// Returns the cluster of a log group, if it is one that is watched.
    fn cluster_of<'n>(&self, group: &'n str) -> Option<&'n str> {
        let name = group.strip_prefix("/aws/eks/")?.strip_suffix("/cluster")?;
        (is_cluster_name(name) && self.choice.has(name)).then_some(name)
    }
}

impl Finder {
    /// Returns what tells it from the other finders of its discovery.
    pub(crate) fn id(&self) -> String {
        format!("cloudwatch/{}/{}", caller(self.region.access()), self.region.access().region)
    }

    /// Returns where it looks, for people.
    pub(crate) fn place(&self) -> String {
        let access = self.region.access();
        match access.assume_role.as_ref().and_then(AssumeRole::account) {
            Some(account) => format!("account {account} in {}", access.region),
            None => access.region.clone(),
        }
    }

    /// Returns the budget of its requests.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns whether it finds logs of accounts that the config does not name.
    pub(crate) fn sees_linked(&self) -> bool {
        self.discovery.sees_linked
    }

    /// Reads one page of the list: the first where `token` is `None`, else the one that the page before named. A monitoring
    /// account is asked for its own groups first: these are read by name, so that their state is that of a source.
    pub(crate) async fn page(&self, token: Option<&PageToken>) -> Result<FoundPage, FetchError> {
        let token = token.map_or("", |token| token.0.as_str());
        let (owners, token) = match token.strip_prefix(LINKED) {
            Some(token) => (GroupOwners::OwnAndLinked, token),
            None => (GroupOwners::Own, token.strip_prefix(OWN).unwrap_or_default()),
        };
        let token = (!token.is_empty()).then(|| PageToken(token.to_owned()));
        let page = self.region.groups(owners, token.as_ref()).await?;
        let logs = page.groups.iter().filter_map(|group| self.found(group, owners)).collect();
        let next = match (owners, page.next) {
            (GroupOwners::Own, Some(next)) => Some(format!("{OWN}{}", next.0)),
            (GroupOwners::Own, None) if self.sees_linked() => Some(LINKED.to_owned()),
            (GroupOwners::OwnAndLinked, Some(next)) => Some(format!("{LINKED}{}", next.0)),
            (_, None) => None,
        };
        Ok(FoundPage { logs, next: next.map(PageToken) })
    }

    /// Returns the log that the state knows by this id, if it is one that this finder would find.
    pub(crate) fn known(&self, log: &LogId) -> Option<FoundLog> {
        let mut parts = log.0.strip_prefix("cloudwatch/")?.splitn(3, '/');
        let (account, region, name) = (parts.next()?, parts.next()?, parts.next()?);
        let cluster = self.discovery.cluster_of(name).filter(|_| region == self.region.access().region)?;
        let by_name = self.settings(name, None);
        if by_name.log() == log.0 {
            return Some(self.log(by_name, None, cluster, 0));
        }
        let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
        let is_own = self.account.get().is_some_and(|own| own == account);
        if !is_account || !(self.sees_linked() || is_own) {
            return None;
        }
        let arn = format!("arn:{}:logs:{region}:{account}:log-group:{name}", partition(region));
        Some(self.log(self.settings(name, Some(arn)), None, cluster, 0))
    }

    /// Returns when the streams of a log were written last.
    pub(crate) async fn last_written(&self, log: &FoundLog) -> Result<LastWritten, FetchError> {
        let Cloud::Eks(settings) = &log.settings else { return Ok(LastWritten::default()) };
        let group = settings.log_group.arn.as_ref().unwrap_or(&settings.log_group.name);
        let stakeout_cloudwatch::LastWritten { audit_ms, other_ms } = self.region.last_written(group).await?;
        Ok(LastWritten { audit_ms, other_ms })
    }

    /// Returns for the doctor which way each endpoint is reached, and which permission each call needs. Sends nothing.
    pub(crate) fn setup(&self) -> Vec<Check> {
        let access = self.region.access();
        let route = |url: &str| Check::good("route", format!("{url}: {}", self.region.network().way(url)));
        let role = access.assume_role.as_ref().map_or("", |_| "sts:AssumeRole first, then ");
        let calls = format!(
            "{role}logs:DescribeLogGroups to find clusters, logs:DescribeLogStreams for those that are new or silent, and \
             logs:FilterLogEvents to read"
        );
        let routes = access.addresses("logs");
        routes.iter().map(|url| route(url)).chain([Check::good("calls", calls)]).collect()
    }

    /// Returns the fix for a list that cannot be read.
    pub(crate) fn fix(&self) -> String {
        let linked = if self.sees_linked() { " --include-linked-accounts" } else { "" };
        format!(
            "aws logs describe-log-groups --region {}{linked} --log-group-name-prefix /aws/eks/ must work with these \
             credentials; the policy for them is deploy/iam/eks-cloudwatch.json",
            self.region.access().region
        )
    }

    fn found(&self, group: &ListedGroup, owners: GroupOwners) -> Option<FoundLog> {
        let access = self.region.access();
        let arn = Arn::parse(&group.arn).filter(|arn| arn.service == "logs" && arn.region == access.region)?;
        if owners == GroupOwners::Own {
            self.account.get_or_init(|| arn.account.to_owned());
        } else if self.account.get().is_some_and(|own| own == arn.account) {
            return None; // It was found among the own ones.
        }
        let name = arn.resource.strip_prefix("log-group:").filter(|name| is_group_name(name))?;
        let cluster = self.discovery.cluster_of(name)?;
        let by_arn = self.settings(name, Some(group.arn.clone()));
        Some(match owners {
            GroupOwners::Own => self.log(self.settings(name, None), Some(by_arn), cluster, group.created_ms),
            GroupOwners::OwnAndLinked => self.log(by_arn, None, cluster, group.created_ms),
        })
    }

    fn settings(&self, name: &str, arn: Option<String>) -> Settings {
        Settings {
            access: self.region.access().clone(),
            log_group: LogGroup { name: name.to_owned(), arn },
            stream_prefix: AUDIT_STREAM_PREFIX.to_owned(),
        }
    }

    fn log(&self, settings: Settings, twin: Option<Settings>, cluster: &str, created_ms: i64) -> FoundLog {
        let region = settings.access.region.clone();
        let account = settings.log_group.account().unwrap_or_else(|| caller(&settings.access)).to_owned();
        let shown = self.discovery.choice.name(&[(ACCOUNT, &account), (REGION, &region), (CLUSTER, cluster)]);
        FoundLog {
            settings: Cloud::Eks(settings),
            twin: twin.map(|twin| Box::new(Cloud::Eks(twin))),
            cluster: shown,
            switch_on: audit_log_command(&region, cluster),
            created_ms,
        }
    }
}

/// Returns the account that asks, as the ids of its logs name it.
fn caller(access: &Access) -> &str {
    super::account_of(access)
}

/// Returns the partition of a region.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Returns whether EKS would take it as the name of a cluster.
/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html>
fn is_cluster_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=100).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
    use stakeout_core::yaml;

    use super::*;

    fn finders(text: &str) -> Vec<Finder> {
        let nodes = yaml::parse("f.yaml", text).expect("YAML");
        let discovery = Arc::new(Discovery::read(&At::top("f.yaml", &nodes[0])).expect("a discovery"));
        let outbound = Outbound::new(None).expect("a network");
        discovery.connect(&mut Budgets::new(1.0), &outbound)
    }

    fn known(finder: &Finder, account: &str, group: &str) -> Option<(String, String)> {
        let log = LogId(format!("cloudwatch/{account}/eu-west-1/{group}"));
        let found = finder.known(&log)?;
        Some((found.cluster, found.settings.log().0))
    }

    const ROLE: &str = "assume_role: {arn: 'arn:aws:iam::{account}:role/x'}";

    #[test]
    fn a_stored_log_belongs_to_the_finder_of_its_account_and_region() {
        let finders = finders(&format!(
            "{{regions: [eu-west-1, us-east-1], accounts: ['111122223333', '444455556666'], {ROLE}}}"
        ));
        let ids: Vec<String> = finders.iter().map(Finder::id).collect();
        let places =
            ["111122223333/eu-west-1", "111122223333/us-east-1", "444455556666/eu-west-1", "444455556666/us-east-1"];
        assert_eq!(ids, places.map(|place| format!("cloudwatch/{place}")));
        let of =
            |account| finders.iter().filter_map(|it| known(it, account, "/aws/eks/prod/cluster")).collect::<Vec<_>>();
        let log = "cloudwatch/111122223333/eu-west-1//aws/eks/prod/cluster".to_owned();
        assert_eq!(of("111122223333"), [("prod/111122223333/eu-west-1".to_owned(), log)]);
        assert_eq!(of("777788889999"), []);
        assert_eq!(of("own"), []);
    }

    #[test]
    fn only_a_monitoring_account_has_logs_of_accounts_that_the_config_does_not_name() {
        for (linked, found) in [(false, None), (true, Some("prod/111122223333"))] {
            let finder = &finders(&format!("{{regions: [eu-west-1], linked_accounts: {linked}}}"))[0];
            let of = |account: &str| known(finder, account, "/aws/eks/prod/cluster").map(|(cluster, _)| cluster);
            assert_eq!(of("111122223333").as_deref(), found);
            assert_eq!(of("own").as_deref(), Some(if linked { "prod/own" } else { "prod" }));
            assert_eq!(of("127.0.0.1:4566"), None);
        }
    }

    #[test]
    fn what_cannot_be_the_name_of_a_cluster_is_none() {
        let finder = &finders("{regions: [eu-west-1], include: ['prod-*', a], exclude: ['*-old']}")[0];
        let of = |name: &str| known(finder, "own", &format!("/aws/eks/{name}/cluster")).map(|(cluster, _)| cluster);
        for name in ["prod-1", "a"] {
            assert_eq!(of(name).as_deref(), Some(name));
        }
        let long = format!("prod-{}", "x".repeat(96));
        for name in ["prod", "prod-old", "prod-{account}", "prod-/x", "prod- 1", "prod-\u{202e}", "", &long] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}

//! Checks a cluster's audit log for `stakeout doctor`, with few requests, because they draw on the budget that all sources
//! of the project share.
//!
//! It calls only `entries.list`, because other APIs need permissions that the daemon should not have. So it cannot
//! distinguish an empty data access log that is off from one that these credentials cannot see.

use stakeout_core::check::{Check, Examination, Price, ReadCost, Status};
use stakeout_core::known_clusters::ClusterLogs;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::FetchError;
use stakeout_core::time::{Second, Window};

use crate::config::{PUBLIC_ENDPOINT, REQUESTS_PER_MINUTE};
use crate::failure::{CREDENTIALS_FIX, Failure, grant};
use crate::fetch::{CloudLogging, EntryOrder};
use crate::identity::Identity;
use crate::page::time_of;
use crate::page_position::{PagePosition, Pass};
use crate::pushdown::{self, AuditLog};

/// How far back the newest entry is searched: a cluster in use is read and written every day.
const LOOK_BACK_SECONDS: i64 = 24 * 60 * 60;
/// How old the newest entry may be. Controllers renew their leases every few seconds, and a delivery takes minutes.
const AGE_MINUTES_MAX: i64 = 60;
/// How many empty pages are followed for one answer.
const EMPTY_PAGES_MAX: usize = 3;
/// How many pages of the filtered window are read; more of them are a matter of the quota in any case.
const PAGES_MAX: u32 = 5;
/// Clusters without reads that are named.
const NAMED_MAX: usize = 20;

/// Google charges for entries that are stored, and nothing for reading them. <https://cloud.google.com/stackdriver/pricing>
const PRICE: Price = Price { dollars_per_gb: 0.0, what: "Cloud Logging charges nothing for reads" };

/// When the newest entry was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    AtMillis(i64),
    /// There is none in the time searched.
    Nowhere,
    /// The search did not finish.
    Unknown,
}

impl CloudLogging {
    /// Checks the log. `window` and `prefilter` are those of an ordinary read, whose pages are counted; `now_ms` is the time
    /// from which the age of the newest entry counts. Sends 3 to 11 requests, and for several clusters ten more or one for each
    /// resource.
    pub async fn checks(&self, window: Window, prefilter: &Prefilter, now_ms: i64) -> Examination {
        let mut any = self.newest(&AuditLog::ALL, now_ms).await;
        if matches!(any, Err(Failure::TokenRefused)) {
            any = self.newest(&AuditLog::ALL, now_ms).await;
        }
        let any = match any {
            Ok(newest) => newest,
            Err(failure) => {
                let mut checks = vec![self.unreadable(&failure)];
                checks.extend(self.refused_resources(now_ms).await);
                return Examination { checks, cost: None };
            }
        };
        let mut checks = vec![Check::good("credentials", "Cloud Logging accepts them"), self.log(any)];
        match self.newest(&[AuditLog::DataAccess], now_ms).await {
            Ok(reads) if self.config().is_of_all_clusters() => {
                checks.push(self.permission(reads));
                checks.extend(self.clusters(now_ms).await);
            }
            Ok(reads) => checks.extend([self.permission(reads), self.scans(reads)]),
            Err(failure) => checks.push(self.unreadable(&failure)),
        }
        checks.extend(self.age(any, now_ms));
        let (quota, cost) = self.quota(window, prefilter).await;
        checks.push(quota);
        Examination { checks, cost }
    }

    /// Returns which way the service and those that issue tokens are reached (the metadata server always directly), and which
    /// permissions its call needs. Sends nothing.
    #[must_use]
    pub fn setup(&self) -> Vec<Check> {
        let endpoint = self.config().endpoint.as_ref().map_or(PUBLIC_ENDPOINT.to_owned(), ToString::to_string);
        let issuers = Identity::find(self.config(), self.network()).map(|identity| identity.issuers());
        let calls = "entries.list: logging.logEntries.list, and logging.privateLogEntries.list for the data access log";
        let urls = [endpoint].into_iter().chain(issuers.unwrap_or_default());
        let routes = urls.map(|url| Check::good("route", format!("{url}: {}", self.network().way(&url))));
        routes.chain([Check::good("calls", calls)]).collect()
    }

    async fn newest(&self, logs: &[AuditLog], now_ms: i64) -> Result<Newest, Failure> {
        let now = Second::of_millis(now_ms);
        let Some(window) = Window::new(now.plus(-LOOK_BACK_SECONDS), now.plus(1)) else {
            return Ok(Newest::Unknown);
        };
        let filter = pushdown::scope(window, logs, self.config());
        let mut token = String::new();
        for _ in 0..EMPTY_PAGES_MAX {
            let answer = self.ask(filter.clone(), EntryOrder::NewestFirst, 1, &token).await?;
            if let Some(at) = answer.entries.first().and_then(|entry| time_of(entry)) {
                return Ok(Newest::AtMillis(at.as_millisecond()));
            }
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(Newest::Nowhere);
            }
        }
        Ok(Newest::Unknown)
    }

    /// Returns a check for each resource that refuses: one of them is enough for a refusal of all.
    async fn refused_resources(&self, now_ms: i64) -> Vec<Check> {
        let mut refused = Vec::new();
        for resource in self.config().resources.iter().filter(|_| self.config().resources.len() > 1) {
            let alone = self.config().clone().with_resources(vec![resource.clone()]);
            let alone = CloudLogging::new(alone, self.network());
            if let Err(failure) = alone.newest(&AuditLog::ALL, now_ms).await {
                let Check { subject, status, finding, fix } = alone.unreadable(&failure);
                refused.push(Check { subject, status, finding: format!("{resource}: {finding}"), fix });
            }
        }
        refused
    }

    /// Names the clusters, and those of them whose reads are not logged.
    async fn clusters(&self, now_ms: i64) -> Vec<Check> {
        let now = Second::of_millis(now_ms);
        let Some(day) = Window::new(now.plus(-LOOK_BACK_SECONDS), now.plus(1)) else { return Vec::new() };
        let unknown = |error: FetchError| {
            vec![Check::of("clusters", Status::Unknown, error.to_string(), "run doctor again later")]
        };
        let audited = match self.census(day, ClusterLogs::Audit).await {
            Ok(audited) => audited,
            Err(error) => return unknown(error),
        };
        let others = match self.census(day, ClusterLogs::Others).await {
            Ok(others) => others,
            Err(error) => return unknown(error),
        };
        let mut checks = vec![match audited.newest.is_empty() {
            true => self.scans(Newest::Nowhere),
            false => Check::good("clusters", audited.summary()),
        }];
        let blind = others.newest.keys().filter(|id| audited.is_whole && !audited.newest.contains_key(*id));
        checks.extend(blind.take(NAMED_MAX).map(|id| {
            let project = id.split('/').nth(1).unwrap_or_default();
            let finding = format!("{id} logs no reads, so its scans do not show");
            Check::of("scans", Status::Bad, finding, turn_reads_on(project))
        }));
        checks
    }

    /// Returns why the log cannot be checked.
    fn unreadable(&self, failure: &Failure) -> Check {
        let subject = if failure.is_of_credentials() { "credentials" } else { "permission" };
        match failure.meaning(self.config(), false) {
            (FetchError::Unavailable { reason }, _) if failure.is_of_credentials() => {
                Check::of(subject, Status::Bad, reason, CREDENTIALS_FIX)
            }
            (FetchError::Denied { reason }, fix) => Check { subject, status: Status::Bad, finding: reason, fix },
            (FetchError::Throttled { reason, .. }, _) => Check::of(
                "quota",
                Status::Unknown,
                reason,
                format!(
                    "wait a minute: all readers of this project's logs share {REQUESTS_PER_MINUTE} requests per minute"
                ),
            ),
            (error, _) => Check::of(
                "log",
                Status::Unknown,
                error.to_string(),
                "run doctor again later: https://status.cloud.google.com",
            ),
        }
    }

    fn log(&self, newest: Newest) -> Check {
        let cluster = self.cluster();
        match newest {
            Newest::AtMillis(_) => Check::good("log", format!("the audit log of {cluster} contains entries")),
            Newest::Unknown => Check::of(
                "log",
                Status::Unknown,
                format!("Cloud Logging did not finish its search for an audit entry of {cluster}"),
                "run doctor again later",
            ),
            Newest::Nowhere => Check::of(
                "log",
                Status::Bad,
                format!("no audit entry of {cluster} within a day"),
                format!(
                    "compare name and location with `gcloud container clusters list --project={}`; write the project's id, not its number",
                    self.config().project
                ),
            ),
        }
    }

    fn permission(&self, reads: Newest) -> Check {
        match reads {
            Newest::AtMillis(_) => Check::good("permission", "both audit logs are readable"),
            Newest::Nowhere | Newest::Unknown => Check::of(
                "permission",
                Status::Unknown,
                "entries can be listed; without the role for private logs, the answer silently lacks those of the data access log",
                grant(&self.config().project, "roles/logging.privateLogViewer"),
            ),
        }
    }

    fn scans(&self, reads: Newest) -> Check {
        match reads {
            Newest::AtMillis(_) => Check::good("scans", "reads are logged, so scans show"),
            Newest::Unknown => Check::of(
                "scans",
                Status::Unknown,
                "Cloud Logging did not finish its search for a data access entry",
                "run doctor again later",
            ),
            Newest::Nowhere => Check::of(
                "scans",
                Status::Bad,
                "no data access entry within a day: reads are not logged, or these credentials cannot see them, so scans do not show",
                turn_reads_on(&self.config().project),
            ),
        }
    }

    fn age(&self, newest: Newest, now_ms: i64) -> Option<Check> {
        let Newest::AtMillis(at_ms) = newest else {
            return None;
        };
        let minutes = now_ms.saturating_sub(at_ms).max(0) / 60_000;
        let finding = format!("the newest entry is {minutes} min old");
        let check = match minutes {
            ..=AGE_MINUTES_MAX => Check::good("newest event", finding),
            _ => Check::of(
                "newest event",
                Status::Doubtful,
                finding,
                format!(
                    "if the cluster is in use, check whether its log arrives: `gcloud container clusters list --project={}`",
                    self.config().project
                ),
            ),
        };
        Some(check)
    }

    /// Reads the window as the daemon would, at most [`PAGES_MAX`] pages of it, and returns what that took.
    async fn quota(&self, window: Window, prefilter: &Prefilter) -> (Check, Option<ReadCost>) {
        let mut token = None;
        let (mut records, mut bytes) = (0, 0);
        for pages in 1..=PAGES_MAX {
            match self.page(window, prefilter, token.as_ref()).await {
                Ok(page) => {
                    records += page.records.len() as u64;
                    bytes += page.bytes;
                    token = page.next;
                }
                Err(failure) => {
                    let reason = failure.to_string();
                    return (Check::of("quota", Status::Unknown, reason, "run doctor again later"), None);
                }
            }
            let Some(token) = &token else {
                let finding = format!("the window takes {pages} of {REQUESTS_PER_MINUTE} requests per minute");
                let cost = ReadCost { requests: pages.into(), records, bytes, billed_bytes: bytes, price: PRICE };
                return (Check::good("quota", finding), Some(cost));
            };
            if pushdown::narrows(prefilter)
                && PagePosition::read(token).is_ok_and(|position| position.pass == Pass::Whole)
            {
                let finding = "Cloud Logging refuses the filter of the rules, so every entry is read";
                let fix = "find the rule with `stakeout rules list`, and report it";
                return (Check::of("quota", Status::Doubtful, finding, fix), None);
            }
        }
        let finding = format!("the window takes more than {PAGES_MAX} of {REQUESTS_PER_MINUTE} requests per minute");
        let fix = "name codes, users or verbs in the rules that match most, or shorten the schedule";
        (Check::of("quota", Status::Doubtful, finding, fix), None)
    }

    fn cluster(&self) -> String {
        let config = self.config();
        match &config.location {
            _ if config.is_of_all_clusters() => format!("any cluster in {}", config.resources.join(", ")),
            Some(location) => format!("cluster {} in {location}, project {}", config.cluster, config.project),
            None => format!("cluster {}, project {}", config.cluster, config.project),
        }
    }
}

/// Returns how to turn the data access log on. Lists and gets of objects are `ADMIN_READ`, those inside pods `DATA_READ`.
/// <https://cloud.google.com/kubernetes-engine/docs/concepts/audit-policy>,
/// <https://cloud.google.com/logging/docs/audit/configure-data-access>
#[must_use]
pub fn turn_reads_on(project: &str) -> String {
    format!(
        "console: IAM & Admin, Audit Logs, Kubernetes Engine API, Admin Read and Data Read; or `gcloud projects get-iam-policy {project} > policy.yaml`, add `auditConfigs: [{{service: container.googleapis.com, auditLogConfigs: [{{logType: ADMIN_READ}}, {{logType: DATA_READ}}]}}]`, `gcloud projects set-iam-policy {project} policy.yaml`"
    )
}

//! Checks a log for `stakeout doctor`: is it readable and complete, how late and how large is it.
//!
//! It sends at most six queries.

use serde::Deserialize;
use stakeout_core::check::{Check, Examination, Price, ReadCost, Status};
use stakeout_core::known_clusters::ClusterLogs;
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::FetchError;
use stakeout_core::text::counted;
use stakeout_core::time::{Second, Window};

use crate::config::{AuditTable, PUBLIC_ENDPOINT, Plan};
use crate::failure::{Failure, diagnostic_setting, missing_table};
use crate::fetch::{AzureMonitor, ROWS_MAX};
use crate::identity;
use crate::pushdown;

/// The time in which a running cluster must have logged an event. Controllers renew their leases every few seconds.
const LOOK_BACK_S: i64 = 86_400;
/// The age from which the newest event is late: the service usually takes 3 to 10 minutes, and up to 20.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time>
const LATE_S: i64 = 1_200;

/// What a row is taken to have where none came: an audit event without bodies.
const ROW_BYTES: u64 = 2_000;
/// What queries cost. The price of the plan Basic differs by region.
/// <https://azure.microsoft.com/pricing/details/monitor/>
const FREE: Price = Price { dollars_per_gb: 0.0, what: "queries of the plan Analytics are free" };
const BASIC: Price = Price { dollars_per_gb: 0.005, what: "that a query scans, in most regions" };

#[derive(Deserialize)]
struct Newest {
    #[serde(rename = "Rows")]
    rows: u64,
    #[serde(rename = "Newest")]
    newest: Option<jiff::Timestamp>,
}

impl AzureMonitor {
    /// Checks the log. `window` is one that the daemon would read next, with its `prefilter`.
    ///
    /// If the first query fails, the others are not sent.
    pub async fn checks(&self, window: Window, prefilter: &Prefilter, now_ms: i64) -> Examination {
        let now = Second::of_millis(now_ms);
        let Some(day) = Window::new(now.plus(-LOOK_BACK_S), now) else {
            return Examination { checks: Vec::new(), cost: None };
        };
        let query = pushdown::newest(day, self.config());
        let mut newest = self.rows(&query, day).await;
        if matches!(&newest, Err(Failure { subject: "credentials", error: FetchError::Unavailable { .. }, .. })) {
            // The first answer may refuse a token that the second query renews.
            newest = self.rows(&query, day).await;
        }
        let newest = match newest {
            Ok(rows) => rows.first().and_then(|row| serde_json::from_str::<Newest>(row).ok()),
            Err(failure) => return Examination { checks: vec![checkup_of(failure)], cost: None },
        };
        let mut found = vec![
            Check::good("credentials", "Azure issued a token, and the workspace accepted it"),
            Check::good("permission", format!("the workspace {} is readable", self.config().workspace_id)),
        ];
        let rows_of_day = newest.as_ref().map_or(0, |newest| newest.rows);
        match newest {
            Some(Newest { rows: 1.., newest: Some(newest) }) => {
                found.push(self.logged(day).await);
                found.push(self.scans(day).await);
                found.push(age(Second::from(newest), now));
            }
            _ => {
                found.push(self.nothing_logged());
                if self.config().table == AuditTable::AksAuditAdmin {
                    found.push(self.scans(day).await);
                }
            }
        }
        found.extend(self.plan());
        let (quota, cost) = self.quota(window, prefilter, rows_of_day).await;
        found.push(quota);
        Examination { checks: found, cost }
    }

    /// Returns which way the service is reached, who issues the tokens for it, and which permissions a query needs. Sends
    /// nothing.
    #[must_use]
    pub fn setup(&self) -> Vec<Check> {
        let route = |url: &str| Check::good("route", format!("{url}: {}", self.network().way(url)));
        let endpoint = self.config().endpoint.as_ref().map_or(PUBLIC_ENDPOINT.to_owned(), ToString::to_string);
        let issuer = identity::issuer(self.config());
        let calls = format!(
            "queries: Microsoft.OperationalInsights/workspaces/query/read, and workspaces/tables/data/read on {}",
            self.config().table.as_str()
        );
        let routes = [Some(endpoint), issuer].into_iter().flatten().map(|url| route(&url));
        routes.chain([Check::good("calls", calls)]).collect()
    }

    /// Names what is logged: of a workspace, each cluster.
    async fn logged(&self, day: Window) -> Check {
        let table = self.config().table.as_str();
        if !self.config().is_of_all_clusters() {
            return Check::good("log", format!("{table} holds the cluster's log"));
        }
        match self.census(day, ClusterLogs::Audit).await {
            Ok(census) => Check::good("clusters", census.summary()),
            Err(error) => Check::of("clusters", Status::Unknown, error.to_string(), "run doctor again"),
        }
    }

    fn nothing_logged(&self) -> Check {
        let table = self.config().table.as_str();
        let whose = match self.config().cluster.as_str() {
            "" => "any cluster".to_owned(),
            cluster => format!("the cluster {cluster}"),
        };
        let finding = format!("{table} holds no event of {whose} from the last 24 hours");
        Check::of("log", Status::Bad, finding, missing_table(self.config()))
    }

    /// Checks that the log holds the traces of a scan: requests that only read.
    async fn scans(&self, day: Window) -> Check {
        let table = match self.config().table {
            AuditTable::AzureDiagnostics => AuditTable::AzureDiagnostics,
            AuditTable::AksAudit | AuditTable::AksAuditAdmin => AuditTable::AksAudit,
        };
        let command = diagnostic_setting(self.config(), table);
        let fix = format!("read the table {}, and send the category kube-audit there: {command}", table.as_str());
        if self.config().table == AuditTable::AksAuditAdmin {
            let finding = "AKSAuditAdmin holds no get and no list, so hardly any scan shows";
            return Check::of("scans", Status::Bad, finding, fix);
        }
        match self.rows(&pushdown::any_read(day, self.config()), day).await {
            Ok(rows) if rows.is_empty() => {
                let finding = "the last 24 hours hold no read-only request, so hardly any scan would show";
                Check::of("scans", Status::Bad, finding, fix)
            }
            Ok(_) => Check::good("scans", "requests that only read are logged"),
            Err(failure) => checkup_of(failure),
        }
    }

    fn plan(&self) -> Option<Check> {
        (self.config().plan == Plan::Basic).then(|| {
            let finding = "the table is on the plan Basic: every read of a window, rereads included, is billed by the gigabyte that it scans, and at most two queries run at once";
            let fix = format!(
                "reread less often, or run az monitor log-analytics workspace table update --resource-group GROUP --workspace-name WORKSPACE --name {} --plan Analytics",
                self.config().table.as_str()
            );
            Check::of("cost", Status::Doubtful, finding, fix)
        })
    }

    /// Checks how close a window comes to the limits of an answer.
    /// A query of the plan Basic scans all of the table, whatever its filter: about as many bytes for each of the rows of a
    /// day as for those that came.
    async fn quota(&self, window: Window, prefilter: &Prefilter, rows_of_day: u64) -> (Check, Option<ReadCost>) {
        let fix = "shorten the schedule's windows, or narrow the rules";
        match self.page(window, prefilter, None).await {
            Ok(page) => {
                let rows = page.records.len();
                let bytes_of_row = page.bytes.checked_div(rows as u64).unwrap_or(ROW_BYTES);
                let seconds = u64::try_from(window.latest().0.saturating_sub(window.earliest().0)).unwrap_or(0);
                let scanned = rows_of_day.saturating_mul(bytes_of_row).saturating_mul(seconds) / 86_400;
                let (billed_bytes, price) = match self.config().plan {
                    Plan::Analytics => (page.bytes, FREE),
                    Plan::Basic => (scanned, BASIC),
                };
                let cost = ReadCost { requests: 1, records: rows as u64, bytes: page.bytes, billed_bytes, price };
                let finding = format!(
                    "after the filter, a window takes {rows} of {ROWS_MAX} rows and {}",
                    counted(page.bytes, "byte")
                );
                if rows > ROWS_MAX / 2 {
                    return (Check::of("quota", Status::Doubtful, finding, fix), Some(cost));
                }
                (Check::good("quota", finding), Some(cost))
            }
            Err(FetchError::Truncated { reason }) => {
                let finding = format!("a window does not fit into one answer and is split: {reason}");
                (Check::of("quota", Status::Doubtful, finding, fix), None)
            }
            Err(error) => (Check::of("quota", Status::Unknown, error.to_string(), "run doctor again"), None),
        }
    }
}

fn age(newest: Second, now: Second) -> Check {
    let seconds = now.0.saturating_sub(newest.0).max(0);
    let finding = format!("the newest event is {} old", counted(seconds, "second"));
    if seconds <= LATE_S {
        return Check::good("newest event", finding);
    }
    let fix = "if the cluster is in use, its log arrives late: set latest further back, so that windows are complete at \
               their first read; rereads find the rest. An idle cluster logs little";
    Check::of("newest event", Status::Doubtful, finding, fix)
}

/// Returns a failure as the check that it points at.
fn checkup_of(failure: Failure) -> Check {
    let Failure { subject, error, fix, .. } = failure;
    match error {
        FetchError::Denied { reason } => Check { subject, status: Status::Bad, finding: reason, fix },
        error => Check::of(subject, Status::Unknown, error.to_string(), "run doctor again"),
    }
}

//! Checks a log for `stakeout doctor`: is it readable and complete, how late and how large is it.
//!
//! It sends at most four queries.

use serde::Deserialize;
use stakeout_core::check::{Check, Status};
use stakeout_core::prefilter::Prefilter;
use stakeout_core::record::FetchError;
use stakeout_core::text::counted;
use stakeout_core::time::{Second, Window};

use crate::config::{AuditTable, Plan};
use crate::failure::{Failure, diagnostic_setting, missing_table};
use crate::fetch::{AzureMonitor, ROWS_MAX};
use crate::pushdown;

/// The time in which a running cluster must have logged an event. Controllers renew their leases every few seconds.
const LOOK_BACK_S: i64 = 86_400;
/// The age from which the newest event is late: the service usually takes 3 to 10 minutes, and up to 20.
/// <https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time>
const LATE_S: i64 = 1_200;

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
    pub async fn checks(&self, window: Window, prefilter: &Prefilter, now_ms: i64) -> Vec<Check> {
        let now = Second::of_millis(now_ms);
        let Some(day) = Window::new(now.plus(-LOOK_BACK_S), now) else {
            return Vec::new();
        };
        let newest = match self.rows(&pushdown::newest(day, self.config()), day).await {
            Ok(rows) => rows.first().and_then(|row| serde_json::from_str::<Newest>(row).ok()),
            Err(failure) => return vec![checkup_of(failure)],
        };
        let mut found = vec![
            Check::good("credentials", "Azure issued a token, and the workspace accepted it"),
            Check::good("permission", format!("the workspace {} is readable", self.config().workspace_id)),
        ];
        match newest {
            Some(Newest { rows: 1.., newest: Some(newest) }) => {
                found.push(Check::good("log", format!("{} holds the cluster's log", self.config().table.as_str())));
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
        found.push(self.quota(window, prefilter).await);
        found
    }

    fn nothing_logged(&self) -> Check {
        let table = self.config().table.as_str();
        let finding = format!("{table} holds no event of the cluster {} from the last 24 hours", self.config().cluster);
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
    async fn quota(&self, window: Window, prefilter: &Prefilter) -> Check {
        let fix = "shorten the schedule's windows, or narrow the rules";
        match self.page(window, prefilter, None).await {
            Ok(page) => {
                let rows = page.records.len();
                let finding = format!(
                    "after the filter, a window takes {rows} of {ROWS_MAX} rows and {}",
                    counted(page.bytes, "byte")
                );
                if rows > ROWS_MAX / 2 {
                    return Check::of("quota", Status::Doubtful, finding, fix);
                }
                Check::good("quota", finding)
            }
            Err(FetchError::Truncated { reason }) => {
                let finding = format!("a window does not fit into one answer and is split: {reason}");
                Check::of("quota", Status::Doubtful, finding, fix)
            }
            Err(error) => Check::of("quota", Status::Unknown, error.to_string(), "run doctor again"),
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

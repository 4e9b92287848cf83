//! The list of the logs in one account and region, as a discovery of the config asks for it, and which of them are written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stakeout_core::check::{Check, Status};
use stakeout_core::progress::Progress;
use stakeout_core::retirement::RetirementReason;
use stakeout_core::source::{LogId, Provider, Source};
use stakeout_core::text::counted;
use stakeout_core::time::Second;

use crate::cloud::budget::Budgets;
use crate::cloud::{Finder, FoundLog, LastWritten};
use crate::config::{DiscoverConfig, SourceConfig};
use crate::outbound::Outbound;
use crate::scan::{ScanCost, ScanError, with_retries};

/// Most logs of one list: at the usual quota, an hour leaves each of them 17 requests.
const LOGS_MAX: usize = 2_048;
/// Most pages of one list: 10,000 log groups, of which most are no log of a cluster.
const PAGES_MAX: usize = 200;
/// Longest time that the known logs wait for a list.
const LIST_TIME_MAX: Duration = Duration::from_secs(120);
/// After so long without an event of any kind, the cluster of a log counts as deleted. An API server writes each minute.
const IDLE_MS: i64 = 24 * 3_600_000;
/// After so long without an audit event, while the cluster writes its other logs, the audit log counts as switched off.
/// CloudWatch Logs may know of an event an hour late.
const AUDIT_OFF_MS: i64 = 3 * 3_600_000;
/// Clusters that the doctor names of one list.
const NAMED_MAX: usize = 50;

/// The list of the logs in one account and region.
pub(crate) struct LogList {
    config: DiscoverConfig,
    finder: Finder,
    /// The list, as though it were a log: its progress says when it was read, and whether it fails.
    pub(crate) source: Source,
    /// The tick at which it was read last, and whether it had any log.
    read_at: Mutex<Option<(Second, bool)>>,
}

/// What a list holds.
#[derive(Debug)]
pub(crate) enum Listing {
    /// It was read at this tick already.
    Unchanged {
        /// Whether it had any log.
        has_logs: bool,
    },
    /// All logs.
    Whole(Vec<FoundLog>),
    /// Some of them, and why not all.
    Part(Vec<FoundLog>, String),
    /// It could not be read.
    Failed(String),
}

impl LogList {
    /// Returns a list for each account and region of the discoveries. Nothing is asked yet.
    pub(crate) fn of(discover: &[DiscoverConfig], budgets: &mut Budgets, outbound: &Outbound) -> Vec<Arc<LogList>> {
        let mut lists = Vec::new();
        for config in discover {
            for finder in config.discovery.connect(budgets, outbound) {
                let source = Source {
                    name: config.name.clone(),
                    provider: Provider::Cloudwatch,
                    cluster: finder.place().into(),
                    log: LogId(format!("discover/{}/{}", config.name, finder.id())),
                };
                lists.push(Arc::new(LogList { config: config.clone(), finder, source, read_at: Mutex::default() }));
            }
        }
        lists
    }

    /// Reads the list for the tick `at`, once.
    pub(crate) async fn read(&self, at: Second) -> Listing {
        if let Some((_, has_logs)) = self.read_at().filter(|(read_at, _)| *read_at == at) {
            return Listing::Unchanged { has_logs };
        }
        let listing = match tokio::time::timeout(LIST_TIME_MAX, self.pages()).await {
            Ok(Ok((logs, None))) => Listing::Whole(logs),
            Ok(Ok((logs, Some(reason)))) => Listing::Part(logs, reason),
            Ok(Err(error)) => Listing::Failed(error.reason),
            Err(_) => Listing::Failed(format!("no answer within {} s", LIST_TIME_MAX.as_secs())),
        };
        if let Listing::Whole(logs) = &listing {
            *self.read_at() = Some((at, !logs.is_empty()));
        }
        listing
    }

    fn read_at(&self) -> std::sync::MutexGuard<'_, Option<(Second, bool)>> {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all logs, and why some are left out if some are.
    async fn pages(&self) -> Result<(Vec<FoundLog>, Option<String>), ScanError> {
        let (mut logs, mut token, mut cost) = (Vec::new(), None, ScanCost::default());
        for _ in 0..PAGES_MAX {
            let ask = || self.finder.page(token.as_ref());
            let page = with_retries(&self.source, self.finder.budget(), &mut cost, ask).await?;
            logs.extend(page.logs);
            if logs.len() > LOGS_MAX {
                logs.truncate(LOGS_MAX);
                let fix = "narrow it with `include`, and run a second daemon for the others";
                return Ok((logs, Some(format!("there are more than {LOGS_MAX} logs, and no more are read ({fix})"))));
            }
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok((logs, None)),
            }
        }
        Ok((logs, Some(format!("the list has more than {PAGES_MAX} pages, and no more are read"))))
    }

    /// Returns the log of a stored progress, if it is one that this list would have. `is_exact` leaves out those of accounts
    /// that the config does not name.
    pub(crate) fn known(&self, progress: &Progress, is_exact: bool) -> Option<FoundLog> {
        if is_exact && self.finder.sees_linked() {
            return None;
        }
        self.finder.known(&progress.log)
    }

    /// Returns the source of a log that was found.
    pub(crate) fn source_of(&self, found: &FoundLog) -> SourceConfig {
        self.config.source(found)
    }

    /// Returns why nothing writes to a log at `at`, or `None` if its audit log is written or is new.
    pub(crate) async fn retirement(&self, log: &FoundLog, at: Second) -> Result<Option<RetirementReason>, ScanError> {
        let ask = || self.finder.last_written(log);
        let written = with_retries(&self.source, self.finder.budget(), &mut ScanCost::default(), ask).await?;
        Ok(judge(written, log.created_ms, at))
    }

    /// Checks the list for the doctor. Returns one of its logs too, to be read.
    pub(crate) async fn checks(&self) -> (Vec<Check>, Option<SourceConfig>) {
        let mut checks = self.finder.setup();
        let mut sample = None;
        match self.pages().await {
            Ok((logs, left_out)) => {
                let named: Vec<&str> = logs.iter().take(NAMED_MAX).map(|log| log.cluster.as_str()).collect();
                let more = logs.len().saturating_sub(NAMED_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let colon = if named.is_empty() { "" } else { ": " };
                let found = format!("{}{colon}{}{more}", counted(logs.len() as u64, "cluster"), named.join(", "));
                checks.push(match logs.first() {
                    None => Check::of(
                        "clusters",
                        Status::Doubtful,
                        found,
                        "check accounts, regions, include and exclude, and that clusters write logs to CloudWatch Logs",
                    ),
                    Some(_) => Check::good("clusters", found),
                });
                let limit =
                    |reason| Check::of("clusters", Status::Doubtful, reason, "narrow the discovery with `include`");
                checks.extend(left_out.map(limit));
                if let Some(log) = logs.first() {
                    checks.push(self.streams_check(log).await);
                    sample = Some(self.source_of(log));
                }
            }
            Err(error) => checks.push(Check::of("permission", Status::Bad, error.reason, self.finder.fix())),
        }
        (checks, sample)
    }

    async fn streams_check(&self, log: &FoundLog) -> Check {
        match self.retirement(log, Second(0)).await {
            Ok(_) => Check::good("permission", "log groups and streams can be listed"),
            Err(error) => Check::of(
                "permission",
                Status::Bad,
                error.reason,
                "allow logs:DescribeLogStreams: without it, an audit log that is switched off is a silent log at best",
            ),
        }
    }
}

/// Returns why nothing writes to a log that was created at `created_ms`, if nothing does.
fn judge(written: LastWritten, created_ms: i64, at: Second) -> Option<RetirementReason> {
    let audit = written.audit_ms.unwrap_or(created_ms);
    let other = written.other_ms.unwrap_or(created_ms);
    if audit.max(other) < at.millis().saturating_sub(IDLE_MS) {
        return Some(RetirementReason::Idle);
    }
    (other.saturating_sub(audit) > AUDIT_OFF_MS).then_some(RetirementReason::AuditOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_over_when_nothing_writes_it_and_off_when_only_the_others_are_written() {
        const HOUR: i64 = 3_600_000;
        let at = Second(100 * 24 * 3600);
        let ago = |hours: i64| at.millis() - hours * HOUR;
        let judged = |audit: Option<i64>, other: Option<i64>, created: i64| {
            judge(LastWritten { audit_ms: audit.map(ago), other_ms: other.map(ago) }, ago(created), at)
        };
        assert_eq!(judged(Some(1), Some(0), 500), None);
        assert_eq!(judged(Some(4), Some(0), 500), Some(RetirementReason::AuditOff));
        assert_eq!(judged(None, Some(0), 500), Some(RetirementReason::AuditOff));
        assert_eq!(judged(Some(25), Some(26), 500), Some(RetirementReason::Idle));
        assert_eq!(judged(None, None, 500), Some(RetirementReason::Idle));
        // A cluster of today may have no stream yet.
        assert_eq!(judged(None, None, 1), None);
        assert_eq!(judged(None, Some(0), 1), None);
        assert_eq!(judged(Some(23), None, 500), None);
    }
}

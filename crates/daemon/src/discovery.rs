//! Finds the logs of the config's discoveries at each tick, and keeps the list of sources current. A log that is found is read
//! as though the config named it, and its state is that of the log. So what is known of logs is their progress: a list that
//! cannot be read stops none of them, after a restart either.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indicatif::ProgressBar;
use stakeout_core::lease::Duty;
use stakeout_core::notice::{Notice, NoticeKind};
use stakeout_core::progress::Progress;
use stakeout_core::retirement::RetirementReason;
use stakeout_core::source::{LogId, Source};
use stakeout_core::text::counted;
use stakeout_core::time::{Second, Window};
use stakeout_notify::notice;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::cloud::FoundLog;
use crate::config::SourceConfig;
use crate::log_list::{Listing, LogList};
use crate::metric;
use crate::replica::Right;
use crate::schedule::TickTime;
use crate::shutdown::Shutdown;
use crate::tick::TickSummary;
use crate::watch::Watch;
use crate::writer::{Change, CloseRequest, StateError};

/// Most logs that all discoveries find together: each has a row in the state, a line on the page, and requests in each hour.
const FOUND_MAX: usize = 4_096;
/// Lists that are read at once.
const LISTS_AT_ONCE: usize = 16;
/// Logs of which it is asked at once when they were written.
const LOGS_AT_ONCE: usize = 16;

/// Finds the logs, then reads and sends as [`Watch::tick`] does. `adopt` gets the watch over other logs than before, if there
/// is one.
pub(crate) async fn tick(
    watch: &Arc<Watch>,
    tick: TickTime,
    shutdown: &Shutdown,
    bar: &ProgressBar,
    adopt: impl FnOnce(&Arc<Watch>),
) -> Result<TickSummary, StateError> {
    if watch.lists().is_empty() {
        return watch.tick(tick, shutdown, bar).await;
    }
    let Found { sources, mut failures } = Round::begin(watch, tick.at).await?.find().await?;
    let mut current = watch.clone();
    if sources.iter().map(|one| &one.source).ne(watch.config().sources.iter().map(|one| &one.source)) {
        match watch.with_sources(sources) {
            Ok(other) => {
                current = Arc::new(other);
                info!(sources = current.config().sources.len(), "other logs are watched now");
                adopt(&current);
            }
            Err(error) => failures.push(format!("the logs that were found cannot be used: {error}")),
        }
    }
    let mut summary = current.tick(tick, shutdown, bar).await?;
    summary.discovery_failures += failures.len();
    summary.troubles.extend(failures);
    Ok(summary)
}

/// What a round found.
struct Found {
    /// The sources that the config names, and behind them those that were found.
    sources: Vec<SourceConfig>,
    /// A text for each list that could not be read.
    failures: Vec<String>,
}

/// One round over all lists.
struct Round<'w> {
    watch: &'w Arc<Watch>,
    at: Second,
    /// How far each known log and each list is read.
    stored: HashMap<LogId, Progress>,
    /// Logs that have their place among the sources, or none.
    taken: HashSet<LogId>,
    /// The sources that were found, by their logs.
    sources: BTreeMap<LogId, SourceConfig>,
    failures: Vec<String>,
    /// The discoveries of which a whole list was read, each with whether any of theirs had a log.
    listed: BTreeMap<String, bool>,
}

/// A log that was found, whose streams decide whether it is read.
struct Candidate {
    list: Arc<LogList>,
    found: FoundLog,
    source: SourceConfig,
    stored: Option<Progress>,
}

impl<'w> Round<'w> {
    async fn begin(watch: &'w Arc<Watch>, at: Second) -> Result<Round<'w>, StateError> {
        let (progresses, _) = watch.writer().progresses().await?;
        let named = watch.config().sources.iter().filter(|one| !one.is_found());
        Ok(Round {
            watch,
            at,
            stored: progresses.into_iter().map(|progress| (progress.log.clone(), progress)).collect(),
            taken: named.map(|one| one.source.log.clone()).collect(),
            sources: BTreeMap::new(),
            failures: Vec::new(),
            listed: BTreeMap::new(),
        })
    }

    async fn find(mut self) -> Result<Found, StateError> {
        let listings = self.read_lists().await;
        self.note_lists(&listings).await?;
        let mut candidates = Vec::new();
        let mut kept = Vec::new();
        for (list, listing) in listings {
            let is_whole = matches!(listing, Listing::Whole(_));
            if let Listing::Whole(logs) | Listing::Part(logs, _) = listing {
                for found in logs {
                    candidates.extend(self.candidate(&list, found));
                }
            }
            kept.push((list, is_whole));
        }
        self.judge(candidates).await?;
        // A list that names its account is asked before one that sees it as a linked one.
        for is_exact in [true, false] {
            for (list, is_whole) in &kept {
                self.keep_known(list, *is_whole, is_exact).await?;
            }
        }
        if self.sources.len() > FOUND_MAX {
            self.failures
                .push(format!("{} logs were found, and only {FOUND_MAX} of them are read", self.sources.len()));
            warn!(
                "more than {FOUND_MAX} logs were found: narrow a discovery with `include`, and run a second daemon for the others"
            );
            while self.sources.len() > FOUND_MAX {
                self.sources.pop_last();
            }
        }
        let named = self.watch.config().sources.iter().filter(|one| !one.is_found()).cloned();
        let sources: Vec<SourceConfig> = named.chain(self.sources.into_values()).collect();
        let names: BTreeSet<&String> = self.watch.lists().iter().map(|list| &list.source.name).collect();
        for name in names {
            let found = sources.iter().filter(|one| one.found_by.as_ref() == Some(name)).count();
            metric::logs_found(name, found);
            // Who discovers nothing watches nothing.
            if found == 0 && self.listed.get(name) == Some(&false) {
                warn!(
                    discovery = name,
                    "finds no cluster: compare its regions, `include` and `exclude` with `stakeout doctor`"
                );
                self.failures.push(format!("discovery {name} finds no cluster"));
            }
        }
        Ok(Found { sources, failures: self.failures })
    }

    async fn read_lists(&self) -> Vec<(Arc<LogList>, Listing)> {
        let at_once = Arc::new(Semaphore::new(LISTS_AT_ONCE));
        let mut tasks = JoinSet::new();
        for (index, list) in self.watch.lists().iter().enumerate() {
            let (list, at_once, at) = (list.clone(), at_once.clone(), self.at);
            tasks.spawn(async move {
                // The semaphore is never closed.
                let _permit = at_once.acquire().await.ok();
                let listing = list.read(at).await;
                (index, list, listing)
            });
        }
        let mut listings = tasks.join_all().await;
        listings.sort_by_key(|(index, ..)| *index);
        listings.into_iter().map(|(_, list, listing)| (list, listing)).collect()
    }

    /// Stores of each list when it was read or that it fails.
    async fn note_lists(&mut self, listings: &[(Arc<LogList>, Listing)]) -> Result<(), StateError> {
        let mut changes: Vec<(&Source, Progress, Option<NoticeKind>, Right)> = Vec::new();
        for (list, listing) in listings {
            let stored = self.stored.get(&list.source.log).cloned();
            let mut progress = stored.unwrap_or_else(|| Progress::new(list.source.log.clone(), self.at));
            let kind = match listing {
                Listing::Unchanged { has_logs } => {
                    *self.listed.entry(list.source.name.clone()).or_default() |= has_logs;
                    continue;
                }
                Listing::Whole(logs) => {
                    *self.listed.entry(list.source.name.clone()).or_default() |= !logs.is_empty();
                    progress.note_listed(self.at)
                }
                Listing::Part(_, reason) | Listing::Failed(reason) => {
                    let Source { name, cluster, .. } = &list.source;
                    metric::discovery_failed(name);
                    warn!(discovery = name, place = %cluster, reason, "cannot list all logs: those that are known are read");
                    self.failures.push(format!("discovery {name} cannot list all logs of {cluster}"));
                    progress.note_not_listed(self.at, reason)
                }
            };
            // Each replica reads the lists, and one of them says how that went.
            if let Some(right) = self.watch.replica().right(&Duty::Log(list.source.log.clone())) {
                changes.push((&list.source, progress, kind, right));
            }
        }
        let mut tasks = JoinSet::new();
        for (index, (source, progress, kind, right)) in changes.iter().enumerate() {
            // What several lists have in common, such as missing credentials, is one notice, of the first of them.
            let is_alike = |(other, _, its, _): &&(&Source, Progress, Option<NoticeKind>, Right)| {
                kind.is_some() && its == kind && other.name == source.name
            };
            let is_first = !changes[..index].iter().any(|change| is_alike(&change));
            let others = changes[index + 1..].iter().filter(is_alike).count();
            let mut request = self.request(source, progress.clone(), kind.clone().filter(|_| is_first), right);
            if others > 0 {
                let place = format!("{} and {}", source.cluster, counted(others as u64, "other place"));
                request.notices.iter_mut().for_each(|notice| notice.cluster.clone_from(&place));
            }
            let writer = self.watch.writer().clone();
            tasks.spawn(async move { writer.close(request).await });
        }
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(closed) => report(&closed?.log().notices),
                Err(error) => error!(%error, "the task of a list crashed: this is a bug, please report it"),
            }
        }
        Ok(())
    }

    /// Returns a log that was found, unless it is taken: the config names it, or another list has it. A log has two ids where
    /// its account is known or not; it has the one that it has a state under.
    fn candidate(&mut self, list: &Arc<LogList>, mut found: FoundLog) -> Option<Candidate> {
        let twin = found.twin.take();
        let ids: Vec<LogId> =
            [Some(found.settings.log()), twin.as_ref().map(|twin| twin.log())].into_iter().flatten().collect();
        let is_taken = ids.iter().any(|id| self.taken.contains(id));
        self.taken.extend(ids.iter().cloned());
        if is_taken {
            return None;
        }
        if let (Some(twin), [own, other]) = (twin, &ids[..])
            && !self.stored.contains_key(own)
            && self.stored.contains_key(other)
        {
            found.settings = *twin;
        }
        let source = list.source_of(&found);
        let stored = self.stored.get(&source.source.log).cloned();
        Some(Candidate { list: list.clone(), found, source, stored })
    }

    /// Takes those logs into the sources that are written, and ends those that are not. Of a log that had records in its last
    /// window nothing is asked.
    async fn judge(&mut self, candidates: Vec<Candidate>) -> Result<(), StateError> {
        let at_once = Arc::new(Semaphore::new(LOGS_AT_ONCE));
        let mut tasks = JoinSet::new();
        for candidate in candidates {
            let is_written = |progress: &Progress| progress.retired.is_none() && progress.silent_windows == 0;
            if candidate.stored.as_ref().is_some_and(is_written) {
                self.sources.insert(candidate.source.source.log.clone(), candidate.source);
                continue;
            }
            let (at_once, at) = (at_once.clone(), self.at);
            tasks.spawn(async move {
                let _permit = at_once.acquire().await.ok();
                let judged = candidate.list.retirement(&candidate.found, at).await;
                (candidate, judged)
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (candidate, judged) = match done {
                Ok(done) => done,
                Err(error) => {
                    error!(%error, "the task of a log crashed: this is a bug, please report it");
                    continue;
                }
            };
            match judged {
                Ok(reason) => self.settle(candidate.source, reason, &candidate.found.switch_on).await?,
                Err(error) => {
                    let source = candidate.source.source.name.as_str();
                    warn!(source, reason = error.reason, "cannot tell whether the audit log is written: it is read");
                    let is_read = candidate.stored.is_none_or(|progress| progress.retired.is_none());
                    if is_read {
                        self.sources.insert(candidate.source.source.log.clone(), candidate.source);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the logs of the state into the sources that a list did not name. One that the whole list does not name is gone.
    async fn keep_known(&mut self, list: &LogList, is_whole: bool, is_exact: bool) -> Result<(), StateError> {
        let reach = self.at.plus(-self.watch.config().schedule.max_backfill_seconds);
        let is_known = |progress: &&Progress| {
            let is_recent = progress.retired.is_some() || progress.cursor >= reach;
            is_recent && !self.taken.contains(&progress.log)
        };
        let known: Vec<FoundLog> =
            self.stored.values().filter(is_known).filter_map(|progress| list.known(progress, is_exact)).collect();
        for found in known {
            let source = list.source_of(&found);
            self.taken.insert(source.source.log.clone());
            let retired = self.stored.get(&source.source.log).and_then(|progress| progress.retired);
            let reason = match (retired, is_whole) {
                (Some(retired), false) => Some(retired.reason),
                (_, true) => Some(RetirementReason::Gone),
                (None, false) => None,
            };
            self.settle(source, reason, &found.switch_on).await?;
        }
        Ok(())
    }

    /// Takes a log into the sources or ends it, and stores and reports what is new of it.
    async fn settle(
        &mut self,
        source: SourceConfig,
        reason: Option<RetirementReason>,
        switch_on: &str,
    ) -> Result<(), StateError> {
        let log = source.source.log.clone();
        let Some(guard) = self.watch.in_flight().start_log(&log) else {
            // It is still being read: the next tick decides.
            self.sources.insert(log, source);
            return Ok(());
        };
        let stored = self.watch.writer().progress(&log).await?;
        let is_new = stored.is_none();
        let mut progress = stored.unwrap_or_else(|| Progress::new(log.clone(), self.at.plus(source.start_seconds)));
        let before = progress.retired.map(|retired| retired.reason);
        let kind = match reason {
            None => {
                progress.revive(self.at, self.at.plus(-self.watch.config().schedule.max_backfill_seconds));
                NoticeKind::Returned
            }
            Some(reason) => {
                progress.retire(self.at, reason);
                match reason {
                    RetirementReason::AuditOff => NoticeKind::AuditOff { command: switch_on.to_owned() },
                    RetirementReason::Gone | RetirementReason::Idle => NoticeKind::Vanished,
                }
            }
        };
        if reason.is_none() || !progress.rereads.is_empty() {
            self.sources.insert(log, source.clone());
        }
        if before == reason {
            return Ok(());
        }
        let Some(right) = self.watch.replica().right(&Duty::Log(source.source.log.clone())) else {
            // Whoever reads the log says so.
            return Ok(());
        };
        // What nobody has watched does not vanish, and what is gone already does not vanish again.
        let is_told = !matches!(kind, NoticeKind::Vanished) || (before.is_none() && !is_new);
        metric::progress(&source.source.name, &progress);
        let request = self.request(&source.source, progress, is_told.then_some(kind), &right);
        let closed = self.watch.writer().close(request).await?;
        report(&closed.log().notices);
        drop(guard);
        Ok(())
    }

    fn request(&self, source: &Source, progress: Progress, kind: Option<NoticeKind>, right: &Right) -> CloseRequest {
        let schedule = &self.watch.config().schedule;
        let period = schedule.latest_seconds - schedule.earliest_seconds;
        let window = Window::new(self.at.plus(-period), self.at).unwrap_or(Window::ALL);
        let notice = |kind| Notice { source: source.name.clone(), cluster: source.cluster.to_string(), window, kind };
        CloseRequest {
            source: source.clone(),
            change: Change::Progress,
            progress,
            notices: kind.into_iter().map(notice).collect(),
            at: self.at,
            config: self.watch.engine().clone(),
            lease: right.lease(),
        }
    }
}

/// Counts and logs what was reported.
fn report(notices: &[Notice]) {
    for notice in notices {
        metric::notice(notice);
        let reason = notice::reason(notice);
        warn!(source = notice.source, reason, "{}: {}", notice::title(notice), notice::explanation(notice));
    }
}

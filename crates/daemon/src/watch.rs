//! The watch: the loop body that `run`, `once` and `demo` share. A tick reads the due windows, then sends the pending
//! messages.
//!
//! Each log has its own task and reads its windows in order, so a slow or failing log delays no other. One writer closes
//! and commits the windows. When every log is done, or after half a minute and again after five, each destination gets its
//! messages in its own task. The daemon then continues without the slow ones.

use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use stakeout_core::fold::Limits;
use stakeout_core::progress::Progress;
use stakeout_core::rule::Rules;
use stakeout_core::time::Window;
use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::cloud::budget::Budgets;
use crate::config::Config;
use crate::destination;
use crate::dispatch::{self, Outbox};
use crate::in_flight::InFlight;
use crate::log_task::{LogSummary, LogTask};
use crate::metric;
use crate::outbound::Outbound;
use crate::scan::{Log, ScanOptions};
use crate::schedule::TickTime;
use crate::shutdown::Shutdown;
use crate::stranded::{Stranded, stranded};
use crate::tick::{TickSummary, WaitPolicy};
use crate::writer::{EngineConfig, StateError, Writer};

/// After how long a tick sends the messages so far, so that a slow log delays only its own. Until then, what several logs
/// add to a finding is one message.
const SLOW_AFTER: Duration = Duration::from_secs(30);
/// How long a tick waits for slow logs, and then for destinations, before it sends what it has and goes on without them.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// A config in use.
pub(crate) struct Watch {
    config: Config,
    logs: Vec<Arc<Log>>,
    outboxes: Vec<Arc<Outbox>>,
    engine: Arc<EngineConfig>,
    options: ScanOptions,
    writer: Writer,
    in_flight: InFlight,
}

impl Watch {
    /// Puts a config into use. Nothing is read or sent yet. `in_flight` outlives the config, because running tasks continue.
    pub(crate) fn new(
        config: Config,
        rules: Rules,
        writer: Writer,
        in_flight: InFlight,
    ) -> Result<Watch, anyhow::Error> {
        let outbound = Outbound::new(config.ca_file.as_deref())?;
        let mut budgets = Budgets::new(config.budget);
        let mut logs = Vec::new();
        for source in &config.sources {
            logs.push(Arc::new(Log::open(source, &mut budgets, &outbound)?));
        }
        let mut outboxes = Vec::new();
        for destination in &config.notify {
            outboxes.push(Arc::new(Outbox::new(destination::open(destination, &outbound)?)));
        }
        let rules = Arc::new(rules);
        let limits = Limits {
            rows_max: config.rows_max as usize,
            context_query_min: config.context_query_min,
            ..Limits::default()
        };
        let engine = EngineConfig {
            rules: rules.clone(),
            limits,
            logs: logs.iter().map(|log| (log.source.log.clone(), log.source.provider, log.start_seconds)).collect(),
            notification_filters: outboxes.iter().map(|outbox| outbox.destination.notification_filter()).collect(),
            period_seconds: config.schedule.latest_seconds - config.schedule.earliest_seconds,
            retain_seconds: config.state.retain_seconds,
            archive_bytes_max: config.state.archive_bytes_max,
        };
        let options = ScanOptions {
            prefilter: Arc::new(rules.prefilter()),
            follow_ups: None,
            largest: None,
            rules,
            trusted_proxies: Arc::new(config.trusted_proxies.clone()),
            hash_key: writer.hash_key(),
            limits,
        };
        Ok(Watch { config, logs, outboxes, engine: Arc::new(engine), options, writer, in_flight })
    }

    /// Returns the config in use.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the active rules.
    pub(crate) fn rules(&self) -> &Rules {
        &self.options.rules
    }

    /// Returns the logs and destinations that a task works on.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Returns the handle of the writer.
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Returns the messages that nothing sends, and updates their metric.
    pub(crate) async fn stranded(&self) -> Result<Vec<Stranded>, StateError> {
        let stranded = stranded(self.writer.pending().await?, &self.config);
        metric::messages_stranded(&self.config, &stranded);
        Ok(stranded)
    }

    /// Reads all windows that are due at `tick` and sends the pending messages. `bar` counts the windows.
    pub(crate) async fn tick(
        self: &Arc<Self>,
        tick: TickTime,
        wait: WaitPolicy,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<TickSummary, StateError> {
        let mut summary = TickSummary::default();
        let mut failure = None;
        let mut tasks = self.start_log_tasks(tick, shutdown, bar, &mut summary);
        let mut is_late = false;
        for limit in [SLOW_AFTER, WAIT_MAX - SLOW_AFTER] {
            let all_read = async {
                while let Some(task) = tasks.join_next().await {
                    failure = summary.add_log(task).or(failure.take());
                }
            };
            is_late = tokio::time::timeout(limit, all_read).await.is_err();
            if !is_late {
                break;
            }
            failure = self.dispatch(wait.limited_to(limit), shutdown, &mut summary).await.err().or(failure);
        }
        match wait {
            WaitPolicy::Limited => {
                summary.logs_pending += tasks.len();
                tasks.detach_all();
            }
            WaitPolicy::UntilDone => {
                while let Some(task) = tasks.join_next().await {
                    failure = summary.add_log(task).or(failure);
                }
            }
        }
        if !is_late || wait == WaitPolicy::UntilDone {
            failure = self.dispatch(wait.limited_to(WAIT_MAX), shutdown, &mut summary).await.err().or(failure);
        }
        failure.map_or(Ok(summary), Err)
    }

    /// Starts a task for every log that is not being read.
    fn start_log_tasks(
        self: &Arc<Self>,
        tick: TickTime,
        shutdown: &Shutdown,
        bar: &ProgressBar,
        summary: &mut TickSummary,
    ) -> JoinSet<Result<LogSummary, StateError>> {
        let mut tasks = JoinSet::new();
        for log in &self.logs {
            let Some(guard) = self.in_flight.start(format!("log {}", log.source.log)) else {
                warn!(source = log.source.name, "log is still being read, skipping this tick");
                summary.logs_pending += 1;
                continue;
            };
            let (watch, log, shutdown, bar) = (self.clone(), log.clone(), shutdown.clone(), bar.clone());
            tasks.spawn(async move {
                let outcome = watch.read_log(&log, tick, &shutdown, &bar).await;
                drop(guard);
                if let Err(error) = &outcome {
                    error!(source = log.source.name, %error, "cannot commit the windows of a log");
                }
                outcome
            });
        }
        tasks
    }

    /// Reads what is due of one log.
    async fn read_log(
        &self,
        log: &Log,
        tick: TickTime,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<LogSummary, StateError> {
        let progress = self.writer.progress(&log.source.log).await?;
        let at = tick.at;
        let due = self.config.schedule.due(progress.as_ref(), log.start_seconds, tick);
        bar.inc_length((due.windows.len() + due.rereads.len()) as u64);
        let start = due.windows.first().map_or(at, Window::earliest);
        let progress = progress.unwrap_or_else(|| Progress::new(log.source.log.clone(), start));
        let _running = self.writer.note_running();
        LogTask::new(log, progress, at, &self.options, &self.writer, &self.engine).run(due, shutdown, bar).await
    }

    /// Sends the pending messages of every destination that is not being sent to. After `limit`, those that are still being
    /// sent to go on by themselves.
    async fn dispatch(
        self: &Arc<Self>,
        limit: Option<Duration>,
        shutdown: &Shutdown,
        summary: &mut TickSummary,
    ) -> Result<(), StateError> {
        summary.messages_pending = 0;
        let mut tasks = JoinSet::new();
        for outbox in &self.outboxes {
            let destination = &outbox.destination;
            let Some(guard) = self.in_flight.start(format!("destination {}", destination.name())) else {
                warn!(destination = destination.name(), "destination is busy, skipping this tick");
                summary.messages_pending += 1;
                continue;
            };
            let (outbox, writer, shutdown) = (outbox.clone(), self.writer.clone(), shutdown.clone());
            tasks.spawn(async move {
                let outcome = dispatch::send_pending(&outbox, &writer, &shutdown).await;
                drop(guard);
                outcome
            });
        }
        let all_sent = async {
            while let Some(task) = tasks.join_next().await {
                summary.add_dispatch(task)?;
            }
            Ok(())
        };
        match limit {
            None => all_sent.await,
            Some(limit) => match tokio::time::timeout(limit, all_sent).await {
                Ok(sent) => sent,
                Err(_) => {
                    summary.messages_pending += tasks.len();
                    tasks.detach_all();
                    Ok(())
                }
            },
        }
    }
}

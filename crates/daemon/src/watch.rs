//! The watch: the loop body that `run`, `once` and `demo` share. A tick reads the due windows, then sends the pending
//! messages.
//!
//! Each log has its own task and reads its windows in order, so a slow or failing log delays no other. One writer closes
//! and commits the windows. `pace` says when each destination gets its messages, in its own task. A tick ends when all of
//! this is done; the daemon begins the next one beside it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use stakeout_core::fold::Limits;
use stakeout_core::lease::Duty;
use stakeout_core::progress::Progress;
use stakeout_core::rule::Rules;
use stakeout_core::source::{LogId, Source};
use stakeout_core::time::{Second, Window};
use stakeout_ledger::WantedLeases;
use stakeout_notify::console::Consoles;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::address_files::AddressFiles;
use crate::clock;
use crate::cloud::Cloud;
use crate::cloud::budget::Budgets;
use crate::config::Config;
use crate::config::sources::SourceConfig;
use crate::daily;
use crate::destination;
use crate::dispatch::{self, DispatchSummary, Outbox, SharedPaces};
use crate::heartbeat::Heartbeat;
use crate::in_flight::InFlight;
use crate::log_list::LogList;
use crate::log_task::{LogSummary, LogTask};
use crate::metric;
use crate::outbound::Outbound;
use crate::pace::{Pace, Wanted};
use crate::replica::{self, Replica, Right};
use crate::scan::{Log, ScanOptions};
use crate::schedule::TickTime;
use crate::sends::SendLog;
use crate::shutdown::Shutdown;
use crate::silence_book::SilenceBook;
use crate::source_page::CostLog;
use crate::stranded::{Stranded, stranded};
use crate::tick::TickSummary;
use crate::writer::{EngineConfig, StateError, Writer};

/// A config in use.
pub(crate) struct Watch {
    config: Config,
    logs: Vec<Arc<Log>>,
    outboxes: Vec<Arc<Outbox>>,
    connections: Arc<Connections>,
    engine: Arc<EngineConfig>,
    options: ScanOptions,
    process: Process,
    sends: SendLog,
    costs: CostLog,
    heartbeat: Option<Arc<Heartbeat>>,
}

/// What outlives a config, because running tasks continue. Clones share everything.
#[derive(Clone)]
pub(crate) struct Process {
    /// The handle of the writer.
    pub(crate) writer: Writer,
    /// This process among others that share its state.
    pub(crate) replica: Replica,
    /// The logs and destinations that a task works on.
    pub(crate) in_flight: InFlight,
    /// The silences in force.
    pub(crate) silences: SilenceBook,
    /// What is known of addresses.
    pub(crate) addresses: AddressFiles,
}

/// What the logs and finders of a config share, whichever logs are found.
struct Connections {
    outbound: Outbound,
    budgets: Mutex<Budgets>,
    /// What lists the logs of the config's discoveries.
    lists: Vec<Arc<LogList>>,
    /// Where the logs can be searched by hand.
    consoles: Consoles,
}

impl Watch {
    /// Puts a config into use. Nothing is read or sent yet.
    pub(crate) fn new(config: Config, rules: Rules, process: Process) -> Result<Watch, anyhow::Error> {
        let outbound = Outbound::new(config.ca_file.as_deref())?;
        let mut budgets = Budgets::new(config.budget);
        let lists = LogList::of(&config.discover, &mut budgets, &outbound);
        let connections = Connections { outbound, budgets: Mutex::new(budgets), lists, consoles: Consoles::default() };
        Watch::over(config, Arc::new(rules), process, Arc::new(connections), &[])
    }

    /// Returns the watch over other sources of the same config. Logs that it has already stay connected.
    pub(crate) fn with_sources(&self, sources: Vec<SourceConfig>) -> Result<Watch, anyhow::Error> {
        let config = Config { sources, ..self.config.clone() };
        let (rules, process) = (self.options.rules.clone(), self.process.clone());
        let watch = Watch::over(config, rules, process, self.connections.clone(), &self.logs)?;
        Ok(watch.continuing(self))
    }

    /// Puts a config into use with the logs among `open` that it has, and the others.
    fn over(
        config: Config,
        rules: Arc<Rules>,
        process: Process,
        connections: Arc<Connections>,
        open: &[Arc<Log>],
    ) -> Result<Watch, anyhow::Error> {
        let outbound = &connections.outbound;
        let open: HashMap<&Source, &Arc<Log>> = open.iter().map(|log| (&log.source, log)).collect();
        let mut logs = Vec::new();
        for source in &config.sources {
            let mut budgets = connections.budgets.lock().unwrap_or_else(PoisonError::into_inner);
            logs.push(match open.get(&source.source) {
                Some(log) => Arc::clone(log),
                None => Arc::new(Log::open(source, &mut budgets, outbound, &connections.consoles)?),
            });
        }
        connections.consoles.add(config.sources.iter().filter_map(SourceConfig::console));
        let (mut outboxes, mut paces) = (Vec::new(), SharedPaces::default());
        for destination in &config.notify {
            let destination = destination::open(destination, outbound)?.with_consoles(connections.consoles.clone());
            let (silences, addresses) = (process.silences.clone(), process.addresses.clone());
            outboxes.push(Arc::new(Outbox::new(destination, config.incidents, silences, addresses, &mut paces)));
        }
        let heartbeat = config.heartbeat.as_ref().and_then(|heartbeat| heartbeat.url.clone());
        let heartbeat = heartbeat.map(|url| Heartbeat::new(url, &outbound.common).map(Arc::new)).transpose()?;
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
            incidents: config.incidents,
            has_silences: config.silences.is_some(),
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
            hash_key: process.writer.hash_key(),
            limits,
        };
        let (engine, sends, costs) = (Arc::new(engine), SendLog::default(), CostLog::default());
        Ok(Watch { config, logs, outboxes, connections, engine, options, process, sends, costs, heartbeat })
    }

    /// Goes on with what people are shown of sends and windows before.
    pub(crate) fn continuing(self, before: &Watch) -> Watch {
        Watch { sends: before.sends.clone(), costs: before.costs.clone(), ..self }
    }

    /// Returns the config in use.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns what lists the logs of the config's discoveries.
    pub(crate) fn lists(&self) -> &[Arc<LogList>] {
        &self.connections.lists
    }

    /// Returns the parts of the config that a commit needs.
    pub(crate) fn engine(&self) -> &Arc<EngineConfig> {
        &self.engine
    }

    /// Returns the active rules.
    pub(crate) fn rules(&self) -> &Rules {
        &self.options.rules
    }

    /// Returns what outlives the config.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Returns the logs and destinations that a task works on.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.process.in_flight
    }

    /// Returns this process among others that share its state.
    pub(crate) fn replica(&self) -> &Replica {
        &self.process.replica
    }

    /// Returns the silences in force.
    pub(crate) fn silences(&self) -> &SilenceBook {
        &self.process.silences
    }

    /// Returns what is known of addresses.
    pub(crate) fn addresses(&self) -> &AddressFiles {
        &self.process.addresses
    }

    /// Returns the URL that hears of each tick, if there is one.
    pub(crate) fn heartbeat(&self) -> Option<&Arc<Heartbeat>> {
        self.heartbeat.as_ref()
    }

    /// Returns when each destination took its last message.
    pub(crate) fn sends(&self) -> &SendLog {
        &self.sends
    }

    /// Returns what the last window of each log took.
    pub(crate) fn costs(&self) -> &CostLog {
        &self.costs
    }

    /// Returns the handle of the writer.
    pub(crate) fn writer(&self) -> &Writer {
        &self.process.writer
    }

    /// Returns the messages that nothing sends, and updates their metric.
    pub(crate) async fn stranded(&self) -> Result<Vec<Stranded>, StateError> {
        let stranded = stranded(self.writer().pending().await?, &self.config);
        metric::messages_stranded(&self.config, &stranded);
        Ok(stranded)
    }

    /// Reads all windows that are due at `tick`, reports the days that are over, and sends the pending messages. `bar` counts the windows.
    pub(crate) async fn tick(
        self: &Arc<Self>,
        tick: TickTime,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<TickSummary, StateError> {
        self.silences().refresh(self.config.silences.as_deref(), Second::from(clock::now()));
        self.addresses().refresh(&self.config.addresses);
        self.replica().want(self.wanted_leases()).await?;
        let mut summary = TickSummary { silences_error: self.silences().error(), ..TickSummary::default() };
        let mut failure = None;
        let mut tasks = self.start_log_tasks(tick, shutdown, bar, &mut summary);
        let mut senders = Senders::new(self, shutdown);
        let (begun, mut pace) = (clock::monotonic(), Pace::new());
        while !tasks.is_empty() {
            let wait = pace.next().saturating_sub(begun.elapsed());
            if let Ok(Some(task)) = tokio::time::timeout(wait, tasks.join_next()).await {
                match summary.add_log(task) {
                    Ok(urgent) => pace.note_read(begun.elapsed(), urgent),
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(wanted) = pace.due(begun.elapsed()) {
                senders.send(&wanted);
            }
        }
        if let Err(error) = daily::report_days(&self.config, self.silences(), self.writer(), tick.at).await {
            failure = Some(error);
        }
        senders.send(&Wanted::All);
        let sent = senders.finish(&mut summary).await;
        if self.replica().is_one_of_several() && self.replica().right(&Duty::Heartbeat).is_some() {
            summary.troubles.extend(self.troubles_of_others(tick.at).await?);
        }
        sent.and(failure.map_or(Ok(summary), Err))
    }

    /// Returns what this process wants to do among others that have the same config.
    fn wanted_leases(&self) -> WantedLeases {
        let (mut logs, mut own, host) = (BTreeSet::new(), BTreeSet::new(), replica::host());
        for source in &self.config.sources {
            let name = Duty::Log(source.source.log.clone()).to_string();
            match &source.settings {
                Cloud::File(file) if file.host.as_ref() == Some(&host) => drop(own.insert(name)),
                Cloud::File(file) if file.host.is_some() => {}
                _ => drop(logs.insert(name)),
            }
        }
        logs.extend(self.lists().iter().map(|list| Duty::Log(list.source.log.clone()).to_string()));
        let names = self.outboxes.iter().map(|outbox| Duty::Destination(outbox.destination.name().to_owned()));
        let rest = names.chain([Duty::Heartbeat]).map(|duty| duty.to_string()).collect();
        WantedLeases { shared: vec![logs, rest], own, in_use: BTreeSet::new() }
    }

    /// Returns why logs that other replicas read are not read as they should be: who sends the heartbeat speaks for all.
    async fn troubles_of_others(&self, at: Second) -> Result<Vec<String>, StateError> {
        let period = self.config.schedule.latest_seconds - self.config.schedule.earliest_seconds;
        // They may be reading this tick's windows still, but not those before.
        let behind = at.plus(self.config.schedule.latest_seconds - period);
        let (progresses, _) = self.writer().progresses().await?;
        let by_log: HashMap<&LogId, &Progress> = progresses.iter().map(|progress| (&progress.log, progress)).collect();
        let of_others =
            self.logs.iter().filter(|log| self.replica().right(&Duty::Log(log.source.log.clone())).is_none());
        let trouble = |log: &Arc<Log>| {
            let trouble = match by_log.get(&log.source.log) {
                None => "was never read",
                Some(progress) if progress.retired.is_some() => return None,
                Some(progress) if progress.failing.is_some() => "cannot be read",
                Some(progress) if progress.cursor < behind => "is behind",
                Some(progress) if progress.is_silent() => "has no records",
                Some(_) => return None,
            };
            Some(format!("log {} {trouble}", log.source.name))
        };
        Ok(of_others.filter_map(trouble).collect())
    }

    /// Starts a task for every log that is not being read, and that no other replica reads.
    fn start_log_tasks(
        self: &Arc<Self>,
        tick: TickTime,
        shutdown: &Shutdown,
        bar: &ProgressBar,
        summary: &mut TickSummary,
    ) -> JoinSet<Result<LogSummary, StateError>> {
        let mut tasks = JoinSet::new();
        for log in &self.logs {
            let Some(right) = self.replica().right(&Duty::Log(log.source.log.clone())) else { continue };
            let Some(guard) = self.in_flight().start_log(&log.source.log) else {
                warn!(source = log.source.name, "log is still being read, skipping this tick");
                summary.logs_pending += 1;
                continue;
            };
            let (watch, log, shutdown, bar) = (self.clone(), log.clone(), shutdown.clone(), bar.clone());
            tasks.spawn(async move {
                let outcome = watch.read_log(&log, tick, &right, &shutdown, &bar).await;
                drop(guard);
                if let Err(error) = &outcome {
                    if right.is_lost(error) {
                        info!(
                            source = log.source.name,
                            "another replica has taken the log over: the work on it is dropped"
                        );
                        return Ok(LogSummary::default());
                    }
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
        right: &Right,
        shutdown: &Shutdown,
        bar: &ProgressBar,
    ) -> Result<LogSummary, StateError> {
        // Read again at each tick: another replica may have gone on with it.
        let progress = self.writer().progress(&log.source.log).await?;
        let at = tick.at;
        let due = self.config.schedule.due(progress.as_ref(), log.start_seconds, tick);
        bar.inc_length((due.windows.len() + due.rereads.len()) as u64);
        let start = due.windows.first().map_or(at, Window::earliest);
        let progress = progress.unwrap_or_else(|| Progress::new(log.source.log.clone(), start));
        let _running = self.writer().note_running();
        let task = LogTask::new(log, progress, at, &self.options, self.writer(), &self.engine, right);
        let summary = task.run(due, &self.costs, shutdown, bar).await?;
        // What is left is due to the replica that gets the log.
        Ok(LogSummary { is_pending: summary.is_pending && !right.is_to_pass(), ..summary })
    }
}

/// The senders of one tick, at most one for each destination at a time.
struct Senders<'w> {
    watch: &'w Watch,
    shutdown: &'w Shutdown,
    /// The number of the destination, and what was sent to it.
    tasks: JoinSet<(usize, Result<DispatchSummary, StateError>)>,
    /// How many messages are pending for each destination.
    pending: Vec<usize>,
}

impl<'w> Senders<'w> {
    fn new(watch: &'w Watch, shutdown: &'w Shutdown) -> Senders<'w> {
        Senders { watch, shutdown, tasks: JoinSet::new(), pending: vec![0; watch.outboxes.len()] }
    }

    /// Sends what is wanted of the pending messages to all destinations, without waiting for it. One that is being sent to
    /// gets it after that.
    fn send(&mut self, wanted: &Wanted) {
        for (number, outbox) in self.watch.outboxes.iter().enumerate() {
            let name = outbox.destination.name();
            let Some(right) = self.watch.replica().right(&Duty::Destination(name.to_owned())) else { continue };
            let Some(guard) = self.watch.in_flight().start_to_send(name, wanted) else {
                // If no task of this tick sends, that of an earlier one does, and its end is not waited for.
                self.pending[number] = self.pending[number].max(1);
                continue;
            };
            let (outbox, writer, shutdown) = (outbox.clone(), self.watch.writer().clone(), self.shutdown.clone());
            let wanted = wanted.clone();
            self.tasks.spawn(async move {
                let sent = dispatch::send_while_wanted(&outbox, &writer, &right, &shutdown, guard, wanted).await;
                let is_lost = sent.as_ref().is_err_and(|error| right.is_lost(error));
                (number, if is_lost { Ok(DispatchSummary::default()) } else { sent })
            });
        }
    }

    /// Waits until everything is sent, and adds it to `summary`.
    async fn finish(mut self, summary: &mut TickSummary) -> Result<(), StateError> {
        let mut failure = None;
        while let Some(task) = self.tasks.join_next().await {
            match task {
                Ok((number, Ok(sent))) => {
                    summary.messages += sent.sent;
                    self.pending[number] = sent.pending;
                    let name = self.watch.outboxes[number].destination.name();
                    self.watch.sends.note(name, sent.sent, sent.pending, Second::from(clock::now()));
                }
                Ok((_, Err(error))) => failure = Some(error),
                Err(error) => {
                    error!(%error, "the task of a destination crashed: this is a bug, please report it");
                    summary.messages_pending += 1;
                }
            }
        }
        summary.messages_pending += self.pending.iter().sum::<usize>();
        failure.map_or(Ok(()), Err)
    }
}

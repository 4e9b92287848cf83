//! The verb `run`: the daemon. It ticks by the wall clock, handles signals, reloads its config and reports to systemd.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use sd_notify::NotifyState;
use stakeout_core::lease::Duty;
use stakeout_core::text::counted;
use stakeout_core::time::Second;
use stakeout_ledger::Stay;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tracing::{error, info, warn};

use crate::admin::{self, Health};
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::discovery;
use crate::exit::{Exit, Failure};
use crate::heartbeat::{self, Beat, Heartbeat};
use crate::metric;
use crate::progress_bar;
use crate::replica;
use crate::schedule::TickTime;
use crate::section::secret::SecretScope;
use crate::shutdown::{STOP_MAX, Shutdown, ShutdownSwitch, shutdown};
use crate::systemd;
use crate::tick::TickSummary;
use crate::wall_clock::{Shown, WallClock};
use crate::watch::Watch;
use crate::writer::{StateError, Writer};

/// Wait before pending windows and messages are tried again, if the next tick is not earlier. A tick that takes longer waits
/// for something slow: the next one begins beside it.
const RETRY_AFTER_SECONDS: i64 = 5 * 60;
/// Longest sleep before the daemon checks the wall clock again, so that it notices a step of the clock.
const CLOCK_POLL: Duration = Duration::from_secs(20);

/// How often a replica looks for messages that others have committed for its destinations.
const OTHERS_POLL: Duration = Duration::from_secs(20);

/// How often a stopping daemon checks whether all tasks have stopped.
const IDLE_POLL: Duration = Duration::from_millis(20);

/// The arguments of `stakeout run`.
#[derive(Args, Debug)]
#[command(after_help = "Signals: TERM and INT stop the daemon within 15 s. HUP reloads config and rules.
If they have errors, the daemon keeps the old ones.

Example:
  stakeout run -c /etc/stakeout/stakeout.yaml")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the daemon until a signal stops it.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let runtime = bootstrap::runtime()?;
    let ended = runtime.block_on(daemon(args));
    // Do not wait for a log file that is still being read: nothing of it was committed.
    runtime.shutdown_background();
    ended
}

async fn daemon(args: &RunArgs) -> Result<Exit, Failure> {
    // A reload that is asked for during the start must not end the process.
    let hang_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let (config, rules) = args.config.load(SecretScope::ALL)?;
    let metrics = admin::install_metrics()?;
    let process = bootstrap::process(&config, Stay::Long)?;
    let health = Health::default();
    let replica = process.replica.clone();
    let watch = Arc::new(Watch::new(config, rules, process)?);
    let in_use = tokio::sync::watch::Sender::new(watch.clone());
    admin::serve(metrics, health.clone(), in_use.subscribe()).await?;
    let mut signals = Signals::new(hang_up).context("cannot listen for signals")?;
    let (switch, shutdown) = shutdown();
    start_watchdog(watch.writer().clone());
    let beats = tokio::sync::watch::Sender::new(None);
    tokio::spawn(heartbeat::send_latest(beats.subscribe()));
    tokio::spawn(replica.clone().keep());
    systemd::notify(&[NotifyState::Ready]);
    let (sources, rules) = (watch.config().sources.len(), watch.rules().rules.len());
    let discoveries = watch.config().discover.len();
    info!(version = env!("CARGO_PKG_VERSION"), sources, discoveries, rules, "started");
    warn_of_stranded(&watch).await;
    let mut daemon = Daemon {
        args: args.config.clone(),
        in_use,
        health,
        beats,
        last_tick: None,
        ticks: JoinSet::new(),
        failures: 0,
        clock: WallClock::default(),
        started: clock::monotonic(),
    };
    let ended = daemon.run(&mut signals, &switch, &shutdown).await;
    replica.leave().await;
    ended?;
    systemd::notify(&[NotifyState::Stopping]);
    info!("stopped");
    Ok(Exit::Done)
}

struct Daemon {
    args: ConfigArgs,
    /// The config in use with the logs that are found, for the ticks and the admin page.
    in_use: tokio::sync::watch::Sender<Arc<Watch>>,
    health: Health,
    /// What the ticks have to say, for the heartbeat.
    beats: tokio::sync::watch::Sender<Option<(Arc<Heartbeat>, Beat)>>,
    /// The last tick that began.
    last_tick: Option<Second>,
    /// The ticks that are not done.
    ticks: JoinSet<(Second, Result<TickSummary, StateError>)>,
    /// How many ticks in a row the database was down.
    failures: u32,
    clock: WallClock,
    /// What the monotonic clock showed at the start.
    started: Instant,
}

/// Why a wait ended.
enum WakeReason {
    Time,
    Reload,
    Stop,
}

impl Daemon {
    async fn run(
        &mut self,
        signals: &mut Signals,
        switch: &ShutdownSwitch,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        loop {
            let Some(now) = self.now() else {
                if let WakeReason::Stop = self.wait_for_clock(signals).await {
                    self.stop(switch).await;
                    return Ok(());
                }
                continue;
            };
            // A small step back of the clock repeats nothing: a tick never begins before the time of the last one.
            let watch = self.watch();
            let tick = watch.config().schedule.tick_before(now).max(self.last_tick);
            let next = watch.config().schedule.tick_after(tick.unwrap_or(now));
            if let Some(tick) = tick {
                self.last_tick = Some(tick);
                self.begin_tick(tick, shutdown);
            }
            match self.wait_for_tick(next, signals).await? {
                WakeReason::Time => {}
                WakeReason::Reload => self.reload().await,
                WakeReason::Stop => {
                    self.stop(switch).await;
                    return Ok(());
                }
            }
        }
    }

    fn watch(&self) -> Arc<Watch> {
        self.in_use.borrow().clone()
    }

    /// Returns the time, or `None` while the wall clock is not believed.
    fn now(&mut self) -> Option<Second> {
        match self.clock.look(self.started.elapsed(), Second::from(clock::now())) {
            Shown::Time(now) => Some(now),
            Shown::Ahead { seconds, is_new } => {
                if is_new {
                    let error =
                        format!("the system clock went forward by {seconds} s: nothing is read until that lasts");
                    error!("{error}");
                    self.health.note_error(error);
                }
                None
            }
            Shown::Stepped { at, seconds } => {
                let direction = if seconds > 0 { "forward" } else { "back" };
                warn!("the system clock went {direction} by {} s, and is believed", seconds.abs());
                self.last_tick = None;
                Some(at)
            }
        }
    }

    /// Waits before the next look at a clock that is ahead.
    async fn wait_for_clock(&mut self, signals: &mut Signals) -> WakeReason {
        let reason = tokio::select! {
            () = clock::sleep(CLOCK_POLL) => WakeReason::Time,
            reason = signals.next() => reason,
        };
        if let WakeReason::Reload = reason {
            self.reload().await;
        }
        reason
    }

    /// Waits for the tick at `next`, or until something pending is tried again. Notes the ticks that end meanwhile. Fails if
    /// the writer has ended.
    async fn wait_for_tick(&mut self, next: Option<Second>, signals: &mut Signals) -> Result<WakeReason, Failure> {
        let retry = |failures: u32| {
            let retry = match failures {
                0 => Second::from(clock::now()).plus(RETRY_AFTER_SECONDS),
                number => Second::from(clock::now() + replica::back_off(number, &replica::host())),
            };
            Some(next.map_or(retry, |next| next.min(retry)))
        };
        let (mut wake, mut is_pending) = (retry(0), false);
        let replica = self.watch().replica().clone();
        loop {
            tokio::select! {
                Some(ended) = self.ticks.join_next() => {
                    if self.note(ended)? {
                        (wake, is_pending) = (retry(self.failures), true);
                    } else if self.ticks.is_empty() && !is_pending {
                        wake = next;
                    }
                }
                // What another replica read so far is read on at once.
                () = replica.gained(), if self.ticks.is_empty() => return Ok(WakeReason::Time),
                () = clock::sleep(OTHERS_POLL), if replica.is_one_of_several() && self.ticks.is_empty() => {
                    if self.has_messages_of_others().await {
                        return Ok(WakeReason::Time);
                    }
                }
                reason = sleep_until(&self.clock, self.started, wake, signals) => return Ok(reason),
            }
        }
    }

    /// Returns whether messages are pending that this replica sends: another one committed them after its tick.
    async fn has_messages_of_others(&self) -> bool {
        let watch = self.watch();
        let pending = watch.writer().pending().await.unwrap_or_default();
        pending.into_keys().any(|name| watch.replica().right(&Duty::Destination(name)).is_some())
    }

    /// Requests all tasks to stop and waits for them, up to [`STOP_MAX`].
    async fn stop(&self, switch: &ShutdownSwitch) {
        info!("stopping after the current windows and messages");
        switch.request();
        let idle = async {
            while !self.watch().in_flight().is_empty() {
                clock::sleep(IDLE_POLL).await;
            }
        };
        if tokio::time::timeout(STOP_MAX, idle).await.is_err() {
            warn!("a window or message takes too long: the next start reads or sends it again");
        }
    }

    /// Begins a tick. What an earlier one still reads or sends, it leaves alone.
    fn begin_tick(&mut self, tick: Second, shutdown: &Shutdown) {
        let (watch, in_use, shutdown) = (self.watch(), self.in_use.clone(), shutdown.clone());
        let is_alone = self.ticks.is_empty();
        let bar = if is_alone { progress_bar::windows() } else { ProgressBar::hidden() };
        let time = TickTime::by_the_clock(tick, self.clock.wrong_since());
        self.ticks.spawn(async move {
            // A reload during the tick has the last word.
            let adopt = |found: &Arc<Watch>| {
                in_use.send_if_modified(|current| {
                    let is_it = Arc::ptr_eq(current, &watch);
                    if is_it {
                        *current = found.clone();
                    }
                    is_it
                });
            };
            let outcome = discovery::tick(&watch, time, &shutdown, &bar, adopt).await;
            bar.finish_and_clear();
            (tick, outcome)
        });
    }

    /// Records the outcome of a tick in health and systemd's status. Returns `true` if windows or messages are still
    /// pending, and an error if the writer has ended.
    fn note(&mut self, ended: Result<(Second, Result<TickSummary, StateError>), JoinError>) -> Result<bool, Failure> {
        let (tick, summary) = match ended {
            Ok((tick, Ok(summary))) => (tick, summary),
            Ok((_, Err(error @ StateError::Closed))) => return Err(bootstrap::state_failure(error)),
            Ok((_, Err(error))) => {
                self.failures = if error.is_unavailable() { self.failures + 1 } else { 0 };
                error!(%error, "cannot read or write the state");
                self.health.note_error(error.to_string());
                self.beat(Beat::Unwell(error.to_string()));
                return Ok(true);
            }
            Err(error) => {
                error!(%error, "a tick crashed: this is a bug, please report it");
                self.health.note_error("the last tick crashed".to_owned());
                self.beat(Beat::Unwell("the tick crashed".to_owned()));
                return Ok(true);
            }
        };
        self.failures = 0;
        self.health.note_tick(tick, &summary);
        self.beat(Beat::of(tick, &summary));
        systemd::notify(&[NotifyState::Status(&format!(
            "tick {tick}: {}, {}, {} and {} pending",
            counted(summary.windows, "window"),
            counted(summary.messages, "message"),
            counted(summary.logs_pending, "log"),
            counted(summary.messages_pending, "message")
        ))]);
        Ok(!summary.is_complete())
    }

    /// Lets the heartbeat send a signal, without waiting for it. Of several replicas one does.
    fn beat(&self, beat: Beat) {
        if self.watch().replica().right(&Duty::Heartbeat).is_none() {
            return;
        }
        if let Some(heartbeat) = self.watch().heartbeat() {
            self.beats.send_replace(Some((heartbeat.clone(), beat)));
        }
    }

    /// Reloads config and rules. If they have errors, the old ones stay in use.
    async fn reload(&mut self) {
        // systemd's notify-reload expects the time at which the reload began, by its own clock.
        let begun = NotifyState::monotonic_usec_now().ok();
        systemd::notify(&[NotifyState::Reloading].into_iter().chain(begun).collect::<Vec<_>>());
        match self.reloaded().await {
            Ok(watch) => {
                self.in_use.send_replace(Arc::new(watch));
                warn_of_stranded(&self.watch()).await;
                metric::reload(true);
                info!("config and rules reloaded");
            }
            Err(error) => {
                metric::reload(false);
                error!("cannot use the new config, the old one stays in use: {error}");
            }
        }
        systemd::notify(&[NotifyState::Ready]);
    }

    async fn reloaded(&self) -> Result<Watch, Failure> {
        let (config, rules) = self.args.load(SecretScope::ALL)?;
        let in_use = self.watch();
        let old = in_use.config();
        if !config.state.is_same_place(&old.state) || config.admin.listen != old.admin.listen {
            warn!("a reload does not change where the state is, or admin.listen: restart to change them");
        }
        let watch = Watch::new(config, rules, in_use.process().clone())?;
        Ok(watch.continuing(&in_use))
    }
}

/// Sleeps until the wall clock shows `wake`, or another time than it should: it looks every [`CLOCK_POLL`].
async fn sleep_until(clock: &WallClock, started: Instant, wake: Option<Second>, signals: &mut Signals) -> WakeReason {
    loop {
        let now = clock::now();
        let left = wake.map_or(CLOCK_POLL, |wake| {
            let left_ms = wake.millis().saturating_sub(now.as_millisecond());
            Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
        });
        if left.is_zero() || clock.is_off(started.elapsed(), Second::from(now)) {
            return WakeReason::Time;
        }
        tokio::select! {
            () = clock::sleep(left.min(CLOCK_POLL)) => {}
            reason = signals.next() => return reason,
        }
    }
}

/// Warns of messages that nothing sends. An error of the state is left to the next tick.
async fn warn_of_stranded(watch: &Watch) {
    for messages in watch.stranded().await.unwrap_or_default() {
        warn!("{}", messages.explanation());
    }
}

/// The signals that the daemon handles.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new(hang_up: Signal) -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up,
        })
    }

    async fn next(&mut self) -> WakeReason {
        tokio::select! {
            _ = self.terminate.recv() => WakeReason::Stop,
            _ = self.interrupt.recv() => WakeReason::Stop,
            _ = self.hang_up.recv() => WakeReason::Reload,
        }
    }
}

/// Notifies systemd's watchdog for as long as the writer answers, be it with an error: a restart makes no room on a full disk.
fn start_watchdog(writer: Writer) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    tokio::spawn(async move {
        let mut beat = clock::interval(period / 2);
        loop {
            beat.tick().await;
            if !matches!(writer.check().await, Err(StateError::Closed)) {
                systemd::notify(&[NotifyState::Watchdog]);
            }
        }
    });
}

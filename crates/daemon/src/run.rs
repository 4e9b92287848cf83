//! The verb `run`: the daemon. Ticks by the wall clock, signals, reloads, and its word to systemd.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use sd_notify::NotifyState;
use stakeout_core::time::Second;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::admin::{self, Health};
use crate::bootstrap::{self, ConfigArgs};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::in_flight::Busy;
use crate::metric;
use crate::once::catch_up_bar;
use crate::shutdown::{Shutdown, ShutdownSwitch, shutdown};
use crate::watch::{Patience, Ticked, Watch};
use crate::writer::{StateError, Writer};

/// How soon what is still owed is tried again before the next tick.
const RETRY_AFTER_SECONDS: i64 = 5 * 60;
/// Longest sleep before the wall clock is looked at again, so that a step of it is seen.
const NAP: Duration = Duration::from_secs(20);
/// How long a tick may take to come to a clean end after a signal; systemd is told to wait longer.
const GRACE: Duration = Duration::from_secs(8);

/// How often a stopping daemon looks whether all have stopped.
const IDLE_LOOK: Duration = Duration::from_millis(20);

/// What `stakeout run` is told.
#[derive(Args, Debug)]
#[command(
    after_help = "Signals: TERM and INT end it within 15 s; HUP reads config and rules again and keeps the old ones
where the new are wrong.

Example:
  stakeout run -c /etc/stakeout/stakeout.yaml"
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the daemon until a signal ends it.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let runtime = bootstrap::runtime()?;
    let ended = runtime.block_on(daemon(args));
    // A log file that is still being read is not waited for: nothing of it was written.
    runtime.shutdown_background();
    ended
}

async fn daemon(args: &RunArgs) -> Result<Exit, Failure> {
    let (config, rules) = args.config.load()?;
    let metrics = admin::install_metrics()?;
    let writer = bootstrap::open_state(&config)?;
    let health = Health::default();
    if let Some(listen) = config.admin_listen {
        admin::serve(listen, metrics, health.clone(), writer.clone()).await?;
    }
    let watch = Arc::new(Watch::new(config, rules, writer, Busy::default()).await?);
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let (switch, asked) = shutdown();
    start_watchdog(watch.writer().clone());
    tell_systemd(&[NotifyState::Ready]);
    let (sources, rules) = (watch.config().sources.len(), watch.rules().rules.len());
    info!(version = env!("CARGO_PKG_VERSION"), sources, rules, "started");
    let mut daemon = Daemon { args: args.config.clone(), watch, health, last_tick: None };
    daemon.run(&mut signals, &switch, &asked).await?;
    tell_systemd(&[NotifyState::Stopping]);
    info!("stopped");
    Ok(Exit::Done)
}

struct Daemon {
    args: ConfigArgs,
    watch: Arc<Watch>,
    health: Health,
    /// The last tick that was begun.
    last_tick: Option<Second>,
}

/// What ended a wait.
enum Woken {
    Time,
    Reload,
    Stop,
}

impl Daemon {
    async fn run(&mut self, signals: &mut Signals, switch: &ShutdownSwitch, asked: &Shutdown) -> Result<(), Failure> {
        loop {
            let now = Second::from(clock::now());
            // A step back of the clock repeats nothing: a tick is never begun for a time before the last one's.
            let tick = self.watch.config().schedule.tick_before(now).max(self.last_tick);
            let mut wake = self.watch.config().schedule.tick_after(tick.unwrap_or(now));
            if let Some(tick) = tick {
                self.last_tick = Some(tick);
                let (ticked, woken) = self.tick(tick, signals, switch, asked).await;
                if let Woken::Stop = woken {
                    return Ok(());
                }
                if self.note(tick, ticked)? {
                    let retry = Second::from(clock::now()).plus(RETRY_AFTER_SECONDS);
                    wake = Some(wake.map_or(retry, |wake| wake.min(retry)));
                }
                if let Woken::Reload = woken {
                    self.reload().await;
                    continue;
                }
            }
            match sleep_until(wake, signals).await {
                Woken::Time => {}
                Woken::Reload => self.reload().await,
                Woken::Stop => {
                    self.stop(switch).await;
                    return Ok(());
                }
            }
        }
    }

    /// Asks everything that is at work to stop, and waits until it has, for a while.
    async fn stop(&self, switch: &ShutdownSwitch) {
        info!("stopping: the windows and messages in hand are finished first");
        switch.ask();
        let idle = async {
            while !self.watch.busy().is_empty() {
                clock::sleep(IDLE_LOOK).await;
            }
        };
        if tokio::time::timeout(GRACE, idle).await.is_err() {
            warn!("a window or a message in hand takes too long: it is read or sent again at the next start");
        }
    }

    /// Runs a tick to its end, or to a clean stop after a signal.
    async fn tick(
        &self,
        tick: Second,
        signals: &mut Signals,
        switch: &ShutdownSwitch,
        asked: &Shutdown,
    ) -> (Option<Result<Ticked, StateError>>, Woken) {
        let (watch, asked) = (self.watch.clone(), asked.clone());
        let bar = if watch.config().sources.is_empty() { ProgressBar::hidden() } else { catch_up_bar() };
        let mut work = tokio::spawn(async move {
            let ticked = watch.tick(tick, Patience::Limited, &asked, &bar).await;
            bar.finish_and_clear();
            ticked
        });
        let mut woken = Woken::Time;
        loop {
            tokio::select! {
                done = &mut work => return (done.ok(), woken),
                signal = signals.next() => match signal {
                    Woken::Stop => break,
                    other => woken = other,
                },
            }
        }
        self.stop(switch).await;
        work.abort();
        (None, Woken::Stop)
    }

    /// Notes how a tick went; `true` where something is still owed. Without a writer there is nothing left to do.
    fn note(&self, tick: Second, ticked: Option<Result<Ticked, StateError>>) -> Result<bool, Failure> {
        let ticked = match ticked {
            Some(Ok(ticked)) => ticked,
            Some(Err(fault @ StateError::Closed)) => return Err(bootstrap::state_failure(fault)),
            Some(Err(fault)) => {
                error!(%fault, "the state could not be read or written");
                self.health.note_fault(fault.to_string());
                return Ok(true);
            }
            None => {
                error!("the tick broke off: this is a fault of the program");
                self.health.note_fault("the last tick broke off".to_owned());
                return Ok(true);
            }
        };
        self.health.note_tick(tick, &ticked);
        tell_systemd(&[NotifyState::Status(&format!(
            "tick {tick}: {} windows, {} messages, {} logs and {} messages owed",
            ticked.windows, ticked.messages, ticked.logs_owing, ticked.messages_owed
        ))]);
        Ok(ticked.logs_owing > 0 || ticked.messages_owed > 0)
    }

    /// Reads config and rules again; where they are wrong the old ones stay.
    async fn reload(&mut self) {
        // systemd's notify-reload wants to know when the reload began, by its own clock.
        let begun = NotifyState::monotonic_usec_now().ok();
        tell_systemd(&[NotifyState::Reloading].into_iter().chain(begun).collect::<Vec<_>>());
        match self.reloaded().await {
            Ok(watch) => {
                self.watch = Arc::new(watch);
                metric::reload(true);
                info!("config and rules were read again");
            }
            Err(fault) => {
                metric::reload(false);
                error!("the new config is not used, the old one stays: {fault}");
            }
        }
        tell_systemd(&[NotifyState::Ready]);
    }

    async fn reloaded(&self) -> Result<Watch, Failure> {
        let (config, rules) = self.args.load()?;
        let old = self.watch.config();
        if config.state_path != old.state_path || config.admin_listen != old.admin_listen {
            warn!("state.path and admin.listen are read at the start only: restart to change them");
        }
        Ok(Watch::new(config, rules, self.watch.writer().clone(), self.watch.busy().clone()).await?)
    }
}

/// Sleeps until the wall clock shows `wake`, in naps, so that a step of the clock is seen.
async fn sleep_until(wake: Option<Second>, signals: &mut Signals) -> Woken {
    loop {
        let now = clock::now();
        let left = wake.map_or(NAP, |wake| {
            let left_ms = wake.millis().saturating_sub(now.as_millisecond());
            Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
        });
        if left.is_zero() {
            return Woken::Time;
        }
        tokio::select! {
            () = clock::sleep(left.min(NAP)) => {}
            woken = signals.next() => return woken,
        }
    }
}

/// The signals that the daemon knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Woken {
        tokio::select! {
            _ = self.terminate.recv() => Woken::Stop,
            _ = self.interrupt.recv() => Woken::Stop,
            _ = self.hang_up.recv() => Woken::Reload,
        }
    }
}

fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(states) {
        warn!(%fault, "systemd could not be told");
    }
}

/// Tells systemd's watchdog that the daemon lives, as long as the writer answers.
fn start_watchdog(writer: Writer) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    tokio::spawn(async move {
        let mut beat = clock::interval(period / 2);
        loop {
            beat.tick().await;
            if writer.progress().await.is_ok() {
                tell_systemd(&[NotifyState::Watchdog]);
            }
        }
    });
}

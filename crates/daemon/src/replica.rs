//! This process among others that share its state: which logs it reads, and to which destinations it sends.
//!
//! A process with a state of its own does everything, and nothing here does anything then. The leases themselves, and who
//! should hold which, are the ledger's and core's.

use std::collections::BTreeMap;
use std::fs;
use std::future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stakeout_core::lease::{Duty, Lease};
use stakeout_ledger::{HeldLeases, Leases, LedgerError, WantedLeases};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::clock;
use crate::in_flight::InFlight;
use crate::metric;
use crate::writer::StateError;

/// A lease is renewed so many times while it holds, so two beats may fail before others take over.
const BEATS_PER_LEASE: u32 = 3;
/// The part of a lease before its end in which nothing new is sent: a message takes a moment, and clocks differ in speed.
const MARGIN_PARTS: u32 = 6;

/// This process among others. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replica(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    leases: Leases,
    in_flight: InFlight,
    wanted: Mutex<WantedLeases>,
    held: Mutex<Held>,
    /// One beat at a time, so that an older answer never replaces a newer one.
    beating: Mutex<()>,
    gained: Notify,
}

/// What was held after the last beat that succeeded.
#[derive(Debug, Default)]
struct Held {
    leases: HeldLeases,
    /// Until when nobody else can have taken over; `None` before the first beat.
    until: Option<Instant>,
    /// Why the last beat failed, if it did.
    failure: Option<String>,
}

/// The right to a duty: of a process that is alone, or by a lease.
#[derive(Clone, Debug)]
pub(crate) struct Right {
    replica: Replica,
    lease: Option<Lease>,
}

impl Right {
    /// Returns the lease that a write is fenced with, if there is one.
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.lease.clone()
    }

    /// Returns whether nobody else can have taken over yet.
    pub(crate) fn holds(&self) -> bool {
        let Some((shared, lease)) = self.replica.0.as_ref().zip(self.lease.as_ref()) else { return true };
        shared.held().valid(&lease.name) == Some(lease.epoch)
    }

    /// Returns whether another replica is to have it: what is in flight ends, and nothing new begins.
    pub(crate) fn is_to_pass(&self) -> bool {
        let Some((shared, lease)) = self.replica.0.as_ref().zip(self.lease.as_ref()) else { return false };
        shared.held().leases.surplus.contains(&lease.name)
    }

    /// Returns whether `error` says that another replica has taken over, and forgets the lease then. The error may be about
    /// another log of the same commit.
    pub(crate) fn is_lost(&self, error: &StateError) -> bool {
        let (StateError::Ledger(error), Some((shared, lease))) =
            (error, self.replica.0.as_ref().zip(self.lease.as_ref()))
        else {
            return false;
        };
        let is_lost = matches!(&**error, LedgerError::Fenced { lease: name } if *name == lease.name);
        if is_lost {
            metric::fenced();
            let mine = &mut shared.held().leases.mine;
            if mine.get(&lease.name) == Some(&lease.epoch) {
                mine.remove(&lease.name);
            }
        }
        is_lost
    }
}

impl Held {
    /// Returns the epoch of a lease that certainly holds.
    fn valid(&self, name: &str) -> Option<i64> {
        self.until.filter(|until| clock::monotonic() < *until).and_then(|_| self.leases.mine.get(name).copied())
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, WantedLeases> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews, gives back and claims. Blocks.
    fn beat(&self) -> Result<(), LedgerError> {
        let _one = self.beating.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = WantedLeases { in_use: self.in_flight.running(), ..self.wanted().clone() };
        // The database counts from a later moment on, so what this process believes ends first.
        let begun = clock::monotonic();
        let answer = self.leases.beat(&wanted);
        let mut held = self.held();
        let leases = match answer {
            Ok(leases) => leases,
            Err(error) => {
                held.failure = Some(error.to_string());
                return Err(error);
            }
        };
        let is_gained = leases.mine.iter().any(|(name, epoch)| held.leases.mine.get(name) != Some(epoch));
        metric::leases(leases.mine.len(), leases.alive);
        if held.leases.mine.keys().ne(leases.mine.keys()) {
            info!(leases = leases.mine.len(), replicas = leases.alive, "this replica has other leases now");
        }
        let length = self.leases.length();
        *held = Held { leases, until: Some(begun + length - length / MARGIN_PARTS), failure: None };
        if is_gained {
            self.gained.notify_one();
        }
        Ok(())
    }
}

impl Replica {
    /// Returns this process among those that share a database, on a host, with a length of leases. It holds nothing yet.
    pub(crate) fn among(leases: Leases, in_flight: InFlight) -> Replica {
        Replica(Some(Arc::new(Shared {
            leases,
            in_flight,
            wanted: Mutex::default(),
            held: Mutex::default(),
            beating: Mutex::default(),
            gained: Notify::new(),
        })))
    }

    /// Says what this process wants a share of, and returns when it has what nobody else holds.
    pub(crate) async fn want(&self, wanted: WantedLeases) -> Result<(), StateError> {
        let Some(shared) = self.0.clone() else { return Ok(()) };
        *shared.wanted() = wanted;
        blocking(move || shared.beat()).await
    }

    /// Renews the leases for as long as the process lives.
    pub(crate) async fn keep(self) {
        let Some(shared) = self.0 else { return };
        let mut beat = clock::interval(shared.leases.length() / BEATS_PER_LEASE);
        loop {
            beat.tick().await;
            // Before the first tick nothing is wanted, and nothing is claimed.
            let beating = shared.clone();
            if let Err(error) = blocking(move || beating.beat()).await {
                warn!(%error, "cannot renew the leases");
            }
        }
    }

    /// Waits until this process has gained a lease, which another replica had or nobody.
    pub(crate) async fn gained(&self) {
        match &self.0 {
            Some(shared) => shared.gained.notified().await,
            None => future::pending().await,
        }
    }

    /// Returns the right to a duty, or `None` where another replica has it.
    pub(crate) fn right(&self, duty: &Duty) -> Option<Right> {
        let Some(shared) = &self.0 else { return Some(Right { replica: self.clone(), lease: None }) };
        let name = duty.to_string();
        let epoch = shared.held().valid(&name)?;
        Some(Right { replica: self.clone(), lease: Some(Lease { name, epoch }) })
    }

    /// Returns the host of the replica that has each duty, by the duty's name; nothing of a process that is alone.
    pub(crate) fn hosts(&self) -> BTreeMap<String, String> {
        self.0.as_ref().map(|shared| shared.held().leases.hosts.clone()).unwrap_or_default()
    }

    /// Returns why the leases could not be renewed, if they could not.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.as_ref().and_then(|shared| shared.held().failure.clone())
    }

    /// Returns whether other replicas may share the state.
    pub(crate) fn is_one_of_several(&self) -> bool {
        self.0.is_some()
    }

    /// Gives all leases back, so that others take over at once.
    pub(crate) async fn leave(&self) {
        let Some(shared) = self.0.clone() else { return };
        let left = blocking(move || {
            let _one = shared.beating.lock().unwrap_or_else(PoisonError::into_inner);
            *shared.held() = Held::default();
            *shared.wanted() = WantedLeases::default();
            shared.leases.leave()
        });
        if let Err(error) = left.await {
            warn!(%error, "cannot give the leases back: others take over when they expire");
        }
    }
}

/// Runs `f` where it may block.
async fn blocking(f: impl FnOnce() -> Result<(), LedgerError> + Send + 'static) -> Result<(), StateError> {
    let done = tokio::task::spawn_blocking(f).await.map_err(|_| StateError::Closed)?;
    Ok(done?)
}

/// Returns the name of this machine or pod, as `hostname` prints it.
pub(crate) fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Returns how long a process that cannot use its state waits before the try `number`: longer each time, up to half a minute,
/// and not the same for all replicas.
pub(crate) fn back_off(number: u32, host: &str) -> Duration {
    let seconds = 1_u64 << number.min(5);
    let jitter_ms = host.bytes().fold(0_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000);
    Duration::from_secs(seconds.min(30)) + Duration::from_millis(jitter_ms)
}

//! The heartbeat: after each tick, a request to a URL that somebody else watches, who raises the alarm when none comes.
//!
//! The protocol is that of healthchecks.io: the URL itself hears that all is well, and the URL with `/fail` hears that it is
//! not, and why (<https://healthchecks.io/docs/http_api/>). A tick is well if it read every log and sent every message, and
//! no log is without records: a watch that sees nothing must not pass for a healthy one. There is no signal for the begin of
//! a tick: one that hangs sends no signal either, and that is noticed.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use stakeout_core::check::{Check, Status};
use stakeout_core::text::{bounded, counted, reason};
use stakeout_core::time::Second;
use stakeout_http::header::CONTENT_TYPE;
use stakeout_http::{
    Answer, BodyLimit, Client, ClientError, Endpoint, ExchangeError, Network, TimeLimits, Url, exchange,
};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::clock;
use crate::metric;
use crate::tick::TickSummary;

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before the only other try.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Most bytes of an answer that are read: it is a word.
const ANSWER_BYTES_MAX: usize = 64;
/// Longest explanation, in characters.
const EXPLANATION_CHARS_MAX: usize = 1_000;
/// Logs that an explanation names.
const LOGS_NAMED: usize = 10;
/// What healthchecks.io answers with status 200 where it does not know the URL.
const NOT_FOUND: &[u8] = b"OK (not found)";

/// What a tick has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// All was read and sent.
    Well,
    /// It was not, and why.
    Unwell(String),
}

/// The URL that hears of each tick.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    url: SecretString,
    /// What may be shown of it.
    host: String,
    client: Client,
}

/// Why a signal was not taken.
enum Failure {
    /// The next try may succeed.
    Later(String),
    Refused(String),
}

impl Beat {
    /// Returns what a finished tick has to say.
    pub(crate) fn of(tick: Second, summary: &TickSummary) -> Beat {
        let mut reasons: Vec<String> = summary.troubles.iter().take(LOGS_NAMED).cloned().collect();
        if summary.troubles.len() > LOGS_NAMED {
            reasons.push(counted((summary.troubles.len() - LOGS_NAMED) as u64, "more log"));
        }
        let pending = [(summary.logs_pending, "log"), (summary.messages_pending, "message")];
        let pending = pending.iter().filter(|(number, _)| *number > 0);
        reasons.extend(pending.map(|(number, noun)| format!("{} pending", counted(*number as u64, noun))));
        if reasons.is_empty() {
            return Beat::Well;
        }
        Beat::Unwell(bounded(&format!("tick {tick}: {}", reasons.join("; ")), EXPLANATION_CHARS_MAX))
    }

    fn name(&self) -> &'static str {
        match self {
            Beat::Well => "success",
            Beat::Unwell(_) => "fail",
        }
    }
}

impl Heartbeat {
    /// Returns the heartbeat to `url`, which the config has checked.
    pub(crate) fn new(url: SecretString, network: &Network) -> Result<Heartbeat, ClientError> {
        let host = Endpoint::parse(url.expose_secret()).map(|url| url.authority().to_owned()).unwrap_or_default();
        Ok(Heartbeat { url, host, client: network.client(TimeLimits::of_answer(ANSWER_TIMEOUT))? })
    }

    /// Sends a signal, twice if need be. A failure is logged and counted: the tick was the same without it.
    pub(crate) async fn send(&self, beat: &Beat) {
        let mut sent = self.signal(beat).await;
        if let Err(Failure::Later(reason)) = &sent {
            debug!(host = self.host, reason, "retrying the heartbeat");
            clock::sleep(RETRY_AFTER).await;
            sent = self.signal(beat).await;
        }
        metric::heartbeat(beat.name(), sent.is_ok());
        if let Err(Failure::Later(reason) | Failure::Refused(reason)) = sent {
            warn!(host = self.host, signal = beat.name(), reason, "the heartbeat was not taken");
        }
    }

    /// Checks that the URL answers, without a change of its state.
    pub(crate) async fn check(&self) -> Check {
        let fix = "compare the URL with the one that the service shows, and check the way to it";
        match self.request("log", Some("stakeout doctor")).await {
            Ok(()) => Check::good("heartbeat", format!("{} takes it", self.host)),
            Err(Failure::Later(reason) | Failure::Refused(reason)) => {
                Check::of("heartbeat", Status::Doubtful, format!("{}: {reason}", self.host), fix)
            }
        }
    }

    async fn signal(&self, beat: &Beat) -> Result<(), Failure> {
        match beat {
            Beat::Well => self.request("", None).await,
            Beat::Unwell(explanation) => self.request("fail", Some(explanation)).await,
        }
    }

    /// Sends a request to the URL with one more step in its path, or to the URL itself.
    async fn request(&self, step: &str, body: Option<&str>) -> Result<(), Failure> {
        let unusable = || Failure::Refused("the URL is not usable".to_owned());
        let mut url = Url::parse(self.url.expose_secret()).map_err(|_| unusable())?;
        if !step.is_empty() {
            url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().push(step);
        }
        let request = match body {
            None => self.client.get(url),
            Some(body) => self.client.post(url).header(CONTENT_TYPE, "text/plain; charset=utf-8").body(body.to_owned()),
        };
        let answer = exchange(request, BodyLimit::Truncate(ANSWER_BYTES_MAX)).await.map_err(|error| {
            let reason = reason(&error.to_string());
            match error {
                ExchangeError::Interrupted { .. } | ExchangeError::TooLong { .. } => Failure::Later(reason),
                ExchangeError::Unsendable { .. } | ExchangeError::Misconfigured { .. } => Failure::Refused(reason),
            }
        })?;
        judged(&answer)
    }
}

fn judged(answer: &Answer) -> Result<(), Failure> {
    match answer.status {
        200..=299 if answer.body.trim_ascii() == NOT_FOUND => {
            Err(Failure::Refused("the service does not know the URL".to_owned()))
        }
        200..=299 => answer.web_page().map_or(Ok(()), |page| Err(Failure::Refused(page))),
        status @ (408 | 425 | 429 | 500..=599) => Err(Failure::Later(format!("status {status}"))),
        status => Err(Failure::Refused(format!("status {status}"))),
    }
}

/// Sends the latest of the signals, each to the heartbeat of its config, for as long as there is a sender. What comes while
/// one is sent replaces what came before.
pub(crate) async fn send_latest(mut beats: watch::Receiver<Option<(Arc<Heartbeat>, Beat)>>) {
    while beats.changed().await.is_ok() {
        let latest = beats.borrow_and_update().clone();
        if let Some((heartbeat, beat)) = latest {
            heartbeat.send(&beat).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_well_if_all_was_read_and_sent_and_every_log_speaks() {
        let beat = |summary: TickSummary| Beat::of(Second(0), &summary);
        let unwell = |words: &str| Beat::Unwell(format!("tick 1970-01-01T00:00:00Z: {words}"));
        assert_eq!(beat(TickSummary { windows: 3, messages: 2, ..TickSummary::default() }), Beat::Well);
        assert_eq!(beat(TickSummary { logs_pending: 1, ..TickSummary::default() }), unwell("1 log pending"));
        assert_eq!(beat(TickSummary { messages_pending: 2, ..TickSummary::default() }), unwell("2 messages pending"));
        let troubles = |n: usize| (1..=n).map(|n| format!("log dev-{n} has no records")).collect();
        assert_eq!(
            beat(TickSummary { troubles: troubles(1), ..TickSummary::default() }),
            unwell("log dev-1 has no records")
        );
        let Beat::Unwell(many) = beat(TickSummary { troubles: troubles(200), ..TickSummary::default() }) else {
            panic!("it is not well")
        };
        assert!(many.ends_with("log dev-10 has no records; 190 more logs"), "{many}");
    }
}

//! Sends the pending messages of one destination. Only this module and `scan::pages` wait and retry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use stakeout_core::delivery::{Activity, Settlement, Subject};
use stakeout_core::finding::{Finding, FindingKey};
use stakeout_core::incident::{Incident, IncidentKey, IncidentOptions};
use stakeout_core::shown::{Shown, ShownChange, ShownIncident, ShownMessage};
use stakeout_core::time::Second;
use stakeout_notify::SendError;
use stakeout_notify::batching::{Batch, DeliveryMode, Limits, Planned, batch, plan};
use stakeout_notify::destination::{Background, Destination, MessagePace};
use stakeout_notify::notification::{IncidentReport, Message, MessageBody, Notification};
use stakeout_notify::slack::Line;
use tracing::{debug, info, warn};

use crate::address_files::AddressFiles;
use crate::clock;
use crate::in_flight::InFlightGuard;
use crate::metric;
use crate::pace::Wanted;
use crate::replica::Right;
use crate::shutdown::Shutdown;
use crate::silence_book::SilenceBook;
use crate::writer::{AskedIncidents, ReportedIncidents, StateError, Writer};

/// First wait after a failure. It doubles up to [`WAIT_MAX`], and each wait has random jitter.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a destination may ask for. After a longer one, the messages stay pending until the next tick.
const ASKED_MAX: Duration = Duration::from_secs(120);
/// Failures of one message in a row until the messages stay pending.
const FAILURES_MAX: usize = 5;
/// Refused messages in a row until the messages stay pending.
const REFUSED_MAX: usize = 3;
/// Findings of one step whose requests a message may show.
const FINDINGS_OF_STEP: usize = 3;
/// How long a destination that does not take its messages is left alone.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

/// What is sent at once.
#[derive(Clone, Copy)]
enum Attempt<'a> {
    /// Messages that are not edited.
    Messages(&'a [&'a Message<'a>], Background<'a>),
    /// A message about an incident.
    Incident(&'a Message<'a>, Background<'a>),
    /// A line of the thread of the message that is shown.
    Line(&'a IncidentReport<'a>, &'a Line<'a>, &'a ShownMessage, Background<'a>),
}

impl Attempt<'_> {
    /// Sends it once, and returns what is shown of the incident then.
    async fn run(self, destination: &Destination) -> Result<Option<ShownMessage>, SendError> {
        let now = clock::now();
        match self {
            Attempt::Messages(messages, background) => {
                destination.send_all(messages, background, now).await.map(|()| None)
            }
            Attempt::Incident(message, background) => {
                destination.send(message, background, now).await.map(|receipt| receipt.shown)
            }
            Attempt::Line(report, line, shown, background) => {
                destination.send_line(report, line, shown, background).await.map(Some)
            }
        }
    }
}

/// A destination, and until when it asked to be left alone.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The destination.
    pub(crate) destination: Destination,
    /// How the incidents that it hears of are joined.
    incidents: IncidentOptions,
    /// What people do not want to hear of.
    silences: SilenceBook,
    /// What is known of addresses.
    addresses: AddressFiles,
    /// Paces the messages, of one tick after another.
    limiter: Option<Arc<DefaultDirectRateLimiter>>,
    pause: Mutex<Pause>,
}

/// The paces of channels that destinations share, by what identifies the channel.
pub(crate) type SharedPaces = HashMap<String, Arc<DefaultDirectRateLimiter>>;

/// Until when nothing is sent.
#[derive(Clone, Copy, Debug, Default)]
struct Pause(Option<Instant>);

/// The outcome of sending to one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DispatchSummary {
    /// Messages that the destination accepted.
    pub(crate) sent: usize,
    /// Messages that are still pending.
    pub(crate) pending: usize,
}

impl Outbox {
    /// Returns the outbox of a destination.
    pub(crate) fn new(
        destination: Destination,
        incidents: IncidentOptions,
        silences: SilenceBook,
        addresses: AddressFiles,
        paces: &mut SharedPaces,
    ) -> Outbox {
        let limiter = destination.pace().map(|pace| {
            let own = || Arc::new(RateLimiter::direct(quota(pace)));
            destination.channel_id().map_or_else(own, |channel| paces.entry(channel).or_insert_with(own).clone())
        });
        Outbox { destination, incidents, silences, addresses, limiter, pause: Mutex::default() }
    }

    /// Pauses for at least as long, beyond this tick.
    fn pause(&self, at_least: Duration) {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).extend(clock::monotonic(), at_least);
    }

    /// Returns how long the pause still takes.
    fn pause_left(&self) -> Option<Duration> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).left(clock::monotonic())
    }
}

/// Sends the pending messages of an outbox that are `wanted`, and what is wanted meanwhile.
pub(crate) async fn send_while_wanted(
    outbox: &Outbox,
    writer: &Writer,
    right: &Right,
    shutdown: &Shutdown,
    mut guard: InFlightGuard,
    mut wanted: Wanted,
) -> Result<DispatchSummary, StateError> {
    let mut sent = 0;
    loop {
        let summary = send_pending(outbox, writer, right, shutdown, &wanted).await?;
        sent += summary.sent;
        match guard.next() {
            Some(more) => wanted = more,
            None => return Ok(DispatchSummary { sent, ..summary }),
        }
    }
}

/// Sends the pending messages of an outbox that are `wanted`, and settles what it sent before it sends the next.
async fn send_pending(
    outbox: &Outbox,
    writer: &Writer,
    right: &Right,
    shutdown: &Shutdown,
    wanted: &Wanted,
) -> Result<DispatchSummary, StateError> {
    let destination = &outbox.destination;
    let deliveries = writer.deliveries(destination.name()).await?;
    let mode = destination.delivery_mode();
    let mut planned = plan(mode, &deliveries);
    let others = planned.len();
    if let Wanted::Opened(subjects) = wanted {
        planned.retain(|message| message.opens().is_some_and(|subject| subjects.contains(&subject)));
    }
    let others = others - planned.len();
    let mut summary = DispatchSummary { sent: 0, pending: planned.len() };
    if let Some(left) = outbox.pause_left().filter(|_| summary.pending > 0) {
        let (seconds, pending) = (left.as_secs(), summary.pending);
        info!(destination = destination.name(), seconds, pending, "the destination is left alone for now");
        metric::messages_pending(destination, others + summary.pending);
        return Ok(summary);
    }
    let mut refused_in_a_row = 0;
    'parts: for part in mode.parts(&planned) {
        let findings = writer.findings(part.iter().filter_map(Planned::finding).collect()).await?;
        let asked: Vec<_> = part.iter().filter_map(Planned::incident).collect();
        let (silences, now) = (outbox.silences.current(), Second::from(clock::now()));
        let question = AskedIncidents {
            asked,
            destination: destination.name().to_owned(),
            options: outbox.incidents,
            silences: silences.clone(),
            now,
        };
        let ReportedIncidents { incidents, silenced, shown } = writer.incidents(question).await?;
        let is_silenced = |finding: &&Finding| silences.silence([*finding], now).is_some();
        let silenced_findings = findings.values().filter(is_silenced).map(|finding| Subject::Finding(finding.key));
        let silenced = silenced.into_iter().map(Subject::Incident).chain(silenced_findings).collect();
        let limits = Limits { level_max: destination.level_max(), silenced };
        let Batch { notifications, unsent, silenced } = batch(mode, part, &findings, &incidents, &shown, &limits);
        if !unsent.is_empty() {
            writer.settle(unsent, right.lease()).await?;
        }
        if !silenced.is_empty() {
            let changes = silenced.entries.len();
            writer.settle(with_silenced(silenced, destination.name(), &shown, now), right.lease()).await?;
            metric::messages_silenced(destination, changes);
            info!(destination = destination.name(), changes, "silenced changes are not sent");
        }
        summary.pending = summary.pending - part.len() + notifications.len();
        for some in notifications.chunks(destination.messages_at_once()) {
            // Who may have lost the destination sends nothing new: another replica sends it.
            if shutdown.is_requested() || !right.holds() {
                break 'parts;
            }
            if let Err(error) = deliver(outbox, writer, right, some, &shown).await? {
                metric::messages(destination, some.len(), false);
                warn!(destination = destination.name(), pending = summary.pending, %error, "cannot send a message");
                refused_in_a_row += 1;
                // A refused message does not hold up the others, but a destination that refuses all of them is left alone.
                if matches!(error, SendError::Refused { .. }) && refused_in_a_row < REFUSED_MAX {
                    continue;
                }
                outbox.pause(FAILED_PAUSE);
                break 'parts;
            }
            refused_in_a_row = 0;
            metric::messages(destination, some.len(), true);
            summary.sent += some.len();
            summary.pending -= some.len();
        }
    }
    if summary.sent > 0 {
        info!(destination = destination.name(), sent = summary.sent, pending = summary.pending, "messages sent");
    }
    metric::messages_pending(destination, others + summary.pending);
    Ok(summary)
}

/// Adds to what is settled that the destination has not heard of these incidents or of their last changes, but where it shows
/// a message.
fn with_silenced(
    mut settles: Settlement,
    destination: &str,
    shown: &HashMap<IncidentKey, ShownIncident>,
    at: Second,
) -> Settlement {
    let mut begun: BTreeMap<IncidentKey, bool> = BTreeMap::new();
    for (_, entry) in &settles.entries {
        if let Some(incident) = entry.incident {
            *begun.entry(incident).or_default() |= entry.activity == Activity::Create;
        }
    }
    for (incident, is_begun) in begun {
        let shown = match shown.get(&incident).map(|known| &known.shown) {
            Some(Shown::Message(_)) => continue,
            Some(known) => known.clone(),
            None if is_begun => Shown::Silenced,
            None => Shown::Muted,
        };
        let shown = Some(ShownIncident { at, shown });
        settles.shown.push(ShownChange { destination: destination.to_owned(), incident, shown });
    }
    settles
}

/// Adds to what is settled that the destination has heard of incidents again that were silenced.
fn with_heard(mut settles: Settlement, destination: &str, shown: &HashMap<IncidentKey, ShownIncident>) -> Settlement {
    let was_silenced = |incident: &IncidentKey| shown.get(incident).is_some_and(|shown| shown.shown.is_silenced());
    let incidents: BTreeSet<IncidentKey> = settles.entries.iter().filter_map(|(_, entry)| entry.incident).collect();
    let known = std::mem::take(&mut settles.shown);
    let heard = incidents.into_iter().filter(was_silenced);
    settles.shown =
        heard.map(|incident| ShownChange { destination: destination.to_owned(), incident, shown: None }).collect();
    // What it shows from now on is the last word.
    settles.shown.extend(known);
    settles
}

/// Sends some notifications, and settles them once the destination has taken them. Of one about an incident whose message is
/// edited, the lines of its thread follow, and each is noted before the next.
async fn deliver(
    outbox: &Outbox,
    writer: &Writer,
    right: &Right,
    some: &[Notification<'_>],
    shown: &HashMap<IncidentKey, ShownIncident>,
) -> Result<Result<(), SendError>, StateError> {
    let mut settles = Settlement::default();
    some.iter().for_each(|notification| settles.add(&notification.settles));
    let destination = &outbox.destination;
    let mut settles = with_heard(settles, destination.name(), shown);
    let book = outbox.addresses.current();
    let background = Background { book: &book, ..Background::default() };
    let messages: Vec<&Message<'_>> = some.iter().map(|notification| &notification.message).collect();
    let [message @ Message { body: MessageBody::Incident(report), .. }] = messages[..] else {
        let sent = attempt(outbox, Attempt::Messages(&messages, background)).await;
        return settled(writer, right, sent.map(drop), settles).await;
    };
    let mut findings = Vec::new();
    if destination.delivery_mode() != DeliveryMode::Each {
        findings.extend(writer.findings(shown_findings(report.incident)).await?.into_values());
        findings.sort_by_key(|finding| finding.key);
    }
    let known = match shown.get(&report.uid) {
        Some(ShownIncident { shown: Shown::Message(message), .. }) => Some(message),
        Some(ShownIncident { shown: Shown::Silenced | Shown::Muted, .. }) | None => None,
    };
    let background = Background { findings: &findings, shown: known, ..background };
    let mut shown = match attempt(outbox, Attempt::Incident(message, background)).await {
        Ok(shown) => shown,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(message) = &mut shown {
        for line in destination.lines(report, message) {
            let change = shown_change(destination, report, Some(message.clone()));
            writer.settle(Settlement { shown: vec![change], ..Settlement::default() }, right.lease()).await?;
            match attempt(outbox, Attempt::Line(report, &line, message, background)).await {
                Ok(with_line) => *message = with_line.unwrap_or_else(|| message.clone()),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    if shown.is_some() || known.is_some() {
        // The message of an incident that is a part of another one is never edited again.
        let shown = shown.filter(|_| report.merged_into().is_none());
        settles.shown.push(shown_change(destination, report, shown));
    }
    settled(writer, right, Ok(()), settles).await
}

async fn settled(
    writer: &Writer,
    right: &Right,
    sent: Result<(), SendError>,
    settles: Settlement,
) -> Result<Result<(), SendError>, StateError> {
    if sent.is_ok() {
        writer.settle(settles, right.lease()).await?;
    }
    Ok(sent)
}

fn shown_change(destination: &Destination, report: &IncidentReport<'_>, shown: Option<ShownMessage>) -> ShownChange {
    let at = Second::from(clock::now());
    ShownChange {
        destination: destination.name().to_owned(),
        incident: report.uid,
        shown: shown.map(|message| ShownIncident { at, shown: Shown::Message(message) }),
    }
}

/// Returns some findings of each rule of an incident: those of its own before those of its parts.
fn shown_findings(incident: &Incident) -> Vec<FindingKey> {
    let rules: HashMap<FindingKey, &str> =
        incident.findings.iter().map(|(key, rule)| (*key, rule.name.as_str())).collect();
    let all = incident.own.iter().chain(incident.findings.iter().map(|(key, _)| key));
    let mut of_rule: HashMap<&str, BTreeSet<FindingKey>> = HashMap::new();
    for key in all {
        if let Some(chosen) = rules.get(key).map(|rule| of_rule.entry(rule).or_default())
            && chosen.len() < FINDINGS_OF_STEP
        {
            chosen.insert(*key);
        }
    }
    of_rule.into_values().flatten().collect()
}

/// Tries to send until it succeeds, is refused, or fails too often.
async fn attempt(outbox: &Outbox, attempt: Attempt<'_>) -> Result<Option<ShownMessage>, SendError> {
    let destination = &outbox.destination;
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(WAIT_MIN)
        .with_max_delay(WAIT_MAX)
        .with_max_times(FAILURES_MAX)
        .with_jitter()
        .build();
    loop {
        if let Some(limiter) = &outbox.limiter {
            limiter.until_ready().await;
        }
        let error = match attempt.run(destination).await {
            Ok(sent) => return Ok(sent),
            Err(error) => error,
        };
        let asked = match &error {
            SendError::Refused { .. } => return Err(error),
            SendError::Later { after, .. } => after.unwrap_or_default(),
        };
        match waits.next() {
            Some(wait) if asked <= ASKED_MAX => {
                debug!(destination = destination.name(), %error, "retrying a message");
                clock::sleep(wait.max(asked)).await;
            }
            _ => {
                outbox.pause(asked);
                return Err(error);
            }
        }
    }
}

fn quota(pace: MessagePace) -> Quota {
    let each = Quota::with_period(pace.each).unwrap_or(Quota::per_second(NonZeroU32::MIN));
    each.allow_burst(NonZeroU32::new(pace.at_once).unwrap_or(NonZeroU32::MIN))
}

impl Pause {
    /// Makes it last at least this time from `now` on.
    fn extend(&mut self, now: Instant, at_least: Duration) {
        // A time beyond the clock's range is one that the daemon does not live to see.
        self.0 = self.0.max(now.checked_add(at_least));
    }

    /// Returns how much of it is left.
    fn left(self, now: Instant) -> Option<Duration> {
        self.0?.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use stakeout_core::route::{Route, Subjects};
    use stakeout_core::rule::Level;
    use stakeout_http::{Endpoint, Network};
    use stakeout_notify::destination::Channel;
    use stakeout_notify::slack::{API_URL, Bot};

    use super::*;

    #[test]
    fn messages_are_paced_from_one_tick_to_the_next() {
        let second = Duration::from_secs(1);
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::direct_with_clock(quota(MessagePace { at_once: 3, each: second }), clock.clone());
        let sent = || std::iter::from_fn(|| limiter.check().ok()).count();
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(sent());
            clock.advance(second);
        }
        assert_eq!(all, [3, 1, 1, 1]);
        clock.advance(second * 60);
        assert_eq!(sent(), 3, "an hour of silence is not saved up");
    }

    #[test]
    fn destinations_of_one_channel_share_its_pace() {
        let outbox = |channel: &str, paces: &mut SharedPaces| {
            let token = secrecy::SecretString::from("xoxb-1-1-x");
            let endpoint = Endpoint::parse(API_URL).expect("an address");
            let bot = Bot::new(&endpoint, token, channel.to_owned(), &Network::default()).expect("a bot");
            let route = Route::from_level(Subjects::Incidents, Level::Low);
            let channel = Channel::SlackBot { bot, max_messages: 10 };
            let destination = Destination::new("team".to_owned(), route, channel);
            let (silences, addresses) = (SilenceBook::default(), AddressFiles::default());
            Outbox::new(destination, IncidentOptions::default(), silences, addresses, paces)
        };
        let paces = &mut SharedPaces::default();
        let outboxes = ["C1", "C1", "C2"].map(|channel| outbox(channel, paces));
        let taken = outboxes.each_ref().map(|outbox| outbox.limiter.as_ref().expect("a pace").check().is_ok());
        assert_eq!(taken, [true, false, true]);
    }

    #[test]
    fn a_pause_ends_when_its_time_is_over() {
        let now = clock::monotonic();
        assert_eq!(Pause::default().left(now), None);
        let mut pause = Pause::default();
        pause.extend(now, Duration::from_secs(3_600));
        // It failed too, but it asked for more.
        pause.extend(now, FAILED_PAUSE);
        let left_after = |seconds| pause.left(now + Duration::from_secs(seconds));
        // Longer than the five minutes after which a failed tick is tried again.
        assert_eq!(left_after(300), Some(Duration::from_secs(3_300)));
        assert_eq!([left_after(3_600), left_after(3_601)], [None, None]);
        let mut pause = Pause::default();
        pause.extend(now, Duration::ZERO);
        assert_eq!(pause.left(now), None);
    }
}

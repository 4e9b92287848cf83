//! Scans a window page by page. Only this module and `dispatch` wait and retry.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use stakeout_core::event::CutFields;
use stakeout_core::fold::Fold;
use stakeout_core::record::{CutRequests, FetchError, PageToken};
use stakeout_core::rule::Rules;
use stakeout_core::source::Source;
use stakeout_core::text::counted;
use stakeout_core::time::Window;
use tracing::{debug, info};

use super::{Log, ScanCost, ScanError, ScanErrorKind, ScanOptions, WindowScan};
use crate::clock;
use crate::cloud::Client;
use crate::cloud::budget::Budget;

/// First wait after a failure. It doubles up to [`WAIT_MAX`], and each wait has random jitter. A provider may ask for a longer
/// one.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest time that one window waits for a provider that names the time at which it wants to be asked again. The next tick
/// is the better time to wait for what is longer, and others are then not delayed.
const WINDOW_WAIT_MAX: Duration = Duration::from_secs(10 * 60);
/// Failures of one page in a row until the window is left for later.
const FAILURES_MAX: usize = 5;
/// Throttled answers for one page in a row until the window is left for later.
const THROTTLES_MAX: usize = 12;
/// How often a window is begun again because its page token was lost.
const RESTARTS_MAX: usize = 3;
/// Most pages of a window. The largest budget allows 25 requests a second, so an hour of log with more pages could not be
/// read in an hour. Without a limit, a provider that always returns a new token would occupy its log and its budget for good.
const PAGES_MAX: u64 = 100_000;
/// Rules that a gap names at most.
const RULES_NAMED_MAX: usize = 8;

impl Log {
    /// Scans `window`, and begins again if its page token was lost.
    pub(super) async fn scan_pages(
        &self,
        client: &Client,
        budget: &Budget,
        window: Window,
        is_reread: bool,
        options: &ScanOptions,
    ) -> Result<WindowScan, ScanError> {
        let mut restarts = 0;
        loop {
            match self.scan_pages_once(client, budget, window, is_reread, options).await {
                Err(ScanError { kind: ScanErrorKind::Restart, .. }) if restarts < RESTARTS_MAX => restarts += 1,
                outcome => return outcome,
            }
        }
    }

    /// Scans the pages of `window`, in slices if the provider truncates its answers. Records of a slice that is then split
    /// are read twice. That changes nothing, because a fold counts each request once.
    async fn scan_pages_once(
        &self,
        client: &Client,
        budget: &Budget,
        window: Window,
        is_reread: bool,
        options: &ScanOptions,
    ) -> Result<WindowScan, ScanError> {
        let fold = options.open(window, is_reread);
        let mut read = PartialScan { fold, cost: ScanCost::default(), losses: Losses::default() };
        let mut slices = vec![window];
        while let Some(slice) = slices.pop() {
            match self.scan_slice(client, budget, slice, options, &mut read).await {
                Ok(()) => {}
                Err(ScanError { kind: ScanErrorKind::Split, reason }) => match slice.halves() {
                    Some((early, late)) => {
                        debug!(source = self.source.name, %slice, reason, "splitting a slice");
                        read.cost.splits += 1;
                        slices.extend([late, early]);
                    }
                    // A client may fill a second, and must not hide more than this second.
                    None => read.losses.add(slice, reason),
                },
                Err(error) => return Err(error),
            }
        }
        let PartialScan { fold, mut cost, losses } = read;
        // One request distinguishes a quiet window from a silent log. Its failure does not fail the window, which is read.
        let has_records = match cost.records {
            // A census answers that.
            0 if self.shared.is_some() => None,
            0 => with_retries(&self.source, budget, &mut cost, || client.has_records(window)).await.ok(),
            _ => Some(true),
        };
        let lost = losses.named(&options.rules);
        // What is lost holds records.
        let has_records = if lost.is_empty() { has_records } else { Some(true) };
        Ok(WindowScan { counted: fold.count(), cost, has_records, changes_minutes: true, lost })
    }

    /// Scans the pages of one slice of a window.
    async fn scan_slice(
        &self,
        client: &Client,
        budget: &Budget,
        slice: Window,
        options: &ScanOptions,
        read: &mut PartialScan,
    ) -> Result<(), ScanError> {
        let mut token = None;
        let mut tokens = PageTokens::default();
        loop {
            let ask = || client.page(slice, &options.prefilter, token.as_ref());
            let page = with_retries(&self.source, budget, &mut read.cost, ask).await?;
            read.cost.pages += 1;
            read.cost.bytes += page.bytes;
            read.cost.undecodable += u64::from(page.unusable);
            // Where every rule can judge what is left of a request, nothing is lost.
            if !options.rules.blinded_by(page.cut.fields).is_empty() {
                read.losses.add_cut(slice, page.cut);
            }
            for record in &page.records {
                self.observe(client, record, options, &mut read.fold, &mut read.cost);
            }
            let Some(next) = page.next else { return Ok(()) };
            tokens.check(&next, read.cost.pages)?;
            token = Some(next);
        }
    }
}

/// A window that is being scanned.
struct PartialScan {
    fold: Fold,
    cost: ScanCost,
    losses: Losses,
}

/// What of a window could not be read, in spans of seconds that follow each other.
#[derive(Default)]
struct Losses(Vec<Loss>);

struct Loss {
    span: Window,
    /// Why the first second of the span that was not read at all could not be.
    reason: Option<String>,
    cut: CutRequests,
}

impl Losses {
    /// Adds a slice of which nothing was read. It begins no earlier than the one before it.
    fn add(&mut self, slice: Window, reason: String) {
        self.at(slice).reason.get_or_insert(reason);
    }

    /// Adds a slice that was read without the ends of long fields.
    fn add_cut(&mut self, slice: Window, cut: CutRequests) {
        self.at(slice).cut.add(cut);
    }

    fn at(&mut self, slice: Window) -> &mut Loss {
        match self.0.last_mut() {
            Some(last) if last.span.latest() >= slice.earliest() => last.span = last.span.and(slice),
            _ => self.0.push(Loss { span: slice, reason: None, cut: CutRequests::default() }),
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Returns a text for each span, with the names of the rules that could not judge it whole.
    fn named(self, rules: &Rules) -> Vec<String> {
        let text = |Loss { span, reason, cut }: Loss| {
            let cut = (cut.requests > 0).then(|| blinded(cut, rules));
            format!("{span}: {}", reason.into_iter().chain(cut).collect::<Vec<_>>().join("; "))
        };
        self.0.into_iter().map(text).collect()
    }
}

/// Returns what was cut, and the rules that read it.
fn blinded(cut: CutRequests, rules: &Rules) -> String {
    let CutFields { user_agent, request_uri } = cut.fields;
    let fields = [("userAgent", user_agent), ("requestURI", request_uri)].into_iter().filter(|(_, is_cut)| *is_cut);
    let fields: Vec<&str> = fields.map(|(name, _)| name).collect();
    let blind = rules.blinded_by(cut.fields);
    let more = blind.len().saturating_sub(RULES_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = blind[..blind.len().min(RULES_NAMED_MAX)].join(", ");
    format!(
        "{} of {} came cut, so these rules could not judge them: {named}{more}",
        fields.join(" and "),
        counted(cut.requests, "request")
    )
}

/// The tokens of a slice so far, as hashes: a token may be as long as an answer.
#[derive(Default)]
struct PageTokens {
    seen: HashSet<u64>,
    hash_state: RandomState,
}

impl PageTokens {
    /// Returns an error if the token `next` leads nowhere. `pages` is the number of pages of the window so far.
    fn check(&mut self, next: &PageToken, pages: u64) -> Result<(), ScanError> {
        if !self.seen.insert(self.hash_state.hash_one(&next.0)) {
            let reason = "the provider returned a page token twice".to_owned();
            return Err(ScanError { reason, kind: ScanErrorKind::Restart });
        }
        if pages >= PAGES_MAX {
            let problem = format!("the window has more than {PAGES_MAX} pages");
            let fix = "check which server answers for this log, or read shorter windows with `schedule`";
            return Err(ScanError::later(format!("{problem} ({fix})")));
        }
        Ok(())
    }
}

/// Asks until there is an answer, an error that no retry fixes, or too many other errors.
pub(crate) async fn with_retries<T, F>(
    source: &Source,
    budget: &Budget,
    cost: &mut ScanCost,
    mut ask: impl FnMut() -> F,
) -> Result<T, ScanError>
where
    F: Future<Output = Result<T, FetchError>>,
{
    let waits = |times| {
        ExponentialBuilder::default()
            .with_min_delay(WAIT_MIN)
            .with_max_delay(WAIT_MAX)
            .with_max_times(times)
            .with_jitter()
            .build()
    };
    let (mut failures, mut throttles) = (waits(FAILURES_MAX), waits(THROTTLES_MAX));
    loop {
        let left = budget.pause_left(clock::monotonic());
        if !left.is_zero() {
            // The provider may have asked another log of the same account to wait.
            cost.wait(left, WINDOW_WAIT_MAX).map_err(|reason| ScanError::later(format!("throttled: {reason}")))?;
            let wait_seconds = left.as_secs();
            info!(source = source.name, wait_seconds, "waiting because the provider asks for it");
            clock::sleep(left).await;
        }
        let permit = budget.until_ready().await;
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // Other tasks may ask while this one waits.
        drop(permit);
        let wait = match &error {
            FetchError::Throttled { retry_after, .. } => {
                cost.throttled += 1;
                budget.pause(clock::monotonic(), retry_after.unwrap_or_default());
                throttles.next()
            }
            FetchError::Unavailable { .. } => {
                cost.retried += 1;
                failures.next()
            }
            FetchError::Denied { .. } | FetchError::TokenGone { .. } | FetchError::Truncated { .. } => None,
        };
        let Some(wait) = wait else {
            let kind = match &error {
                FetchError::TokenGone { .. } => ScanErrorKind::Restart,
                FetchError::Truncated { .. } => ScanErrorKind::Split,
                _ => ScanErrorKind::Later,
            };
            return Err(ScanError { reason: error.to_string(), kind });
        };
        debug!(%error, ?wait, "retrying a request");
        clock::sleep(wait.min(WAIT_MAX)).await;
    }
}

#[cfg(test)]
mod tests {
    use stakeout_core::time::Second;

    use super::*;

    #[test]
    fn lost_seconds_that_follow_each_other_are_one_loss() {
        let second = |at| Window::new(Second(at), Second(at + 1)).expect("a second");
        let mut losses = Losses::default();
        for (at, reason) in [(5, "too long"), (6, "too long"), (6, "too late"), (9, "too long")] {
            losses.add(second(at), reason.to_owned());
        }
        let span = Window::new(Second(5), Second(7)).expect("two seconds");
        let rules = Rules::default();
        assert_eq!(losses.named(&rules), [format!("{span}: too long"), format!("{}: too long", second(9))]);
    }

    #[test]
    fn new_tokens_end_at_a_limit() {
        let mut tokens = PageTokens::default();
        let ended = (1..).map(|page| (page, tokens.check(&PageToken(format!("token {page}")), page)));
        let (page, error) = ended.take(200_000).find(|(_, checked)| checked.is_err()).expect("it ends");
        let error = error.expect_err("found above");
        assert_eq!((page, error.kind), (PAGES_MAX, ScanErrorKind::Later));
        assert!(error.reason.starts_with("the window has more than 100000 pages ("), "{error}");
    }

    #[test]
    fn a_token_that_comes_again_begins_the_window_again() {
        let mut tokens = PageTokens::default();
        for token in ["a", "b"] {
            tokens.check(&PageToken(token.to_owned()), 1).expect("a new token");
        }
        assert_eq!(tokens.check(&PageToken("a".to_owned()), 2).expect_err("twice").kind, ScanErrorKind::Restart);
    }
}

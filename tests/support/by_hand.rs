//! Episodes counted by hand: a few lines, written apart from the engine, that say what it must find.

/// Returns the first second, the last second and the requests of each episode. `times` ascend, one entry for each
/// request; an episode begins with `least` of them within `timespan` and goes on while gaps are at most `quiet`.
pub(crate) fn count_by_hand(times: &[i64], least: u64, timespan: i64, quiet: i64) -> Vec<(i64, i64, u64)> {
    let requests: Vec<Request<()>> = times.iter().map(|at| Request { at: *at, what: () }).collect();
    episodes_by_hand(&requests, timespan, quiet, |_, span| span.len() as u64 >= least)
}

/// A request, and what matters of it.
#[derive(Clone, Debug)]
pub(crate) struct Request<T> {
    pub(crate) at: i64,
    pub(crate) what: T,
}

/// Returns the episodes of `requests`, which ascend: each begins with the first span for which `is_enough` holds, of all
/// requests since the episode before and those of the span, and goes on while gaps are at most `quiet`.
pub(crate) fn episodes_by_hand<T>(
    requests: &[Request<T>],
    timespan: i64,
    quiet: i64,
    is_enough: impl Fn(&[Request<T>], &[Request<T>]) -> bool,
) -> Vec<(i64, i64, u64)> {
    let mut episodes = Vec::new();
    let mut rest = requests;
    let span = |from: &[Request<T>]| from.iter().take_while(|request| request.at - from[0].at <= timespan).count();
    while let Some(first) = (0..rest.len()).find(|from| is_enough(rest, &rest[*from..][..span(&rest[*from..])])) {
        let mut last = first;
        while last + 1 < rest.len() && rest[last + 1].at - rest[last].at <= quiet {
            last += 1;
        }
        episodes.push((rest[first].at, rest[last].at, (last - first + 1) as u64));
        rest = &rest[last + 1..];
    }
    episodes
}

/// A referenced rule of a sequence: the requests that fit it, and how many of them within which time are enough.
pub(crate) struct ReferencedRule<T> {
    pub(crate) fits: fn(&T) -> bool,
    pub(crate) least: usize,
    pub(crate) within: i64,
}

/// Returns whether every leg comes in `span`, in the order of `legs` where `is_ordered`.
pub(crate) fn sequence_by_hand<T>(
    all: &[Request<T>],
    span: &[Request<T>],
    legs: &[ReferencedRule<T>],
    is_ordered: bool,
) -> bool {
    let mut from = i64::MIN;
    legs.iter().all(|leg| {
        let comes = |at: i64| {
            let before =
                all.iter().filter(|other| (leg.fits)(&other.what) && (0..=leg.within).contains(&(at - other.at)));
            before.count() >= leg.least
        };
        let found = span.iter().find(|one| one.at >= from && (leg.fits)(&one.what) && comes(one.at));
        from = found.filter(|_| is_ordered).map_or(i64::MIN, |one| one.at);
        found.is_some()
    })
}

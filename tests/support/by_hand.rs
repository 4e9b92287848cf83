//! Episodes counted by hand: a few lines, written apart from the engine, that say what it must find.

/// Returns the first second, the last second and the requests of each episode. `times` ascend, one entry for each
/// request; an episode begins with `least` of them within `timespan` and goes on while gaps are at most `quiet`.
pub(crate) fn count_by_hand(times: &[i64], least: u64, timespan: i64, quiet: i64) -> Vec<(i64, i64, u64)> {
    let mut episodes = Vec::new();
    let mut rest = times;
    let holds = |rest: &[i64], from: usize| rest[from..].iter().filter(|at| **at - rest[from] <= timespan).count();
    while let Some(first) = (0..rest.len()).find(|from| holds(rest, *from) as u64 >= least) {
        let mut last = first;
        while last + 1 < rest.len() && rest[last + 1] - rest[last] <= quiet {
            last += 1;
        }
        episodes.push((rest[first], rest[last], (last - first + 1) as u64));
        rest = &rest[last + 1..];
    }
    episodes
}

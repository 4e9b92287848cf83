//! The share of a quota that is used, as the cloud sees it: the times at which requests arrive.

use jiff::SignedDuration;
use stakeout_fakes::cloudwatch_logs::Paging;

use super::audit::{DAY, HOUR, MINUTE, refused};
use super::world::{Cloud, World};

#[test]
fn no_second_holds_more_requests_than_half_of_the_quota() {
    let world = World::of(&[Cloud::Eks]);
    world.reconfigure("budget: 1\n", "");
    world.ingest(&refused("8.8.8.8", DAY + 20 * MINUTE, 14, 10));
    world.logs.set_paging(Paging { page_records: 1, ..Paging::default() });
    world.once_done(DAY + HOUR);
    let at: Vec<_> = world.logs.requests().into_iter().map(|request| request.at).collect();
    // Of the ten that the region allows, five are used.
    let second = SignedDuration::from_secs(1);
    let within =
        |from: &jiff::Timestamp| at.iter().filter(|it| *it >= from && it.duration_since(*from) < second).count();
    let most = at.iter().map(within).max().unwrap_or(0);
    eprintln!("{} requests, at most {most} in any second", at.len());
    assert!(at.len() > 12 && most <= 5, "{most} of {} requests: {at:?}", at.len());
}

//! The share of a quota that is used, as the clouds see it: the times at which requests arrive.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stakeout_fakes::{cloud_logging, cloudwatch_logs, log_analytics};

use super::audit::{DAY, HOUR, MINUTE, refused};
use super::three_clouds::each;
use super::world::{Cloud, World};

/// What half of a cloud's quota allows.
struct Share {
    cloud: Cloud,
    /// Requests in any second.
    in_a_second: usize,
    /// Requests at once.
    at_once: u32,
    /// The time between the requests after these.
    apart: Duration,
}

/// Ten requests a second, sixty a minute, and two hundred in half a minute; the spans of the last two begin with a third of
/// their share.
const SHARES: [Share; 3] = [
    Share { cloud: Cloud::Eks, in_a_second: 5, at_once: 1, apart: Duration::from_millis(250) },
    Share { cloud: Cloud::Gke, in_a_second: 10, at_once: 10, apart: Duration::from_secs(3) },
    Share { cloud: Cloud::Aks, in_a_second: 37, at_once: 34, apart: Duration::from_millis(454) },
];

#[test]
fn no_second_holds_more_requests_than_half_of_the_quota() {
    each(&SHARES, |&Share { cloud, in_a_second, at_once, apart }| {
        let world = World::of(&[cloud]);
        world.reconfigure("budget: 1\n", "");
        world.ingest_into(cloud, &refused("8.8.8.8", DAY + 20 * MINUTE, 12, 1));
        world.logs.set_paging(cloudwatch_logs::Paging { page_records: 1, ..Default::default() });
        world.cloud_logging.set_paging(cloud_logging::Paging { page_records: 1, ..Default::default() });
        world.log_analytics.set_answering(log_analytics::Answering { rows_max: 1, ..Default::default() });
        world.once_done(DAY + HOUR);
        let at: Vec<Timestamp> = world.server(cloud).requests().into_iter().map(|request| request.at).collect();
        let second = SignedDuration::from_secs(1);
        let within = |from: &Timestamp| at.iter().filter(|it| *it >= from && it.duration_since(*from) < second).count();
        let most = at.iter().map(within).max().unwrap_or(0);
        let took = at[at.len() - 1].duration_since(at[0]).unsigned_abs();
        eprintln!("{cloud:?}: {} requests in {took:?}, at most {most} in any second", at.len());
        assert!(most <= in_a_second, "{cloud:?}: {most} of {} requests: {at:?}", at.len());
        // The first may have arrived late.
        let spread = u32::try_from(at.len()).expect("few").checked_sub(at_once + 1).filter(|spread| *spread > 0);
        let spread = spread.unwrap_or_else(|| panic!("{cloud:?}: {} requests show nothing", at.len()));
        assert!(took >= apart * spread, "{cloud:?}: {} requests in {took:?}", at.len());
    });
}

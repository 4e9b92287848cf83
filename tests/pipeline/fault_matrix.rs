//! Every fault of every service, each in an hour of its own: nothing is lost, nothing comes twice but what was taken without an
//! answer, and no other log or destination notices.

use std::collections::{BTreeMap, BTreeSet};

use stakeout_fakes::{Fault, Faults, Server};

use super::audit::{DAY, HOUR, MINUTE, refused};
use super::three_clouds::each;
use super::world::{Cloud, World};

/// A service that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    Log(usize),
    Webhook,
    Bot,
    Topic,
    Hook,
    Pager,
}

const SERVICES: [Service; 8] = [
    Service::Log(0),
    Service::Log(1),
    Service::Log(2),
    Service::Webhook,
    Service::Bot,
    Service::Topic,
    Service::Hook,
    Service::Pager,
];

/// How many messages each destination took about the source in each cloud.
type Taken = BTreeMap<(Service, usize), usize>;

fn faults() -> Vec<Fault> {
    let answer = |status, body: &str| Fault::Answer { status, body: body.to_owned() };
    vec![
        Fault::Throttled { retry_after_s: None },
        Fault::Throttled { retry_after_s: Some(1) },
        Fault::InternalError,
        Fault::Unavailable,
        Fault::Busy { retry_after_s: 1 },
        Fault::Denied,
        Fault::Hang,
        Fault::ResetMidBody,
        Fault::TruncatedBody,
        Fault::AnswerLost,
        answer(404, "not here"),
        answer(502, "<html>bad gateway</html>"),
        // A portal of a network that wants a login.
        answer(200, "<html>please log in</html>"),
    ]
}

/// Returns the source that scans the cloud with this number in this hour.
fn scanner(cloud: usize, hour: i64) -> String {
    format!("8.{}.{hour}.7", cloud + 1)
}

/// The hours with a fault; each service has one fault in each, but for one that cannot be told from success.
const HOURS: i64 = 13;

fn tick(hour: i64) -> i64 {
    DAY + (hour + 1) * HOUR
}

fn world(service: Service) -> World {
    let world = World::of(&Cloud::THREE);
    world.reconfigure("send: findings, min_severity: informational, slack", "min_severity: informational, slack");
    world.use_pager("min_severity: informational,");
    let hook = format!("{{name: hook, send: findings, webhook: {{url: {:?}}}}}", world.webhook.url());
    world.reconfigure("notify:\n", &format!("notify:\n  - {hook}\n"));
    if service == Service::Bot {
        world.use_bot();
    }
    world
}

fn server(world: &World, service: Service) -> &Server {
    match service {
        Service::Log(cloud) => world.server(Cloud::THREE[cloud]),
        Service::Webhook => &world.slack,
        Service::Bot => &world.slack_api,
        Service::Topic => &world.sns,
        Service::Hook => &world.webhook,
        Service::Pager => &world.pager,
    }
}

fn scan(world: &World, hour: i64) {
    for (number, cloud) in Cloud::THREE.into_iter().enumerate() {
        world.ingest_into(cloud, &refused(&scanner(number, hour), DAY + hour * HOUR + 20 * MINUTE, 12, 10));
    }
}

fn taken(world: &World, hour: i64) -> Taken {
    let texts = [
        (Service::Webhook, world.slack.messages().iter().map(ToString::to_string).collect::<Vec<_>>()),
        (Service::Bot, world.slack_api.messages().iter().map(|message| format!("{message:?}")).collect()),
        (Service::Topic, world.sns.messages().into_iter().map(|sent| sent.message).collect()),
        (Service::Hook, world.webhook.values().iter().map(ToString::to_string).collect()),
        (
            Service::Pager,
            world.pager.alerts().iter().flat_map(|alert| alert.events.iter().map(ToString::to_string)).collect(),
        ),
    ];
    let mut taken = Taken::new();
    for (service, texts) in texts {
        for cloud in 0..Cloud::THREE.len() {
            let scanner = scanner(cloud, hour);
            taken.insert((service, cloud), texts.iter().filter(|text| text.contains(&scanner)).count());
        }
    }
    taken
}

/// Runs the tick of an hour while the next request of a service fails. One that hangs is let go when it was seen.
fn run_with(world: &World, service: Service, fault: &Fault, hour: i64) {
    let server = server(world, service);
    server.set_faults(Faults::next(1, fault));
    if *fault == Fault::Hang {
        let seen = server.requests().len();
        let mut child = world.begin_once(tick(hour));
        world.wait_until("the request hangs", || server.requests().len() > seen);
        server.faults().clear();
        child.wait().expect("a child can be waited for");
    } else {
        world.once(tick(hour));
    }
    server.faults().clear();
}

/// Returns whether the service did what it was asked although the answer failed.
fn is_executed(fault: &Fault) -> bool {
    matches!(fault, Fault::Hang | Fault::ResetMidBody | Fault::TruncatedBody | Fault::AnswerLost)
}

#[test]
fn every_fault_of_every_service_costs_at_most_a_repeat() {
    let cells: Vec<(Service, Fault)> = SERVICES
        .into_iter()
        .flat_map(|service| faults().into_iter().map(move |fault| (service, fault)))
        // Whatever answers 200 at the address of a webhook took the message.
        .filter(|(service, fault)| *service != Service::Hook || !matches!(fault, Fault::Answer { status: 200, .. }))
        .collect();
    assert!(cells.len() >= 100, "{} cells", cells.len());
    let untouched = [Service::Webhook, Service::Bot].map(|service| {
        let world = world(service);
        for hour in 0..=HOURS {
            scan(&world, hour);
            world.once_done(tick(hour));
        }
        (0..=HOURS).map(|hour| taken(&world, hour)).collect::<Vec<Taken>>()
    });
    each(&SERVICES, |&service| {
        let world = world(service);
        let whole = &untouched[usize::from(service == Service::Bot)];
        let used: BTreeSet<Service> =
            whole[0].iter().filter(|(_, taken)| **taken > 0).map(|((to, _), _)| *to).collect();
        assert_eq!(used.len(), 4, "{used:?}");
        scan(&world, 0);
        world.once_done(tick(0));
        let mut faults = cells.iter().filter(|(of, _)| *of == service).map(|(_, fault)| fault);
        for hour in 1..=HOURS {
            let fault = faults.next();
            let what = format!("{service:?}, {fault:?}");
            scan(&world, hour);
            match fault {
                Some(fault) => run_with(&world, service, fault, hour),
                None => drop(world.once_done(tick(hour))),
            }
            let heard = taken(&world, hour);
            for ((to, cloud), taken) in heard.iter().filter(|((to, _), _)| *to != service) {
                assert!(
                    *taken > 0 || !used.contains(to) || Service::Log(*cloud) == service,
                    "{what}: {to:?} of {cloud}"
                );
            }
            world.once_done(tick(hour));
        }
        // The fault may have met a message about an hour before, such as the end of a finding.
        let mut repeats = 0;
        for (hour, whole) in (0..=HOURS).zip(whole) {
            for (cell, taken) in taken(&world, hour) {
                let more = taken.checked_sub(whole[&cell]).unwrap_or_else(|| panic!("{service:?} lost of {cell:?}"));
                assert!(more == 0 || cell.0 == service, "{service:?} doubled {more} of {cell:?}");
                repeats += more;
            }
        }
        let executed = cells.iter().filter(|(of, fault)| *of == service && is_executed(fault)).count();
        assert!(repeats <= executed, "{service:?}: {repeats} repeats after {executed} lost answers");
    });
}

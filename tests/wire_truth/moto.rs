//! Our clients against moto, a server that we did not write.

use jiff::Timestamp;
use serde_json::{Value, json};
use stakeout_aws::Access;
use stakeout_core::delivery::Activity;
use stakeout_core::rule::Level;
use stakeout_http::{Endpoint, Network};
use stakeout_notify::sns::Sns;
use stakeout_notify::{AddressBook, Message, MessageBody};

use super::{answered, strategy};
use crate::support::python::Moto;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_messages_arrive_in_queues_of_moto() {
    let moto = Moto::start();
    let topics: Vec<String> = answered("queues.py", &[moto.endpoint(), "make"], "");
    let finding = strategy::plain_finding(0xabc, Level::Low, 7);
    for topic_arn in topics {
        let access = Access::fake("eu-west-1", Endpoint::parse_base(moto.endpoint()).expect("an address"));
        let sns = Sns::new(topic_arn, &access, &Network::default()).expect("loopback is allowed");
        let body = MessageBody::Finding { finding: &finding, activity: Activity::Create };
        let message = Message { id: "17-0abc-1".to_owned(), body };
        // A FIFO queue drops a repeated message.
        for _ in 0..2 {
            let receipt =
                sns.send(&message, &AddressBook::default(), Timestamp::UNIX_EPOCH).await.expect("moto takes it");
            assert!(receipt.remote_id.is_some());
        }
    }
    let queues: Vec<Vec<Value>> = answered("queues.py", &[moto.endpoint(), "read"], "");
    assert_eq!(queues.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    for message in queues.iter().flatten() {
        assert_eq!(message["subject"], "Stakeout [Low] Kubernetes scanning by an unauthenticated address");
        assert_eq!(message["attributes"]["severity_id"], json!(["Number", "2"]));
        let object: Value = serde_json::from_str(message["message"].as_str().expect("a text")).expect("JSON");
        assert_eq!(object["finding_info"]["uid"], "00000000000000000000000000000abc");
    }
    let ids = ["group", "dedup"].map(|id| queues[1][0][id].clone());
    assert_eq!(ids, ["00000000000000000000000000000abc", "17-0abc-1"]);
}

#[cfg(feature = "aws")]
mod reader {
    use std::collections::BTreeSet;

    use stakeout_aws::{Access, AssumeRole};
    use stakeout_cloudwatch::{CloudWatch, CloudWatchConfig};
    use stakeout_core::field::Field;
    use stakeout_core::prefilter::{Literal, Prefilter};
    use stakeout_core::time::{Second, Window};
    use stakeout_http::{Endpoint, Network};

    use super::super::{Facts, answered};
    use crate::support::python::Moto;

    fn forbidden() -> Prefilter {
        Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(403) }
    }

    /// Reads the years around now, and returns the ids and the number of records.
    async fn read(cloudwatch: &CloudWatch) -> (BTreeSet<String>, usize) {
        let window = Window::new(Second(1_700_000_000), Second(4_000_000_000)).expect("not empty");
        let (mut ids, mut records, mut token) = (BTreeSet::new(), 0, None);
        loop {
            let page = cloudwatch.page(window, &forbidden(), token.as_ref()).await.expect("moto answers");
            records += page.records.len();
            ids.extend(page.records.into_iter().map(|record| record.record_id));
            token = page.next;
            if token.is_none() {
                return (ids, records);
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_reader_reads_moto_with_and_without_a_role() {
        let moto = Moto::start();
        // The script puts 240 events into the group, every seventh of them cut.
        let _: Facts = answered("cloudwatch_logs.py", &[moto.endpoint()], "");
        let access = Access::fake("eu-west-1", Endpoint::parse_base(moto.endpoint()).expect("an address"));
        let mut config = CloudWatchConfig::new(access, "/aws/eks/prod/cluster");
        config.page_size = Some(50);
        // moto takes every event for a match, so those that were cut come in both passes.
        let (ids, records) = read(&CloudWatch::new(config.clone(), &Network::default())).await;
        assert_eq!((ids.len(), records), (240, 240 + 35));

        let arn = "arn:aws:iam::123456789012:role/stakeout-reader".to_owned();
        config.access.assume_role = Some(AssumeRole { arn, external_id: Some("acme-7f3a".to_owned()) });
        assert_eq!(read(&CloudWatch::new(config, &Network::default())).await, (ids, records));
    }
}

//! The reader against the strict fake of CloudWatch Logs: real requests over loopback, and a real evaluation of its
//! filter patterns. What the reader makes of single answers is tested beside it, in `src/fetch/tests.rs`.

mod faults;
mod passes;
mod superset;

use stakeout_aws::Access;
use stakeout_cloudwatch::{CloudWatch, CloudWatchConfig};
use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};
use stakeout_core::record::{FetchError, RawRecord};
use stakeout_core::time::{Second, Window};
use stakeout_fakes::CloudWatchLogs;
use stakeout_http::{Endpoint, Network};

const GROUP: &str = "/aws/eks/prod/cluster";
const STREAMS: [&str; 3] = ["kube-apiserver-audit-1", "kube-apiserver-audit-2", "kube-apiserver-audit-3"];

fn config(logs: &CloudWatchLogs) -> CloudWatchConfig {
    CloudWatchConfig::new(Access::fake("eu-west-1", Endpoint::parse_base(&logs.endpoint()).expect("an address")), GROUP)
}

async fn start() -> (CloudWatchLogs, CloudWatch) {
    let logs = CloudWatchLogs::start().await.expect("a free port");
    let cloudwatch = CloudWatch::new(config(&logs), &Network::default());
    (logs, cloudwatch)
}

fn window() -> Window {
    Window::new(Second(1_000), Second(1_600)).expect("not empty")
}

fn forbidden() -> Prefilter {
    Prefilter::Is { field: Field::Named("responseStatus.code"), literal: Literal::Number(403) }
}

/// Reads a window from its first page to its last. Answers the records and the number of pages.
async fn read(cloudwatch: &CloudWatch, prefilter: &Prefilter) -> Result<(Vec<RawRecord>, usize), FetchError> {
    let (mut records, mut pages, mut token) = (Vec::new(), 0, None);
    loop {
        let page = cloudwatch.page(window(), prefilter, token.as_ref()).await?;
        records.extend(page.records);
        pages += 1;
        token = page.next;
        if token.is_none() {
            return Ok((records, pages));
        }
    }
}

/// The ids of records, in order, each as often as it came.
fn sorted_ids(records: Vec<RawRecord>) -> Vec<String> {
    let mut ids: Vec<String> = records.into_iter().map(|record| record.record_id).collect();
    ids.sort();
    ids
}

/// Puts an event into the log and answers the id that its record must have.
fn ingest(logs: &CloudWatchLogs, stream: &str, at_ms: i64, message: &str) -> String {
    format!("{GROUP}/{stream}/{}", logs.ingest(GROUP, stream, at_ms, message))
}

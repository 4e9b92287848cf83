//! The SDK over the wire, against a server that gives prepared answers to one connection after the other.

use serde_json::{Value, json};
use stakeout_aws::{Access, AssumeRole};
use stakeout_core::field::Field;
use stakeout_core::prefilter::Literal;
use stakeout_core::record::CutRequests;
use stakeout_core::record::RawRecord;
use stakeout_core::time::Second;
use stakeout_http::{Endpoint, Network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

const GROUP: &str = "/aws/eks/prod/cluster";
/// Longer than any answer that a client may read.
const ENDLESS_BYTES: usize = 200 << 20;
const VERB_LIST: &str = "{ $.verb = \"list\" }";

/// A request as it came in.
struct Asked {
    head: String,
    body: String,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// Answers one request per prepared answer, then hangs up on everybody.
async fn serve(answers: Vec<String>) -> (String, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            asked.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.expect("the answer is taken");
            stream.shutdown().await.expect("the end is taken");
        }
        asked
    });
    (endpoint, asked)
}

async fn read_request(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.expect("a request");
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
            return Asked { head: head.to_owned(), body: body.to_owned() };
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn page(events: &Value, next: Option<&str>) -> String {
    let mut body = json!({ "events": events, "searchedLogStreams": [] });
    if let Some(next) = next {
        body["nextToken"] = json!(next);
    }
    answer(200, "", &body.to_string())
}

fn refusal(status: u16, code: &str, message: &str) -> String {
    answer(status, "", &json!({ "__type": format!("com.amazonaws.logs#{code}"), "message": message }).to_string())
}

fn event(id: &str, at: i64) -> Value {
    json!({ "logStreamName": "kube-apiserver-audit-1", "timestamp": at, "message": "{\"verb\":\"list\"}", "ingestionTime": at, "eventId": id })
}

fn record(id: &str, time_ms: i64) -> RawRecord {
    RawRecord {
        record_id: format!("{GROUP}/kube-apiserver-audit-1/{id}"),
        time_ms,
        body: "{\"verb\":\"list\"}".to_owned(),
    }
}

fn config(endpoint: &str) -> CloudWatchConfig {
    CloudWatchConfig::new(Access::fake("eu-west-1", Endpoint::parse_base(endpoint).expect("an address")), GROUP)
}

fn window() -> Window {
    Window::new(Second(60), Second(120)).expect("not empty")
}

fn verb_list() -> Prefilter {
    Prefilter::Is { field: Field::Named("verb"), literal: Literal::Text { text: "list".to_owned(), cased: true } }
}

fn token(text: &str) -> PageToken {
    PageToken(text.to_owned())
}

/// Reads the first page of a whole read, or the page at a token, from a service that gives one answer.
async fn one(reply: String, at: Option<&str>) -> Result<Page, FetchError> {
    let (endpoint, _asked) = serve(vec![reply]).await;
    let cloudwatch = CloudWatch::new(config(&endpoint), &Network::default());
    cloudwatch.page(window(), &Prefilter::Any, at.map(token).as_ref()).await
}

async fn refused(status: u16, code: &str, message: &str) -> FetchError {
    one(refusal(status, code, message), None).await.expect_err("a refusal")
}

#[tokio::test]
async fn a_filtered_read_takes_matching_events_and_then_cut_ones() {
    let (endpoint, asked) = serve(vec![
        page(&json!([event("a", 60_000), event("b", 120_000), event("c", 59_999)]), Some("T/1==")),
        page(&json!([]), Some("T/2==")),
        page(&json!([event("d", 119_999), { "eventId": "e" }]), None),
        page(&json!([event("f", 60_001)]), Some("U")),
        page(&json!([]), None),
    ])
    .await;
    let mut config = config(&endpoint);
    config.page_size = Some(50_000);
    let cloudwatch = CloudWatch::new(config, &Network::default());

    let mut pages = Vec::new();
    let mut next = None;
    loop {
        let page = cloudwatch.page(window(), &verb_list(), next.as_ref()).await.expect("a page");
        next = page.next.clone();
        pages.push(page);
        if next.is_none() {
            break;
        }
    }
    let page = |records: Vec<RawRecord>, next: Option<&str>, unusable| Page {
        bytes: 15 * records.len() as u64,
        records,
        next: next.map(token),
        unusable,
        cut: CutRequests::default(),
    };
    assert_eq!(
        pages,
        [
            page(vec![record("a", 60_000)], Some("matching:T/1=="), 0),
            page(vec![], Some("matching:T/2=="), 0),
            page(vec![record("d", 119_999)], Some("cut:"), 1),
            page(vec![record("f", 60_001)], Some("cut:U"), 0),
            page(vec![], None, 0),
        ]
    );

    let request = |pattern: &str, token: Option<&str>| {
        let mut body = json!({
            "logGroupName": GROUP, "logStreamNamePrefix": "kube-apiserver-audit", "startTime": 60_000, "endTime": 119_999,
            "filterPattern": pattern, "limit": 10_000,
        });
        if let Some(token) = token {
            body["nextToken"] = json!(token);
        }
        body
    };
    let asked = asked.await.expect("all were asked for");
    assert!(
        asked[0].head.to_ascii_lowercase().contains("x-amz-target: logs_20140328.filterlogevents"),
        "{}",
        asked[0].head
    );
    assert_eq!(
        asked.iter().map(Asked::json).collect::<Vec<_>>(),
        [
            request(VERB_LIST, None),
            request(VERB_LIST, Some("T/1==")),
            request(VERB_LIST, Some("T/2==")),
            request("\"[Truncated...]\"", None),
            request("\"[Truncated...]\"", Some("U")),
        ]
    );
}

#[tokio::test]
async fn a_read_without_a_filter_takes_one_pass_and_a_group_may_be_an_arn() {
    let (endpoint, asked) = serve(vec![page(&json!([event("a", 60_000)]), None)]).await;
    let mut config = config(&endpoint);
    config.log_group = format!("arn:aws:logs:eu-west-1:123456789012:log-group:{GROUP}:*");
    config.stream_prefix = String::new();
    let page =
        CloudWatch::new(config, &Network::default()).page(window(), &Prefilter::Any, None).await.expect("a page");
    assert_eq!(page, Page { records: vec![record("a", 60_000)], bytes: 15, ..Page::default() });
    let asked = asked.await.expect("it was asked for");
    let arn = format!("arn:aws:logs:eu-west-1:123456789012:log-group:{GROUP}");
    assert_eq!(asked[0].json(), json!({ "logGroupIdentifier": arn, "startTime": 60_000, "endTime": 119_999 }));
}

#[tokio::test]
async fn a_refused_pattern_costs_the_filter_and_no_event() {
    for start in [None, Some("cut:")] {
        let refused = refusal(400, "InvalidParameterException", "Invalid filter pattern");
        let (endpoint, asked) = serve(vec![refused, page(&json!([]), None)]).await;
        let cloudwatch = CloudWatch::new(config(&endpoint), &Network::default());
        let first = cloudwatch.page(window(), &verb_list(), start.map(token).as_ref()).await.expect("a page");
        assert_eq!(first, Page { next: Some(token("whole:")), ..Page::default() });
        let second = cloudwatch.page(window(), &verb_list(), first.next.as_ref()).await.expect("a page");
        assert_eq!(second, Page::default());
        let asked = asked.await.expect("both were asked for");
        assert_eq!(asked[1].json().get("filterPattern"), None);
    }
}

#[tokio::test]
async fn too_many_requests_are_throttled_with_the_wait_that_is_asked_for() {
    for (status, code) in
        [(400, "ThrottlingException"), (400, "LimitExceededException"), (400, "RequestLimitExceeded"), (429, "Unheard")]
    {
        assert!(
            matches!(refused(status, code, "Rate exceeded").await, FetchError::Throttled { retry_after: None, .. }),
            "{code}"
        );
    }
    let body = json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }).to_string();
    for (header, wait) in [("retry-after: 7\r\n", 7_000), ("x-amz-retry-after: 1500\r\n", 1_500)] {
        match one(answer(400, header, &body), None).await {
            Err(FetchError::Throttled { retry_after, .. }) => {
                assert_eq!(retry_after, Some(Duration::from_millis(wait)));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(one(answer(429, "", "<html>slow down</html>"), None).await, Err(FetchError::Throttled { .. })));
    // A service that is busy and says for how long is left alone for that long.
    let busy = json!({ "__type": "ServiceUnavailableException", "message": "later" }).to_string();
    for body in [busy.as_str(), "<html>busy</html>"] {
        let Err(FetchError::Throttled { retry_after, .. }) = one(answer(503, "retry-after: 9\r\n", body), None).await
        else {
            panic!("not throttled")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(9)));
    }
}

#[tokio::test]
async fn a_temporary_error_is_unavailable() {
    let whole = json!({ "events": [event("a", 60_000)] }).to_string();
    let replies = [
        refusal(500, "InternalFailure", "oops"),
        refusal(503, "ServiceUnavailableException", "later"),
        refusal(400, "RequestTimeoutException", "too slow"),
        answer(502, "", "<html>bad gateway</html>"),
        answer(200, "", &whole[..whole.len() - 9]),
        answer(200, "", &whole).replace("content-length: ", "content-length: 9"),
        answer(200, "", "{\"events\": 7}"),
        answer(200, "", "{}"),
        answer(200, "", ""),
        String::new(),
    ];
    for reply in replies {
        let failure = one(reply.clone(), None).await;
        assert!(matches!(failure, Err(FetchError::Unavailable { .. })), "{reply}: {failure:?}");
    }
}

#[tokio::test]
async fn a_web_page_is_named_and_blames_no_permission() {
    for (status, is_denied) in [(403, true), (407, true), (200, false), (503, false)] {
        let failure =
            one(answer(status, "", "<html>a proxy says no</html>"), None).await.expect_err("no page of events");
        let text = failure.to_string();
        assert!(text.contains("a web page came in place of the service's answer"), "{text}");
        assert_eq!(matches!(failure, FetchError::Denied { .. }), is_denied, "{text}");
    }
}

/// The second refusal in a row is final: the credentials were looked for anew in between.
#[tokio::test]
async fn expired_credentials_are_looked_for_again_once() {
    let expired = || refusal(400, "ExpiredTokenException", "The security token included in the request is expired");
    let (endpoint, asked) =
        serve(vec![expired(), page(&json!([]), None), expired(), expired(), page(&json!([]), None)]).await;
    let cloudwatch = CloudWatch::new(config(&endpoint), &Network::default());
    let ask = async || cloudwatch.page(window(), &Prefilter::Any, None).await;
    for round in 0..2 {
        let renewed = ask().await;
        assert!(matches!(&renewed, Err(FetchError::Unavailable { .. })), "{round}: {renewed:?}");
        if round == 1 {
            match ask().await {
                Err(FetchError::Denied { reason }) => assert!(reason.contains("renew the session"), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(ask().await.is_ok());
    }
    assert_eq!(asked.await.expect("all were asked for").len(), 5);
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let failure = CloudWatch::new(config(&endpoint), &Network::default()).page(window(), &Prefilter::Any, None).await;
    assert!(matches!(failure, Err(FetchError::Unavailable { .. })), "{failure:?}");
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "the test measures the paused clock")]
async fn a_service_that_never_answers_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let before = tokio::time::Instant::now();
    let failure = CloudWatch::new(config(&endpoint), &Network::default()).page(window(), &Prefilter::Any, None).await;
    assert!(matches!(failure, Err(FetchError::Unavailable { .. })), "{failure:?}");
    assert!(before.elapsed().as_secs() <= ANSWER_TIMEOUT.as_secs());
}

#[tokio::test]
async fn a_permanent_error_is_denied_with_the_fix() {
    for (code, fix) in [
        ("AccessDeniedException", "allow logs:FilterLogEvents"),
        ("UnrecognizedClientException", "check the access key"),
        ("InvalidSignatureException", "clock"),
        ("ResourceNotFoundException", "audit logging is off"),
        ("InvalidOperationException", "INFREQUENT_ACCESS"),
        ("InvalidParameterException", "correct the source's config"),
    ] {
        match refused(400, code, "no\u{202e}pe").await {
            FetchError::Denied { reason } => {
                assert!(reason.starts_with(&format!("{code}: no\\u{{202e}}pe (")) && reason.contains(fix), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Answers one request with a body that does not end, and returns how much of it was taken.
async fn serve_endlessly() -> (String, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let taken = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        let head =
            "HTTP/1.1 200 X\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\n\r\n{\"events\":[";
        stream.write_all(head.as_bytes()).await.expect("the head is taken");
        let spaces = vec![b' '; 1 << 20];
        let mut taken = 0;
        while taken < ENDLESS_BYTES && stream.write_all(&spaces).await.is_ok() {
            taken += spaces.len();
        }
        taken
    });
    (endpoint, taken)
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up_and_says_what_to_check() {
    let (endpoint, taken) = serve_endlessly().await;
    let cloudwatch = CloudWatch::new(config(&endpoint), &Network::default());
    let error = cloudwatch.page(window(), &Prefilter::Any, None).await.expect_err("no page");
    let FetchError::Denied { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains("longer than 16777216 bytes") && reason.contains("the source's endpoint"), "{reason}");
    // The connection holds a few megabytes more than the client has read.
    assert!(taken.await.expect("it ends") < ENDLESS_BYTES / 2);
}

#[tokio::test]
async fn a_token_that_is_refused_repeated_or_unknown_is_gone() {
    let expired = refusal(400, "InvalidParameterException", "The specified nextToken is invalid.");
    assert!(matches!(one(expired, Some("whole:T")).await, Err(FetchError::TokenGone { .. })));
    assert!(matches!(one(page(&json!([]), Some("T")), Some("whole:T")).await, Err(FetchError::TokenGone { .. })));
    assert!(matches!(one(String::new(), Some("T")).await, Err(FetchError::TokenGone { .. })));
    assert!(matches!(one(String::new(), Some("matching:T")).await, Err(FetchError::TokenGone { .. })));
}

#[tokio::test]
async fn a_log_has_records_or_none_or_it_is_unknown() {
    let asks = |answers: Vec<String>| async {
        let (endpoint, asked) = serve(answers).await;
        let found = CloudWatch::new(config(&endpoint), &Network::default()).has_records(window()).await;
        (found, asked)
    };
    let (found, asked) = asks(vec![page(&json!([]), Some("T")), page(&json!([event("a", 60_000)]), None)]).await;
    assert!(found.expect("an answer"));
    let asked = asked.await.expect("both were asked for");
    assert_eq!((asked[1].json()["limit"].clone(), asked[1].json().get("filterPattern").cloned()), (json!(1), None));

    let (found, _) = asks(vec![page(&json!([event("late", 120_000)]), None)]).await;
    assert!(!found.expect("an answer"));

    let empty = (0..EMPTY_PAGES_MAX).map(|n| page(&json!([]), Some(&n.to_string()))).collect();
    let (found, asked) = asks(empty).await;
    assert!(matches!(found, Err(FetchError::Unavailable { .. })), "{found:?}");
    assert_eq!(asked.await.expect("all were asked for").len(), EMPTY_PAGES_MAX);
}

fn with_role(endpoint: &str) -> CloudWatchConfig {
    let mut config = config(endpoint);
    config.access.assume_role = Some(AssumeRole {
        arn: "arn:aws:iam::123456789012:role/reader".to_owned(),
        external_id: Some("canary-7f3a".to_owned()),
    });
    config
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id_before_the_log_is_read() {
    let credentials = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
        <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
        <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let (endpoint, asked) = serve(vec![answer(200, "", credentials), page(&json!([]), None)]).await;
    let cloudwatch = CloudWatch::new(with_role(&endpoint), &Network::default());
    assert!(!format!("{cloudwatch:?}").contains("canary"));
    assert_eq!(cloudwatch.page(window(), &Prefilter::Any, None).await.expect("a page"), Page::default());
    let asked = asked.await.expect("both were asked for");
    for part in [
        "Action=AssumeRole",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader",
        "ExternalId=canary-7f3a",
        "RoleSessionName=stakeout",
    ] {
        assert!(asked[0].body.contains(part), "{}", asked[0].body);
    }
    assert!(
        asked[0].head.contains("Credential=ANONYMOUS/") && asked[1].head.contains("Credential=ASIAROLE/"),
        "{}",
        asked[1].head
    );
}

#[tokio::test]
async fn a_refusal_of_sts_is_final_with_its_fix_and_a_failing_sts_is_not() {
    let sts = |status: u16, code: &str| {
        answer(
            status,
            "",
            &format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"),
        )
    };
    for (reply, fix) in [
        (sts(403, "AccessDenied"), Some("trust policy")),
        (sts(403, "RegionDisabledException"), Some("activate STS")),
        (sts(400, "ExpiredTokenException"), Some("have expired: renew them")),
        (sts(403, "InvalidClientTokenId"), Some("check the access key")),
        (sts(403, "SignatureDoesNotMatch"), Some("clock")),
        (sts(400, "Unheard"), Some("external id")),
        (sts(503, "ServiceUnavailable"), None),
        (sts(400, "Throttling"), None),
        (String::new(), None),
    ] {
        let (endpoint, _asked) = serve(vec![reply.clone()]).await;
        let failure = CloudWatch::new(with_role(&endpoint), &Network::default())
            .page(window(), &Prefilter::Any, None)
            .await
            .expect_err("a refusal");
        assert!(!format!("{failure} {failure:?}").contains("canary"), "{failure}");
        match (failure, fix) {
            (FetchError::Denied { reason }, Some(fix)) => assert!(reason.contains(fix), "{reply}: {reason}"),
            (FetchError::Unavailable { .. }, None) => {}
            (other, _) => panic!("{reply}: {other:?}"),
        }
    }
}

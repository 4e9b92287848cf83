//! CloudWatch Logs through the official SDK.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::operation::filter_log_events::builders::FilterLogEventsFluentBuilder;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use stakeout_fakes::cloudwatch_logs::LogGroupClass;
use stakeout_fakes::{CloudWatchLogs, Fault, Faults};

pub(crate) const GROUP: &str = "/aws/eks/prod/cluster";

pub(crate) async fn start() -> (CloudWatchLogs, Client) {
    let logs = CloudWatchLogs::start().await.expect("a loopback port is free");
    let client = Client::new(&crate::aws(logs.endpoint()).await);
    (logs, client)
}

pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let service = error.as_service_error().expect("the service answered");
    format!("{}: {}", service.code().unwrap_or_default(), service.message().unwrap_or_default())
}

pub(crate) async fn refusal(search: FilterLogEventsFluentBuilder) -> String {
    code(&search.send().await.expect_err("must be refused"))
}

/// Reads all pages; returns the messages and the number of events of each page.
pub(crate) async fn read(search: FilterLogEventsFluentBuilder) -> Result<(Vec<String>, Vec<usize>), String> {
    let (mut messages, mut pages, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let page = search.clone().set_next_token(token).send().await.map_err(|error| code(&error))?;
        pages.push(page.events().len());
        messages.extend(page.events().iter().filter_map(|event| event.message()).map(str::to_owned));
        token = page.next_token;
        if token.is_none() {
            return Ok((messages, pages));
        }
    }
}

pub(crate) fn fill(logs: &CloudWatchLogs, count: i64) {
    for n in 0..count {
        let stream = format!("kube-apiserver-audit-{}", n % 3);
        logs.ingest(GROUP, &stream, 1_000 + n, &format!("{{\"n\":{n},\"code\":{}}}", 400 + n % 4));
    }
}

#[tokio::test]
async fn a_window_includes_both_ends_and_the_pattern_is_evaluated() {
    let (logs, client) = start().await;
    fill(&logs, 100);
    logs.ingest(GROUP, "authenticator-1", 1_010, r#"{"n":-1,"code":403}"#);
    logs.ingest(GROUP, "kube-apiserver-audit-0", 1_010, r#"{"n":-2,"code":403,"x":"[Truncated...]"#);
    let search = client.filter_log_events().log_group_name(GROUP).start_time(1_003).end_time(1_011);
    let search = search.log_stream_name_prefix("kube-apiserver-audit").filter_pattern("{ $.code = 403 }");
    let (mut messages, pages) = read(search).await.expect("is answered");
    messages.sort();
    assert_eq!(messages, [r#"{"n":11,"code":403}"#, r#"{"n":3,"code":403}"#, r#"{"n":7,"code":403}"#]);
    assert_eq!(pages, [3]);
    let request = logs.requests().remove(0);
    assert_eq!(request.target, "FilterLogEvents");
    assert_eq!(request.signed_by, Some(("AKSTANDIN".to_owned(), "eu-west-1".to_owned())));
}

#[tokio::test]
async fn bad_searches_are_refused() {
    let (logs, client) = start().await;
    fill(&logs, 1);
    logs.create_group("/infrequent", LogGroupClass::InfrequentAccess);
    let search = || client.filter_log_events().log_group_name(GROUP);
    for (bad, expected) in [
        (client.filter_log_events().log_group_name("/none"), "ResourceNotFoundException"),
        (
            client.filter_log_events().log_group_identifier("arn:aws:logs:us-east-1:000000000000:log-group:x"),
            "ResourceNotFoundException",
        ),
        (search().log_stream_names("none"), "ResourceNotFoundException"),
        (client.filter_log_events(), "InvalidParameterException"),
        (search().log_group_identifier(GROUP), "InvalidParameterException"),
        (search().log_stream_names("a").log_stream_name_prefix("a"), "InvalidParameterException"),
        (search().limit(0), "InvalidParameterException"),
        (search().limit(10_001), "InvalidParameterException"),
        (search().start_time(-1), "InvalidParameterException"),
        (search().start_time(2).end_time(1), "InvalidParameterException"),
        (search().start_from_head(false).start_time(1), "InvalidParameterException"),
        (search().filter_pattern("{ $.a = }"), "InvalidParameterException"),
        (search().filter_pattern("ERROR"), "InvalidParameterException"),
        (search().filter_pattern(format!("{{ $.a = \"{}\" }}", "x".repeat(1024))), "InvalidParameterException"),
        (client.filter_log_events().log_group_name("/infrequent"), "InvalidOperationException"),
    ] {
        let refused = refusal(bad.clone()).await;
        assert!(refused.starts_with(expected), "{bad:?}: {refused}");
    }
    let by_arn = format!("arn:aws:logs:eu-west-1:000000000000:log-group:{GROUP}");
    assert!(client.filter_log_events().log_group_identifier(by_arn).send().await.is_ok());
}

#[tokio::test]
async fn unsigned_and_unknown_requests_are_refused() {
    let (logs, _client) = start().await;
    let target = ("x-amz-target", "Logs_20140328.FilterLogEvents");
    let scope = |service: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=AK/20261122/eu-west-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
            "0".repeat(64)
        )
    };
    let signed = scope("logs");
    for (headers, body, expected) in [
        (vec![target], "{}", "MissingAuthenticationTokenException"),
        (vec![target, ("authorization", "AWS4-HMAC-SHA256 nonsense")], "{}", "IncompleteSignatureException"),
        (vec![target, ("authorization", &scope("sns"))], "{}", "InvalidSignatureException"),
        (
            vec![("x-amz-target", "Logs_20140328.Nonsense"), ("authorization", &signed)],
            "{}",
            "UnknownOperationException",
        ),
        (vec![target, ("authorization", &signed)], r#"{"logGroupName":"x","unknown":1}"#, "SerializationException"),
        (vec![target, ("authorization", &signed)], r#"{"logGroupName":"x","limit":"1"}"#, "SerializationException"),
    ] {
        let mut request = crate::http().post(logs.endpoint()).header("x-amz-date", "20261122T000000Z").body(body);
        request = request.header("content-type", "application/x-amz-json-1.1");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("is answered");
        let text = answer.text().await.expect("has a body");
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn faults_arrive_as_the_sdk_names_them() {
    let (logs, client) = start().await;
    fill(&logs, 3);
    let search = client.filter_log_events().log_group_name(GROUP);
    for (fault, expected) in [
        (Fault::Throttled { retry_after_s: None }, "ThrottlingException: Rate exceeded"),
        (Fault::Unavailable, "ServiceUnavailableException"),
        (Fault::InternalError, "InternalFailure"),
        (
            Fault::Denied,
            "AccessDeniedException: User: arn:aws:iam::000000000000:user/fake is not authorized to perform: logs:FilterLogEvents",
        ),
    ] {
        logs.set_faults(Faults::next(1, &fault));
        let refused = refusal(search.clone()).await;
        assert!(refused.starts_with(expected), "{refused}");
    }
    for fault in [Fault::ResetMidBody, Fault::TruncatedBody, Fault::AnswerLost] {
        logs.set_faults(Faults::next(1, &fault));
        let error = search.clone().send().await.expect_err("the answer is broken");
        assert!(error.as_service_error().is_none_or(|error| error.code().is_none()), "{fault:?}: {error:?}");
        assert!(search.clone().send().await.is_ok(), "only one answer is broken");
    }
    assert_eq!(logs.requests().last().and_then(|request| request.fault.clone()), None);
}

#[tokio::test]
async fn a_held_request_continues_when_released_and_ends_with_the_server() {
    let (logs, client) = start().await;
    fill(&logs, 1);
    let search = client.filter_log_events().log_group_name(GROUP);
    for is_released in [true, false] {
        logs.set_faults(Faults::always(Fault::Hang));
        let asked = logs.requests().len();
        let hanging = tokio::spawn(search.clone().send());
        while logs.requests().len() == asked {
            tokio::task::yield_now().await;
        }
        if is_released {
            logs.faults().clear();
            assert!(hanging.await.expect("no panic").is_ok());
        } else {
            drop(logs);
            assert!(hanging.await.expect("no panic").is_err());
            return;
        }
    }
}

#[tokio::test]
async fn data_is_loaded_over_the_wire() {
    let (logs, client) = start().await;
    client.create_log_group().log_group_name(GROUP).send().await.expect("is made");
    let again = client.create_log_group().log_group_name(GROUP).send().await.expect_err("is there");
    assert!(code(&again).starts_with("ResourceAlreadyExistsException"));
    let stream = client.create_log_stream().log_group_name(GROUP).log_stream_name("s");
    stream.clone().send().await.expect("is made");
    assert!(code(&stream.send().await.expect_err("is there")).starts_with("ResourceAlreadyExistsException"));

    let now = logs.clock().now().as_millisecond();
    let event = |at: i64, length: usize| {
        InputLogEvent::builder().timestamp(now + at).message("x".repeat(length)).build().expect("is whole")
    };
    let put = |events: Vec<InputLogEvent>| {
        client.put_log_events().log_group_name(GROUP).log_stream_name("s").set_log_events(Some(events)).send()
    };
    const DAY: i64 = 86_400_000;
    for bad in [
        vec![],
        vec![event(0, 1), event(-1, 1)],
        vec![event(-DAY - 1, 1), event(0, 1)],
        vec![event(0, 1_048_551)],
        vec![event(0, 600_000), event(0, 600_000)],
        vec![event(0, 1); 10_001],
    ] {
        let refused = code(&put(bad).await.expect_err("must be refused"));
        assert!(refused.starts_with("InvalidParameterException"), "{refused}");
    }
    let answer = put(vec![event(-15 * DAY, 1), event(0, 1_000_000), event(DAY, 1)]).await.expect("is taken");
    let rejected = answer.rejected_log_events_info().expect("two are rejected");
    assert_eq!((rejected.too_old_log_event_end_index(), rejected.too_new_log_event_start_index()), (Some(1), Some(2)));
    assert_eq!(logs.stored_events(GROUP), 1);
    logs.accept_any_age(true);
    assert!(put(vec![event(-15 * DAY, 1)]).await.expect("is taken").rejected_log_events_info().is_none());

    let groups = client.describe_log_groups().log_group_name_prefix("/aws/eks").send().await.expect("is answered");
    let group = &groups.log_groups()[0];
    assert_eq!(group.log_group_name(), Some(GROUP));
    assert_eq!(group.log_group_class().map(|class| class.as_str()), Some("STANDARD"));
    let streams = client.describe_log_streams().log_group_name(GROUP).send().await.expect("is answered");
    assert_eq!(streams.log_streams()[0].last_event_timestamp(), Some(now));
}

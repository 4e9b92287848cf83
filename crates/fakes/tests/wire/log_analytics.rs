//! Log Analytics, Entra and the metadata service over plain HTTP. Other tests use the official SDKs.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use stakeout_fakes::log_analytics::{Answering, Proof, RowOrder, Served, TablePlan};
use stakeout_fakes::{Fault, Faults, LogAnalytics};

const WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddeeff";
const OTHER_WORKSPACE: &str = "0f3a5a1e-0000-4000-8000-aabbccddee00";
const RESOURCE: &str = "https://api.loganalytics.io";

async fn start() -> LogAnalytics {
    let logs = LogAnalytics::start().await.expect("a loopback port is free");
    logs.set_plan(WORKSPACE, "AKSAudit", TablePlan::Analytics).expect("is a table");
    logs
}

/// Returns a row `second` seconds after one o'clock.
fn row(second: u32) -> Value {
    json!({
        "TimeGenerated": format!("2026-11-22T01:{:02}:{:02}.748919Z", second / 60, second % 60),
        "Verb": "list",
        "AuditId": second.to_string(),
        "User": r#"{"username":"system:anonymous", "groups":[]}"#,
        "SourceIps": ["203.0.113.7"],
    })
}

fn fill(logs: &LogAnalytics, count: u32) {
    for second in 0..count {
        logs.ingest(WORKSPACE, "AKSAudit", row(second)).expect("is a row");
    }
}

fn ask(logs: &LogAnalytics, api: &str, body: &Value) -> RequestBuilder {
    crate::http().post(format!("{}/v1/workspaces/{WORKSPACE}/{api}", logs.endpoint())).json(body)
}

async fn response_of(request: RequestBuilder) -> (u16, Value) {
    let answer: Response = request.send().await.expect("is answered");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("has a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Queries by `/query`, and returns the status and the body.
async fn query(logs: &LogAnalytics, query: &str) -> (u16, Value) {
    response_of(ask(logs, "query", &json!({"query": query}))).await
}

/// Returns the first cells of the rows of an answer.
fn firsts(body: &Value) -> Vec<&str> {
    let rows = body["tables"][0]["rows"].as_array().expect("has rows");
    rows.iter().map(|row| row[0].as_str().expect("is a text")).collect()
}

/// Returns the status, and the codes from the outermost error to the innermost.
fn codes((status, body): &(u16, Value)) -> String {
    let mut codes = status.to_string();
    let mut error = &body["error"];
    while let Some(code) = error["code"].as_str() {
        codes = format!("{codes} {code}");
        error = &error["innererror"];
    }
    codes
}

#[tokio::test]
async fn a_query_is_answered_with_one_table() {
    let logs = start().await;
    fill(&logs, 3);
    let asked = "AKSAudit | where AuditId == \"1\" | project TimeGenerated, User, SourceIps, Annotations, Level";
    let expected = json!({"tables": [{
        "name": "PrimaryResult",
        "columns": [
            {"name": "TimeGenerated", "type": "datetime"},
            {"name": "User", "type": "dynamic"},
            {"name": "SourceIps", "type": "dynamic"},
            {"name": "Annotations", "type": "dynamic"},
            {"name": "Level", "type": "string"},
        ],
        "rows": [[
            "2026-11-22T01:00:01.748919Z",
            r#"{"username":"system:anonymous", "groups":[]}"#,
            r#"["203.0.113.7"]"#,
            null,
            "",
        ]],
    }]});
    let (status, body) = query(&logs, asked).await;
    assert_eq!((status, &body), (200, &expected));
    let bytes = expected.to_string().len() as u64;
    assert_eq!(logs.served(), Served { answers: 1, partial: 0, rows: 1, bytes, wait_s: None });
    let request = logs.requests().remove(0);
    assert_eq!(request.target, format!("POST /v1/workspaces/{WORKSPACE}/query"));
    assert_eq!(request.body, json!({"query": asked}).to_string());
    let none = query(&logs, "AKSAudit | where Verb == \"get\" | project Verb").await;
    assert_eq!((none.0, firsts(&none.1).len()), (200, 0));
}

#[tokio::test]
async fn the_query_the_timespan_or_both_limit_the_time() {
    let logs = start().await;
    fill(&logs, 120);
    let count = |timespan: Option<&str>, condition: &str| {
        let query = format!("AKSAudit {condition} | summarize Rows = count()");
        let body = timespan.map_or(json!({"query": query}), |timespan| json!({"query": query, "timespan": timespan}));
        let asked = response_of(ask(&logs, "query", &body));
        async { asked.await.1["tables"][0]["rows"][0][0].as_i64() }
    };
    let late = "| where TimeGenerated >= datetime(2026-11-22T01:01:00.748919Z)";
    assert_eq!(count(None, "").await, Some(120));
    assert_eq!(count(None, late).await, Some(60));
    assert_eq!(count(Some("2026-11-22T01:00:00Z/PT61S"), "").await, Some(61));
    assert_eq!(count(Some("2026-11-22T01:00:00Z/PT61S"), late).await, Some(1));
    assert_eq!(count(Some("2026-11-22T01:00:00.748919Z/2026-11-22T01:00:01.748919Z"), "").await, Some(2));
    logs.clock().set("2026-11-22T01:02:00Z".parse().expect("is a time"));
    assert_eq!(count(Some("PT1M"), "").await, Some(60));
    logs.ingest(WORKSPACE, "AKSAudit", row(119)).expect("is a row");
    assert_eq!(count(None, "").await, Some(121), "a late row is there at once, twice if it came twice");
}

#[tokio::test]
async fn rows_are_in_order_only_if_the_query_sorts_them() {
    let logs = start().await;
    fill(&logs, 50);
    let sorted: Vec<String> = (0..50).map(|second: u32| second.to_string()).collect();
    let unordered = "AKSAudit | project AuditId";
    let (_, shuffled) = query(&logs, unordered).await;
    assert_ne!(firsts(&shuffled), sorted);
    assert_eq!(query(&logs, unordered).await.1, shuffled);
    let (_, by_time) = query(&logs, "AKSAudit | sort by TimeGenerated asc | project AuditId").await;
    assert_eq!(firsts(&by_time), sorted);
    logs.set_answering(Answering { order: RowOrder::Shuffled(1), ..Answering::default() });
    assert_ne!(query(&logs, unordered).await.1, shuffled);
    logs.set_answering(Answering { order: RowOrder::Stored, ..Answering::default() });
    assert_eq!(firsts(&query(&logs, unordered).await.1), sorted);
}

#[tokio::test]
async fn answers_can_be_partial_empty_or_late() {
    let logs = start().await;
    fill(&logs, 10);
    let all = "AKSAudit | project AuditId";
    logs.set_answering(Answering { rows_max: 9, ..Answering::default() });
    let (status, body) = query(&logs, all).await;
    assert_eq!((status, firsts(&body).len()), (200, 9));
    assert_eq!(body["error"]["code"], "PartialError");
    let inner = body["error"]["details"][0]["innererror"]["message"].as_str().expect("says why");
    assert!(inner.starts_with("Query result set has exceeded the internal record count limit 9"), "{inner}");
    assert!(query(&logs, "AKSAudit | take 9 | project AuditId").await.1["error"].is_null());
    logs.set_answering(Answering {
        partial_next: 1,
        no_content_next: 1,
        empty_body_next: 1,
        span_max: Some(Duration::from_mins(1)),
        ..Answering::default()
    });
    let window = |to: &str| {
        let from = "TimeGenerated >= datetime(2026-11-22T01:00:00Z)";
        format!("AKSAudit | where {from} and TimeGenerated < datetime(2026-11-22T{to}) | project AuditId")
    };
    assert_eq!(codes(&query(&logs, &window("01:01:01Z")).await), "504 GatewayTimeout");
    assert_eq!(codes(&query(&logs, all).await), "504 GatewayTimeout");
    let minute = window("01:01:00Z");
    assert_eq!(query(&logs, &minute).await, (204, json!("")));
    assert_eq!(query(&logs, &minute).await, (200, json!("")));
    let (_, partial) = query(&logs, &minute).await;
    assert_eq!((firsts(&partial).len(), &partial["error"]["code"]), (5, &json!("PartialError")));
    let (_, whole) = query(&logs, &minute).await;
    assert_eq!((firsts(&whole).len(), &whole["error"]), (10, &Value::Null));
    assert_eq!(logs.served().partial, 2);
}

#[tokio::test]
async fn each_plan_has_its_own_path() {
    let logs = start().await;
    fill(&logs, 2);
    logs.set_plan(WORKSPACE, "AKSAuditAdmin", TablePlan::Basic).expect("is a table");
    logs.ingest(WORKSPACE, "AKSAuditAdmin", row(1)).expect("is a row");
    let basic = json!({"query": "AKSAuditAdmin | project AuditId", "timespan": "2026-11-22T01:00:00Z/PT1H"});
    let (status, body) = response_of(ask(&logs, "search", &basic)).await;
    assert_eq!((status, firsts(&body)), (200, vec!["1"]));
    let with = |member: &str, value: Value| {
        let mut body = basic.clone();
        body[member] = value;
        body
    };
    for (api, body, expected) in [
        ("query", basic.clone(), "has the plan Basic"),
        ("search", with("query", json!("AKSAudit")), "has the plan Analytics"),
        ("search", with("timespan", Value::Null), "needs a timespan"),
        ("search", with("workspaces", json!([WORKSPACE])), "takes no workspaces"),
        (
            "search",
            with("query", json!("AKSAuditAdmin | where TimeGenerated > datetime(2026-11-22)")),
            "takes the time from timespan",
        ),
    ] {
        let refused = response_of(ask(&logs, api, &body)).await;
        assert_eq!(codes(&refused), "400 BadArgumentError ValidationError");
        assert!(refused.1.to_string().contains(expected), "{refused:?}");
    }
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let logs = start().await;
    fill(&logs, 1);
    let take = json!({"query": "AKSAudit | take 1"});
    let at = |path: &str| crate::http().post(format!("{}{path}", logs.endpoint())).json(&take);
    let query = |body: Value| ask(&logs, "query", &body);
    let untyped = format!("{}/v1/workspaces/{WORKSPACE}/query", logs.endpoint());
    let untyped = crate::http().post(untyped).body(take.to_string());
    for (asked, expected) in [
        (at("/v1/workspaces/none/query"), "404 PathNotFoundError"),
        (at(&format!("/v1/workspaces/{OTHER_WORKSPACE}/query")), "404 PathNotFoundError"),
        (at(&format!("/v1/workspaces/{WORKSPACE}/metadata")), "404 PathNotFoundError"),
        (crate::http().get(format!("{}/v1/workspaces/{WORKSPACE}/query", logs.endpoint())), "404 PathNotFoundError"),
        (query(json!({"query": "AKSAudit", "unknown": 1})), "400 BadArgumentError ValidationError"),
        (query(json!({"timespan": "PT1H"})), "400 BadArgumentError ValidationError"),
        (query(json!({"query": "AKSAudit", "timespan": "1h"})), "400 BadArgumentError ValidationError"),
        (query(json!({"query": "AKSAudit", "workspaces": [OTHER_WORKSPACE]})), "400 BadArgumentError ValidationError"),
        (untyped, "400 BadArgumentError ValidationError"),
        (query(take.clone()).header("prefer", "wait=601"), "400 BadArgumentError ValidationError"),
        (query(take.clone()).header("prefer", "respond-async"), "400 BadArgumentError ValidationError"),
        (query(json!({"query": "AKSAudit | where Verb = 1"})), "400 BadArgumentError SyntaxError SYN0002"),
        (query(json!({"query": "AKSAudit | where verb == \"\""})), "400 BadArgumentError SemanticError SEM0100"),
        (query(json!({"query": "AKSAuditAdmin"})), "400 BadArgumentError SemanticError SEM0100"),
        (query(json!({"query": "AKSAudit | distinct Verb"})), "400 BadArgumentError NotInThisStandIn"),
    ] {
        let shown = format!("{asked:?}");
        assert_eq!(codes(&response_of(asked).await), expected, "{shown}");
    }
    assert_eq!(response_of(query(take).header("prefer", "wait=600")).await.0, 200);
    assert_eq!(logs.served().wait_s, Some(600));
}

#[tokio::test]
async fn bad_rows_are_refused() {
    let logs = start().await;
    let with = |name: &str, value: Value| {
        let mut row = row(1);
        row[name] = value;
        row
    };
    for (workspace, table, row, expected) in [
        ("prod", "AKSAudit", row(1), "a workspace id is a GUID, which \"prod\" is not"),
        (WORKSPACE, "Heartbeat", row(1), "the fake knows no table \"Heartbeat\""),
        (WORKSPACE, "AKSAudit", json!([]), "a row is an object by column names"),
        (WORKSPACE, "AKSAudit", with("log_s", json!("")), "the table has no column \"log_s\""),
        (WORKSPACE, "AKSAudit", with("Verb", json!(1)), "Verb is not a string"),
        (WORKSPACE, "AKSAudit", with("TimeGenerated", json!("yesterday")), "TimeGenerated is not a datetime"),
        (WORKSPACE, "AKSAudit", with("TimeGenerated", Value::Null), "a row needs TimeGenerated"),
    ] {
        let refused = logs.ingest(workspace, table, row).expect_err(expected);
        assert_eq!(refused.to_string(), expected);
    }
    assert_eq!(logs.stored_rows(WORKSPACE, "AKSAudit"), 0);
    logs.ingest(&WORKSPACE.to_uppercase(), "AKSAudit", row(1)).expect("case of a GUID does not matter");
    assert_eq!(logs.stored_rows(WORKSPACE, "AKSAudit"), 1);
}

#[tokio::test]
async fn one_query_reads_several_workspaces() {
    let logs = start().await;
    fill(&logs, 1);
    logs.ingest(OTHER_WORKSPACE, "AKSAudit", row(7)).expect("is a row");
    let both = json!({"query": "AKSAudit | sort by AuditId asc | project AuditId", "workspaces": [OTHER_WORKSPACE]});
    assert_eq!(firsts(&response_of(ask(&logs, "query", &both)).await.1), ["0", "7"]);
}

/// Requests a token from Entra, with these form pairs in place of those of a good request.
fn entra(logs: &LogAnalytics, changed: &[(&str, &str)]) -> RequestBuilder {
    let scope = format!("{RESOURCE}/.default");
    let good = [("grant_type", "client_credentials"), ("client_id", "app"), ("scope", &scope), ("client_secret", "s")];
    let kept = good.into_iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    let pairs = kept.chain(changed.iter().copied()).filter(|(_, value)| *value != "-");
    let escaped = |text: &str| text.replace('%', "%25").replace('&', "%26").replace('+', "%2B");
    let body: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    crate::http()
        .post(format!("{}/tenant/oauth2/v2.0/token", logs.endpoint()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.join("&"))
}

#[tokio::test]
async fn entra_accepts_registered_applications() {
    let logs = start().await;
    let (status, granted) = response_of(entra(&logs, &[])).await;
    assert_eq!((status, &granted["token_type"], &granted["expires_in"]), (200, &json!("Bearer"), &json!(3600)));
    logs.register("app", Proof::Secret("s&+%".to_owned()));
    logs.register("pod", Proof::Assertion("jwt".to_owned()));
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let pod = [("client_id", "pod"), ("client_secret", "-"), ("client_assertion_type", jwt)];
    let pod = |assertion: &'static str| [pod.as_slice(), &[("client_assertion", assertion)]].concat();
    assert_eq!(response_of(entra(&logs, &[("client_secret", "s&+%")])).await.0, 200);
    assert_eq!(response_of(entra(&logs, &pod("jwt"))).await.0, 200);
    for (changed, expected) in [
        (vec![], "401 invalid_client AADSTS7000215"),
        (pod("other"), "401 invalid_client AADSTS700213"),
        (vec![("client_secret", "-")], "401 invalid_client AADSTS7000218"),
        (vec![("client_id", "unknown")], "400 unauthorized_client AADSTS700016"),
        (vec![("client_id", "-")], "400 invalid_request AADSTS900144"),
        (vec![("grant_type", "password")], "400 unsupported_grant_type AADSTS70003"),
        (vec![("grant_type", "-")], "400 invalid_request AADSTS900144"),
        (vec![("scope", "-")], "400 invalid_request AADSTS900144"),
        (vec![("client_secret", "s&+%"), ("scope", RESOURCE)], "400 invalid_scope AADSTS1002012"),
        (
            vec![("client_secret", "s&+%"), ("scope", "https://management.azure.com/.default")],
            "400 invalid_resource AADSTS500011",
        ),
    ] {
        let (status, body) = response_of(entra(&logs, &changed)).await;
        let description = body["error_description"].as_str().unwrap_or_default();
        let number = description.split(':').next().unwrap_or_default();
        assert_eq!(format!("{status} {} {number}", body["error"].as_str().unwrap_or_default()), expected);
    }
    assert_eq!(logs.tokens_issued(), 3);
}

#[tokio::test]
async fn a_query_needs_a_valid_token() {
    let logs = start().await;
    fill(&logs, 1);
    logs.clock().set("2026-11-22T02:00:00Z".parse().expect("is a time"));
    let take = json!({"query": "AKSAudit | take 1"});
    let with = |token: &str| response_of(ask(&logs, "query", &take).header("authorization", format!("Bearer {token}")));
    assert_eq!(response_of(ask(&logs, "query", &take)).await.0, 200);
    assert_eq!(codes(&with("guessed").await), "401 InvalidTokenError InvalidToken");
    logs.allow_anonymous(false);
    assert_eq!(codes(&response_of(ask(&logs, "query", &take)).await), "401 AuthorizationRequiredError");
    logs.set_token_life(Duration::from_mins(5));
    let (_, granted) = response_of(entra(&logs, &[])).await;
    let token = granted["access_token"].as_str().expect("is a token");
    assert_eq!(with(token).await.0, 200);
    let basic = ask(&logs, "query", &take).header("authorization", format!("Basic {token}"));
    assert_eq!(codes(&response_of(basic).await), "401 AuthorizationRequiredError");
    logs.clock().advance(Duration::from_secs(299));
    assert_eq!(with(token).await.0, 200);
    logs.clock().advance(Duration::from_secs(1));
    assert_eq!(codes(&with(token).await), "401 InvalidTokenError InvalidToken");
    let (_, granted) = response_of(entra(&logs, &[])).await;
    logs.expire_tokens();
    let token = granted["access_token"].as_str().expect("is a token");
    assert_eq!(codes(&with(token).await), "401 InvalidTokenError InvalidToken");
}

#[tokio::test]
async fn the_metadata_service_answers_only_machines() {
    let logs = start().await;
    logs.allow_anonymous(false);
    logs.clock().set("2026-11-22T00:00:00Z".parse().expect("is a time"));
    let get = |query: &str| crate::http().get(format!("{}/metadata/identity/oauth2/token?{query}", logs.endpoint()));
    let good = "api-version=2018-02-01&resource=https%3A%2F%2Fapi.loganalytics.io&client_id=me";
    let (status, body) = response_of(get(good).header("metadata", "true")).await;
    assert_eq!((status, &body["client_id"], &body["resource"]), (200, &json!("me"), &json!(RESOURCE)));
    assert_eq!((&body["expires_in"], &body["expires_on"]), (&json!("3600"), &json!("1795309200")));
    let token = body["access_token"].as_str().expect("is a token");
    let take = ask(&logs, "query", &json!({"query": "AKSAudit | take 1"})).bearer_auth(token);
    assert_eq!(response_of(take).await.0, 200);
    for (asked, expected) in [
        (get(good), "bad_request_102"),
        (get(good).header("metadata", "true").header("x-forwarded-for", "1.2.3.4"), "invalid_request"),
        (get("resource=https://api.loganalytics.io").header("metadata", "true"), "invalid_request"),
        (get("api-version=2018-02-01").header("metadata", "true"), "invalid_request"),
        (get("api-version=2018-02-01&resource=https://vault.azure.net").header("metadata", "true"), "invalid_resource"),
        (get(&format!("{good}&unknown=1")).header("metadata", "true"), "invalid_request"),
    ] {
        let (status, body) = response_of(asked).await;
        assert_eq!((status, &body["error"]), (400, &json!(expected)));
    }
}

#[tokio::test]
async fn faults_look_like_those_of_each_service() {
    let logs = start().await;
    fill(&logs, 1);
    let asked = || ask(&logs, "query", &json!({"query": "AKSAudit | take 1"}));
    for (fault, expected) in [
        (Fault::Throttled { retry_after_s: Some(7) }, "429 ThrottledError"),
        (Fault::Unavailable, "503 ServiceUnavailableError"),
        (Fault::InternalError, "500 InternalServerError"),
        (Fault::Denied, "403 InsufficientAccessError UnauthorizedClient"),
    ] {
        logs.set_faults(Faults::next(1, &fault));
        assert_eq!(codes(&response_of(asked()).await), expected);
    }
    logs.set_faults(Faults::next(1, &Fault::Throttled { retry_after_s: Some(7) }));
    let throttled = asked().send().await.expect("is answered");
    assert_eq!(throttled.headers()["retry-after"], "7");
    logs.set_faults(Faults::next(1, &Fault::Denied));
    assert_eq!(response_of(entra(&logs, &[])).await.1["error"], "invalid_client");
    logs.set_faults(Faults::next(1, &Fault::TruncatedBody));
    assert!(response_of(asked()).await.1.is_string(), "half of the JSON is no JSON");
    assert_eq!(response_of(asked()).await.0, 200);
}

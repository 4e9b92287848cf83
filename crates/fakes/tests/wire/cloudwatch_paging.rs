//! Pages and tokens of FilterLogEvents through the official SDK.

use std::collections::BTreeSet;
use std::time::Duration;

use stakeout_fakes::cloudwatch_logs::{EventOrder, Paging, Served, TokenGone};

use crate::cloudwatch_logs::{GROUP, fill, read, refusal, start};

#[tokio::test]
async fn pages_hold_every_event_once_in_shuffled_order() {
    let (logs, client) = start().await;
    fill(&logs, 100);
    logs.set_paging(Paging { page_records: 30, empty_pages: 2, last_page_has_token: true, ..Paging::default() });
    let search = client.filter_log_events().log_group_name(GROUP);
    let (messages, pages) = read(search.clone()).await.expect("is answered");
    assert_eq!(pages, [0, 0, 30, 0, 0, 30, 0, 0, 30, 0, 0, 10, 0, 0, 0]);
    assert_eq!(messages.iter().collect::<BTreeSet<_>>().len(), 100);
    assert_eq!(read(search.clone()).await.expect("is answered").0, messages, "the order is the same each time");
    let bytes: usize = messages.iter().map(String::len).sum();
    assert_eq!(logs.served(), Served { pages: 30, records: 200, bytes: 2 * bytes as u64 });

    logs.set_paging(Paging { order: EventOrder::Sorted, ..Paging::default() });
    let (sorted, pages) = read(search.clone()).await.expect("is answered");
    assert_eq!((sorted[0].as_str(), pages), (r#"{"n":0,"code":400}"#, vec![100]));
    assert_ne!(sorted, messages);
    let limited = read(search.limit(60)).await.expect("is answered");
    assert_eq!(limited, (sorted, vec![60, 40]));
}

#[tokio::test]
async fn pages_end_at_a_megabyte() {
    let (logs, client) = start().await;
    for n in 0..5 {
        logs.ingest(GROUP, "s", n, &"x".repeat(400_000));
    }
    logs.ingest(GROUP, "s", 9, &"y".repeat(1_500_000));
    logs.set_paging(Paging { order: EventOrder::Sorted, ..Paging::default() });
    let (_, pages) = read(client.filter_log_events().log_group_name(GROUP)).await.expect("is answered");
    assert_eq!(pages, [2, 2, 1, 1]);
}

#[tokio::test]
async fn duplicates_share_their_id_and_ids_are_unique() {
    let (logs, client) = start().await;
    fill(&logs, 10);
    logs.set_paging(Paging { duplicates: true, ..Paging::default() });
    let page = client.filter_log_events().log_group_name(GROUP).send().await.expect("is answered");
    let ids: BTreeSet<_> = page.events().iter().filter_map(|event| event.event_id()).collect();
    assert_eq!((page.events().len(), ids.len()), (20, 10));
    assert!(ids.iter().all(|id| id.len() == 56), "{ids:?}");
}

#[tokio::test]
async fn late_events_are_seen_by_the_next_search_only() {
    let (logs, client) = start().await;
    fill(&logs, 4);
    logs.set_paging(Paging { page_records: 2, ..Paging::default() });
    let search = client.filter_log_events().log_group_name(GROUP);
    let first = search.clone().send().await.expect("is answered");
    logs.ingest(GROUP, "late", 1_001, "{}");
    let second = search.clone().set_next_token(first.next_token).send().await.expect("is answered");
    assert_eq!((second.events().len(), second.next_token), (2, None));
    assert_eq!(read(search).await.expect("is answered").0.len(), 5);
}

#[tokio::test]
async fn tokens_are_bound_and_expire() {
    let (logs, client) = start().await;
    fill(&logs, 9);
    logs.set_paging(Paging { page_records: 3, ..Paging::default() });
    let search = client.filter_log_events().log_group_name(GROUP);
    let first = search.clone().send().await.expect("is answered");
    let token = first.next_token.expect("there is more");
    let again = search.clone().next_token(&token);
    let twice = (again.clone().send().await.expect("once"), again.clone().send().await.expect("twice"));
    assert_eq!((twice.0.events(), twice.0.next_token()), (twice.1.events(), twice.1.next_token()));
    let gone = "InvalidParameterException: The specified nextToken is invalid.";
    assert_eq!(refusal(search.clone().next_token("made-up")).await, gone);
    assert_eq!(refusal(again.clone().limit(3)).await, gone);
    assert_eq!(refusal(again.clone().start_time(1)).await, gone);

    logs.set_paging(Paging { page_records: 3, token_uses: Some(2), ..Paging::default() });
    assert_eq!(refusal(again.clone()).await, gone);

    logs.set_paging(Paging { page_records: 3, token_gone: Some(TokenGone { page: 3, times: 1 }), ..Paging::default() });
    assert_eq!(read(search.clone()).await, Err(gone.to_owned()));
    assert_eq!(read(search.clone()).await.map(|read| read.1), Ok(vec![3, 3, 3]));

    logs.expire_tokens();
    assert_eq!(refusal(again).await, gone);
    let first = search.clone().send().await.expect("is answered");
    logs.clock().advance(Duration::from_hours(25));
    assert_eq!(refusal(search.set_next_token(first.next_token)).await, gone);
}

#[tokio::test]
async fn the_same_token_can_be_repeated_forever() {
    let (logs, client) = start().await;
    fill(&logs, 9);
    logs.set_paging(Paging { page_records: 3, same_token: true, ..Paging::default() });
    let search = client.filter_log_events().log_group_name(GROUP);
    let first = search.clone().send().await.expect("is answered");
    let second = search.set_next_token(first.next_token.clone()).send().await.expect("is answered");
    assert_eq!(second.next_token, first.next_token);
}

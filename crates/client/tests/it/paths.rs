//! What is asked of the server: paths, queries and headers.

use kvstore_client::{BatchItem, Client, PageQuery};
use kvstore_types::{Condition, Key, Revision};

use crate::scripted::{answer, serve};

fn page(more: &str) -> crate::scripted::Step {
    answer("200 OK", &["Content-Type: application/json"], &format!(r#"{{"count":0,"results":[],{more}}}"#))
}

#[tokio::test]
async fn pages_go_on_after_an_empty_one_and_end_where_the_server_says() {
    let (url, served) = serve(vec![page(r#""has_more":true,"next_cursor":"a/&b""#), page(r#""has_more":false"#)]).await;
    let client = Client::new(&url, None).expect("an address");
    let mut pages = client.pages(&PageQuery { prefix: Some("a".into()), reverse: true, ..PageQuery::default() });
    assert_eq!(pages.next_page().await.expect("a page"), Some(vec![]));
    assert_eq!(pages.next_page().await.expect("a page"), Some(vec![]));
    assert_eq!(pages.next_page().await.expect("the end"), None);
    let heads = served.await.expect("served");
    assert!(heads[0].starts_with("get /kv-store/v1/kv/?prefix=a&reverse=true http"), "{}", heads[0]);
    assert!(heads[1].starts_with("get /kv-store/v1/kv/?prefix=a&reverse=true&cursor=a%2f%26b http"), "{}", heads[1]);
}

#[tokio::test]
async fn a_page_that_contradicts_itself_is_an_error() {
    for more in [r#""has_more":true"#, r#""has_more":false,"next_cursor":"a""#] {
        let (url, served) = serve(vec![page(more)]).await;
        let got = Client::new(&url, None).expect("an address").pages(&PageQuery::default()).next_page().await;
        assert!(got.is_err(), "{more} gave {got:?}");
        served.await.expect("served");
    }
}

#[tokio::test]
async fn a_batch_with_conditions_goes_to_the_batch() {
    let (url, served) = serve(vec![answer("200 OK", &["Content-Type: application/json"], r#"{"count":1,"revision":3}"#)]).await;
    let item = BatchItem {
        key: Key::new("k").expect("a key"),
        value: bytes::Bytes::from_static(b"\xff"),
        ttl: None,
        condition: Some(Condition::Revision(Revision(2))),
    };
    let answer = Client::new(&url, None).expect("an address").batch(&[item], None).await.expect("stored");
    assert_eq!((answer.count, answer.revision), (1, Revision(3)));
    let head = &served.await.expect("served")[0];
    assert!(head.starts_with("post /kv-store/v1/kv/batch/ http"), "{head}");
    assert!(head.contains("prefer: return=minimal") && head.contains("content-type: application/json"), "{head}");
}

//! The pages in a real browser: they render, they work, and they ask no other host for anything.

use serde_json::Value;

use crate::{
    chromium::Browser,
    running::{Server, expect_exit},
};

/// Asserts that the pages opened so far complained of nothing and asked this server only.
#[track_caller]
fn expect_quiet(browser: &Browser, server: &Server, what: &str) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{what}: the console says {complaints:#?}");
    let requests = browser.requests();
    // The browser's own first page is there before ours.
    let own = |url: &String| [&*server.url, "data:", "blob:", "chrome:", "about:"].iter().any(|start| url.starts_with(start));
    assert!(requests.iter().filter(|url| url.starts_with(&server.url)).count() >= 3, "{what}: only {requests:?} were asked for");
    let foreign: Vec<_> = requests.into_iter().filter(|url| !own(url)).collect();
    assert!(foreign.is_empty(), "{what} asked {foreign:?}");
}

/// Opens an operation in Swagger UI, fills its form in, and executes it; gives the status of the answer.
fn try_out(browser: &Browser, operation: &str, fields: &[(&str, &str)], body: Option<&str>) -> String {
    let block = format!("#operations-values-{operation}");
    if browser.run(&format!("return document.querySelector('{block}.is-open') === null")) == Value::Bool(true) {
        browser.click(&format!("{block} .opblock-summary-control"));
        browser.click(&format!("{block} .try-out__btn"));
    }
    for (name, value) in fields {
        browser.type_in(&format!("{block} tr[data-param-name='{name}'] input"), value);
    }
    if let Some(body) = body {
        browser.type_in(&format!("{block} textarea.body-param__text"), body);
    }
    browser.run(&format!("document.querySelector('{block} .btn-clear')?.click()"));
    browser.click(&format!("{block} .execute"));
    let status = format!("document.querySelector('{block} .live-responses-table .response .response-col_status')?.innerText");
    browser.wait(&format!("an answer to {operation}"), &format!("/^\\d+/.test({status} ?? '')"));
    let status = browser.run(&format!("return {status}"));
    status.as_str().expect("a status").split_whitespace().next().expect("a status").to_owned()
}

fn answer_body(browser: &Browser, operation: &str) -> String {
    let text = format!("return document.querySelector('#operations-values-{operation} .live-responses-table .highlight-code').innerText");
    browser.run(&text).as_str().expect("a body").to_owned()
}

#[test]
fn swagger_ui_shows_every_operation_and_tries_them_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let browser = Browser::start();
    browser.open(&format!("{}/kv-store/docs/", server.url));
    browser.wait("Swagger UI", "document.querySelectorAll('.opblock').length > 0");
    let schema = server.http_get("/kv-store/schema/");
    let schema: Value = serde_json::from_str(schema.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let operations: usize = schema["paths"].as_object().expect("paths").values().map(|item| item.as_object().expect("an item").len()).sum();
    assert_eq!(browser.run("return document.querySelectorAll('.opblock').length"), operations, "an operation each");
    browser.picture("swagger");

    for (key, value) in [("a/b", "slash"), ("a/b/", "slash at the end"), ("ä ?#%2F&", "all of it encoded")] {
        let body = format!("{{\"value\": \"{value}\"}}");
        assert_eq!(try_out(&browser, "put_value", &[("key", key)], Some(&body)), "201", "PUT {key}");
        assert_eq!(try_out(&browser, "read_value", &[("key", key)], None), "200", "GET {key}");
        let shown = answer_body(&browser, "read_value");
        assert!(shown.contains(&format!("\"key\": \"{key}\"")) && shown.contains(value), "{key}: {shown}");
        assert_eq!(expect_exit(&server.client(&["get", key], b""), 0), value, "what the page stored under {key}");
    }
    browser.run("document.querySelector('#operations-values-put_value').scrollIntoView()");
    browser.picture("swagger-try-it-out");
    expect_quiet(&browser, &server, "Swagger UI");
    browser.prefer("dark");
    browser.run("scrollTo(0, 0)");
    browser.picture("swagger-dark");
    drop(browser);
    server.stop();
}

#[test]
fn swagger_ui_sends_the_token_that_was_typed_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(folder.path(), &[], &[("KVSTORE_TOKEN", "s3cret")]);
    let browser = Browser::start();
    browser.open(&format!("{}/kv-store/docs/", server.url));
    browser.wait("Swagger UI", "document.querySelectorAll('.opblock').length > 0");
    assert_eq!(try_out(&browser, "put_value", &[("key", "a/b")], Some("{\"value\": \"1\"}")), "401", "without a token");
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("401")), "{complaints:?}");
    browser.run("scrollTo(0, 0)");
    browser.click(".auth-wrapper .authorize");
    browser.type_in(".auth-container input", "s3cret");
    browser.picture("swagger-authorize");
    browser.click(".auth-btn-wrapper .authorize");
    browser.click(".auth-btn-wrapper .btn-done");
    assert_eq!(try_out(&browser, "put_value", &[("key", "a/b")], Some("{\"value\": \"1\"}")), "201", "with the token");
    expect_quiet(&browser, &server, "Swagger UI with a token");
    drop(browser);
    server.stop();
}

#[test]
fn redoc_and_the_landing_page_render() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let browser = Browser::start();
    browser.open(&format!("{}/kv-store/redoc/", server.url));
    browser.wait("ReDoc", "document.querySelector('[data-section-id=\"tag/values/operation/put_value\"]') !== null");
    browser.wait("the search of ReDoc", "document.querySelector('input[type=text], input[type=search]') !== null");
    browser.type_in("input[type=text], input[type=search]", "expiry");
    browser.wait("an answer of the search, which runs in a worker", "document.querySelector('[data-role=\"search:results\"] li') !== null");
    browser.picture("redoc-search");
    browser.run("document.querySelector('[data-section-id=\"tag/values/operation/put_value\"]').scrollIntoView()");
    browser.picture("redoc");
    expect_quiet(&browser, &server, "ReDoc");

    browser.open(&server.url);
    browser.wait("the landing page", "document.getElementById('copy')?.hidden === false");
    let command = browser.run("return document.getElementById('command').innerText");
    let command = command.as_str().expect("a command");
    assert!(command.starts_with(&format!("curl -X PUT {}/kv-store/v1/kv/hello/", server.url)), "{command}");
    let output = std::process::Command::new("sh").args(["-ec", command]).output().expect("a shell");
    let said = expect_exit(&output, 0);
    assert_eq!(said.matches("\"value\":\"world\"").count(), 2, "what is to copy stores and reads: {said}");
    assert_eq!(browser.run("return document.querySelector('h1').innerText"), "kvstore");
    browser.picture("landing");
    browser.prefer("dark");
    browser.picture("landing-dark");
    browser.resize(400, 900);
    assert_eq!(browser.run("return document.documentElement.scrollWidth <= innerWidth"), true, "it fits on a telephone");
    browser.picture("landing-narrow");
    expect_quiet(&browser, &server, "the landing page");
    drop(browser);
    server.stop();
}

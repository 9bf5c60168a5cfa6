//! The landing page, Swagger UI, ReDoc and their files: types, policies, caching, and nothing from another host.

use kvstore_api::ApiOptions;

use crate::support::{Answer, Server, Setup};

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const PAGES: [&str; 3] = ["/", "/kv-store/docs/", "/kv-store/redoc/"];

async fn page(server: &Server, path: &str) -> Answer {
    let answer = server.call("GET", path, &[BROWSER], b"").await;
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    answer
}

/// The values of all attributes of this name.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let opening = format!(" {name}=\"");
    let values = html.split(&opening).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn pages_name_no_other_host_and_what_they_name_is_there() {
    let server = Server::start().await;
    for path in PAGES {
        let html = page(&server, path).await.text();
        let links: Vec<_> = ["src", "href"].iter().flat_map(|name| attributes(&html, name)).collect();
        assert!(links.len() >= 4, "{path} names {links:?}");
        for link in links {
            assert!(link.starts_with('/') && !link.starts_with("//"), "{path} names {link}");
            assert_eq!(server.get(&link).await.status, 200, "{link} of {path}");
        }
        let outside = html.replace("http://localhost", "");
        assert!(!outside.contains("http:") && !outside.contains("https:"), "{path} names another host");
    }
}

#[tokio::test]
async fn a_page_may_load_from_this_server_only() {
    let server = Server::start().await;
    for path in PAGES {
        let answer = page(&server, path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        for part in ["default-src 'none'", "script-src 'self';", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy} lacks {part}");
        }
        assert!(!policy.contains("http") && !policy.contains('*') && !policy.contains("unsafe-eval"), "{path}: {policy}");
        // The landing page has no style of its own inside; what other people's scripts need is theirs alone.
        assert_eq!(policy.contains("'unsafe-inline'"), path != "/", "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
    }
}

#[tokio::test]
async fn files_have_their_types_and_are_asked_for_once() {
    let server = Server::start().await;
    for (path, media) in [
        ("/kv-store/docs/", "text/html; charset=utf-8"),
        ("/kv-store/redoc/", "text/html; charset=utf-8"),
        ("/kv-store/assets/docs.js", "text/javascript; charset=utf-8"),
        ("/kv-store/assets/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/kv-store/assets/redoc.standalone.js", "text/javascript; charset=utf-8"),
        ("/kv-store/assets/swagger-ui.css", "text/css; charset=utf-8"),
        ("/kv-store/assets/icon.svg", "image/svg+xml"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media)), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        let etag = answer.header("etag").expect("an ETag").to_owned();
        let again = server.call("GET", path, &[("If-None-Match", &etag)], b"").await;
        assert_eq!((again.status, again.header("etag"), again.body.len()), (304, Some(&*etag), 0), "{path}");
        let changed = server.call("GET", path, &[("If-None-Match", "\"another\"")], b"").await;
        assert_eq!((changed.status, &changed.body), (200, &answer.body), "{path}");
        let head = server.call("HEAD", path, &[], b"").await;
        assert_eq!((head.status, head.header("content-type"), head.header("etag")), (200, Some(media), Some(&*etag)), "{path}");
        assert_eq!(head.header("content-length"), Some(&*answer.body.len().to_string()), "{path}");
    }
}

#[tokio::test]
async fn pages_take_reads_only() {
    let server = Server::start().await;
    for path in ["/", "/kv-store/docs/", "/kv-store/redoc/", "/kv-store/schema/", "/kv-store/assets/docs.js"] {
        for method in ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
            let answer = server.call(method, path, &[], b"").await;
            answer.problem(405, "method-not-allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
        assert_eq!(server.call("HEAD", path, &[], b"").await.status, 200, "HEAD {path}");
    }
    for path in ["nothing", "", "../docs.js", "docs.html", "vendor/redoc/LICENSE", "DOCS.JS", "docs.js%00"] {
        server.get(&format!("/kv-store/assets/{path}")).await.problem(404, "unknown-path");
    }
}

#[tokio::test]
async fn the_landing_page_is_for_browsers() {
    let server = Server::start().await;
    for accept in ["*/*", "application/json", "application/json, text/html;q=0.5", "text/plain"] {
        let answer = server.call("GET", "/", &[("Accept", accept)], b"").await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "Accept: {accept}");
        assert_eq!(answer.header("vary"), Some("Accept"), "Accept: {accept}");
        assert_eq!(answer.json()["docs"], "/kv-store/docs/", "Accept: {accept}");
    }
    assert_eq!(page(&server, "/").await.header("vary"), Some("Accept"));
    let head = server.call("HEAD", "/", &[BROWSER], b"").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/html; charset=utf-8")));
}

#[tokio::test]
async fn the_first_command_is_for_the_host_that_was_asked() {
    let api = ApiOptions { allowed_hosts: vec!["kv.example".into()], ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    for host in ["localhost:8123", "127.0.0.1:9", "[::1]:8000", "kv.example"] {
        let html = server.call("GET", "/", &[BROWSER, ("Host", host)], b"").await.text();
        assert!(html.contains(&format!("curl -X PUT http://{host}/kv-store/v1/kv/hello/ ")), "{host}: {html}");
        assert!(!html.contains("{{"), "{host}: a place was left open in {html}");
        assert!(!html.contains("KVSTORE_TOKEN"), "no token is needed");
    }
    for host in ["<script>", "evil.example", "localhost:<b>"] {
        let answer = server.call("GET", "/", &[BROWSER, ("Host", host)], b"").await;
        answer.problem(421, "wrong-host");
        assert!(!answer.text().contains(host), "{host} is not echoed");
    }
    let old = server.raw(format!("GET / HTTP/1.0\r\n{}: {}\r\n\r\n", BROWSER.0, BROWSER.1).as_bytes()).await.text();
    assert!(old.contains("curl -X PUT http://127.0.0.1:8000/kv-store/v1/kv/hello/ "), "HTTP/1.0 has no Host: {old}");
}

#[tokio::test]
async fn the_first_command_carries_the_token_where_one_is_needed() {
    let api = ApiOptions { token: Some("s3cret".into()), ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    let html = page(&server, "/").await.text();
    assert!(html.contains("hello/ -H &quot;Authorization: Bearer $KVSTORE_TOKEN&quot;"), "{html}");
    assert!(!html.contains("s3cret"), "the token itself is not told");
}

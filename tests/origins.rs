//! Pages of other sites: who may count, and what their browsers are told.

use headcount::Options;

use crate::support::{Answer, Client, Server, Stream, as_served};

const BLOG: &str = "Origin: https://blog.example\r\n";
const PREFLIGHT: &str = "Access-Control-Request-Method: GET\r\n\
                         Access-Control-Request-Headers: last-event-id\r\n";

async fn allowing(origins: &[&str]) -> Server {
    let allow_origins = origins.iter().map(|text| text.parse().expect("an origin")).collect();
    Server::with(Options { allow_origins, ..Default::default() }).await
}

/// Whose browser may hear this answer.
fn may_hear(answer: &Answer) -> Option<&str> {
    answer.head.header("access-control-allow-origin")
}

fn assert_refused(answer: &Answer) {
    // It may be read by the page that is refused, and says nothing else.
    assert_eq!((answer.head.status, may_hear(answer)), (403, Some("*")), "{answer:?}");
    assert_eq!(answer.head.header("content-type"), Some("application/json"));
    assert_eq!(answer.head.header("vary"), Some("origin"));
    assert!(answer.body.starts_with(r#"{"error":"this server does not count"#), "{answer:?}");
}

#[tokio::test]
async fn a_foreign_page_is_refused_and_nobody_hears_of_it() {
    let server = allowing(&["https://blog.example", "https://*.shop.example:8443"]).await;
    let mut observer = Stream::open(server.address).await;
    assert_eq!(observer.number().await, 1);
    for origin in [
        "https://evil.example",
        "https://evil-blog.example",
        "https://blog.example.evil",
        "https://sub.blog.example",
        "http://blog.example",
        "https://blog.example:8443",
        "https://blog.example.",
        "https://shop.example:8443",
        "https://a.shop.example",
        "https://evil-shop.example:8443",
        "null",
        "*",
        "",
        "https://blog.example/",
        "https://blog.example https://evil.example",
        "\u{e9}",
    ] {
        for (method, path) in [("GET", "/events"), ("GET", "/count"), ("OPTIONS", "/events")] {
            let headers = format!("Origin: {origin}\r\n{PREFLIGHT}");
            assert_refused(&Client::ask(server.address, method, path, &headers).await);
        }
    }
    for two in [
        "Origin: https://blog.example\r\nOrigin: https://evil.example\r\n",
        "Origin: https://evil.example\r\nOrigin: https://blog.example\r\n",
    ] {
        assert_refused(&Client::ask(server.address, "GET", "/events", two).await);
    }
    let _second = Stream::open(server.address).await;
    assert_eq!(observer.number().await, 2, "the first news is the second stream");
    let metrics = Client::ask(server.address, "GET", "/metrics", "").await.body;
    // Each asked for a stream twice, with its preflight; and the two with two.
    let refusals = "headcount_refusals_total{reason=\"origin\"} 34\n";
    assert!(metrics.contains(refusals), "{metrics}");
}

#[tokio::test]
async fn a_page_that_is_allowed_counts_and_hears_the_answer() {
    let server = allowing(&["https://blog.example", "https://*.shop.example:8443"]).await;
    for origin in ["https://blog.example", "https://a.b.shop.example:8443"] {
        let mut client = Client::connect(server.address).await;
        let head = client.request("GET", "/events", &format!("Origin: {origin}\r\n")).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("access-control-allow-origin"), Some(origin));
        assert_eq!(head.header("vary"), Some("origin"));
        assert_eq!(head.header("access-control-allow-credentials"), None);
    }
    let answer = Client::ask(server.address, "GET", "/count", BLOG).await;
    assert_eq!(may_hear(&answer), Some("https://blog.example"));
    let vary: Vec<_> = answer.head.all("vary").collect();
    assert_eq!(vary, ["accept", "origin"]);
}

#[tokio::test]
async fn a_page_that_is_allowed_can_read_why_it_is_refused() {
    let options = Options {
        allow_origins: vec!["https://blog.example".parse().expect("an origin")],
        max_streams: 0,
        ..Default::default()
    };
    let server = Server::with(options).await;
    let many = format!("{BLOG}{}", "x: y\r\n".repeat(70));
    let long = format!("/events?{}", "a".repeat(9000));
    for (method, path, headers, status) in [
        ("GET", "/events", BLOG, 503),
        ("GET", "/events?room=", BLOG, 400),
        ("GET", "/count?room=%00", BLOG, 400),
        ("GET", "/events", &format!("{BLOG}Accept: text/html\r\n"), 406),
        ("GET", "/events", &format!("{BLOG}Sec-Fetch-Dest: image\r\n"), 403),
        ("POST", "/events", &format!("{BLOG}content-length: 0\r\n"), 405),
        ("POST", "/count", &format!("{BLOG}content-length: 0\r\n"), 405),
        ("GET", &long, BLOG, 414),
        ("GET", "/events", &many, 431),
    ] {
        let answer = Client::ask(server.address, method, path, headers).await;
        assert_eq!(answer.head.status, status, "{answer:?}");
        assert_eq!(may_hear(&answer), Some("https://blog.example"), "{answer:?}");
        assert_eq!(answer.head.header("vary"), Some("origin"));
        assert_eq!(answer.head.header("access-control-expose-headers"), Some("retry-after"));
        assert!(answer.body.starts_with(r#"{"error":"#), "{answer:?}");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_and_joins_nothing() {
    let server = allowing(&["https://blog.example"]).await;
    for path in ["/events", "/count"] {
        let headers = format!("{BLOG}{PREFLIGHT}");
        let answer = Client::ask(server.address, "OPTIONS", path, &headers).await;
        assert_eq!((answer.head.status, &*answer.body), (200, ""), "{path}");
        assert_eq!(may_hear(&answer), Some("https://blog.example"));
        let says = |name| answer.head.header(name);
        assert_eq!(says("access-control-allow-methods"), Some("GET"));
        let allowed = Some("accept,cache-control,last-event-id");
        assert_eq!(says("access-control-allow-headers"), allowed);
        assert_eq!(says("access-control-max-age"), Some("7200"));
        assert_eq!(says("vary"), Some("origin"));
        // An OPTIONS that is no preflight is a method like any other.
        for headers in [BLOG, PREFLIGHT, ""] {
            let answer = Client::ask(server.address, "OPTIONS", path, headers).await;
            assert_eq!(answer.head.status, 405, "{headers}");
        }
    }
    assert!(server.rooms.is_empty());
    let joins = Client::ask(server.address, "GET", "/metrics", "").await.body;
    assert!(joins.contains("headcount_joins_total 0\n"));
}

#[tokio::test]
async fn who_allows_any_allows_even_those_without_an_origin() {
    let server = allowing(&["*"]).await;
    for origin in ["https://blog.example", "null"] {
        let headers = format!("Origin: {origin}\r\n");
        let answer = Client::ask(server.address, "GET", "/count", &headers).await;
        assert_eq!((answer.head.status, may_hear(&answer)), (200, Some("*")));
    }
}

#[tokio::test]
async fn a_page_that_is_refused_is_told_what_its_owner_has_to_do() {
    let server = Server::start().await;
    let answer = Client::ask(server.address, "GET", "/count", BLOG).await;
    assert_eq!(
        answer.body,
        "{\"error\":\"this server does not count pages of https://blog.example: \
         start it with --allow-origin https://blog.example\"}"
    );
    // What is no origin is not repeated.
    let answer = Client::ask(server.address, "GET", "/count", "Origin: <b>\r\n").await;
    assert!(!answer.body.contains("<b>"), "{answer:?}");
}

#[tokio::test]
async fn the_servers_own_pages_and_curl_need_no_permission() {
    let server = Server::start().await;
    let own = format!("Origin: http://{}\r\n", server.address);
    // This client's requests name the host «test».
    for headers in [
        "",
        "Origin: http://test\r\n",
        "Origin: https://test\r\nSec-Fetch-Site: same-origin\r\n",
        &format!("{own}Sec-Fetch-Site: same-origin\r\n"),
    ] {
        let answer = Client::ask(server.address, "GET", "/count", headers).await;
        assert_eq!((answer.head.status, may_hear(&answer)), (200, None), "{headers}");
        assert_eq!(answer.head.all("vary").last(), Some("origin"));
        let mut client = Client::connect(server.address).await;
        assert_eq!(client.request("GET", "/events", headers).await.status, 200);
    }
    for headers in [&*own, BLOG, "Origin: null\r\n"] {
        assert_refused(&Client::ask(server.address, "GET", "/count", headers).await);
    }
    let elsewhere = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n";
    assert_refused(&Client::ask(server.address, "GET", "/events", elsewhere).await);
}

#[tokio::test]
async fn the_script_may_be_loaded_from_anywhere_and_the_page_be_in_no_frame() {
    let server = Server::start().await;
    let pinned = headcount::Script::embedded().path;
    for path in ["/client.js", "/public/client.js", &pinned] {
        let answer = Client::ask(server.address, "GET", path, BLOG).await;
        assert_eq!((answer.head.status, may_hear(&answer)), (200, Some("*")), "{path}");
        let says = |name| answer.head.header(name);
        assert_eq!(says("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(says("x-content-type-options"), Some("nosniff"));
        assert_eq!(says("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(says("content-security-policy"), None);
        let etag = says("etag").expect("an ETag");
        let known = format!("{BLOG}If-None-Match: {etag}\r\n");
        let answer = Client::ask(server.address, "GET", path, &known).await;
        assert_eq!((answer.head.status, may_hear(&answer)), (304, Some("*")), "{path}");
    }
    for path in ["/", "/index.html", "/public/"] {
        let answer = Client::ask(server.address, "GET", path, BLOG).await;
        assert_eq!((answer.head.status, may_hear(&answer)), (200, None));
        let policy = answer.head.header("content-security-policy").expect("a policy");
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.split("; ").any(|r| r == rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.head.header("referrer-policy"), Some("no-referrer"));
        // What the policy forbids, the page does not have.
        let page = answer.body;
        for inline in ["<style", "style=", "onclick=", "onload=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert!(page.split("<script").skip(1).all(|tag| tag.starts_with(" ")), "an inline script");
    }
    let style = Client::ask(server.address, "GET", "/style.css", "").await;
    assert_eq!(style.head.header("cross-origin-resource-policy"), None);
}

#[tokio::test]
async fn the_script_of_one_version_never_changes_and_has_its_hash() {
    let script = headcount::Script::embedded();
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("index.html"), "one").expect("it is written");
    std::fs::write(dir.path().join("client.js"), "another").expect("it is written");
    let own = Options { public_dir: Some(dir.path().into()), ..Default::default() };
    for options in [Options::default(), own] {
        let server = Server::with(options).await;
        let answer = Client::ask(server.address, "GET", &script.path, "").await;
        let cache = answer.head.header("cache-control");
        assert_eq!(cache, Some("public, max-age=31536000, immutable"));
        assert_eq!(answer.body, as_served("client.js"));
        // Another version's is not here, whatever a page says that it pins.
        let old = Client::ask(server.address, "GET", "/client-000000000000.js", "").await;
        assert_eq!((old.head.status, old.head.header("cache-control")), (404, Some("no-store")));
    }
}

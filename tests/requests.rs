//! What else can be asked of the server, and what it refuses.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use headcount::Options;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Answer, Client, Server, Stream, as_served};

/// Checks that `answer` is an error as the contract has them.
fn assert_refused(answer: &Answer, status: u16, why: &str) {
    assert_eq!(answer.head.status, status, "{answer:?}");
    assert_eq!(answer.head.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let error = body["error"].as_str().expect("an error");
    assert!(error.contains(why), "{error}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
}

#[tokio::test]
async fn only_get_opens_a_stream() {
    let server = Server::start().await;
    let mut observer = Stream::open(server.address).await;
    assert_eq!(observer.number().await, 1);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let answer = Client::ask(server.address, method, "/events", "content-length: 0\r\n").await;
        assert_refused(&answer, 405, "GET");
        assert_eq!(answer.head.header("allow"), Some("GET"));
    }
    let head = Client::ask(server.address, "HEAD", "/events", "").await;
    assert_eq!((head.head.status, head.head.header("allow")), (405, Some("GET")));
    assert_eq!(head.body, "");
    // None of them was told to the observer: the next news is the next stream.
    let _second = Stream::open(server.address).await;
    assert_eq!(observer.number().await, 2);
}

#[tokio::test]
async fn a_room_that_the_site_does_not_have_is_refused_wherever_it_is_asked_for() {
    let allow_rooms = ["/blog/*", "крам?"].map(|pattern| pattern.parse().expect("a pattern"));
    let options = Options { allow_rooms: allow_rooms.into(), ..Options::default() };
    let server = Server::with(options).await;
    let (post, shop) = ("room=/blog/hello", "room=%D0%BA%D1%80%D0%B0%D0%BC%D1%8F");
    let mut observer =
        Stream::of(Client::connect(server.address).await, &format!("/events?{post}")).await;
    assert_eq!(observer.number().await, 1);
    for query in ["", "room=lobby", "room=/Blog/hello", "room=%D0%BA%D1%80%D0%B0%D0%BC"] {
        for path in ["/events", "/count", "/badge.svg"] {
            let answer = Client::ask(server.address, "GET", &format!("{path}?{query}"), "").await;
            assert_refused(&answer, 403, "--rooms");
        }
    }
    for query in [format!("{post}&room=lobby"), format!("observe=1&room=lobby&{post}")] {
        let answer = Client::ask(server.address, "GET", &format!("/events?{query}"), "").await;
        assert_refused(&answer, 403, "--rooms");
    }
    for path in [format!("/count?{post}"), format!("/badge.svg?{shop}")] {
        let answer = Client::ask(server.address, "GET", &path, "").await;
        assert_eq!(answer.head.status, 200, "{answer:?}");
    }
    // None was told to the observer, nor is in any room: the next news is the next stream.
    assert_eq!(server.rooms.counts().len(), 1);
    let both = format!("/events?{shop}&{post}");
    let _second = Stream::of(Client::connect(server.address).await, &both).await;
    assert_eq!(observer.number().await, 2);
}

#[tokio::test]
async fn a_bad_room_is_refused_and_not_joined() {
    let server = Server::start().await;
    let long = format!("room={}", "a".repeat(129));
    for (query, why) in [
        ("room=", "empty"),
        (&long, "128 bytes"),
        ("room=a%0Ab", "control characters"),
        ("room=%00", "control characters"),
        ("room=%FF", "UTF-8"),
        ("room=a&room=a", "room"),
    ] {
        for path in ["/events", "/count"] {
            let answer = Client::ask(server.address, "GET", &format!("{path}?{query}"), "").await;
            assert_refused(&answer, 400, why);
        }
    }
    assert!(server.rooms.is_empty());
}

#[tokio::test]
async fn any_other_text_is_a_room() {
    let server = Server::start().await;
    for (query, name) in [
        ("%2Fblog%2Fhello", "/blog/hello"),
        ("%3Cimg+src%3Dx%3E", "<img src=x>"),
        ("%F0%9F%90%8E%22", "🐎\""),
        (&"a".repeat(128), &*"a".repeat(128)),
    ] {
        let client = Client::connect(server.address).await;
        let mut stream = Stream::of(client, &format!("/events?room={query}")).await;
        assert_eq!(stream.number().await, 1);
        let path = format!("/count?room={query}");
        let answer = Client::ask(server.address, "GET", &path, "").await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body, serde_json::json!({ "room": name, "count": 1 }));
    }
}

#[tokio::test]
async fn the_count_is_json_and_joins_nothing() {
    let server = Server::start().await;
    let answer = Client::ask(server.address, "GET", "/count", "").await;
    assert_eq!(answer.body, r#"{"room":"lobby","count":0}"#);
    assert_eq!(answer.head.header("content-type"), Some("application/json"));
    assert_eq!(answer.head.header("cache-control"), Some("no-store"));
    assert!(server.rooms.is_empty());
    let head = Client::ask(server.address, "HEAD", "/count", "").await;
    assert_eq!((head.head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn the_count_is_plain_text_for_who_would_rather_have_it() {
    let server = Server::start().await;
    let mut stream = Stream::open(server.address).await;
    stream.reach(1).await;
    for (accept, body, kind) in [
        ("text/plain", "1\n", "text/plain; charset=utf-8"),
        ("text/*, application/json;q=0.5", "1\n", "text/plain; charset=utf-8"),
        ("*/*", r#"{"room":"lobby","count":1}"#, "application/json"),
        ("text/html, */*;q=0.8", r#"{"room":"lobby","count":1}"#, "application/json"),
        ("image/png", r#"{"room":"lobby","count":1}"#, "application/json"),
    ] {
        let header = format!("Accept: {accept}\r\n");
        let answer = Client::ask(server.address, "GET", "/count", &header).await;
        assert_eq!((answer.head.status, &*answer.body), (200, body), "{accept}");
        assert_eq!(answer.head.header("content-type"), Some(kind));
        assert_eq!(answer.head.header("vary"), Some("accept"));
    }
    // An error is JSON for everybody.
    let answer = Client::ask(server.address, "GET", "/count?room=", "Accept: text/plain\r\n").await;
    assert_refused(&answer, 400, "empty");
}

#[tokio::test]
async fn a_badge_shows_the_count_and_joins_nothing() {
    let server = Server::start().await;
    let client = Client::connect(server.address).await;
    let mut stream = Stream::of(client, "/events?room=a").await;
    stream.reach(1).await;
    let path = "/badge.svg?room=a&label=%3Cb%3E%22reading%22&color=blue";
    let answer = Client::ask(server.address, "GET", path, "").await;
    let says = |name| answer.head.header(name);
    assert_eq!(answer.head.status, 200);
    assert_eq!(says("content-type"), Some("image/svg+xml; charset=utf-8"));
    assert_eq!(says("cache-control"), Some("no-cache, no-store, must-revalidate, max-age=0"));
    assert_eq!(says("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(says("x-content-type-options"), Some("nosniff"));
    // Whoever may not ask for the count may not read it off the picture.
    assert_eq!(says("access-control-allow-origin"), None);
    let label = "&lt;b&gt;&quot;reading&quot;";
    let start = format!(r#"role="img" aria-label="{label}: 1"><title>{label}: 1</title>"#);
    assert!(answer.body.starts_with("<svg ") && answer.body.contains(&start), "{}", answer.body);
    assert!(answer.body.contains("#007ec6") && !answer.body.contains("<b>"));

    let lobby = Client::ask(server.address, "GET", "/badge.svg", "").await;
    assert!(lobby.body.contains("<title>here now: 0</title>"), "{}", lobby.body);
    for (query, why) in [
        ("room=", "room"),
        ("color=puce", "color"),
        ("label=%0A", "label"),
        (&format!("label={}", "a".repeat(65)), "label"),
    ] {
        let path = format!("/badge.svg?{query}");
        assert_refused(&Client::ask(server.address, "GET", &path, "").await, 400, why);
    }
    assert_eq!(server.rooms.len(), 1);
    let _second = Stream::of(Client::connect(server.address).await, "/events?room=a").await;
    assert_eq!(stream.number().await, 2, "no picture was told to anybody");
}

#[tokio::test]
async fn a_seat_can_be_named_in_the_query() {
    let server = Server::start().await;
    let mut observer = Stream::open(server.address).await;
    assert_eq!(observer.number().await, 1);
    let mut old = Stream::open(server.address).await;
    let first = old.event().await.expect("its first event");
    let token = first.lines().find_map(|line| line.strip_prefix("id: ")).expect("a token");
    assert_eq!(observer.number().await, 2);

    let back = async |query: &str, header: &str| {
        let mut client = Client::connect(server.address).await;
        let head = client.request("GET", &format!("/events?{query}"), header).await;
        assert_eq!(head.status, 200, "{query}");
        let mut stream = Stream::opened(client, head);
        let first = stream.event().await.expect("its first event");
        (stream, first.contains(&format!("id: {token}\n")))
    };
    let (mut new, has_its_seat) = back(&format!("lastEventID={token}"), "").await;
    assert!(has_its_seat);
    while old.event().await.is_some() {}
    // The header, if it is one, is the newer word.
    let header = format!("Last-Event-ID: {}\r\n", "0".repeat(32));
    let (other, has_its_seat) = back(&format!("lastEventID={token}"), &header).await;
    assert!(!has_its_seat);
    assert_eq!(observer.number().await, 3, "the return was no news");
    assert_eq!(new.number().await, 3);
    drop(other);
    assert_eq!(observer.number().await, 2);
    for junk in
        ["lastEventID=", "lastEventID=junk", "lastEventID=%FF%00", "lastEventID=1&lastEventID=2"]
    {
        let (stream, has_its_seat) = back(junk, "").await;
        assert!(!has_its_seat);
        assert_eq!(observer.number().await, 3, "{junk}");
        drop(stream);
        assert_eq!(observer.number().await, 2);
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_refused() {
    let server = Server::start().await;
    for path in ["/nope", "/public/nope", "/events/", "/../Cargo.toml", "/public/../../Cargo.toml"]
    {
        let answer = Client::ask(server.address, "GET", path, "").await;
        assert_refused(&answer, 404, "nothing");
    }
    for path in ["/", "/count", "/client.js", "/healthz"] {
        let answer = Client::ask(server.address, "POST", path, "content-length: 0\r\n").await;
        assert_refused(&answer, 405, "method");
        assert_eq!(answer.head.header("allow"), Some("GET,HEAD"));
    }
}

#[tokio::test]
async fn the_server_is_alive_and_ready() {
    let server = Server::start().await;
    assert_eq!(Client::ask(server.address, "GET", "/healthz", "").await.head.status, 200);
    assert_eq!(Client::ask(server.address, "GET", "/readyz", "").await.head.status, 200);
}

#[tokio::test]
async fn while_it_drains_the_server_is_alive_but_takes_no_stream() {
    let options = Options::default();
    options.drain.cancel();
    let app = headcount::router(headcount::Rooms::default(), options);
    let server = Server::serve(app, Default::default(), Default::default()).await;
    assert_eq!(Client::ask(server.address, "GET", "/healthz", "").await.head.status, 200);
    for path in ["/readyz", "/events"] {
        let answer = Client::ask(server.address, "GET", path, "").await;
        assert_refused(&answer, 503, "stopping");
        assert_eq!(answer.head.header("retry-after"), Some("5"));
    }
}

const FILES: [(&str, &str); 6] = [
    ("index.html", "text/html; charset=utf-8"),
    ("client.js", "text/javascript; charset=utf-8"),
    ("client.mjs", "text/javascript; charset=utf-8"),
    ("page.js", "text/javascript; charset=utf-8"),
    ("words.js", "text/javascript; charset=utf-8"),
    ("style.css", "text/css; charset=utf-8"),
];

#[tokio::test]
async fn the_page_is_inside_the_binary_with_types_and_etags() {
    let server = Server::start().await;
    for (file, content_type) in FILES {
        let path = format!("/{file}");
        let answer = Client::ask(server.address, "GET", &path, "").await;
        assert_eq!(answer.head.status, 200, "{file}");
        assert_eq!(answer.head.header("content-type"), Some(content_type));
        assert_eq!(answer.head.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.head.header("x-content-type-options"), Some("nosniff"));
        let disk = as_served(file);
        assert_eq!(answer.body, disk);

        let etag = answer.head.header("etag").expect("an ETag");
        for known in [etag.to_owned(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
            let header = format!("If-None-Match: {known}\r\n");
            let answer = Client::ask(server.address, "GET", &path, &header).await;
            assert_eq!((answer.head.status, &*answer.body), (304, ""), "{known}");
            assert_eq!(answer.head.header("etag"), Some(etag));
        }
        let header = "If-None-Match: \"x\"\r\n";
        let answer = Client::ask(server.address, "GET", &path, header).await;
        assert_eq!((answer.head.status, answer.body), (200, disk.clone()));

        let head = Client::ask(server.address, "HEAD", &path, "").await;
        assert_eq!(head.head.header("content-length"), Some(&*disk.len().to_string()));
        assert_eq!(head.body, "");
    }
}

#[tokio::test]
async fn the_page_is_also_under_public_and_where_a_directory_is_asked_for() {
    let server = Server::start().await;
    let page = fs::read_to_string("public/index.html").expect("it is there");
    for path in ["/", "/?room=a", "/public/", "/public/index.html"] {
        assert_eq!(Client::ask(server.address, "GET", path, "").await.body, page, "{path}");
    }
    let style = fs::read_to_string("public/style.css").expect("it is there");
    let answer = Client::ask(server.address, "GET", "/public/style.css", "").await;
    assert_eq!(answer.body, style);
    let answer = Client::ask(server.address, "GET", "/public?room=a", "").await;
    assert_eq!(answer.head.status, 307);
    assert_eq!(answer.head.header("location"), Some("./public/index.html?room=a"));
}

#[tokio::test]
async fn a_script_under_public_says_that_the_server_is_one_level_up_and_is_the_same_otherwise() {
    let on_disk = Options { public_dir: Some("public".into()), ..Default::default() };
    let from_disk = |file: &str| fs::read_to_string(format!("public/{file}")).expect("a file");
    for (options, script) in
        [(Options::default(), as_served as fn(&str) -> String), (on_disk, from_disk)]
    {
        let server = Server::with(options).await;
        for file in ["client.js", "page.js"] {
            let script = script(file);
            assert_eq!(script.matches("const SERVER = './';").count(), 1, "{file}");
            let from_public = script.replace("const SERVER = './';", "const SERVER = '..';");
            for (path, expected) in [(file, &script), (&*format!("public/{file}"), &from_public)] {
                let path = format!("/{path}");
                let answer = Client::ask(server.address, "GET", &path, "").await;
                assert_eq!(answer.head.status, 200, "{path}");
                assert!(answer.body == *expected, "{path}");
                let head = Client::ask(server.address, "HEAD", &path, "").await.head;
                assert_eq!(head.header("content-length"), Some(&*expected.len().to_string()));
            }
        }
    }
}

#[tokio::test]
async fn a_public_dir_is_served_as_it_is_now() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("index.html"), "one").expect("it is written");
    let options = Options { public_dir: Some(dir.path().into()), ..Default::default() };
    let server = Server::with(options).await;
    for path in ["/", "/public/", "/index.html"] {
        let answer = Client::ask(server.address, "GET", path, "").await;
        assert_eq!((answer.head.status, &*answer.body), (200, "one"), "{path}");
        assert_eq!(answer.head.header("cache-control"), Some("no-cache"));
        assert!(answer.head.header("content-type").is_some_and(|t| t.starts_with("text/html")));
    }
    fs::write(dir.path().join("index.html"), "two").expect("it is written");
    assert_eq!(Client::ask(server.address, "GET", "/", "").await.body, "two");

    let answer = Client::ask(server.address, "GET", "/client.js", "").await;
    assert_refused(&answer, 404, "nothing");
    let answer = Client::ask(server.address, "POST", "/", "content-length: 0\r\n").await;
    assert_refused(&answer, 405, "method");
    let answer = Client::ask(server.address, "GET", "/%2e%2e/Cargo.toml", "").await;
    assert_refused(&answer, 404, "nothing");
    // The counter is where it was.
    assert_eq!(Client::count(server.address, "lobby").await, 0);
}

#[tokio::test]
async fn only_the_files_of_a_public_dir_are_served() {
    let outside = tempfile::tempdir().expect("a directory");
    let dir = outside.path().join("public");
    for made in ["public/dir", "public/.git", "elsewhere"] {
        fs::create_dir_all(outside.path().join(made)).expect("it is made");
    }
    for file in ["public/index.html", "public/dir/index.html", "public/dir/.env", "public/.env"] {
        fs::write(outside.path().join(file), file).expect("it is written");
    }
    for file in ["public/.git/config", "elsewhere/index.html", "secret"] {
        fs::write(outside.path().join(file), file).expect("it is written");
    }
    for (link, to) in [
        ("leads-out", "../secret"),
        ("dir/leads-out", "../../elsewhere"),
        ("hidden", ".env"),
        ("loop", "loop"),
        ("inside", "dir/index.html"),
        ("inner", "dir"),
    ] {
        symlink(to, dir.join(link)).expect("it is made");
    }
    symlink(&dir, outside.path().join("release")).expect("it is made");
    mkfifo(&dir.join("pipe"), Mode::S_IRWXU).expect("it is made");
    mkfifo(&dir.join("dir/pipe"), Mode::S_IRWXU).expect("it is made");
    let _socket = UnixListener::bind(dir.join("socket")).expect("it is made");

    // The directory may be a link itself, as that of a release is.
    let options =
        Options { public_dir: Some(outside.path().join("release")), ..Default::default() };
    let server = Server::with(options).await;
    for (path, body) in [
        ("/", "public/index.html"),
        ("/dir/", "public/dir/index.html"),
        ("/public/dir/index.html", "public/dir/index.html"),
        ("/%64ir/index.html", "public/dir/index.html"),
        ("/inside", "public/dir/index.html"),
        ("/inner/", "public/dir/index.html"),
    ] {
        let answer = Client::ask(server.address, "GET", path, "").await;
        assert_eq!((answer.head.status, &*answer.body), (200, body), "{path}");
    }
    let long = "a".repeat(300);
    let deep = "a/".repeat(3000);
    for path in [
        "/.env",
        "/%2Eenv",
        "/dir/.env",
        "/.git/config",
        "/.git/",
        "/.git",
        "/public/.git/config",
        "/hidden",
        "/leads-out",
        "/dir/leads-out/",
        "/dir/leads-out/index.html",
        "/dir/leads-out",
        "/dir/../../secret",
        "/loop",
        "/loop/",
        "/index.html/",
        "/index.html/x",
        "/pipe",
        "/pipe/",
        "/dir/pipe",
        "/socket",
        "/a%00b",
        "//dir",
        "///dir",
        "//dir/",
        "/public//dir",
        "/%2F%2Fdir",
        &format!("/{long}"),
        &format!("/{long}/"),
        &format!("/dir/{long}/x"),
        &format!("/{deep}"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = Client::ask(server.address, method, path, "").await;
            assert_eq!(answer.head.header("location"), None, "{path}");
            if method == "GET" {
                assert_refused(&answer, 404, "nothing");
            }
            assert_eq!(answer.head.status, 404, "{method} {path}");
        }
    }
    // Nothing waits for what nobody writes.
    server.stop().await;
}

#[tokio::test]
async fn a_directory_without_its_slash_is_found_by_a_path_relative_to_it() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("dir")).expect("it is made");
    fs::write(dir.path().join("index.html"), "one").expect("it is written");
    let options = Options { public_dir: Some(dir.path().into()), ..Default::default() };
    let server = Server::with(options).await;
    for path in ["/dir?a=b", "/public/dir?a=b"] {
        let answer = Client::ask(server.address, "GET", path, "").await;
        assert_eq!(answer.head.status, 307);
        assert_eq!(answer.head.header("location"), Some("./dir/?a=b"), "{path}");
    }
}

#[tokio::test]
async fn every_error_of_a_public_dir_says_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("index.html"), "one").expect("it is written");
    let options = Options { public_dir: Some(dir.path().into()), ..Default::default() };
    let server = Server::with(options).await;
    for (header, status, why) in [
        ("If-Match: \"x\"\r\n", 412, "precondition"),
        ("Range: bytes=9-\r\n", 416, "range"),
        ("Range: bytes=0-0,2-2\r\n", 416, "range"),
    ] {
        let answer = Client::ask(server.address, "GET", "/index.html", header).await;
        assert_refused(&answer, status, why);
    }
    let answer = Client::ask(server.address, "GET", "/index.html", "Range: bytes=1-\r\n").await;
    assert_eq!((answer.head.status, &*answer.body), (206, "ne"));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_the_events_without_chunks() {
    let server = Server::start().await;
    let mut client = Client::connect(server.address).await;
    client.send(b"GET /events HTTP/1.0\r\nHost: test\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    server.stop().await;
    let stream = client.rest().await;
    assert!(stream.starts_with("retry: "), "{stream}");
    let (_, farewell) = stream.split_once("\nevent: user count\ndata: 1\n\n").expect("the event");
    assert!(farewell.starts_with("retry: ") && farewell.ends_with("\n\n"), "{stream}");
}

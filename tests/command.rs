//! The binary: its options, its log.

use std::process::Output;

use nix::sys::signal::Signal;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{Client, Headcount, Stream, soon};

async fn run(command: &mut Command) -> (i32, String, String) {
    let child = command.spawn().expect("the binary runs");
    let Output { status, stdout, stderr } =
        soon("the end of the command", child.wait_with_output()).await.expect("its output");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it was not killed"), text(stdout), text(stderr))
}

#[tokio::test]
async fn help_tells_every_option_its_default_and_its_variable() {
    let (code, help, _) = run(Headcount::command().arg("--help")).await;
    assert_eq!(code, 0);
    for (option, default) in [
        ("listen", "127.0.0.1:3000"),
        ("keep-alive", "15s"),
        ("user-timeout", "20s"),
        ("shutdown-grace", "10s"),
        ("log-format", "text"),
    ] {
        assert!(help.contains(&format!("--{option}")), "{help}");
        assert!(help.contains(&format!("[default: {default}]")), "{help}");
        let variable = format!("HEADCOUNT_{}", option.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("[env: {variable}=]")), "{help}");
    }
    let (code, version, _) = run(Headcount::command().arg("--version")).await;
    assert_eq!((code, version), (0, format!("headcount {}\n", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn a_wrong_value_is_an_error_and_nothing_starts() {
    for (option, variable) in [
        ("--listen=here", ("HEADCOUNT_LISTEN", "here")),
        ("--keep-alive=15", ("HEADCOUNT_KEEP_ALIVE", "15")),
        ("--user-timeout=0s", ("HEADCOUNT_USER_TIMEOUT", "0s")),
        ("--shutdown-grace=x", ("HEADCOUNT_SHUTDOWN_GRACE", "x")),
        ("--allow-origin=example.org", ("HEADCOUNT_ALLOW_ORIGIN", "example.org")),
        ("--public-dir=/nowhere", ("HEADCOUNT_PUBLIC_DIR", "/nowhere")),
        ("--log-format=xml", ("HEADCOUNT_LOG_FORMAT", "xml")),
    ] {
        let (flag, value) = option.split_once('=').expect("a value");
        let given = run(Headcount::command().arg(option)).await;
        let in_environment = run(Headcount::command().env(variable.0, variable.1)).await;
        for (code, out, err) in [given, in_environment] {
            assert_eq!((code, &*out), (2, ""), "{err}");
            assert!(
                err.starts_with(&format!("error: invalid value '{value}' for '{flag}")),
                "{err}"
            );
            assert!(!err.contains("listening"), "{err}");
        }
    }
    let (code, _, err) = run(Headcount::command().arg("--port=3000")).await;
    assert_eq!(code, 2);
    assert!(err.contains("unexpected argument '--port'"), "{err}");
    let (code, _, err) = run(Headcount::command().env("RUST_LOG", "a=b=c")).await;
    assert_eq!(code, 1);
    assert!(err.starts_with("headcount: RUST_LOG is wrong: "), "{err}");
}

#[tokio::test]
async fn an_empty_variable_is_not_given_and_one_that_matches_no_option_is_warned_of() {
    let mut command = Headcount::command();
    let empty =
        ["MAX_STREAMS", "ALLOW_ORIGIN", "TLS_CERT", "SEATS", "REDIS", "REDIS_PREFIX", "NODE"];
    for option in empty {
        command.env(format!("HEADCOUNT_{option}"), "");
    }
    command.env("HEADCOUNT_LISTEN", "").env("HEADCOUNT_MAX_STREAM", "1");
    let mut server = Headcount::started(command).await;
    let warning = "the environment variable HEADCOUNT_MAX_STREAM matches no option; see --help";
    assert!(server.before.iter().any(|line| line["message"] == warning), "{:?}", server.before);
    assert_eq!(server.before.iter().filter(|line| line["level"] == "WARN").count(), 1);
    server.signal(Signal::SIGTERM);
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn embed_prints_two_lines_to_paste_and_serves_nothing() {
    let mut command = Headcount::command();
    command.args([
        "embed",
        "--origin",
        "https://Count.example.org:443",
        "--room",
        "/blog/\"<hello>",
    ]);
    let (code, out, err) = run(&mut command).await;
    let headcount::Script { path, integrity } = headcount::Script::embedded();
    let lines = format!(
        "<script defer src=\"https://count.example.org{path}\" integrity=\"{integrity}\" \
         crossorigin=\"anonymous\"></script>\n\
         <p><user-count room=\"/blog/&quot;&lt;hello&gt;\">–</user-count> reading this now</p>\n"
    );
    assert_eq!((code, out), (0, lines));
    assert!(err.contains("after an upgrade") && err.lines().count() == 1, "{err}");

    let good = "https://count.example.org";
    for (args, why) in [
        (&["embed"][..], "--origin <ORIGIN>"),
        (&["embed", "--origin", "count.example.org"], "expected a scheme, a host"),
        (&["embed", "--origin", "https://count.example.org/live?a"], "expected a scheme, a host"),
        (&["embed", "--origin", "https://*.example.org"], "expected a scheme, a host"),
        (&["embed", "--origin", good, "--room", ""], "must not be empty"),
        (&["embed", "--origin", good, "--room", "a\nb"], "control characters"),
        (&["embed", "--origin", good, "/blog"], "unexpected argument"),
        (&["embed", "--origin", good, "--page", "/blog"], "expected the address of a page"),
        (
            &["embed", "--origin", good, "--page", "https://a.example", "--room", "a"],
            "cannot be used",
        ),
    ] {
        let (code, out, err) = run(Headcount::command().args(args)).await;
        assert_eq!((code, &*out), (2, ""), "{err}");
        assert!(err.starts_with("error: ") && err.contains(why), "{err}");
    }
}

#[tokio::test]
async fn embed_says_how_to_name_the_room_of_a_page_elsewhere() {
    let mut command = Headcount::command();
    command.args(["embed", "--origin", "https://example.org/live/"]);
    command.args(["--page", "https://blog.example/привіт/index.html?utm=1"]);
    let (code, out, err) = run(&mut command).await;
    let headcount::Script { path, .. } = headcount::Script::embedded();
    assert_eq!(code, 0);
    assert!(
        out.starts_with(&format!("<script defer src=\"https://example.org/live{path}\"")),
        "{out}"
    );
    assert!(out.contains("<user-count room=\"page\">"), "{out}");
    let room = "room=blog.example/%D0%BF%D1%80%D0%B8%D0%B2%D1%96%D1%82/";
    for said in [
        "the room of that page is \"blog.example/привіт/\"\n",
        &format!("![reading this now](https://example.org/live/badge.svg?{room})\n"),
        &format!("curl -N 'https://example.org/live/events?{room}'\n"),
    ] {
        assert!(err.contains(said), "{err}");
    }
}

#[tokio::test]
async fn embed_ends_quietly_when_nobody_reads_what_it_prints() {
    let embed = ["embed", "--origin", "https://count.example.org"];
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let out = run(Headcount::command().args(embed).stdout(writer)).await;
    assert_eq!(out, (0, String::new(), String::new()));

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Headcount::command();
    let (code, lines, _) = run(command.args(embed).stderr(writer)).await;
    assert_eq!((code, lines.lines().count()), (0, 2));

    let full = std::fs::File::options().write(true).open("/dev/full").expect("it opens");
    let (code, _, err) = run(Headcount::command().args(embed).stdout(full)).await;
    assert_eq!(code, 1);
    assert!(err.starts_with("headcount: cannot print the lines: "), "{err}");
}

#[tokio::test]
async fn a_taken_port_is_an_error_in_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let (code, out, err) = run(Headcount::command().args(["--listen", &address])).await;
    assert_eq!((code, &*out), (1, ""));
    let sentence = format!(
        "headcount: cannot listen on {address}: another program listens there; \
         choose another address with --listen\n"
    );
    assert_eq!(err, sentence);
}

/// As root there is no limit on threads to run into, but each needs memory for its stack.
#[tokio::test]
async fn threads_that_can_not_start_are_an_error_in_one_sentence() {
    let mut command = Headcount::command_with_memory(1_000_000);
    let (code, out, err) =
        run(command.args(["--listen", "127.0.0.1:0", "--threads", "1024"])).await;
    assert_eq!((code, &*out), (1, ""), "{err}");
    let why = err.strip_prefix("headcount: cannot start 1024 threads: ");
    assert!(why.is_some_and(|why| why.ends_with("; lower --threads\n")), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[tokio::test]
async fn a_second_headcount_does_not_share_the_first_ones_port() {
    let first = Headcount::start(&[]).await;
    let address = first.address.to_string();
    let (code, _, err) = run(Headcount::command().args(["--listen", &address])).await;
    assert_eq!(code, 1);
    assert!(err.contains("another program listens there"), "{err}");
}

#[tokio::test]
async fn the_option_wins_over_the_variable() {
    let mut command = Headcount::command();
    command.env("HEADCOUNT_LISTEN", "127.0.0.1:1").env("HEADCOUNT_LOG_FORMAT", "xml");
    command.args(["--listen=nowhere", "--log-format=text"]);
    let (_, _, err) = run(&mut command).await;
    assert!(err.contains("'nowhere'"), "{err}");
}

#[tokio::test]
async fn connects_and_disconnects_are_logged() {
    let mut headcount = Headcount::start(&[]).await;
    let client = Client::connect(headcount.address).await;
    let stream = Stream::of(client, "/events?room=%22a%20b%22").await;
    let line = headcount.logged("user connected").await;
    assert_eq!((&line["room"], &line["count"]), (&"\"a b\"".into(), &1.into()));
    assert_eq!(line["level"], "INFO");

    drop(stream);
    let line = headcount.logged("user disconnected").await;
    assert_eq!((&line["room"], &line["count"]), (&"\"a b\"".into(), &0.into()));
    assert_eq!(line["reason"], "client closed");
    assert!(line["lasted_ms"].is_u64());

    let stream = Stream::open(headcount.address).await;
    headcount.logged("user connected").await;
    stream.reset();
    assert_eq!(headcount.logged("user disconnected").await["reason"], "reset");
}

#[tokio::test]
async fn the_log_is_text_unless_json_is_asked_for() {
    let mut command = Headcount::command();
    let mut child = command.args(["--listen", "127.0.0.1:0"]).spawn().expect("it starts");
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stderr));
    let line = soon("a line", lines.next_line()).await.expect("text").expect("a line");
    assert!(line.contains(" INFO listening on http://127.0.0.1:"), "{line}");
    assert!(!line.contains('\u{1b}'), "no colours in a pipe: {line:?}");
}

#[tokio::test]
async fn the_log_level_changes_nothing_but_the_log() {
    // No line says where it listens, so the port is chosen here.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = port.local_addr().expect("it is bound");
    drop(port);
    let mut command = Headcount::command();
    command.env("RUST_LOG", "off").args(["--listen", &address.to_string()]);
    let child = command.spawn().expect("it starts");
    let connected = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon("it listens", connected).await;

    let mut first = Stream::open(address).await;
    let second = Stream::open(address).await;
    first.reach(2).await;
    drop(second);
    first.reach(1).await;
    let id = child.id().and_then(|id| id.try_into().ok()).expect("it runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), Signal::SIGTERM).expect("it runs");
    let output = soon("its end", child.wait_with_output()).await.expect("its output");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

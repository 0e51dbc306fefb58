//! Who is answered: whoever has the token, or without one who is on this machine.
//!
//! A page in the operator's browser is on this machine too. It can't read an answer of
//! another origin, unless its own name leads here: a DNS server that the page's author runs
//! may say so (DNS rebinding). Such a request still has that name for its host, so without
//! a token only hosts that no DNS server speaks for are answered.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderValue, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::token::AdminToken;
use crate::http::error;

pub(super) async fn guard(
    State(token): State<Option<AdminToken>>,
    request: Request,
    next: Next,
) -> Response {
    match &token {
        Some(token) if !shows(request.headers(), token) => {
            let why = "this takes the token of the operator (--admin-token)";
            let mut answer = error(StatusCode::UNAUTHORIZED, why);
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        None if !names_this_machine(&request) => error(
            StatusCode::FORBIDDEN,
            "without --admin-token the host of a request is an IP address or localhost",
        ),
        _ => next.run(request).await,
    }
}

/// Whether a request shows the token, once (RFC 6750, section 2.1).
fn shows(headers: &HeaderMap, token: &AdminToken) -> bool {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return false };
    match one.as_bytes().split_at_checked("bearer ".len()) {
        Some((scheme, given)) => scheme.eq_ignore_ascii_case(b"bearer ") && token.is(given),
        None => false,
    }
}

/// Whether every host that a request names is one that no DNS server speaks for, and it
/// names one.
fn names_this_machine(request: &Request) -> bool {
    let headers = request.headers().get_all(HOST).iter().map(HeaderValue::as_bytes);
    let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = headers.chain(target).peekable();
    hosts.peek().is_some() && hosts.all(is_address_or_localhost)
}

fn is_address_or_localhost(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else { return false };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost") || address.unwrap_or(host).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
        let request = Request::get(uri);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn a_host_that_a_dns_server_speaks_for_is_not_this_machine() {
        for host in ["127.0.0.1:3001", "127.0.0.1", "[::1]:3001", "localhost:3001", "LocalHost"] {
            assert!(names_this_machine(&request("/", &[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:3001",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "1.evil.example",
            "",
            ":3001",
            "[::1",
            "a b",
            "2130706433",
            "0x7f.1",
        ] {
            assert!(!names_this_machine(&request("/", &[("host", host)])), "{host}");
        }
        assert!(!names_this_machine(&request("/", &[])));
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert!(!names_this_machine(&request("/", &two)));
        let target = request("http://evil.example/", &[("host", "localhost")]);
        assert!(!names_this_machine(&target));
    }

    #[test]
    fn a_token_is_shown_once_and_whole() {
        let token: AdminToken = "0123456789abcdef".parse().expect("a token");
        let says = |headers: &[&str]| {
            let headers: Vec<_> = headers.iter().map(|value| ("authorization", *value)).collect();
            shows(request("/", &headers).headers(), &token)
        };
        assert!(says(&["Bearer 0123456789abcdef"]) && says(&["bearer 0123456789abcdef"]));
        for wrong in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer 0123456789abcdefg"],
            &["Bearer  0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!says(wrong), "{wrong:?}");
        }
    }
}

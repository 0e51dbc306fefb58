//! Who is answered: requests with the token or, if there is no token, those of this machine.
//!
//! A page in the operator's browser is on this machine, too. It can't read the answers of
//! another origin, but a DNS server of the page's author can make the page's own name lead here
//! (DNS rebinding). Such a request still has that name as its host. So without a token,
//! requests are answered only if their host needs no DNS server: an IP address or localhost.
//!
//! Requests from pages of other origins are also refused where they would do harm without
//! reading the answer: by taking all feeds, or signing the operator out.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;

use super::brake::Brake;
use super::login;
use super::session::Sessions;
use super::token::AdminToken;
use crate::http::error;

/// Who may come in.
pub(super) struct Door {
    lock: Option<Lock>,
}

/// The token, and what goes with it.
pub(super) struct Lock {
    pub(super) token: AdminToken,
    pub(super) sessions: Sessions,
    pub(super) brake: Brake,
}

/// What a request showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing: no token is set.
    Nothing,
    /// The token itself.
    Token,
    /// The cookie of somebody who has signed in.
    Session,
}

impl Door {
    pub(super) fn new(token: Option<AdminToken>) -> Arc<Self> {
        let lock = token.map(|token| Lock {
            sessions: Sessions::of(&token),
            token,
            brake: Brake::default(),
        });
        Arc::new(Self { lock })
    }
}

pub(super) async fn guard(
    State(door): State<Arc<Door>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    if (!is_safe || path.starts_with("/api/")) && is_of_another_page(request.headers()) {
        return error(
            StatusCode::FORBIDDEN,
            "this is only for this listener's own pages; a proxy in front of it must pass Host on",
        );
    }
    let shown = match &door.lock {
        None if !names_this_machine(&request) => {
            return error(
                StatusCode::FORBIDDEN,
                "without --admin-token, a request must be for an IP address or localhost",
            );
        }
        None => Shown::Nothing,
        Some(lock) if lock.sessions.has(request.headers()) => Shown::Session,
        Some(lock) => match bearer(request.headers()) {
            Some(given) if lock.token.is(given) => Shown::Token,
            given => {
                let is_wrong = given.is_some();
                return locked_out(lock, is_wrong, request, next).await;
            }
        },
    };
    match (&door.lock, path) {
        (Some(lock), "/login" | "/logout") if !is_safe => login::answer(lock, request).await,
        _ => {
            request.extensions_mut().insert(shown);
            next.run(request).await
        }
    }
}

/// Answers a request that shows no token, or a wrong one.
async fn locked_out(lock: &Lock, is_wrong: bool, request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        // The form needs its styles.
        "/style.css" | "/dashboard.css" if is_safe => return next.run(request).await,
        "/" if is_safe && !is_wrong => return login::form(&request),
        "/login" if !is_safe => return login::answer(lock, request).await,
        // Answers without the cookie's name, with which tokens could be tried in private.
        "/logout" if !is_safe => return login::leave(),
        _ => {}
    }
    if is_wrong {
        lock.brake.wrong();
        lock.brake.hold().await;
    }
    let why = "this requires the operator's token (--admin-token)";
    let mut answer = error(StatusCode::UNAUTHORIZED, why);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// Whether a page of another origin sent this, as far as its browser says so. Schemes are not
/// compared: a proxy may speak TLS where this listener does not.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = Uri::try_from(origin.as_bytes()).ok();
    let origin = origin.as_ref().and_then(Uri::authority);
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    origin.is_none_or(|origin| host.is_none_or(|host| *origin != host))
}

/// The token that a request shows, if it shows exactly one (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return None };
    let (scheme, given) = one.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(given)
}

/// Whether a request names a host, and each host that it names needs no DNS server.
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
    fn a_page_is_of_this_origin_if_its_host_is_the_one_that_is_asked() {
        let is_other =
            |headers: &[(&str, &str)]| is_of_another_page(request("/", headers).headers());
        let host = ("host", "count.example:3001");
        for own in [
            &[host][..],
            &[host, ("origin", "http://count.example:3001")],
            &[host, ("origin", "https://count.example:3001"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(!is_other(own), "{own:?}");
        }
        for other in [
            &[host, ("origin", "null")][..],
            &[host, ("origin", "http://count.example")],
            &[host, ("origin", "http://evil.example:3001")],
            &[host, ("origin", "")],
            &[("origin", "http://count.example:3001")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(is_other(other), "{other:?}");
        }
    }

    #[test]
    fn a_token_is_shown_once_and_whole() {
        let token: AdminToken = "0123456789abcdef".parse().expect("a token");
        let says = |headers: &[&str]| {
            let headers: Vec<_> = headers.iter().map(|value| ("authorization", *value)).collect();
            let request = request("/", &headers);
            bearer(request.headers()).is_some_and(|given| token.is(given))
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

//! Whose pages may ask. This is checked before anything is counted, and browsers are told in
//! the CORS headers.
//!
//! An `EventSource` is never preflighted: the request of any page in the world
//! arrives. The browser keeps the answer from that page, but by then somebody
//! would have been counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Shared;
use super::refusal::{Refusal, error};
use super::refusals::About;
use crate::origin::{AllowedOrigin, Origin};

/// How long a browser may keep the answer to a preflight. (Chromium keeps it for at most
/// two hours.)
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The origins that are allowed in addition to the server's own.
#[derive(Debug)]
pub(super) struct Origins {
    allowed: Vec<AllowedOrigin>,
    cors: CorsLayer,
}

/// Where the page that made a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// From here, or there is no page: clients such as `curl` send no origin.
    Ours,
    /// From an origin that is allowed.
    Allowed,
    /// From another origin.
    Foreign,
}

impl Origins {
    pub(super) fn new(allowed: Vec<AllowedOrigin>) -> Self {
        let any = allowed.contains(&AllowedOrigin::Any);
        let cors = CorsLayer::new()
            // This layer is only asked about origins that are allowed.
            .allow_origin(if any { AllowOrigin::any() } else { AllowOrigin::mirror_request() })
            .allow_methods([Method::GET])
            // Clients built on `fetch` send the same headers as EventSource.
            .allow_headers([
                header::ACCEPT,
                header::CACHE_CONTROL,
                header::HeaderName::from_static("last-event-id"),
            ])
            .expose_headers([header::RETRY_AFTER])
            .max_age(PREFLIGHT_AGE)
            .vary([]);
        Self { allowed, cors }
    }

    fn page(&self, request: &Request) -> Page {
        let headers = request.headers();
        let says = |name: &str, what: &[u8]| {
            headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(what))
        };
        // Scripts can't set this header (<https://www.w3.org/TR/fetch-metadata/>).
        let site_is = |what| says("sec-fetch-site", what);
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            // Such a request has an origin, unless something on the way removed it.
            (None, _) if says("sec-fetch-mode", b"cors") => {
                let elsewhere = site_is(b"cross-site") || site_is(b"same-site");
                if elsewhere && !self.allowed.contains(&AllowedOrigin::Any) {
                    Page::Foreign
                } else {
                    Page::Ours
                }
            }
            (None, _) => Page::Ours,
            (Some(_), Some(_)) => Page::Foreign,
            (Some(origin), None) => match origin.to_str() {
                Ok(origin) if self.allowed.iter().any(|a| a.allows(origin)) => Page::Allowed,
                _ if site_is(b"same-origin") => Page::Ours,
                // Over plain HTTP browsers don't say which site a request comes from.
                Ok(origin)
                    if !headers.contains_key("sec-fetch-site") && is_ours(origin, request) =>
                {
                    Page::Ours
                }
                _ => Page::Foreign,
            },
        }
    }
}

/// Whether `origin` is where the request was sent to.
fn is_ours(origin: &str, request: &Request) -> bool {
    let authority = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    let origin = origin.parse::<Origin>();
    authority.is_some_and(|authority| origin.is_ok_and(|origin| origin.is_served_at(authority)))
}

/// Refuses what a foreign page asks, and tells the browser of an allowed page that the page
/// may read the answer, even if it is an error.
pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    // Other OPTIONS requests have nothing to do with CORS, and no route takes them.
    let is_cors = request.method() != Method::OPTIONS
        || request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match shared.origins.page(&request) {
        Page::Allowed if is_cors => match shared.origins.cors.layer(next).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never as Infallible {},
        },
        Page::Ours | Page::Allowed => next.run(request).await,
        Page::Foreign => {
            if request.uri().path() == "/events" {
                let about = About::Origin(request.headers().get(header::ORIGIN));
                shared.refusals.count(Refusal::Origin, about);
            }
            refusal(request.headers().get(header::ORIGIN))
        }
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}

/// Tells a foreign page why it is not counted, and its owner what to do. Any page may read
/// this, because an element that was refused a stream asks for it. It says nothing else.
fn refusal(origin: Option<&HeaderValue>) -> Response {
    let mut response = Refusal::Origin.into_response();
    if let Some(origin) = origin.and_then(|origin| origin.to_str().ok()?.parse::<Origin>().ok()) {
        let message = format!(
            "this server does not count pages of {origin}: start it with --allow-origin {origin}"
        );
        let body = error(response.status(), &message).into_body();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = body;
    }
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn page(allowed: &[&str], headers: &[(&str, &str)]) -> Page {
        let allowed = allowed.iter().map(|text| text.parse().expect("an origin")).collect();
        let mut request = Request::get("/events").header("host", "count.example.org");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Origins::new(allowed).page(&request.body(Body::empty()).expect("a request"))
    }

    const BLOG: &str = "https://blog.example";

    #[test]
    fn who_names_no_origin_is_no_page_of_another_site() {
        assert_eq!(page(&[], &[]), Page::Ours);
        assert_eq!(page(&[BLOG], &[("sec-fetch-site", "none")]), Page::Ours);
        // An image sends this; admission refuses it because it is an image.
        let image = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
        assert_eq!(page(&[], &image), Page::Ours);
        for site in ["cross-site", "same-site"] {
            let stripped = [("sec-fetch-site", site), ("sec-fetch-mode", "cors")];
            assert_eq!(page(&[BLOG], &stripped), Page::Foreign);
            assert_eq!(page(&["*"], &stripped), Page::Ours);
        }
    }

    #[test]
    fn our_own_page_may_name_its_origin() {
        let origin = |origin| ("origin", origin);
        for origin in ["https://count.example.org", "http://count.example.org"] {
            assert_eq!(page(&[], &[("origin", origin)]), Page::Ours);
        }
        let site = |site| ("sec-fetch-site", site);
        // Behind a proxy that names another host to us, what the browser says is enough.
        assert_eq!(page(&[], &[origin(BLOG), site("same-origin")]), Page::Ours);
        // And if it says otherwise, another scheme is another origin.
        let http = origin("http://count.example.org");
        assert_eq!(page(&[], &[http, site("cross-site")]), Page::Foreign);
        assert_eq!(page(&[], &[origin("https://count.example.org:8443")]), Page::Foreign);
    }

    #[test]
    fn over_http_2_the_host_is_the_authority() {
        let request = Request::get("https://count.example.org/events")
            .header("origin", "https://count.example.org")
            .body(Body::empty());
        assert_eq!(Origins::new(Vec::new()).page(&request.expect("a request")), Page::Ours);
    }

    #[test]
    fn another_page_may_ask_just_if_it_is_allowed() {
        for (allowed, origin, expected) in [
            (&[][..], BLOG, Page::Foreign),
            (&[BLOG], BLOG, Page::Allowed),
            (&["https://a.example", BLOG], BLOG, Page::Allowed),
            (&[BLOG], "https://blog.example.evil", Page::Foreign),
            (&[BLOG], "null", Page::Foreign),
            (&[BLOG], "", Page::Foreign),
            (&[BLOG], "https://blog.example, https://evil", Page::Foreign),
            (&["*"], "null", Page::Allowed),
        ] {
            assert_eq!(page(allowed, &[("origin", origin)]), expected, "{origin}");
        }
        for two in [[BLOG, "https://evil"], ["https://evil", BLOG], [BLOG, BLOG]] {
            let two = two.map(|origin| ("origin", origin));
            assert_eq!(page(&[BLOG], &two), Page::Foreign);
            assert_eq!(page(&["*"], &two), Page::Foreign);
        }
    }
}

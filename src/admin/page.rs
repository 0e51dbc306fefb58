//! The page of the dashboard, and its files. They are inside the binary, and the port of
//! visitors does not have them.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use rust_embed::RustEmbed;
use tower_http::compression::CompressionLayer;

use crate::http::{Asset, style};

#[derive(RustEmbed)]
#[folder = "src/admin/page/"]
struct Files;

const INDEX: &str = "index.html";

/// The form is a template, and answered by [`login`](super::login) alone.
const FORM: &str = "login.html";

/// What the page may do: run its own scripts, listen here, and sign in or out.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    let own = Files::iter().filter(|path| path != FORM);
    let files = own.map(|path| (format!("/{path}"), Files::get(&path)));
    for (path, file) in files.chain([("/style.css".to_owned(), style())]) {
        let Some(file) = file.map(Asset::new) else { continue };
        let path = if path.strip_prefix('/') == Some(INDEX) { "/" } else { &path };
        router = router.route(path, get(async move |headers: HeaderMap| file.answer(&headers)));
    }
    router
        .layer(map_response(async |response| with_policy(response)))
        .layer(CompressionLayer::new())
}

/// Says of a file what others may do with it: nothing.
pub(super) fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer`, the form would name no origin.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The page and its scripts are of one release.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

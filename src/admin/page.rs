//! The files of the dashboard's page. They are inside the binary, and only this listener
//! serves them.

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

/// The form is a template, which [`login`](super::login) fills in.
const FORM: &str = "login.html";

/// The page may run its own scripts, ask this listener, and send forms to it.
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

/// Adds the headers that keep pages of other origins away from a file.
pub(super) fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer`, the form's `Origin` would be `null`.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The page and its scripts belong to one release.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

//! The page and its files: inside the binary, so that one file is the whole
//! deployment, or from a directory while someone works on them.

use std::borrow::Cow;
use std::mem::take;
use std::path::{self, PathBuf};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use rust_embed::EmbeddedFile;
use sha2::{Digest, Sha256};
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

use super::directory::Directory;
use super::embedded::{self, CLIENT};
use super::refusal::{self, Refusal};
use super::script::Script;

/// The page, for requests for a directory.
const INDEX: &str = "index.html";

/// The script as a module, and its types: pages of any site may load these, too.
const MODULE: &str = "client.mjs";
const TYPES: &str = "client.d.ts";

/// How a script says where the server is, relative to the script itself …
const SERVER: &[u8; 20] = b"const SERVER = './';";
/// … and how it says so under `/public/`, in as many bytes. A script can't tell from its own
/// address: the server itself may be at a path that ends in `/public`.
const SERVER_FROM_PUBLIC: &[u8; SERVER.len()] = b"const SERVER = '..';";
/// The scripts that say where the server is.
const SCRIPTS: [&str; 2] = ["/public/client.js", "/public/page.js"];

/// What the page may do, which is little: it runs its own script, shows its own style, and
/// connects to this server. No site can put it into a frame, where that site's visitors would
/// be counted (<https://www.w3.org/TR/CSP3/>).
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Serves the files at the root and, as in the exercise that this project comes from, under
/// `/public/`; answers 404 for everything else.
pub(super) fn router<S: Clone + Send + Sync + 'static>(public_dir: Option<PathBuf>) -> Router<S> {
    let router = match public_dir {
        Some(dir) => from_disk(dir),
        None => from_binary(),
    };
    let header =
        |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    // A copy may be kept, but must be checked by its ETag before it is used: the page and the
    // script of one release belong together.
    router
        .merge(pinned())
        .layer(from_fn(seen_from_public))
        .layer(from_fn(with_policy))
        .layer(from_fn(to_index))
        .layer(header(header::CACHE_CONTROL, "no-cache"))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(CompressionLayer::new())
}

fn from_binary<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new().fallback(async || Refusal::NotFound);
    for path in embedded::paths() {
        let Some(file) = embedded::file(&path).map(Asset::new) else { continue };
        let directories = if path == INDEX { &["/", "/public", "/public/"][..] } else { &[] };
        let files = [format!("/{path}"), format!("/public/{path}")];
        for route in files.iter().map(String::as_str).chain(directories.iter().copied()) {
            let file = file.clone();
            router =
                router.route(route, get(async move |headers: HeaderMap| file.answer(&headers)));
        }
    }
    router
}

fn from_disk<S: Clone + Send + Sync + 'static>(dir: PathBuf) -> Router<S> {
    // `ServeDir` would turn a relative path into another one, which `Directory` would not know.
    let dir = path::absolute(&dir).unwrap_or(dir);
    let files = ServeDir::with_backend(&dir, Directory::new(&dir))
        .call_fallback_on_method_not_allowed(true)
        .fallback(get(async || Refusal::NotFound).fallback(async || Refusal::MethodNotAllowed));
    Router::new()
        .nest_service("/public", files.clone())
        .fallback_service(files)
        .layer(from_fn(with_clear_answers))
}

/// Turns an answer of `ServeDir` into one of ours: an error says what is wrong, and a redirect
/// leads on from the path that was asked for, wherever the router is nested.
async fn with_clear_answers(
    OriginalUri(asked): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    if asked.path().contains("//") {
        // A redirect to such a path could lead to another host.
        return Refusal::NotFound.into_response();
    }
    let mut response = next.run(request).await;
    if response.status().is_redirection() && response.headers().contains_key(header::LOCATION) {
        return to_directory(&asked, "");
    }
    let (status, headers) = (response.status(), response.headers_mut());
    let is_clear = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if (status.is_client_error() || status.is_server_error()) && !is_clear {
        headers.remove(header::CONTENT_LENGTH);
        let reason = status.canonical_reason().unwrap_or("error").to_lowercase();
        let mut answer = refusal::error(status, &reason);
        answer.headers_mut().extend(take(headers));
        return answer;
    }
    response
}

/// The script under the name that says its version. It never changes, so a client that has it
/// need not ask again. It is the binary's own, even if the page is from a directory.
fn pinned<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let Some(file) = embedded::file(CLIENT).map(Asset::new) else { return Router::new() };
    let for_ever = (header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    let answer = async move |headers: HeaderMap| ([for_ever], file.answer(&headers));
    Router::new().route(&Script::embedded().path, get(answer))
}

/// Says what others may do with a file: pages of any site may load the script (some load
/// nothing that doesn't say so), and no page may put ours into a frame.
async fn with_policy(request: Request, next: Next) -> Response {
    let file = request.uri().path().rsplit('/').next().unwrap_or_default();
    let is_types = file == TYPES;
    let is_for_all = is_types || [CLIENT, MODULE].contains(&file) || file.starts_with("client-");
    let mut response = next.run(request).await;
    let is_ok = response.status().is_success();
    let headers = response.headers_mut();
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    if is_for_all {
        say(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        say(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    }
    if is_types && is_ok {
        // By its extension it would be a video.
        say(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    }
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"text/html")) {
        let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
        say(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
        // A room's name is nobody else's concern.
        say(header::REFERRER_POLICY, "no-referrer");
    }
    response
}

/// Makes the scripts under `/public/` look for the server one level up.
async fn seen_from_public(request: Request, next: Next) -> Response {
    let says_where = request.method() == Method::GET && SCRIPTS.contains(&request.uri().path());
    let response = next.run(request).await;
    if !says_where || response.status() != StatusCode::OK {
        return response;
    }
    let (head, body) = response.into_parts();
    let Ok(script) = to_bytes(body, usize::MAX).await else {
        return Refusal::Unreadable.into_response();
    };
    let mut script = Vec::from(script);
    if let Some(at) = script.windows(SERVER.len()).position(|found| found == SERVER) {
        script[at..][..SERVER.len()].copy_from_slice(SERVER_FROM_PUBLIC);
    }
    Response::from_parts(head, script.into())
}

/// Redirects a client that asked for a directory without the slash at its end, such as
/// `/public`, or `/live` in an app that nests the router there: the page's relative links would
/// lead astray. This leads to the file, because in a nested router axum does not know the path
/// of the directory with its slash.
async fn to_index(OriginalUri(asked): OriginalUri, request: Request, next: Next) -> Response {
    let is_directory = matches!(request.uri().path(), "/" | "/public");
    match asked.path().rsplit_once('/') {
        Some((_, last)) if is_directory && !last.is_empty() => to_directory(&asked, INDEX),
        _ => next.run(request).await,
    }
}

/// Redirects a client to a file of the directory that it asked for, by a path relative to that
/// one.
fn to_directory(asked: &Uri, file: &str) -> Response {
    let last = asked.path().rsplit('/').next().unwrap_or_default();
    let query = asked.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::temporary(&format!("./{last}/{file}{query}")).into_response()
}

/// One file of the page, as it is sent.
#[derive(Clone)]
pub(crate) struct Asset {
    bytes: Bytes,
    content_type: HeaderValue,
    etag: ETag,
}

impl Asset {
    pub(crate) fn new(file: EmbeddedFile) -> Self {
        let mut content_type = file.metadata.mimetype().to_owned();
        if content_type == "application/javascript" {
            // The type of a module before RFC 9239.
            "text/javascript".clone_into(&mut content_type);
        }
        if content_type.starts_with("text/") {
            content_type.push_str("; charset=utf-8");
        }
        let hash = Sha256::digest(&file.data);
        let hash = u128::from_be_bytes(*hash.first_chunk().expect("32 bytes"));
        Self {
            bytes: match file.data {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            },
            content_type: content_type.try_into().expect("a media type is a header's value"),
            etag: format!("\"{hash:032x}\"").parse().expect("hexadecimal digits are an ETag"),
        }
    }

    /// The file, or 304 to a client that has it already.
    pub(crate) fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = match request.typed_get::<IfNoneMatch>() {
            Some(known) if !known.precondition_passes(&self.etag) => {
                StatusCode::NOT_MODIFIED.into_response()
            }
            _ => ([(header::CONTENT_TYPE, &self.content_type)], self.bytes.clone()).into_response(),
        };
        response.headers_mut().typed_insert(self.etag.clone());
        response
    }
}

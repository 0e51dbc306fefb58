//! Signing in with a browser: a form that takes the token and sets a cookie. It needs no
//! script.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::guard::Lock;
use super::page::with_policy;
use crate::http::error;

const FORM: &str = include_str!("page/login.html");

/// The form's placeholder for a message.
const WORD: &str = "<!-- word -->";

/// The form's placeholder for an instruction to reload it.
const AGAIN: &str = "<!-- again -->";
const RELOAD: &str = "<meta http-equiv=\"refresh\" content=\"0\">";

/// The query of a browser that has just signed in. If it shows no cookie now, it did not keep
/// it.
const SIGNED_IN: &str = "signed-in";

/// The longest form that is read, in bytes.
const MAX_FORM: usize = 4 * 1024;

/// What the form says about a wrong token.
const WRONG: &str = "<p id=\"word\" role=\"alert\">That is not the token. It is what the server \
     was started with, as <code>--admin-token</code> or in <code>--admin-token-file</code>.</p>";

/// What the form says to a browser that did not keep the cookie.
const NO_COOKIE: &str = "<p id=\"word\" role=\"alert\">The token is right, but your browser did not \
     keep the cookie. Browsers keep it only over HTTPS or on <code>localhost</code>: put this \
     address behind TLS, or reach it through a tunnel, such as <code>ssh -L \
     3001:localhost:3001 HOST</code>.</p>";

/// Answers a browser that asks for the dashboard and is not signed in.
pub(super) fn form(request: &Request) -> Response {
    let word = match request.uri().query() {
        Some(SIGNED_IN) => NO_COOKIE,
        _ => "",
    };
    // A browser that follows a link from another site shows no cookie (`SameSite=Strict`). It
    // shows one when this page reloads itself.
    let is_led_here = request
        .headers()
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site" || site == "same-site");
    answer_with(word, is_led_here)
}

/// Answers `POST /login` and `POST /logout`.
pub(super) async fn answer(lock: &Lock, request: Request) -> Response {
    if request.method() != Method::POST {
        let mut answer =
            error(StatusCode::METHOD_NOT_ALLOWED, "this path does not support that method");
        answer.headers_mut().insert("allow", HeaderValue::from_static("POST"));
        return answer;
    }
    if request.uri().path() == "/logout" {
        return to_page("./", Some(&lock.sessions.end()));
    }
    let Some(given) = token(request.into_body()).await else {
        return error(StatusCode::BAD_REQUEST, "sign in with a form that has the field token");
    };
    // This comes before the token is checked: otherwise a quick answer would give the token
    // away.
    lock.brake.hold().await;
    if lock.token.is(given.trim().as_bytes()) {
        return to_page(&format!("./?{SIGNED_IN}"), Some(&lock.sessions.begin()));
    }
    lock.brake.wrong();
    answer_with(WRONG, false)
}

/// Answers somebody who signs out without having signed in.
pub(super) fn leave() -> Response {
    to_page("./", None)
}

async fn token(body: Body) -> Option<String> {
    let form = to_bytes(body, MAX_FORM).await.ok()?;
    let token = form_urlencoded::parse(&form).find(|(name, _)| name == "token");
    token.map(|(_, token)| token.into_owned())
}

fn answer_with(word: &str, reload: bool) -> Response {
    let page = FORM.replace(WORD, word).replace(AGAIN, if reload { RELOAD } else { "" });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // RFC 9110, section 15.5.2, requires it with 401.
        (HeaderName::from_static("www-authenticate"), HeaderValue::from_static("Bearer")),
    ];
    with_policy((StatusCode::UNAUTHORIZED, headers, page).into_response())
}

fn to_page(place: &str, cookie: Option<&str>) -> Response {
    let mut answer = StatusCode::SEE_OTHER.into_response();
    let headers = answer.headers_mut();
    let cookie = cookie.map(|cookie| (SET_COOKIE, cookie));
    for (name, value) in [(LOCATION, place)].into_iter().chain(cookie) {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

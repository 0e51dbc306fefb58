//! Sessions of operators who have signed in with a browser.
//!
//! A session is a cookie that says when it ends, with a MAC that only a holder of the token
//! can compute. The server remembers nothing, so sessions survive a restart; a new token ends
//! them all.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use ring::hmac::{self, HMAC_SHA256, Key};

use super::token::AdminToken;

/// How long somebody stays signed in.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// What the key is for, so that no other MAC made with the token is taken for a session's.
const PURPOSE: &[u8] = b"headcount admin session 1";

/// The sessions of one token.
#[derive(Debug)]
pub(super) struct Sessions {
    key: Key,
    /// The cookie's name. It differs from token to token: all ports of a host share their
    /// cookies, and two servers there must not overwrite each other's.
    cookie: String,
}

impl Sessions {
    pub(super) fn of(token: &AdminToken) -> Self {
        let token = Key::new(HMAC_SHA256, token.as_str().as_bytes());
        let key = hmac::sign(&token, PURPOSE);
        let name = hmac::sign(&token, b"headcount admin cookie 1");
        let cookie = format!("headcount-{}", hex(&name.as_ref()[..4]));
        Self { key: Key::new(HMAC_SHA256, key.as_ref()), cookie }
    }

    /// The `Set-Cookie` of a new session.
    pub(super) fn begin(&self) -> String {
        let until = now() + LIFE;
        let mac = hmac::sign(&self.key, until.as_secs().to_string().as_bytes());
        let (until, mac) = (until.as_secs(), hex(mac.as_ref()));
        self.set(&format!("{until}.{mac}"), LIFE)
    }

    /// The `Set-Cookie` that ends a session.
    pub(super) fn end(&self) -> String {
        self.set("", Duration::ZERO)
    }

    /// Whether a request has the cookie of a session that has not ended.
    pub(super) fn has(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
        let mut pairs = cookies.flat_map(|header| header.split(';'));
        pairs.any(|pair| {
            let value = pair.trim().strip_prefix(&*self.cookie);
            value.and_then(|rest| rest.strip_prefix('=')).is_some_and(|value| self.holds(value))
        })
    }

    fn holds(&self, value: &str) -> bool {
        let parts = value.split_once('.').and_then(|(until, mac)| Some((until, bytes(mac)?)));
        let Some((until, mac)) = parts else { return false };
        // This compares in constant time.
        if hmac::verify(&self.key, until.as_bytes(), &mac).is_err() {
            return false;
        }
        // If the clock was set back, no session lasts longer than it should.
        let left = until.parse().ok().and_then(|until| {
            Duration::from_secs(until).checked_sub(now()).filter(|left| !left.is_zero())
        });
        left.is_some_and(|left| left <= LIFE)
    }

    fn set(&self, value: &str, life: Duration) -> String {
        let (name, life) = (&self.cookie, life.as_secs());
        format!("{name}={value}; Max-Age={life}; Path=/; Secure; HttpOnly; SameSite=Strict")
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(token: &str) -> Sessions {
        Sessions::of(&token.parse().expect("a token"))
    }

    fn shown(sessions: &Sessions, cookie: &str) -> bool {
        let headers = [(COOKIE, cookie.parse().expect("a header's value"))];
        sessions.has(&headers.into_iter().collect())
    }

    /// The cookie of a session that ends at this time.
    fn until(sessions: &Sessions, seconds: u64) -> String {
        let mac = hmac::sign(&sessions.key, seconds.to_string().as_bytes());
        format!("{}={seconds}.{}", sessions.cookie, hex(mac.as_ref()))
    }

    #[test]
    fn a_session_is_good_for_its_token_and_no_other() {
        let (ours, theirs) = (sessions("0123456789abcdef"), sessions("0123456789abcdeg"));
        let set = ours.begin();
        let (cookie, rest) = set.split_once("; ").expect("its attributes");
        assert_eq!(rest, "Max-Age=43200; Path=/; Secure; HttpOnly; SameSite=Strict");
        assert!(shown(&ours, cookie) && shown(&ours, &format!("a=b; {cookie}; c")));
        assert!(!cookie.contains("0123456789abcdef"));
        assert!(!shown(&theirs, cookie));
        let renamed = cookie.replacen(&ours.cookie, &theirs.cookie, 1);
        assert!(!shown(&theirs, &renamed));
        // Whatever is changed, the cookie is no longer valid.
        for at in 0..cookie.len() {
            let mut changed = cookie.as_bytes().to_vec();
            changed[at] ^= 1;
            if let Ok(changed) = String::from_utf8(changed) {
                assert!(!shown(&ours, &changed), "{changed}");
            }
        }
        let ended = ours.end();
        assert!(ended.contains("=; Max-Age=0; ") && !shown(&ours, &ended));
        for none in ["", "=", ".", "1.", ".00", "1.0", "1.é"] {
            assert!(!ours.holds(none), "{none}");
        }
    }

    #[test]
    fn a_session_ends_and_none_lasts_longer_than_it_may() {
        let sessions = sessions("0123456789abcdef");
        let now = now().as_secs();
        for (seconds, holds) in
            [(now + 60, true), (now - 1, false), (now + LIFE.as_secs() + 60, false), (0, false)]
        {
            assert_eq!(shown(&sessions, &until(&sessions, seconds)), holds, "{seconds}");
        }
    }
}

//! Why the dashboard's API refuses a request: `{"error":"…"}` and a status.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use super::feed::MAX_FEEDS;
use crate::history::NoPast;
use crate::http::error;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The request makes no sense; the text says what would.
    Bad(Cow<'static, str>),
    /// The feed would be one too many.
    TooManyFeeds,
    /// The past is not known.
    NoPast(NoPast),
}

impl Refused {
    pub(super) fn bad(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Bad(why.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, retry, why) = match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, None, why),
            Self::TooManyFeeds => {
                let why = format!("there are {MAX_FEEDS} feeds already; close one of them");
                (StatusCode::SERVICE_UNAVAILABLE, Some("30"), why.into())
            }
            Self::NoPast(why) => {
                let (status, retry, help) = match why {
                    NoPast::NoFile => (StatusCode::NOT_FOUND, None, "--history keeps more"),
                    NoPast::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some("5"), "try again soon"),
                    NoPast::Unreadable => {
                        (StatusCode::INTERNAL_SERVER_ERROR, None, "the log says why")
                    }
                };
                (status, retry, format!("{why}; {help}").into())
            }
        };
        let mut answer = error(status, &why);
        if let Some(seconds) = retry {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        answer
    }
}

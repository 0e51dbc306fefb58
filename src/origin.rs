//! Where a page comes from, and which pages may count here.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Where a page comes from: scheme, host and port
/// (<https://html.spec.whatwg.org/multipage/browsers.html#concept-origin>).
///
/// It is written as browsers write it: in lower case, without the scheme's default port,
/// and with international names as DNS has them (`https://xn--bcher-kva.example`).
/// A dot at the end of the host makes it another origin, as it does for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(url::Origin);

/// Whose pages may count here, in addition to the server's own.
///
/// ```
/// use headcount::AllowedOrigin;
///
/// let below: AllowedOrigin = "https://*.example.org".parse()?;
/// assert!(below.allows("https://a.b.example.org"));
/// assert!(!below.allows("https://example.org"));
/// assert!(!below.allows("https://evil-example.org"));
/// # Ok::<(), headcount::BadOrigin>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Any page, even those without an origin (`null`). Written `*`.
    Any,
    /// The pages of one origin, `https://example.org`.
    Exactly(Origin),
    /// The pages of all names below one, however deep, but not of the name itself:
    /// `https://*.example.org`.
    Below(Origin),
}

/// The text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOrigin;

impl Origin {
    fn parts(&self) -> Option<(&str, &str, u16)> {
        match &self.0 {
            url::Origin::Tuple(scheme, Host::Domain(host), port) => Some((scheme, host, *port)),
            _ => None,
        }
    }

    /// Whether this is the origin of what is served at `authority`, the host and
    /// port that a request names (`example.org`, `[::1]:3000`). The scheme is not
    /// compared: a proxy that speaks TLS for us knows it, and we don't.
    #[must_use]
    pub fn is_served_at(&self, authority: &str) -> bool {
        let url::Origin::Tuple(scheme, ..) = &self.0 else { return false };
        format!("{scheme}://{authority}").parse().is_ok_and(|served: Self| served == *self)
    }
}

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(BadOrigin)?;
        let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        // Everything else that a URL may have, or that its parser would skip.
        let is_more = |c: char| c.is_whitespace() || c.is_control() || "/\\?#@*".contains(c);
        if !is_web || authority.contains(is_more) {
            return Err(BadOrigin);
        }
        let url = Url::parse(text).map_err(|_| BadOrigin)?;
        // A host may be written with `%2A` in it.
        if url.host_str().is_none_or(|host| host.contains('*')) {
            return Err(BadOrigin);
        }
        Ok(Self(url.origin()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.ascii_serialization())
    }
}

impl AllowedOrigin {
    /// Whether a page may count here if its browser says that this is its origin.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(allowed) => origin.parse().is_ok_and(|origin: Origin| origin == *allowed),
            Self::Below(above) => {
                let origin = origin.parse::<Origin>();
                let Some((scheme, host, port)) = origin.as_ref().ok().and_then(Origin::parts)
                else {
                    return false;
                };
                above.parts().is_some_and(|(s, name, p)| {
                    let below = host.strip_suffix(name).and_then(|host| host.strip_suffix('.'));
                    (scheme, port) == (s, p) && below.is_some_and(|host| !host.is_empty())
                })
            }
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.split_once("://*.") {
            Some((scheme, name)) => {
                let above: Origin = format!("{scheme}://{name}").parse()?;
                // There are no names below an address.
                if above.parts().is_some() { Ok(Self::Below(above)) } else { Err(BadOrigin) }
            }
            None => text.parse().map(Self::Exactly),
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exactly(origin) => origin.fmt(f),
            Self::Below(above) => f.write_str(&above.to_string().replacen("://", "://*.", 1)),
        }
    }
}

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an origin is a scheme, a host and perhaps a port: https://example.org:8443")
    }
}

impl std::error::Error for BadOrigin {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowed(text: &str) -> AllowedOrigin {
        text.parse().unwrap_or_else(|_| panic!("{text} is refused"))
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, written) in [
            ("https://example.org", "https://example.org"),
            ("HTTPS://Example.ORG:443", "https://example.org"),
            ("http://example.org:80", "http://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("https://example.org:8443", "https://example.org:8443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://example.org.", "https://example.org."),
        ] {
            assert_eq!(text.parse::<Origin>().expect(text).to_string(), written);
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_none() {
        for bad in [
            "",
            "null",
            "example.org",
            "//example.org",
            "https://",
            "https://:443",
            "https://example.org/",
            "https://example.org/page",
            "https://example.org?a",
            "https://example.org#a",
            "https://me@example.org",
            "https://me:pw@example.org",
            "https://example.org:port",
            "https://example.org:70000",
            "https://exa mple.org",
            " https://example.org",
            "https://example.org\n",
            "https://exam\tple.org",
            "https:\\\\example.org",
            "https://example.org\\a",
            "https:example.org",
            "ftp://example.org",
            "file://",
            "javascript://example.org",
            "https://*",
            "https://example.*",
            "https://a.*.org",
            "https://%2A.example.org",
            "*.example.org",
            "https://[::1",
            "https://1.2.3.256",
            "https://a, https://b",
            "https://a https://b",
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(BadOrigin), "{bad:?}");
        }
    }

    #[test]
    fn who_may_count_is_one_origin_or_all_below_a_name_or_any() {
        for (text, yes, no) in [
            (
                "https://example.org",
                &["https://example.org", "https://EXAMPLE.org", "https://example.org:443"][..],
                &[
                    "http://example.org",
                    "https://example.org:8443",
                    "https://www.example.org",
                    "https://example.org.",
                    "https://evil-example.org",
                    "https://example.org.evil",
                    "https://example.org/",
                    "null",
                    "",
                    "*",
                ][..],
            ),
            (
                "https://*.example.org",
                &["https://a.example.org", "https://a.b.example.org"],
                &[
                    "https://example.org",
                    "https://evil-example.org",
                    "https://.example.org",
                    "http://a.example.org",
                    "https://a.example.org:8443",
                    "https://a.example.org.",
                    "https://a.example.org.evil",
                    "https://*.example.org",
                    "null",
                ],
            ),
            (
                "http://*.localhost:8080",
                &["http://a.localhost:8080"],
                &["http://localhost:8080", "http://a.localhost"],
            ),
            ("http://[::1]:3000", &["http://[::1]:3000"], &["http://[::1]"]),
            ("*", &["https://example.org", "null", "junk"], &[]),
        ] {
            for origin in yes {
                assert!(allowed(text).allows(origin), "{text} does not allow {origin}");
            }
            for origin in no {
                assert!(!allowed(text).allows(origin), "{text} allows {origin}");
            }
            assert_eq!(allowed(text).to_string(), text);
        }
        for bad in
            ["**", "https://*", "https://*.", "https://*.*.org", "http://*.127.0.0.1", "null"]
        {
            assert_eq!(bad.parse::<AllowedOrigin>(), Err(BadOrigin), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_ours_whatever_the_scheme_that_a_proxy_has_taken_off() {
        for (origin, authority, ours) in [
            ("https://example.org", "example.org", true),
            ("https://example.org", "EXAMPLE.org:443", true),
            ("http://example.org", "example.org", true),
            ("http://127.0.0.1:3000", "127.0.0.1:3000", true),
            ("https://example.org", "example.org:80", false),
            ("https://example.org", "www.example.org", false),
            ("http://127.0.0.1:8080", "127.0.0.1:3000", false),
            ("https://example.org", "", false),
            ("https://example.org", "user@example.org", false),
            ("https://example.org", "example.org/..", false),
        ] {
            let served = origin.parse::<Origin>().expect(origin).is_served_at(authority);
            assert_eq!(served, ours, "{origin} at {authority}");
        }
    }

    proptest! {
        #[test]
        fn an_origin_reads_back_as_itself(text in "https?://[a-zA-Z0-9.ü*-]{1,20}(:[0-9]{1,5})?|\\PC{0,20}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.to_string().parse(), Ok(origin));
            }
            if let Ok(allowed) = text.parse::<AllowedOrigin>() {
                prop_assert_eq!(allowed.to_string().parse(), Ok(allowed));
            }
        }

        #[test]
        fn no_name_that_only_ends_alike_is_below(name in "[a-z0-9-]{1,20}") {
            let below = allowed("https://*.example.org");
            let (alike, beneath) =
                (format!("https://{name}example.org"), format!("https://a{name}a.example.org"));
            prop_assert!(!below.allows(&alike));
            prop_assert!(below.allows(&beneath) || beneath.parse::<Origin>().is_err());
        }
    }
}

//! The room of a page, under the name that `room="page"` gives it on the page.
//!
//! `public/client.js` does the same in JavaScript, and both are tested with the same pages.

use icu_normalizer::ComposingNormalizerBorrowed;
use percent_encoding::percent_decode;
use url::Url;

use crate::name::{BadName, MAX_BYTES, Name};

/// What a name that is too long ends with: `~` and 16 hexadecimal digits.
const HASH_BYTES: usize = 17;

/// The host of the page at `url` and its decoded path in Unicode's NFC, without
/// `index.html`, query and fragment. A name that is too long is cut, and ends with its hash.
///
/// # Errors
/// If the page has neither a host nor a path.
pub fn name(url: &Url) -> Result<Name, BadName> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = decoded(url.path());
    let path = match path.strip_suffix("index.html") {
        Some(directory) if directory.ends_with('/') => directory,
        _ => &path,
    };
    let name = format!("{host}{port}{path}");
    Name::new(&shortened(&ComposingNormalizerBorrowed::new_nfc().normalize(&name)))
}

/// A path as people read it. What is not UTF-8, or not allowed in a name, stays encoded.
fn decoded(path: &str) -> String {
    let mut decoded = String::new();
    let mut rest = path;
    while !rest.is_empty() {
        let encoded = encoded_prefix(rest);
        if encoded.is_empty() {
            let next = rest[1..].find('%').map_or(rest.len(), |at| at + 1);
            decoded += &rest[..next];
            rest = &rest[next..];
            continue;
        }
        match percent_decode(encoded.as_bytes()).decode_utf8() {
            Ok(text) => text.chars().for_each(|c| push(&mut decoded, c)),
            Err(_) => decoded += encoded,
        }
        rest = &rest[encoded.len()..];
    }
    decoded
}

fn push(decoded: &mut String, character: char) {
    if character.is_control() {
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).bytes();
        bytes.for_each(|byte| *decoded += &format!("%{byte:02X}"));
    } else {
        decoded.push(character);
    }
}

/// The percent-encoded beginning of a text, still encoded.
fn encoded_prefix(text: &str) -> &str {
    let is_encoded = |three: &[u8]| matches!(three, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    let count = text.as_bytes().chunks(3).take_while(|three| is_encoded(three)).count();
    &text[..3 * count]
}

/// A name of at most [`MAX_BYTES`]. A longer name is cut, and ends with its 64-bit FNV-1a
/// hash, which keeps it distinct from others.
fn shortened(name: &str) -> String {
    if name.len() <= MAX_BYTES {
        return name.to_owned();
    }
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut end = MAX_BYTES - HASH_BYTES;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{hash:016x}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(url: &str) -> String {
        name(&url.parse().expect("an address")).expect("a name").as_str().to_owned()
    }

    #[test]
    fn a_page_is_named_as_people_read_its_address() {
        for (url, expected) in [
            ("https://Blog.example", "blog.example/"),
            ("https://blog.example:443/a", "blog.example/a"),
            ("http://blog.example:8080/a", "blog.example:8080/a"),
            ("https://блог.example/статті/привіт/", "xn--90aexm.example/статті/привіт/"),
            ("https://a.example/blog/index.html?page=2#top", "a.example/blog/"),
            ("https://a.example/an-index.html", "a.example/an-index.html"),
            ("https://a.example/cafe%CC%81", "a.example/caf\u{e9}"),
            ("https://a.example/100%/a%20b%0Ac%FFd", "a.example/100%/a b%0Ac%FFd"),
            ("https://a.example/%C2%85%2f", "a.example/%C2%85/"),
        ] {
            assert_eq!(name_of(url), expected, "{url}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_and_stays_distinct() {
        let page = |path: String| name_of(&format!("https://a.example/{path}"));
        let fits = page("b".repeat(118));
        assert_eq!((fits.len(), fits.contains('~')), (128, false));
        let long = page("ї".repeat(200));
        // The hash as `public/client.js` has it.
        assert_eq!(long, format!("a.example/{}~0dee159cae6d94a5", "ї".repeat(50)));
        assert_ne!(page("ї".repeat(201)), long);
        assert_eq!(page("b".repeat(119)).len(), 128);
    }
}

//! The files of the page that are inside the binary.

use std::borrow::Cow;

use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "public/"]
struct Public;

/// The script that puts a number on a page.
pub(super) const CLIENT: &str = "client.js";

/// Every path, relative to the page.
pub(super) fn paths() -> impl Iterator<Item = Cow<'static, str>> {
    Public::iter()
}

pub(super) fn file(path: &str) -> Option<EmbeddedFile> {
    Public::get(path)
}

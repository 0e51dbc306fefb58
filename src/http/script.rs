//! The `client.js` in this binary, under a name that pins its version.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha384};

use super::embedded::{self, CLIENT};

/// The script of this version: where it is, and how a browser can check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its path, which only this version has (`/client-0f3a….js`). It is next to
    /// `/client.js`, because the script finds the streams by its own address.
    pub path: String,
    /// Its hash (`sha384-…`), for the `integrity` of a `script` element
    /// (<https://www.w3.org/TR/sri-2/>).
    pub integrity: String,
}

impl Script {
    /// The script inside this binary. A script that [`Options::public_dir`] has in its place
    /// has no version.
    ///
    /// [`Options::public_dir`]: crate::Options::public_dir
    ///
    /// # Panics
    /// If the binary was built without the page, which would fail its tests.
    #[must_use]
    pub fn embedded() -> Self {
        let file = embedded::file(CLIENT).expect("the script is one of the page's files");
        let version: String =
            Sha256::digest(&file.data)[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            path: format!("/client-{version}.js"),
            integrity: format!("sha384-{}", STANDARD.encode(Sha384::digest(&file.data))),
        }
    }
}

//! The files of the pages, inside the binary. They are kept as they are, not compressed: the pages of the binary that hold them are
//! read when somebody asks for them and not before, so an idle server pays nothing for them.
//!
//! None of them asks another host for anything; `scripts/refresh-web-vendor.sh` says what was taken from where.

use std::sync::OnceLock;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{body::full, conditions, respond::Response};

/// Where they are served.
pub(crate) const ASSETS_PATH: &str = "/kv-store/assets/";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file.
pub(crate) struct Asset {
    /// Its name after `ASSETS_PATH`.
    pub(crate) name: &'static str,
    media: &'static str,
    pub(crate) bytes: &'static [u8],
    etag: OnceLock<HeaderValue>,
}

const fn asset(name: &'static str, media: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { name, media, bytes, etag: OnceLock::new() }
}

pub(crate) static ASSETS: [Asset; 9] = [
    asset("docs.js", JAVASCRIPT, include_bytes!("../web/docs.js")),
    asset("icon.svg", SVG, include_bytes!("../web/icon.svg")),
    asset("index.js", JAVASCRIPT, include_bytes!("../web/index.js")),
    asset("pages.css", CSS, include_bytes!("../web/pages.css")),
    asset("redoc.css", CSS, include_bytes!("../web/redoc.css")),
    asset("redoc.js", JAVASCRIPT, include_bytes!("../web/redoc.js")),
    asset("redoc.standalone.js", JAVASCRIPT, include_bytes!("../web/vendor/redoc/redoc.standalone.js")),
    asset("swagger-ui-bundle.js", JAVASCRIPT, include_bytes!("../web/vendor/swagger-ui/swagger-ui-bundle.js")),
    asset("swagger-ui.css", CSS, include_bytes!("../web/vendor/swagger-ui/swagger-ui.css")),
];
/// The pages that are the same for everybody.
pub(crate) static DOCS: Asset = asset("docs.html", HTML, include_bytes!("../web/docs.html"));
pub(crate) static REDOC: Asset = asset("redoc.html", HTML, include_bytes!("../web/redoc.html"));

/// The file of this name.
pub(crate) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// A file as an answer. Browsers keep it and ask each time whether it is still the same: a file that was replaced with the server
/// must not meet the page of another version.
pub(crate) fn answer(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let etag = asset.etag.get_or_init(|| tag(asset.bytes));
    let unchanged = headers.contains_key(header::IF_NONE_MATCH) && conditions::not_modified(headers, etag);
    let mut response = Response::new(if unchanged { Body::empty() } else { full(Bytes::from_static(asset.bytes)) });
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media));
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An ETag that tells the content.
fn tag(bytes: &[u8]) -> HeaderValue {
    let hash = blake3::hash(bytes).to_hex();
    let text = format!("\"{}\"", hash.get(..32).unwrap_or_default());
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Lets a page load nothing but what its policy names.
pub(crate) fn confine(mut response: Response, policy: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_pages_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let own = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        for entry in own.filter(|entry| entry.file_type().unwrap().is_file()) {
            let name = entry.file_name().into_string().unwrap();
            let is_page = name.ends_with(".html");
            assert!(is_page || find(&name).is_some(), "web/{name} is not served");
        }
    }

    #[test]
    fn etags_tell_files_apart() {
        assert_eq!(tag(b"a"), tag(b"a"));
        assert_ne!(tag(b"a"), tag(b"b"));
    }
}

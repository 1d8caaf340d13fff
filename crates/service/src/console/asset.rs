//! The style sheet and the script, named by what is in them so that browsers may keep them for ever.

use std::sync::LazyLock;

use crate::front::Answer;
use crate::hex;

/// A file that pages refer to.
struct Asset {
    text: &'static str,
    content_type: &'static str,
    /// Path below the console's root, with a part of the content's hash.
    path: String,
}

impl Asset {
    fn of(name: &str, ending: &str, text: &'static str, content_type: &'static str) -> Asset {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let short = hex::encode(hash.as_ref().get(..6).unwrap_or_default());
        Asset { text, content_type, path: format!("/{name}-{short}.{ending}") }
    }
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::of("style", "css", include_str!("style.css"), "text/css; charset=utf-8"));
static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::of("live", "js", include_str!("live.js"), "text/javascript; charset=utf-8"));

/// Path of the style sheet.
pub(super) fn style() -> String {
    format!("{}{}", super::ROOT, STYLE.path)
}

/// Path of the script.
pub(super) fn script() -> String {
    format!("{}{}", super::ROOT, SCRIPT.path)
}

/// The file at a path below the root, if there is one.
pub(super) fn find(path: &str) -> Option<Answer> {
    let asset = [&*STYLE, &*SCRIPT].into_iter().find(|asset| asset.path == path)?;
    let mut answer = Answer::of(200, asset.text.as_bytes().to_vec(), asset.content_type);
    answer.headers.push(("cache-control", "public, max-age=31536000, immutable".to_owned()));
    answer.headers.push(("x-content-type-options", "nosniff".to_owned()));
    Some(answer)
}

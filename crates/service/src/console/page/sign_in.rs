//! Signing in with an access key.

use askama::Template;

use crate::console::input::Fields;
use crate::console::visit::{COOKIE, Visit, html, plain, redirect};
use crate::console::{Console, ROOT, asset};
use crate::front::{Answer, ApiError, Request};

/// Longest path that signing in leads back to.
const BACK_BYTES_MAX: usize = 1024;

#[derive(Template)]
#[template(path = "page/sign_in.html")]
struct Page<'a> {
    style: String,
    region: &'a str,
    access_key_id: &'a str,
    needs_token: bool,
    to: &'a str,
    error: Option<&'a str>,
}

/// The page, or what comes of the form.
pub(in crate::console) fn answer(console: &Console, request: &Request) -> Answer {
    match try_answer(console, request) {
        Ok(answer) => answer,
        Err(error) => plain(error.status, &error.message),
    }
}

fn try_answer(console: &Console, request: &Request) -> Result<Answer, ApiError> {
    let fields = Fields::of(request)?;
    let to = Some(fields.text("to")).filter(|to| is_own_path(to)).unwrap_or(ROOT);
    if request.method == "GET" {
        if Visit::of(console, request)?.is_some() {
            return Ok(redirect(to));
        }
        return Ok(page(console, &fields, to, None));
    }
    let now_ms = console.app.now_ms();
    let key = console.app.access_key(fields.text("access_key_id"))?;
    let held = key.filter(|key| {
        key.is_held_by(fields.text("secret_access_key"), fields.text("session_token"))
            && key.is_usable(now_ms)
    });
    let Some(key) = held else {
        tracing::info!("somebody did not get into the console: unknown access key, or the wrong secret");
        let why = "There is no such access key, or the secret is not its own.";
        return Ok(page(console, &fields, to, Some(why)));
    };
    let token = console
        .sessions
        .begin(&key.id, now_ms)
        .map_err(|_| ApiError::internal(&"the system has no randomness for a session"))?;
    let mut answer = redirect(to);
    let cookie = format!("{COOKIE}={token}; Path={ROOT}; HttpOnly; SameSite=Strict");
    answer.headers.push(("set-cookie", cookie));
    Ok(answer)
}

fn page(console: &Console, fields: &Fields, to: &str, error: Option<&str>) -> Answer {
    let page = Page {
        style: asset::style(),
        region: &console.app.region,
        access_key_id: fields.text("access_key_id"),
        needs_token: !fields.text("session_token").is_empty(),
        to,
        error,
    };
    html(if error.is_some() { 403 } else { 200 }, &page)
}

/// Where to sign in, and to come back from there to what was asked for.
pub(in crate::console) fn path_from(request: &Request) -> String {
    let path = format!("{ROOT}/sign-in");
    if request.method != "GET" || !is_own_path(&request.path) || request.path == ROOT {
        return path;
    }
    let asked = if request.query.is_empty() {
        request.path.clone()
    } else {
        format!("{}?{}", request.path, request.query)
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    format!("{path}?{}", query.append_pair("to", &asked).finish())
}

/// Whether a path is one of the console, and nothing that a browser would read as another site.
fn is_own_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let below = path.strip_prefix(ROOT);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && path.len() <= BACK_BYTES_MAX
        && path.bytes().all(plain)
}

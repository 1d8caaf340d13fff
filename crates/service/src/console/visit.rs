//! One visit of a browser: who it is, what was sent, and how a page leaves.

use askama::Template;

use super::input::{Fields, cookie};
use super::session::Session;
use super::{Console, ROOT, asset};
use crate::front::{Answer, ApiError, Request};
use crate::identity::{AccessKey, Verified};
use crate::operation::Caller;

/// Name of the session's cookie.
pub(super) const COOKIE: &str = "larder_session";
/// What a page may load and do: nothing but what comes from here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Sections: their path below the root, and their name.
const SECTIONS: &[(&str, &str)] = &[
    ("caches", "Caches"),
    ("create", "Create a cache"),
    ("snapshots", "Snapshots"),
    ("parameter-groups", "Parameter groups"),
    ("subnet-groups", "Subnet groups"),
    ("security-groups", "Security groups"),
    ("users", "Users"),
    ("events", "Events"),
    ("service-updates", "Service updates"),
    ("reserved-nodes", "Reserved nodes"),
    ("prices", "Prices"),
];

/// A request of somebody who is signed in.
pub(super) struct Visit<'a> {
    pub(super) console: &'a Console,
    pub(super) request: &'a Request,
    pub(super) fields: Fields,
    pub(super) caller: Caller,
    pub(super) request_id: String,
    /// Name of the user, as pages show it.
    user: String,
    token: String,
    session: Session,
}

/// What every page has around its content.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) user: String,
    pub(super) region: String,
    pub(super) form_token: String,
    pub(super) said: Option<String>,
    pub(super) section: &'static str,
    pub(super) style: String,
    pub(super) script: String,
}

impl Frame {
    /// Sections: the first part of their path, and their name.
    pub(super) fn sections(&self) -> &'static [(&'static str, &'static str)] {
        SECTIONS
    }
}

impl<'a> Visit<'a> {
    /// The visit, if the request carries the cookie of a session whose key still counts.
    ///
    /// # Errors
    /// If the request cannot be read, or the records cannot.
    pub(super) fn of(console: &'a Console, request: &'a Request) -> Result<Option<Visit<'a>>, ApiError> {
        let now_ms = console.app.now_ms();
        let Some(token) = cookie(request, COOKIE) else { return Ok(None) };
        let Some(session) = console.sessions.find(token, now_ms) else { return Ok(None) };
        let key = console.app.access_key(&session.access_key_id)?.filter(|key| key.is_usable(now_ms));
        let Some(key) = key else {
            console.sessions.end(token);
            return Ok(None);
        };
        Ok(Some(Visit {
            user: user_of(&key),
            caller: caller(console, request, key),
            fields: Fields::of(request)?,
            request_id: uuid::Uuid::new_v4().to_string(),
            token: token.to_owned(),
            console,
            request,
            session,
        }))
    }

    /// Whether the form that was sent came from a page of this session.
    pub(super) fn is_own_form(&self) -> bool {
        self.session.made(self.fields.text("form_token"))
    }

    pub(super) fn is_post(&self) -> bool {
        self.request.method == "POST"
    }

    /// What stands around a page of a section. Takes the message that waits for it.
    pub(super) fn frame(&self, section: &'static str, title: impl Into<String>) -> Frame {
        Frame {
            title: title.into(),
            user: self.user.clone(),
            region: self.console.app.region.clone(),
            form_token: self.session.form_token.clone(),
            said: self.console.sessions.take_said(&self.token),
            section,
            style: asset::style(),
            script: asset::script(),
        }
    }

    /// Goes to another page, which shows the message.
    pub(super) fn done(&self, text: &str, path: &str) -> Answer {
        self.console.sessions.say(&self.token, text);
        redirect(&format!("{ROOT}{path}"))
    }

    /// Ends the session.
    pub(super) fn sign_out(&self) {
        self.console.sessions.end(&self.token);
    }
}

fn user_of(key: &AccessKey) -> String {
    key.user_arn().rsplit(':').next().unwrap_or_default().to_owned()
}

fn caller(console: &Console, request: &Request, key: AccessKey) -> Caller {
    let region = console.app.region.clone();
    Caller::of(Verified { key, region, service: "elasticache".to_owned() }, request.source)
}

/// A page as an answer.
pub(super) fn html(status: u16, page: &impl Template) -> Answer {
    match page.render() {
        Ok(text) => guarded(Answer::of(status, text.into_bytes(), "text/html; charset=utf-8")),
        Err(why) => {
            tracing::error!("a page cannot be written: {why}");
            plain(500, "The page cannot be written.")
        }
    }
}

/// A text as an answer.
pub(super) fn plain(status: u16, text: &str) -> Answer {
    guarded(Answer::of(status, text.as_bytes().to_vec(), "text/plain; charset=utf-8"))
}

/// Sends the browser elsewhere, with a GET.
pub(super) fn redirect(to: &str) -> Answer {
    let mut answer = plain(303, "");
    answer.headers.push(("location", to.to_owned()));
    answer
}

fn guarded(mut answer: Answer) -> Answer {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        // Not less than this: without a referrer, browsers do not say where a form comes from either.
        ("referrer-policy", "same-origin"),
    ] {
        answer.headers.push((name, value.to_owned()));
    }
    answer
}

//! STS, version 2011-06-15: who am I, and keys for a time.

mod assume_role;
mod caller_identity;
mod session_token;

use super::query::{Action, find};
use crate::front::{Answer, ApiError, Request, Xml, form_of};
use crate::identity::{AccessKey, Session};
use crate::operation::{App, Caller};

/// Namespace of answers.
pub const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

const ACTIONS: &[Action] = &[
    Action {
        name: "AssumeRole",
        result: true,
        // Who may assume a role is said by the role, too: the operation asks both sides.
        run: |app, caller, form| assume_role::run(app, caller, form.decode()?),
    },
    Action {
        name: "GetCallerIdentity",
        result: true,
        // Nobody needs a permission to ask who they are, and no policy can refuse it.
        run: |app, caller, _| caller_identity::run(app, caller),
    },
    Action {
        name: "GetSessionToken",
        result: true,
        // Keys for a time can do no more than the keys that ask for them, so this needs no permission either.
        run: |app, caller, form| session_token::run(app, caller, form.decode()?),
    },
];

/// Answers a call.
pub(super) fn answer(
    app: &App,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let form = form_of(request)?;
    let action = find(ACTIONS, &form)?;
    let xml = (action.run)(app, caller, &form)?;
    Ok(Answer::xml(200, xml.into_response_of(NAMESPACE, action.name, request_id, action.result)))
}

/// Writes a temporary key.
fn write_credentials(xml: &mut Xml, key: &AccessKey, session: &Session) {
    xml.element("Credentials", |xml| {
        xml.text("AccessKeyId", &key.id)
            .text("SecretAccessKey", &key.secret)
            .text("SessionToken", &session.token)
            .time("Expiration", session.expires_ms);
    });
}

/// Makes a temporary key, and takes away those that ended.
fn issue(
    app: &App,
    caller: &Caller,
    principal: crate::identity::Principal,
    seconds: u64,
) -> Result<(AccessKey, Session), ApiError> {
    use crate::state::{Expect, create, list_all, remove};
    /// Most temporary keys at once.
    const SESSIONS_MAX: usize = 10_000;
    let now_ms = app.now_ms();
    let mut key = AccessKey::temporary(&caller.account, principal, now_ms + seconds * 1000)
        .map_err(|_| ApiError::internal(&"no randomness for a key"))?;
    key.created_ms = now_ms;
    let all = list_all::<AccessKey>(app.records.as_ref())?;
    let sessions = all.iter().filter_map(|stored| Some((&stored.value.id, stored.value.session.as_ref()?)));
    let (ended, living): (Vec<_>, Vec<_>) = sessions.partition(|(_, session)| session.expires_ms <= now_ms);
    if living.len() >= SESSIONS_MAX {
        return Err(ApiError::new("Throttling", "There are too many sessions. Try again later."));
    }
    let mut changes = vec![create(&key)?];
    changes.extend(ended.iter().map(|(id, _)| remove::<AccessKey>(id, Expect::Anything)));
    app.records.apply(&changes)?;
    let session =
        key.session.clone().ok_or_else(|| ApiError::internal(&"a temporary key without a session"))?;
    Ok((key, session))
}

//! The directives of logging in with tokens of IAM.

use super::directive::{Directive, When, integer, path, quoted_path};
use crate::iam::SESSION_SECONDS_MAX;

/// The rows.
pub const TABLE: &[Directive] = &[
    Directive {
        name: "iam-authenticator",
        aliases: &[],
        when: When::Always,
        get: |config| quoted_path(&config.settings.iam.authenticator),
        set: |config, text| {
            config.settings.iam.authenticator = path(text);
            Ok(())
        },
    },
    Directive {
        name: "iam-cache",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.iam.cache.clone(),
        set: |config, text| {
            if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("argument must be a name without blanks".into());
            }
            config.settings.iam.cache = text.to_owned();
            Ok(())
        },
    },
    Directive {
        name: "iam-session-seconds",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.iam.session_seconds.to_string(),
        set: |config, text| {
            config.settings.iam.session_seconds = integer(text, 1, SESSION_SECONDS_MAX as i64)?;
            Ok(())
        },
    },
];

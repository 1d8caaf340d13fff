//! Encryption in transit: what a cache demands of its clients, and how that may change.

use serde::{Deserialize, Serialize};

use super::cluster::Engine;
use super::refusal::Refusal;

/// What a cache demands of its clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transit {
    /// Nothing, and it has never been otherwise.
    #[default]
    Never,
    /// Nothing any more: its nodes still have their certificates.
    Off,
    /// It takes TLS and plain connections at the same port.
    Preferred,
    /// TLS.
    Required,
}

impl Transit {
    /// `TransitEncryptionEnabled`.
    pub fn is_enabled(self) -> bool {
        matches!(self, Transit::Preferred | Transit::Required)
    }

    /// `TransitEncryptionMode`, told only where it is enabled.
    pub fn mode(self) -> Option<&'static str> {
        match self {
            Transit::Never | Transit::Off => None,
            Transit::Preferred => Some("preferred"),
            Transit::Required => Some("required"),
        }
    }

    /// The node's word for it (`tls-mode`).
    pub fn directive(self) -> &'static str {
        self.mode().unwrap_or("no")
    }
}

fn parse(mode: Option<&str>) -> Result<Option<Transit>, Refusal> {
    match mode {
        None => Ok(None),
        Some("preferred") => Ok(Some(Transit::Preferred)),
        Some("required") => Ok(Some(Transit::Required)),
        Some(_) => Err(Refusal::value("TransitEncryptionMode must be preferred or required.")),
    }
}

/// Whether `version` is at least `least`, number by number.
fn at_least(version: &str, least: &[u32]) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    numbers.as_slice() >= least
}

/// What a new cache demands.
///
/// # Errors
/// What does not fit together.
pub fn of_new(
    engine: Engine,
    version: &str,
    enabled: Option<bool>,
    mode: Option<&str>,
) -> Result<Transit, Refusal> {
    let mode = parse(mode)?;
    if enabled != Some(true) {
        return match mode {
            None => Ok(Transit::Never),
            Some(_) => {
                Err(Refusal::combination("TransitEncryptionMode needs TransitEncryptionEnabled to be true."))
            }
        };
    }
    let least: &[u32] = match engine {
        Engine::Memcached => &[1, 6, 12],
        Engine::Redis if version.starts_with("3.") => &[3, 2, 6],
        Engine::Redis if version.starts_with("4.") => &[4, 0, 10],
        Engine::Redis | Engine::Valkey => &[],
    };
    if !at_least(version, least) {
        return Err(Refusal::combination(format!(
            "Encryption in transit is not supported for {} {version}.",
            engine.as_str()
        )));
    }
    Ok(mode.unwrap_or(Transit::Required))
}

/// What a cache demands after a change: from nothing to everything, and back, only by way of `preferred`, so that
/// clients can follow.
///
/// # Errors
/// What does not fit together.
pub fn changed(
    before: Transit,
    version: &str,
    enabled: Option<bool>,
    mode: Option<&str>,
) -> Result<Transit, Refusal> {
    let mode = parse(mode)?;
    let after = match (enabled, mode) {
        (None, None) => before,
        (Some(false), None) if before == Transit::Never => Transit::Never,
        (Some(false), None) => Transit::Off,
        (Some(false), Some(_)) => {
            return Err(Refusal::combination(
                "TransitEncryptionMode needs TransitEncryptionEnabled to be true.",
            ));
        }
        (Some(true), None) if before.is_enabled() => before,
        (Some(true), None) => Transit::Required,
        (None, Some(_)) if !before.is_enabled() => {
            return Err(Refusal::combination(
                "TransitEncryptionMode needs TransitEncryptionEnabled to be true.",
            ));
        }
        (_, Some(mode)) => mode,
    };
    if after == before {
        return Ok(after);
    }
    if !at_least(version, &[7]) {
        return Err(Refusal::combination(format!(
            "Encryption in transit can be changed from version 7.0 on; the cache has {version}."
        )));
    }
    match (before.is_enabled(), after) {
        (false, Transit::Required) => Err(Refusal::combination(
            "Encryption in transit must be enabled with TransitEncryptionMode preferred before it can be required.",
        )),
        (true, Transit::Off) if before == Transit::Required => Err(Refusal::combination(
            "TransitEncryptionMode must be preferred before encryption in transit can be disabled.",
        )),
        _ => Ok(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cache_demands_it_unless_told_otherwise() {
        let of = |enabled, mode| of_new(Engine::Redis, "7.1.0", enabled, mode);
        assert_eq!(of(None, None), Ok(Transit::Never));
        assert_eq!(of(Some(false), None), Ok(Transit::Never));
        assert_eq!(of(Some(true), None), Ok(Transit::Required));
        assert_eq!(of(Some(true), Some("preferred")), Ok(Transit::Preferred));
        assert!(of(None, Some("required")).is_err() && of(Some(true), Some("maybe")).is_err());
        let old = |engine, version| of_new(engine, version, Some(true), None);
        assert!(old(Engine::Memcached, "1.6.6").is_err() && old(Engine::Memcached, "1.6.12").is_ok());
        assert!(old(Engine::Redis, "3.2.4").is_err() && old(Engine::Redis, "4.0.10").is_ok());
    }

    #[test]
    fn changes_go_by_way_of_preferred() {
        let to = |before, enabled, mode| changed(before, "7.1.0", enabled, mode);
        assert_eq!(to(Transit::Never, None, None), Ok(Transit::Never));
        assert_eq!(to(Transit::Never, Some(false), None), Ok(Transit::Never));
        assert!(to(Transit::Never, Some(true), None).is_err());
        assert!(to(Transit::Never, None, Some("preferred")).is_err());
        assert_eq!(to(Transit::Never, Some(true), Some("preferred")), Ok(Transit::Preferred));
        assert_eq!(to(Transit::Preferred, None, Some("required")), Ok(Transit::Required));
        assert_eq!(to(Transit::Required, Some(true), None), Ok(Transit::Required));
        assert!(to(Transit::Required, Some(false), None).is_err());
        assert_eq!(to(Transit::Required, None, Some("preferred")), Ok(Transit::Preferred));
        assert_eq!(to(Transit::Preferred, Some(false), None), Ok(Transit::Off));
        assert_eq!(to(Transit::Off, Some(true), Some("preferred")), Ok(Transit::Preferred));
        assert!(changed(Transit::Never, "6.2.6", Some(true), Some("preferred")).is_err());
        assert_eq!(changed(Transit::Required, "6.2.6", Some(true), None), Ok(Transit::Required));
    }
}

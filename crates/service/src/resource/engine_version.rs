//! Engines, their versions, and the parameter group families that versions belong to.

use super::refusal::Refusal;

/// A family of parameter groups: versions that have the same parameters.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Name on the wire, such as `redis7`.
    pub name: &'static str,
    /// `redis`, `valkey` or `memcached`.
    pub engine: &'static str,
    /// How the tables of parameters call it.
    pub(super) code: &'static str,
    /// Its first version, which is what MinimumEngineVersion of its parameters says.
    pub first_version: &'static str,
    /// Whether there is a default group with cluster mode on.
    pub has_cluster_mode: bool,
}

macro_rules! families {
    ($($name:literal $engine:literal $code:literal $first:literal $cluster:literal,)*) => {
        /// All families, the older ones of each engine first; redis goes over into valkey.
        pub static FAMILIES: &[Family] = &[$(Family {
            name: $name, engine: $engine, code: $code, first_version: $first, has_cluster_mode: $cluster,
        },)*];
    };
}

families! {
    "memcached1.4" "memcached" "1.4" "1.4.5" false,
    "memcached1.5" "memcached" "1.5" "1.5.10" false,
    "memcached1.6" "memcached" "1.6" "1.6.6" false,
    "redis2.6" "redis" "2.6" "2.6.13" false,
    "redis2.8" "redis" "2.8" "2.8.6" false,
    "redis3.2" "redis" "3.2" "3.2.4" true,
    "redis4.0" "redis" "4.0" "4.0.10" true,
    "redis5.0" "redis" "5.0" "5.0.0" true,
    "redis6.x" "redis" "6" "6.0.0" true,
    "redis7" "redis" "7" "7.0.0" true,
    "valkey7" "valkey" "v7" "7.2.0" true,
    "valkey8" "valkey" "8" "8.0.0" true,
    "valkey9" "valkey" "9" "9.0.0" true,
}

impl Family {
    /// The family of exactly that name.
    pub fn find(name: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.name == name)
    }

    /// Whether its nodes speak the memcached protocols.
    pub fn is_memcached(&self) -> bool {
        self.engine == "memcached"
    }
}

/// A version of an engine.
#[derive(Debug, PartialEq, Eq)]
pub struct EngineVersion {
    /// `redis`, `valkey` or `memcached`.
    pub engine: &'static str,
    /// What users ask for, such as `7.1`.
    pub version: &'static str,
    /// What nodes say, such as `7.1.0`.
    pub full: &'static str,
    /// Name of its family.
    pub family: &'static str,
    /// Whether new caches can have it.
    pub creatable: bool,
    /// Whether it is what one gets without asking.
    pub default: bool,
}

macro_rules! versions {
    ($($engine:literal $version:literal $full:literal $family:literal $kind:ident,)*) => {
        /// All versions, in ascending order for each engine.
        pub static VERSIONS: &[EngineVersion] = &[$(EngineVersion {
            engine: $engine, version: $version, full: $full, family: $family,
            creatable: !matches!(stringify!($kind).as_bytes(), b"gone"),
            default: matches!(stringify!($kind).as_bytes(), b"default"),
        },)*];
    };
}

versions! {
    "memcached" "1.4.5" "1.4.5" "memcached1.4" offered,
    "memcached" "1.4.14" "1.4.14" "memcached1.4" offered,
    "memcached" "1.4.24" "1.4.24" "memcached1.4" offered,
    "memcached" "1.4.33" "1.4.33" "memcached1.4" offered,
    "memcached" "1.4.34" "1.4.34" "memcached1.4" offered,
    "memcached" "1.5.10" "1.5.10" "memcached1.5" offered,
    "memcached" "1.5.16" "1.5.16" "memcached1.5" offered,
    "memcached" "1.6.6" "1.6.6" "memcached1.6" offered,
    "memcached" "1.6.12" "1.6.12" "memcached1.6" offered,
    "memcached" "1.6.17" "1.6.17" "memcached1.6" offered,
    "memcached" "1.6.22" "1.6.22" "memcached1.6" default,
    "redis" "2.6.13" "2.6.13" "redis2.6" gone,
    "redis" "2.8.6" "2.8.6" "redis2.8" gone,
    "redis" "2.8.19" "2.8.19" "redis2.8" gone,
    "redis" "2.8.21" "2.8.21" "redis2.8" gone,
    "redis" "2.8.22" "2.8.22" "redis2.8" gone,
    "redis" "2.8.23" "2.8.23" "redis2.8" gone,
    "redis" "2.8.24" "2.8.24" "redis2.8" gone,
    "redis" "3.2.4" "3.2.4" "redis3.2" gone,
    "redis" "3.2.6" "3.2.6" "redis3.2" gone,
    "redis" "3.2.10" "3.2.10" "redis3.2" gone,
    "redis" "4.0.10" "4.0.10" "redis4.0" offered,
    "redis" "5.0.6" "5.0.6" "redis5.0" offered,
    "redis" "6.0" "6.0.5" "redis6.x" offered,
    "redis" "6.2" "6.2.6" "redis6.x" offered,
    "redis" "7.0" "7.0.7" "redis7" offered,
    "redis" "7.1" "7.1.0" "redis7" default,
    "valkey" "7.2" "7.2.6" "valkey7" offered,
    "valkey" "8.0" "8.0.1" "valkey8" offered,
    "valkey" "8.1" "8.1.0" "valkey8" offered,
    "valkey" "8.2" "8.2.0" "valkey8" offered,
    "valkey" "9.0" "9.0.0" "valkey9" default,
    "valkey" "9.1" "9.1.0" "valkey9" offered,
}

impl EngineVersion {
    /// Its family.
    pub fn family(&self) -> &'static Family {
        // The test below holds the two tables together.
        Family::find(self.family).unwrap_or(&FAMILIES[0])
    }

    /// `Redis`, `Valkey` or `memcached`.
    pub fn engine_description(&self) -> &'static str {
        match self.engine {
            "redis" => "Redis",
            "valkey" => "Valkey",
            _ => "memcached",
        }
    }

    /// Such as `redis version 7.1.0`.
    pub fn description(&self) -> String {
        format!("{} version {}", self.engine, self.full)
    }

    /// Name of the default group for its caches.
    pub fn default_group(&self) -> String {
        format!("default.{}", self.family)
    }
}

/// The version that a new cache of the engine gets. `6.x` is the newest 6.
///
/// # Errors
/// `InvalidParameterValue` for an unknown engine, `InvalidParameterCombination` for a version that there is not.
pub fn resolve(engine: &str, version: Option<&str>) -> Result<&'static EngineVersion, Refusal> {
    let engine = engine.to_ascii_lowercase();
    let mut of_engine = VERSIONS.iter().filter(|v| v.engine == engine && v.creatable);
    if of_engine.clone().next().is_none() {
        let shown: String = engine.chars().take(64).collect();
        return Err(Refusal::value(format!(
            "Invalid Engine: {shown}. Valid engines are memcached, redis and valkey."
        )));
    }
    let found = match version {
        None => of_engine.find(|v| v.default),
        Some("6.x") => of_engine.find(|v| v.engine == "redis" && v.version == "6.2"),
        Some(version) => of_engine.find(|v| v.version == version),
    };
    found.ok_or_else(|| {
        let shown: String = version.unwrap_or_default().chars().take(64).collect();
        Refusal::combination(format!("Cannot find version {shown} for {engine}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_together() {
        for version in VERSIONS {
            assert_eq!(version.family().name, version.family);
            assert_eq!(version.family().engine, version.engine);
        }
        for engine in ["memcached", "redis", "valkey"] {
            assert_eq!(VERSIONS.iter().filter(|v| v.engine == engine && v.default).count(), 1, "{engine}");
        }
        for family in FAMILIES {
            assert!(VERSIONS.iter().any(|version| version.family == family.name), "{}", family.name);
        }
    }

    #[test]
    fn what_a_cache_gets() {
        for (engine, version, full) in [
            ("redis", None, "7.1.0"),
            ("Redis", Some("7.0"), "7.0.7"),
            ("redis", Some("6.x"), "6.2.6"),
            ("valkey", None, "9.0.0"),
            ("memcached", Some("1.6.12"), "1.6.12"),
        ] {
            assert_eq!(resolve(engine, version).unwrap().full, full);
        }
        for version in ["7.1.0", "2.8.24", "6.x ", "", "8.0"] {
            let error = resolve("redis", Some(version)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("InvalidParameterCombination: Cannot find version {version} for redis")
            );
        }
        assert_eq!(resolve("valkey", Some("6.x")).unwrap_err().code, "InvalidParameterCombination");
        assert_eq!(resolve("mongo", None).unwrap_err().code, "InvalidParameterValue");
    }
}

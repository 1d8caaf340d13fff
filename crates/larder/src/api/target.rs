//! Which service to talk to, and with which key.
//!
//! `--data-dir` wins. Then AWS_ENDPOINT_URL_ELASTICACHE with the AWS_* keys, as `larder env` exports them. Then
//! `service.json` of the default data folder. The AWS_* keys are used only together with that endpoint variable:
//! whoever has keys of a real account in the shell does not send them here by accident.

use std::path::{Path, PathBuf};

use larder_service::ServiceInfo;

use crate::arguments::Where;
use crate::failure::{Code, Failure};

const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL_ELASTICACHE";

/// An endpoint, the region it plays, and a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    /// For error messages: where this came from.
    pub(crate) origin: String,
}

/// The folder that `larder up` uses when none is given: $LARDER_DATA, $XDG_DATA_HOME/larder, ~/.local/share/larder.
pub(crate) fn data_dir(place: &Where) -> Result<PathBuf, Failure> {
    if let Some(folder) = &place.data_dir {
        return Ok(folder.clone());
    }
    let folder = path_variable("LARDER_DATA").or_else(usual_data_dir);
    folder.ok_or_else(|| {
        Failure::new(Code::WrongUse, "no data folder: HOME is not set").hint("Give --data-dir FOLDER.")
    })
}

/// The folder where nobody names another one.
pub(crate) fn usual_data_dir() -> Option<PathBuf> {
    let home = || path_variable("HOME").map(|home| home.join(".local/share"));
    path_variable("XDG_DATA_HOME").or_else(home).map(|folder| folder.join("larder"))
}

fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// What the service wrote about itself in its data folder.
pub(crate) fn service_info(folder: &Path) -> Result<ServiceInfo, Failure> {
    let path = folder.join("service.json");
    let text = std::fs::read_to_string(&path).map_err(|error| no_service(&path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::failed(format!("{} is damaged: {error}", path.display()))
            .hint("Start the service again: larder up")
    })
}

fn no_service(path: &Path, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path).display().to_string();
            Failure::new(
                Code::Unreachable,
                format!("no Larder service has been started with the data folder {folder}"),
            )
            .hint("Start one: larder up      (another folder: --data-dir FOLDER, or LARDER_DATA)")
        }
        std::io::ErrorKind::PermissionDenied => {
            Failure::new(Code::Denied, format!("{} belongs to another user", path.display()))
                .hint("It holds the access key, so only the user who runs the service can read it.")
        }
        _ => Failure::failed(format!("cannot read {}: {error}", path.display())),
    }
}

/// Finds the service that the command is meant for.
pub(crate) fn find(place: &Where) -> Result<Target, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if place.data_dir.is_none()
        && let Some(endpoint) = variable(ENDPOINT_VARIABLE)
    {
        return from_environment(endpoint, variable);
    }
    let folder = data_dir(place)?;
    let info = service_info(&folder)?;
    Ok(Target {
        endpoint: info.endpoint,
        region: info.region,
        access_key_id: info.access_key_id,
        secret_access_key: info.secret_access_key,
        origin: folder.join("service.json").display().to_string(),
    })
}

fn from_environment(endpoint: String, variable: impl Fn(&str) -> Option<String>) -> Result<Target, Failure> {
    let (Some(access_key_id), Some(secret_access_key)) =
        (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
    else {
        return Err(Failure::new(
            Code::Denied,
            format!("{ENDPOINT_VARIABLE} is set, but the AWS access key is not"),
        )
        .hint("Set both: eval \"$(larder env)\"      (or unset the variable)"));
    };
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    Ok(Target {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        region: region.unwrap_or_else(|| "us-east-1".into()),
        access_key_id,
        secret_access_key,
        origin: format!("${ENDPOINT_VARIABLE}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_needs_a_whole_key() {
        let half = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| "AKIA".to_owned());
        assert_eq!(from_environment("http://x".into(), half).unwrap_err().code, Code::Denied);
        let whole = |name: &str| name.starts_with("AWS_").then(|| name.to_owned());
        let target = from_environment("http://x/".into(), whole).unwrap();
        assert_eq!((target.endpoint.as_str(), target.region.as_str()), ("http://x", "AWS_REGION"));
    }

    #[test]
    fn a_folder_without_a_service_says_how_to_start_one() {
        let folder = tempfile::tempdir().unwrap();
        let failure = service_info(folder.path()).unwrap_err();
        assert_eq!(failure.code, Code::Unreachable);
        assert!(failure.to_string().contains("larder up"));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("service.json"), "{").unwrap();
        assert!(service_info(folder.path()).unwrap_err().to_string().contains("service.json is damaged"));
    }
}

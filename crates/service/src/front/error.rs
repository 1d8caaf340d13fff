//! Errors as a client of the API sees them: a code, a message, a status and who is to blame.

/// An error of the API. SDKs turn `code` into a type of their own, so it must be exactly ElastiCache's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// ElastiCache's word for it.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Text for people.
    pub message: String,
    /// Whether the caller is to blame (`Sender`) or we are (`Receiver`; SDKs then try again).
    pub sender: bool,
}

/// Code of a lost race: SDKs try again.
const CONFLICT: &str = "ServiceUnavailable";

/// Codes whose status is not 400.
const STATUSES: &[(&str, u16)] = &[
    ("AuthorizationNotFound", 404),
    ("CacheClusterNotFound", 404),
    ("CacheParameterGroupNotFound", 404),
    ("CacheSecurityGroupNotFound", 404),
    ("GlobalReplicationGroupNotFoundFault", 404),
    ("NodeGroupNotFoundFault", 404),
    ("ReplicationGroupNotFoundFault", 404),
    ("ReservedCacheNodeAlreadyExists", 404),
    ("ReservedCacheNodeNotFound", 404),
    ("ReservedCacheNodesOfferingNotFound", 404),
    ("ServerlessCacheNotFoundFault", 404),
    ("ServerlessCacheSnapshotNotFoundFault", 404),
    ("ServiceUpdateNotFoundFault", 404),
    ("SnapshotNotFoundFault", 404),
    ("TagNotFound", 404),
    ("UserGroupNotFound", 404),
    ("UserNotFound", 404),
    ("MalformedQueryString", 404),
    ("InvalidCredentialsException", 408),
    ("AccessDenied", 403),
    ("ExpiredToken", 403),
    ("InvalidClientTokenId", 403),
    ("MissingAuthenticationToken", 403),
    ("OptInRequired", 403),
    ("SignatureDoesNotMatch", 403),
    ("NoSuchEntity", 404),
    ("ResourceNotFound", 404),
    ("ResourceNotFoundException", 404),
    ("DeleteConflict", 409),
    ("EntityAlreadyExists", 409),
    ("LimitExceeded", 409),
    ("UnauthorizedOperation", 403),
    ("RequestEntityTooLarge", 413),
    ("RequestTimeout", 408),
    ("MethodNotAllowed", 405),
    ("InternalFailure", 500),
    ("ServiceUnavailable", 503),
];

impl ApiError {
    /// An error of that code, with the status that ElastiCache gives it.
    pub fn new(code: &'static str, message: impl Into<String>) -> ApiError {
        let status = STATUSES.iter().find(|(name, _)| *name == code).map_or(400, |(_, status)| *status);
        ApiError { code, status, message: message.into(), sender: status < 500 }
    }

    /// `InvalidParameterValue`.
    pub fn invalid_value(message: impl Into<String>) -> ApiError {
        ApiError::new("InvalidParameterValue", message)
    }

    /// `InvalidParameterCombination`.
    pub fn invalid_combination(message: impl Into<String>) -> ApiError {
        ApiError::new("InvalidParameterCombination", message)
    }

    /// `MissingParameter`, in the words of the Query front ends of AWS.
    pub fn missing(parameter: &str) -> ApiError {
        ApiError::new("MissingParameter", format!("The request must contain the parameter {parameter}"))
    }

    /// Whether it says that a record was changed by somebody else meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.code == CONFLICT
    }

    /// `InternalFailure`; `why` goes to the log, not to the client.
    pub fn internal(why: &dyn std::fmt::Display) -> ApiError {
        tracing::error!("a call failed: {why}");
        ApiError::new("InternalFailure", "An internal error has occurred.")
    }
}

impl From<crate::state::StateError> for ApiError {
    /// A lost race asks the SDK to try again; everything else of the store is our failure.
    fn from(error: crate::state::StateError) -> ApiError {
        use crate::state::StateError;
        match error {
            StateError::Conflict { .. } => ApiError::new(
                "ServiceUnavailable",
                "The resource is being changed by another call. Try again.",
            ),
            StateError::TooLarge { .. } => ApiError::invalid_value("The resource is too large."),
            other => ApiError::internal(&other),
        }
    }
}

impl From<crate::resource::refusal::Refusal> for ApiError {
    fn from(refusal: crate::resource::refusal::Refusal) -> ApiError {
        ApiError::new(refusal.code, refusal.message)
    }
}

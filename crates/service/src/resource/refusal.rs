//! Why a rule refuses a request: an error code of ElastiCache and the words for the caller.

/// A refusal. The code is the one on the wire; the front door knows its HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Code on the wire, such as `InvalidParameterValue`.
    pub code: &'static str,
    /// Words for the caller.
    pub message: String,
}

impl Refusal {
    /// A refusal with any code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    /// One parameter is wrong by itself.
    pub fn value(message: impl Into<String>) -> Refusal {
        Refusal::new("InvalidParameterValue", message)
    }

    /// Parameters do not fit together, or not to what is there.
    pub fn combination(message: impl Into<String>) -> Refusal {
        Refusal::new("InvalidParameterCombination", message)
    }

    /// The cluster is busy or in a condition that forbids the change.
    pub fn cluster_state(message: impl Into<String>) -> Refusal {
        Refusal::new("InvalidCacheClusterState", message)
    }
}

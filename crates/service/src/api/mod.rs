//! The neighbours of ElastiCache that its users' tools call: IAM, STS, EC2's networks, CloudWatch. Each has a folder.
//!
//! The service name in the scope of a call's signature picks the API. Every operation goes through the frame of its
//! API, which decodes a typed input and asks for permission before anything is done. ElastiCache's own operations
//! stand in `operation`.

pub mod ec2;
pub mod iam;
pub mod monitoring;
mod query;
pub mod sts;

use crate::front::{Answer, ApiError, Request, Xml};
use crate::operation::{App, Caller};

/// Content type of Smithy RPC v2 CBOR.
pub const CBOR: &str = "application/cbor";

/// An API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// ElastiCache.
    ElastiCache,
    /// The networks of EC2.
    Ec2,
    /// IAM.
    Iam,
    /// STS.
    Sts,
    /// CloudWatch.
    Monitoring,
}

impl Api {
    /// The API of a service name in a signature's scope.
    pub fn of(service: &str) -> Option<Api> {
        Some(match service {
            "elasticache" => Api::ElastiCache,
            "ec2" => Api::Ec2,
            "iam" => Api::Iam,
            "sts" => Api::Sts,
            "monitoring" => Api::Monitoring,
            _ => return None,
        })
    }

    /// The API that a request says it is for, before that is proven: only good for the form of a refusal.
    pub(crate) fn claimed(request: &Request) -> Api {
        let header = request.headers.iter().find(|(name, _)| name == "authorization");
        let credential = header.and_then(|(_, value)| value.split("Credential=").nth(1));
        let service = credential.and_then(|credential| credential.split('/').nth(3));
        service.and_then(Api::of).unwrap_or(Api::ElastiCache)
    }

    /// Answers a call.
    pub(crate) fn answer(
        self,
        app: &App,
        caller: &Caller,
        request: &Request,
        request_id: &str,
    ) -> Result<Answer, ApiError> {
        match self {
            Api::ElastiCache => Err(ApiError::internal(&"ElastiCache is answered elsewhere")),
            Api::Ec2 => ec2::answer(app, caller, request, request_id),
            Api::Iam => iam::answer(app, caller, request, request_id),
            Api::Sts => sts::answer(app, caller, request, request_id),
            Api::Monitoring => monitoring::answer(app, caller, request, request_id),
        }
    }

    /// The answer for a call that was refused, in the form of the API.
    pub(crate) fn refusal(self, request: &Request, error: ApiError, request_id: &str) -> Answer {
        let namespace = match self {
            Api::ElastiCache => return Answer::refusal(&error, request_id),
            Api::Ec2 => return ec2::refusal(error, request_id),
            Api::Monitoring => return monitoring::refusal(request, &error, request_id),
            Api::Iam => iam::NAMESPACE,
            Api::Sts => sts::NAMESPACE,
        };
        Answer::xml(error.status, Xml::error_response_of(namespace, &error, request_id))
    }
}

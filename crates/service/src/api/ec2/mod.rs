//! The networks of EC2, version 2016-11-15: VPCs, subnets, security groups, and what tools read beside them.
//!
//! EC2 has its own dialect of the Query protocol: elements of lists are numbered without a name, answers carry their
//! members beside the request id, and errors stand in a list.

mod attribute;
mod filter;
mod group;
mod interface;
mod network;
mod rule;
mod rules;
mod subnet;
mod tag;
mod vpc;
mod zone;

use super::query::{Action, checked, find};
use crate::front::{Answer, ApiError, Request, Xml, form_of};
use crate::operation::{App, Caller};

pub use network::{default_records, security_groups_of};

/// Namespace of answers.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

macro_rules! action {
    ($name:literal, $run:expr) => {
        Action {
            name: $name,
            result: false,
            run: |app, caller, form| checked(concat!("ec2:", $name), form.decode_flat()?, app, caller, $run),
        }
    };
}

const ACTIONS: &[Action] = &[
    action!("AuthorizeSecurityGroupEgress", rule::authorize_egress),
    action!("AuthorizeSecurityGroupIngress", rule::authorize_ingress),
    action!("CreateSecurityGroup", group::create),
    action!("CreateSubnet", subnet::create),
    action!("CreateTags", tag::create),
    action!("CreateVpc", vpc::create),
    action!("DeleteSecurityGroup", group::delete),
    action!("DeleteSubnet", subnet::delete),
    action!("DeleteTags", tag::delete),
    action!("DeleteVpc", vpc::delete),
    action!("DescribeAccountAttributes", zone::account_attributes),
    action!("DescribeAvailabilityZones", zone::describe),
    action!("DescribeInternetGateways", interface::internet_gateways),
    action!("DescribeNetworkAcls", interface::network_acls),
    action!("DescribeNetworkInterfaces", interface::describe),
    action!("DescribeRouteTables", interface::route_tables),
    action!("DescribeSecurityGroupRules", rules::describe),
    action!("DescribeSecurityGroups", group::describe),
    action!("DescribeSubnets", subnet::describe),
    action!("DescribeTags", tag::describe),
    action!("DescribeVpcAttribute", attribute::describe),
    action!("DescribeVpcs", vpc::describe),
    action!("ModifySecurityGroupRules", rules::modify),
    action!("ModifySubnetAttribute", attribute::modify_subnet),
    action!("ModifyVpcAttribute", attribute::modify_vpc),
    action!("RevokeSecurityGroupEgress", rule::revoke_egress),
    action!("RevokeSecurityGroupIngress", rule::revoke_ingress),
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
    Ok(Answer::xml(200, xml.into_ec2_response(NAMESPACE, action.name, request_id)))
}

/// The answer for a call that was refused. EC2 has words of its own for some reasons.
pub(super) fn refusal(error: ApiError, request_id: &str) -> Answer {
    let error = match error.code {
        "AccessDenied" => ApiError::new(
            "UnauthorizedOperation",
            format!("You are not authorized to perform this operation. {}", error.message),
        ),
        "ServiceUnavailable" => ApiError { code: "Unavailable", ..error },
        "InternalFailure" => ApiError { code: "InternalError", ..error },
        "SignatureDoesNotMatch" | "InvalidClientTokenId" => {
            ApiError { code: "AuthFailure", status: 401, ..error }
        }
        _ => error,
    };
    Answer::xml(error.status, Xml::ec2_error_response(&error, request_id))
}

/// A new id of that prefix.
fn new_id(prefix: &str) -> String {
    format!("{prefix}-{}", crate::random::seventeen_digits())
}

/// The error for an id that names nothing.
fn not_found(code: &'static str, what: &str, id: &str) -> ApiError {
    let shown: String = id.chars().take(64).collect();
    ApiError::new(code, format!("The {what} ID '{shown}' does not exist"))
}

/// ARN of something of EC2.
fn arn(caller: &Caller, sort: &str, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:{sort}/{id}", caller.region, caller.account)
}

/// Writes what ends every answer of an operation that gives nothing back.
fn done() -> Xml {
    let mut xml = Xml::new();
    xml.boolean("return", true);
    xml
}

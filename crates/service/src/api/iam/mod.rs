//! IAM, version 2010-05-08: users, access keys, groups, roles, policies.

mod boundary;
mod credential;
mod find;
mod group;
mod holder;
mod instance_profile;
mod key;
mod policy;
mod role;
mod simulate;
mod tag;
mod user;
mod version;

use super::query::{Action, checked, find};
use crate::front::{Answer, ApiError, Request, form_of};
use crate::operation::{App, Caller};
use crate::resource::iam::{Group, InstanceProfile, Role, User};

/// Namespace of answers.
pub const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

macro_rules! action {
    ($name:literal, $result:literal, $run:expr) => {
        Action {
            name: $name,
            result: $result,
            run: |app, caller, form| checked(concat!("iam:", $name), form.decode()?, app, caller, $run),
        }
    };
}

const ACTIONS: &[Action] = &[
    action!("AddRoleToInstanceProfile", false, instance_profile::add_role),
    action!("AddUserToGroup", false, group::add_user),
    action!("AttachGroupPolicy", false, holder::attach::<Group>),
    action!("AttachRolePolicy", false, holder::attach::<Role>),
    action!("AttachUserPolicy", false, holder::attach::<User>),
    action!("CreateAccessKey", true, key::create),
    action!("CreateAccountAlias", false, credential::create_alias),
    action!("CreateGroup", true, group::create),
    action!("CreateInstanceProfile", true, instance_profile::create),
    action!("CreatePolicy", true, policy::create),
    action!("CreatePolicyVersion", true, version::create),
    action!("CreateRole", true, role::create),
    action!("CreateUser", true, user::create),
    action!("DeleteAccessKey", false, key::delete),
    action!("DeleteAccountAlias", false, credential::delete_alias),
    action!("DeleteGroup", false, group::delete),
    action!("DeleteGroupPolicy", false, holder::delete_inline::<Group>),
    action!("DeleteInstanceProfile", false, instance_profile::delete),
    action!("DeleteLoginProfile", false, credential::login_profile),
    action!("DeletePolicy", false, policy::delete),
    action!("DeletePolicyVersion", false, version::delete),
    action!("DeleteRole", false, role::delete),
    action!("DeleteRolePermissionsBoundary", false, boundary::delete::<Role>),
    action!("DeleteRolePolicy", false, holder::delete_inline::<Role>),
    action!("DeleteUser", false, user::delete),
    action!("DeleteUserPermissionsBoundary", false, boundary::delete::<User>),
    action!("DeleteUserPolicy", false, holder::delete_inline::<User>),
    action!("DetachGroupPolicy", false, holder::detach::<Group>),
    action!("DetachRolePolicy", false, holder::detach::<Role>),
    action!("DetachUserPolicy", false, holder::detach::<User>),
    action!("GetGroup", true, group::get),
    action!("GetGroupPolicy", true, holder::get_inline::<Group>),
    action!("GetInstanceProfile", true, instance_profile::get),
    action!("GetLoginProfile", true, credential::login_profile),
    action!("GetPolicy", true, policy::get),
    action!("GetPolicyVersion", true, version::get),
    action!("GetRole", true, role::get),
    action!("GetRolePolicy", true, holder::get_inline::<Role>),
    action!("GetUser", true, user::get),
    action!("GetUserPolicy", true, holder::get_inline::<User>),
    action!("ListAccessKeys", true, key::list),
    action!("ListAccountAliases", true, credential::list_aliases),
    action!("ListAttachedGroupPolicies", true, holder::list_attached::<Group>),
    action!("ListAttachedRolePolicies", true, holder::list_attached::<Role>),
    action!("ListAttachedUserPolicies", true, holder::list_attached::<User>),
    action!("ListEntitiesForPolicy", true, policy::entities),
    action!("ListGroupPolicies", true, holder::list_inline::<Group>),
    action!("ListGroups", true, group::list),
    action!("ListGroupsForUser", true, group::of_user),
    action!("ListInstanceProfileTags", true, tag::list::<InstanceProfile>),
    action!("ListInstanceProfiles", true, instance_profile::list),
    action!("ListInstanceProfilesForRole", true, instance_profile::list_of_role),
    action!("ListMFADevices", true, credential::mfa_devices),
    action!("ListPolicies", true, policy::list),
    action!("ListPolicyTags", true, tag::list_of_policy),
    action!("ListPolicyVersions", true, version::list),
    action!("ListRolePolicies", true, holder::list_inline::<Role>),
    action!("ListRoleTags", true, tag::list::<Role>),
    action!("ListRoles", true, role::list),
    action!("ListSSHPublicKeys", true, credential::ssh_keys),
    action!("ListServiceSpecificCredentials", true, credential::of_services),
    action!("ListSigningCertificates", true, credential::certificates),
    action!("ListUserPolicies", true, holder::list_inline::<User>),
    action!("ListUserTags", true, tag::list::<User>),
    action!("ListUsers", true, user::list),
    action!("ListVirtualMFADevices", true, credential::virtual_mfa_devices),
    action!("PutGroupPolicy", false, holder::put_inline::<Group>),
    action!("PutRolePermissionsBoundary", false, boundary::put::<Role>),
    action!("PutRolePolicy", false, holder::put_inline::<Role>),
    action!("PutUserPermissionsBoundary", false, boundary::put::<User>),
    action!("PutUserPolicy", false, holder::put_inline::<User>),
    action!("RemoveRoleFromInstanceProfile", false, instance_profile::remove_role),
    action!("RemoveUserFromGroup", false, group::remove_user),
    action!("SetDefaultPolicyVersion", false, version::set_default),
    action!("SimulatePrincipalPolicy", true, simulate::principal),
    action!("TagInstanceProfile", false, tag::add::<InstanceProfile>),
    action!("TagPolicy", false, tag::add_to_policy),
    action!("TagRole", false, tag::add::<Role>),
    action!("TagUser", false, tag::add::<User>),
    action!("UntagInstanceProfile", false, tag::remove::<InstanceProfile>),
    action!("UntagPolicy", false, tag::remove_from_policy),
    action!("UntagRole", false, tag::remove::<Role>),
    action!("UntagUser", false, tag::remove::<User>),
    action!("UpdateAccessKey", false, key::update),
    action!("UpdateAssumeRolePolicy", false, role::update_trust),
    action!("UpdateRole", true, role::update),
    action!("UpdateUser", false, user::update),
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

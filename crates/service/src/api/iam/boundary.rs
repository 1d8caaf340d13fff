//! Permissions boundaries: Put…PermissionsBoundary, Delete…PermissionsBoundary.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer};

use super::find;
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::Holder;
use crate::state::replace;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    user_name: Option<String>,
    role_name: Option<String>,
    permissions_boundary: Option<String>,
}

/// The input of both.
pub(super) struct Boundary<H> {
    name: String,
    arn: Option<String>,
    sort: PhantomData<fn() -> H>,
}

impl<'de, H: Holder> Deserialize<'de> for Boundary<H> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parameters = Parameters::deserialize(deserializer)?;
        let (name, parameter) = match H::SORT {
            "user" => (parameters.user_name, "UserName"),
            _ => (parameters.role_name, "RoleName"),
        };
        let name = name.ok_or_else(|| serde::de::Error::missing_field(parameter))?;
        Ok(Boundary { name, arn: parameters.permissions_boundary, sort: PhantomData })
    }
}

impl<H: Holder> Input for Boundary<H> {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<H>(app, caller, &self.name)?])
    }
}

pub(super) fn put<H: Holder>(app: &App, caller: &Caller, input: Boundary<H>) -> Result<Xml, ApiError> {
    let arn = input.arn.ok_or_else(|| ApiError::missing("PermissionsBoundary"))?;
    retrying(|| {
        let hold = find::hold_policy(app, caller, &arn)?;
        let mut stored = find::holder::<H>(app, &input.name)?;
        stored.value.entity_mut().permissions.boundary = Some(arn.clone());
        let mut changes = vec![replace(&stored.value, stored.revision)?];
        changes.extend(hold);
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn delete<H: Holder>(app: &App, _caller: &Caller, input: Boundary<H>) -> Result<Xml, ApiError> {
    find::change::<H>(app, &input.name, |holder| {
        holder.entity_mut().permissions.boundary = None;
        Ok(())
    })?;
    Ok(Xml::new())
}

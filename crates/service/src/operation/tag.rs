//! What the operations on tags share: whether the resource is there, its tags, and their form in answers.

use super::{App, Caller, parameter_group, subnet_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::cluster::Cluster;
use crate::resource::parameter_group::ParameterGroup;
use crate::resource::reserved::{self, Reservation};
use crate::resource::snapshot::{self, Snapshot};
use crate::resource::subnet_group::SubnetGroup;
use crate::resource::tag::TagSet;
use crate::resource::user::{User, UserGroup};
use crate::state::{self, Change, Expect, Resource};

/// Sorts of resources that are not here yet, or in no account with VPCs, with the error for one that is not found.
const NOT_FOUND: &[(&str, &str)] = &[
    ("cluster", "CacheClusterNotFound"),
    ("replicationgroup", "ReplicationGroupNotFoundFault"),
    ("reserved-instance", "ReservedCacheNodeNotFound"),
    ("securitygroup", "CacheSecurityGroupNotFound"),
    ("serverlesscache", "ServerlessCacheNotFoundFault"),
    ("serverlesscachesnapshot", "ServerlessCacheSnapshotNotFoundFault"),
    ("snapshot", "SnapshotNotFoundFault"),
    ("user", "UserNotFound"),
    ("usergroup", "UserGroupNotFound"),
    ("globalreplicationgroup", "GlobalReplicationGroupNotFoundFault"),
];

/// A resource that has tags.
pub(super) struct Tagged {
    /// Its tags.
    pub(super) tags: TagSet,
    record: Option<state::Record>,
    tags_revision: Option<u64>,
}

/// Reads `ResourceName`.
///
/// # Errors
/// `InvalidARN`.
pub(super) fn arn(text: &str) -> Result<Arn, ApiError> {
    Ok(Arn::parse(text)?)
}

/// Finds a resource and its tags.
///
/// # Errors
/// `InvalidARN` for an ARN of another region or an unknown sort, and the not-found error of the sort.
pub(super) fn find(app: &App, caller: &Caller, arn: &Arn) -> Result<Tagged, ApiError> {
    if arn.region != caller.region && !arn.region.is_empty() {
        return Err(ApiError::new(
            "InvalidARN",
            format!("The ARN {arn} is not of the region {}.", caller.region),
        ));
    }
    let record = find_record(app, arn)?;
    let found = state::find::<TagSet>(app.records.as_ref(), &TagSet::id_of(&arn.sort, &arn.name))?;
    let tags_revision = found.as_ref().map(|stored| stored.revision);
    let tags = found.map_or_else(|| TagSet::none(&arn.sort, &arn.name), |stored| stored.value);
    Ok(Tagged { tags, record, tags_revision })
}

/// The record of the resource; default groups have none.
fn find_record(app: &App, arn: &Arn) -> Result<Option<state::Record>, ApiError> {
    let kind = match arn.sort.as_str() {
        subnet_group::SORT => {
            subnet_group::find(app, &arn.name)?;
            SubnetGroup::KIND
        }
        parameter_group::SORT => {
            parameter_group::find(app, &arn.name)?;
            ParameterGroup::KIND
        }
        super::user::SORT => {
            let (user, _) = super::user::find_user(app, &arn.name)?;
            return Ok(app.records.get(User::KIND, &user.id)?);
        }
        super::user::GROUP_SORT => {
            super::user::find_user_group(app, &arn.name)?;
            UserGroup::KIND
        }
        "replicationgroup" => {
            let record = app.records.get(crate::resource::group::Group::KIND, &arn.name)?;
            return record.map(Some).ok_or_else(|| not_found(arn));
        }
        reserved::SORT => {
            let record = app.records.get(Reservation::KIND, &arn.name)?;
            return record.map(Some).ok_or_else(|| not_found(arn));
        }
        snapshot::SORT => {
            let record = app.records.get(Snapshot::KIND, &arn.name)?;
            return record.map(Some).ok_or_else(|| not_found(arn));
        }
        "cluster" => {
            let record = app.records.get(Cluster::KIND, &arn.name)?;
            return record.map(Some).ok_or_else(|| not_found(arn));
        }
        _ => return Err(not_found(arn)),
    };
    Ok(app.records.get(kind, &arn.name)?)
}

fn not_found(arn: &Arn) -> ApiError {
    match NOT_FOUND.iter().find(|(sort, _)| *sort == arn.sort) {
        Some((_, code)) => ApiError::new(code, format!("{} not found: {}", arn.sort, arn.name)),
        None => ApiError::new("InvalidARN", format!("The ARN {arn} names no resource that can have tags.")),
    }
}

impl Tagged {
    /// Writes the tags. The resource is written as it was, too, so that it cannot go away meanwhile and leave tags.
    pub(super) fn store(&self, app: &App) -> Result<(), ApiError> {
        let Some(record) = &self.record else {
            return Err(ApiError::invalid_value("Default groups cannot have tags."));
        };
        let same = Change {
            kind: record.kind.clone(),
            id: record.id.clone(),
            expect: Expect::Revision(record.revision),
            body: Some(record.body.to_vec()),
        };
        let tags = match self.tags_revision {
            Some(revision) => state::replace(&self.tags, revision)?,
            None => state::create(&self.tags)?,
        };
        app.records.apply(&[same, tags])?;
        Ok(())
    }

    /// The answer of all three operations: every tag of the resource.
    pub(super) fn answer(&self) -> Xml {
        let mut xml = Xml::new();
        xml.list("TagList", "Tag", &self.tags.tags, |xml, (key, value)| {
            xml.text("Key", key).text("Value", value);
        });
        xml
    }
}

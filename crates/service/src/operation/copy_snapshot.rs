//! CopySnapshot.

use serde::Deserialize;

use super::cache_cluster::not_available;
use super::retry::retrying;
use super::snapshot::{Uses, answer, exists, find_snapshot, object_size};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::group::ONLY_SHARD;
use crate::resource::kms;
use crate::resource::snapshot::{Object, Origin, SORT, Snapshot, bucket, identifier};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{create, find, put_any, replace};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CopySnapshot {
    source_snapshot_name: String,
    target_snapshot_name: String,
    target_bucket: Option<String>,
    kms_key_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CopySnapshot {
    fn resources(&self, caller: &Caller) -> Result<Vec<Arn>, ApiError> {
        Ok(vec![caller.arn(SORT, &self.source_snapshot_name), caller.arn(SORT, &self.target_snapshot_name)])
    }
}

/// Wants a copy of a snapshot, or its file in a bucket. Answers the copy.
pub(super) fn run(app: &App, caller: &Caller, input: CopySnapshot) -> Result<Xml, ApiError> {
    let key = input.kms_key_id.as_deref().map(kms::key).transpose()?;
    let target = identifier("TargetSnapshotName", &input.target_snapshot_name)?;
    match &input.target_bucket {
        Some(name) => {
            not_available("KmsKeyId for an object in a bucket", key.is_some())?;
            export(app, caller, &input, target, bucket(name)?)
        }
        None => copy(app, caller, &input, target, key),
    }
}

fn copy(
    app: &App,
    caller: &Caller,
    input: &CopySnapshot,
    target: String,
    key: Option<String>,
) -> Result<Xml, ApiError> {
    let mut tags = TagSet::none(SORT, &target);
    tags.add(input.tags.clone())?;
    retrying(|| {
        let whole = find_snapshot(app, &input.source_snapshot_name)?;
        whole.check(&Uses::now(app)?, &["available", "copying", "restoring"])?;
        if find::<Snapshot>(app.records.as_ref(), &target)?.is_some() {
            return Err(exists(&target));
        }
        let source = &whole.snapshot.value;
        let copy = Snapshot {
            name: target.clone(),
            created_ms: app.now_ms(),
            automatic: false,
            deleting: false,
            origin: Origin::Copy { of: source.name.clone() },
            exports: 0,
            export: None,
            kms_key: key.clone().or_else(|| source.kms_key.clone()),
            ..source.clone()
        };
        // The source is written as it was, so that it cannot be deleted at the same moment.
        let changes = [create(&copy)?, put_any(&tags)?, replace(source, whole.snapshot.revision)?];
        app.records.apply(&changes)?;
        Ok(answer(caller, copy, None))
    })
}

/// An export makes no snapshot; its answer has the name that the file is given.
fn export(
    app: &App,
    caller: &Caller,
    input: &CopySnapshot,
    target: String,
    bucket: &str,
) -> Result<Xml, ApiError> {
    let object = Object { bucket: bucket.to_owned(), key: format!("{target}-{ONLY_SHARD}.rdb") };
    if object_size(app, &object)?.is_some() {
        return Err(ApiError::invalid_value(format!(
            "The S3 bucket {bucket} already contains an object with the key {}.",
            object.key
        )));
    }
    retrying(|| {
        let whole = find_snapshot(app, &input.source_snapshot_name)?;
        whole.check_available(&Uses::now(app)?)?;
        let mut snapshot = whole.snapshot.value.clone();
        snapshot.exports += 1;
        snapshot.export = Some(object.clone());
        app.records.apply(&[replace(&snapshot, whole.snapshot.revision)?])?;
        let named = Snapshot { name: target.clone(), ..snapshot };
        Ok(answer(caller, named, whole.observed))
    })
}

//! DescribeAvailabilityZones, DescribeAccountAttributes.

use serde::Deserialize;

use super::filter::{Filter, passes};
use super::{network, subnet::zones};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAvailabilityZones {
    #[serde(default)]
    zone_name: Vec<String>,
    #[serde(default)]
    zone_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
}

impl Input for DescribeAvailabilityZones {}

pub(super) fn describe(
    app: &App,
    caller: &Caller,
    input: DescribeAvailabilityZones,
) -> Result<Xml, ApiError> {
    let all = zones(&app.region);
    if let Some(name) = input.zone_name.iter().find(|name| !all.iter().any(|(zone, _)| zone == *name)) {
        let shown: String = name.chars().take(64).collect();
        return Err(ApiError::invalid_value(format!("Invalid availability zone: [{shown}]")));
    }
    let mut found = Vec::new();
    for (name, id) in all {
        let is_named = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        let values = |filter: &str| {
            Some(vec![match filter {
                "zone-name" => name.clone(),
                "zone-id" => id.clone(),
                "region-name" | "group-name" => caller.region.clone(),
                "state" => "available".to_owned(),
                "zone-type" => "availability-zone".to_owned(),
                "opt-in-status" => "opt-in-not-required".to_owned(),
                _ => return None,
            }])
        };
        if is_named(&input.zone_name, &name)
            && is_named(&input.zone_id, &id)
            && passes(&input.filter, &[], values)?
        {
            found.push((name, id));
        }
    }
    let mut xml = Xml::new();
    xml.list("availabilityZoneInfo", "item", &found, |xml, (name, id)| {
        xml.text("optInStatus", "opt-in-not-required")
            .text("regionName", &caller.region)
            .text("groupName", &caller.region)
            .text("networkBorderGroup", &caller.region)
            .text("zoneType", "availability-zone")
            .text("zoneState", "available")
            .text("zoneName", name)
            .text("zoneId", id)
            .empty("messageSet");
    });
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAccountAttributes {
    #[serde(default)]
    attribute_name: Vec<String>,
}

impl Input for DescribeAccountAttributes {}

pub(super) fn account_attributes(
    app: &App,
    _caller: &Caller,
    input: DescribeAccountAttributes,
) -> Result<Xml, ApiError> {
    let default_vpc = network::default_vpc(app).map_or_else(|_| "none".to_owned(), |vpc| vpc.value.id);
    let all = [("supported-platforms", "VPC".to_owned()), ("default-vpc", default_vpc)];
    let wanted =
        |name: &str| input.attribute_name.is_empty() || input.attribute_name.iter().any(|n| n == name);
    let mut xml = Xml::new();
    xml.list(
        "accountAttributeSet",
        "item",
        all.iter().filter(|(name, _)| wanted(name)),
        |xml, (name, value)| {
            xml.text("attributeName", name);
            xml.element("attributeValueSet", |xml| {
                xml.element("item", |xml| {
                    xml.text("attributeValue", value);
                });
            });
        },
    );
    Ok(xml)
}

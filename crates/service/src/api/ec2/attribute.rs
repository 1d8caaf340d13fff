//! DescribeVpcAttribute, ModifyVpcAttribute, ModifySubnetAttribute.

use serde::Deserialize;

use super::{done, network};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller, retrying};
use crate::state::replace;

/// A truth value as attributes have it.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "PascalCase")]
struct Flag {
    value: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeVpcAttribute {
    vpc_id: String,
    attribute: String,
}

impl Input for DescribeVpcAttribute {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "vpc", &self.vpc_id)])
    }
}

pub(super) fn describe(app: &App, _caller: &Caller, input: DescribeVpcAttribute) -> Result<Xml, ApiError> {
    let vpc = network::vpc(app, &input.vpc_id)?.value;
    let value = match input.attribute.as_str() {
        "enableDnsSupport" => vpc.dns_support,
        "enableDnsHostnames" => vpc.dns_hostnames,
        "enableNetworkAddressUsageMetrics" => vpc.address_metrics,
        _ => return Err(ApiError::invalid_value("The attribute is not one of a VPC.")),
    };
    let mut xml = Xml::new();
    xml.text("vpcId", &vpc.id).element(&input.attribute, |xml| {
        xml.boolean("value", value);
    });
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyVpcAttribute {
    vpc_id: String,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
    enable_network_address_usage_metrics: Option<Flag>,
}

impl Input for ModifyVpcAttribute {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "vpc", &self.vpc_id)])
    }
}

pub(super) fn modify_vpc(app: &App, _caller: &Caller, input: ModifyVpcAttribute) -> Result<Xml, ApiError> {
    retrying(|| {
        let mut stored = network::vpc(app, &input.vpc_id)?;
        let vpc = &mut stored.value;
        let wanted = [
            (input.enable_dns_support, &mut vpc.dns_support),
            (input.enable_dns_hostnames, &mut vpc.dns_hostnames),
            (input.enable_network_address_usage_metrics, &mut vpc.address_metrics),
        ];
        for (flag, attribute) in wanted {
            *attribute = flag.map_or(*attribute, |flag| flag.value);
        }
        app.records.apply(&[replace(&stored.value, stored.revision)?])?;
        Ok(())
    })?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifySubnetAttribute {
    subnet_id: String,
    map_public_ip_on_launch: Option<Flag>,
    assign_ipv6_address_on_creation: Option<Flag>,
    map_customer_owned_ip_on_launch: Option<Flag>,
    enable_dns64: Option<Flag>,
}

impl Input for ModifySubnetAttribute {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "subnet", &self.subnet_id)])
    }
}

pub(super) fn modify_subnet(
    app: &App,
    _caller: &Caller,
    input: ModifySubnetAttribute,
) -> Result<Xml, ApiError> {
    let others =
        [input.assign_ipv6_address_on_creation, input.map_customer_owned_ip_on_launch, input.enable_dns64];
    if others.into_iter().flatten().any(|flag| flag.value) {
        return Err(ApiError::new("UnsupportedOperation", "The attribute is not available here."));
    }
    retrying(|| {
        let mut stored = network::subnet(app, &input.subnet_id)?;
        if let Some(flag) = input.map_public_ip_on_launch {
            stored.value.public_on_launch = flag.value;
        }
        app.records.apply(&[replace(&stored.value, stored.revision)?])?;
        Ok(())
    })?;
    Ok(done())
}

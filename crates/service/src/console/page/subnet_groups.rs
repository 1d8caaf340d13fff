//! Subnet groups: where the nodes of caches may live.

use crate::console::board::{Board, Cell, Done, Field, Form, Table, answer};
use crate::console::parameters::Parameters;
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};

/// The list, and the form for a new one.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    answer(visit, act(visit), || {
        let found = visit.all(Parameters::of("DescribeCacheSubnetGroups"), "CacheSubnetGroups")?;
        let row = |group: &Element| {
            let text = |name: &str| group.text_at(&[name]);
            let subnets = group.list("Subnets").iter().map(|subnet| {
                let zone = subnet.text_at(&["SubnetAvailabilityZone", "Name"]);
                format!("{} ({zone})", subnet.text_at(&["SubnetIdentifier"]))
            });
            vec![
                Cell::text(text("CacheSubnetGroupName")),
                Cell::text(text("CacheSubnetGroupDescription")),
                Cell::text(text("VpcId")),
                Cell::Text(subnets.collect::<Vec<_>>().join(", ")),
            ]
        };
        let intro = "The nodes of a cache live in the subnets, and so in the zones, of its group.";
        let mut board = Board::of(visit, "subnet-groups", "Subnet groups", intro);
        let rows = found.iter().map(row).collect();
        board.tables.push(Table {
            heading: "",
            columns: &["Name", "Description", "VPC", "Subnets"],
            rows,
            empty: "",
        });
        board.forms.push(Form::of(
            "create",
            "A new subnet group",
            "Create",
            vec![
                Field::needed(visit, "name", "Name"),
                Field::needed(visit, "description", "Description"),
                Field::checks(visit, "subnet", "Subnets", subnets(visit)?),
            ],
        ));
        let names = found.iter().map(|group| group.text_at(&["CacheSubnetGroupName"]).to_owned());
        let names: Vec<_> = names.filter(|name| name != "default").map(|name| (name.clone(), name)).collect();
        if !names.is_empty() {
            let consequences = ["Only a group that no cache uses can be deleted."];
            let mut form = Form::danger("delete", "Delete a subnet group", "Delete", &consequences);
            form.fields.push(Field::choice(visit, "group", "Group", names));
            board.forms.push(form);
        }
        Ok(board)
    })
}

fn subnets(visit: &Visit<'_>) -> Result<Vec<(String, String)>, ApiError> {
    let answer = visit.ec2(&Parameters::of("DescribeSubnets"))?;
    let option = |subnet: &Element| {
        let text = |name: &str| subnet.text_at(&[name]);
        let about = format!("{}, {} in {}", text("availabilityZone"), text("cidrBlock"), text("vpcId"));
        (text("subnetId").to_owned(), format!("{}: {about}", text("subnetId")))
    };
    Ok(answer.list("subnetSet").iter().map(option).collect())
}

fn act(visit: &Visit<'_>) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    let typed = |name: &str| visit.fields.text(name);
    let said = if typed("act") == "delete" {
        let call = Parameters::of("DeleteCacheSubnetGroup");
        visit.call(&call.text("CacheSubnetGroupName", typed("group")))?;
        format!("{} is deleted.", typed("group"))
    } else {
        let call = Parameters::of("CreateCacheSubnetGroup")
            .text("CacheSubnetGroupName", typed("name"))
            .text("CacheSubnetGroupDescription", typed("description"))
            .list("SubnetIds", "SubnetIdentifier", &visit.fields.texts("subnet"));
        visit.call(&call)?;
        format!("{} is there.", typed("name"))
    };
    Ok(Some((said, "/subnet-groups".to_owned())))
}

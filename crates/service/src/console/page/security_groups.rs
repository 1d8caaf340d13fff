//! Security groups: who may connect to the nodes of caches.

use crate::console::board::{Board, Cell, Done, Field, Form, Table, answer};
use crate::console::parameters::Parameters;
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};

/// The list, and the form for a new one.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    answer(visit, create(visit), || {
        let answer = visit.ec2(&Parameters::of("DescribeSecurityGroups"))?;
        let row = |group: &Element| {
            let text = |name: &str| group.text_at(&[name]);
            let id = text("groupId").to_owned();
            vec![
                Cell::Link(text("groupName").to_owned(), format!("/security-groups/{id}")),
                Cell::Code(id),
                Cell::text(text("vpcId")),
                Cell::text(text("groupDescription")),
            ]
        };
        let intro =
            "Rules are held at the nodes themselves, at once when they change. Open connections stay.";
        let mut board = Board::of(visit, "security-groups", "Security groups", intro);
        let rows = answer.list("securityGroupInfo").iter().map(row).collect();
        board.tables.push(Table {
            heading: "",
            columns: &["Name", "Id", "VPC", "Description"],
            rows,
            empty: "",
        });
        let vpcs = visit.ec2(&Parameters::of("DescribeVpcs"))?;
        let option = |vpc: &Element| {
            let id = vpc.text_at(&["vpcId"]);
            (id.to_owned(), format!("{id} ({})", vpc.text_at(&["cidrBlock"])))
        };
        board.forms.push(Form::of(
            "create",
            "A new security group",
            "Create",
            vec![
                Field::needed(visit, "name", "Name"),
                Field::needed(visit, "description", "Description"),
                Field::choice(visit, "vpc", "VPC", vpcs.list("vpcSet").iter().map(option).collect()),
            ],
        ));
        Ok(board)
    })
}

fn create(visit: &Visit<'_>) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    let typed = |name: &str| visit.fields.text(name);
    let call = Parameters::of("CreateSecurityGroup")
        .text("GroupName", typed("name"))
        .text("GroupDescription", typed("description"))
        .text("VpcId", typed("vpc"));
    let made = visit.ec2(&call)?;
    let path = format!("/security-groups/{}", made.text_at(&["groupId"]));
    Ok(Some((format!("{} is there. It lets nobody in yet.", typed("name")), path)))
}

/// One group: its rules for who comes in.
pub(in crate::console) fn one(visit: &Visit<'_>, id: &str) -> Result<Answer, ApiError> {
    answer(visit, act(visit, id), || board(visit, id))
}

fn act(visit: &Visit<'_>, id: &str) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    let typed = |name: &str| visit.fields.text(name);
    let here = format!("/security-groups/{id}");
    Ok(Some(match typed("act") {
        "delete" => {
            visit.ec2(&Parameters::of("DeleteSecurityGroup").text("GroupId", id))?;
            (format!("{id} is deleted."), "/security-groups".to_owned())
        }
        "revoke" => {
            let call = Parameters::of("RevokeSecurityGroupIngress").text("GroupId", id);
            visit.ec2(&call.text("SecurityGroupRuleId.1", typed("rule")))?;
            (format!("{} is taken away.", typed("rule")), here)
        }
        _ => {
            let call =
                Parameters::of("AuthorizeSecurityGroupIngress").text("GroupId", id).text("IpProtocol", "tcp");
            let call = call.number("FromPort", typed("from")).number("ToPort", typed("to"));
            visit.ec2(&call.text("CidrIp", typed("range")))?;
            (format!("{} may connect.", typed("range")), here)
        }
    }))
}

fn board(visit: &Visit<'_>, id: &str) -> Result<Board, ApiError> {
    let found = visit.ec2(&Parameters::of("DescribeSecurityGroups").text("GroupId.1", id))?;
    let missing =
        || ApiError { status: 404, ..ApiError::new("InvalidGroup.NotFound", "The group is not there.") };
    let group = found.list("securityGroupInfo").first().ok_or_else(missing)?;
    let text = |name: &str| group.text_at(&[name]).to_owned();
    let mut board = Board::of(visit, "security-groups", &text("groupName"), "");
    board.trail.push(("Security groups".to_owned(), "/security-groups".to_owned()));
    board.facts =
        vec![("Id", text("groupId")), ("VPC", text("vpcId")), ("Description", text("groupDescription"))];
    let call = Parameters::of("DescribeSecurityGroupRules");
    let rules = visit.ec2(&call.text("Filter.1.Name", "group-id").text("Filter.1.Value.1", id))?;
    let inbound: Vec<&Element> = rules
        .list("securityGroupRuleSet")
        .iter()
        .filter(|rule| rule.text_at(&["isEgress"]) != "true")
        .collect();
    let who = |rule: &Element| {
        let range = rule.text_at(&["cidrIpv4"]);
        let group = rule.text_at(&["referencedGroupInfo", "groupId"]);
        let other = rule.text_at(&["cidrIpv6"]);
        [range, group, other].into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
    };
    let ports = |rule: &Element| {
        let (from, to) = (rule.text_at(&["fromPort"]), rule.text_at(&["toPort"]));
        match (rule.text_at(&["ipProtocol"]), from == to) {
            ("-1", _) => "all".to_owned(),
            (protocol, true) => format!("{protocol} {from}"),
            (protocol, false) => format!("{protocol} {from} to {to}"),
        }
    };
    let row = |rule: &&Element| {
        let id = rule.text_at(&["securityGroupRuleId"]).to_owned();
        vec![Cell::Text(who(rule)), Cell::Text(ports(rule)), Cell::Code(id)]
    };
    board.tables.push(Table {
        heading: "",
        columns: &["Who", "Ports", "Rule"],
        rows: inbound.iter().map(row).collect(),
        empty: "Nobody may connect.",
    });
    let mut range = Field::needed(visit, "range", "Range of addresses");
    if let Field::Text { hint, .. } = &mut range {
        *hint = "Such as 127.0.0.0/8, or 10.1.2.3/32 for one address.";
    }
    let port = |name, label| Field::Number { name, label, value: visit.fields.text(name).to_owned() };
    let fields = vec![range, port("from", "First port"), port("to", "Last port")];
    board.forms.push(Form::of("authorize", "Let somebody in", "Add the rule", fields));
    if !inbound.is_empty() {
        let consequences = ["Who came in by this rule cannot connect any more; open connections stay."];
        let mut form = Form::danger("revoke", "Take a rule away", "Take it away", &consequences);
        let option = |rule: &&Element| {
            let id = rule.text_at(&["securityGroupRuleId"]);
            (id.to_owned(), format!("{} {} ({id})", who(rule), ports(rule)))
        };
        form.fields.push(Field::choice(visit, "rule", "Rule", inbound.iter().map(option).collect()));
        board.forms.push(form);
    }
    if text("groupName") != "default" {
        let consequences = ["Only a group that no cache and no rule uses can be deleted."];
        board.forms.push(Form::danger("delete", "Delete", "Delete the group", &consequences));
    }
    Ok(board)
}

//! Changing what a cache was made with. Only what differs from what it has now is sent.

use crate::console::board::{self, Board, Done, Field, Form};
use crate::console::cache::{self, Cache, Sort};
use crate::console::parameters::Parameters;
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};

/// The page, or what comes of its form.
pub(in crate::console) fn page(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    board::answer(visit, change(visit, &cache), || {
        let mut board = Board::of(visit, "caches", &format!("Change {id}"), "");
        board.trail = vec![("Caches".to_owned(), "/caches".to_owned()), (cache.id.clone(), cache.path())];
        let mut form = Form::of("", "What will happen", "Change", fields(visit, &cache)?);
        form.consequences = vec![
            "The changes count at once; clients stay connected.".to_owned(),
            "Parameters of another group that need a reboot wait for one.".to_owned(),
        ];
        form.cancel = Some(cache.path());
        board.forms.push(form);
        Ok(board)
    })
}

fn on_off() -> Vec<(String, String)> {
    [("on", "on"), ("off", "off")].map(|(value, text)| (value.to_owned(), text.to_owned())).to_vec()
}

/// Whether a status of the API says that something is on, or is becoming so.
fn is_on(status: &str) -> bool {
    status.starts_with("enabl")
}

fn fields(visit: &Visit<'_>, cache: &Cache) -> Result<Vec<Field>, ApiError> {
    let now =
        |name: &str, value: &str| if visit.is_post() { visit.fields.text(name) } else { value }.to_owned();
    let text = |name, label: &str, hint, value: &str| Field::Text {
        name,
        label: label.to_owned(),
        hint,
        value: now(name, value),
        is_needed: false,
    };
    let switch = |name, label, status: &str| Field::Choice {
        name,
        label,
        options: on_off(),
        value: now(name, if is_on(status) { "on" } else { "off" }),
    };
    let mut fields = Vec::new();
    if cache.is_group() {
        fields.push(text("description", "Description", "", &cache.description));
        fields.push(switch("failover", "Automatic failover", &cache.automatic_failover));
        fields.push(switch("multi_az", "Multi-AZ", &cache.multi_az));
    }
    fields.push(Field::Choice {
        name: "parameter_group",
        label: "Parameter group",
        options: parameter_groups(visit, cache)?,
        value: now("parameter_group", &cache.parameter_group),
    });
    let chosen: Vec<String> = if visit.is_post() {
        visit.fields.texts("security_group").into_iter().map(str::to_owned).collect()
    } else {
        cache.security_groups.clone()
    };
    let options = security_groups(visit)?;
    fields.push(Field::Checks { name: "security_group", label: "Security groups", options, values: chosen });
    if !cache.is_memcached() {
        let hint = "0 takes no snapshots by itself.";
        fields.push(text("retention", "Days that automatic snapshots are kept", hint, &cache.retention_days));
        fields.push(text("snapshot_window", "Window of snapshots (UTC)", "", &cache.snapshot_window));
    }
    fields.push(text("maintenance_window", "Window of maintenance (UTC)", "", &cache.maintenance_window));
    Ok(fields)
}

fn parameter_groups(visit: &Visit<'_>, cache: &Cache) -> Result<Vec<(String, String)>, ApiError> {
    let found = visit.all(Parameters::of("DescribeCacheParameterGroups"), "CacheParameterGroups")?;
    let family = |group: &Element| group.text_at(&["CacheParameterGroupFamily"]).to_owned();
    let name = |group: &Element| group.text_at(&["CacheParameterGroupName"]).to_owned();
    let own = found.iter().find(|group| name(group) == cache.parameter_group).map(family);
    let fitting = found.iter().filter(|group| Some(family(group)) == own);
    Ok(fitting.map(|group| (name(group), name(group))).collect())
}

fn security_groups(visit: &Visit<'_>) -> Result<Vec<(String, String)>, ApiError> {
    let answer = visit.ec2(&Parameters::of("DescribeSecurityGroups"))?;
    let option = |group: &Element| {
        let text = |name: &str| group.text_at(&[name]);
        (
            text("groupId").to_owned(),
            format!("{} ({}, {})", text("groupName"), text("groupId"), text("vpcId")),
        )
    };
    Ok(answer.list("securityGroupInfo").iter().map(option).collect())
}

fn change(visit: &Visit<'_>, cache: &Cache) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    let mut call = match cache.sort {
        Sort::Group => Parameters::of("ModifyReplicationGroup").text("ReplicationGroupId", &cache.id),
        Sort::Cluster => Parameters::of("ModifyCacheCluster").text("CacheClusterId", &cache.id),
    };
    let begun = call.values.len();
    // A field that the form did not have changes nothing.
    let differs = |name: &str, now: &str| {
        let typed = visit.fields.text(name);
        Some(typed).filter(|typed| visit.fields.has(name) && *typed != now)
    };
    for (field, parameter, now) in [
        ("description", "ReplicationGroupDescription", &cache.description),
        ("parameter_group", "CacheParameterGroupName", &cache.parameter_group),
        ("retention", "SnapshotRetentionLimit", &cache.retention_days),
        ("snapshot_window", "SnapshotWindow", &cache.snapshot_window),
        ("maintenance_window", "PreferredMaintenanceWindow", &cache.maintenance_window),
    ] {
        if let Some(typed) = differs(field, now) {
            call = call.given(parameter, typed);
        }
    }
    for (field, parameter, status) in [
        ("failover", "AutomaticFailoverEnabled", &cache.automatic_failover),
        ("multi_az", "MultiAZEnabled", &cache.multi_az),
    ] {
        if let Some(typed) = differs(field, if is_on(status) { "on" } else { "off" }) {
            call = call.flag(parameter, typed == "on");
        }
    }
    let (mut wanted, mut now) = (visit.fields.texts("security_group"), cache.security_groups.clone());
    wanted.sort_unstable();
    now.sort_unstable();
    if wanted != now && visit.fields.has("maintenance_window") {
        call = call.list("SecurityGroupIds", "SecurityGroupId", &wanted);
    }
    if call.values.len() == begun {
        return Ok(Some(("Nothing was to be changed.".to_owned(), cache.path())));
    }
    visit.call(&call.flag("ApplyImmediately", true))?;
    Ok(Some((format!("{} is being changed.", cache.id), cache.path())))
}

//! Users of caches and their groups: who may do what once connected.

use crate::console::board::{Board, Cell, Done, Field, Form, Table, answer};
use crate::console::parameters::Parameters;
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};

fn engines() -> Vec<(String, String)> {
    [("redis", "Redis OSS"), ("valkey", "Valkey")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec()
}

/// The users and the groups, with forms for new ones.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    answer(visit, create(visit), || {
        let users = visit.all(Parameters::of("DescribeUsers"), "Users")?;
        let groups = visit.all(Parameters::of("DescribeUserGroups"), "UserGroups")?;
        let intro = "A user group is given to a cache when it is created or changed; its users log in there.";
        let mut board = Board::of(visit, "users", "Users", intro);
        let user = |user: &Element| {
            let text = |name: &str| user.text_at(&[name]);
            let id = text("UserId").to_owned();
            vec![
                Cell::Link(id.clone(), format!("/users/{id}")),
                Cell::text(text("UserName")),
                Cell::status(text("Status")),
                Cell::text(text("Engine")),
                Cell::text(user.text_at(&["Authentication", "Type"])),
                Cell::Code(text("AccessString").to_owned()),
            ]
        };
        board.tables.push(Table {
            heading: "",
            columns: &["Id", "Name", "Status", "Engine", "Proof", "May"],
            rows: users.iter().map(user).collect(),
            empty: "There are no users.",
        });
        let group = |group: &Element| {
            let text = |name: &str| group.text_at(&[name]);
            let id = text("UserGroupId").to_owned();
            let list = |name: &str| {
                let texts: Vec<&str> = group.list(name).iter().map(|element| element.text.trim()).collect();
                texts.join(", ")
            };
            vec![
                Cell::Link(id.clone(), format!("/user-groups/{id}")),
                Cell::status(text("Status")),
                Cell::text(text("Engine")),
                Cell::Text(list("UserIds")),
                Cell::Text(list("ReplicationGroups")),
            ]
        };
        board.tables.push(Table {
            heading: "User groups",
            columns: &["Group", "Status", "Engine", "Users", "Caches"],
            rows: groups.iter().map(group).collect(),
            empty: "There are no user groups yet.",
        });
        let mut access = Field::needed(visit, "access", "Access string");
        if let Field::Text { hint, value, .. } = &mut access {
            *hint = "As ACL SETUSER takes it: on ~app:* +@read lets read keys that begin with app:.";
            if value.is_empty() {
                "on ~* +@all".clone_into(value);
            }
        }
        board.forms.push(Form::of(
            "user",
            "A new user",
            "Create the user",
            vec![
                Field::needed(visit, "id", "Id"),
                Field::needed(visit, "name", "Name to log in with"),
                Field::choice(visit, "engine", "Engine", engines()),
                access,
                Field::Secret {
                    name: "password",
                    label: "Password",
                    hint: "16 to 128 letters; empty for none.",
                },
            ],
        ));
        let options = users.iter().map(|user| {
            let id = user.text_at(&["UserId"]);
            (id.to_owned(), format!("{id} ({})", user.text_at(&["UserName"])))
        });
        board.forms.push(Form::of(
            "group",
            "A new user group",
            "Create the group",
            vec![
                Field::needed(visit, "group", "Id"),
                Field::choice(visit, "group_engine", "Engine", engines()),
                Field::checks(visit, "user", "Users (one of them named default)", options.collect()),
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
    let said = if typed("act") == "group" {
        let call = Parameters::of("CreateUserGroup")
            .text("UserGroupId", typed("group"))
            .text("Engine", typed("group_engine"))
            .list("UserIds", "member", &visit.fields.texts("user"));
        visit.call(&call)?;
        format!("{} is there.", typed("group"))
    } else {
        let password = visit.fields.texts("password");
        let call = Parameters::of("CreateUser")
            .text("UserId", typed("id"))
            .text("UserName", typed("name"))
            .text("Engine", typed("engine"))
            .text("AccessString", typed("access"))
            .list("Passwords", "member", &password);
        visit.call(&if password.is_empty() { call.flag("NoPasswordRequired", true) } else { call })?;
        format!("{} is there.", typed("id"))
    };
    Ok(Some((said, "/users".to_owned())))
}

/// One user.
pub(in crate::console) fn one(visit: &Visit<'_>, id: &str) -> Result<Answer, ApiError> {
    answer(visit, act(visit, id), || {
        let found = visit.all(Parameters::of("DescribeUsers").text("UserId", id), "Users")?;
        let missing = || ApiError::new("UserNotFound", format!("The user {id} is not there."));
        let user = found.first().ok_or_else(missing)?;
        let mut board = Board::of(visit, "users", id, "");
        board.trail.push(("Users".to_owned(), "/users".to_owned()));
        let text = |path: &[&str]| user.text_at(path).to_owned();
        let groups: Vec<&str> = user.list("UserGroupIds").iter().map(|group| group.text.trim()).collect();
        board.facts = vec![
            ("Name", text(&["UserName"])),
            ("Status", text(&["Status"])),
            ("Engine", text(&["Engine"])),
            ("Proof", text(&["Authentication", "Type"])),
            ("May", text(&["AccessString"])),
            ("Groups", groups.join(", ")),
            ("ARN", text(&["ARN"])),
        ];
        board.facts.retain(|(_, value)| !value.is_empty());
        let mut access = Field::needed(visit, "access", "Access string");
        if let Field::Text { value, .. } = &mut access
            && value.is_empty()
        {
            *value = text(&["AccessString"]);
        }
        let secret = Field::Secret { name: "password", label: "New password", hint: "Left empty, it stays." };
        let mut form = Form::of("modify", "Change", "Change the user", vec![access, secret]);
        form.consequences =
            vec!["It counts at once in all caches of its groups, also for who is logged in.".to_owned()];
        board.forms.push(form);
        if id != "default" {
            let consequences = ["It is taken out of its groups, and can log in nowhere any more."];
            board.forms.push(Form::danger("delete", "Delete", "Delete the user", &consequences));
        }
        Ok(board)
    })
}

fn act(visit: &Visit<'_>, id: &str) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    if visit.fields.text("act") == "delete" {
        visit.call(&Parameters::of("DeleteUser").text("UserId", id))?;
        return Ok(Some((format!("{id} is being deleted."), "/users".to_owned())));
    }
    let call =
        Parameters::of("ModifyUser").text("UserId", id).text("AccessString", visit.fields.text("access"));
    visit.call(&call.list("Passwords", "member", &visit.fields.texts("password")))?;
    Ok(Some((format!("{id} is being changed."), format!("/users/{id}"))))
}

/// One user group.
pub(in crate::console) fn group(visit: &Visit<'_>, id: &str) -> Result<Answer, ApiError> {
    answer(visit, act_on_group(visit, id), || {
        let found = visit.all(Parameters::of("DescribeUserGroups").text("UserGroupId", id), "UserGroups")?;
        let missing = || ApiError::new("UserGroupNotFound", format!("The user group {id} is not there."));
        let group = found.first().ok_or_else(missing)?;
        let mut board = Board::of(visit, "users", id, "");
        board.trail.push(("Users".to_owned(), "/users".to_owned()));
        let members: Vec<&str> = group.list("UserIds").iter().map(|user| user.text.trim()).collect();
        let caches: Vec<&str> =
            group.list("ReplicationGroups").iter().map(|cache| cache.text.trim()).collect();
        board.facts = vec![
            ("Status", group.text_at(&["Status"]).to_owned()),
            ("Engine", group.text_at(&["Engine"]).to_owned()),
            ("Users", members.join(", ")),
            ("Caches", caches.join(", ")),
            ("ARN", group.text_at(&["ARN"]).to_owned()),
        ];
        board.facts.retain(|(_, value)| !value.is_empty());
        let users = visit.all(Parameters::of("DescribeUsers"), "Users")?;
        let ids = users.iter().map(|user| user.text_at(&["UserId"]));
        let (inside, outside): (Vec<&str>, Vec<&str>) = ids.partition(|id| members.contains(id));
        let options =
            |ids: Vec<&str>| ids.into_iter().map(|id| (id.to_owned(), id.to_owned())).collect::<Vec<_>>();
        let mut form = Form::of(
            "modify",
            "Change the users",
            "Change",
            vec![
                Field::checks(visit, "add", "Add", options(outside)),
                Field::checks(visit, "remove", "Take away", options(inside)),
            ],
        );
        form.consequences = vec!["Who is taken away is cut off from all caches of the group.".to_owned()];
        board.forms.push(form);
        let consequences = ["Only a group that no cache uses can be deleted. Its users stay."];
        board.forms.push(Form::danger("delete", "Delete", "Delete the group", &consequences));
        Ok(board)
    })
}

fn act_on_group(visit: &Visit<'_>, id: &str) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    if visit.fields.text("act") == "delete" {
        visit.call(&Parameters::of("DeleteUserGroup").text("UserGroupId", id))?;
        return Ok(Some((format!("{id} is being deleted."), "/users".to_owned())));
    }
    let call = Parameters::of("ModifyUserGroup").text("UserGroupId", id);
    let call = call.list("UserIdsToAdd", "member", &visit.fields.texts("add"));
    visit.call(&call.list("UserIdsToRemove", "member", &visit.fields.texts("remove")))?;
    Ok(Some((format!("{id} is being changed."), format!("/user-groups/{id}"))))
}

//! `larder users`: who may use the caches, and what.

use serde::Serialize;

use crate::api::{Api, Element};
use crate::arguments::{Output, Users};
use crate::failure::Failure;
use crate::terminal::{Paint, Table, print, print_json};

/// A user as people and scripts see it.
#[derive(Debug, Serialize)]
struct User {
    id: String,
    name: String,
    engine: String,
    status: String,
    authentication: String,
    access: String,
    groups: Vec<String>,
}

impl User {
    fn read(element: &Element) -> Self {
        let text = |name: &str| element.text_at(&[name]).to_owned();
        Self {
            id: text("UserId"),
            name: text("UserName"),
            engine: text("Engine"),
            status: text("Status"),
            authentication: element.text_at(&["Authentication", "Type"]).to_owned(),
            access: text("AccessString"),
            groups: element.list("UserGroupIds").iter().map(|group| group.text.trim().to_owned()).collect(),
        }
    }
}

pub(crate) fn users(arguments: &Users) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let users: Vec<User> = api.all("DescribeUsers", "Users", &[])?.iter().map(User::read).collect();
    match arguments.asking.format.output {
        Output::Json => print_json(&users),
        Output::Table => {
            let mut table = Table::new(&["USER", "NAME", "STATUS", "PROVES IT BY", "GROUPS", "ACCESS"]);
            for user in &users {
                let groups = if user.groups.is_empty() { "-".to_owned() } else { user.groups.join(" ") };
                let User { id, name, status, authentication, access, .. } = user;
                table.row(&[id, name, status, authentication, &groups, access]);
            }
            print(&table.render(Paint::for_stdout()));
        }
    }
    Ok(())
}

//! `larder iam`: users, keys and policies for people who have no AWS tools at hand.

use crate::api::{Api, Element};
use crate::arguments::{Iam, IamAction, Output};
use crate::failure::{Code, Failure};
use crate::terminal::{Paint, Table, print, print_json, say};

pub(crate) fn iam(arguments: &Iam) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?.iam();
    let json = arguments.asking.format.output == Output::Json;
    match &arguments.action {
        IamAction::Users => {
            let users = api.all("ListUsers", "Users", &[])?;
            show(
                "There are no users. Make one: larder iam create-user NAME",
                &users,
                &[("NAME", "UserName"), ("ARN", "Arn"), ("CREATED", "CreateDate")],
                json,
            );
        }
        IamAction::CreateUser { user } => {
            api.call("CreateUser", &[("UserName", user)])?;
            create_key(&api, user, json)?;
        }
        IamAction::DeleteUser { user } => {
            strip(&api, user)?;
            api.call("DeleteUser", &[("UserName", user)])?;
            say(&format!("{user} is deleted, with its keys and policies."));
        }
        IamAction::Keys { user } => {
            let keys = api.all("ListAccessKeys", "AccessKeyMetadata", &[("UserName", user)])?;
            show(
                "There are no keys. Make one: larder iam create-key USER",
                &keys,
                &[("KEY", "AccessKeyId"), ("STATUS", "Status"), ("CREATED", "CreateDate")],
                json,
            );
        }
        IamAction::CreateKey { user } => create_key(&api, user, json)?,
        IamAction::DeleteKey { user, key } => {
            api.call("DeleteAccessKey", &[("UserName", user), ("AccessKeyId", key)])?;
            say(&format!("The key {key} is deleted."));
        }
        IamAction::Policies { user: None } => {
            let policies = api.all("ListPolicies", "Policies", &[])?;
            show(
                "There are no policies.",
                &policies,
                &[("NAME", "PolicyName"), ("ATTACHED", "AttachmentCount"), ("ARN", "Arn")],
                json,
            );
        }
        IamAction::Policies { user: Some(user) } => {
            let mut policies =
                api.all("ListAttachedUserPolicies", "AttachedPolicies", &[("UserName", user)])?;
            for inline in api.all("ListUserPolicies", "PolicyNames", &[("UserName", user)])? {
                policies.push(Element {
                    name: "member".into(),
                    children: vec![named("PolicyName", inline.text)],
                    ..Element::default()
                });
            }
            show(
                "It has no policies. Give it one: larder iam attach USER POLICY",
                &policies,
                &[("NAME", "PolicyName"), ("ARN", "PolicyArn")],
                json,
            );
        }
        IamAction::CreatePolicy { name, file } => {
            let document = read(file)?;
            let made = api.call("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", &document)])?;
            say(&format!("Made {}", made.text_at(&["Policy", "Arn"])));
        }
        IamAction::DeletePolicy { policy } => {
            let arn = arn(&api, policy)?;
            api.call("DeletePolicy", &[("PolicyArn", &arn)])?;
            say(&format!("{policy} is deleted."));
        }
        IamAction::Attach { user, policy } => {
            let arn = arn(&api, policy)?;
            api.call("AttachUserPolicy", &[("UserName", user), ("PolicyArn", &arn)])?;
            say(&format!("{user} has {arn} now."));
        }
        IamAction::Detach { user, policy } => {
            let arn = arn(&api, policy)?;
            api.call("DetachUserPolicy", &[("UserName", user), ("PolicyArn", &arn)])?;
            say(&format!("{user} has {arn} no more."));
        }
        IamAction::Simulate { user, action, resource } => {
            simulate(&api, user, action, resource.as_deref(), json)?
        }
    }
    Ok(())
}

fn named(name: &str, text: String) -> Element {
    Element { name: name.to_owned(), text, ..Element::default() }
}

/// A list, with the columns (heading, element); `none` if there is nothing.
fn show(none: &str, items: &[Element], columns: &[(&'static str, &str)], json: bool) {
    if json {
        let object = |item: &Element| -> std::collections::BTreeMap<String, String> {
            columns.iter().map(|(_, name)| ((*name).to_owned(), item.text_at(&[name]).to_owned())).collect()
        };
        return print_json(&items.iter().map(object).collect::<Vec<_>>());
    }
    if items.is_empty() {
        return print(&format!("{none}\n"));
    }
    let headings: Vec<&'static str> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = Table::new(&headings);
    for item in items {
        let cells: Vec<&str> = columns.iter().map(|(_, name)| item.text_at(&[name])).collect();
        table.row(&cells);
    }
    print(&table.render(Paint::for_stdout()));
}

/// Makes a key and shows it: its secret cannot be seen again.
fn create_key(api: &Api, user: &str, json: bool) -> Result<(), Failure> {
    let made = api.call("CreateAccessKey", &[("UserName", user)])?;
    let (id, secret) = (
        made.text_at(&["AccessKey", "AccessKeyId"]).to_owned(),
        made.text_at(&["AccessKey", "SecretAccessKey"]).to_owned(),
    );
    if json {
        print_json(&std::collections::BTreeMap::from([("AccessKeyId", id), ("SecretAccessKey", secret)]));
    } else {
        print(&format!("export AWS_ACCESS_KEY_ID='{id}'\nexport AWS_SECRET_ACCESS_KEY='{secret}'\n"));
    }
    Ok(())
}

/// Takes everything away that keeps a user from being deleted.
fn strip(api: &Api, user: &str) -> Result<(), Failure> {
    let of = [("UserName", user)];
    for key in api.all("ListAccessKeys", "AccessKeyMetadata", &of)? {
        api.call("DeleteAccessKey", &[of[0], ("AccessKeyId", key.text_at(&["AccessKeyId"]))])?;
    }
    for policy in api.all("ListAttachedUserPolicies", "AttachedPolicies", &of)? {
        api.call("DetachUserPolicy", &[of[0], ("PolicyArn", policy.text_at(&["PolicyArn"]))])?;
    }
    for policy in api.all("ListUserPolicies", "PolicyNames", &of)? {
        api.call("DeleteUserPolicy", &[of[0], ("PolicyName", &policy.text)])?;
    }
    for group in api.all("ListGroupsForUser", "Groups", &of)? {
        api.call("RemoveUserFromGroup", &[of[0], ("GroupName", group.text_at(&["GroupName"]))])?;
    }
    Ok(())
}

/// The ARN of a policy that is named by it, or by its name alone.
fn arn(api: &Api, policy: &str) -> Result<String, Failure> {
    if policy.starts_with("arn:") {
        return Ok(policy.to_owned());
    }
    let all = api.all("ListPolicies", "Policies", &[])?;
    let found = all.iter().find(|item| item.text_at(&["PolicyName"]) == policy);
    found.map(|item| item.text_at(&["Arn"]).to_owned()).ok_or_else(|| {
        Failure::failed(format!("there is no policy {policy}")).hint("See them: larder iam policies")
    })
}

fn read(file: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Code::WrongUse, format!("{}: {error}", file.display())))
}

fn simulate(api: &Api, user: &str, action: &str, resource: Option<&str>, json: bool) -> Result<(), Failure> {
    let user = api.call("GetUser", &[("UserName", user)])?;
    let arn = user.text_at(&["User", "Arn"]).to_owned();
    let mut parameters = vec![("PolicySourceArn", arn.as_str()), ("ActionNames.member.1", action)];
    parameters.extend(resource.map(|resource| ("ResourceArns.member.1", resource)));
    let answer = api.call("SimulatePrincipalPolicy", &parameters)?;
    let columns =
        [("ACTION", "EvalActionName"), ("RESOURCE", "EvalResourceName"), ("DECISION", "EvalDecision")];
    show("Nothing was simulated.", answer.list("EvaluationResults"), &columns, json);
    Ok(())
}

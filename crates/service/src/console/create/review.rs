//! The review: what will be made, and the `aws` commands and Terraform blocks that would make the same.

use askama::Template;

use super::{Draft, Form, calls, policy, terraform};
use crate::console::parameters::{Parameters, Value};
use crate::console::show::monthly;
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};
use crate::resource::node_type;

#[derive(Template)]
#[template(path = "create/review.html")]
struct Page {
    frame: Frame,
    form: Form,
    facts: Vec<(String, String)>,
    price: Option<String>,
    command: String,
    terraform: String,
}

pub(super) fn page(visit: &Visit<'_>, draft: &Draft, refused: Option<ApiError>) -> Result<Answer, ApiError> {
    let calls = calls::of(draft, policy::of(visit, draft)?.as_ref());
    let commands: Vec<String> = calls.iter().map(Parameters::command).collect();
    let page = Page {
        form: Form::of(draft, "review", &[], refused),
        frame: visit.frame("create", "Review"),
        facts: facts(&calls),
        price: price(draft),
        command: commands.join("\n\n"),
        terraform: terraform::blocks(&calls),
    };
    Ok(html(page.form.status(), &page))
}

/// Everything that is asked for, in the words of the API, which are those of AWS's documents.
fn facts(calls: &[Parameters]) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::Text(text) | Value::Number(text) => text.clone(),
        Value::Flag(on) => (if *on { "yes" } else { "no" }).to_owned(),
        Value::List(_, texts) => texts.join(", "),
        Value::Secret(_) => "as typed; not shown".to_owned(),
        Value::Logs(logs) => logs
            .iter()
            .map(|log| format!("{} to {} {}, {}", log.sort, log.to, log.name, log.format))
            .collect::<Vec<_>>()
            .join("; "),
        Value::Tags(tags) | Value::Settings(tags) => {
            tags.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
        }
    };
    let all = calls.iter().flat_map(|call| call.values.iter());
    all.map(|(name, value)| (spaced(name), text(value))).collect()
}

/// `NumCacheNodes` as words: `Num cache nodes`.
fn spaced(name: &str) -> String {
    let mut out = String::new();
    let letters: Vec<char> = name.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let begins = letter.is_ascii_uppercase()
            && at > 0
            && (!letters[at - 1].is_ascii_uppercase()
                || letters.get(at + 1).is_some_and(char::is_ascii_lowercase));
        if begins {
            out.push(' ');
        }
        let alone = letters.get(at + 1).is_none_or(|next| !next.is_ascii_uppercase());
        let lower = at > 0 && alone && begins;
        out.push(if lower { letter.to_ascii_lowercase() } else { *letter });
    }
    out
}

fn price(draft: &Draft) -> Option<String> {
    let price = node_type::find(draft.text("node_type"))?.price_micro_usd(draft.engine())?;
    Some(monthly(price, draft.node_count() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_words() {
        assert_eq!(spaced("NumCacheNodes"), "Num cache nodes");
        assert_eq!(spaced("MultiAZEnabled"), "Multi AZ enabled");
    }
}

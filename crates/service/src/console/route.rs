//! From a path to its page, past the gate: a form must come from a page of the same session, everything but signing in
//! needs a session.

use super::page::{
    act, advice, cache_page, caches, change, events, metrics, parameter_groups, parameter_list, prices,
    prompt, refusal, reserved_nodes, security_groups, service_updates, sign_in, slow_log, snapshots,
    subnet_groups, users,
};
use super::visit::{Visit, plain, redirect};
use super::{Console, ROOT, asset, create};
use crate::console::cache::Sort;
use crate::front::{Answer, ApiError, Request};

/// Answers a request for a page; `path` is what follows the console's root.
pub(super) fn answer(console: &Console, request: &Request, path: &str) -> Answer {
    if !matches!(request.method.as_str(), "GET" | "POST") {
        return plain(405, "The console takes GET and POST requests.");
    }
    if request.method == "GET"
        && let Some(file) = asset::find(path)
    {
        return file;
    }
    if request.method == "POST" && is_foreign(request) {
        return plain(403, "The form comes from another site.");
    }
    if path == "/sign-in" {
        return sign_in::answer(console, request);
    }
    let visit = match Visit::of(console, request) {
        Ok(Some(visit)) => visit,
        Ok(None) if path.ends_with("/live") => return plain(401, "The session is over."),
        Ok(None) => return redirect(&sign_in::path_from(request)),
        Err(error) => return plain(error.status, &error.message),
    };
    if visit.is_post() && !visit.is_own_form() {
        let error = ApiError::new(
            "AccessDenied",
            "This form does not come from a page of your session, so nothing was done. Open the page anew and try again.",
        );
        return refusal::answer(&visit, &error);
    }
    page(&visit, path).unwrap_or_else(|error| refusal::answer(&visit, &error))
}

fn page(visit: &Visit<'_>, path: &str) -> Result<Answer, ApiError> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(unescape).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let post = visit.is_post();
    match (post, parts.as_slice()) {
        (false, []) => Ok(redirect(&format!("{ROOT}/caches"))),
        (true, ["sign-out"]) => {
            visit.sign_out();
            Ok(redirect(&format!("{ROOT}/sign-in")))
        }
        (false, ["caches"]) => caches::page(visit),
        (false, ["caches", "live"]) => caches::live(visit),
        (false, ["events"]) => events::page(visit),
        (_, ["create"]) => create::page(visit),
        (false, ["snapshots"]) => snapshots::page(visit),
        (_, ["snapshots", name]) => snapshots::one(visit, name),
        (_, ["parameter-groups"]) => parameter_groups::page(visit),
        (_, ["parameter-groups", name]) => parameter_groups::one(visit, name),
        (_, ["subnet-groups"]) => subnet_groups::page(visit),
        (_, ["security-groups"]) => security_groups::page(visit),
        (_, ["security-groups", id]) => security_groups::one(visit, id),
        (_, ["users"]) => users::page(visit),
        (_, ["users", id]) => users::one(visit, id),
        (_, ["user-groups", id]) => users::group(visit, id),
        (_, ["reserved-nodes"]) => reserved_nodes::page(visit),
        (_, ["service-updates"]) => service_updates::page(visit),
        (false, ["prices"]) => prices::page(visit),
        (_, [sort, id]) | (_, [sort, id, ..]) if Sort::of(sort).is_some() => {
            let sort = Sort::of(sort).unwrap_or(Sort::Cluster);
            let rest = parts.get(2..).unwrap_or_default().join("/");
            match (post, rest.as_str()) {
                (false, "") => cache_page::page(visit, sort, id),
                (false, "live") => cache_page::live(visit, sort, id),
                (false, "metrics") => metrics::page(visit, sort, id),
                (false, "metrics/live") => metrics::live(visit, sort, id),
                (false, "parameters") => parameter_list::page(visit, sort, id),
                (false, "slow-log") => slow_log::page(visit, sort, id),
                (_, "advice") => advice::page(visit, sort, id),
                (false, "advice/live") => advice::live(visit, sort, id),
                (_, "change") => change::page(visit, sort, id),
                (_, "prompt") => prompt::page(visit, sort, id),
                (_, word) => match act::Act::of(word) {
                    Some(which) => act::page(visit, sort, id, which),
                    None => Err(nothing_here()),
                },
            }
        }
        _ => Err(nothing_here()),
    }
}

fn nothing_here() -> ApiError {
    ApiError { status: 404, ..ApiError::new("NotFound", "There is no such page.") }
}

fn unescape(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Whether a form was sent from a page of somebody else, as far as the browser tells. The session's own token must be
/// in it all the same; this also guards signing in, when there is no session yet.
fn is_foreign(request: &Request) -> bool {
    let site = request.header("sec-fetch-site");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let host = request.header("host").unwrap_or_default();
    request.header("origin").is_some_and(|origin| {
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        own != Some(host)
    })
}

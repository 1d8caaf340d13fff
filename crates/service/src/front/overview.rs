//! The page that a browser gets at the port of the API: what this is and how to begin. It tells nothing that needs a
//! signature, so it is the same for everybody. The console is not built yet, and the page says so.

use super::answer::{Answer, Request};

/// A browser's visit, not a call: calls are signed or carry an action, and do not ask for HTML.
pub(super) fn is_wanted(request: &Request) -> bool {
    let header =
        |wanted: &str| request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let html = header("accept").is_some_and(|value| value.contains("text/html"));
    let plain = request.query.is_empty() && header("authorization").is_none();
    request.method == "GET" && request.path == "/" && html && plain
}

/// The page.
pub(super) fn page(region: &str) -> Answer {
    let region = region.replace(['&', '<', '>'], "");
    Answer {
        status: 200,
        body: PAGE.replace("{region}", &region).into_bytes(),
        content_type: "text/html; charset=utf-8",
    }
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Larder</title>
<style>
:root { color-scheme: light dark; --quiet: light-dark(#5c6370, #9aa2b1); --box: light-dark(#f3f4f6, #23272f) }
body { font: 16px/1.6 system-ui, sans-serif; max-width: 44rem; margin: 12vh auto 4rem; padding: 0 1.25rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
p { margin: .4rem 0 } .quiet { color: var(--quiet) }
pre { background: var(--box); border-radius: 8px; padding: .9rem 1rem; overflow-x: auto; font-size: .875rem; margin: .4rem 0 }
</style>
</head>
<body>
<h1>Larder is running</h1>
<p class="quiet">Managed Redis and Memcached caches on this machine, behind the ElastiCache API. Region {region}.</p>
<h2>Make a first cache</h2>
<p>In a shell, let AWS tools talk to this service:</p>
<pre>eval "$(larder env)"</pre>
<p>Then make a cache, with the AWS CLI, an SDK or Terraform:</p>
<pre>aws elasticache create-cache-cluster --cache-cluster-id sessions \
    --engine redis --cache-node-type cache.t3.micro --num-cache-nodes 1
aws elasticache wait cache-cluster-available --cache-cluster-id sessions</pre>
<p>And use it:</p>
<pre>larder connect sessions</pre>
<h2>See what there is</h2>
<pre>larder caches
larder show sessions
larder events</pre>
<h2>This page</h2>
<p class="quiet">This port is the endpoint of the API; each call to it is signed. A console for the browser is not
built yet: this page is all that there is to see here. <code>larder --help</code> tells the rest.</p>
</body>
</html>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request { method: "GET".into(), path: "/".into(), headers, ..Request::default() }
    }

    #[test]
    fn browsers_get_the_page_and_calls_do_not() {
        assert!(is_wanted(&visit(&[("accept", "text/html,*/*")])));
        assert!(!is_wanted(&visit(&[("accept", "*/*")])));
        assert!(!is_wanted(&visit(&[("accept", "text/html"), ("authorization", "AWS4-HMAC-SHA256 x")])));
        let call =
            Request { query: "Action=DescribeCacheClusters".into(), ..visit(&[("accept", "text/html")]) };
        assert!(!is_wanted(&call));
    }

    #[test]
    fn the_page_names_the_region_and_carries_no_script() {
        let answer = page("eu-west-1");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("Region eu-west-1.") && !text.contains("<script"));
        assert!(!String::from_utf8(page("<b>").body).unwrap().contains("<b>"));
    }
}

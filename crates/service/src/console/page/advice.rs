//! Is it worth caching? Lets the nodes of a cache watch their traffic, and shows what follows from what they found. The
//! answers name keys, so this needs the same right as the prompt.

use askama::Template;
use larder_protocol::resp::value::Value;

use super::prompt;
use crate::advice::evidence::Evidence;
use crate::advice::{Advice, Subject, advise};
use crate::console::cache::{self, Cache, Node, Sort};
use crate::console::visit::{Frame, Visit, html};
use crate::console::{Question, Reply};
use crate::front::{Answer, ApiError};

/// How long may be watched: seconds, and their name.
const SPANS: &[(u64, &str)] =
    &[(30, "30 seconds"), (60, "1 minute"), (300, "5 minutes"), (1800, "30 minutes"), (3600, "1 hour")];
/// Size of the drawing of the curve.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 200.0;

#[derive(Template)]
#[template(path = "page/advice.html")]
struct Page {
    frame: Frame,
    tab: &'static str,
    cache: Cache,
    live: String,
}

impl Page {
    fn spans(&self) -> &'static [(u64, &'static str)] {
        SPANS
    }
}

/// What a node found.
struct Told {
    node: String,
    watching: bool,
    advice: Advice,
    curve: Option<Curve>,
}

/// The curve as it is drawn: over sizes in doublings.
struct Curve {
    path: String,
    /// The present size: how far to the right, and how high.
    now: (String, String),
    /// Places and labels below.
    sizes: Vec<(String, String)>,
    /// Heights and labels at the side.
    rows: Vec<(String, String)>,
    summary: String,
}

#[derive(Template)]
#[template(path = "page/advice_live.html")]
struct Live {
    told: Vec<Told>,
    silent: Vec<String>,
    nodes: usize,
}

impl Live {
    fn percent(&self, share: &f64) -> String {
        percent(*share)
    }

    fn usd(&self, amount: &Option<f64>) -> String {
        amount.map_or_else(|| "–".to_owned(), |amount| format!("${amount:.2}"))
    }

    fn bytes(&self, bytes: &u64) -> String {
        bytes_text(*bytes)
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// The page, and what it begins.
pub(in crate::console) fn page(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    prompt::authorise(visit, &cache)?;
    if visit.is_post() {
        let wanted = visit.fields.text("seconds");
        let span = SPANS.iter().find(|(seconds, _)| seconds.to_string() == wanted);
        let Some((seconds, name)) = span else {
            return Err(ApiError::invalid_value("The time to watch is none of those that are offered."));
        };
        let refused: Vec<String> =
            cache.nodes.iter().filter(|node| !begin(visit, &cache, node, *seconds)).map(Node::name).collect();
        let said = match refused.as_slice() {
            [] => format!("The traffic is watched for {name}; the answers grow meanwhile."),
            some => format!("{} cannot watch: no answer, or no Larder.", some.join(", ")),
        };
        return Ok(visit.done(&said, &format!("{}/advice", cache.path())));
    }
    let live = look(visit, &cache).render().map_err(|why| ApiError::internal(&why))?;
    let frame = visit.frame("caches", format!("Is {} worth it?", cache.id));
    Ok(html(200, &Page { frame, tab: "/advice", live, cache }))
}

/// The answers alone, as they are now.
pub(in crate::console) fn live(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    prompt::authorise(visit, &cache)?;
    Ok(html(200, &look(visit, &cache)))
}

fn begin(visit: &Visit<'_>, cache: &Cache, node: &Node, seconds: u64) -> bool {
    let seconds = seconds.to_string();
    let line = format!("stats advise start {seconds}\r\n");
    let words: [&[u8]; 3] = [b"LARDER.ADVISE", b"START", seconds.as_bytes()];
    let question =
        if cache.is_memcached() { Question::Memcached(line.as_bytes()) } else { Question::Redis(&words) };
    match visit.console.nodes.ask(&node.cluster, &node.id, question) {
        Ok(Reply::Redis(Value::Simple(_))) => true,
        Ok(Reply::Memcached(answer)) => answer.starts_with(b"OK"),
        _ => false,
    }
}

/// The report of a node; nothing if it has none.
fn report(visit: &Visit<'_>, cache: &Cache, node: &Node) -> Result<Option<Evidence>, String> {
    let question = match cache.is_memcached() {
        true => Question::Memcached(b"stats advise\r\n"),
        false => Question::Redis(&[b"LARDER.ADVISE", b"REPORT"]),
    };
    let text = match visit.console.nodes.ask(&node.cluster, &node.id, question)? {
        Reply::Redis(Value::Bulk(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Reply::Redis(Value::Null) => return Ok(None),
        Reply::Redis(_) => return Err("it is no Larder".to_owned()),
        Reply::Memcached(answer) => {
            let text = String::from_utf8_lossy(&answer);
            match text.lines().find_map(|line| line.strip_prefix("STAT advice ")) {
                Some(report) => report.to_owned(),
                None => return Ok(None),
            }
        }
    };
    Evidence::parse(&text).map(Some)
}

fn look(visit: &Visit<'_>, cache: &Cache) -> Live {
    let nodes = cache.nodes.len();
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    for node in &cache.nodes {
        match report(visit, cache, node) {
            Ok(Some(evidence)) => {
                let subject =
                    Subject { engine: &cache.engine, node_type: Some(&cache.node_type), nodes: nodes as u64 };
                let advice = advise(&evidence, subject);
                let curve = Curve::of(&advice, evidence.curve.items_bytes);
                told.push(Told { node: node.name(), watching: evidence.watching, advice, curve });
            }
            Ok(None) => {}
            Err(_) => silent.push(node.name()),
        }
    }
    Live { told, silent, nodes }
}

impl Curve {
    fn of(advice: &Advice, now_bytes: u64) -> Option<Curve> {
        let [first, .., last] = advice.curve.as_slice() else { return None };
        if first.0 == 0 || last.0 <= first.0 {
            return None;
        }
        let span = (last.0 as f64 / first.0 as f64).log2();
        let x = |bytes: u64| (bytes.max(1) as f64 / first.0 as f64).log2().clamp(0.0, span) * WIDTH / span;
        let y = |ratio: f64| HEIGHT - ratio.clamp(0.0, 1.0) * HEIGHT;
        let mut path = String::new();
        for (at, (bytes, ratio)) in advice.curve.iter().enumerate() {
            path.push_str(&format!("{}{:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, x(*bytes), y(*ratio)));
        }
        let now = advice.curve.iter().min_by_key(|(bytes, _)| bytes.abs_diff(now_bytes))?;
        let sizes = advice
            .curve
            .iter()
            .step_by(8)
            .map(|(bytes, _)| (format!("{:.1}", x(*bytes)), bytes_text(*bytes)));
        let rows = [0.0, 0.25, 0.5, 0.75, 1.0]
            .map(|ratio: f64| (format!("{:.1}", y(ratio)), format!("{:.0}%", ratio * 100.0)));
        Some(Curve {
            path,
            now: (format!("{:.1}", x(now.0)), format!("{:.1}", y(now.1))),
            sizes: sizes.collect(),
            rows: rows.into(),
            summary: format!(
                "Hit ratio by memory: {} at {}, {} at {}, {} at {}",
                percent(first.1),
                bytes_text(first.0),
                percent(now.1),
                bytes_text(now.0),
                percent(last.1),
                bytes_text(last.0)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_over_doublings() {
        let report = r#"{"hits": 900, "misses": {"unknown": 100}, "curve": {"items_bytes": 2048,
            "points": [[1024, 0.25], [2048, 0.5], [4096, 1.0]]}}"#;
        let evidence = Evidence::parse(report).unwrap();
        let advice = advise(&evidence, Subject { engine: "redis", node_type: None, nodes: 1 });
        let curve = Curve::of(&advice, 2048).unwrap();
        assert_eq!(curve.path, "M0.0 150.0L280.0 100.0L560.0 0.0");
        assert_eq!(curve.now, ("280.0".to_owned(), "100.0".to_owned()));
        assert!(curve.summary.contains("50.0 % at 2.0 KiB"));
        let live = Live {
            told: vec![Told { node: "0001".into(), watching: true, advice, curve: Some(curve) }],
            silent: Vec::new(),
            nodes: 1,
        };
        let text = live.render().unwrap();
        assert!(
            text.contains("Is it effective?") && text.contains("cache.t4g.micro") && text.contains("<path"),
            "{text}"
        );
        assert!(
            Curve::of(
                &advise(&Evidence::default(), Subject { engine: "redis", node_type: None, nodes: 1 }),
                0
            )
            .is_none()
        );
    }
}

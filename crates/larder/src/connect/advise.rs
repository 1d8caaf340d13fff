//! `larder advise`: lets the nodes of a cache watch their traffic for a while, and says what follows from what they found.

use std::time::Duration;

use larder_protocol::resp::value::Value;
use larder_service::advice::evidence::Evidence;
use larder_service::advice::{Advice, Subject, advise as answers_to, bytes};
use serde_json::json;

use super::{Found, Server, memcached, redis, servers};
use crate::arguments::{Advise, Engine, Output};
use crate::failure::Failure;
use crate::terminal::{Paint, Table, clean, print, print_json};

/// Columns of the curve as it is drawn in a terminal.
const CURVE_COLUMNS: usize = 48;
/// Prefixes that are printed.
const PREFIXES_PRINTED: usize = 10;

pub(crate) fn advise(arguments: &Advise) -> Result<(), Failure> {
    let Found { servers, node_type, engine } =
        servers(&arguments.name, arguments.engine, arguments.node.as_deref(), &arguments.asking.place)?;
    if !arguments.last {
        let seconds = arguments.seconds.to_string();
        for server in &servers {
            begin(server, &seconds)?;
        }
        if arguments.asking.format.output == Output::Table {
            eprintln!(
                "Watching the traffic for {seconds} s; Ctrl-C ends this, and --last shows later what was found."
            );
        }
        std::thread::sleep(Duration::from_secs(arguments.seconds));
    }
    let count = servers.len() as u64;
    let mut all = Vec::new();
    for server in &servers {
        let evidence = Evidence::parse(&report(server)?).map_err(Failure::failed)?;
        let subject = Subject { engine: &engine, node_type: node_type.as_deref(), nodes: count };
        all.push((server.label.as_str(), answers_to(&evidence, subject)));
    }
    if arguments.asking.format.output == Output::Json {
        let as_json = |(node, advice): &(&str, Advice)| json!({ "node": node, "advice": advice });
        print_json(&all.iter().map(as_json).collect::<Vec<_>>());
    } else {
        let paint = Paint::for_stdout();
        all.iter().for_each(|(node, advice)| print(&page(node, advice, count, paint)));
    }
    Ok(())
}

fn begin(server: &Server, seconds: &str) -> Result<(), Failure> {
    let begun = if server.memcached {
        let line = format!("stats advise start {seconds}\r\n");
        memcached::ask(server, line.as_bytes())? == b"OK\r\n"
    } else {
        let words = ["LARDER.ADVISE", "START", seconds].map(|word| word.as_bytes().to_vec());
        matches!(redis::ask(server, &words)?, Value::Simple(_))
    };
    if begun { Ok(()) } else { Err(unable(server)) }
}

fn unable(server: &Server) -> Failure {
    Failure::failed(format!(
        "{} cannot watch its traffic: it is no Larder, or not for this user",
        server.label
    ))
}

fn report(server: &Server) -> Result<String, Failure> {
    let none = || {
        Failure::failed(format!("{} has watched nothing, or has forgotten it", server.label))
            .hint("Without --last the traffic is watched now.")
    };
    if server.memcached {
        let reply = memcached::ask(server, b"stats advise\r\n")?;
        let text = String::from_utf8_lossy(&reply);
        let line = text.lines().find_map(|line| line.strip_prefix("STAT advice "));
        return line.map(str::to_owned).ok_or_else(none);
    }
    match redis::ask(server, &[b"LARDER.ADVISE".to_vec(), b"REPORT".to_vec()])? {
        Value::Bulk(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Null => Err(none()),
        _ => Err(unable(server)),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn usd(amount: Option<f64>) -> String {
    amount.map_or_else(|| "-".to_owned(), |amount| format!("${amount:.2}"))
}

/// The answers for people.
fn page(node: &str, advice: &Advice, nodes: u64, paint: Paint) -> String {
    let ratio =
        advice.hit_ratio.map_or_else(|| "no reads".to_owned(), |ratio| format!("{} hits", percent(ratio)));
    let mut text = format!(
        "{}  {} reads in {:.0} s, {ratio}\n\n",
        paint.bold(&clean(node)),
        advice.reads,
        advice.seconds
    );
    for answer in &advice.answers {
        let verdict = match answer.verdict.word() {
            "good" => paint.status("available").replace("available", "good"),
            "bad" => paint.red("bad"),
            word => paint.yellow(word),
        };
        text.push_str(&format!("{} [{verdict}]\n  {}\n", paint.bold(answer.question), clean(&answer.answer)));
        for line in &answer.evidence {
            text.push_str(&format!("  {}\n", paint.dim(&format!("- {}", clean(line)))));
        }
        text.push('\n');
    }
    if !advice.curve.is_empty() {
        text.push_str(&format!("{}\n{}\n", paint.bold("Hit ratio by memory for items (LRU)"), curve(advice)));
    }
    if !advice.prefixes.is_empty() {
        let mut table = Table::new(&["PREFIX", "READS", "HITS", "WRITES", "SIZE", "WITH TTL", "WHAT FITS"]);
        for prefix in advice.prefixes.iter().take(PREFIXES_PRINTED) {
            table.row(&[
                &prefix.prefix,
                &prefix.reads.to_string(),
                &prefix.hit_ratio.map(percent).unwrap_or_default(),
                &prefix.writes.to_string(),
                &prefix.mean_bytes.to_string(),
                &prefix.with_ttl.map(percent).unwrap_or_default(),
                prefix.advice.unwrap_or("too little was seen"),
            ]);
        }
        text.push_str(&format!("{}\n", table.render(paint)));
    }
    if !advice.sizes.is_empty() {
        let mut table =
            Table::new(&["SIZE", "FOR ITEMS", "HITS", "MONTH", "RESERVED 1 YEAR", "RESERVED 3 YEARS"]);
        for size in &advice.sizes {
            let name = if size.current { format!("{} *", size.name) } else { size.name.clone() };
            table.row(&[
                &name,
                &bytes(size.bytes),
                &percent(size.hit_ratio),
                &usd(size.month_usd),
                &usd(size.month_reserved_1y_usd),
                &usd(size.month_reserved_3y_usd),
            ]);
        }
        text.push_str(&table.render(paint));
        text.push_str(&format!(
            "{}\n",
            paint.dim(&format!(
                "* what there is now; USD in us-east-1 for {nodes} node(s), as AWS asks; Larder bills nothing"
            ))
        ));
    }
    if let Some(serverless) = &advice.serverless {
        text.push_str(&format!(
            "Serverless, with traffic like this all month: {} ({:.1} GB, {:.0} ECPU a second)\n\n",
            usd(Some(serverless.month_usd)),
            serverless.gigabytes,
            serverless.ecpu_per_second
        ));
    }
    text
}

/// The curve as lines of a terminal: a line for each doubling.
fn curve(advice: &Advice) -> String {
    let doubling = |(at, _): &(usize, &(u64, f64))| at % 4 == 0;
    let line = |(_, (memory, ratio)): (usize, &(u64, f64))| {
        let bar = "█".repeat((ratio * CURVE_COLUMNS as f64).round() as usize);
        format!("  {:>12} {:>7} {bar}\n", bytes(*memory), percent(*ratio))
    };
    advice.curve.iter().enumerate().filter(doubling).map(line).collect()
}

/// What the nodes of a cache speak, as the service calls it; of an address it is not known which of the two it is.
pub(super) fn engine_of(server: Option<&Server>, engine: Option<Engine>) -> String {
    match (server, engine) {
        (Some(Server { memcached: true, .. }), _) => "memcached",
        (_, Some(Engine::Valkey)) => "valkey",
        _ => "redis",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_printed_with_their_evidence() {
        let report = r#"{"milliseconds": 2000, "hits": 700, "misses": {"evicted": 300}, "commands": 1000, "traffic_bytes": 1,
            "curve": {"items_bytes": 1048576, "followed_keys": 9, "followed_share": 1.0,
                      "points": [[524288, 0.5], [1048576, 0.7], [2097152, 0.9]]},
            "prefixes": [{"prefix": "user", "reads": 1000, "hits": 700, "misses": {"evicted": 300}, "writes": 300}]}"#;
        let subject = Subject { engine: "redis", node_type: Some("cache.t3.micro"), nodes: 1 };
        let advice = answers_to(&Evidence::parse(report).unwrap(), subject);
        let text = page("sessions", &advice, 1, Paint::plain());
        for part in [
            "sessions  1000 reads in 2 s, 70.0 % hits",
            "Is it effective? [look]",
            "double",
            "cache.t3.micro *",
            "Serverless",
            "more memory, or allkeys-lhd",
            "512.0 KiB",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}

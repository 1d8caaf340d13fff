//! LATENCY: how long commands and other events took.

use super::dispatch::full_name;
use super::introspection::help;
use super::table::{Command, flag};
use super::{Call, CommandError};
use crate::latency::Series;
use crate::{latency, meter, node};

const FLAGS: u32 = flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE;
/// Columns of a graph.
const COLUMNS_MAX: usize = 80;
/// What a column of a graph is made of, from nothing to the most, per row.
const LEVELS: [char; 4] = [' ', '_', 'o', '#'];
const ROWS: usize = 4;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "latency",
    summary: "Commands about latency.",
    since: "2.8.13",
    group: "server",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::DEFAULT
}];

const ROW: Command = Command { since: "2.8.13", group: "server", flags: FLAGS, arity: 2, ..Command::DEFAULT };

const SUBCOMMANDS: &[Command] = &[
    Command { name: "doctor", summary: "Returns a report on latency for people.", handler: doctor, ..ROW },
    Command {
        name: "graph",
        summary: "Draws the latencies of an event.",
        syntax: "event",
        arity: 3,
        handler: graph,
        ..ROW
    },
    Command {
        name: "histogram",
        summary: "Returns the distribution of the latencies of commands.",
        syntax: "[command [command ...]]",
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands with latency information being retrieved.",
        arity: -2,
        handler: histogram,
        ..ROW
    },
    Command {
        name: "history",
        summary: "Returns the times and latencies of an event.",
        syntax: "event",
        arity: 3,
        handler: history,
        ..ROW
    },
    Command { name: "latest", summary: "Returns the latest latency of all events.", handler: latest, ..ROW },
    Command {
        name: "reset",
        summary: "Forgets the latencies of events.",
        syntax: "[event [event ...]]",
        arity: -2,
        handler: reset,
        ..ROW
    },
    Command {
        name: "help",
        summary: "Returns a help text.",
        flags: flag::LOADING | flag::STALE,
        handler: show_help,
        ..ROW
    },
];

fn show_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "LATENCY", SUBCOMMANDS);
    Ok(())
}

fn series(call: &Call<'_>, event: &[u8]) -> Option<(&'static str, Series)> {
    let all = call.node.latency.all();
    all.into_iter().find(|(name, _)| event.eq_ignore_ascii_case(name.as_bytes()))
}

fn latest(call: &mut Call<'_>) -> Result<(), CommandError> {
    let all = call.node.latency.all();
    call.out.array(all.len());
    for (event, series) in all {
        call.out.array(4);
        call.out.bulk(event.as_bytes());
        let last = series.samples.back();
        call.out.integer(last.map_or(0, |sample| sample.time as i64));
        call.out.integer(last.map_or(0, |sample| sample.latency as i64));
        call.out.integer(series.max as i64);
    }
    Ok(())
}

fn history(call: &mut Call<'_>) -> Result<(), CommandError> {
    let samples = series(call, call.args.get(2)).map(|(_, series)| series.samples).unwrap_or_default();
    call.out.array(samples.len());
    for sample in samples {
        call.out.array(2);
        call.out.integer(sample.time as i64);
        call.out.integer(sample.latency as i64);
    }
    Ok(())
}

fn reset(call: &mut Call<'_>) -> Result<(), CommandError> {
    let names: Vec<&[u8]> = call.args.from(2).iter().collect();
    call.out.integer(call.node.latency.reset(&names) as i64);
    Ok(())
}

fn histogram(call: &mut Call<'_>) -> Result<(), CommandError> {
    let node = call.node;
    let table = &node.table;
    let wanted: Vec<usize> = if call.args.len() == 2 {
        (0..table.count()).collect()
    } else {
        call.args.from(2).iter().flat_map(|name| numbers(table, name)).collect()
    };
    let found: Vec<_> = wanted
        .into_iter()
        .map(|number| (number, meter::latencies(&node.meters, number)))
        .filter(|(_, summary)| summary.total() > 0)
        .collect();
    call.out.map(found.len());
    for (number, summary) in found {
        let (container, row) = table.numbered()[number];
        call.out.bulk(full_name(container, row).as_bytes());
        call.out.map(2);
        call.out.bulk(b"calls");
        call.out.integer(summary.total() as i64);
        call.out.bulk(b"histogram_usec");
        let steps = summary.cumulative();
        call.out.map(steps.len());
        for (usec, count) in steps {
            call.out.integer(usec as i64);
            call.out.integer(count as i64);
        }
    }
    Ok(())
}

/// A command by name; a container names its subcommands too.
fn numbers(table: &super::Table, name: &[u8]) -> Vec<usize> {
    let rows = table.numbered().iter().enumerate();
    let matching = rows.filter(|(_, (container, row))| {
        name.eq_ignore_ascii_case(container.name.as_bytes())
            || name.eq_ignore_ascii_case(full_name(container, row).as_bytes())
    });
    matching.map(|(number, _)| number).collect()
}

fn graph(call: &mut Call<'_>) -> Result<(), CommandError> {
    let event = call.args.get(2);
    let Some((name, series)) = series(call, event) else {
        let event = String::from_utf8_lossy(event);
        return Err(CommandError::new(format!("ERR No samples available for event '{event}'")));
    };
    let text = draw(name, &series, node::now_ms() / 1000);
    call.out.verbatim("txt", &text);
    Ok(())
}

fn draw(event: &str, series: &Series, now: u64) -> String {
    let skipped = series.samples.len().saturating_sub(COLUMNS_MAX);
    let shown: Vec<latency::Sample> = series.samples.iter().skip(skipped).copied().collect();
    let low = shown.iter().map(|sample| sample.latency).min().unwrap_or(0);
    let high = shown.iter().map(|sample| sample.latency).max().unwrap_or(0);
    let steps = ROWS * (LEVELS.len() - 1);
    let height = |sample: &latency::Sample| match high - low {
        0 => 1,
        range => 1 + (sample.latency - low) as usize * (steps - 1) / range as usize,
    };
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max,
        "-".repeat(COLUMNS_MAX)
    );
    for row in (0..ROWS).rev() {
        for sample in &shown {
            let filled = height(sample).saturating_sub(row * (LEVELS.len() - 1));
            text.push(LEVELS[filled.min(LEVELS.len() - 1)]);
        }
        text.push('\n');
    }
    // How long ago each was, downwards.
    let ages: Vec<String> = shown.iter().map(|sample| age(now.saturating_sub(sample.time))).collect();
    text.push('\n');
    for row in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        let line = ages.iter().map(|age| age.chars().nth(row).unwrap_or(' '));
        text.push_str(line.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn doctor(call: &mut Call<'_>) -> Result<(), CommandError> {
    let threshold = call.node.settings().observation.latency_monitor_threshold;
    let all = call.node.latency.all();
    let text = if threshold == 0 {
        "The latency monitor is off. Turn it on with CONFIG SET latency-monitor-threshold <milliseconds>, wait, and \
         ask again.\n"
            .to_owned()
    } else if all.is_empty() {
        format!("No event has taken longer than {threshold} ms since the latency monitor was turned on.\n")
    } else {
        report(&all, threshold)
    };
    call.out.verbatim("txt", &text);
    Ok(())
}

fn report(all: &std::collections::BTreeMap<&'static str, Series>, threshold: u64) -> String {
    let mut text = format!("Events that took longer than {threshold} ms:\n\n");
    for (number, (event, series)) in all.iter().enumerate() {
        let count = series.samples.len().max(1) as u64;
        let mean = series.samples.iter().map(|sample| sample.latency).sum::<u64>() / count;
        text.push_str(&format!(
            "{}. {event}: {count} seconds with such events, mean of their worst {mean} ms, worst ever {} ms.\n",
            number + 1,
            series.max
        ));
    }
    text.push_str("\nWhat helps:\n\n");
    let advice = [
        (
            latency::COMMAND,
            "SLOWLOG GET names the slow commands. Commands over many members cost time in proportion.",
        ),
        (latency::FAST_COMMAND, "Fast commands were slow: look for a machine that is overloaded or swaps."),
        (latency::EXPIRE_CYCLE, "Many keys expire at the same instant: spread their times to live."),
        (latency::EVICTION_CYCLE, "Evicting took long: give the node more memory, or write smaller values."),
    ];
    for (_, advice) in advice.iter().filter(|(event, _)| all.contains_key(event)) {
        text.push_str(&format!("- {advice}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Sample;

    #[test]
    fn graphs_have_a_column_per_second() {
        let samples = [(10, 5), (50, 20), (100, 20)].map(|(time, latency)| Sample { time, latency });
        let series = Series { samples: samples.into(), max: 99 };
        let text = draw("command", &series, 110);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 20 ms, low 5 ms (all time high 99 ms)");
        assert_eq!(&lines[2..6], [" ##", " ##", " ##", "_##"]);
        assert_eq!(&lines[7..], ["111", "mm0", "  s"]);
        let flat = Series { samples: [Sample { time: 1, latency: 3 }].into(), max: 3 };
        assert!(draw("command", &flat, 2).contains("\n_\n"));
    }

    #[test]
    fn ages() {
        assert_eq!([age(59), age(60), age(7200), age(200_000)], ["59s", "1m", "2h", "2d"]);
    }
}

//! Graphs as SVG: from points in time to lines, axes and words. Pure; the templates only print it.

/// Width of the area of the lines, in units of the drawing.
const WIDTH: f64 = 560.0;
/// Height of that area.
const HEIGHT: f64 = 140.0;
/// Lines across, with the one at the bottom.
const ROWS: u32 = 4;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Count,
    Microseconds,
    Percent,
    Seconds,
}

impl Unit {
    /// A number of that unit, short enough for an axis.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Unit::Percent => format!("{}%", short(value)),
            Unit::Seconds => format!("{} s", short(value)),
            Unit::Microseconds if value >= 1000.0 => format!("{} ms", short(value / 1000.0)),
            Unit::Microseconds => format!("{} µs", short(value)),
            Unit::Bytes => scaled(value, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]),
            Unit::Count => scaled(value, 1000.0, &["", " k", " M", " G", " T"]),
        }
    }

    /// The least upper end of an axis that holds the value and divides well.
    fn top(self, most: f64) -> f64 {
        if self == Unit::Percent && most > 25.0 {
            return if most > 50.0 { 100.0 } else { 50.0 };
        }
        let least = match self {
            Unit::Bytes => 4096.0,
            Unit::Percent => 1.0,
            _ => 4.0,
        };
        let base: f64 = if self == Unit::Bytes { 1024.0 } else { 1000.0 };
        let most = most.max(least);
        let mut unit = 1.0;
        while unit * base <= most {
            unit *= base;
        }
        let steps = [1.0, 2.0, 4.0, 8.0, 20.0, 40.0, 80.0, 200.0, 400.0, 800.0];
        steps.into_iter().map(|step| step * unit).find(|top| *top >= most).unwrap_or(base * unit)
    }
}

fn scaled(value: f64, base: f64, names: &[&str]) -> String {
    let mut value = value;
    let mut name = "";
    for next in names {
        name = next;
        if value.abs() < base {
            break;
        }
        if *next != *names.last().unwrap_or(next) {
            value /= base;
        }
    }
    format!("{}{name}", short(value))
}

/// Three digits are as many as one reads in a graph.
fn short(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Values over time: (Unix seconds, value), in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(u64, f64)>,
}

/// The time that a graph shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// First moment, Unix seconds.
    pub(super) from: u64,
    /// Last moment.
    pub(super) to: u64,
    /// Time between two points.
    pub(super) period: u64,
}

/// A line of a graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    /// What it is drawn by, in the language of SVG's paths.
    pub(super) path: String,
    /// Its last value, in words.
    pub(super) last: String,
    /// Points alone that no line would show: a circle each.
    pub(super) dots: Vec<(String, String)>,
}

/// A graph, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Graph {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
    /// Height and label of each line across.
    pub(super) rows: Vec<(String, String)>,
    /// Labels of the beginning, the middle and the end.
    pub(super) times: [String; 3],
}

impl Graph {
    /// Lays a graph out.
    pub(super) fn of(title: &'static str, unit: Unit, span: Span, series: Vec<Series>) -> Graph {
        let values = series.iter().flat_map(|series| &series.points).map(|(_, value)| *value);
        let top = unit.top(values.fold(0.0, f64::max));
        let x = |time: u64| {
            let length = span.to.saturating_sub(span.from).max(1);
            time.saturating_sub(span.from).min(length) as f64 * WIDTH / length as f64
        };
        let y = |value: f64| HEIGHT - value.clamp(0.0, top) * HEIGHT / top;
        let rows = (0..=ROWS).map(|row| {
            let value = top * f64::from(row) / f64::from(ROWS);
            (format!("{:.1}", y(value)), unit.text(value))
        });
        let middle = span.from + span.to.saturating_sub(span.from) / 2;
        Graph {
            title,
            rows: rows.collect(),
            times: [span.from, middle, span.to].map(|time| clock(time, span)),
            lines: series.into_iter().map(|series| line(series, unit, span, x, y)).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.last.is_empty())
    }

    /// What somebody who does not see the drawing is told.
    pub(super) fn summary(&self) -> String {
        let told = self.lines.iter().filter(|line| !line.last.is_empty());
        let told: Vec<String> = told.map(|line| format!("{} {}", line.name, line.last)).collect();
        format!("{}; latest: {}", self.title, told.join(", "))
    }
}

fn line(series: Series, unit: Unit, span: Span, x: impl Fn(u64) -> f64, y: impl Fn(f64) -> f64) -> Line {
    let mut path = String::new();
    let mut dots = Vec::new();
    let apart = |a: u64, b: u64| b.saturating_sub(a) > span.period * 2;
    for (at, (time, value)) in series.points.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| series.points.get(before));
        let after = series.points.get(at + 1);
        let begins = before.is_none_or(|(before, _)| apart(*before, *time));
        let ends = after.is_none_or(|(after, _)| apart(*time, *after));
        let (left, height) = (x(*time), y(*value));
        if begins && ends {
            dots.push((format!("{left:.1}"), format!("{height:.1}")));
        } else {
            path.push_str(&format!("{}{left:.1} {height:.1}", if begins { 'M' } else { 'L' }));
        }
    }
    let last = series.points.last().map(|(_, value)| unit.text(*value)).unwrap_or_default();
    Line { name: series.name, path, last, dots }
}

/// A moment as the axis has it: the day too where the graph shows several.
fn clock(time: u64, span: Span) -> String {
    let moment = jiff::Timestamp::from_second(i64::try_from(time).unwrap_or_default()).unwrap_or_default();
    let form = if span.to.saturating_sub(span.from) > 36 * 3600 { "%b %-d %H:%M" } else { "%H:%M" };
    moment.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { from: 0, to: 3600, period: 60 };

    #[test]
    fn numbers_are_short() {
        for (unit, value, text) in [
            (Unit::Bytes, 0.0, "0 B"),
            (Unit::Bytes, 1_572_864.0, "1.5 MiB"),
            (Unit::Count, 999.0, "999"),
            (Unit::Count, 12_345.0, "12.3 k"),
            (Unit::Count, 5e15, "5000 T"),
            (Unit::Microseconds, 2_500.0, "2.5 ms"),
            (Unit::Percent, 33.333, "33.3%"),
        ] {
            assert_eq!(unit.text(value), text);
        }
    }

    #[test]
    fn an_axis_holds_what_it_shows() {
        for unit in [Unit::Bytes, Unit::Count, Unit::Microseconds, Unit::Percent, Unit::Seconds] {
            for most in [0.0, 0.3, 1.0, 7.0, 99.0, 100.0] {
                assert!(unit.top(most) >= most && unit.top(most) > 0.0, "{unit:?} {most}");
            }
        }
        assert!(Unit::Count.top(1e30).is_finite());
        assert_eq!(Unit::Count.top(950.0), 1000.0);
        assert_eq!(Unit::Bytes.top(3.0 * 1024.0 * 1024.0), 4.0 * 1024.0 * 1024.0);
    }

    #[test]
    fn lines_break_where_nothing_was_measured() {
        let points = vec![(0, 0.0), (60, 4.0), (1800, 2.0), (3540, 4.0), (3600, 4.0)];
        let graph = Graph::of("Hits", Unit::Count, SPAN, vec![Series { name: "hits".into(), points }]);
        let line = &graph.lines[0];
        assert_eq!(line.path, "M0.0 140.0L9.3 0.0M550.7 0.0L560.0 0.0");
        assert_eq!(line.dots, [("280.0".to_owned(), "70.0".to_owned())]);
        assert_eq!(graph.times, ["00:00", "00:30", "01:00"]);
        assert_eq!(graph.summary(), "Hits; latest: hits 4");
        assert_eq!(graph.rows.first().unwrap(), &("140.0".to_owned(), "0".to_owned()));
        assert!(Graph::of("Hits", Unit::Count, SPAN, vec![Series::default()]).is_empty());
    }
}

use super::*;

/// Two series of a minute: `a` has a gap, `b` has none.
struct World;

fn series(label: &str, values: &[(u64, f64)]) -> Series {
    Series { label: label.into(), period: 60, values: values.iter().copied().collect() }
}

impl Names for World {
    fn get(&self, id: &str) -> Result<Math, MathError> {
        let found = self.metrics()?.into_iter().find(|(name, _)| name == id);
        found.map(|(_, series)| Math::Series(series)).ok_or_else(|| MathError(format!("there is no {id}")))
    }

    fn metrics(&self) -> Result<Vec<(String, Series)>, MathError> {
        Ok(vec![
            ("a".into(), series("hits", &[(0, 1.0), (60, 3.0), (180, 9.0)])),
            ("b".into(), series("misses", &[(0, 1.0), (60, 0.0), (120, 2.0), (180, 4.0)])),
        ])
    }

    fn spend(&self, _: usize) -> Result<(), MathError> {
        Ok(())
    }

    fn range(&self) -> Range<u64> {
        0..240
    }

    fn period(&self) -> u64 {
        60
    }
}

fn values(text: &str) -> Vec<(u64, f64)> {
    match evaluate(text, &World).unwrap_or_else(|error| panic!("{text}: {error:?}")) {
        Math::Series(series) => series.values.into_iter().collect(),
        other => panic!("{text}: {other:?}"),
    }
}

fn number(text: &str) -> f64 {
    match evaluate(text, &World) {
        Ok(Math::Number(number)) => number,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn operators_work_time_by_time() {
    assert_eq!(values("a*100/(a+b)"), [(0, 50.0), (60, 100.0), (180, 900.0 / 13.0)]);
    assert_eq!(values("a/b"), [(0, 1.0), (180, 2.25)], "what is divided by zero is not there");
    assert_eq!(values("2^a"), [(0, 2.0), (60, 8.0), (180, 512.0)]);
    assert_eq!(values("a > 2 AND b < 4"), [(0, 0.0), (60, 1.0), (180, 0.0)]);
    assert_eq!(number("2+3*4"), 14.0);
    let Ok(Math::Several(both)) = evaluate("[a,b]*2", &World) else { panic!() };
    assert_eq!(both[1].values[&180], 8.0);
    assert!(evaluate("[a]+[b]", &World).is_err());
    assert!(evaluate("[a, 1]", &World).is_err());
    assert!(evaluate("nothing", &World).is_err());
}

#[test]
fn functions_of_series() {
    assert_eq!(
        (number("SUM(a)"), number("AVG(b)"), number("MIN(a)"), number("MAX(a)")),
        (13.0, 1.75, 1.0, 9.0)
    );
    assert_eq!(number("DATAPOINT_COUNT(a)"), 3.0);
    assert_eq!(number("PERIOD(a)"), 60.0);
    assert_eq!(number("STDDEV(b)"), (8.75_f64 / 4.0).sqrt());
    assert_eq!(values("SUM([a,b])"), [(0, 2.0), (60, 3.0), (120, 2.0), (180, 13.0)]);
    assert_eq!(values("SUM(METRICS())"), values("SUM([a,b])"));
    assert_eq!(values("SUM(METRICS('miss'))"), values("b*1"));
    assert_eq!(number("METRIC_COUNT(METRICS())"), 2.0);
    assert_eq!(values("DIFF(a)"), [(60, 2.0), (180, 6.0)]);
    assert_eq!(values("RATE(a)"), [(60, 2.0 / 60.0), (180, 6.0 / 120.0)]);
    assert_eq!(values("DIFF_TIME(a)"), [(60, 60.0), (180, 120.0)]);
    assert_eq!(values("RUNNING_SUM(b)"), [(0, 1.0), (60, 1.0), (120, 3.0), (180, 7.0)]);
    assert_eq!(values("ABS(-a)"), values("a+0"));
    assert_eq!(values("LOG10(b)").len(), 3, "the logarithm of zero is not there");
    assert_eq!(values("FIRST(SORT(METRICS(), MAX, DESC))"), values("a+0"));
    assert_eq!(values("LAST(SLICE(METRICS(), 1))"), values("b+0"));
    assert_eq!(values("MINUTE(a)"), [(0, 0.0), (60, 1.0), (180, 3.0)]);
    assert_eq!(values("YEAR(a)")[0], (0, 1970.0));
    assert_eq!(values("DAY(a)")[0], (0, 4.0), "it was a Thursday");
}

#[test]
fn gaps_are_filled_and_values_chosen() {
    assert_eq!(values("FILL(a, 0)")[2], (120, 0.0));
    assert_eq!(values("FILL(a, REPEAT)")[2], (120, 3.0));
    assert_eq!(values("FILL(a, LINEAR)")[2], (120, 6.0));
    assert_eq!(values("FILL(a, b)")[2], (120, 2.0));
    assert_eq!(values("TIME_SERIES(7)"), [(0, 7.0), (60, 7.0), (120, 7.0), (180, 7.0)]);
    assert_eq!(values("IF(b > 1, a, 0)"), [(0, 0.0), (60, 0.0), (180, 9.0)]);
    assert_eq!(values("IF(b > 1, b)"), [(120, 2.0), (180, 4.0)]);
    assert_eq!(values("IF(1, a, b)"), values("a+0"));
}

#[test]
fn what_does_not_fit_is_refused() {
    for bad in [
        "FILL(1, 0)",
        "NOSUCH(a)",
        "SUM()",
        "SUM(a, b)",
        "IF([a,b], 1, 0)",
        "SEARCH('x', 'Sum', 60)",
        "PERIOD(1)",
        "REPEAT",
        "'text'",
        "SLICE(a, -1)",
        "SORT(METRICS(), MEDIAN, ASC)",
        "TIME_SERIES(a)",
        "IF(0, 1)",
    ] {
        assert!(evaluate(bad, &World).is_err(), "{bad}");
    }
}

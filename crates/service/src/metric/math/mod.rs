//! Metric math: expressions over the values of metrics, as CloudWatch has them. Pure, and bounded.
//!
//! A value is a number, a series, or several series. Operators and functions work on the values of one time; a time that
//! one of two series does not have is not in the result, and neither is a value that is no number.

mod function;
mod parse;

use std::collections::BTreeMap;
use std::ops::Range;

use self::parse::{Expression, Operator, parse};

/// Most series of one value.
const SERIES_MAX: usize = 500;
/// Most values of one series that is made here.
const POINTS_MAX: u64 = 100_800;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MathError(pub String);

/// Values by the beginning of their period, in Unix seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// What people call it.
    pub label: String,
    /// Its period, in seconds.
    pub period: u64,
    /// The values.
    pub values: BTreeMap<u64, f64>,
}

impl Series {
    /// The same series with other values; those that are no number are left out.
    fn with(&self, values: impl IntoIterator<Item = (u64, f64)>) -> Series {
        let values = values.into_iter().filter(|(_, value)| value.is_finite()).collect();
        Series { label: self.label.clone(), period: self.period, values }
    }

    fn map(&self, change: impl Fn(f64) -> f64) -> Series {
        self.with(self.values.iter().map(|(at, value)| (*at, change(*value))))
    }
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Math {
    /// A number.
    Number(f64),
    /// A series.
    Series(Series),
    /// Several series.
    Several(Vec<Series>),
}

/// What an expression may refer to.
pub trait Names {
    /// The value of that id.
    ///
    /// # Errors
    /// If there is none, or it has no value.
    fn get(&self, id: &str) -> Result<Math, MathError>;

    /// All metrics, with their ids.
    ///
    /// # Errors
    /// If one has no value.
    fn metrics(&self) -> Result<Vec<(String, Series)>, MathError>;

    /// Counts values that were made.
    ///
    /// # Errors
    /// If there are too many of them.
    fn spend(&self, values: usize) -> Result<(), MathError>;

    /// The time that is looked at, in Unix seconds.
    fn range(&self) -> Range<u64>;

    /// The period of series that are made of nothing.
    fn period(&self) -> u64;
}

/// The value of an expression.
///
/// # Errors
/// If it is none, or does not fit together.
pub fn evaluate(text: &str, names: &dyn Names) -> Result<Math, MathError> {
    value(&parse(text)?, names)
}

/// Whether a text is an expression at all.
///
/// # Errors
/// If it is no expression.
pub fn check(text: &str) -> Result<(), MathError> {
    parse(text).map(drop)
}

fn value(expression: &Expression, names: &dyn Names) -> Result<Math, MathError> {
    let value = unbounded(expression, names)?;
    names.spend(match &value {
        Math::Number(_) => 1,
        Math::Series(series) => 1 + series.values.len(),
        Math::Several(all) => all.iter().map(|series| 1 + series.values.len()).sum(),
    })?;
    Ok(value)
}

fn unbounded(expression: &Expression, names: &dyn Names) -> Result<Math, MathError> {
    match expression {
        Expression::Number(number) => Ok(Math::Number(*number)),
        Expression::Id(id) => names.get(id),
        Expression::Text(_) | Expression::Word(_) => {
            Err(MathError("a text or a word in capitals stands where a value must".to_owned()))
        }
        Expression::Negative(inner) => Ok(each(value(inner, names)?, |number| -number)),
        Expression::Binary(operator, left, right) => {
            let operator = *operator;
            join(value(left, names)?, value(right, names)?, |a, b| apply(operator, a, b))
        }
        Expression::List(elements) => {
            let mut all = Vec::new();
            for element in elements {
                match value(element, names)? {
                    Math::Number(_) => return Err(MathError("a list has series only".to_owned())),
                    Math::Series(series) => all.push(series),
                    Math::Several(several) => all.extend(several),
                }
            }
            several(all)
        }
        Expression::Call(name, arguments) => function::call(name, arguments, names),
    }
}

fn several(all: Vec<Series>) -> Result<Math, MathError> {
    if all.len() > SERIES_MAX {
        return Err(MathError(format!("there are more than {SERIES_MAX} series")));
    }
    Ok(Math::Several(all))
}

fn apply(operator: Operator, a: f64, b: f64) -> f64 {
    let truth = |is_true: bool| f64::from(u8::from(is_true));
    match operator {
        Operator::Or => truth(a != 0.0 || b != 0.0),
        Operator::And => truth(a != 0.0 && b != 0.0),
        Operator::Equal => truth(a == b),
        Operator::NotEqual => truth(a != b),
        Operator::Less => truth(a < b),
        Operator::LessOrEqual => truth(a <= b),
        Operator::Greater => truth(a > b),
        Operator::GreaterOrEqual => truth(a >= b),
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Power => a.powf(b),
    }
}

/// The same of every value.
fn each(value: Math, change: impl Fn(f64) -> f64 + Copy) -> Math {
    match value {
        Math::Number(number) => Math::Number(change(number)),
        Math::Series(series) => Math::Series(series.map(change)),
        Math::Several(several) => Math::Several(several.iter().map(|series| series.map(change)).collect()),
    }
}

/// One value of each two.
fn join(left: Math, right: Math, both: impl Fn(f64, f64) -> f64 + Copy) -> Result<Math, MathError> {
    let pair = |a: &Series, b: &Series| {
        let values = a.values.iter().filter_map(|(at, left)| Some((*at, both(*left, *b.values.get(at)?))));
        Series { period: a.period.max(b.period), ..a.with(values) }
    };
    Ok(match (left, right) {
        (Math::Number(a), Math::Number(b)) => Math::Number(both(a, b)),
        (value, Math::Number(b)) => each(value, |a| both(a, b)),
        (Math::Number(a), value) => each(value, |b| both(a, b)),
        (Math::Series(a), Math::Series(b)) => Math::Series(pair(&a, &b)),
        (Math::Several(all), Math::Series(b)) => Math::Several(all.iter().map(|a| pair(a, &b)).collect()),
        (Math::Series(a), Math::Several(all)) => Math::Several(all.iter().map(|b| pair(&a, b)).collect()),
        (Math::Several(_), Math::Several(_)) => {
            return Err(MathError("an operator cannot stand between two lists of series".to_owned()));
        }
    })
}

#[cfg(test)]
mod tests;

//! The text of an expression as a tree. Pure, and bounded in length and depth.

use super::MathError;

/// Longest expression, in bytes.
const BYTES_MAX: usize = 2048;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Number(f64),
    Text(String),
    /// The id of another query: begins with a small letter.
    Id(String),
    /// A word in capitals that is no function: REPEAT, ASC and so on.
    Word(String),
    Negative(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Call(String, Vec<Expression>),
    List(Vec<Expression>),
}

/// What stands between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

impl Operator {
    /// How strongly it binds.
    fn rank(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And => 2,
            Operator::Equal | Operator::NotEqual => 3,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => 4,
            Operator::Add | Operator::Subtract => 5,
            Operator::Multiply | Operator::Divide => 6,
            Operator::Power => 7,
        }
    }
}

/// Signs, the longer ones first.
const SIGNS: &[(&str, Operator)] = &[
    ("&&", Operator::And),
    ("||", Operator::Or),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("+", Operator::Add),
    ("-", Operator::Subtract),
    ("*", Operator::Multiply),
    ("/", Operator::Divide),
    ("^", Operator::Power),
];

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expression, MathError> {
    if text.len() > BYTES_MAX {
        return Err(MathError(format!("it is longer than {BYTES_MAX} bytes")));
    }
    let mut parser = Parser { rest: text, depth: 0 };
    let expression = parser.binary(0)?;
    parser.skip_space();
    if parser.rest.is_empty() { Ok(expression) } else { Err(parser.unexpected()) }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self) -> MathError {
        let shown: String = self.rest.chars().take(20).collect();
        MathError(if shown.is_empty() {
            "it ends too soon".to_owned()
        } else {
            format!("{shown:?} is not expected")
        })
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), MathError> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The next operator, with what stands after it.
    fn operator(&mut self) -> Option<(Operator, &'a str)> {
        self.skip_space();
        for (word, operator) in [("AND", Operator::And), ("OR", Operator::Or)] {
            if let Some(rest) = self.rest.strip_prefix(word)
                && !rest.starts_with(is_of_name)
            {
                return Some((operator, rest));
            }
        }
        SIGNS.iter().find_map(|(sign, operator)| Some((*operator, self.rest.strip_prefix(sign)?)))
    }

    /// Operands and the operators between them that bind more strongly than `rank`.
    fn binary(&mut self, rank: u8) -> Result<Expression, MathError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(MathError(format!("it is nested deeper than {DEPTH_MAX}")));
        }
        let mut left = self.operand()?;
        while let Some((operator, rest)) = self.operator().filter(|(operator, _)| operator.rank() > rank) {
            self.rest = rest;
            // A power of a power is read from the right.
            let bound = if operator == Operator::Power { operator.rank() - 1 } else { operator.rank() };
            let right = self.binary(bound)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, MathError> {
        self.skip_space();
        let first = self.rest.chars().next().ok_or_else(|| self.unexpected())?;
        match first {
            '-' => {
                self.rest = &self.rest[1..];
                // Binds more strongly than a product, and less than a power.
                Ok(Expression::Negative(Box::new(self.binary(Operator::Multiply.rank())?)))
            }
            '(' => {
                self.rest = &self.rest[1..];
                let inner = self.binary(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            '[' => {
                self.rest = &self.rest[1..];
                Ok(Expression::List(self.list("]")?))
            }
            '"' | '\'' => {
                let (text, rest) = self.rest[1..].split_once(first).ok_or_else(|| self.unexpected())?;
                self.rest = rest;
                Ok(Expression::Text(text.to_owned()))
            }
            '0'..='9' | '.' => {
                let end =
                    self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
                let number = self.rest[..end].parse().map_err(|_| self.unexpected())?;
                self.rest = &self.rest[end..];
                Ok(Expression::Number(number))
            }
            'a'..='z' => Ok(Expression::Id(self.name().to_owned())),
            'A'..='Z' => {
                let name = self.name().to_owned();
                if self.take("(") {
                    Ok(Expression::Call(name, self.list(")")?))
                } else {
                    Ok(Expression::Word(name))
                }
            }
            _ => Err(self.unexpected()),
        }
    }

    fn name(&mut self) -> &'a str {
        let end = self.rest.find(|c| !is_of_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    /// Elements up to the closing sign.
    fn list(&mut self, end: &str) -> Result<Vec<Expression>, MathError> {
        let mut elements = Vec::new();
        if self.take(end) {
            return Ok(elements);
        }
        loop {
            elements.push(self.binary(0)?);
            if self.take(end) {
                return Ok(elements);
            }
            self.expect(",")?;
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree with all its parentheses.
    fn shown(expression: &Expression) -> String {
        let all = |elements: &[Expression]| elements.iter().map(shown).collect::<Vec<_>>().join(" ");
        match expression {
            Expression::Number(number) => number.to_string(),
            Expression::Text(text) => format!("{text:?}"),
            Expression::Id(name) | Expression::Word(name) => name.clone(),
            Expression::Negative(inner) => format!("(- {})", shown(inner)),
            Expression::Binary(operator, a, b) => format!("({operator:?} {} {})", shown(a), shown(b)),
            Expression::Call(name, arguments) => format!("{name}({})", all(arguments)),
            Expression::List(elements) => format!("[{}]", all(elements)),
        }
    }

    #[test]
    fn operators_bind_as_they_do_everywhere() {
        for (text, tree) in [
            ("a+b*2", "(Add a (Multiply b 2))"),
            ("(a+b)*2", "(Multiply (Add a b) 2)"),
            ("a-b-c", "(Subtract (Subtract a b) c)"),
            ("2^3^2", "(Power 2 (Power 3 2))"),
            ("-a^2", "(- (Power a 2))"),
            ("-a*b", "(Multiply (- a) b)"),
            ("a - -1.5", "(Subtract a (- 1.5))"),
            ("a>=1 AND b<2 || c==3", "(Or (And (GreaterOrEqual a 1) (Less b 2)) (Equal c 3))"),
            ("IF(a > 5, b, 0)", "IF((Greater a 5) b 0)"),
            ("SUM([a, b])/PERIOD(a)", "(Divide SUM([a b]) PERIOD(a))"),
            ("FILL(METRICS('err'), REPEAT)", "FILL(METRICS(\"err\") REPEAT)"),
            ("METRICS()", "METRICS()"),
        ] {
            assert_eq!(parse(text).map(|tree| shown(&tree)), Ok(tree.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
        let minus = "-".repeat(1000);
        let long = "1+".repeat(2000);
        for bad in
            ["", "a+", "(a", "a)", "[a", "'a", "1.2.3", "a b", "SUM(a,)", "é", "a = b", &deep, &minus, &long]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_signs_are_read_without_harm(text in "[a-c0-9A-C+*/^()\\[\\],.'&|<>= -]{0,60}") {
            let _ = parse(&text);
        }
    }
}

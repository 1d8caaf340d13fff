//! The shape that most pages share: facts, a table, and forms. A page fills it; one template draws it.

use askama::Template;

use super::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

/// A field of a form.
pub(super) enum Field {
    /// Text.
    Text { name: &'static str, label: String, hint: &'static str, value: String, is_needed: bool },
    /// A number. Whether it is one, the operation says.
    Number { name: &'static str, label: &'static str, value: String },
    /// A text that is not shown while it is typed, and never shown again.
    Secret { name: &'static str, label: &'static str, hint: &'static str },
    /// One of several: values and texts.
    Choice { name: &'static str, label: &'static str, options: Vec<(String, String)>, value: String },
    /// Any of several.
    Checks { name: &'static str, label: &'static str, options: Vec<(String, String)>, values: Vec<String> },
    /// What is sent along.
    Hidden { name: &'static str, value: String },
}

impl Field {
    /// A text that must be given, with what was typed last.
    pub(super) fn needed(visit: &Visit<'_>, name: &'static str, label: &str) -> Field {
        let value = visit.fields.text(name).to_owned();
        Field::Text { name, label: label.to_owned(), hint: "", value, is_needed: true }
    }

    /// A text that may stay empty.
    pub(super) fn wanted(visit: &Visit<'_>, name: &'static str, label: &str, hint: &'static str) -> Field {
        let value = visit.fields.text(name).to_owned();
        Field::Text { name, label: label.to_owned(), hint, value, is_needed: false }
    }

    /// One of several, with what was chosen last.
    pub(super) fn choice(
        visit: &Visit<'_>,
        name: &'static str,
        label: &'static str,
        options: Vec<(String, String)>,
    ) -> Field {
        Field::Choice { name, label, options, value: visit.fields.text(name).to_owned() }
    }

    /// Any of several, with what was chosen last.
    pub(super) fn checks(
        visit: &Visit<'_>,
        name: &'static str,
        label: &'static str,
        options: Vec<(String, String)>,
    ) -> Field {
        let values = visit.fields.texts(name).into_iter().map(str::to_owned).collect();
        Field::Checks { name, label, options, values }
    }
}

/// Something to be done on a page.
pub(super) struct Form {
    /// What the page knows it by.
    pub(super) act: &'static str,
    pub(super) heading: String,
    /// What will happen.
    pub(super) consequences: Vec<String>,
    pub(super) fields: Vec<Field>,
    pub(super) button: &'static str,
    pub(super) is_danger: bool,
    /// Where else one may go.
    pub(super) cancel: Option<String>,
}

impl Form {
    pub(super) fn of(act: &'static str, heading: &str, button: &'static str, fields: Vec<Field>) -> Form {
        Form {
            act,
            heading: heading.to_owned(),
            consequences: Vec::new(),
            fields,
            button,
            is_danger: false,
            cancel: None,
        }
    }

    /// A form that takes something away.
    pub(super) fn danger(
        act: &'static str,
        heading: &str,
        button: &'static str,
        consequences: &[&str],
    ) -> Form {
        let consequences = consequences.iter().map(|text| (*text).to_owned()).collect();
        Form { consequences, is_danger: true, ..Form::of(act, heading, button, Vec::new()) }
    }
}

/// A cell of a table.
pub(super) enum Cell {
    Text(String),
    /// In the letters of code.
    Code(String),
    /// A text and the path below the console's root that it leads to.
    Link(String, String),
    /// A status and its style.
    Status(String, &'static str),
    /// A number.
    Number(String),
}

impl Cell {
    pub(super) fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    pub(super) fn status(status: &str) -> Cell {
        Cell::Status(status.to_owned(), super::show::tone_of(status).class())
    }
}

/// A table.
pub(super) struct Table {
    /// Empty where the page's own heading says it.
    pub(super) heading: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<Cell>>,
    /// What stands there when it has no rows.
    pub(super) empty: &'static str,
}

impl Table {
    /// The cells of a row with the names of their columns.
    fn named<'a>(&self, row: &'a [Cell]) -> Vec<(&'static str, &'a Cell)> {
        self.columns.iter().copied().zip(row).collect()
    }
}

/// A page of that shape.
#[derive(Template)]
#[template(path = "board.html")]
pub(super) struct Board {
    pub(super) frame: Frame,
    /// Pages above: texts and paths below the console's root.
    pub(super) trail: Vec<(String, String)>,
    pub(super) heading: String,
    pub(super) intro: &'static str,
    pub(super) refused: Option<ApiError>,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Ways to go on from here: texts and paths below the console's root.
    pub(super) links: Vec<(String, String)>,
    pub(super) tables: Vec<Table>,
    pub(super) forms: Vec<Form>,
}

impl Board {
    /// A page with nothing but its heading.
    pub(super) fn of(visit: &Visit<'_>, section: &'static str, heading: &str, intro: &'static str) -> Board {
        Board {
            frame: visit.frame(section, heading),
            trail: Vec::new(),
            heading: heading.to_owned(),
            intro,
            refused: None,
            facts: Vec::new(),
            links: Vec::new(),
            tables: Vec::new(),
            forms: Vec::new(),
        }
    }

    pub(super) fn answer(self) -> Answer {
        html(self.refused.as_ref().map_or(200, |refused| refused.status), &self)
    }
}

/// What a form of a page did: the message and the path to go to; or nothing, if no form was sent.
pub(super) type Done = Result<Option<(String, String)>, ApiError>;

/// Answers a page whose forms do something: goes on where that worked, and else shows the page with the refusal.
///
/// # Errors
/// If the page itself cannot be shown.
pub(super) fn answer(
    visit: &Visit<'_>,
    done: Done,
    board: impl FnOnce() -> Result<Board, ApiError>,
) -> Result<Answer, ApiError> {
    match done {
        Ok(Some((said, path))) => Ok(visit.done(&said, &path)),
        Ok(None) => Ok(board()?.answer()),
        Err(refused) => {
            let mut board = board()?;
            board.refused = Some(refused);
            Ok(board.answer())
        }
    }
}

//! The line editor of both languages: history in the data folder, completion and hints from a catalogue.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::BufRead;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Validator};

use super::catalogue::Catalogue;
use crate::failure::Failure;
use crate::terminal::colour_wanted;

/// How many lines are remembered.
const HISTORY_LINES_MAX: usize = 2000;
/// Commands whose arguments are secrets are not written to the history.
const SECRETS: [&str; 3] = ["auth", "hello", "acl"];

/// Where lines come from: a person at a terminal, or a pipe.
pub(super) enum Lines {
    Terminal(Box<Terminal>),
    Pipe(std::io::Lines<std::io::StdinLock<'static>>),
}

/// What a read brought.
pub(super) enum Read {
    Line(String),
    /// Ctrl-C: the line is dropped.
    Dropped,
    End,
}

impl Lines {
    pub(super) fn pipe() -> Self {
        Self::Pipe(std::io::stdin().lock().lines())
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line. A line that is not UTF-8 ends a pipe with an error.
    pub(super) fn next(&mut self, prompt: &str) -> Result<Read, Failure> {
        match self {
            Self::Terminal(terminal) => terminal.next(prompt),
            Self::Pipe(lines) => match lines.next() {
                Some(line) => Ok(Read::Line(line?)),
                None => Ok(Read::End),
            },
        }
    }
}

/// The editor.
pub(super) struct Terminal {
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
    /// Further lines of a paste, each a command of its own.
    pasted: VecDeque<String>,
}

impl Terminal {
    pub(super) fn open(catalogue: Catalogue, history: Option<PathBuf>) -> Result<Self, Failure> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .map_err(|error| failed(&error))?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(|error| failed(&error))?;
        editor.set_helper(Some(Assistant { catalogue, colour: colour_wanted() }));
        if let Some(path) = &history {
            // A missing or damaged history is only a history that is empty.
            let _ = editor.load_history(path);
        }
        Ok(Self { editor, history, pasted: VecDeque::new() })
    }

    fn next(&mut self, prompt: &str) -> Result<Read, Failure> {
        if let Some(line) = self.pasted.pop_front() {
            return Ok(Read::Line(line));
        }
        match self.editor.readline(prompt) {
            Ok(text) => {
                text.lines().for_each(|line| self.remember(line));
                self.pasted.extend(text.lines().map(str::to_owned));
                Ok(Read::Line(self.pasted.pop_front().unwrap_or_default()))
            }
            Err(ReadlineError::Interrupted) => Ok(Read::Dropped),
            Err(ReadlineError::Eof) => Ok(Read::End),
            Err(error) => Err(failed(&error)),
        }
    }

    fn remember(&mut self, line: &str) {
        let first = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if first.is_empty() || SECRETS.contains(&first.as_str()) {
            return;
        }
        // A history that cannot be kept must not disturb the talk.
        let _ = self.editor.add_history_entry(line);
        if let Some(path) = &self.history {
            let _ = self.editor.append_history(path);
        }
    }
}

fn failed(error: &ReadlineError) -> Failure {
    Failure::failed(format!("the terminal cannot be read: {error}"))
}

/// Completion, hints and their colour.
#[derive(Helper, Validator)]
struct Assistant {
    catalogue: Catalogue,
    colour: bool,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, self.catalogue.completions(&line[..position])))
    }
}

impl Hinter for Assistant {
    type Hint = Usage;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<Usage> {
        (position == line.len()).then(|| self.catalogue.hint(line)).flatten().map(Usage)
    }
}

/// A hint that only tells how to go on; there is nothing to accept.
struct Usage(String);

impl rustyline::hint::Hint for Usage {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colour { Cow::Owned(format!("\x1b[90m{hint}\x1b[0m")) } else { Cow::Borrowed(hint) }
    }
}

//! The manifest: which files make up the append-only file. Pure text.

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was there when the file was written anew.
    Base,
    /// What was written since.
    Increment,
    /// Replaced by another: to be removed.
    History,
}

impl Kind {
    const LETTERS: [(&'static str, Kind); 3] =
        [("b", Kind::Base), ("i", Kind::Increment), ("h", Kind::History)];

    fn letter(self) -> &'static str {
        Kind::LETTERS.iter().find(|(_, kind)| *kind == self).map_or("", |(letter, _)| letter)
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name within the folder.
    pub name: String,
    /// Its number; increments are read in the order of theirs.
    pub number: u64,
    /// What it is for.
    pub kind: Kind,
}

/// The files, in the order in which the manifest names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The base, if there is one.
    pub base: Option<Part>,
    /// The increments in ascending order.
    pub increments: Vec<Part>,
    /// What is to be removed.
    pub history: Vec<Part>,
}

/// Files that a manifest may name.
pub const PARTS_MAX: usize = 100_000;
/// Bytes of a line.
const LINE_BYTES_MAX: usize = 1024;

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let mut manifest = Manifest::default();
        let mut count = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            count += 1;
            if line.is_empty() || line.len() > LINE_BYTES_MAX || count > PARTS_MAX {
                return Err("Invalid AOF manifest file format".into());
            }
            manifest.add(Part::parse(line)?)?;
        }
        if count == 0 {
            return Err("Found an empty AOF manifest".into());
        }
        Ok(manifest)
    }

    fn add(&mut self, part: Part) -> Result<(), String> {
        match part.kind {
            Kind::Base if self.base.is_some() => return Err("Found duplicate base file information".into()),
            Kind::Base => self.base = Some(part),
            Kind::Increment if self.increments.last().is_some_and(|last| last.number >= part.number) => {
                return Err("Found a non-monotonic sequence number".into());
            }
            Kind::Increment => self.increments.push(part),
            Kind::History => self.history.push(part),
        }
        Ok(())
    }

    /// The text of the manifest.
    pub fn print(&self) -> String {
        let parts = self.base.iter().chain(&self.history).chain(&self.increments);
        parts
            .map(|part| {
                let Part { name, number, kind } = part;
                let plain = |letter: char| !letter.is_whitespace() && letter != '"' && letter != '\\';
                let name = if name.chars().all(plain) { name.clone() } else { quoted(name) };
                format!("file {name} seq {number} type {}\n", kind.letter())
            })
            .collect()
    }

    /// The files to be loaded, in order.
    pub fn live(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments)
    }

    /// The number of the next base and of the next increment.
    pub fn next_numbers(&self) -> (u64, u64) {
        let base = self.base.iter().chain(self.history.iter().filter(|part| part.name.contains(".base.")));
        let increment =
            self.increments.iter().chain(self.history.iter().filter(|part| part.name.contains(".incr.")));
        let next = |last: Option<u64>| last.unwrap_or(0).saturating_add(1);
        (next(base.map(|part| part.number).max()), next(increment.map(|part| part.number).max()))
    }
}

/// Letters that stand for others behind a backslash: a manifest has a line for each file.
const ESCAPES: [(char, char); 3] = [('n', '\n'), ('r', '\r'), ('t', '\t')];

fn quoted(name: &str) -> String {
    let mut out = String::from('"');
    for letter in name.chars() {
        match ESCAPES.iter().find(|(_, meant)| *meant == letter) {
            Some((escape, _)) => out.extend(['\\', *escape]),
            None if matches!(letter, '"' | '\\') => out.extend(['\\', letter]),
            None => out.push(letter),
        }
    }
    out.push('"');
    out
}

impl Part {
    fn parse(line: &str) -> Result<Part, String> {
        let bad = || "Invalid AOF manifest file format".to_owned();
        let mut words = words(line).ok_or_else(bad)?.into_iter();
        let (mut name, mut number, mut kind) = (None, None, None);
        while let Some(key) = words.next() {
            let value = words.next().ok_or_else(bad)?;
            match key.to_ascii_lowercase().as_str() {
                "file" => name = Some(value),
                "seq" => number = Some(value.parse::<u64>().map_err(|_| bad())?),
                "type" => {
                    let found = Kind::LETTERS.iter().find(|(letter, _)| *letter == value);
                    kind = Some(found.ok_or("Unknown AOF file type")?.1);
                }
                _ => {} // what later versions add
            }
        }
        let name = name.filter(|name| !name.is_empty()).ok_or_else(bad)?;
        if name.contains('/') || name == "." || name == ".." {
            return Err("File can't be a path, just a filename".into());
        }
        let number = number.filter(|number| *number > 0).ok_or_else(bad)?;
        Ok(Part { name, number, kind: kind.ok_or_else(bad)? })
    }
}

/// Words of a line; one in quotes may hold blanks.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        if first != '"' {
            let end = rest.find(' ').unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
            continue;
        }
        let (mut word, mut escaped, mut end) = (String::new(), false, None);
        for (at, letter) in rest.char_indices().skip(1) {
            match letter {
                _ if escaped => {
                    let meant = ESCAPES.iter().find(|(escape, _)| *escape == letter);
                    word.push(meant.map_or(letter, |(_, meant)| *meant));
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                _ => word.push(letter),
            }
        }
        words.push(word);
        rest = rest[end?..].trim_start();
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                        file appendonly.aof.1.incr.aof seq 1 type h\n\
                        file appendonly.aof.2.incr.aof seq 2 type i\n\
                        file \"my file.3.incr.aof\" seq 3 type i\n";

    #[test]
    fn a_manifest_is_printed_as_it_is_read() {
        let manifest = Manifest::parse(&format!("# a comment\n{TEXT}")).unwrap();
        assert_eq!(manifest.print(), TEXT);
        assert_eq!(manifest.next_numbers(), (3, 4));
        let names: Vec<&str> = manifest.live().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "my file.3.incr.aof"]);
    }

    #[test]
    fn a_name_is_printed_as_it_was() {
        for name in ["a b", "\ta", "a\"b", "a\\", "a\n\r\\n", "\u{a0}a", "plain"] {
            let part = Part { name: name.into(), number: 1, kind: Kind::Base };
            let manifest = Manifest { base: Some(part), ..Manifest::default() };
            assert_eq!(Manifest::parse(&manifest.print()), Ok(manifest));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "# nothing\n",
            "\n",
            "file a seq 1\n",
            "file a type b\n",
            "seq 1 type b\n",
            "file a seq x type b\n",
            "file a seq 0 type b\n",
            "file a seq 1 type q\n",
            "file ../a seq 1 type b\n",
            "file \"a seq 1 type b\n",
            "file a seq 1 type b\nfile b seq 2 type b\n",
            "file a seq 2 type i\nfile b seq 2 type i\n",
        ] {
            assert!(Manifest::parse(text).is_err(), "{text}");
        }
    }
}

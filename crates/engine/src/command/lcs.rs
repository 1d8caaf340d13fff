//! LCS: the longest common subsequence of two strings.
//!
//! The table of lengths is only kept for two rows. To walk back from its end takes one bit per cell: whether the
//! cell above is longer than the cell to the left.

use super::collection::{Answer, integer, is, text};
use super::string::element;
use super::{Call, CommandError, Keyspace};
use larder_protocol::resp::reply::Reply;
use larder_store::object::Element;
use std::borrow::Cow;

/// Most cells of the table: what 256 MiB of bits hold, and some seconds of work.
const CELLS_MAX: usize = 1 << 31;

/// What LCS answers.
#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_len: bool,
    min_len: usize,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut at = 3;
        while at < call.args.len() {
            match call.args.get(at) {
                word if is(word, "LEN") => options.len = true,
                word if is(word, "IDX") => options.idx = true,
                word if is(word, "WITHMATCHLEN") => options.with_len = true,
                word if is(word, "MINMATCHLEN") && at + 1 < call.args.len() => {
                    at += 1;
                    options.min_len = usize::try_from(integer(call.args.get(at))?).unwrap_or(0);
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        if options.len && options.idx {
            return Err(text("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// A stretch that both strings have: where it begins in each, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// Which way the walk goes at cells where the strings differ; one bit per cell.
struct Ways {
    bits: Vec<u64>,
    width: usize,
}

impl Ways {
    fn is_up(&self, a: usize, b: usize) -> bool {
        let cell = a * self.width + b;
        self.bits[cell / 64] >> (cell % 64) & 1 != 0
    }
}

/// The length of the longest common subsequence, and the way back through the table if it is wanted.
fn fill(a: &[u8], b: &[u8], walk: bool) -> (usize, Ways) {
    let cells = if walk { a.len() * b.len() } else { 0 };
    let mut ways = Ways { bits: vec![0; cells.div_ceil(64)], width: b.len() };
    let mut row = vec![0u32; b.len() + 1];
    for (i, &left) in a.iter().enumerate() {
        let mut diagonal = 0;
        for (j, &right) in b.iter().enumerate() {
            let above = row[j + 1];
            if left == right {
                row[j + 1] = diagonal + 1;
            } else if above > row[j] {
                if walk {
                    let cell = i * b.len() + j;
                    ways.bits[cell / 64] |= 1 << (cell % 64);
                }
            } else {
                row[j + 1] = row[j];
            }
            diagonal = above;
        }
    }
    (row[b.len()] as usize, ways)
}

/// The stretches of the subsequence, the last one first.
fn matches(a: &[u8], b: &[u8], ways: &Ways) -> Vec<Match> {
    let mut found: Vec<Match> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            match found.last_mut() {
                Some(last) if last.a == i && last.b == j => {
                    *last = Match { a: i - 1, b: j - 1, len: last.len + 1 }
                }
                _ => found.push(Match { a: i - 1, b: j - 1, len: 1 }),
            }
            (i, j) = (i - 1, j - 1);
        } else if ways.is_up(i - 1, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    found
}

/// The handler of LCS.
pub(super) fn lcs(call: &mut Call<'_>) -> Answer {
    for at in [1, 2] {
        let value = call.keys.read(call.args.get(at)).map(|item| item.value());
        if value.is_some_and(|value| element(value).is_err()) {
            return Err(text("ERR The specified keys must contain string values"));
        }
    }
    let options = Options::parse(call)?;
    let (a, b) = (bytes(&call.keys, call.args.get(1))?, bytes(&call.keys, call.args.get(2))?);
    if a.len().checked_mul(b.len()).is_none_or(|cells| cells > CELLS_MAX) {
        return Err(text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let (len, ways) = fill(&a, &b, !options.len);
    if options.len {
        call.out.integer(len as i64);
        return Ok(());
    }
    let found = matches(&a, &b, &ways);
    if !options.idx {
        let parts = found.iter().rev().map(|part| &a[part.a..part.a + part.len]);
        call.out.bulk(&parts.collect::<Vec<_>>().concat());
        return Ok(());
    }
    let found: Vec<Match> = found.into_iter().filter(|part| part.len >= options.min_len).collect();
    call.out.map(2);
    call.out.bulk(b"matches");
    call.out.array(found.len());
    for part in &found {
        answer_match(call.out, part, options.with_len);
    }
    call.out.bulk(b"len");
    call.out.integer(len as i64);
    Ok(())
}

fn bytes<'k>(keys: &'k Keyspace<'_>, key: &[u8]) -> Result<Cow<'k, [u8]>, CommandError> {
    match keys.peek_value(key).map(element).transpose()? {
        Some(Element::Bytes(bytes)) => Ok(Cow::Borrowed(bytes)),
        Some(Element::Int(n)) => Ok(Cow::Owned(n.to_string().into_bytes())),
        None => Ok(Cow::Borrowed(&[])),
    }
}

fn answer_match(out: &mut Reply, part: &Match, with_len: bool) {
    out.array(if with_len { 3 } else { 2 });
    for start in [part.a, part.b] {
        out.array(2);
        out.integer(start as i64);
        out.integer((start + part.len - 1) as i64);
    }
    if with_len {
        out.integer(part.len as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_finds_the_stretches_from_the_end() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        let (len, ways) = fill(a, b, true);
        assert_eq!(len, 6);
        assert_eq!(matches(a, b, &ways), [Match { a: 4, b: 5, len: 4 }, Match { a: 2, b: 0, len: 2 }]);
    }

    #[test]
    fn the_length_needs_no_way_back() {
        assert_eq!(fill(b"aabbaaba", b"abababa", false).0, 6);
        assert_eq!(fill(b"", b"abc", false).0, 0);
    }
}

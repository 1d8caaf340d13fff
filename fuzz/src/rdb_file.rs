//! Files of snapshots: never a panic, never more memory than the file has bytes for, and the same whatever the pieces in
//! which the file comes.

use larder_rdb::file::read::{FileReader, Part, Wishes};
use larder_rdb::load::Options;
use larder_store::object::Limits;
use std::io::Read;

/// Gives its bytes in pieces of a few.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(buffer.len()).min(self.0.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// What can be seen of a file: keys, and how it ended.
fn read(input: &[u8], most: usize, size: Option<u64>) -> (Vec<Vec<u8>>, bool) {
    let limits = Limits::default();
    let options = Options { limits: &limits, thorough: false };
    let mut keys = Vec::new();
    let wishes = Wishes { checksum: false, any_version: false, size };
    let Ok(mut reader) = FileReader::open(Pieces(input, most), wishes) else { return (keys, false) };
    loop {
        match reader.next_part() {
            Ok(Part::Keys(batch)) => {
                for record in batch.records(&options) {
                    match record {
                        Ok(record) => keys.push(record.key.into_owned()),
                        Err(_) => return (keys, false),
                    }
                }
            }
            Ok(Part::End { .. }) => return (keys, true),
            Ok(_) => {}
            Err(_) => return (keys, false),
        }
    }
}

/// Reads the input and asserts what must hold of it.
pub fn run(input: &[u8]) {
    let whole = read(input, usize::MAX, Some(input.len() as u64));
    let pieces = read(input, 7, None);
    assert_eq!(whole.1, pieces.1);
    if whole.1 {
        assert_eq!(whole.0, pieces.0);
    }
}

//! Traces of requests to a cache, for programs that measure.
#![allow(dead_code, reason = "each program uses its own part")]

/// Keys by number, and the bytes of key and value, one a request.
pub(crate) struct Trace {
    /// What it is called.
    pub(crate) name: String,
    /// Key and bytes of each request.
    pub(crate) requests: Vec<(u32, u32)>,
    /// Requests for each millisecond of the trace's time.
    pub(crate) per_ms: f64,
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

/// A file in the format HRT1: a header of 32 bytes, and columns of times, keys and sizes in LEB128.
pub(crate) fn load(path: &str, most: usize) -> Trace {
    let file = std::fs::read(path).unwrap_or_else(|why| panic!("{path}: {why}"));
    assert!(file.starts_with(b"HRT1"), "{path} is no unpacked trace");
    let word = |at: usize| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize;
    let (mut times, rest) = file[32..].split_at(word(16));
    let (mut keys, mut sizes) = rest.split_at(word(20));
    let (mut last, mut next, mut seconds) = (vec![0; word(8)], 0, 0);
    let mut previous = 0;
    let requests: Vec<(u32, u32)> = (0..word(4).min(most))
        .map(|_| {
            seconds += varint(&mut times);
            previous = match varint(&mut keys) {
                0 => {
                    next += 1;
                    next - 1
                }
                1 => previous + 1,
                id => id as usize - 2,
            };
            match varint(&mut sizes) {
                0 => {}
                size => last[previous] = size as u32 - 1,
            }
            (previous as u32, last[previous])
        })
        .collect();
    let own_times = file[14] & 2 != 0;
    let per_ms = if own_times { requests.len() as f64 / (seconds as f64 * 1000.0) } else { 0.25 };
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".hrt").to_owned();
    Trace { name, requests, per_ms }
}

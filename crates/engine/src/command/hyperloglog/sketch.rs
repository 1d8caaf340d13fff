//! A HyperLogLog as the string that holds it, in the format that Redis documents, so that such strings may come from
//! anywhere and go anywhere. Pure functions over bytes; nothing here trusts them.
//!
//! ```text
//! bytes 0-3    HYLL
//! byte 4       0 = dense, 1 = sparse
//! bytes 5-7    unused
//! bytes 8-15   the estimate when it was last made, little endian; the highest bit says that it is out of date
//! then         dense: 16384 registers of 6 bits, the first in the low bits of the first byte; sparse: see `sparse`
//! ```

use super::estimate::Histogram;
use super::hash::Place;
use super::sparse::{self, Cursor, Inserted};

/// Registers of every sketch.
pub(super) const REGISTERS: usize = 1 << 14;
/// Bytes in front of the registers.
pub(super) const HEADER_BYTES: usize = 16;
/// Bytes of a dense sketch.
pub(super) const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;

const MAGIC: &[u8; 4] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const OUT_OF_DATE: u8 = 0x80;

/// The registers of a sketch contradict themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// How the registers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Six bits each.
    Dense,
    /// Runs of equal ones.
    Sparse,
}

/// All registers, a byte each.
pub(super) type Registers = [u8; REGISTERS];

/// The form of a string that may be a sketch; `None` if it is none.
pub(super) fn form(bytes: &[u8]) -> Option<Form> {
    match bytes.get(..HEADER_BYTES)? {
        [b'H', b'Y', b'L', b'L', DENSE, ..] if bytes.len() == DENSE_BYTES => Some(Form::Dense),
        [b'H', b'Y', b'L', b'L', SPARSE, ..] => Some(Form::Sparse),
        _ => None,
    }
}

/// A sketch without elements.
pub(super) fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4] = SPARSE;
    bytes.extend_from_slice(&sparse::empty());
    bytes
}

/// The estimate that the header holds, if it is not out of date.
pub(super) fn cached(bytes: &[u8]) -> Option<u64> {
    let word = bytes.get(8..HEADER_BYTES)?.try_into().ok()?;
    let count = u64::from_le_bytes(word);
    (count.leading_zeros() > 0).then_some(count)
}

/// Notes an estimate in the header.
pub(super) fn set_cached(bytes: &mut [u8], count: u64) {
    bytes[8..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Notes that the estimate is out of date.
pub(super) fn forget_cached(bytes: &mut [u8]) {
    bytes[HEADER_BYTES - 1] |= OUT_OF_DATE;
}

/// Raises a register of a dense sketch; false if it had that rank or a higher one. O(1).
pub(super) fn insert_dense(bytes: &mut [u8], place: Place) -> bool {
    let (at, shift) = (HEADER_BYTES + place.register * 6 / 8, place.register * 6 % 8);
    // The last register ends with the last byte, so nothing of it lies in a byte that is not there.
    let high = bytes.get(at + 1).copied().unwrap_or(0);
    let pair = u16::from_le_bytes([bytes[at], high]);
    if (pair >> shift & 0x3f) as u8 >= place.rank {
        return false;
    }
    let [low, high] = (pair & !(0x3f << shift) | u16::from(place.rank) << shift).to_le_bytes();
    bytes[at] = low;
    if shift > 2 {
        bytes[at + 1] = high;
    }
    true
}

/// Raises a register, and makes the sketch dense when it would be longer than `sparse_bytes_max`; false if the register
/// had that rank or a higher one. O(1), sparse O(length).
pub(super) fn insert(bytes: &mut Vec<u8>, place: Place, sparse_bytes_max: usize) -> Result<bool, Corrupt> {
    if bytes[4] == SPARSE {
        match sparse::insert(bytes, place, sparse_bytes_max, &mut { Cursor::START })? {
            Inserted::Same => return Ok(false),
            Inserted::Raised => return Ok(true),
            Inserted::TooMuch => make_dense(bytes)?,
        }
    }
    Ok(insert_dense(bytes, place))
}

/// Raises the registers of a sketch to these, which include its own.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    registers: &Registers,
    sparse_bytes_max: usize,
) -> Result<(), Corrupt> {
    let mut cursor = Cursor::START;
    for (register, &rank) in registers.iter().enumerate().filter(|(_, rank)| **rank > 0) {
        if bytes[4] == DENSE
            || sparse::insert(bytes, Place { register, rank }, sparse_bytes_max, &mut cursor)?
                == Inserted::TooMuch
        {
            set_registers(bytes, registers);
            break;
        }
    }
    Ok(())
}

/// Gives a sketch its dense form.
pub(super) fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupt> {
    if bytes[4] == DENSE {
        return Ok(());
    }
    let mut dense = vec![0; DENSE_BYTES];
    dense[..HEADER_BYTES].copy_from_slice(&bytes[..HEADER_BYTES]);
    dense[4] = DENSE;
    sparse::each(bytes, |first, run| {
        for register in (first..first + run.len).filter(|_| run.rank > 0) {
            insert_dense(&mut dense, Place { register, rank: run.rank });
        }
    })?;
    *bytes = dense;
    Ok(())
}

/// Four registers, from the three bytes that hold them.
fn unpack([a, b, c]: [u8; 3]) -> [u8; 4] {
    let all = u32::from_le_bytes([a, b, c, 0]);
    (all & 0x3f | all << 2 & 0x3f00 | all << 4 & 0x3f_0000 | all << 6 & 0x3f00_0000).to_le_bytes()
}

/// The three bytes that hold four registers.
fn pack(four: [u8; 4]) -> [u8; 3] {
    let all = u32::from_le_bytes(four);
    let [a, b, c, _] =
        (all & 0x3f | all >> 2 & 0xfc0 | all >> 4 & 0x3_f000 | all >> 6 & 0xfc_0000).to_le_bytes();
    [a, b, c]
}

/// Eight registers at once: the greater one of each pair. None is above 127.
fn greater(a: [u8; 8], b: [u8; 8]) -> [u8; 8] {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (a, b) = (u64::from_le_bytes(a), u64::from_le_bytes(b));
    // No difference borrows from the next byte, and its high bit tells where `a` is not less.
    let not_less = ((a | HIGH) - b) & HIGH;
    let mask = (not_less << 1).wrapping_sub(not_less >> 7);
    (a & mask | b & !mask).to_le_bytes()
}

/// Writes a dense sketch of these registers, with the header of `bytes`.
pub(super) fn set_registers(bytes: &mut Vec<u8>, registers: &Registers) {
    bytes.resize(DENSE_BYTES, 0);
    bytes[4] = DENSE;
    let (triples, _) = bytes[HEADER_BYTES..].as_chunks_mut::<3>();
    let (fours, _) = registers.as_chunks::<4>();
    triples.iter_mut().zip(fours).for_each(|(triple, four)| *triple = pack(*four));
}

/// How many registers of a sketch have each rank.
pub(super) fn histogram(bytes: &[u8]) -> Result<Histogram, Corrupt> {
    let mut histogram = [0; 64];
    match form(bytes).ok_or(Corrupt)? {
        Form::Dense => {
            let (triples, _) = bytes[HEADER_BYTES..].as_chunks::<3>();
            count_fours(&mut histogram, triples.iter().map(|triple| unpack(*triple)));
        }
        Form::Sparse => sparse::each(bytes, |_, run| histogram[usize::from(run.rank)] += run.len as u32)?,
    }
    Ok(histogram)
}

/// How many of these registers have each rank.
pub(super) fn histogram_of(registers: &Registers) -> Histogram {
    let mut histogram = [0; 64];
    let (fours, _) = registers.as_chunks::<4>();
    count_fours(&mut histogram, fours.iter().copied());
    histogram
}

/// Counts in four histograms in turn: neighbours are often equal, and would wait for one another in a single one.
fn count_fours(histogram: &mut Histogram, fours: impl Iterator<Item = [u8; 4]>) {
    let mut parts = [[0_u32; 64]; 4];
    for four in fours {
        parts.iter_mut().zip(four).for_each(|(part, rank)| part[usize::from(rank & 0x3f)] += 1);
    }
    let sum = |rank: usize| parts.iter().map(|part| part[rank]).sum::<u32>();
    (0..64).for_each(|rank| histogram[rank] += sum(rank));
}

/// Raises registers to those of a sketch.
pub(super) fn merge(registers: &mut Registers, bytes: &[u8]) -> Result<(), Corrupt> {
    match form(bytes).ok_or(Corrupt)? {
        Form::Dense => {
            let (eights, _) = registers.as_chunks_mut::<8>();
            let (sixes, _) = bytes[HEADER_BYTES..].as_chunks::<6>();
            for (all, &[a, b, c, d, e, f]) in eights.iter_mut().zip(sixes) {
                let ([p, q, r, s], [t, u, v, w]) = (unpack([a, b, c]), unpack([d, e, f]));
                *all = greater(*all, [p, q, r, s, t, u, v, w]);
            }
        }
        Form::Sparse => sparse::each(bytes, |first, run| {
            registers[first..first + run.len].iter_mut().for_each(|rank| *rank = (*rank).max(run.rank));
        })?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::estimate::estimate;
    use super::*;
    use proptest::prelude::*;

    const SPARSE_BYTES_MAX: usize = 3000;

    fn sketch_of(elements: impl Iterator<Item = u32>, sparse_bytes_max: usize) -> Vec<u8> {
        let mut bytes = empty();
        for element in elements {
            insert(&mut bytes, Place::of(element.to_string().as_bytes()), sparse_bytes_max).unwrap();
        }
        bytes
    }

    #[test]
    fn the_forms_say_the_same() {
        let sparse = sketch_of(0..700, usize::MAX);
        let dense = sketch_of(0..700, 0);
        assert_eq!((form(&sparse), form(&dense)), (Some(Form::Sparse), Some(Form::Dense)));
        assert_eq!(histogram(&sparse), histogram(&dense));
        let mut made = sparse.clone();
        make_dense(&mut made).unwrap();
        assert_eq!(made, dense);
        let (mut from_sparse, mut from_dense) = ([0; REGISTERS], [0; REGISTERS]);
        merge(&mut from_sparse, &sparse).unwrap();
        merge(&mut from_dense, &dense).unwrap();
        assert_eq!(from_sparse, from_dense);
        assert_eq!(Ok(histogram_of(&from_dense)), histogram(&dense));
        let mut written = empty();
        set_registers(&mut written, &from_dense);
        assert_eq!(written, dense);
    }

    #[test]
    fn a_sketch_gets_dense_at_its_limit() {
        let bytes = sketch_of(0..5000, SPARSE_BYTES_MAX);
        assert_eq!(form(&bytes), Some(Form::Dense));
        assert_eq!(bytes, sketch_of(0..5000, 0));
    }

    #[test]
    fn merging_is_adding_all() {
        for (limit, form_after) in [(SPARSE_BYTES_MAX, Form::Dense), (usize::MAX, Form::Sparse)] {
            let (one, other) = (sketch_of(0..1500, limit), sketch_of(1000..2500, limit));
            let mut registers = [0; REGISTERS];
            merge(&mut registers, &one).unwrap();
            merge(&mut registers, &other).unwrap();
            let mut merged = one.clone();
            raise(&mut merged, &registers, limit).unwrap();
            assert_eq!(form(&merged), Some(form_after));
            assert_eq!(histogram(&merged), histogram(&sketch_of(0..2500, limit)));
        }
    }

    #[test]
    fn known_estimates() {
        // As redis-server 7.0 answers after PFADD of 0..n.
        for (n, count) in KNOWN {
            assert_eq!(estimate(&histogram(&sketch_of(0..n, SPARSE_BYTES_MAX)).unwrap()), count, "{n}");
        }
    }

    const KNOWN: [(u32, u64); 6] =
        [(1, 1), (100, 100), (1000, 1001), (5000, 4985), (20000, 19891), (100000, 99565)];

    #[test]
    fn the_header() {
        let mut bytes = empty();
        assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!(cached(&bytes), Some(0));
        set_cached(&mut bytes, 5);
        assert_eq!(cached(&bytes), Some(5));
        forget_cached(&mut bytes);
        assert_eq!(cached(&bytes), None);
        for bad in
            [&b""[..], b"HYLL\x01", b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0", b"HYLL\0\0\0\0\0\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(form(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn eight_at_once() {
        for a in 0..64 {
            for b in 0..64 {
                let (left, right) = ([a, b, 0, 63, a, 1, b, a], [b, a, 63, 0, 5, b, a, a]);
                let expected: [u8; 8] = std::array::from_fn(|at| left[at].max(right[at]));
                assert_eq!(greater(left, right), expected);
                assert_eq!(unpack(pack([a, b, 63 - a, b / 2])), [a, b, 63 - a, b / 2]);
            }
        }
    }

    #[test]
    fn every_dense_register_holds_every_rank_alone() {
        let mut bytes = empty();
        make_dense(&mut bytes).unwrap();
        for register in (0..REGISTERS).rev() {
            let rank = (register % 63 + 1) as u8;
            assert!(insert_dense(&mut bytes, Place { register, rank }));
            assert!(!insert_dense(&mut bytes, Place { register, rank }));
        }
        let mut registers = [0; REGISTERS];
        merge(&mut registers, &bytes).unwrap();
        assert!(registers.iter().enumerate().all(|(at, &rank)| usize::from(rank) == at % 63 + 1));
    }

    proptest! {
        /// Anybody can write anything with SET: what is no sketch is refused, and nothing panics or outgrows a dense one.
        #[test]
        fn any_bytes_are_borne(tail in proptest::collection::vec(any::<u8>(), 0..400), register in 0..REGISTERS, rank in 1..52_u8) {
            let mut bytes = [&empty()[..HEADER_BYTES], &tail].concat();
            let whole = histogram(&bytes).is_ok();
            let mut registers = [0; REGISTERS];
            prop_assert_eq!(merge(&mut registers, &bytes).is_ok(), whole);
            let mut dense = bytes.clone();
            prop_assert_eq!(make_dense(&mut dense).is_ok(), whole);
            let _ = raise(&mut bytes.clone(), &registers, SPARSE_BYTES_MAX);
            let _ = insert(&mut bytes, Place { register, rank }, SPARSE_BYTES_MAX);
            prop_assert!(bytes.len() <= DENSE_BYTES);
            if whole {
                insert_dense(&mut dense, Place { register, rank });
                prop_assert_eq!(histogram(&bytes), histogram(&dense));
            }
        }

        /// Random whole sketches, however they are written.
        #[test]
        fn odd_sketches_take_elements(opcodes in proptest::collection::vec(0x80..=0xff_u8, 0..300), adds in proptest::collection::vec((0..1200_usize, 1..34_u8), 0..50)) {
            let mut bytes = [&empty()[..HEADER_BYTES], &opcodes].concat();
            let covered: usize = opcodes.iter().map(|opcode| usize::from(opcode & 3) + 1).sum();
            let rest = REGISTERS - covered - 1;
            bytes.extend([0x40 | (rest >> 8) as u8, rest as u8]);
            let mut dense = bytes.clone();
            make_dense(&mut dense).unwrap();
            let mut registers = [0; REGISTERS];
            merge(&mut registers, &bytes).unwrap();
            adds.iter().for_each(|&(register, rank)| registers[register] = registers[register].max(rank));
            let (mut at_once, mut one_by_one) = (bytes.clone(), bytes.clone());
            raise(&mut at_once, &registers, SPARSE_BYTES_MAX).unwrap();
            for (register, &rank) in registers.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                insert(&mut one_by_one, Place { register, rank }, SPARSE_BYTES_MAX).unwrap();
            }
            prop_assert_eq!(at_once, one_by_one);
            for (register, rank) in adds {
                let place = Place { register, rank };
                prop_assert_eq!(insert(&mut bytes, place, SPARSE_BYTES_MAX), Ok(insert_dense(&mut dense, place)));
            }
            prop_assert_eq!(histogram(&bytes), histogram(&dense));
            make_dense(&mut bytes).unwrap();
            prop_assert_eq!(bytes, dense);
        }
    }
}

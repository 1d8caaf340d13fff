//! That what left is found again, for the reason it had, and seldom anything else.

use super::*;

fn hash(n: u64) -> u32 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 29) as u32
        ^ (n as u32) << 20
}

const REASONS: [Reason; 4] = [Reason::Evicted, Reason::Expired, Reason::Deleted, Reason::Flushed];

fn departure(n: u64) -> Departure {
    Departure { reason: REASONS[n as usize % 4], uses: n as u32 % 8 }
}

#[test]
fn the_latest_departures_are_known() {
    let mut departed = Departed::default();
    for n in 0..10_000 {
        departed.note(hash(n), departure(n), 4096);
    }
    assert_eq!(departed.capacity(), 4096);
    let known = (8000..10_000).filter(|n| departed.find(hash(*n)) == Some(departure(*n))).count();
    assert!(known > 1960, "{known} of the last 2000");
    let known = (0..2000).filter(|n| departed.find(hash(*n)).is_some()).count();
    assert!(known < 40, "{known} of the first 2000");
}

#[test]
fn growing_and_shrinking_lose_nothing_that_has_room() {
    let mut departed = Departed::default();
    for n in 0..3000 {
        departed.note(hash(n), departure(n), 1 << 16);
    }
    let known = (0..3000).filter(|n| departed.find(hash(*n)) == Some(departure(*n))).count();
    assert!(known > 2990, "{known}");
    for n in 3000..3100 {
        departed.note(hash(n), departure(n), 256);
    }
    assert!(departed.capacity() <= 1024, "{}", departed.capacity());
    let known = (3000..3100).filter(|n| departed.find(hash(*n)) == Some(departure(*n))).count();
    assert!(known >= 99, "{known}");
}

#[test]
fn who_comes_back_is_forgotten() {
    let mut departed = Departed::default();
    for n in 0..100 {
        departed.note(hash(n), departure(n), 1024);
        departed.note(hash(n), departure(n + 1), 1024);
    }
    for n in 0..100 {
        assert_eq!(departed.forget(hash(n)), Some(departure(n + 1)));
        assert_eq!(departed.find(hash(n)), None);
    }
}

#[test]
fn nothing_is_kept_where_nothing_may_be() {
    let mut departed = Departed::default();
    departed.note(1, departure(0), 1024);
    departed.note(2, departure(0), 0);
    assert_eq!((departed.find(1), departed.find(2), departed.memory_bytes()), (None, None, 0));
}

/// One in 2^26 / n keys that were never there is taken for one that left.
#[test]
fn strangers_are_mistaken_as_seldom_as_is_said() {
    let mut departed = Departed::default();
    const KEPT: u64 = 1 << 16;
    let mut dice = 1u64;
    let mut next = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 16) as u32
    };
    for n in 0..2 * KEPT {
        departed.note(next(), departure(n), KEPT as usize);
    }
    const ASKED: u64 = 4_000_000;
    let mistaken = (0..ASKED).filter(|_| departed.find(next()).is_some()).count() as u64;
    let expected = ASKED * KEPT / (1 << HASH_BITS);
    assert!(
        mistaken <= expected * 5 / 4 && mistaken >= expected / 2,
        "{mistaken}, expected {expected} at most"
    );
}

//! That words hold what they are for, and that what is believed follows what happens.

use super::*;

const START_MS: u64 = 1_700_000_000_000;

#[test]
fn a_word_tells_the_time_of_the_last_use_to_its_unit() {
    let densities = Densities::new();
    let word = densities.moment(START_MS, 0).of_new();
    for seconds in [0, 1, 59, 3600, 30_000] {
        let told = densities.moment(START_MS + seconds * 1000, 0).idle_seconds(word);
        assert!(u64::from(told).abs_diff(seconds) <= 1 + seconds / 20, "{told} for {seconds}");
    }
    for unit in 0..UNITS {
        let moment = Moment { ticks: 0x1234_5678, unit, life: 100, random: 0 };
        let word = moment.of_new();
        assert!(word < 1 << 24 && word & FETCHED == 0);
        assert!(age(word, moment.ticks) < 1 << (2 * unit));
        assert_eq!(age(word, moment.ticks.wrapping_add(500 << (2 * unit))) >> (2 * unit), 500);
    }
}

#[test]
fn uses_are_counted_in_classes_that_double() {
    let densities = Densities::new();
    let mut dice = 1u32;
    let mut sums = [0u32; 8];
    for _ in 0..1000 {
        let mut word = densities.moment(START_MS, 0).of_new();
        let mut reached = [0u32; 8];
        for count in 1..=200 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            word = densities.moment(START_MS, dice).after_use(word);
            let class = uses(word) as usize;
            reached[class] = if reached[class] == 0 { count } else { reached[class] };
        }
        sums.iter_mut().zip(reached).for_each(|(sum, count)| *sum += count);
    }
    for (class, expected) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 8), (6, 16), (7, 32)] {
        let mean = sums[class] / 1000;
        assert!(mean.abs_diff(expected) <= expected / 4, "class {class} after {mean} more uses");
    }
}

#[test]
fn the_gap_and_the_uses_stay_where_they_should() {
    let moment = Moment { ticks: 1_000_000, unit: 0, life: 400, random: 0 };
    let later = |by: u32| Moment { ticks: moment.ticks + by, ..moment };
    let new = moment.of_new();
    let gap = |word: u32| word >> GAP_SHIFT & 3;
    assert_eq!((gap(new), uses(new)), (GAP_NONE, 0));
    for (by, expected) in [(10, 0), (300, 1), (5000, 2)] {
        assert_eq!(gap(later(by).after_use(new)), expected, "{by}");
    }
    let read = later(10).after_use(new) | FETCHED;
    let set = later(20).after_set(read);
    assert_eq!((uses(set), gap(set), set & FETCHED), (1, 0, 0));
    assert_eq!(age(set, later(20).ticks), 0);
    assert_eq!((uses(moment.of_returned(2)), gap(moment.of_returned(2))), (3, GAP_RETURNED));
}

#[test]
fn steps_of_age_cover_all_ages_in_order() {
    let mut covered = 0.0;
    let mut last = 0;
    for age in 0..100_000 {
        let now = step(age);
        assert!(now == last || now == last + 1, "{age}");
        covered += if now != last { width(last) } else { 0.0 };
        assert!(now == last || covered == age as f32, "{age}: {covered}");
        last = now;
    }
    assert!(step(STAMP << (2 * (UNITS - 1))) < AGES);
}

/// Items used once go without a second use, items used twice are used again: the first are worth less, and when they
/// change places so does what is believed.
#[test]
fn what_is_believed_follows_what_happens() {
    let densities = Densities::new();
    let word = |uses: u32| uses << USES_SHIFT | GAP_NONE << GAP_SHIFT | densities.moment(START_MS, 0).stamp();
    let later = START_MS + 4000;
    for (good, bad) in [(1, 0), (0, 1)] {
        for _ in 0..40 * ENDS {
            let moment = densities.moment(later, 0);
            densities.used(0, word(good), moment);
            densities.evicted(0, word(bad), moment);
            densities.learn();
        }
        let (more, less) = (densities.of(word(good), later), densities.of(word(bad), later));
        assert!(more > 3.0 * less, "{more} {less}");
    }
    assert!(densities.is_active());
}

/// Of items used once half come back after four seconds, and the others never. Before that they are worth keeping for
/// those four seconds, whatever it would cost to keep them for good; afterwards they are worth nothing.
#[test]
fn an_item_is_worth_what_it_brings_soon() {
    let densities = Densities::new();
    let word = densities.moment(START_MS, 0).of_new();
    let at = |seconds: u64| densities.moment(START_MS + seconds * 1000, 0);
    for _ in 0..20 * ENDS {
        densities.used(0, word, at(4));
        densities.evicted(0, word, at(1000));
        densities.learn();
    }
    let worth = |ms: u64| densities.of(word, START_MS + ms);
    let second = 1000.0 / TICK_MS as f32;
    assert!(worth(3500) > 0.5 / 2.0 / second, "a hit of two in a second: {}", worth(3500));
    assert!(worth(3500) > 2.0 * worth(0) && worth(0) > 0.5 / 6.0 / second, "{} {}", worth(3500), worth(0));
    assert!(worth(20_000) < worth(0) / 100.0, "{}", worth(20_000));
}

#[test]
fn the_unit_follows_the_age_of_what_leaves() {
    let densities = Densities::new();
    let mut now = START_MS;
    for (age_ms, unit) in [(300, 0), (40_000, 3), (100_000_000, 7)] {
        for _ in 0..60 * ENDS {
            let word = densities.moment(now, 0).of_new();
            let then = now + age_ms;
            densities.evicted(0, word, densities.moment(then, 0));
            densities.learn();
        }
        now += 1_000_000_000;
        assert_eq!(densities.moment(now, 0).unit, unit, "{age_ms} ms");
    }
}

#[test]
fn counts_stop_before_they_overflow_and_fade_to_nothing() {
    let count = AtomicU32::new(COUNT_MAX);
    add(&count);
    assert_eq!(count.load(Relaxed), COUNT_MAX);
    for _ in 0..200 {
        fade(&count);
    }
    assert_eq!(count.load(Relaxed), 0);
}

//! Least hit density (after Beckmann, Chen and Cidon, NSDI 2018): what an item's memory can be expected to bring.
//!
//! The *hit density* of an item is the number of hits that items like it still got, divided by the time for which they
//! took up room until then. "Like it" means: used about as often (8 classes), with about the same time between its last
//! two uses (4 classes), and unused for about as long (4 steps for each doubling). Nothing is assumed about how these
//! go together: it is counted what became of such items, and old counts fade, so what is believed follows the traffic.
//! Whoever makes room divides the density by the item's bytes.
//!
//! The word of an item (24 bits, see [`super::access`]): a bit that says whether the value was read, 3 bits of how often it
//! was used, 2 of the time between its last uses, 3 that name the unit of the clock, 15 of the clock at its last use.
//! Units are 4 ms times a power of four, so an hour's life and a second's both fit; [`Densities`] chooses the unit so that
//! items that leave are about a hundred units old.
//!
//! All counts are atomics without order: a lost or late one does no harm, and a hit takes no lock.

use super::access::FETCHED;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Milliseconds of the finest unit of time.
const TICK_MS: u64 = 4;
const STAMP_BITS: u32 = 15;
const STAMP: u32 = (1 << STAMP_BITS) - 1;
const UNIT_SHIFT: u32 = STAMP_BITS;
const UNITS: u32 = 8;
const GAP_SHIFT: u32 = UNIT_SHIFT + 3;
const USES_SHIFT: u32 = GAP_SHIFT + 2;
const USES_MAX: u32 = 7;

/// Classes of items: how often they were used, and how long their last gap was.
const CLASSES: usize = 32;
/// Steps of age: four for each doubling.
const AGES: usize = 120;
/// Gap of an item that came back after it had been evicted.
const GAP_RETURNED: u32 = 2;
/// Gap of an item that was used once.
const GAP_NONE: u32 = 3;

/// One key of so many is counted.
const SAMPLED: u32 = 4;
/// After so many counted ends what is believed is computed anew, and the counts fade.
const ENDS: u32 = 1_500;
/// What is added for one event, so that small counts fade as large ones do.
const ONE: u32 = 16;
/// What is left of the counts, of 16.
const FADE_SIXTEENTHS: u32 = 14;
/// Where nothing ends nothing fades, and counting stops before the counts overflow.
const COUNT_MAX: u32 = 1 << 30;
/// Counted ends of a class older than an age, below which nothing is believed about it.
const EVIDENCE: f32 = 2.0;
/// Counted events of a span of ages, below which it is looked at together with the next.
const SPAN_EVENTS: f32 = 8.0;
/// Unit before anything was evicted: about a second.
const UNIT_INITIAL: u32 = 4;
/// Units that an item which leaves is old, at least.
const UNITS_OF_LIFE: u32 = 64;

/// The time of a use, and what is needed to note it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Ticks, modulo 2^32.
    ticks: u32,
    unit: u32,
    /// Age at which half of the evicted items were evicted, in ticks.
    life: u32,
    random: u32,
}

impl Moment {
    /// The word of a new item.
    pub(super) fn of_new(self) -> u32 {
        GAP_NONE << GAP_SHIFT | self.stamp()
    }

    /// The word of an item that comes back after it was evicted: it is known how often it had been used.
    pub(super) fn of_returned(self, uses: u32) -> u32 {
        self.increased(uses, uses) << USES_SHIFT | GAP_RETURNED << GAP_SHIFT | self.stamp()
    }

    /// The word after a use.
    pub(super) fn after_use(self, word: u32) -> u32 {
        let age = age(word, self.ticks);
        let gap = match () {
            () if age < self.life / 4 => 0,
            () if age < self.life.saturating_mul(4) => 1,
            () => 2,
        };
        word & FETCHED | self.increased(uses(word), word) << USES_SHIFT | gap << GAP_SHIFT | self.stamp()
    }

    /// The word after a new value was put in the place of the old one, which nobody has read yet.
    pub(super) fn after_set(self, word: u32) -> u32 {
        word & (USES_MAX << USES_SHIFT | 3 << GAP_SHIFT) | self.stamp()
    }

    /// Seconds since the last use, to the unit in which it was noted.
    pub(super) fn idle_seconds(self, word: u32) -> u32 {
        (u64::from(age(word, self.ticks)) * TICK_MS / 1000) as u32
    }

    fn stamp(self) -> u32 {
        self.unit << UNIT_SHIFT | self.ticks >> (2 * self.unit) & STAMP
    }

    /// Counts one use: classes are 1, 2, 3, 4, to 8, to 16, to 32 and more.
    fn increased(self, uses: u32, word: u32) -> u32 {
        // One random number serves a batch of requests.
        let random = (self.random ^ word).wrapping_mul(0x9e37_79b1) >> 16;
        match uses {
            0..=3 => uses + 1,
            USES_MAX => USES_MAX,
            _ => uses + u32::from(random.is_multiple_of(1 << (uses - 2))), // spans of 4, 8 and 16
        }
    }
}

/// How often the item was used, as a class from 0.
pub(crate) fn uses(word: u32) -> u32 {
    word >> USES_SHIFT & USES_MAX
}

/// Ticks since the last use.
fn age(word: u32, ticks: u32) -> u32 {
    let unit = word >> UNIT_SHIFT & (UNITS - 1);
    ((ticks >> (2 * unit)).wrapping_sub(word) & STAMP) << (2 * unit)
}

/// The step of an age.
fn step(age: u32) -> usize {
    let age = u64::from(age) + 4;
    let octave = age.ilog2();
    ((octave - 2) * 4 + (age >> (octave - 2) & 3) as u32) as usize
}

/// The ticks that a step of age covers.
fn width(step: usize) -> f32 {
    (1u64 << (step / 4)) as f32
}

fn class(word: u32) -> usize {
    (word >> GAP_SHIFT) as usize & (CLASSES - 1)
}

/// What happened to the items of a class while they were of some ages that follow each other.
#[derive(Debug)]
struct Span {
    hits: f32,
    /// Hits and ends.
    events: f32,
    /// Ticks that items were held.
    time: f32,
}

impl Span {
    /// True if it brought more hits for its time.
    fn is_better_than(&self, other: &Span) -> bool {
        self.hits * other.time > other.hits * self.time
    }
}

type Counts = Box<[AtomicU32]>;

/// What became of items, and what is believed because of it: one for all partitions of a store.
#[derive(Debug)]
pub(crate) struct Densities {
    hits: Counts,
    /// Items that were evicted, removed or replaced.
    ends: Counts,
    /// The same of evicted ones, of all classes.
    evicted: Counts,
    /// Bits of the densities, hits per tick.
    believed: Counts,
    /// Ends since the last time.
    fresh: AtomicU32,
    learning: AtomicBool,
    unit: AtomicU32,
    life: AtomicU32,
    /// Set once this policy has chosen something.
    active: AtomicBool,
}

fn counts(len: usize) -> Counts {
    (0..len).map(|_| AtomicU32::new(0)).collect()
}

impl Densities {
    pub(crate) fn new() -> Densities {
        let believed = counts(CLASSES * AGES);
        for (at, density) in believed.iter().enumerate() {
            // Until something is known: uses by age.
            let uses = (at / AGES / 4 + 1) as f32;
            let age = (4u64 << (at % AGES / 4)) as f32;
            density.store((uses / (age + 1.0)).to_bits(), Relaxed);
        }
        Densities {
            hits: counts(CLASSES * AGES),
            ends: counts(CLASSES * AGES),
            evicted: counts(AGES),
            believed,
            fresh: AtomicU32::new(0),
            learning: AtomicBool::new(false),
            unit: AtomicU32::new(UNIT_INITIAL),
            life: AtomicU32::new(UNITS_OF_LIFE << (2 * UNIT_INITIAL)),
            active: AtomicBool::new(false),
        }
    }

    /// What a use at a Unix time is noted with.
    pub(crate) fn moment(&self, now_ms: u64, random: u32) -> Moment {
        Moment {
            ticks: (now_ms / TICK_MS) as u32,
            unit: self.unit.load(Relaxed),
            life: self.life.load(Relaxed),
            random,
        }
    }

    /// Counts a use of an item: `word` is the word before it.
    #[inline]
    pub(crate) fn used(&self, hash: u32, word: u32, moment: Moment) {
        if hash.is_multiple_of(SAMPLED) {
            self.count(&self.hits, word, moment.ticks);
        }
    }

    /// Counts an item whose value went without another use.
    #[inline]
    pub(crate) fn ended(&self, hash: u32, word: u32, moment: Moment) {
        if hash.is_multiple_of(SAMPLED) {
            self.fresh.fetch_add(1, Relaxed);
            self.count(&self.ends, word, moment.ticks);
        }
    }

    /// The same of an evicted one.
    pub(crate) fn evicted(&self, hash: u32, word: u32, moment: Moment) {
        self.ended(hash, word, moment);
        if hash.is_multiple_of(SAMPLED) {
            add(&self.evicted[step(age(word, moment.ticks)).min(AGES - 1)]);
        }
        self.active.store(true, Relaxed);
    }

    /// True once something was evicted by density.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    #[cold]
    fn count(&self, counts: &Counts, word: u32, ticks: u32) {
        add(&counts[class(word) * AGES + step(age(word, ticks)).min(AGES - 1)]);
    }

    /// Hits per tick that may still be expected of an item.
    pub(crate) fn of(&self, word: u32, now_ms: u64) -> f32 {
        let step = step(age(word, (now_ms / TICK_MS) as u32)).min(AGES - 1);
        f32::from_bits(self.believed[class(word) * AGES + step].load(Relaxed))
    }

    /// Computes what is believed anew, if enough happened since the last time.
    pub(crate) fn learn(&self) {
        if self.fresh.load(Relaxed) < ENDS || self.learning.swap(true, Relaxed) {
            return;
        }
        self.fresh.store(0, Relaxed);
        let mut spans = Vec::with_capacity(AGES);
        for class in 0..CLASSES {
            self.learn_class(class * AGES, &mut spans);
        }
        self.choose_unit();
        self.learning.store(false, Relaxed);
    }

    /// Computes what is believed of a class, whose counts begin at `first`.
    ///
    /// An item need not be kept until it is used or leaves: only for as long as that pays. So what counts at an age is the
    /// best that any span from there on brings: the largest quotient of the hits in it and the time that items were held
    /// in it. These spans follow from the back: one that brings less than the next goes together with it.
    fn learn_class(&self, first: usize, spans: &mut Vec<Span>) {
        spans.clear();
        let mut older = 0.0;
        for at in (first..first + AGES).rev() {
            let (hits, ends) = (fade(&self.hits[at]), fade(&self.ends[at]));
            let events = hits + ends;
            let mut span = Span { hits, events, time: (older + events / 2.0) * width(at - first) };
            while let Some(next) =
                spans.pop_if(|next| span.events < SPAN_EVENTS || next.is_better_than(&span))
            {
                span.hits += next.hits;
                span.events += next.events;
                span.time += next.time;
            }
            older += events;
            if older > EVIDENCE {
                self.believed[at].store((span.hits / span.time).to_bits(), Relaxed);
            }
            spans.push(span);
        }
    }

    /// The unit that suits the age at which half of the evicted items were evicted.
    fn choose_unit(&self) {
        let evicted: Vec<f32> = self.evicted.iter().map(fade).collect();
        let half = evicted.iter().sum::<f32>() / 2.0;
        if half < EVIDENCE {
            return;
        }
        let mut below = 0.0;
        let median = evicted.iter().position(|count| {
            below += count;
            below >= half
        });
        let life = median.map_or(0, |step| ((4 + step as u64 % 4) << (step / 4)) - 4);
        let life = life.min(u64::from(u32::MAX)) as u32;
        let unit = (0..UNITS).rev().find(|unit| u64::from(UNITS_OF_LIFE) << (2 * unit) <= u64::from(life));
        self.unit.store(unit.unwrap_or(0), Relaxed);
        self.life.store(life, Relaxed);
    }
}

fn add(count: &AtomicU32) {
    if count.load(Relaxed) < COUNT_MAX {
        count.fetch_add(ONE, Relaxed);
    }
}

/// A count of events, which fades.
fn fade(count: &AtomicU32) -> f32 {
    let now = count.load(Relaxed);
    if now > 0 {
        count.fetch_sub(now - now / 16 * FADE_SIXTEENTHS - now % 16 * FADE_SIXTEENTHS / 16, Relaxed);
    }
    now as f32 / ONE as f32
}

#[cfg(test)]
mod tests;

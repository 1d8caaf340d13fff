use super::*;

fn key(bytes: &[u8], hash: u32) -> Key<'_> {
    Key { bytes, slot: hash as u16 & 0x3fff, hash }
}

const VALUE: Value = Value { bytes: 100, volatile: true };

#[test]
fn uses_are_counted_by_key_and_prefix() {
    let advisor = Advisor::default();
    advisor.start(1000, 10, Counted::default());
    let note = |name: &[u8], event| {
        let look = advisor.look(&key(name, 7), 0, 1000).unwrap();
        advisor.note(look, name, event, 0, 1000);
    };
    note(b"user:1", Event::Miss(None));
    note(b"user:1", Event::Written(VALUE));
    note(b"user:1", Event::Hit(VALUE));
    note(b"user:2", Event::Miss(Some(Reason::Evicted)));
    note(b"plain", Event::Removed);
    let watch = advisor.watch.lock().unwrap();
    let prefixes = watch.as_ref().unwrap().prefixes.all();
    let (name, counts, before) = &prefixes[0];
    assert_eq!((&**name, counts.reads, counts.hits, counts.writes, *before), (&b"user"[..], 3, 1, 1, 0));
    assert_eq!((counts.misses, counts.values, counts.volatile, counts.bytes), ([1, 0, 0, 0, 1], 2, 2, 200));
    assert_eq!(watch.as_ref().unwrap().keys.all()[0].0.as_ref(), b"user:1");
}

#[test]
fn what_is_noted_in_a_second_is_bounded() {
    let advisor = Advisor::default();
    advisor.start(1000, 10, Counted::default());
    let (mut followed, mut drawn) = (0, 0);
    for n in 0..2_000_000u32 {
        // Ten hot keys: fewer cannot be followed, so time is let go.
        let name = (n % 10).to_le_bytes();
        if let Some(look) = advisor.look(&key(&name, n % 10), 0, 1500) {
            followed += u32::from(look.followed);
            drawn += u32::from(look.times > 0);
            advisor.note(look, &name, Event::Hit(VALUE), 0, 1500);
        }
    }
    assert!(followed <= FOLLOWED_PER_SECOND_MAX + 1, "{followed}");
    assert!(drawn < 15 * DRAWN_PER_SECOND_MAX, "{drawn}");
    let reads: u64 =
        advisor.watch.lock().unwrap().as_ref().unwrap().keys.all().iter().map(|(_, u, _)| u.reads).sum();
    assert!((1_800_000..2_200_000).contains(&reads), "{reads}");
    // The next second is looked at again.
    assert!(advisor.look(&key(b"x", 1), 0, 2500).is_some_and(|look| look.followed));
}

#[test]
fn a_watch_ends_and_is_forgotten() {
    let advisor = Advisor::default();
    assert!(!advisor.is_on() && !advisor.was_on());
    advisor.start(1000, 10, Counted::default());
    assert!(advisor.is_on() && !advisor.is_due(10_999) && advisor.is_due(11_000));
    advisor.stop(11_000, Counted::default());
    assert!(!advisor.is_on() && advisor.was_on());
    assert!(!advisor.is_due(11_000 + KEPT_MS) && advisor.was_on());
    assert!(!advisor.is_due(11_001 + KEPT_MS) && !advisor.was_on());
}

//! Removing what is dead before anybody asks for it. Where to look says the tree of deadlines (`expire`); fields of
//! hashes are removed in `fields`.

use super::{Now, Partition};

/// What was reclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A key.
    Key,
    /// Fields of a hash, all that were due or a portion of them.
    Fields,
}

/// Who hears what was reclaimed, and how many milliseconds after its deadline.
pub(super) type Late<'a> = dyn FnMut(Due, u64) + 'a;

impl Partition {
    /// Removes dead keys in at most `budget` looks at a few buckets each; answers how many looks there were.
    pub fn expire_due(&mut self, now: Now, budget: usize) -> usize {
        self.expire_due_telling(now, budget, &mut |_, _| ())
    }

    /// The same; `late` hears how many milliseconds after its deadline each key, and the first field of each hash, was
    /// reclaimed.
    pub fn expire_due_telling(&mut self, now: Now, budget: usize, late: &mut Late<'_>) -> usize {
        let mut done = 0;
        for db in 0..=self.more.len() as u16 {
            while done < budget {
                let Some(leaf) = self.table(db).and_then(|table| table.due(now.ms)) else { break };
                self.expire_leaf(db, leaf, now, late);
                done += 1;
            }
        }
        done
    }

    /// Removes what is dead in the buckets of a leaf.
    fn expire_leaf(&mut self, db: u16, leaf: usize, now: Now, late: &mut Late<'_>) {
        while let Some((bucket, place)) =
            self.table(db).and_then(|table| table.find_due(leaf, |item| item.is_dead(now.ms)))
        {
            let due = self.table(db).and_then(|table| table.get(place).earliest_deadline());
            late(Due::Key, now.ms.saturating_sub(due.unwrap_or(now.ms)));
            self.reclaim(db, bucket, place);
        }
        self.expire_fields(db, leaf, now, late);
        self.table_mut(db).looked(leaf);
    }
}

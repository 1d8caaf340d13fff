//! Changing bytes of a string where they are: what bitmaps and HyperLogLogs do. Owns no data and takes no lock.

use super::keys::EMBEDDED_STRING_BYTES_MAX;
use super::string::element;
use super::{CommandError, Keyspace};
use larder_store::object::Element;
use larder_store::partition::item::INLINE_STRING_BYTES_MAX;
use larder_store::{Extras, Value, ValueMut};

/// Lets `change` at the bytes of the string at `key`, which is first made at least `len` long with zeros; a missing key
/// is an empty string. `change` answers whether it changed any, and what this function answers. The deadline stays; the
/// Memcached CAS unique is forgotten. Also where nothing changed the string is `raw` then. O(1) beside `change`, unless the string gets longer or was an integer.
///
/// Errors: the key holds another type.
pub(super) fn patch<T>(
    keys: &mut Keyspace<'_>,
    key: &[u8],
    len: usize,
    change: impl FnOnce(&mut [u8]) -> (bool, T),
) -> Result<T, CommandError> {
    let (mut bytes, extras, recoded) = match keys.peek(key) {
        None => (Vec::new(), Extras::default(), false),
        Some(item) => {
            let (value, extras) = (element(item.value())?, item.extras());
            let is_raw =
                matches!(value, Element::Bytes(_)) && (extras.raw || value.len() > EMBEDDED_STRING_BYTES_MAX);
            if extras.cas == 0 && (is_raw && value.len() >= len || value.len() > INLINE_STRING_BYTES_MAX) {
                return patch_in_place(keys, key, len, change);
            }
            (value.to_vec(), Extras { raw: true, ..extras }, !is_raw)
        }
    };
    let grown = grow(&mut bytes, len);
    let (changed, answer) = change(&mut bytes);
    if grown || changed {
        keys.set(key, Value::Long(bytes), Extras { cas: 0, raw: true, ..extras });
    } else if recoded {
        keys.recode(key, Value::Long(bytes), extras);
    }
    Ok(answer)
}

fn patch_in_place<T>(
    keys: &mut Keyspace<'_>,
    key: &[u8],
    len: usize,
    change: impl FnOnce(&mut [u8]) -> (bool, T),
) -> Result<T, CommandError> {
    let (grown, (changed, answer)) = match keys.write(key) {
        Some(ValueMut::Inline(bytes)) => (false, change(bytes)),
        Some(ValueMut::Long(bytes)) => (grow(bytes, len), change(bytes)),
        _ => return Err(CommandError::WrongType),
    };
    if grown || changed {
        keys.changed(key);
    }
    Ok(answer)
}

/// Adds zeros up to a length; true if there were fewer bytes. Takes an eighth more memory than needed where a string
/// grows again: doubling, as a vector does by itself, would be a waste for bitmaps of many megabytes.
fn grow(bytes: &mut Vec<u8>, len: usize) -> bool {
    if bytes.len() >= len {
        return false;
    }
    if bytes.is_empty() {
        *bytes = vec![0; len]; // zeros from the system, which cost nothing until they are used
    } else {
        if bytes.capacity() < len {
            bytes.reserve_exact(len + len / 8 - bytes.len());
        }
        bytes.resize(len, 0);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_again_and_again_seldom_allocates() {
        let (mut bytes, mut moves, mut capacity) = (Vec::new(), 0, 0);
        for len in 1..=1_000_000 {
            assert!(grow(&mut bytes, len));
            moves += usize::from(bytes.capacity() != capacity);
            capacity = bytes.capacity();
            assert!(capacity <= len + len / 8 || len < 64);
        }
        assert!(moves < 150, "{moves}");
        assert!(!grow(&mut bytes, 5) && bytes.len() == 1_000_000 && bytes.iter().all(|byte| *byte == 0));
    }
}

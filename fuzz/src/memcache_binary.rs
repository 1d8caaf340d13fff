//! The Memcached binary protocol: what is found lies within the input and the limits, and a prefix asks for more.

use larder_protocol::memcache::binary::{Frame, Step, step, value_to_come, without_value};

const BODY_BYTES_MAX: usize = 300;

/// Reads the input and asserts what must hold of it.
pub fn run(input: &[u8]) {
    match step(input, BODY_BYTES_MAX) {
        Step::Frame { frame, consumed } => {
            assert!(consumed <= input.len());
            let body = frame.extras.len() + frame.key.len() + frame.value.len();
            assert!(body == frame.header.body_bytes as usize && body <= BODY_BYTES_MAX);
            for len in 0..consumed {
                assert!(matches!(
                    step(&input[..len], BODY_BYTES_MAX),
                    Step::Incomplete { need } if need > 0 && len + need <= consumed
                ));
                // Without its value it is the same request.
                if let Some(apart) = value_to_come(&input[..len]) {
                    assert_eq!((apart.bytes, apart.at + apart.bytes), (frame.value.len(), consumed));
                    assert_eq!(without_value(&input[..len]), Some((Frame { value: b"", ..frame }, apart.at)));
                }
            }
        }
        Step::TooLarge { key, bytes, .. } => assert!(bytes > BODY_BYTES_MAX && key.len() <= u16::MAX.into()),
        Step::Incomplete { need } => assert!(need > 0),
        Step::Malformed { .. } | Step::Broken => {}
    }
}

//! What a node says over its sockets, word for word: each test starts a node in a process of its own and talks to it,
//! on both I/O engines, with one worker and with two. What is expected was found by asking redis-server 7.0 and
//! memcached 1.6. Nothing here asserts how long something took.

/// Runs each of these tests on both I/O engines, with one worker and with two.
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            #[test]
            fn uring_1() {
                crate::node::On { engine: "uring", workers: 1 }.run(super::$test);
            }
            #[test]
            fn uring_2() {
                crate::node::On { engine: "uring", workers: 2 }.run(super::$test);
            }
            #[test]
            fn epoll_1() {
                crate::node::On { engine: "epoll", workers: 1 }.run(super::$test);
            }
            #[test]
            fn epoll_2() {
                crate::node::On { engine: "epoll", workers: 2 }.run(super::$test);
            }
        }
    )+};
}

/// The same with two workers only: for tests that have to wait for a clock, or move much.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            #[test]
            fn uring_2() {
                crate::node::On { engine: "uring", workers: 2 }.run(super::$test);
            }
            #[test]
            fn epoll_2() {
                crate::node::On { engine: "epoll", workers: 2 }.run(super::$test);
            }
        }
    )+};
}

mod atomicity;
mod blocking;
mod client;
mod configuration;
mod expiry;
mod memcached;
mod memory;
mod misses;
mod node;
mod process;
mod protocol;
mod pubsub;
mod session;
mod transaction;

/// The nodes are this program: they count their memory as the real one does.
#[global_allocator]
static ALLOCATOR: larder_engine::memory::Counting<tikv_jemallocator::Jemalloc> =
    larder_engine::memory::Counting(tikv_jemallocator::Jemalloc);

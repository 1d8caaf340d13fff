//! A file that tells where the node listens, for who had it choose its ports: `memcached-port-file`, and memcached's
//! `MEMCACHED_PORT_FILENAME`.

use crate::node::Node;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// Writes it. It takes its name when it is complete, so that who waits for it reads all of it.
///
/// # Errors
/// The file system refuses.
pub fn write(node: &Node, path: &Path) -> io::Result<()> {
    let text = lines(node.settings().memcached_port, node.startup.memcached.udp_port);
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, path)
}

fn lines(port: u16, udp_port: u16) -> String {
    let mut text = String::new();
    for (kind, port) in [("TCP", port), ("UDP", udp_port)].into_iter().filter(|(_, port)| *port > 0) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{kind} INET: {port}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn each_port_has_a_line() {
        assert_eq!(lines(11211, 0), "TCP INET: 11211\n");
        assert_eq!(lines(11211, 11212), "TCP INET: 11211\nUDP INET: 11212\n");
        assert_eq!(lines(0, 0), "");
    }
}

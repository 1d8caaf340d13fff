//! What INFO and ROLE tell of replication, as clients and Sentinel read it.

use super::{Link, State};
use crate::node::{Node, now_ms};
use larder_protocol::resp::reply::Reply;
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// Whom this node follows, or will as soon as it has loaded its own files.
fn primary_of(node: &Node, state: &State) -> Option<(String, u16)> {
    let follows = node.replication.is_following();
    let primary = || state.primary.clone().or_else(|| node.settings().replication.primary.clone());
    if follows { primary() } else { None }
}

/// The lines of INFO.
pub fn info(node: &Node, text: &mut String) {
    let replication = &node.replication;
    let settings = node.settings();
    let (now, following) = (now_ms(), replication.is_following());
    let state = replication.state();
    let offset = node.log.offset();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(text, "{name}:{value}\r\n"); // a String takes everything
    };
    line("role", &if following { "slave" } else { "master" });
    if let Some((host, port)) = primary_of(node, &state) {
        let up = state.link == Link::Connected;
        let heard = replication.stats.heard_ms.load(Ordering::Relaxed);
        line("master_host", &host);
        line("master_port", &port);
        line("master_link_status", &if up { "up" } else { "down" });
        line("master_last_io_seconds_ago", &if up { now.saturating_sub(heard) as i64 / 1000 } else { -1 });
        line("master_sync_in_progress", &u8::from(state.link == Link::Sync));
        line("slave_read_repl_offset", &offset);
        line("slave_repl_offset", &offset);
        if state.link == Link::Sync {
            let [total, read] = &replication.stats.sync_bytes;
            let (total, read) = (total.load(Ordering::Relaxed), read.load(Ordering::Relaxed));
            line("master_sync_total_bytes", &total);
            line("master_sync_read_bytes", &read);
            line("master_sync_left_bytes", &(total as i64 - read as i64));
            let share = if total > 0 { read as f64 * 100.0 / total as f64 } else { 0.0 };
            line("master_sync_perc", &format_args!("{share:.2}"));
            line("master_sync_last_io_seconds_ago", &(now.saturating_sub(heard) / 1000));
        }
        if !up {
            line("master_link_down_since_seconds", &(now.saturating_sub(state.down_since_ms) / 1000));
        }
        line("slave_priority", &settings.replication.priority);
        line("slave_read_only", &u8::from(settings.replication.read_only));
        line("replica_announced", &u8::from(settings.replication.announced));
    }
    let replicas = replication.replicas.all();
    line("connected_slaves", &replicas.len());
    if settings.replication.replicas_min > 0 && settings.replication.lag_max > 0 {
        line("min_slaves_good_slaves", &replication.replicas.count_good(settings.replication.lag_max));
    }
    for (number, replica) in replicas.iter().enumerate() {
        let name = format!("slave{number}");
        let lag = now.saturating_sub(replica.acked_ms.load(Ordering::Relaxed)) / 1000;
        line(
            &name,
            &format_args!(
                "ip={},port={},state={},offset={},lag={},type=replica",
                replica.ip(),
                replica.facts.port,
                replica.state_name(),
                replica.acked.load(Ordering::Relaxed),
                if replica.is_online() { lag } else { 0 }
            ),
        );
    }
    line("replicas_waiting_psync", &0); // there is one channel: nobody waits for another
    line("master_failover_state", &replication.failover.state_name());
    line("master_replid", &state.history.id);
    let (before, until) = match &state.history.before {
        Some((id, until)) => (id.as_str(), *until as i64 + 1),
        None => ("0000000000000000000000000000000000000000", -1),
    };
    line("master_replid2", &before);
    line("master_repl_offset", &offset);
    line("second_repl_offset", &until);
    let (first, held, capacity) =
        node.log.with_backlog(|backlog| (backlog.first(), backlog.held_bytes(), backlog.capacity()));
    let active = node.log.is_replicated();
    line("repl_backlog_active", &u8::from(active));
    line("repl_backlog_size", &capacity);
    line("repl_backlog_first_byte_offset", &if active { first + 1 } else { 0 });
    line("repl_backlog_histlen", &if active { held } else { 0 });
}

/// The answer of ROLE.
pub fn role(node: &Node, out: &mut Reply) {
    let replication = &node.replication;
    let state = replication.state();
    let offset = node.log.offset() as i64;
    if let Some((host, port)) = primary_of(node, &state) {
        out.array(5);
        out.bulk(b"slave");
        out.bulk(host.as_bytes());
        out.integer(port.into());
        out.bulk(state.link.name().as_bytes());
        out.integer(if state.link == Link::Connected { offset } else { -1 });
        return;
    }
    drop(state);
    let replicas: Vec<_> =
        replication.replicas.all().into_iter().filter(|replica| replica.is_online()).collect();
    out.array(3);
    out.bulk(b"master");
    out.integer(offset);
    out.array(replicas.len());
    for replica in replicas {
        out.array(3);
        out.bulk(replica.ip().as_bytes());
        out.bulk(replica.facts.port.to_string().as_bytes());
        out.bulk(replica.acked.load(Ordering::Relaxed).to_string().as_bytes());
    }
}

//! A node as its Memcached sessions see it.

use super::{Connection, Figures, Host};
use crate::config::tls::{ClientCertificates, TlsMode};
use crate::mailbox::Place;
use crate::memory;
use crate::node::{Node, now_ms};
use crate::signal;
use larder_store::evict::Policy;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

impl Host for Node {
    fn figures(&self) -> Figures {
        let (settings, traffic) = (self.settings(), self.traffic.total());
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            uptime_seconds: now_ms().saturating_sub(self.started_ms) / 1000,
            connections: self.sessions.count() as u64,
            total_connections: get(&self.stats.connections),
            rejected_connections: get(&self.stats.rejected_connections),
            refused_sources: get(&self.stats.refused_sources),
            connections_max: settings.maxclients as u64,
            input_bytes: traffic.input_bytes,
            output_bytes: traffic.output_bytes,
            used_bytes: memory::used_bytes(),
            memory_max_bytes: settings.maxmemory,
            threads: self.mailboxes.len(),
            port: settings.memcached_port,
            interface: settings.bind.join(","),
            evicts: settings.maxmemory_policy != Policy::NoEviction,
            udp_port: self.startup.memcached.udp_port,
            socket: self.startup.memcached_unix_socket.as_ref().map(|path| path.display().to_string()),
            idle_timeout_seconds: settings.timeout,
            tls: settings.tls.mode != TlsMode::No,
            tls_verify: match settings.tls.client_certificates {
                ClientCertificates::No => 0,
                ClientCertificates::Optional => 1,
                ClientCertificates::Yes => 2,
            },
            tls_caches: settings.tls.caching,
            tls_version: if settings.tls.protocols == "TLSv1.3" { "tlsv1.3" } else { "tlsv1.2" },
            socket_mode: self.startup.memcached.socket_mode,
            memory_file: self.startup.memcached.memory_file.as_ref().map(|path| path.display().to_string()),
            backlog: self.startup.backlog,
            connections_wait: self.memcached.is_patient(),
        }
    }

    fn connections(&self) -> Vec<Connection> {
        let now = now_ms();
        let connection = |shared: Arc<crate::session::registry::Shared>| Connection {
            id: shared.id,
            address: shared.address.clone(),
            local_address: shared.local_address.clone(),
            idle_seconds: now.saturating_sub(shared.last_ms.load(Ordering::Relaxed)) / 1000,
            unix: shared.unix,
        };
        self.sessions.all().into_iter().map(connection).collect()
    }

    fn watch_traffic(&self, seconds: Option<u64>) {
        match seconds {
            Some(seconds) => self.start_advice(seconds),
            None => self.stop_advice(),
        }
    }

    fn advice(&self) -> Option<String> {
        Node::advice(self)
    }

    fn set_memory_max(&self, bytes: u64) {
        let Ok(()) = self.change_config(|config| -> Result<(), Infallible> {
            config.settings.maxmemory = bytes;
            Ok(())
        });
    }

    fn stop(&self) {
        signal::raise();
    }

    fn follows(&self) -> bool {
        self.replication.is_following()
    }

    fn refusal_by_now(&self) -> Option<&'static str> {
        crate::command::dispatch::refusal_by_now(self)
    }

    fn refresh_certificates(&self) -> Option<Result<(), String>> {
        let settings = self.settings();
        let spoken = settings.tls.mode != TlsMode::No;
        spoken.then(|| self.tls.apply(&settings.tls).map_err(|error| error.to_string()))
    }

    fn send_lines(&self, place: Place, lines: Arc<[u8]>) -> bool {
        super::watch::send(self, place, lines)
    }
}

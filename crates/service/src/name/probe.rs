//! Whether this machine's resolver asks our DNS server: the only proof is to ask for a name that nobody else knows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Names;
use super::server::PROBE_ADDRESS;

/// How long a look-up may take; a resolver that is slower is of no use to clients either.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two tries.
const EVERY: Duration = Duration::from_secs(30);

/// Whether the name of the probe resolves as only our server answers it.
pub async fn resolves(names: &Names) -> bool {
    let name = names.zone().probe();
    let asked = tokio::time::timeout(LOOK_UP_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
    let Ok(Ok(mut found)) = asked else { return false };
    found.any(|address| address.ip() == IpAddr::V4(PROBE_ADDRESS))
}

/// Keeps the answer up to date until dropped: somebody may set the resolver up while the service runs.
pub async fn watch(names: Arc<Names>) {
    loop {
        let now = resolves(&names).await;
        if now != names.resolves() {
            tracing::info!("endpoint names {} resolved on this machine", if now { "are" } else { "are not" });
            names.set_resolves(now);
        }
        tokio::time::sleep(EVERY).await;
    }
}

//! What every operation is given: the service, and who calls.

use std::net::IpAddr;
use std::sync::Arc;

use crate::identity::{AccessKey, Principal, Verified};
use crate::metric::MetricStore;
use crate::name::Names;
use crate::notify::Counts;
use crate::resource::arn::Arn;
use crate::resource::service_update::Release;
use crate::state::{self, Records, StateError};
use crate::vault::Vault;

/// The service, as operations see it.
pub struct App {
    /// Everything that is remembered.
    pub records: Arc<dyn Records>,
    /// Region that the service plays.
    pub region: String,
    /// The time, Unix milliseconds; tests hand in their own.
    pub clock: fn() -> u64,
    /// Names of nodes, and whether clients can use them.
    pub names: Arc<Names>,
    /// Files of snapshots, and buckets.
    pub vault: Vault,
    /// Metrics of nodes.
    pub metrics: Arc<MetricStore>,
    /// The release of Larder that nodes are started with; none if they run another program.
    pub release: Option<Release>,
    /// Most cache nodes of the account.
    pub nodes_max: usize,
    /// What became of notifications; none where nothing is published.
    pub notifications: Option<Arc<Counts>>,
}

impl App {
    /// The access key with this id, if there is one.
    pub fn access_key(&self, id: &str) -> Result<Option<AccessKey>, StateError> {
        Ok(state::find::<AccessKey>(self.records.as_ref(), id)?.map(|stored| stored.value))
    }

    /// The time now, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }
}

/// The system's clock, Unix milliseconds.
pub fn system_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Who calls, proven by a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The access key.
    pub access_key_id: String,
    /// Its account, 12 digits.
    pub account: String,
    /// ARN of the user that the key belongs to.
    pub user_arn: String,
    /// Region that the call was signed for.
    pub region: String,
    /// On whose behalf.
    pub principal: Principal,
    /// Where the call came from.
    pub source: Option<IpAddr>,
}

impl Caller {
    /// Who a verified request comes from.
    pub fn of(verified: Verified, source: Option<IpAddr>) -> Caller {
        Caller {
            principal: verified.key.principal(),
            source,
            user_arn: verified.key.user_arn(),
            access_key_id: verified.key.id,
            account: verified.key.account,
            region: verified.region,
        }
    }

    /// The ARN of something that is the caller's: `arn:aws:elasticache:{region}:{account}:{sort}:{name}`.
    pub fn arn(&self, sort: &str, name: &str) -> Arn {
        Arn::new(&self.region, &self.account, sort, name)
    }
}

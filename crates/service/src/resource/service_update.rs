//! Service updates: a release of Larder that is newer than what nodes run. Nothing else is one.
//!
//! Nodes outlive the service, so after Larder itself was replaced by a later release and the service started anew, nodes
//! go on with the release that they were started with. The first start of a release in a data folder that has caches
//! makes a service update of it; a cache with nodes that run something older has an *update action*, which somebody may
//! apply. How far that is follows from what the nodes run, so nothing has to be kept about it but the wish.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::node::{NodePhase, Observed};
use crate::state::Resource;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// How the name of a service update begins; the release follows.
const NAME_PREFIX: &str = "larder-";

/// A release, `1.2.3`; ordered as releases are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release([u32; 3]);

impl TryFrom<String> for Release {
    type Error = String;

    fn try_from(text: String) -> Result<Release, String> {
        Release::parse(&text).ok_or_else(|| format!("{text:?} is not a release"))
    }
}

impl From<Release> for String {
    fn from(release: Release) -> String {
        release.to_string()
    }
}

impl Release {
    /// Reads three numbers; what stands behind a hyphen (`-rc1`) does not count.
    pub fn parse(text: &str) -> Option<Release> {
        let mut numbers = text.split('-').next()?.split('.').map(|part| part.parse::<u32>().ok());
        let release = [numbers.next()??, numbers.next()??, numbers.next()??];
        numbers.next().is_none().then_some(Release(release))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// What a node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Runs {
    /// It was started by a service that did not record it, which is older than all that do.
    #[default]
    Unrecorded,
    /// A release of Larder.
    Release(Release),
    /// Another server, to which no service update applies.
    Another,
}

impl Runs {
    /// Of what a node tells as its release, if it does.
    pub fn of(told: Option<&str>) -> Runs {
        told.and_then(Release::parse).map_or(Runs::Another, Runs::Release)
    }

    fn is_older_than(&self, release: &Release) -> bool {
        match self {
            Runs::Unrecorded => true,
            Runs::Release(runs) => runs < release,
            Runs::Another => false,
        }
    }
}

/// How much it matters that nodes run a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data or machines are in danger without it.
    Critical,
    /// Clients may see wrong answers or outages without it.
    Important,
    /// It mends what few will meet.
    Medium,
    /// It mends nothing that is known to hurt.
    Low,
}

impl Severity {
    /// What the present release mends, compared with the one before. Whoever makes a release says it here.
    pub const OF_THIS_RELEASE: Severity = Severity::Medium;

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Important => "important",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }

    /// Days within which it should be applied, as ElastiCache recommends them.
    fn apply_within_days(self) -> u64 {
        match self {
            Severity::Critical => 14,
            Severity::Important => 30,
            Severity::Medium => 60,
            Severity::Low => 90,
        }
    }

    /// What a record says that was written before there were severities.
    fn unrecorded() -> Severity {
        Severity::Medium
    }
}

/// A release that this service has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceUpdate {
    /// The release.
    pub release: Release,
    /// When it first ran here, Unix milliseconds.
    pub released_ms: u64,
    /// Whether it was the first of a folder without caches: then there was nothing to update.
    pub is_first: bool,
    /// How much it matters.
    #[serde(default = "Severity::unrecorded")]
    pub severity: Severity,
}

impl Resource for ServiceUpdate {
    const KIND: &'static str = "service-update";

    fn id(&self) -> String {
        self.name()
    }
}

impl ServiceUpdate {
    /// Its name.
    pub fn name(&self) -> String {
        format!("{NAME_PREFIX}{}", self.release)
    }

    /// Until when it should be applied, Unix milliseconds.
    pub fn apply_by_ms(&self) -> u64 {
        self.released_ms.saturating_add(self.severity.apply_within_days() * DAY_MS)
    }

    /// Whether caches that it was not applied to by then are updated in their maintenance windows. A node without a replica
    /// begins empty, so only what is worse than that comes unasked.
    pub fn is_automatic(&self) -> bool {
        matches!(self.severity, Severity::Critical | Severity::Important)
    }

    /// Whether it comes with the next maintenance window.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.is_automatic() && now_ms >= self.apply_by_ms()
    }

    /// `SlaMet`: whether all nodes of a cache ran it in time. `completed_ms` is when the last of them came to.
    pub fn sla_met(&self, cache_created_ms: u64, completed_ms: Option<u64>, now_ms: u64) -> &'static str {
        let apply_by_ms = self.apply_by_ms();
        match completed_ms {
            _ if cache_created_ms > apply_by_ms => "n/a",
            Some(at) if at <= apply_by_ms => "yes",
            Some(_) => "no",
            None if now_ms > apply_by_ms => "no",
            None => "n/a",
        }
    }

    /// `available` while the service runs it; what another release took the place of is `expired`.
    pub fn status(&self, running: Option<&Release>) -> &'static str {
        if running == Some(&self.release) { "available" } else { "expired" }
    }
}

/// The wish that the nodes of a cache run a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAction {
    /// Name of the service update.
    pub update: String,
    /// The release.
    pub release: Release,
    /// The cache: the group, or the cluster that is in none.
    pub cache: String,
    /// Whether it is a replication group.
    pub is_group: bool,
    /// When the cache was created, Unix milliseconds: tells it from a later one of the same name.
    pub cache_created_ms: u64,
    /// When somebody wished it, Unix milliseconds.
    pub asked_ms: u64,
    /// When somebody stopped it, Unix milliseconds: nodes that were not begun by then stay as they are.
    pub stopped_ms: Option<u64>,
    /// Whether the maintenance window brought it, unasked.
    #[serde(default)]
    pub by_system: bool,
}

impl Resource for UpdateAction {
    const KIND: &'static str = "update-action";

    fn id(&self) -> String {
        UpdateAction::id_of(&self.update, &self.cache, self.is_group)
    }
}

impl UpdateAction {
    /// Id of the record. Groups and clusters have names of their own.
    pub fn id_of(update: &str, cache: &str, is_group: bool) -> String {
        format!("{update}/{}/{cache}", if is_group { "replicationgroup" } else { "cluster" })
    }
}

/// How far a node is with an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeUpdate {
    /// It runs something older.
    Waiting,
    /// It is being started anew.
    InProgress,
    /// It runs the release, a later one, or something else that no release applies to.
    Complete,
}

impl NodeUpdate {
    /// The words of the API.
    pub fn as_str(self, action: Option<&UpdateAction>) -> &'static str {
        match (self, action) {
            (NodeUpdate::Complete, _) => "complete",
            (NodeUpdate::InProgress, _) => "in-progress",
            (NodeUpdate::Waiting, Some(UpdateAction { stopped_ms: None, .. })) => "waiting-to-start",
            (NodeUpdate::Waiting, Some(_)) => "stopped",
            (NodeUpdate::Waiting, None) => "not-applied",
        }
    }
}

/// How far the nodes of a cluster are, by node id. Nodes that are not there yet will run the newest release.
pub fn nodes(cluster: &Cluster, observed: Option<&Observed>, release: &Release) -> Vec<(String, NodeUpdate)> {
    let of = |(id, node): (&String, &super::node::ObservedNode)| {
        let wanted = cluster.nodes.get(id)?;
        let update = if !node.runs.is_older_than(release) {
            NodeUpdate::Complete
        } else if wanted.reboots > node.reboots || node.phase != NodePhase::Running {
            NodeUpdate::InProgress
        } else {
            NodeUpdate::Waiting
        };
        Some((id.clone(), update))
    };
    observed.map(|observed| observed.nodes.iter().filter_map(of).collect()).unwrap_or_default()
}

/// The word for the status of an update action; none if the update has nothing to do with the cache. `is_due`: without
/// anybody's wish it comes with the next maintenance window.
pub fn status(action: Option<&UpdateAction>, nodes: &[NodeUpdate], is_due: bool) -> Option<&'static str> {
    let any = |wanted: NodeUpdate| nodes.contains(&wanted);
    let is_complete = !any(NodeUpdate::Waiting) && !any(NodeUpdate::InProgress);
    match action {
        None if is_complete => None,
        None if is_due => Some("scheduled"),
        None => Some("not-applied"),
        Some(_) if is_complete => Some("complete"),
        Some(action) if action.stopped_ms.is_some() => {
            Some(if any(NodeUpdate::InProgress) { "stopping" } else { "stopped" })
        }
        Some(_) if any(NodeUpdate::InProgress) || any(NodeUpdate::Complete) => Some("in-progress"),
        Some(_) => Some("waiting-to-start"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::tests::{memcached, settled};

    fn release(text: &str) -> Release {
        Release::parse(text).unwrap()
    }

    #[test]
    fn releases_are_ordered_by_number() {
        assert!(release("0.9.0") < release("0.10.0"));
        assert!(release("1.0.0-rc1") == release("1.0.0"));
        for bad in ["", "1", "1.2", "1.2.3.4", "a.b.c", "1.2.x", "-1.2.3"] {
            assert_eq!(Release::parse(bad), None, "{bad}");
        }
        let text = serde_json::to_string(&release("1.2.3")).unwrap();
        assert_eq!(text, "\"1.2.3\"");
        assert_eq!(serde_json::from_str::<Release>(&text).unwrap(), release("1.2.3"));
    }

    #[test]
    fn a_node_is_as_far_as_what_it_runs() {
        let mut cluster = memcached(4);
        let mut observed = settled(&cluster);
        let node = |number: &str| number.to_owned();
        observed.nodes.get_mut("0001").unwrap().runs = Runs::Unrecorded;
        observed.nodes.get_mut("0002").unwrap().runs = Runs::Release(release("0.1.0"));
        observed.nodes.get_mut("0003").unwrap().runs = Runs::Release(release("0.2.0"));
        observed.nodes.get_mut("0004").unwrap().runs = Runs::Another;
        cluster.nodes.get_mut("0001").unwrap().reboots += 1;
        let far = nodes(&cluster, Some(&observed), &release("0.2.0"));
        let expected = [
            (node("0001"), NodeUpdate::InProgress),
            (node("0002"), NodeUpdate::Waiting),
            (node("0003"), NodeUpdate::Complete),
            (node("0004"), NodeUpdate::Complete),
        ];
        assert_eq!(far, expected);
        assert!(nodes(&cluster, None, &release("0.2.0")).is_empty());
    }

    #[test]
    fn severity_says_when_and_whether_it_comes_unasked() {
        let of = |severity| ServiceUpdate {
            release: release("0.2.0"),
            released_ms: 1000,
            is_first: false,
            severity,
        };
        for (severity, days, automatic) in [
            (Severity::Critical, 14, true),
            (Severity::Important, 30, true),
            (Severity::Medium, 60, false),
            (Severity::Low, 90, false),
        ] {
            let update = of(severity);
            let by = 1000 + days * DAY_MS;
            assert_eq!((update.apply_by_ms(), update.is_automatic()), (by, automatic));
            assert_eq!((update.is_due(by - 1), update.is_due(by)), (false, automatic));
            assert_eq!(update.sla_met(1, Some(by), by + 9), "yes");
            assert_eq!(update.sla_met(1, Some(by + 1), by + 9), "no");
            assert_eq!(update.sla_met(1, None, by + 1), "no");
            assert_eq!(update.sla_met(1, None, by), "n/a", "there is time yet");
            assert_eq!(update.sla_met(by + 1, Some(by + 2), by + 9), "n/a", "it came later");
        }
        let old = r#"{"release":"0.2.0","released_ms":1,"is_first":false}"#;
        assert_eq!(serde_json::from_str::<ServiceUpdate>(old).unwrap().severity, Severity::Medium);
    }

    #[test]
    fn the_status_follows_from_the_wish_and_the_nodes() {
        use NodeUpdate::{Complete, InProgress, Waiting};
        let asked = UpdateAction {
            update: "larder-0.2.0".into(),
            release: release("0.2.0"),
            cache: "a".into(),
            is_group: false,
            cache_created_ms: 1,
            asked_ms: 2,
            stopped_ms: None,
            by_system: false,
        };
        let stopped = UpdateAction { stopped_ms: Some(3), ..asked.clone() };
        for (action, nodes, expected) in [
            (None, vec![Complete], None),
            (None, vec![], None),
            (None, vec![Complete, Waiting], Some("not-applied")),
            (Some(&asked), vec![Waiting, Waiting], Some("waiting-to-start")),
            (Some(&asked), vec![Waiting, InProgress], Some("in-progress")),
            (Some(&asked), vec![Waiting, Complete], Some("in-progress")),
            (Some(&asked), vec![Complete, Complete], Some("complete")),
            (Some(&stopped), vec![InProgress, Waiting], Some("stopping")),
            (Some(&stopped), vec![Complete, Waiting], Some("stopped")),
            (Some(&stopped), vec![Complete], Some("complete")),
        ] {
            assert_eq!(status(action, &nodes, false), expected, "{nodes:?}");
        }
        assert_eq!(status(None, &[Waiting], true), Some("scheduled"));
        assert_eq!(status(Some(&stopped), &[Waiting], true), Some("stopped"), "who stopped it meant it");
        assert_eq!(status(None, &[Complete], true), None);
    }
}

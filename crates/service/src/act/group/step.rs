//! Doing one step of a group.

use std::time::{Duration, Instant};

use super::super::step::event_of;
use super::super::{ActError, Tools};
use super::{Recorded, node_key};
use crate::host::{Host, HostError, NOBODY};
use crate::plan::group::GroupStep;
use crate::resource::event::SourceType;
use crate::resource::group::{Acting, Group, ONLY_NODE, ObservedGroup, ObservedMember, Promoting, Why};
use crate::resource::node::StepRecord;
use crate::resource::tag::TagSet;
use crate::state::{Expect, StateError, create, find, remove, replace};

/// How long writes are held while a primary hands over.
const HOLD: Duration = Duration::from_secs(3);
/// How long a replica may take to get the rest meanwhile.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two looks at that.
const CATCH_UP_POLL: Duration = Duration::from_millis(10);
/// Longest failure text that is kept.
const FAILURE_CHARS_MAX: usize = 500;

/// An event that belongs to a change.
type Said = (SourceType, String, String);

impl<H: Host> Tools<H> {
    /// Does a step; it may be repeated.
    pub(super) async fn perform_group(&self, recorded: &Recorded, step: &GroupStep) -> Result<(), ActError> {
        let group = &recorded.group;
        tracing::debug!(group = group.id, %step, "step");
        match step {
            GroupStep::Choose { shard, choice } => self.choose(group, shard, choice, step).await,
            GroupStep::Abandon { shard } => {
                let shard = shard.clone();
                self.observe_group(group, move |observed| {
                    observed.shards.entry(shard).or_default().promoting = None;
                    vec![]
                })
                .await?;
                Ok(())
            }
            GroupStep::Fence { member, process } => Ok(self.host.kill(&node_key(member), process).await?),
            GroupStep::HandOver { from, to } => self.hand_over(recorded, from, to).await,
            GroupStep::Promote { shard, choice } => self.promote(recorded, shard, choice).await,
            GroupStep::Follow { member, primary } => {
                let (key, process, _) = recorded.process(member)?;
                let (_, _, address) = recorded.process(primary)?;
                Ok(self.host.follow(&key, &process, Some(address)).await?)
            }
            GroupStep::NoteHistory { shard, run_id, history } => {
                let (shard, run_id, history) = (shard.clone(), run_id.clone(), history.clone());
                self.observe_group(group, move |observed| {
                    let acting = observed.shards.get_mut(&shard).and_then(|shard| shard.primary.as_mut());
                    if let Some(acting) = acting.filter(|acting| acting.run_id == run_id) {
                        acting.history = history;
                    }
                    vec![]
                })
                .await?;
                Ok(())
            }
            GroupStep::Enroll { shard, member, run_id, offset } => {
                let (shard, member, run_id, offset) =
                    (shard.clone(), member.clone(), run_id.clone(), *offset);
                self.observe_group(group, move |observed| {
                    let shard = observed.shards.entry(shard).or_default();
                    let enrolled =
                        ObservedMember { synced_run_id: Some(run_id), synced_offset: offset, online: true };
                    shard.members.insert(member, enrolled);
                    vec![]
                })
                .await?;
                Ok(())
            }
            GroupStep::Withdraw { shard, member } => {
                let is_member = group.members().any(|id| id == member);
                let (shard, member) = (shard.clone(), member.clone());
                self.observe_group(group, move |observed| {
                    let shard = observed.shards.entry(shard).or_default();
                    match shard.members.get_mut(&member) {
                        Some(noted) if is_member => noted.online = false,
                        _ => drop(shard.members.remove(&member)),
                    }
                    vec![]
                })
                .await?;
                Ok(())
            }
            GroupStep::Settle { generation } => self.settle_group(group, *generation).await,
            GroupStep::Forget => self.forget_group(group).await,
        }
    }

    /// Changes what is observed of a group, and says what happened, in one transaction.
    async fn observe_group(
        &self,
        group: &Group,
        change: impl FnOnce(&mut ObservedGroup) -> Vec<Said> + Send + 'static,
    ) -> Result<(), StateError> {
        let (id, now_ms) = (group.id.clone(), (self.clock)());
        self.with_records(move |records| {
            let stored = find::<ObservedGroup>(records, &id)?;
            let revision = stored.as_ref().map(|stored| stored.revision);
            let fresh = || ObservedGroup { id: id.clone(), ..ObservedGroup::default() };
            let before = stored.map_or_else(fresh, |stored| stored.value);
            let mut observed = before.clone();
            let said = change(&mut observed);
            let mut changes = Vec::new();
            if observed != before || revision.is_none() {
                changes.push(match revision {
                    Some(revision) => replace(&observed, revision)?,
                    None => create(&observed)?,
                });
            }
            for (source_type, source, message) in said {
                changes.push(create(&event_of(source_type, &source, message, now_ms))?);
            }
            if !changes.is_empty() {
                records.apply(&changes)?;
            }
            Ok(())
        })
        .await
    }

    async fn choose(
        &self,
        group: &Group,
        shard: &str,
        choice: &Promoting,
        step: &GroupStep,
    ) -> Result<(), ActError> {
        let wanted = group.shards.get(shard).cloned().unwrap_or_default();
        let (id, name, choice) = (group.id.clone(), shard.to_owned(), choice.clone());
        let begun = StepRecord { step: step.to_string(), began_ms: (self.clock)(), failure: None };
        self.observe_group(group, move |observed| {
            observed.step = Some(begun);
            let shard = observed.shards.entry(name.clone()).or_default();
            let mut said = vec![];
            match choice.why {
                Why::ByHand => shard.promotions = wanted.promotions,
                Why::Test => {
                    shard.failovers = wanted.failovers;
                    let message = format!("Test Failover API called for node group {name}");
                    said.push((SourceType::ReplicationGroup, id, message));
                }
                Why::First | Why::Failure | Why::StandIn | Why::GiveBack | Why::Restart => {}
            }
            shard.promoting = Some(choice);
            said
        })
        .await?;
        Ok(())
    }

    /// Writes wait, the replica gets the rest, and the primary steps down: nothing is lost, and no two accept writes.
    async fn hand_over(&self, recorded: &Recorded, from: &str, to: &str) -> Result<(), ActError> {
        let (old, process, address) = recorded.process(from)?;
        let (new, new_process, new_address) = recorded.process(to)?;
        let silent = |who: &str| HostError::Unanswered { what: format!("{who} was lost during a handover") };
        self.host.hold_writes(&old, Some(HOLD)).await?;
        let deadline = Instant::now() + CATCH_UP_TIMEOUT;
        let has_all = async {
            let end = self.host.replication(&old, &process, address).await?;
            let end = end.ok_or_else(|| silent(from))?.offset;
            loop {
                let seen = self.host.replication(&new, &new_process, new_address).await?;
                if seen.ok_or_else(|| silent(to))?.offset >= end {
                    return Ok(true);
                }
                if Instant::now() >= deadline {
                    return Ok(false);
                }
                tokio::time::sleep(CATCH_UP_POLL).await;
            }
        };
        let outcome: Result<bool, HostError> = has_all.await;
        if matches!(outcome, Ok(true)) {
            self.host.follow(&old, &process, Some(NOBODY)).await?;
        }
        // What was held goes on; a primary that stepped down refuses it.
        self.host.hold_writes(&old, None).await?;
        if outcome? {
            return Ok(());
        }
        Err(ActError::Missing(format!("{to} did not catch up with {from}")))
    }

    async fn promote(&self, recorded: &Recorded, shard: &str, choice: &Promoting) -> Result<(), ActError> {
        let (key, process, address) = recorded.process(&choice.cluster)?;
        if process.run_id != choice.run_id {
            return Err(ActError::Missing(format!("{} is run by another process", choice.cluster)));
        }
        let present = self.host.replication(&key, &process, address).await?;
        if !present.is_some_and(|replication| replication.is_primary) {
            self.host.follow(&key, &process, None).await?;
        }
        // Who copies it from now on has this history, also if the service does not live to see it.
        let now = self.host.replication(&key, &process, address).await?;
        let history = now.map(|replication| replication.history).unwrap_or_default();
        let seen = recorded.clusters.get(&choice.cluster).and_then(|(_, seen)| seen.as_ref());
        let reboots = seen.and_then(|seen| seen.nodes.get(ONLY_NODE)).map_or(0, |node| node.reboots);
        let (id, name, choice) = (recorded.group.id.clone(), shard.to_owned(), choice.clone());
        self.observe_group(&recorded.group, move |observed| {
            let shard = observed.shards.entry(name).or_default();
            let Promoting { cluster, run_id, why } = choice;
            let before = shard.primary.as_ref().map(|acting| acting.cluster.clone());
            match why {
                Why::StandIn => shard.give_back = shard.give_back.take().or(before.clone()),
                _ => shard.give_back = None,
            }
            if matches!(why, Why::First | Why::Restart)
                && shard.primary.as_ref().is_none_or(|acting| acting.run_id != run_id)
            {
                // It is empty, and so nobody has its data: what others still have belongs to the past.
                shard.members.clear();
            }
            shard.primary =
                Some(Acting { cluster: cluster.clone(), run_id, process: Some(process), history, reboots });
            shard.promoting = None;
            shard.members.remove(&cluster);
            let mut said = vec![];
            let is_failover = !matches!(why, Why::StandIn | Why::GiveBack);
            if let Some(before) = before.filter(|before| is_failover && *before != cluster) {
                let message =
                    format!("Failover from primary node {before} to replica node {cluster} completed");
                said.push((SourceType::CacheCluster, before, message.clone()));
                said.push((SourceType::ReplicationGroup, id, message));
            }
            said
        })
        .await?;
        Ok(())
    }

    async fn settle_group(&self, group: &Group, generation: u64) -> Result<(), ActError> {
        let (id, automatic, user_group) =
            (group.id.clone(), group.automatic_failover, group.user_group.clone());
        let members = group.members().count();
        self.observe_group(group, move |observed| {
            let mut said = vec![];
            let mut tell = |message| said.push((SourceType::ReplicationGroup, id.clone(), message));
            if observed.applied_generation == 0 {
                tell(format!("Replication group {id} created"));
            } else {
                if observed.members != members && observed.members > 0 {
                    let replicas = members.saturating_sub(1);
                    tell(format!("Succeeded changing the number of replicas to {replicas}"));
                }
                if observed.automatic_failover != automatic {
                    let now = if automatic { "enabled" } else { "disabled" };
                    tell(format!("Automatic failover {now}"));
                }
                if observed.user_group != user_group {
                    let now = user_group
                        .as_deref()
                        .map_or("none".to_owned(), |group| format!("user group {group}"));
                    tell(format!("Users changed to {now}"));
                }
            }
            observed.members = members;
            observed.applied_generation = observed.applied_generation.max(generation);
            observed.automatic_failover = automatic;
            observed.user_group = user_group;
            observed.step = None;
            said
        })
        .await?;
        Ok(())
    }

    async fn forget_group(&self, group: &Group) -> Result<(), ActError> {
        let (id, now_ms) = (group.id.clone(), (self.clock)());
        self.with_records(move |records| {
            let message = format!("Replication group {id} deleted");
            let changes = [
                remove::<Group>(&id, Expect::Anything),
                remove::<ObservedGroup>(&id, Expect::Anything),
                remove::<TagSet>(&TagSet::id_of("replicationgroup", &id), Expect::Anything),
                create(&event_of(SourceType::ReplicationGroup, &id, message, now_ms))?,
            ];
            records.apply(&changes).map(drop)
        })
        .await?;
        Ok(())
    }

    /// Records that a step failed and, the first time in a row, says so in an event.
    pub(super) async fn record_group_failure(
        &self,
        recorded: &Recorded,
        step: &GroupStep,
        error: &ActError,
    ) -> Result<(), StateError> {
        let text: String = error.to_string().chars().take(FAILURE_CHARS_MAX).collect();
        let (id, step, now_ms) = (recorded.group.id.clone(), step.to_string(), (self.clock)());
        self.observe_group(&recorded.group, move |observed| {
            let record = StepRecord { step: step.clone(), began_ms: now_ms, failure: Some(text.clone()) };
            let old = observed.step.replace(record);
            if old.is_some_and(|old| old.step == step && old.failure.as_ref() == Some(&text)) {
                return vec![];
            }
            vec![(SourceType::ReplicationGroup, id, format!("Failed to {step}: {text}"))]
        })
        .await
    }
}

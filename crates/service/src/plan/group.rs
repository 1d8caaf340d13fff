//! From a replication group as it is desired and observed to the steps between: who is the primary, who follows whom,
//! where the endpoints lead. Pure, as all of planning.
//!
//! Two primaries must never accept writes at once. Every process of a member starts as a replica of nobody and becomes
//! a primary only by [`GroupStep::Promote`], which comes after the choice was recorded. So at any instant only the
//! recorded primary and the recorded choice can accept writes, and before the choice is promoted the other one is
//! ended (if it was lost or cannot be trusted) or told to follow (if it hands over in order).
//!
//! Data must not be lost while a member has them. A replica counts as one that has them from the moment it was seen in
//! sync with the primary, or has the history that the primary was seen with last, until its process is another one, it was seen with less than it had then, or the group
//! began a new history with an empty primary. While it is being given the primary's whole data nobody can tell what
//! it has, and it is not chosen.

use std::fmt;

use crate::resource::group::{Acting, Group, ObservedGroup, ObservedShard, Promoting, Shard, Why};
use crate::resource::node::{NodePhase, ObservedNode, Process, Replication};

/// How a member was found just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// No process runs.
    Down,
    /// Its process runs, but nobody can use it: it has not answered, or could not be reached, for too long.
    Lost,
    /// It did not answer this time.
    Doubtful,
    /// It answered.
    Well(Replication),
}

/// A member of a shard.
#[derive(Debug, Clone)]
pub struct Member {
    /// Id of its cluster.
    pub id: String,
    /// Its node, if it has one.
    pub node: Option<ObservedNode>,
    /// Whether its cluster is as desired.
    pub settled: bool,
    /// Whether its first data were restored: no other member can have them before it was the primary.
    pub is_seeded: bool,
    /// How it was found.
    pub health: Health,
}

impl Member {
    fn run_id(&self) -> Option<&str> {
        Some(self.node.as_ref()?.process.as_ref()?.run_id.as_str())
    }

    fn well(&self) -> Option<&Replication> {
        match &self.health {
            Health::Well(replication) => Some(replication),
            _ => None,
        }
    }

    fn process(&self) -> Option<&Process> {
        self.node.as_ref()?.process.as_ref()
    }

    fn follows(&self, primary: &Member) -> bool {
        let (Some(replication), Some(node)) = (self.well(), &primary.node) else { return false };
        !replication.is_primary && replication.primary == Some((node.address, node.port))
    }

    /// Whether it has the data of that primary, and goes on getting them.
    fn has_caught_up_with(&self, primary: &Member) -> bool {
        let (Some(own), Some(other)) = (self.well(), primary.well()) else { return false };
        own.link_up && !own.syncing && own.history == other.history
    }

    /// Whether its process may become the primary without having data.
    fn may_still_start(&self) -> bool {
        self.node.as_ref().is_none_or(|node| node.failures < STARTS_AWAITED)
    }
}

/// How many starts of the first member may fail before another one becomes the first primary: one may fail because the
/// machine is busy.
const STARTS_AWAITED: u32 = 3;

/// One idempotent act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupStep {
    /// Record who becomes the primary, before anything is done for it.
    Choose {
        /// The shard.
        shard: String,
        /// The member and its process.
        choice: Promoting,
    },
    /// Give a choice up: its process is gone.
    Abandon {
        /// The shard.
        shard: String,
    },
    /// End a process that may accept writes and must not; it may be gone already.
    Fence {
        /// The member.
        member: String,
        /// The process.
        process: Process,
    },
    /// Let a primary hand over to a replica in order: hold writes, wait until the replica has all, and demote.
    HandOver {
        /// The present primary.
        from: String,
        /// The next one.
        to: String,
    },
    /// Make the member the primary, and record it.
    Promote {
        /// The shard.
        shard: String,
        /// The member and its process.
        choice: Promoting,
    },
    /// Make a member a replica.
    Follow {
        /// The member.
        member: String,
        /// Whom it follows.
        primary: String,
    },
    /// Note which history the primary's data have: who has it, has them.
    NoteHistory {
        /// The shard.
        shard: String,
        /// `run_id` of the primary's process.
        run_id: String,
        /// The history.
        history: String,
    },
    /// Note that a replica holds the primary's data: the reader endpoint leads to it.
    Enroll {
        /// The shard.
        shard: String,
        /// The replica.
        member: String,
        /// `run_id` of its process.
        run_id: String,
        /// How much of the stream of writes it has.
        offset: u64,
    },
    /// Take a replica out of the reader endpoint.
    Withdraw {
        /// The shard.
        shard: String,
        /// The replica.
        member: String,
    },
    /// Note that the group follows this generation.
    Settle {
        /// The generation.
        generation: u64,
    },
    /// Delete the records of the group.
    Forget,
}

impl fmt::Display for GroupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupStep::Choose { choice, .. } => write!(f, "choose {} ({:?})", choice.cluster, choice.why),
            GroupStep::Abandon { shard } => write!(f, "abandon the choice of {shard}"),
            GroupStep::Fence { member, .. } => write!(f, "fence {member}"),
            GroupStep::HandOver { from, to } => write!(f, "hand over from {from} to {to}"),
            GroupStep::Promote { choice, .. } => write!(f, "promote {}", choice.cluster),
            GroupStep::Follow { member, primary } => write!(f, "let {member} follow {primary}"),
            GroupStep::NoteHistory { .. } => write!(f, "note the history of the primary"),
            GroupStep::Enroll { member, .. } => write!(f, "enroll {member}"),
            GroupStep::Withdraw { member, .. } => write!(f, "withdraw {member}"),
            GroupStep::Settle { generation } => write!(f, "settle generation {generation}"),
            GroupStep::Forget => write!(f, "forget"),
        }
    }
}

/// What a plan is made from.
#[derive(Debug)]
pub struct GroupFacts<'a> {
    /// What is desired.
    pub group: &'a Group,
    /// What was recorded.
    pub observed: &'a ObservedGroup,
    /// All members, whose clusters have records.
    pub members: &'a [Member],
}

/// The steps that lead from what is observed to what is desired. They may be done in order as long as each one
/// succeeds; after a failure the facts must be read again.
pub fn plan_group(facts: &GroupFacts<'_>) -> Vec<GroupStep> {
    if facts.group.deleting {
        return if facts.members.is_empty() { vec![GroupStep::Forget] } else { vec![] };
    }
    let mut steps = Vec::new();
    let mut all_done = true;
    let none = ObservedShard::default();
    for (id, shard) in &facts.group.shards {
        let seen = facts.observed.shards.get(id).unwrap_or(&none);
        let member = |id: &String| facts.members.iter().find(|member| member.id == *id);
        let members: Vec<&Member> = shard.members.iter().filter_map(member).collect();
        let view = View { group: facts.group, id, shard, seen, members };
        let own = view.steps();
        all_done &= own.is_empty() && view.is_done();
        steps.extend(own);
    }
    let is_settled = facts.observed.applied_generation >= facts.group.generation
        && facts.observed.automatic_failover == facts.group.automatic_failover;
    if all_done && !is_settled {
        steps.push(GroupStep::Settle { generation: facts.group.generation });
    }
    steps
}

/// One shard and all that is known of it.
struct View<'a> {
    group: &'a Group,
    id: &'a str,
    shard: &'a Shard,
    seen: &'a ObservedShard,
    members: Vec<&'a Member>,
}

impl View<'_> {
    fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().copied().find(|member| member.id == id)
    }

    fn steps(&self) -> Vec<GroupStep> {
        let mut steps = self.withdrawals();
        if let Some(choice) = &self.seen.promoting {
            steps.extend(self.promotion(choice));
            return steps;
        }
        let Some(acting) = &self.seen.primary else {
            steps.extend(self.first().into_iter().flat_map(|member| self.choose(member, Why::First)));
            return steps;
        };
        let member = self.member(&acting.cluster);
        let is_same = member.is_some_and(|member| member.run_id() == Some(&acting.run_id));
        match member.map(|member| (member, &member.health)) {
            Some((member, Health::Well(replication))) if is_same && replication.is_primary => {
                steps.extend(self.steady(member));
            }
            // A handover that was given up half way: nobody else can have become the primary since.
            Some((member, Health::Well(_))) if is_same => steps.extend(self.choose(member, Why::Restart)),
            Some((_, Health::Doubtful)) if is_same => {}
            _ => steps.extend(self.replace(acting, member)),
        }
        steps
    }

    /// Who becomes the primary of a new shard: the first member, for whom the others wait, or the first that runs when
    /// it cannot.
    fn first(&self) -> Option<&Member> {
        // Data that were to be restored are nowhere else.
        let seeded = self.members.iter().copied().find(|member| member.is_seeded);
        if let Some(seeded) = seeded.filter(|_| self.seen.primary.is_none()) {
            return Some(seeded).filter(|member| member.well().is_some());
        }
        let mut inclined = self.members.iter().copied();
        inclined
            .find(|member| member.well().is_some() || member.may_still_start())
            .filter(|member| member.well().is_some())
    }

    fn choose(&self, member: &Member, why: Why) -> Vec<GroupStep> {
        let Some(run_id) = member.run_id() else { return vec![] };
        let choice = Promoting { cluster: member.id.clone(), run_id: run_id.to_owned(), why };
        let mut steps = vec![GroupStep::Choose { shard: self.id.to_owned(), choice: choice.clone() }];
        steps.extend(self.promotion(&choice));
        steps
    }

    /// Carries out a choice that was recorded.
    fn promotion(&self, choice: &Promoting) -> Vec<GroupStep> {
        let abandon = GroupStep::Abandon { shard: self.id.to_owned() };
        let Some(target) = self.member(&choice.cluster) else { return vec![abandon] };
        if target.health == Health::Lost {
            // It may have been promoted already: it must not accept writes once another one is chosen.
            let fence = target.process().cloned();
            let fence = fence.map(|process| GroupStep::Fence { member: target.id.clone(), process });
            return fence.into_iter().chain([abandon]).collect();
        }
        if target.health == Health::Down || target.run_id() != Some(&choice.run_id) {
            return vec![abandon];
        }
        if target.health == Health::Doubtful {
            return vec![];
        }
        let mut steps: Vec<GroupStep> = self.disarm(choice).into_iter().collect();
        steps.push(GroupStep::Promote { shard: self.id.to_owned(), choice: choice.clone() });
        steps
    }

    /// What must happen to the old primary before the new one may accept writes.
    fn disarm(&self, choice: &Promoting) -> Option<GroupStep> {
        let acting = self.seen.primary.as_ref().filter(|acting| acting.cluster != choice.cluster)?;
        let old = self.member(&acting.cluster);
        match old.map(|old| (old, &old.health)) {
            Some((_, Health::Well(replication))) if !replication.is_primary => None,
            Some((old, Health::Well(_))) if matches!(choice.why, Why::ByHand | Why::GiveBack) => {
                Some(GroupStep::HandOver { from: old.id.clone(), to: choice.cluster.clone() })
            }
            // Also one of which nothing runs as far as anybody knows: what was recorded last is what counts.
            _ => {
                let known = || old.and_then(Member::process).cloned();
                let process = acting.process.clone().or_else(known)?;
                Some(GroupStep::Fence { member: acting.cluster.clone(), process })
            }
        }
    }

    /// The replica that would lose the least.
    fn candidate(&self, except: &str) -> Option<&Member> {
        let others =
            self.members.iter().copied().filter(|member| member.id != except && self.holds_data(member));
        let able = others.filter(|member| member.well().is_some_and(|replication| !replication.syncing));
        // Of equals the first.
        able.rev().max_by_key(|member| member.well().map(|replication| replication.offset))
    }

    /// Whether a replica was seen to hold the data of the group, and may hold them still.
    fn is_synced(&self, member: &Member) -> bool {
        let noted = self.seen.members.get(&member.id).and_then(|noted| noted.synced_run_id.as_deref());
        noted.is_some() && noted == member.run_id() && !self.has_less(member)
    }

    /// Whether a replica has less than it was seen to have: it let go of its data to be given others.
    fn has_less(&self, member: &Member) -> bool {
        let Some(noted) = self.seen.members.get(&member.id) else { return false };
        let is_same = noted.synced_run_id.as_deref() == member.run_id();
        is_same && member.well().is_some_and(|now| !now.syncing && now.offset < noted.synced_offset)
    }

    /// Whether a member can take over without a loss. One that has the history of the primary has its data, also if it got
    /// them while nobody looked.
    fn holds_data(&self, member: &Member) -> bool {
        let history = self.seen.primary.as_ref().map_or("", |acting| acting.history.as_str());
        let has_it = |now: &Replication| !now.is_primary && !now.syncing && now.history == history;
        let came_unseen = !history.is_empty() && member.well().is_some_and(has_it) && !self.has_less(member);
        self.is_synced(member) || came_unseen
    }

    /// The primary is not there as it was.
    fn replace(&self, acting: &Acting, member: Option<&Member>) -> Vec<GroupStep> {
        let node = member.and_then(|member| member.node.as_ref());
        // A process that is stopped by the service, for a reboot or at its own end, is no failure.
        if node.is_some_and(|node| node.phase == NodePhase::Rebooting) {
            return vec![];
        }
        let runs_anew = member.filter(|member| {
            member.well().is_some() && member.run_id().is_some_and(|run_id| run_id != acting.run_id)
        });
        if let Some(member) = runs_anew.filter(|_| node.is_some_and(|node| node.reboots > acting.reboots)) {
            return self.choose(member, Why::Restart);
        }
        let candidate = self.candidate(&acting.cluster);
        match (candidate, runs_anew) {
            (Some(candidate), _) if self.group.automatic_failover || member.is_none() => {
                self.choose(candidate, Why::Failure)
            }
            // Without automatic failover the primary comes back, and gets its data from a replica first.
            (Some(candidate), Some(_)) => self.choose(candidate, Why::StandIn),
            (Some(_), None) => vec![],
            // A replica with the data that is silent just now may answer again.
            (None, _)
                if self.members.iter().any(|other| self.is_synced(other) && other.health != Health::Down) =>
            {
                vec![]
            }
            (None, Some(member)) => self.choose(member, Why::Restart),
            (None, None) if member.is_none() => {
                self.first().into_iter().flat_map(|member| self.choose(member, Why::First)).collect()
            }
            (None, None) => vec![],
        }
    }

    /// The primary is as it should be.
    fn steady(&self, primary: &Member) -> Vec<GroupStep> {
        let mut steps = Vec::new();
        if let (Some(acting), Some(now)) = (&self.seen.primary, primary.well())
            && acting.history != now.history
        {
            let (shard, run_id, history) = (self.id.to_owned(), acting.run_id.clone(), now.history.clone());
            steps.push(GroupStep::NoteHistory { shard, run_id, history });
        }
        for replica in self.members.iter().copied().filter(|member| member.id != primary.id) {
            if replica.well().is_none() {
                continue;
            }
            if !replica.follows(primary) {
                steps.push(GroupStep::Follow { member: replica.id.clone(), primary: primary.id.clone() });
                continue;
            }
            let noted = self.seen.members.get(&replica.id);
            let is_online = noted.is_some_and(|noted| noted.online) && self.is_synced(replica);
            if !is_online
                && replica.has_caught_up_with(primary)
                && let (Some(run_id), Some(replication)) = (replica.run_id(), replica.well())
            {
                let (shard, member, run_id) = (self.id.to_owned(), replica.id.clone(), run_id.to_owned());
                steps.push(GroupStep::Enroll { shard, member, run_id, offset: replication.offset });
            }
        }
        if steps.is_empty() {
            steps.extend(self.wish(primary));
        }
        steps
    }

    /// A promotion by hand or a test that was asked for.
    fn wish(&self, primary: &Member) -> Vec<GroupStep> {
        if let Some(owner) = self.seen.give_back.as_deref().and_then(|id| self.member(id)) {
            let is_ready = self.is_synced(owner) && owner.has_caught_up_with(primary);
            return if is_ready { self.choose(owner, Why::GiveBack) } else { vec![] };
        }
        if self.shard.promotions > self.seen.promotions {
            let target = self.shard.promote.as_deref().and_then(|id| self.member(id)).unwrap_or(primary);
            let is_ready =
                target.id == primary.id || (self.is_synced(target) && target.has_caught_up_with(primary));
            return if is_ready { self.choose(target, Why::ByHand) } else { vec![] };
        }
        if self.shard.failovers > self.seen.failovers {
            let candidate = self.candidate(&primary.id);
            return candidate.map(|candidate| self.choose(candidate, Why::Test)).unwrap_or_default();
        }
        vec![]
    }

    /// Replicas that clients cannot read from any more.
    fn withdrawals(&self) -> Vec<GroupStep> {
        let is_gone = |(id, noted): &(&String, &crate::resource::group::ObservedMember)| match self.member(id)
        {
            None => true,
            Some(member) => {
                let is_dead = matches!(member.health, Health::Down | Health::Lost) || !self.is_synced(member);
                noted.online && is_dead
            }
        };
        let gone = self.seen.members.iter().filter(is_gone);
        gone.map(|(id, _)| GroupStep::Withdraw { shard: self.id.to_owned(), member: id.clone() }).collect()
    }

    /// Whether the shard is as desired.
    fn is_done(&self) -> bool {
        let Some(acting) = &self.seen.primary else { return false };
        let is_well = |member: &&Member| {
            let noted = self.seen.members.get(&member.id);
            let has_role = member.id == acting.cluster || noted.is_some_and(|noted| noted.online);
            member.settled && member.well().is_some() && has_role
        };
        self.members.len() == self.shard.members.len()
            && self.members.iter().all(is_well)
            && self.seen.give_back.as_ref().is_none_or(|id| self.member(id).is_none())
            && self.seen.promotions >= self.shard.promotions
            && self.seen.failovers >= self.shard.failovers
    }
}

#[cfg(test)]
mod tests;

//! What all sessions and workers of a node share.

use crate::acl::Users;
use crate::advise::Advisor;
use crate::blocked::Blocked;
use crate::command::keyspace::free;
use crate::command::{Command, Table};
use crate::commandlog::CommandLog;
use crate::config::{Config, Fsync, Settings};
use crate::latency::{EVICTION_CYCLE, LatencyMonitor};
use crate::listeners::Listeners;
use crate::log::Log;
use crate::log::aof::rewrite;
use crate::mailbox::{Form, Job, Mail, Mailbox, Place};
use crate::meter::Meter;
use crate::monitor::Monitors;
use crate::notify::{self, Classes};
use crate::pause::Pause;
use crate::prefixes::Prefixes;
use crate::pubsub::Hub;
use crate::replication::{self, Replication};
use crate::run::Startup;
use crate::session::Client;
use crate::session::eviction::Charge;
use crate::session::registry::{Registry, Shared};
use crate::snapshot::Snapshots;
use crate::snapshot::exit::Exit;
use crate::snapshot::load::Loading;
use crate::tracking::Tracking;
use crate::traffic::Traffic;
use crate::{background, iam, memcache, memory, tls};
use arc_swap::{ArcSwap, Guard};
use larder_store::evict::{self, Pool, Round};
use larder_store::object::Limits;
use larder_store::partition::access::Access;
use larder_store::{Now, Store};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time that a batch gives to eviction while no more than a slack of bytes too many are in use.
const EVICTION_BUDGET: Duration = Duration::from_micros(500);
/// Time that it gives when there are more: memory must not come faster than it goes.
const EVICTION_BUDGET_MAX: Duration = Duration::from_millis(20);
/// Keys that are evicted before the time is looked at: as many as a batch may add, so that a slow machine, or a clock that
/// runs fast, does not let the memory grow.
const EVICTIONS_MIN: usize = 64;
/// The same while there is much too much in use.
const EVICTIONS_MIN_MANY: usize = 256;
/// How often who waits for the background looks.
const AWAIT_STEP: Duration = Duration::from_micros(100);
const EVICTION_SLACK_BYTES: u64 = 8 << 20;
/// The slack is no larger than this share of `maxmemory`.
const EVICTION_SLACK_SHARE: u64 = 16;

/// How often who waits for a worker looks whether the node stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Counters of the whole node, as INFO shows them: of what is rare. What is not stands in [`Traffic`].
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections ever accepted.
    pub connections: AtomicU64,
    /// Connections refused for `maxclients`.
    pub rejected_connections: AtomicU64,
    /// Connections refused because `allowed-sources` does not have their address.
    pub refused_sources: AtomicU64,
    /// Error replies.
    pub errors: AtomicU64,
    /// Commands of a primary, or of a file, that failed here.
    pub diverged: AtomicU64,
    /// Changes made to keys.
    pub changes: AtomicU64,
    /// Commands per second over the last second or so.
    pub commands_per_second: AtomicU64,
    /// Bytes received per second over the last second or so.
    pub input_per_second: AtomicU64,
    /// Bytes from the primary, and to replicas, in the last second.
    pub replication_per_second: [AtomicU64; 2],
    /// Bytes sent per second over the last second or so.
    pub output_per_second: AtomicU64,
    /// Sessions closed because their requests were too large.
    pub query_limit_closed: AtomicU64,
    /// Sessions closed because they did not read their replies.
    pub output_limit_closed: AtomicU64,
    /// Rounds of reclaiming keys that ran out of time.
    pub expire_stopped: AtomicU64,
    /// Microseconds spent on reclaiming keys.
    pub expire_micros: AtomicU64,
    /// Milliseconds that dead keys, and hashes with dead fields, had waited, of those reclaimed in the last second.
    pub late_ms_per_second: [AtomicU64; 2],
    /// Keys in the largest partition, as far as RANDOMKEY knows; 0 = it does not.
    pub largest_partition: AtomicU64,
    /// Payloads of RESTORE that were looked through.
    pub sanitized: AtomicU64,
    /// Unix milliseconds since which more than `maxmemory` is in use; 0 = it is not.
    pub exceeded_since_ms: AtomicU64,
    /// Milliseconds for which more was in use, before that.
    pub exceeded_ms: AtomicU64,
    /// Unix milliseconds since which what lies badly in memory is moved; 0 = it is not.
    pub moving_since_ms: AtomicU64,
    /// Milliseconds for which it was, before that.
    pub moving_ms: AtomicU64,
    /// Rounds of the workers' loops per second over the last second or so.
    pub turns_per_second: AtomicU64,
    /// Microseconds of processor time that such a round took.
    pub turn_micros: AtomicU64,
}

impl Stats {
    /// Starts counting anew (CONFIG RESETSTAT).
    pub fn reset(&self) {
        for counter in [
            &self.connections,
            &self.rejected_connections,
            &self.refused_sources,
            &self.errors,
            &self.diverged,
            &self.query_limit_closed,
            &self.output_limit_closed,
            &self.expire_stopped,
            &self.expire_micros,
            &self.sanitized,
            &self.exceeded_ms,
            &self.moving_ms,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// A node.
pub struct Node {
    /// The keyspace.
    pub store: Store,
    /// The commands.
    pub table: Table,
    /// The users, and the log of what they were refused.
    pub users: Users,
    /// Counters.
    pub stats: Stats,
    /// Counters of what is frequent, by worker.
    pub traffic: Traffic,
    /// What commands cost, by worker.
    pub meters: Vec<Meter>,
    /// What was slow or large.
    pub commandlog: CommandLog,
    /// Events that took long.
    pub latency: LatencyMonitor,
    /// Sessions that wait for a key.
    pub blocked: Blocked,
    /// Where it listens.
    pub listeners: Listeners,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Sessions that watch all others.
    pub monitors: Monitors,
    /// Who listens to which channels.
    pub hub: Hub,
    /// Hits and misses by what keys begin with.
    pub prefixes: Arc<Prefixes>,
    /// A watch over the traffic.
    pub advisor: Arc<Advisor>,
    /// Who may have cached what.
    pub tracking: Tracking,
    /// The order of writes.
    pub log: Log,
    /// Questions about tokens of IAM.
    pub iam: iam::Desk,
    /// Whom it follows, and who follows it.
    pub replication: Replication,
    /// Certificates.
    pub tls: tls::Identity,
    /// The sessions.
    pub sessions: Registry,
    /// What sessions take together, where that is bounded.
    pub charge: Charge,
    /// A mailbox per worker.
    pub mailboxes: Vec<Mailbox>,
    /// What Memcached sessions share.
    pub memcached: memcache::Shared,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Unix milliseconds of the start.
    pub started_ms: u64,
    /// What was fixed at the start.
    pub startup: Startup,
    /// False when DEBUG SET-ACTIVE-EXPIRE took it away: then only who asks for a dead key removes it.
    pub active_expire: AtomicBool,
    /// Bytes in use when the node had started.
    pub startup_bytes: AtomicU64,
    /// The snapshot that is being taken, and how saving went.
    pub snapshots: Arc<Snapshots>,
    /// Counts the partitions that workers took to move what lies badly in them.
    pub moving_turn: AtomicUsize,
    /// A file that is being loaded.
    pub loading: Loading,
    /// The save before the end.
    pub exit: Exit,
    /// Set once: workers end.
    pub stopping: AtomicBool,
    settings: ArcSwap<Settings>,
    /// Held by who changes the settings, so that nobody undoes what another one changes at the same time.
    changing: Mutex<()>,
    /// Bits of [`Classes`]: which events somebody may want to hear of.
    wanted: AtomicU32,
    /// Held by who finds that out: what was found last must not be overwritten by what was found before.
    finding: Mutex<()>,
    socket_engine: OnceLock<&'static str>,
}

/// Waits for what the background frees, such as a whole database, as long as a batch may give to eviction; true if there is
/// room then. There are no keys to evict.
#[cold]
fn await_background(began: Instant, fits: impl Fn() -> bool) -> bool {
    while !fits() {
        if background::freed()[0] == 0 || began.elapsed() > EVICTION_BUDGET_MAX {
            return false;
        }
        std::thread::sleep(AWAIT_STEP);
    }
    true
}

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

impl Node {
    /// A node with these settings, not yet serving. `seed` is a random number.
    pub fn new(
        mut settings: Settings,
        startup: &Startup,
        seed: u64,
        mailboxes: Vec<Mailbox>,
        families: &[&'static [Command]],
    ) -> Node {
        let started_ms = now_ms();
        settings.limits.hash_seed = seed; // nobody may choose members that collide
        let config = larder_store::Config {
            databases: startup.databases,
            free: |removed| free(Some(removed)),
            ..larder_store::Config::new(seed, started_ms)
                .for_workers(mailboxes.len())
                .for_memory(settings.maxmemory)
        };
        let memcached = memcache::Shared::new(mailboxes.len(), &settings.engine_version);
        memcached.set_item_size_max(settings.memcached_item_size_max);
        let table = Table::new(families);
        let node = Node {
            store: Store::new(&config),
            users: Users::new(&table, &settings.requirepass),
            meters: mailboxes.iter().map(|_| Meter::new(&table)).collect(),
            commandlog: CommandLog::default(),
            latency: LatencyMonitor::default(),
            blocked: Blocked::default(),
            listeners: Listeners::default(),
            pause: Pause::default(),
            monitors: Monitors::default(),
            table,
            stats: Stats::default(),
            traffic: Traffic::new(mailboxes.len()),
            hub: Hub::default(),
            prefixes: memcached.prefixes.clone(),
            advisor: memcached.advisor.clone(),
            tracking: Tracking::new(mailboxes.len()),
            log: Log::new(mailboxes.len(), settings.replication.backlog_bytes),
            replication: Replication::new(mailboxes.len()),
            iam: iam::Desk::default(),
            tls: tls::Identity::default(),
            sessions: Registry::default(),
            charge: Charge::default(),
            memcached,
            mailboxes,
            run_id: run_id(seed),
            started_ms,
            startup: startup.clone(),
            startup_bytes: AtomicU64::new(0),
            active_expire: AtomicBool::new(true),
            snapshots: Arc::default(),
            moving_turn: AtomicUsize::new(0),
            loading: Loading::default(),
            exit: Exit::default(),
            stopping: AtomicBool::new(false),
            wanted: AtomicU32::new(0),
            finding: Mutex::new(()),
            settings: ArcSwap::from_pointee(settings),
            changing: Mutex::new(()),
            socket_engine: OnceLock::new(),
        };
        node.store.remember(node.settings().miss_history_keys);
        node.set_delays();
        node.prefixes.set_delimiter(node.settings().miss_prefix_delimiter);
        node.find_wanted();
        node
    }

    /// The meter of the worker that serves this session.
    pub fn meter(&self, client: &Client) -> &Meter {
        &self.meters[client.shared.place.worker as usize]
    }

    /// Counts an error that a session is answered with by somebody else than the command it sent.
    #[cold]
    pub fn count_error(&self, shared: &Shared, text: &str) {
        self.stats.errors.fetch_add(1, Ordering::Relaxed);
        self.meters[shared.place.worker as usize].error(text);
    }

    /// The settings in force.
    #[inline]
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// The whole configuration, as CONFIG shows it.
    pub fn config(&self) -> Config {
        Config { startup: self.startup.clone(), settings: (**self.settings()).clone() }
    }

    /// Changes the configuration, as far as it can change while the node runs. One change at a time; partitions may be held,
    /// and are not asked for.
    ///
    /// # Errors
    /// What `change` says; then everything stays as it was.
    pub fn change_config<E>(&self, change: impl FnOnce(&mut Config) -> Result<(), E>) -> Result<(), E> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.config();
        change(&mut config)?;
        self.set_config(config);
        Ok(())
    }

    fn set_config(&self, config: Config) {
        self.memcached.set_item_size_max(config.settings.memcached_item_size_max);
        if config.settings.requirepass != self.settings().requirepass {
            self.users.set_default_password(&config.settings.requirepass);
        }
        self.store.remember(config.settings.miss_history_keys);
        self.prefixes.set_delimiter(config.settings.miss_prefix_delimiter);
        self.users.log.shrink(config.settings.acl_log_max);
        crate::journal::set_level(config.settings.loglevel);
        let before = self.settings();
        if config.settings.replication.backlog_bytes != before.replication.backlog_bytes {
            self.log.with_backlog(|backlog| backlog.set_capacity(config.settings.replication.backlog_bytes));
        }
        let files = config.settings.append_only.on;
        let toggled = files != before.append_only.on;
        drop(before);
        self.settings.store(Arc::new(config.settings));
        self.set_delays();
        if toggled && !files {
            rewrite::turn_off(self);
        }
        // What keeps dead keys buries those that are written to: no write may come upon a kept one and not know.
        let keeps = self.replication.is_following() || self.settings().replication.imports;
        if !keeps {
            self.store.keep_dead(false);
        }
        self.find_wanted();
        self.store.keep_dead(keeps);
        replication::find_restrained(self);
        if toggled {
            self.log.aof.rewrites.wanted.store(true, Ordering::Release);
            self.mailboxes[0].wake();
        }
    }

    fn set_delays(&self) {
        let persistence = &self.settings().persistence;
        self.snapshots.delay.per_key.store(persistence.save_delay, Ordering::Relaxed);
        self.loading.delay.per_key.store(persistence.load_delay, Ordering::Relaxed);
    }

    /// Finds out again which events somebody may want to hear of.
    pub fn find_wanted(&self) {
        let _finding = self.finding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = self.settings().notify;
        if self.tracking.any() {
            wanted = wanted | Classes::CHANGES;
        }
        if self.log.is_on() {
            wanted = wanted | Classes::LOG;
        }
        let strict = self.log.is_filed() && self.settings().append_only.fsync == Fsync::Always;
        self.log.aof.strict.store(strict, Ordering::Release);
        self.store.tell_gone(!wanted.is_empty());
        if self.prefixes.is_on() {
            wanted = wanted | Classes::PREFIXES;
        }
        if self.advisor.is_on() {
            wanted = wanted | Classes::ADVICE;
        }
        if self.imports() {
            wanted = wanted | Classes::IMPORT;
        }
        if self.replication.is_following() && !self.settings().replication.read_only {
            wanted = wanted | Classes::OWN;
        }
        self.wanted.store(wanted.bits(), Ordering::Relaxed);
    }

    /// True for a primary in import mode.
    pub fn imports(&self) -> bool {
        self.settings().replication.imports && !self.replication.is_following()
    }

    /// Which events somebody may want to hear of.
    #[inline]
    pub fn wanted(&self) -> Classes {
        Classes::from_bits(self.wanted.load(Ordering::Relaxed))
    }

    /// The socket engine in use.
    pub fn socket_engine(&self) -> &'static str {
        self.socket_engine.get().copied().unwrap_or("none")
    }

    /// Says which socket engine is in use; the first to say so is believed.
    pub fn set_socket_engine(&self, name: &'static str) {
        let _ = self.socket_engine.set(name); // all workers use the same
    }

    /// The thresholds of packed values.
    pub fn limits(&self) -> Limits {
        self.settings.load().limits.clone()
    }

    /// How uses of keys are noted at a time.
    pub fn access(&self, settings: &Settings, now_ms: u64, random: u32) -> Access {
        if settings.maxmemory_policy.is_lfu() {
            Access::lfu(now_ms, random, settings.lfu_log_factor, settings.lfu_decay_time)
        } else if settings.maxmemory_policy.is_lhd() {
            self.store.lhd_access(now_ms, random)
        } else {
            Access::lru(now_ms)
        }
    }

    /// The word of a new key that was used last at a time in the past; for no policy that counts uses instead.
    pub fn word_of_idle(&self, settings: &Settings, used_ms: u64) -> u32 {
        match settings.maxmemory_policy.is_lhd() {
            true => self.store.lhd_access(used_ms, 0).of_new(),
            false => Access::lru(used_ms).of_new(),
        }
    }

    /// True if writes are refused because what was written cannot be saved (`stop-writes-on-bgsave-error`).
    pub fn cannot_save(&self, settings: &Settings) -> bool {
        let wanted = settings.persistence.stop_writes && !settings.persistence.save_points.is_empty();
        wanted && !self.snapshots.saves.last_worked.load(Ordering::Relaxed)
    }

    /// Evicts keys while more than `maxmemory` is in use, up to a share per batch; true when there is no room and
    /// nothing can leave. `pool` and `random` are the worker's own.
    pub fn make_room(
        &self,
        settings: &Settings,
        worker: usize,
        now: Now,
        (pool, random): (&mut Pool, &mut u64),
    ) -> bool {
        // While writes are held back, a replica must find what its primary has.
        let follows = self.replication.is_following() && settings.replication.ignores_maxmemory;
        if settings.maxmemory == 0
            || follows
            || self.pause.held(now.ms).is_some()
            || memory::bound::bounded_bytes() <= settings.maxmemory
        {
            return false;
        }
        memory::release_kept(); // before any key goes
        let round = Round {
            policy: if self.imports() { evict::Policy::NoEviction } else { settings.maxmemory_policy },
            samples: settings.maxmemory_samples,
            decay_minutes: settings.lfu_decay_time,
            now,
        };
        let began = Instant::now();
        let mut dice = || {
            *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            *random ^ *random >> 32
        };
        let slack = EVICTION_SLACK_BYTES.min(settings.maxmemory / EVICTION_SLACK_SHARE);
        let (mut full, mut evicted) = (false, 0);
        // What the background has still to free is room already: no other keys have to go for it.
        let fits = || {
            let bytes = memory::bound::bounded_bytes();
            bytes.saturating_sub(background::waiting_bytes()) <= settings.maxmemory
        };
        while !fits() {
            let mut told = |db, key: &[u8]| notify::evicted(self, worker, db, key);
            let Some((db, key, removed)) = self.store.evict_one(&round, pool, &mut dice, &mut told) else {
                full = !await_background(began, fits);
                break;
            };
            memcache::watch::evicted(self, db, &key, &removed);
            free(Some(removed));
            let many = memory::used_bytes() > settings.maxmemory.saturating_add(slack);
            let (budget, least) = match many {
                true => (EVICTION_BUDGET_MAX, EVICTIONS_MIN_MANY),
                false => (EVICTION_BUDGET, EVICTIONS_MIN),
            };
            evicted += 1;
            let enough = evicted >= least && began.elapsed() > budget;
            if enough {
                break;
            }
        }
        self.note_event(EVICTION_CYCLE, began.elapsed());
        // More is evicted before the next batch. As long as keys can leave, nobody is refused.
        full
    }

    /// Tells the latency monitor of an event, if it took as long as the monitor wants to hear of.
    pub fn note_event(&self, event: &'static str, took: Duration) {
        let threshold = self.settings().observation.latency_monitor_threshold;
        let ms = took.as_millis() as u64;
        if threshold > 0 && ms >= threshold {
            self.latency.add(event, ms);
        }
    }

    /// Sends bytes to sessions, wherever they are. Each gets them after what it was sent so far.
    pub fn deliver(&self, mut to: Vec<Place>, bytes: &Arc<[u8]>) {
        to.sort_unstable();
        for places in to.chunk_by(|a, b| a.worker == b.worker) {
            let mail = Mail::Deliver { to: places.into(), bytes: bytes.clone(), form: Form::Line };
            self.mailboxes[places[0].worker as usize].send(mail);
        }
    }

    /// Has a worker do something, and waits for it: how a thread that is no worker touches the keyspace. `None` if the
    /// node stops.
    pub fn ask<T: Send + 'static>(&self, work: impl FnOnce(&Node) -> T + Send + 'static) -> Option<T> {
        let (tell, told) = channel();
        let job = move |node: &Node| {
            let _ = tell.send(work(node)); // whoever asked may have given up
        };
        self.mailboxes[0].send(Mail::Run(Job(Box::new(job))));
        loop {
            match told.recv_timeout(LOOK_EVERY) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) if !self.stopping.load(Ordering::Acquire) => {}
                Err(_) => return None,
            }
        }
    }

    /// Has the workers look whether sessions of theirs wait for what has come to the disk.
    pub fn wake_who_waits_for_disk(&self) {
        let aof = &self.log.aof;
        if aof.strict.load(Ordering::Acquire) || aof.awaited.load(Ordering::SeqCst) > 0 {
            self.mailboxes.iter().for_each(Mailbox::wake);
        }
    }

    /// The same for those who wait for the disks of replicas: the stream has what they wrote.
    pub fn wake_who_waits_for_replicas(&self) {
        if self.log.aof.awaited.load(Ordering::SeqCst) > 0 {
            self.mailboxes.iter().for_each(Mailbox::wake);
        }
    }

    /// Tells all workers to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.mailboxes.iter().for_each(Mailbox::wake);
        self.iam.wake();
    }
}

/// 40 hexadecimal digits that nobody else has.
fn run_id(seed: u64) -> String {
    let mut state = seed;
    (0..5).fold(String::new(), |text, _| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        text + &format!("{:08x}", (state >> 32) as u32)
    })
}

//! The configuration of a machine. It is part of every recording, because it decides what a run
//! does.

use std::collections::BTreeMap;

/// The machine's configuration: bounds, the scheduling policy, and the determinism that a recording
/// promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolMachineConfig {
    /// Which ready coroutine steps next.
    pub policy: SchedulingPolicy,
    /// Priorities for [`SchedulingPolicy::Priority`], by role name; 255 is the highest, and a role
    /// that is not listed has 0. A spawned coroutine has its parent's.
    pub priorities: BTreeMap<String, u8>,
    /// Messages an edge can hold. 64 chunks of 32 KiB, 2 MiB, let a sender fill two pipes ahead.
    pub buffer_len_max: u32,
    /// Bytes of the encoding of a payload, an argument or a result. Larger data is sent in chunks,
    /// so that no single message holds up a link or a recording window.
    pub payload_len_max: u32,
    /// Coroutines of a session, spawned and halted ones included. It bounds the scans over a
    /// session.
    pub coroutines_max: u16,
    /// Sessions of a machine, ended ones included. A million idle sessions take less than 2 GiB.
    pub sessions_max: u32,
    /// Live witnesses of a session. One more expires the oldest.
    pub witnesses_max: u32,
    /// Ticks after which a witness expires. The default is a minute, by the convention of 1 ms a
    /// tick.
    pub witness_ttl: u64,
    /// Budget, in ticks, of an effect whose operation has none of its own; `None`: no limit.
    pub effect_budget: Option<u64>,
    /// What a recording promises about its replay.
    pub determinism_mode: DeterminismMode,
}

impl Default for ProtocolMachineConfig {
    fn default() -> Self {
        ProtocolMachineConfig {
            policy: SchedulingPolicy::Cooperative,
            priorities: BTreeMap::new(),
            buffer_len_max: 64,
            payload_len_max: 64 << 10,
            coroutines_max: 64,
            sessions_max: 1 << 20,
            witnesses_max: 64,
            witness_ttl: 60_000,
            effect_budget: None,
            determinism_mode: DeterminismMode::Full,
        }
    }
}

/// Which ready coroutine steps next. A policy orders steps; it never changes what a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchedulingPolicy {
    /// The head of the queue, where it stays until it blocks, yields or ends. The canonical policy.
    Cooperative,
    /// The head of the queue; after its step it goes to the back.
    RoundRobin,
    /// The highest priority, ties in queue order; after its step it goes to the back.
    Priority,
    /// The first in the queue that holds a progress token, else the head; after its step it goes to
    /// the back. A coroutine holds a token while another one is blocked on an edge that only the
    /// first can serve.
    ProgressAware,
}

impl SchedulingPolicy {
    /// Every policy, in the order of their codes.
    pub const ALL: [SchedulingPolicy; 4] = [
        SchedulingPolicy::Cooperative,
        SchedulingPolicy::RoundRobin,
        SchedulingPolicy::Priority,
        SchedulingPolicy::ProgressAware,
    ];

    /// The policy's name in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            SchedulingPolicy::Cooperative => "cooperative",
            SchedulingPolicy::RoundRobin => "round-robin",
            SchedulingPolicy::Priority => "priority",
            SchedulingPolicy::ProgressAware => "progress-aware",
        }
    }
}

/// What a recording promises about its replay. It decides what is recorded and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeterminismMode {
    /// Requests, outcomes, and the digests of state and trace at every checkpoint.
    Full,
    /// Requests and outcomes, without digests: for replays with outcomes that were edited on
    /// purpose.
    ModuloEffects,
    /// As `Full`, but traces are compared session by session, so the order among sessions may
    /// differ.
    ModuloCommutativity,
    /// As `Full`; the machine takes outcomes from a recording only.
    Replay,
}

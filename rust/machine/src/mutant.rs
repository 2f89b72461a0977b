//! Wrong kernels, for testing whether a comparison finds them.
//!
//! A mutant is one deliberate mistake in the kernel: a bound that is off by one, a missing check,
//! two events in the wrong order. A comparison of two implementations that finds no difference is
//! evidence only if it finds one for each mutant. With the cargo feature `mutants`, which is for
//! tests only and off by default, [`with`] runs code under one mutant. Without the feature `active`
//! is the constant `false`, and the mutants are not compiled in.

/// A deliberate mistake in the kernel.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its number, from 1.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// A description of the mistake.
    pub what: &'static str,
}

// The compiler reports a constant that the kernel does not use as dead code.
macro_rules! mutants {
    ($($number:literal $name:ident $what:literal)*) => {
        $(pub(crate) const $name: u16 = $number;)*

        /// Every mutant, in the order of their numbers.
        #[cfg(feature = "mutants")]
        pub const ALL: &[Mutant] = &[
            $(Mutant { number: $number, name: stringify!($name), what: $what },)*
        ];
    };
}

mutants! {
    1 BUFFER_SHORT "an edge is full one message early"
    2 BUFFER_LONG "an edge takes one message more than it holds"
    3 SEQUENCE_EARLY
        "the sequence number is taken before the edge is found full, so blocking leaves a gap"
    4 SENT_UNCHECKED "a payload is sent without a check of its sort and size"
    5 RECEIVED_UNCHECKED "a payload is received without a check of its sort"
    6 ARGUMENT_UNCHECKED "an argument is put to the handler without a check of its sort and size"
    7 RESULT_UNCHECKED "a result is taken in without a check of its sort and size"
    8 PAYLOAD_SHORT "a payload of exactly the limit is too large"
    9 PAYLOAD_LONG "a payload one byte over the limit is not too large"
    10 RECEIVER_NOT_WOKEN "a message does not wake its receiver"
    11 SENDER_NOT_WOKEN "space in a buffer does not wake its sender"
    12 WAKES_ANY_WAITER "the peer is woken whatever edge it waits for"
    13 BLOCKED_MOVES_ON "a receiver that blocks moves on to the next instruction"
    14 OFFER_IS_SENT "an offered message is reported as a sent one"
    15 ARMS_LAST "of two arms with one label the last one counts"
    16 CHOICE_LAST "of two rows with one label the last one counts in a choice"
    17 BRANCH_LAST "of two rows with one number the last one counts in a branch"
    18 BOOL_IS_NO_NUMBER "a truth value is not a number"
    19 MOVE_DST_FIRST "a move checks its destination before its source"
    20 SEND_VALUE_FIRST "a send checks its value before its channel"
    21 RECEIVE_DST_LATE "a receive checks its destination only when there is a message"
    22 INVOKE_DST_FIRST "an effect's destination is checked before its operation"
    23 SPAWN_BOUND_FIRST "the bound on coroutines is checked before a spawn's operands"
    24 SPAWN_SHORT "a session may have one coroutine less than the bound"
    25 SPAWN_LONG "a session may have one coroutine more than the bound"
    26 SPAWN_LIVE_ONLY "halted coroutines do not count towards the bound"
    27 SPAWN_NO_PRIORITY "a spawned coroutine has priority 0"
    28 SPAWN_ENDPOINT "a spawned coroutine's first register starts as an endpoint"
    29 SPAWNED_SLEEPS "a spawned coroutine is ready but not queued"
    30 CLOSE_ENDPOINTS_UNCHECKED "a close does not check that the roles are at their ends"
    31 CLOSE_EDGES_UNCHECKED "a close does not check that the edges are empty"
    32 CLOSE_EDGES_FIRST "a close checks the edges before the endpoints"
    33 HALT_ENDPOINTS_UNCHECKED "a halt does not check that the coroutine's roles are at their ends"
    34 HALT_EDGES_UNCHECKED "the last halt does not check that the edges are empty"
    35 HALT_EDGES_ALWAYS "every halt checks that the edges are empty"
    36 BUDGET_LONG "an effect times out one tick late"
    37 BUDGET_OF_MACHINE "the machine's budget takes precedence over the operation's"
    38 DEADLINE_WRAPS "a deadline past the last tick wraps around"
    39 LATE_IS_NEVER_ISSUED "a late outcome is refused as one of an effect that was never issued"
    40 NEVER_ISSUED_IS_LATE "an outcome of the next effect is refused as late"
    41 LATE_ACCEPTED "a late outcome is accepted"
    42 LATE_COUNTS "a late outcome is refused but uses up an event number"
    43 CONTRACT_TEXT "a contract violation has no detail"
    44 CONTRACT_KIND "a result of the wrong sort fails with `invalid_input`"
    45 RETRIES_SHORT "an effect is retried once less"
    46 RETRIES_LONG "an effect is retried once more"
    47 RETRY_ANY_KIND "every failure is retried"
    48 RETRY_NEW_DEADLINE "a retry has a budget of its own"
    49 RETRY_SAME_ATTEMPT "a retry has the attempt number of the last"
    50 RETRY_SAME_NUMBER "a retry reuses the effect number"
    51 FAILURE_CODE "a failure's code is one too high"
    52 FAILURE_BRANCH_IGNORED "a failure faults the session although it has a branch"
    53 ENTERED_AFTER_FAULTED "a fault is reported before its cause"
    54 TERMINAL_FIRST "a session's end is reported before its effects are invalidated"
    55 EPOCH_FIRST "the new epoch is reported before the session's end"
    56 EPOCH_STAYS "a session's end does not advance its epoch"
    57 TERMINAL_KEEPS_WITNESSES "a session that has ended keeps its witnesses"
    58 FAULT_MOVES_ON "a faulted coroutine moves on to the next instruction"
    59 FAILED_BEFORE_TIMEOUT "an effect's failure is reported before its timeout"
    60 TTL_LONG "a witness expires one tick late"
    61 WITNESSES_SHORT "one witness less than the bound may be live"
    62 WITNESSES_LONG "one witness more than the bound may be live"
    63 WITNESS_NEWEST "at the bound the newest witness expires"
    64 CANCEL_TAKES_NO_NUMBER "a cancellation's witness does not use up its number"
    65 CANCELLED_FIRST "a cancellation is reported before it is requested"
    66 BLOCKED_IS_FREE "a step that blocks is not counted"
    67 STAMP_LATE "a step's events have the index of the next step"
    68 WOKEN_LAST "a woken coroutine is queued after the one that stepped"
    69 RESUMED_FIRST "a coroutine that got its outcome is queued at the front"
    70 COOPERATIVE_TURNS "the cooperative policy moves each coroutine to the back"
    71 ROUND_ROBIN_STAYS "the round-robin policy keeps a coroutine that ran at the head"
    72 YIELD_STAYS "a coroutine that yields keeps its place"
    73 TIE_LAST "of the coroutines with the best rank the last one is picked"
    74 PRIORITY_LOWEST "the lowest priority is picked"
    75 TOKEN_IGNORED "progress tokens are ignored"
    76 TOKEN_NOT_GRANTED "a coroutine that is already queued gets no progress token"
    77 SERVER_IS_WAITER "the coroutine that waits is taken for the one that could serve it"
    78 IDLE_IS_STUCK "a machine with outstanding effects is stuck instead of idle"
    79 DEADLINE_EXCLUSIVE "an effect whose deadline is now does not time out"
    80 EXPIRY_EXCLUSIVE "a witness whose expiry is now does not expire"
    81 TIMEOUT_BY_NUMBER
        "of two timeouts at one tick the one with the lower effect number comes first"
    82 EXPIRY_BY_NUMBER
        "of two expiries at one tick the one with the lower witness number comes first"
    83 TIMEOUT_AT_DEADLINE "a timeout is stamped with its deadline and not with the clock"
    84 WITNESSES_EXPIRE_FIRST "witnesses expire before effects time out"
    85 CLOCK_WRAPS "a clock past the last tick wraps around"
    86 CLOCK_SATURATES "a clock past the last tick saturates"
    87 SESSIONS_LONG "one session more than the bound may be opened"
    88 OWNER_LONG "an owner's name may be one byte longer"
    89 OPEN_REVERSED "a session's coroutines are queued with the last role first"
    90 CANCEL_BY_ANYBODY "a session may be cancelled by a requester that does not own it"
    91 CANCEL_PHASE_FIRST "a cancellation checks the session's end before its owner"
    92 REFUSED_CANCEL_COUNTS "a refused cancellation uses up a witness number"
    93 NOT_READY_COUNTS "a pick that is not ready counts as a step"
    94 UNNAMED_PRIORITY "a role without a configured priority has 1"
    95 REQUEST_WITHOUT_DEADLINE "a request has no deadline"
    96 STATE_WITHOUT_CLOCK "the state's bytes have the step index in place of the clock"
    97 WAVE_STEP_UNCHECKED "a wave for another step is run"
    98 WAVE_QUEUE_UNCHECKED "a wave for another queue is run"
    99 WAVE_FIRST_UNCHECKED "a wave that does not begin with the policy's pick is run"
    100 WAVE_NEXT_UNCHECKED "a wave whose pick is not the next one of its session is run"
    101 WAVE_FOOTPRINT_UNCHECKED "a wave that does not name what it writes is run"
    102 WAVE_LANES_UNCHECKED "a wave that uses one lane twice is run"
    103 WAVE_QUANTUM_LONG "a session takes one step more than its quantum"
    104 WAVE_ASKS_ON "a session that has issued an effect continues in the wave"
    105 WAVE_MERGED_BACKWARDS
        "coroutines that moved in a wave are queued from the last pick to the first"
    106 WAVE_STAMPED_ALONE "the events of a wave count the steps of their own session only"
    107 WAVE_WIDE "a wave is one session wider than requested"
}

#[cfg(feature = "mutants")]
std::thread_local! {
    static ACTIVE: std::cell::Cell<u16> = const { std::cell::Cell::new(0) };
}

/// Runs the closure with one mutant active on this thread, and restores the previous one, also
/// after a panic. A number without a mutant runs the correct kernel.
#[cfg(feature = "mutants")]
pub fn with<T>(number: u16, run: impl FnOnce() -> T) -> T {
    struct Restore(u16);
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    let _restore = Restore(ACTIVE.replace(number));
    run()
}

/// Whether this mutant is active on this thread.
#[cfg(feature = "mutants")]
#[inline]
pub(crate) fn active(number: u16) -> bool {
    ACTIVE.get() == number
}

/// Whether no mutant is active on this thread. Invariant checks are skipped under a mutant: it may
/// break any invariant, and the test must find it by comparing behaviour.
#[cfg(feature = "mutants")]
pub(crate) fn is_none_active() -> bool {
    ACTIVE.get() == 0
}

/// Whether no mutant is active: constant `true` without the feature.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_none_active() -> bool {
    true
}

/// Whether this mutant is active: constant `false` without the feature.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn active(_number: u16) -> bool {
    false
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_one_and_names_differ() {
        for (n, mutant) in (1..).zip(ALL) {
            assert_eq!(mutant.number, n, "{}", mutant.name);
        }
        let mut names: Vec<_> = ALL.iter().map(|mutant| mutant.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn a_mutant_is_active_only_inside_with() {
        let inside = || ALL.iter().filter(|m| active(m.number)).count();
        assert_eq!(inside(), 0);
        assert_eq!(with(BUFFER_SHORT, inside), 1);
        with(BUFFER_SHORT, || {
            let unwound = std::panic::catch_unwind(|| with(BUFFER_LONG, || panic!("as it may")));
            assert!(unwound.is_err());
            assert!(active(BUFFER_SHORT), "the previous mutant is restored");
        });
        assert_eq!(inside(), 0);
        let elsewhere = with(BUFFER_SHORT, || {
            std::thread::spawn(move || active(BUFFER_SHORT))
        });
        assert!(
            !elsewhere.join().expect("the thread ends"),
            "another thread has no mutant"
        );
    }
}

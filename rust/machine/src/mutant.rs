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
    /// What is wrong.
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
    3 SEQUENCE_EARLY "the sequence number is taken before the edge is found full, so blocking makes a gap"
    4 SENT_UNCHECKED "a payload is sent without being admitted for its sort"
    5 RECEIVED_UNCHECKED "a payload is received without a look at its sort"
    6 ARGUMENT_UNCHECKED "an argument is put to the handler without being admitted for its sort"
    7 RESULT_UNCHECKED "a result is taken without being admitted for its sort"
    8 PAYLOAD_SHORT "a payload of exactly the limit is too large"
    9 PAYLOAD_LONG "a payload one byte over the limit is not too large"
    10 RECEIVER_NOT_WOKEN "a message wakes nobody"
    11 SENDER_NOT_WOKEN "room in a buffer wakes nobody"
    12 WAKES_ANY_WAITER "the peer is woken whatever edge it waits for"
    13 BLOCKED_MOVES_ON "a receiver that blocks stands at the next instruction"
    14 OFFER_IS_SENT "an offered message is told as a sent one"
    15 ARMS_LAST "of two arms of one label the last counts"
    16 CHOICE_LAST "of two rows of one label the last counts in a choice"
    17 BRANCH_LAST "of two rows of one number the last counts in a branch"
    18 BOOL_IS_NO_NUMBER "a truth value is no number"
    19 MOVE_DST_FIRST "a move looks at its destination before its source"
    20 SEND_VALUE_FIRST "a send looks at its value before its channel"
    21 RECEIVE_DST_LATE "a receive looks at its destination only when there is a message"
    22 INVOKE_DST_FIRST "an effect's destination is looked at before its operation"
    23 SPAWN_BOUND_FIRST "the bound on coroutines is looked at before a spawn's operands"
    24 SPAWN_SHORT "one coroutine less than the bound can be had"
    25 SPAWN_LONG "one coroutine more than the bound can be had"
    26 SPAWN_LIVE_ONLY "halted coroutines do not count for the bound"
    27 SPAWN_NO_PRIORITY "a spawned coroutine has priority 0"
    28 SPAWN_ENDPOINT "a spawned coroutine's first register begins with an endpoint"
    29 SPAWNED_SLEEPS "a spawned coroutine is ready and not queued"
    30 CLOSE_ENDPOINTS_UNCHECKED "a close does not ask whether the roles have come to their ends"
    31 CLOSE_EDGES_UNCHECKED "a close does not ask whether the edges are empty"
    32 CLOSE_EDGES_FIRST "a close looks at the edges before the endpoints"
    33 HALT_ENDPOINTS_UNCHECKED "a halt does not ask whether the coroutine's roles have come to their ends"
    34 HALT_EDGES_UNCHECKED "the last halt does not ask whether the edges are empty"
    35 HALT_EDGES_ALWAYS "every halt asks whether the edges are empty"
    36 BUDGET_LONG "an effect times out one tick late"
    37 BUDGET_OF_MACHINE "the machine's budget comes before the operation's"
    38 DEADLINE_WRAPS "a deadline past the last tick wraps"
    39 LATE_IS_NEVER_ISSUED "a late outcome is refused as one of an effect never issued"
    40 NEVER_ISSUED_IS_LATE "an outcome of the effect to be issued next is refused as late"
    41 LATE_ACCEPTED "a late outcome is taken"
    42 LATE_COUNTS "a late outcome is refused and takes the number of an event"
    43 CONTRACT_TEXT "a contract violation has no detail"
    44 CONTRACT_KIND "a result of the wrong sort is an invalid input"
    45 RETRIES_SHORT "an effect is asked once less"
    46 RETRIES_LONG "an effect is asked once more"
    47 RETRY_ANY_KIND "every failure is worth another attempt"
    48 RETRY_NEW_DEADLINE "another attempt has a budget of its own"
    49 RETRY_SAME_ATTEMPT "another attempt has the number of the last"
    50 RETRY_SAME_NUMBER "another attempt takes no number of its own"
    51 FAILURE_CODE "a failure's code is one more"
    52 FAILURE_BRANCH_IGNORED "a failure faults though there is a branch for it"
    53 ENTERED_AFTER_FAULTED "a fault is told before its cause"
    54 TERMINAL_FIRST "a session's end is told before its effects are invalidated"
    55 EPOCH_FIRST "the new epoch is told before the session's end"
    56 EPOCH_STAYS "a session's end does not advance its epoch"
    57 TERMINAL_KEEPS_WITNESSES "a session that has ended keeps its witnesses"
    58 FAULT_MOVES_ON "a faulted coroutine stands at the next instruction"
    59 FAILED_BEFORE_TIMEOUT "an effect's failure is told before its timeout"
    60 TTL_LONG "a witness expires one tick late"
    61 WITNESSES_SHORT "one witness less than the bound can live"
    62 WITNESSES_LONG "one witness more than the bound can live"
    63 WITNESS_NEWEST "the newest witness makes room"
    64 CANCEL_TAKES_NO_NUMBER "a cancellation's witness leaves its number to the next"
    65 CANCELLED_FIRST "a cancellation is told before it is requested"
    66 BLOCKED_IS_FREE "an attempt that blocks is no step"
    67 STAMP_LATE "a step's events bear the number of steps after it"
    68 WOKEN_LAST "who was woken enters after who stepped"
    69 RESUMED_FIRST "who has an outcome enters at the front"
    70 COOPERATIVE_TURNS "the cooperative policy puts everybody to the back"
    71 ROUND_ROBIN_STAYS "the round-robin policy lets who ran stay at the head"
    72 YIELD_STAYS "who yields stays where it is"
    73 TIE_LAST "of those of the highest rank the last is picked"
    74 PRIORITY_LOWEST "the lowest priority is picked"
    75 TOKEN_IGNORED "progress tokens count for nothing"
    76 TOKEN_NOT_GRANTED "who is queued already gets no progress token"
    77 SERVER_IS_WAITER "who waits is taken for who could serve it"
    78 IDLE_IS_STUCK "nobody is waited for when the world owes outcomes"
    79 DEADLINE_EXCLUSIVE "an effect whose deadline is now is not over"
    80 EXPIRY_EXCLUSIVE "a witness whose expiry is now is not over"
    81 TIMEOUT_BY_NUMBER "of two sessions' timeouts at one tick the lower number comes first"
    82 EXPIRY_BY_NUMBER "of two sessions' expiries at one tick the lower number comes first"
    83 TIMEOUT_AT_DEADLINE "a timeout is dated by its deadline, not by the clock"
    84 WITNESSES_EXPIRE_FIRST "witnesses expire before effects time out"
    85 CLOCK_WRAPS "a clock past the last tick wraps"
    86 CLOCK_SATURATES "a clock past the last tick stays there"
    87 SESSIONS_LONG "one session more than the bound can be opened"
    88 OWNER_LONG "an owner's name may have a byte more"
    89 OPEN_REVERSED "a session's coroutines enter the queue last role first"
    90 CANCEL_BY_ANYBODY "a session can be called off by who does not own it"
    91 CANCEL_PHASE_FIRST "a cancellation is refused for the session's end before the owner"
    92 REFUSED_CANCEL_COUNTS "a cancellation that is refused takes the number of a witness"
    93 NOT_READY_COUNTS "a pick of who is not ready is a step"
    94 UNNAMED_PRIORITY "a role that no priority is given has 1"
    95 REQUEST_WITHOUT_DEADLINE "a request has no deadline"
    96 STATE_WITHOUT_CLOCK "the state's bytes have the step index for the clock"
    97 WAVE_STEP_UNCHECKED "a wave of another step is run"
    98 WAVE_QUEUE_UNCHECKED "a wave of another queue is run"
    99 WAVE_FIRST_UNCHECKED "a wave that does not begin with the policy's pick is run"
    100 WAVE_NEXT_UNCHECKED "a wave whose pick is not the next of its session is run"
    101 WAVE_FOOTPRINT_UNCHECKED "a wave that does not name what it writes is run"
    102 WAVE_LANES_UNCHECKED "a wave with one lane twice is run"
    103 WAVE_QUANTUM_LONG "a session takes one step more than its quantum"
    104 WAVE_ASKS_ON "a session that has asked goes on in the wave"
    105 WAVE_MERGED_BACKWARDS "who moved in a wave enters the queue from the last pick to the first"
    106 WAVE_STAMPED_ALONE "the events of a wave bear the steps of their own session alone"
    107 WAVE_WIDE "a wave is one session wider than was asked"
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
#[cfg(all(feature = "mutants", any(test, debug_assertions)))]
pub(crate) fn is_none_active() -> bool {
    ACTIVE.get() == 0
}

/// Whether no mutant is active: constant `true` without the feature.
#[cfg(all(not(feature = "mutants"), any(test, debug_assertions)))]
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
    fn a_mutant_is_active_inside_only() {
        let inside = || ALL.iter().filter(|m| active(m.number)).count();
        assert_eq!(inside(), 0);
        assert_eq!(with(BUFFER_SHORT, inside), 1);
        with(BUFFER_SHORT, || {
            let unwound = std::panic::catch_unwind(|| with(BUFFER_LONG, || panic!("as it may")));
            assert!(unwound.is_err());
            assert!(active(BUFFER_SHORT), "what was active before is again");
        });
        assert_eq!(inside(), 0);
        let elsewhere = with(BUFFER_SHORT, || {
            std::thread::spawn(move || active(BUFFER_SHORT))
        });
        assert!(
            !elsewhere.join().expect("it ends"),
            "another thread is clean"
        );
    }
}

//! The step loop does not allocate once its buffers have grown, and an idle session is small.
//!
//! `allocation_counter` counts the allocations of the calling thread only, so other tests may run
//! at the same time.

use antiphon_machine::*;

fn no_host(_: &EffectRequest<'_>) -> Reply {
    Reply::Later
}

/// A handler that never ends the protocol and answers with scalars.
fn endless(request: &EffectRequest<'_>) -> Reply {
    Reply::Now(match request.class() {
        Class::Decide { labels, .. } => Outcome::chosen(labels[0]),
        Class::Produce { .. } => Outcome::Success(Value::Nat(7)),
        Class::Deliver { .. } | Class::Command | Class::Observe | Class::Check => Outcome::done(),
    })
}

fn allocations_of<S: Sink>(
    image: &std::sync::Arc<VerifiedImage>,
    host: fn(&EffectRequest<'_>) -> Reply,
    sink: S,
) -> u64 {
    let mut machine = ProtocolMachine::with_sink(Default::default(), FromFn(host), sink);
    machine.load_choreography(image, "owner").unwrap();
    // A first run lets the buffers grow to the size that the protocol needs.
    assert_eq!(machine.run(1_000), None);
    let counted = allocation_counter::measure(|| {
        assert_eq!(machine.run(100_000), None);
    });
    counted.count_total
}

#[test]
fn a_step_allocates_nothing() {
    assert_eq!(
        allocations_of(&sample::bare_ping_pong(), no_host, NoSink),
        0
    );
    assert_eq!(allocations_of(&sample::ping_pong(1), endless, NoSink), 0);
}

#[test]
fn a_trace_digest_allocates_nothing() {
    assert_eq!(
        allocations_of(&sample::ping_pong(1), endless, TraceDigest::default()),
        0
    );
}

/// A payload on the heap is counted, so the counter works.
#[test]
fn a_heap_payload_is_counted() {
    fn wordy(request: &EffectRequest<'_>) -> Reply {
        match request.class() {
            Class::Produce { .. } => Reply::Now(Outcome::Success(Value::bytes(&[0; 64]))),
            Class::Decide { .. }
            | Class::Deliver { .. }
            | Class::Command
            | Class::Observe
            | Class::Check => endless(request),
        }
    }
    assert!(allocations_of(&sample::ping_pong_bytes(), wordy, NoSink) > 1_000);
}

#[test]
fn an_idle_session_of_two_roles_fits_in_two_kibibytes() {
    const SESSIONS: u64 = 1_000;
    let image = sample::ping_pong(1);
    let mut machine = ProtocolMachine::new(Default::default(), FromFn(no_host));
    let counted = allocation_counter::measure(|| {
        for _ in 0..SESSIONS {
            machine.load_choreography(&image, "owner").unwrap();
        }
        // Both roles now block: one on a decision, the other on a message.
        assert_eq!(machine.run(u64::MAX), Some(Rest::Idle));
    });
    // Bytes still allocated with all sessions open; the machine's own tables are included.
    let held = counted.bytes_current as u64 / SESSIONS;
    assert!(held <= 2_048, "an idle session holds {held} bytes");
}

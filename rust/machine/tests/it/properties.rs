//! Laws that hold for any image, also for nonsensical ones: a step is total, the invariants hold,
//! and a verified program has no fault that verification excludes.

use std::sync::Arc;

use antiphon_machine::invariants::Watch;
use antiphon_machine::*;
use proptest::prelude::*;

fn reg() -> impl Strategy<Value = Reg> {
    (0u8..6).prop_map(Reg)
}

fn label() -> impl Strategy<Value = LabelId> {
    (0u16..4).prop_map(LabelId)
}

fn pc() -> impl Strategy<Value = Pc> {
    (0u32..12).prop_map(Pc)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Unit),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![0u64..4, any::<u64>()].prop_map(Value::Nat),
        any::<i64>().prop_map(Value::Int),
        ".{0,8}".prop_map(|text| Value::text(&text)),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::bytes(&bytes)),
        (0u16..4).prop_map(|role| Value::Endpoint(RoleId(role))),
        any::<u64>().prop_map(Value::Evidence),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::list),
            proptest::collection::vec(inner, 0..6).prop_map(Value::record),
        ]
    })
}

fn instruction() -> impl Strategy<Value = Instruction> {
    let arm = || (label(), reg(), pc()).prop_map(|(label, val, target)| Arm { label, val, target });
    let args = || proptest::collection::vec(reg(), 0..3);
    prop_oneof![
        (reg(), label(), reg()).prop_map(|(chan, label, val)| Instruction::Send {
            chan,
            label,
            val
        }),
        (reg(), label(), reg()).prop_map(|(chan, label, dst)| Instruction::Receive {
            chan,
            label,
            dst
        }),
        (reg(), reg(), proptest::collection::vec(arm(), 0..3)).prop_map(
            |(chan, selector, arms)| Instruction::Offer {
                chan,
                selector,
                arms
            }
        ),
        (
            reg(),
            reg(),
            proptest::collection::vec((label(), pc()), 0..3)
        )
            .prop_map(|(chan, dst, table)| Instruction::Choose { chan, dst, table }),
        (0u16..7, args(), reg(), proptest::option::of(pc())).prop_map(
            |(operation, args, dst, on_failure)| Instruction::Invoke {
                operation: OperationId(operation),
                args,
                dst,
                on_failure,
            }
        ),
        (0u16..7, args(), reg(), reg(), proptest::option::of(pc())).prop_map(
            |(operation, args, dst, witness, on_failure)| Instruction::Check {
                operation: OperationId(operation),
                args,
                dst,
                witness,
                on_failure,
            }
        ),
        (0u16..4, args(), reg()).prop_map(|(program, args, dst)| Instruction::Spawn {
            program: ProgramId(program),
            args,
            dst,
        }),
        (reg(), value()).prop_map(|(dst, value)| Instruction::Set { dst, value }),
        (reg(), reg()).prop_map(|(dst, src)| Instruction::Move { dst, src }),
        pc().prop_map(|target| Instruction::Jump { target }),
        (reg(), proptest::collection::vec((0u64..4, pc()), 0..3))
            .prop_map(|(cond, table)| Instruction::Branch { cond, table }),
        Just(Instruction::Yield),
        Just(Instruction::Close),
        Just(Instruction::Halt),
    ]
}

/// A sample image with some of its instructions or transitions replaced.
fn altered_image() -> impl Strategy<Value = CodeImage> {
    let edits = proptest::collection::vec((any::<u16>(), any::<u16>(), instruction()), 0..6);
    let redirects = proptest::collection::vec((any::<u16>(), 0u32..4, 0u16..4), 0..3);
    (edits, redirects, 0u16..3).prop_map(|(edits, redirects, payload)| {
        let mut image = sample::ping_pong_image(1, SortId(payload));
        for (program, at, instruction) in edits {
            let len = image.programs.len();
            let code = &mut image.programs[usize::from(program) % len].code;
            let at = usize::from(at) % code.len();
            code[at] = instruction;
        }
        for (role, next, label) in redirects {
            let role = &mut image.roles[usize::from(role) % 2].automaton.states[0];
            if let State::Send { branches, .. } | State::Recv { branches, .. } = role {
                branches[0].next = StateId(next);
                branches[0].label = LabelId(label);
            }
        }
        image
    })
}

fn input() -> impl Strategy<Value = Ingress> {
    let failure = (0..FailureKind::ALL.len())
        .prop_map(|code| Outcome::failure(FailureKind::ALL[code], "by chance"));
    let outcome = prop_oneof![value().prop_map(Outcome::Success), failure];
    prop_oneof![
        6 => ((0u32..3), (0u64..40), outcome).prop_map(|(session, number, outcome)| {
            let effect = EffectId { session: SessionId(session), number };
            Ingress::Outcome { effect, outcome }
        }),
        2 => (0u64..50).prop_map(|ticks| Ingress::AdvanceClock { ticks }),
        1 => (0u32..3, any::<bool>()).prop_map(|(session, own)| Ingress::Cancel {
            session: SessionId(session),
            owner: Arc::from(if own { "owner" } else { "thief" }),
        }),
    ]
}

fn config() -> impl Strategy<Value = ProtocolMachineConfig> {
    (0usize..4, 1u32..4, 1u16..6, proptest::option::of(1u64..60)).prop_map(
        |(policy, buffer_len_max, coroutines_max, effect_budget)| ProtocolMachineConfig {
            policy: SchedulingPolicy::ALL[policy],
            buffer_len_max,
            coroutines_max,
            effect_budget,
            payload_len_max: 64,
            witnesses_max: 2,
            witness_ttl: 20,
            ..ProtocolMachineConfig::default()
        },
    )
}

/// A handler that answers every third effect in place, by a rule, and the others later.
fn moody(request: &EffectRequest<'_>) -> Reply {
    if request.effect().number % 3 != 0 {
        return Reply::Later;
    }
    Reply::Now(match request.class() {
        Class::Decide { labels, .. } => Outcome::chosen(labels[0]),
        Class::Produce { .. } | Class::Command => Outcome::success(3u64),
        Class::Deliver { .. } | Class::Observe | Class::Check => Outcome::done(),
    })
}

type Sinks = (Vec<ObsEvent>, (Watch, TraceDigest));

fn run(image: &CodeImage, config: &ProtocolMachineConfig, inputs: &[Ingress]) -> (Sinks, [u8; 32]) {
    let image = Arc::new(VerifiedImage::unchecked(image.clone()));
    let sink = (Vec::new(), (Watch::default(), TraceDigest::default()));
    let mut machine = ProtocolMachine::with_sink(config.clone(), FromFn(moody), sink);
    for _ in 0..2 {
        machine
            .load_choreography(&image, "owner")
            .expect("a session can be opened");
    }
    for input in inputs {
        machine.run(40);
        let before = machine.kernel().state_bytes();
        if machine.ingress(input.clone()).is_err() {
            let after = machine.kernel().state_bytes();
            machine.sink().1.0.unchanged(&before, &after);
        }
        machine.kernel().check().expect("every invariant holds");
    }
    machine.run(400);
    let digest = machine.kernel().state_digest();
    (machine.into_sink(), digest)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// For any image, configuration and inputs there is no panic, and every invariant holds.
    #[test]
    fn a_step_is_total(
        image in altered_image(),
        config in config(),
        inputs in proptest::collection::vec(input(), 0..12),
    ) {
        let ((_, (watch, _)), _) = run(&image, &config, &inputs);
        prop_assert_eq!(watch.verdict(), None);
    }

    /// The same inputs give the same run, byte for byte.
    #[test]
    fn a_run_is_deterministic(
        image in altered_image(),
        config in config(),
        inputs in proptest::collection::vec(input(), 0..8),
    ) {
        let ((events, (_, trace)), state) = run(&image, &config, &inputs);
        let ((again, (_, trace_again)), state_again) = run(&image, &config, &inputs);
        prop_assert_eq!(events, again);
        prop_assert_eq!(trace.digest(), trace_again.digest());
        prop_assert_eq!(state, state_again);
    }

    /// A verified program can fault because of an outcome, the other role's automaton or a bound,
    /// but not because of anything that verification checks.
    #[test]
    fn a_verified_program_has_no_fault_that_verification_excludes(
        image in altered_image(),
        config in config(),
        inputs in proptest::collection::vec(input(), 0..12),
    ) {
        if image.clone().verify().is_err() {
            return Ok(());
        }
        let ((events, _), _) = run(&image, &config, &inputs);
        for event in events {
            let Event::Faulted { fault, .. } = event.event else { continue };
            let excused = matches!(
                fault,
                Fault::EffectFailed { .. }
                    | Fault::PayloadTooLarge { .. }
                    | Fault::CoroutineBound { .. }
                    | Fault::EdgeNotEmpty { .. }
                    | Fault::EndpointOpen { .. }
            );
            // Verification does not check that the automata of two roles match.
            let misfit = matches!(fault, Fault::WrongLabel { .. } | Fault::WrongSort { .. });
            prop_assert!(excused || misfit, "{:?} in a verified program", fault);
        }
    }

    /// Canonical bytes decode to the same value, and their length is known beforehand.
    #[test]
    fn canonical_bytes_round_trip(value in value(), image in altered_image(), input in input()) {
        prop_assert_eq!(value.to_bytes().len() as u64, value.encoded_len());
        prop_assert_eq!(Value::from_bytes(&value.to_bytes(), CodeImage::LIMITS), Ok(value));
        prop_assert_eq!(CodeImage::from_bytes(&image.to_bytes(), CodeImage::LIMITS), Ok(image));
        prop_assert_eq!(Ingress::from_bytes(&input.to_bytes(), CodeImage::LIMITS), Ok(input));
    }

    /// The canonical bytes of every event of a run decode to the same event.
    #[test]
    fn events_round_trip(
        image in altered_image(),
        config in config(),
        inputs in proptest::collection::vec(input(), 0..6),
    ) {
        let read = ProtocolMachineConfig::from_bytes(&config.to_bytes(), CodeImage::LIMITS);
        prop_assert_eq!(read, Ok(config.clone()));
        let ((events, _), _) = run(&image, &config, &inputs);
        for event in events {
            let read = ObsEvent::from_bytes(&event.to_bytes(), CodeImage::LIMITS);
            prop_assert_eq!(read, Ok(event));
        }
    }

    /// An image with one changed byte is refused or is a different image; decoding does not panic.
    #[test]
    fn a_changed_byte_is_detected(at in any::<proptest::sample::Index>(), flip in 1u8..=255) {
        let image = sample::ping_pong_image(1, SortId(1));
        let mut bytes = image.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(read) = CodeImage::from_bytes(&bytes, CodeImage::LIMITS) {
            prop_assert_ne!(&read, &image);
            prop_assert_eq!(read.to_bytes(), bytes);
            let _ = read.verify();
        }
    }
}

//! Steps of a schedule made outside the kernel: any ready coroutine can be picked, and no other.
//! Also the canonical bytes of the results of steps and inputs.

use crate::common::*;
use antiphon_codec::Limits;
use antiphon_machine::*;

/// A sends a message to B, which receives it; C yields twice.
fn three() -> CodeImage {
    let give_way = vec![YIELD, YIELD, HALT];
    image(vec![
        (
            vec![set(R1, 1u64), send(X, R1), HALT],
            vec![to_b([go(X, NAT, 1)]), END],
        ),
        (
            vec![receive(X, R1), HALT],
            vec![from_a([go(X, NAT, 1)]), END],
        ),
        alone(give_way),
    ])
}

fn pick(coroutine: u16) -> Pick {
    Pick {
        session: SessionId(0),
        coroutine: CoroutineId(coroutine),
    }
}

fn queue(machine: &Machine) -> Vec<u16> {
    let ready = machine.kernel().ready();
    ready.iter().map(|pick| pick.coroutine.0).collect()
}

/// The kernel and its ready queue after these picks; `None` if a pick is not ready.
fn after(policy: SchedulingPolicy, picks: &[u16]) -> Option<(ProtocolMachineKernel, Vec<u16>)> {
    let config = ProtocolMachineConfig {
        policy,
        ..ProtocolMachineConfig::default()
    };
    let machine = opened(three(), config);
    assert_eq!(queue(&machine), [0, 1, 2]);
    let mut kernel = machine.kernel().clone();
    for n in picks {
        let before = kernel.state_bytes();
        let Some(turn) = kernel.step_pick(pick(*n), &mut NoSink) else {
            assert_eq!(
                kernel.state_bytes(),
                before,
                "a refused pick changes nothing"
            );
            return None;
        };
        assert!(matches!(turn, Turn::Stepped { pick: by, .. } if by == pick(*n)));
        kernel.check().expect("every invariant holds");
    }
    let ready = kernel.ready().iter().map(|pick| pick.coroutine.0).collect();
    Some((kernel, ready))
}

#[test]
fn any_ready_coroutine_can_be_picked() {
    for policy in SchedulingPolicy::ALL {
        let queue_after = |picks: &[u16]| after(policy, picks).map(|(_, ready)| ready);
        let stays = policy == SchedulingPolicy::Cooperative;
        assert_eq!(
            queue_after(&[2]),
            Some(vec![0, 1, 2]),
            "it yields to the back"
        );
        let ran = if stays { [0, 1, 2] } else { [1, 2, 0] };
        assert_eq!(queue_after(&[0]), Some(ran.to_vec()));
        assert_eq!(queue_after(&[1]), Some(vec![0, 2]), "it blocks");
        assert_eq!(queue_after(&[1, 1]), None, "it is not ready");
        assert_eq!(queue_after(&[7]), None, "it does not exist");
        let woken = if stays { [0, 2, 1] } else { [2, 1, 0] };
        assert_eq!(queue_after(&[1, 0, 0]), Some(woken.to_vec()));
        let (kernel, ready) = after(policy, &[1, 0, 0, 0, 2, 2, 2, 1, 1]).expect("each is ready");
        assert_eq!(ready, [0u16; 0]);
        let phase = kernel.session(SessionId(0)).map(Session::phase);
        assert_eq!(phase, Some(Phase::Terminal(End::Closed)));
    }
}

/// The coroutines of an ended session are still in the queue, but cannot be picked.
#[test]
fn no_coroutine_of_an_ended_session_can_be_picked() {
    let mut machine = opened(three(), ProtocolMachineConfig::default());
    let input = Ingress::Cancel {
        session: SessionId(0),
        owner: "owner".into(),
    };
    machine.ingress(input).expect("the session is active");
    let mut kernel = machine.kernel().clone();
    assert_eq!(kernel.step_pick(pick(0), &mut NoSink), None);
    let absent = Pick {
        session: SessionId(1),
        coroutine: CoroutineId(0),
    };
    assert_eq!(kernel.step_pick(absent, &mut NoSink), None);
    assert_eq!(kernel.step_index(), 0);
}

#[test]
fn results_of_steps_and_inputs_have_canonical_bytes() {
    fn same<T: Canonical + PartialEq + std::fmt::Debug>(value: T, bytes: &[u8]) {
        assert_eq!(value.to_bytes(), bytes, "{value:?}");
        assert_eq!(T::from_bytes(bytes, Limits::default()), Ok(value));
    }
    let fault = Fault::SelectorOutside { got: 9 };
    same(pick(3), &[0x82, 0, 3]);
    same(Step::Ran, &[0x81, 0]);
    same(Step::Yielded, &[0x81, 1]);
    same(Step::Blocked(On::Full(EdgeId(4))), &[0x82, 2, 0x82, 1, 4]);
    same(Step::Effect(effect(5)), &[0x82, 3, 0x82, 0, 5]);
    same(Step::Halted, &[0x81, 4]);
    same(Step::Faulted(fault), &[0x82, 5, 0x82, 10, 9]);
    same(Resumed::Ready(CoroutineId(2)), &[0x82, 0, 2]);
    same(Resumed::Reissued(effect(1)), &[0x82, 1, 0x82, 0, 1]);
    same(Resumed::Faulted(fault), &[0x82, 2, 0x82, 10, 9]);
    same(Taken::Opened(SessionId(6)), &[0x82, 0, 6]);
    let resumed = Taken::Resumed(Resumed::Ready(CoroutineId(0)));
    same(resumed, &[0x82, 1, 0x82, 0, 0]);
    same(Taken::Advanced { expired: 7 }, &[0x82, 2, 7]);
    same(Taken::Cancelled, &[0x81, 3]);
    same(Rest::Idle, &[0x81, 0]);
    same(Rest::Done, &[0x81, 1]);
    let wait = Wait {
        pick: pick(1),
        role: None,
        on: On::Empty(EdgeId(0)),
        server: Some(CoroutineId(2)),
    };
    let bytes = [0x84, 0x82, 0, 1, 0xf6, 0x82, 0, 0, 2];
    same(wait, &bytes);
    same(
        Rest::Stuck(vec![wait]),
        &[&[0x82, 2, 0x81][..], &bytes[..]].concat(),
    );
}

//! The ready queue against its specification: a plain list that is changed as the semantics page
//! says, and searched from the front for the policy's pick. The order is its only state.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::*;
use antiphon_machine::*;
use proptest::prelude::*;

/// A issues effects and sends three messages; B receives them and issues an effect; C spawns
/// children that issue effects; D yields and issues a check.
fn busy() -> CodeImage {
    let a = vec![
        set(R1, 1u64),
        act(R1, R1),
        send(X, R1),
        send(X, R1),
        act(R1, R1),
        send(X, R1),
        HALT,
    ];
    let mut b = vec![set(R1, 1u64)];
    for _ in 0..3 {
        b.extend([receive(X, R2), YIELD]);
    }
    b.extend([act(R1, R1), HALT]);
    let spawn = || spawn(4, &[R1], R2);
    let c = vec![set(R1, 4u64), spawn(), YIELD, spawn(), HALT];
    let d = vec![set(R1, 1u64), YIELD, prove(R1, R1, R2), YIELD, HALT];
    let image = image(vec![
        (a, times(3, to_b)),
        (b, times(3, from_a)),
        alone(c),
        alone(d),
    ]);
    let mut image = with_child(image, 2, [act_or(R0, R1, 1), YIELD, HALT]);
    image.operations[0].budget = Some(5);
    image.operations[0].retries = 1;
    image
}

/// The specification of the ready queue.
struct Spec {
    policy: SchedulingPolicy,
    queue: Vec<Pick>,
}

fn coroutine(kernel: &ProtocolMachineKernel, pick: Pick) -> &Coroutine {
    &kernel.sessions()[pick.session.index()].coroutines()[pick.coroutine.index()]
}

/// Whether another coroutine of the session is blocked on an edge whose other end this one holds.
fn has_token(kernel: &ProtocolMachineKernel, pick: Pick) -> bool {
    let session = &kernel.sessions()[pick.session.index()];
    let edges = kernel.image(session).edges();
    (0u16..).zip(session.coroutines()).any(|(n, other)| {
        let role = match other.status {
            Status::Blocked(On::Empty(edge)) => edges[edge.index()].0,
            Status::Blocked(On::Full(edge)) => edges[edge.index()].1,
            _ => return false,
        };
        n != pick.coroutine.0 && session.endpoints()[role.index()].holder == pick.coroutine
    })
}

impl Spec {
    fn pick(&self, kernel: &ProtocolMachineKernel) -> Option<Pick> {
        let head = *self.queue.first()?;
        Some(match self.policy {
            SchedulingPolicy::Cooperative | SchedulingPolicy::RoundRobin => head,
            SchedulingPolicy::Priority => {
                let of = |pick: &Pick| coroutine(kernel, *pick).priority;
                let most = self
                    .queue
                    .iter()
                    .map(of)
                    .max()
                    .expect("the queue has a head");
                *self
                    .queue
                    .iter()
                    .find(|p| of(p) == most)
                    .expect("the priority is one of theirs")
            }
            SchedulingPolicy::ProgressAware => {
                let token = self.queue.iter().find(|p| has_token(kernel, **p));
                *token.unwrap_or(&head)
            }
        })
    }

    fn ended(&mut self, kernel: &ProtocolMachineKernel) {
        let active = |p: &Pick| kernel.sessions()[p.session.index()].phase() == Phase::Active;
        self.queue.retain(active);
    }

    /// The coroutines of the session that became ready, by number, except `stepped`.
    fn woken(
        before: &ProtocolMachineKernel,
        after: &ProtocolMachineKernel,
        stepped: Pick,
    ) -> Vec<Pick> {
        let session = stepped.session;
        let was = before.sessions()[session.index()].coroutines();
        let is = after.sessions()[session.index()].coroutines();
        let ready = |c: Option<&Coroutine>| c.is_some_and(|c| c.status == Status::Ready);
        (0..is.len())
            .filter(|n| *n != stepped.coroutine.index())
            .filter(|n| ready(is.get(*n)) && !ready(was.get(*n)))
            .map(|n| Pick {
                session,
                coroutine: CoroutineId(n as u16),
            })
            .collect()
    }

    fn step(
        &mut self,
        before: &ProtocolMachineKernel,
        kernel: &ProtocolMachineKernel,
        turn: &Turn,
    ) {
        let Turn::Stepped { pick, step } = turn else {
            assert_eq!(self.queue, []);
            return;
        };
        assert_eq!(Some(*pick), self.pick(before));
        let at = self
            .queue
            .iter()
            .position(|p| p == pick)
            .expect("the coroutine was queued");
        self.queue.extend(Spec::woken(before, kernel, *pick));
        let stays = *step == Step::Ran && self.policy == SchedulingPolicy::Cooperative;
        if !stays {
            self.queue.remove(at);
            if matches!(step, Step::Ran | Step::Yielded) {
                self.queue.push(*pick);
            }
        }
        self.ended(kernel);
    }

    fn resumed(
        &mut self,
        before: &ProtocolMachineKernel,
        after: &ProtocolMachineKernel,
        effects: &[EffectId],
    ) {
        for effect in effects {
            let session = effect.session;
            let was = before.sessions()[session.index()].effects();
            let resumed = was
                .iter()
                .find(|e| e.number == effect.number)
                .expect("the effect was outstanding");
            let pick = Pick {
                session,
                coroutine: resumed.coroutine,
            };
            if coroutine(after, pick).status == Status::Ready {
                self.queue.push(pick);
            }
        }
        self.ended(after);
    }
}

/// Outstanding effects with their deadlines, in the order in which they expire.
fn outstanding(kernel: &ProtocolMachineKernel) -> Vec<(Option<u64>, EffectId)> {
    let of = |s: &Session| {
        let session = s.id();
        let id = move |e: &Effect| {
            (
                e.deadline,
                EffectId {
                    session,
                    number: e.number,
                },
            )
        };
        s.effects().iter().map(id).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = kernel.sessions().iter().flat_map(of).collect();
    all.sort();
    all
}

/// Opens a session of four coroutines.
fn open(kernel: &mut ProtocolMachineKernel, image: &Arc<VerifiedImage>, spec: &mut Spec) {
    let input = Ingress::Open {
        image: *image.digest(),
        owner: Arc::from("me"),
    };
    let Ok(Taken::Opened(session)) = kernel.ingress(input, &mut NoSink) else {
        panic!("a session can be opened")
    };
    spec.queue.extend((0..4).map(|n| Pick {
        session,
        coroutine: CoroutineId(n),
    }));
}

/// The configuration of a run: a small buffer, and two coroutines of equal priority.
fn config(policy: SchedulingPolicy) -> ProtocolMachineConfig {
    ProtocolMachineConfig {
        policy,
        buffer_len_max: 1,
        priorities: BTreeMap::from([
            ("D".to_owned(), 9),
            ("B".to_owned(), 5),
            ("C".to_owned(), 5),
        ]),
        witness_ttl: 7,
        ..ProtocolMachineConfig::default()
    }
}

/// Takes one step or input for each choice, and compares the kernel with the specification after
/// each. The low six bits of a choice say what to do, the others which session or effect.
fn compare(policy: SchedulingPolicy, choices: &[u16]) {
    let image = Arc::new(busy().verify().expect("the image is valid"));
    let mut kernel = ProtocolMachineKernel::new(config(policy));
    kernel.load(&image);
    let mut spec = Spec {
        policy,
        queue: Vec::new(),
    };
    for choice in [60, 60].iter().chain(choices) {
        let before = kernel.clone();
        let of = usize::from(*choice >> 6);
        let effects = outstanding(&before);
        match choice & 63 {
            60 => open(&mut kernel, &image, &mut spec),
            61 => {
                let session = SessionId((of % before.sessions().len()) as u32);
                let _ = kernel.ingress(
                    Ingress::Cancel {
                        session,
                        owner: Arc::from("me"),
                    },
                    &mut NoSink,
                );
                spec.ended(&kernel);
            }
            n @ 54..=59 => {
                let ticks = u64::from(n - 54);
                kernel
                    .ingress(Ingress::AdvanceClock { ticks }, &mut NoSink)
                    .expect("the clock does not overflow");
                let due = |d: &Option<u64>| d.is_some_and(|d| d <= kernel.clock());
                let due = effects.iter().filter(|e| due(&e.0)).map(|e| e.1);
                let due: Vec<_> = due.collect();
                spec.resumed(&before, &kernel, &due);
            }
            n @ 40..=53 if !effects.is_empty() => {
                let effect = effects[of % effects.len()].1;
                let outcome = match n {
                    40..=42 => Outcome::failure(FailureKind::Unavailable, "not now"),
                    43 => Outcome::failure(FailureKind::Denied, "no"),
                    44 => Outcome::done(),
                    _ => Outcome::success(7u64),
                };
                kernel
                    .ingress(Ingress::Outcome { effect, outcome }, &mut NoSink)
                    .expect("the effect is outstanding");
                spec.resumed(&before, &kernel, &[effect]);
            }
            _ => {
                let turn = kernel.step(&mut NoSink);
                spec.step(&before, &kernel, &turn);
            }
        }
        assert_eq!(kernel.ready(), spec.queue, "{policy:?} after {choice}");
        let effects = outstanding(&kernel);
        assert_eq!(kernel.outstanding(), effects.len());
        assert_eq!(
            kernel.next_deadline(),
            effects.iter().filter_map(|e| e.0).min()
        );
        kernel.check().expect("every invariant holds");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// For any inputs at any time, the queue, the pick and the next deadline match the
    /// specification.
    #[test]
    fn the_queue_matches_its_specification(
        choices in proptest::collection::vec(any::<u16>(), 0..160),
    ) {
        for policy in SchedulingPolicy::ALL {
            compare(policy, &choices);
        }
    }
}

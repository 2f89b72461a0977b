//! Any image: it is rejected, or it runs without a panic and every invariant holds.
//!
//! The input consists of an image, which is also the entropy of the run, and edits of its tree, so
//! that mutation can get past the deterministic form: `count, count * (where, what), image`.
#![no_main]

#[path = "../edit.rs"]
mod edit;

use std::sync::Arc;

use antiphon_codec::{Limits, decode_strict};
use antiphon_machine::invariants::Watch;
use antiphon_machine::{
    Canonical, Class, CodeImage, EffectHandler, EffectId, EffectRequest, Event, FailureKind, Fault,
    Ingress, Observation, Outcome, ProtocolMachine, ProtocolMachineConfig, Reply, Rest,
    SchedulingPolicy, SessionId, Sink, Sort, SortId, Value, VerifiedImage,
};
use libfuzzer_sys::fuzz_target;

/// The maximum number of steps of a run. Images of the sizes that fuzzing reaches loop or end long
/// before that.
const STEPS_MAX: u64 = 600;
/// How often a waiting run gets an answer.
const ANSWERS_MAX: usize = 64;

fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (edits, bytes) = rest.split_at(rest.len().min(2 * usize::from(*count % 8)));
    let bytes = edited(bytes, edits);
    let Ok(image) = CodeImage::from_bytes(&bytes, CodeImage::LIMITS) else {
        return;
    };
    assert_eq!(
        image.to_bytes(),
        bytes,
        "encoding an accepted image gives its bytes"
    );
    // Without verification the machine must not panic; with it, faults caused by the image must not
    // happen.
    run(
        Arc::new(VerifiedImage::unchecked(image.clone())),
        &bytes,
        false,
    );
    if let Ok(verified) = image.verify() {
        run(Arc::new(verified), &bytes, true);
    }
});

/// The image with some of its parts replaced; unchanged when it is not valid CBOR.
fn edited(bytes: &[u8], edits: &[u8]) -> Vec<u8> {
    let limits = Limits {
        bytes_len: 1 << 16,
        items: 1 << 14,
        ..Limits::default()
    };
    let Ok(mut tree) = decode_strict(bytes, &limits) else {
        return bytes.to_vec();
    };
    for change in edits.chunks_exact(2) {
        edit::edit(&mut tree, change[0], change[1]);
    }
    tree.try_encode().unwrap_or_else(|_| bytes.to_vec())
}

fn run(image: Arc<VerifiedImage>, entropy: &[u8], verified: bool) {
    let policy = SchedulingPolicy::ALL[usize::from(entropy.len() as u8) % 4];
    let config = ProtocolMachineConfig {
        policy,
        buffer_len_max: 2,
        coroutines_max: 8,
        effect_budget: Some(50),
        ..ProtocolMachineConfig::default()
    };
    let world = World {
        dice: Dice::new(entropy),
        later: Vec::new(),
    };
    let sink = Observer {
        watch: Watch::default(),
        faults: Vec::new(),
    };
    let mut machine = ProtocolMachine::with_sink(config, world, sink);
    for _ in 0..2 {
        if machine.load_choreography(&image, "owner").is_err() {
            break;
        }
    }
    for _ in 0..ANSWERS_MAX {
        match machine.run(STEPS_MAX / 2) {
            Some(Rest::Idle) => answer(&mut machine),
            Some(Rest::Done | Rest::Stuck(_)) | None => break,
        }
    }
    let _ = machine.ingress(Ingress::Cancel {
        session: SessionId(1),
        owner: Arc::from("owner"),
    });
    machine.run(STEPS_MAX);
    let _ = machine.kernel().state_digest();
    if verified {
        machine
            .kernel()
            .check()
            .expect("every invariant of a state holds");
        assert_eq!(
            machine.sink().watch.verdict(),
            None,
            "every invariant of a history holds"
        );
        for fault in &machine.sink().faults {
            assert!(
                !is_of_the_image(fault),
                "a verified image caused a fault: {fault}"
            );
        }
    }
}

/// Faults that verification excludes, whatever the host and the other roles do.
fn is_of_the_image(fault: &Fault) -> bool {
    match fault {
        Fault::OutOfRegisters { .. }
        | Fault::PcOutOfBounds { .. }
        | Fault::NoSuchRow { .. }
        | Fault::NotAnEndpoint { .. }
        | Fault::NotHolder { .. }
        | Fault::WrongState { .. }
        | Fault::WrongLabel { .. }
        | Fault::SelectorOutside { .. }
        | Fault::NoSuchBranch { .. }
        | Fault::NotANumber { .. }
        | Fault::WrongOperation
        | Fault::EndpointOpen { .. } => true,
        // Roles that do not fit together cause these faults; only the language checks all roles
        // together.
        Fault::UnexpectedMessage { .. }
        | Fault::WrongSort { .. }
        | Fault::EdgeNotEmpty { .. }
        | Fault::PayloadTooLarge { .. }
        | Fault::CoroutineBound { .. }
        | Fault::EffectFailed { .. } => false,
    }
}

/// Passes in a deferred outcome, first in time and then a second time; without one, advances the
/// clock.
fn answer(machine: &mut ProtocolMachine<World, Observer>) {
    if let Some((effect, outcome)) = machine.handler().later.pop() {
        let input = Ingress::Outcome { effect, outcome };
        let _ = machine.ingress(input.clone());
        assert!(
            machine.ingress(input).is_err(),
            "an effect cannot end twice"
        );
    } else {
        let _ = machine.ingress(Ingress::AdvanceClock { ticks: 20 });
    }
}

/// Repeats the bytes of the input, changed a little in each round.
struct Dice {
    bytes: Vec<u8>,
    thrown: usize,
}

impl Dice {
    fn new(bytes: &[u8]) -> Dice {
        Dice {
            bytes: bytes.iter().rev().copied().take(256).collect(),
            thrown: 0,
        }
    }

    fn throw(&mut self) -> u8 {
        let len = self.bytes.len().max(1);
        let byte = self.bytes.get(self.thrown % len).copied().unwrap_or(0);
        let round = (self.thrown / len) as u8;
        self.thrown += 1;
        byte.wrapping_mul(167).wrapping_add(round.wrapping_mul(13))
    }
}

/// A handler with arbitrary answers, mostly of the requested sort.
struct World {
    dice: Dice,
    later: Vec<(EffectId, Outcome)>,
}

impl EffectHandler for World {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let throw = self.dice.throw();
        let outcome = match throw % 16 {
            0 => {
                let kind = FailureKind::ALL[usize::from(self.dice.throw()) % 10];
                Outcome::failure(kind, "the world says no")
            }
            1 => Outcome::Success(Value::Nat(u64::from(throw))),
            _ => Outcome::Success(self.answer(request)),
        };
        if throw % 16 == 2 {
            self.later.push((request.effect(), outcome));
            return Reply::Later;
        }
        Reply::Now(outcome)
    }
}

impl World {
    fn answer(&mut self, request: &EffectRequest<'_>) -> Value {
        if let Class::Decide { labels, .. } = request.class()
            && let Some(label) = labels.get(usize::from(self.dice.throw()) % labels.len().max(1))
        {
            return Value::Nat(u64::from(label.0));
        }
        self.value(request.result_sort(), &request.image().image().sorts, 0)
    }

    /// A value of the sort, as far as the table of sorts is valid.
    fn value(&mut self, sort: SortId, sorts: &[Sort], depth: u8) -> Value {
        let throw = self.dice.throw();
        let Some(sort) = sorts.get(sort.index()).filter(|_| depth < 6) else {
            return Value::Unit;
        };
        match sort {
            Sort::Unit => Value::Unit,
            Sort::Bool => Value::Bool(throw & 1 == 1),
            Sort::Nat => Value::Nat(u64::from(throw)),
            Sort::Int => Value::Int(i64::from(throw) - 128),
            Sort::Text => Value::text(&"t".repeat(usize::from(throw % 5))),
            Sort::Bytes | Sort::Foreign { .. } => {
                Value::bytes(&vec![throw; usize::from(throw % 9)])
            }
            Sort::List(item) => Value::list(
                (0..throw % 3)
                    .map(|_| self.value(*item, sorts, depth + 1))
                    .collect(),
            ),
            Sort::Option(item) => {
                Value::option((throw & 1 == 1).then(|| self.value(*item, sorts, depth + 1)))
            }
            Sort::Record { fields, .. } => {
                let fields = fields.iter().take(8);
                Value::record(
                    fields
                        .map(|(_, sort)| self.value(*sort, sorts, depth + 1))
                        .collect(),
                )
            }
            Sort::Enum { variants, .. } => {
                Value::Nat(u64::from(throw) % (variants.len().max(1) as u64))
            }
            Sort::Arm(labels) => {
                let label = labels.get(usize::from(throw) % labels.len().max(1));
                Value::Nat(label.map_or(0, |label| u64::from(label.0)))
            }
        }
    }
}

/// Checks the invariants of the history, and collects faults.
struct Observer {
    watch: Watch,
    faults: Vec<Fault>,
}

impl Sink for Observer {
    fn observe(&mut self, observation: Observation<'_>) {
        if let Observation::Event { event, .. } = observation
            && let Event::Faulted { fault, .. } = event
        {
            self.faults.push(*fault);
        }
        self.watch.observe(observation);
    }
}

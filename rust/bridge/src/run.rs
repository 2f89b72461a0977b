//! The kernel's side of parity: runs a case, and records the full output of every action.

use antiphon_codec::Encoder;
use antiphon_machine::{
    Canonical, EffectId, EffectRequest, Ingress, Instruction, Job, ObsEvent, OperationId, Pc,
    Phase, Pick, ProgramId, ProtocolMachineKernel, Refusal, Rest, Resumed, RoleId, Step, Taken,
    Turn, Value, WaveBuffers, WaveCertificate,
};

use crate::case::{Action, Case};

/// The output of one action: everything that is compared, and the instruction for the coverage
/// counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionOut {
    /// The result.
    pub result: ActionResult,
    /// The events, in order.
    pub events: Vec<ObsEvent>,
    /// The request of the effect that a step issued, or that an outcome reissued.
    pub request: Option<Request>,
    /// The canonical bytes of the whole machine afterwards.
    pub state: Vec<u8>,
    /// The number of the instruction that was stepped. `None` if no step was taken, or control had
    /// left the program. It is not part of the bytes.
    pub instruction: Option<usize>,
}

/// The result of an action, without its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionResult {
    /// A step was taken.
    Stepped(Pick, Step),
    /// No coroutine was ready.
    Rested(Rest),
    /// The input was accepted.
    Taken(Taken),
    /// The input was refused.
    Refused(Refusal),
    /// A wave was run.
    Round(Wave),
    /// The picked coroutine is not ready; nothing has changed.
    NotReady,
    /// A round of width 0 was refused; nothing has changed.
    NoWidth,
}

/// A wave that was run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wave {
    /// The coroutine of each step, in order.
    pub picks: Vec<Pick>,
    /// Whether the certificate failed the check, and one turn was taken in its place.
    pub fell_back: bool,
}

/// A copy of a request, as the handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `EffectRequest`")]
pub struct Request {
    pub effect: EffectId,
    pub role: Option<RoleId>,
    pub operation: OperationId,
    pub deadline: Option<u64>,
    pub attempt: u8,
    pub args: Vec<Value>,
}

/// A machine that runs a case.
#[derive(Clone, Debug)]
pub struct Runner {
    kernel: ProtocolMachineKernel,
    buffers: WaveBuffers,
}

/// Runs a whole case on this thread.
pub fn run(case: &Case) -> Vec<ActionOut> {
    run_by(case, |_| {})
}

/// Runs a whole case. `jobs` runs the jobs of each wave; this thread runs the jobs that `jobs`
/// leaves out.
pub fn run_by(case: &Case, mut jobs: impl FnMut(&mut [Job<'_>])) -> Vec<ActionOut> {
    let mut runner = Runner::new(case);
    let act = |action: &Action| runner.act_by(action, &mut jobs);
    case.actions.iter().map(act).collect()
}

/// The bytes of a case's output.
pub fn encode(outs: &[ActionOut]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).array(outs.len());
    for out in outs {
        out.encode(&mut Encoder::new(&mut bytes));
    }
    bytes
}

impl Runner {
    /// A machine with the case's configuration and images, before the first action.
    pub fn new(case: &Case) -> Runner {
        let mut kernel = ProtocolMachineKernel::new(case.config.clone());
        for image in &case.images {
            kernel.load(image);
        }
        let buffers = WaveBuffers::default();
        Runner { kernel, buffers }
    }

    /// The kernel.
    pub fn kernel(&self) -> &ProtocolMachineKernel {
        &self.kernel
    }

    /// Does an action on this thread.
    pub fn act(&mut self, action: &Action) -> ActionOut {
        self.act_by(action, &mut |_: &mut [Job<'_>]| {})
    }

    fn act_by(&mut self, action: &Action, jobs: &mut impl FnMut(&mut [Job<'_>])) -> ActionOut {
        match action {
            Action::Turn => self.turn(),
            Action::Input(input) => self.input(input.clone()),
            Action::Pick(pick) => self.pick(*pick),
            Action::Round { width: 0, .. } => self.out(ActionResult::NoWidth, Vec::new(), None),
            Action::Round { width, quantum } => {
                let certificate = self.kernel.plan(*width, *quantum);
                if certificate.picks.is_empty() {
                    self.turn()
                } else {
                    self.wave(&certificate, jobs)
                }
            }
            Action::Wave(certificate) => self.wave(certificate, jobs),
        }
    }

    fn wave(
        &mut self,
        certificate: &WaveCertificate,
        jobs: &mut impl FnMut(&mut [Job<'_>]),
    ) -> ActionOut {
        let mut events = Vec::new();
        let waved = self
            .kernel
            .wave(certificate, &mut self.buffers, &mut events, jobs);
        if waved.is_ok() {
            let wave = Wave {
                picks: self.buffers.steps().collect(),
                fell_back: false,
            };
            return self.out(ActionResult::Round(wave), events, None);
        }
        // If the certificate fails the check, one turn is taken, with a turn's request.
        let mut out = self.turn();
        if let ActionResult::Stepped(pick, _) = out.result {
            let (picks, fell_back) = (vec![pick], true);
            out.result = ActionResult::Round(Wave { picks, fell_back });
        }
        out
    }

    fn turn(&mut self) -> ActionOut {
        self.turns(1).0
    }

    /// Takes at most `steps_max` turns in one call, as a machine without a step sink does. Returns
    /// the output of the last turn with the events of all, and the number of turns.
    pub fn turns(&mut self, steps_max: u64) -> (ActionOut, u64) {
        let places = self.places();
        let mut events = Vec::new();
        let (turn, taken) = self.kernel.steps(steps_max, &mut events);
        (self.turned(turn, events, &places), taken)
    }

    fn pick(&mut self, pick: Pick) -> ActionOut {
        let places = self.places();
        let mut events = Vec::new();
        match self.kernel.step_pick(pick, &mut events) {
            Some(turn) => self.turned(turn, events, &places),
            None => self.out(ActionResult::NotReady, events, None),
        }
    }

    fn turned(&mut self, turn: Turn, events: Vec<ObsEvent>, places: &[Place]) -> ActionOut {
        match turn {
            Turn::Stepped { pick, step } => {
                let issued = match step {
                    Step::Effect(effect) => Some(effect),
                    _ => None,
                };
                let mut out = self.out(ActionResult::Stepped(pick, step), events, issued);
                let place = places.iter().find(|place| place.pick == pick);
                out.instruction = place.and_then(|place| self.instruction(place));
                out
            }
            Turn::Rest(rest) => self.out(ActionResult::Rested(rest), events, None),
        }
    }

    fn input(&mut self, input: Ingress) -> ActionOut {
        let mut events = Vec::new();
        match self.kernel.ingress(input, &mut events) {
            Ok(taken) => {
                let issued = match taken {
                    Taken::Resumed(Resumed::Reissued(effect)) => Some(effect),
                    _ => None,
                };
                self.out(ActionResult::Taken(taken), events, issued)
            }
            Err(refusal) => self.out(ActionResult::Refused(refusal), events, None),
        }
    }

    fn out(
        &self,
        result: ActionResult,
        events: Vec<ObsEvent>,
        issued: Option<EffectId>,
    ) -> ActionOut {
        let request = issued.and_then(|effect| self.kernel.request(effect));
        let request = request.map(|request| Request::of(&request));
        ActionOut {
            result,
            events,
            request,
            state: self.kernel.state_bytes(),
            instruction: None,
        }
    }

    /// The program and pc of every ready coroutine.
    fn places(&self) -> Vec<Place> {
        let place = |pick: Pick| {
            let session = self.kernel.session(pick.session)?;
            debug_assert_eq!(
                session.phase(),
                Phase::Active,
                "only active sessions have ready coroutines"
            );
            let coroutine = session.coroutines().get(pick.coroutine.index())?;
            let (program, pc) = (coroutine.program, coroutine.pc);
            Some(Place { pick, program, pc })
        };
        self.kernel.ready().into_iter().filter_map(place).collect()
    }

    fn instruction(&self, place: &Place) -> Option<usize> {
        let session = self.kernel.session(place.pick.session)?;
        let programs = &self.kernel.image(session).image().programs;
        let code = &programs.get(place.program.index())?.code;
        code.get(place.pc.index()).map(Instruction::number)
    }
}

struct Place {
    pick: Pick,
    program: ProgramId,
    pc: Pc,
}

impl ActionOut {
    /// Appends the bytes that are compared.
    pub fn encode(&self, out: &mut Encoder<'_>) {
        out.array(4);
        self.result.encode(out);
        self.events.encode(out);
        match &self.request {
            Some(request) => request.encode(out),
            None => {
                out.null();
            }
        }
        out.raw(&self.state);
    }
}

impl ActionResult {
    fn encode(&self, out: &mut Encoder<'_>) {
        match self {
            ActionResult::Stepped(pick, step) => {
                out.array(3).uint(0);
                pick.encode(out);
                step.encode(out);
            }
            ActionResult::Rested(rest) => {
                out.array(2).uint(1);
                rest.encode(out);
            }
            ActionResult::Taken(taken) => {
                out.array(2).uint(2);
                taken.encode(out);
            }
            ActionResult::Refused(refusal) => {
                out.array(2).uint(3);
                refusal.encode(out);
            }
            ActionResult::Round(wave) => {
                out.array(3).uint(4);
                wave.picks.encode(out);
                out.bool(wave.fell_back);
            }
            ActionResult::NotReady => {
                out.array(1).uint(5);
            }
            ActionResult::NoWidth => {
                out.array(1).uint(6);
            }
        }
    }
}

impl Request {
    /// Copies a request.
    pub fn of(request: &EffectRequest<'_>) -> Request {
        Request {
            effect: request.effect(),
            role: request.role(),
            operation: request.operation_id(),
            deadline: request.deadline(),
            attempt: request.attempt(),
            args: request.args().cloned().collect(),
        }
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        out.array(6);
        self.effect.encode(out);
        self.role.encode(out);
        self.operation.encode(out);
        self.deadline.encode(out);
        self.attempt.encode(out);
        self.args.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_machine::{CoroutineId, ProtocolMachineConfig, SessionId, sample};

    /// A case with every kind of action. Its output, which the model must write too, is pinned by
    /// hand.
    #[test]
    fn every_result_has_its_canonical_bytes() {
        let image = sample::bare_ping_pong();
        let digest = *image.digest();
        let config = ProtocolMachineConfig::default();
        let mut case = Case::new("results", [image.image().clone()], config);
        let pick = |coroutine| Pick {
            session: SessionId(0),
            coroutine: CoroutineId(coroutine),
        };
        let owner = std::sync::Arc::from("me");
        case.actions = vec![
            Action::Turn,
            Action::Input(Ingress::Open {
                image: digest,
                owner,
            }),
            Action::Pick(pick(1)),
            Action::Pick(pick(1)),
            Action::Input(Ingress::AdvanceClock { ticks: 3 }),
            Action::Input(Ingress::Open {
                image: [0; 32],
                owner: std::sync::Arc::from(""),
            }),
            Action::Round {
                width: 0,
                quantum: 1,
            },
            Action::Round {
                width: 2,
                quantum: 1,
            },
        ];
        let outs = run(&case);
        let result = |n: usize| {
            let mut bytes = Vec::new();
            outs[n].result.encode(&mut Encoder::new(&mut bytes));
            bytes
        };
        assert_eq!(result(0), [0x82, 1, 0x81, 1], "rested: done");
        assert_eq!(result(1), [0x82, 2, 0x82, 0, 0], "opened session 0");
        let blocked = [0x83, 0, 0x82, 0, 1, 0x82, 2, 0x82, 0, 0];
        assert_eq!(result(2), blocked, "stepped, blocked on empty edge 0");
        assert_eq!(outs[2].instruction, Some(1));
        assert_eq!(result(3), [0x81, 5], "not ready");
        assert_eq!(outs[3].state, outs[2].state, "and nothing changed");
        assert_eq!(result(4), [0x82, 2, 0x82, 2, 0], "advanced");
        assert_eq!(result(5), [0x82, 3, 0x81, 5], "no such image");
        assert_eq!(result(6), [0x81, 6], "no width");
        let round = [0x83, 4, 0x81, 0x82, 0, 0, 0xf4];
        assert_eq!(result(7), round);

        let bytes = encode(&outs);
        assert_eq!(bytes[..1], [0x88]);
        let first = [&[0x84, 0x82, 1, 0x81, 1, 0x80, 0xf6][..], &outs[0].state].concat();
        assert_eq!(bytes[1..1 + first.len()], first);
    }
}

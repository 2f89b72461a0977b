module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner
public import Runtime.ProtocolMachine.Codec.State

@[expose] public section

/-!
# Recordings

A recording lists what entered a machine and what the machine requested. It does not list turns: an
entry has the number of steps before it, so the turns between two entries follow. It lists a wave as
its picks: the certificate follows from the machine. `compress` records a list of actions, `expand`
returns the actions of a recording. The Rust code is in `rust/record`: `recorder.rs` writes and
`replay/player.rs` reads. The chain of digests around the entries is not modelled, nor is the
comparison of a checkpoint's two digests.
-/

namespace Antiphon

/-- The digests of a run up to a step. The two digests are opaque: the model has no BLAKE3. -/
structure Checkpoint where
  step : Nat
  clock : Nat
  state : Option Bytes
  trace : Option Bytes

/-- An entry of a recording. Header and images are the fields of `RecordedRun`. -/
inductive RecordedEntry where
  /-- A request that was put to the handler. `step` counts the steps before it. -/
  | request (step : Nat) (request : EffectRequest)
  /-- The outcome of the request before it, which the handler returned at once. -/
  | answer (outcome : Outcome)
  /-- An input, with the number of steps before it. -/
  | input (step : Nat) (ingress : Ingress)
  /-- The machine refused the input or the answer before it. -/
  | refused (refusal : Refusal)
  | checkpoint (point : Checkpoint)
  /-- A wave, with the number of steps before it: each pick with its quantum. -/
  | wave (step : Nat) (picks : List (Pick × Nat))

/-- The state in which a recorded machine was left. -/
inductive Stop where
  | running | idle | done | stuck
deriving DecidableEq

/-- A finished recording: the setup, the entries, and how the recorded machine was left. -/
structure RecordedRun where
  config : ProtocolMachineConfig
  images : List Loaded
  entries : List RecordedEntry
  stop : Stop
  last : Checkpoint

/-! ## Replay -/

/-- A machine that replays a recording. `pending` has the effects whose requests are the next
entries. `answerable` is the effect of the request before the next entry. `refused` is a refusal
that the next entry must confirm. `actions` has the actions so far, the last one first. -/
structure Replayer where
  machine : Machine
  pending : List EffectId
  answerable : Option EffectId
  refused : Option Refusal
  actions : List Action

/-- A replay that starts on this machine. -/
def Replayer.start (m : Machine) : Replayer :=
  { machine := m, pending := [], answerable := none, refused := none, actions := [] }

/-- The effect that a step issued. -/
def issuedBy (session : Nat) : Step → List EffectId
  | .effect number => [{ session, number }]
  | _ => []

/-- The effects that a list of steps issued, before `tail`. -/
def issuedBySteps : List Micro → List EffectId → List EffectId
  | [], tail => tail
  | μ :: μs, tail => match μ.step with
    | .effect number => { session := μ.pick.session, number } :: issuedBySteps μs tail
    | _ => issuedBySteps μs tail

/-- The effects that a wave issues, in the order of its picks. -/
def issuedByWave (m : Machine) : List WavePick → List EffectId
  | [] => []
  | w :: ws => issuedBySteps (m.runPick w) (issuedByWave m ws)

/-- Takes a turn; `none` if no coroutine is ready or the recording must have an entry first. -/
def Replayer.turn (s : Replayer) : Option Replayer :=
  match s.refused, s.pending with
  | none, [] =>
    let acted := s.machine.act .turn
    match acted.shown.result with
    | .stepped p step => some {
        machine := acted.machine, pending := issuedBy p.session step, answerable := none,
        refused := none, actions := .turn :: s.actions }
    | _ => none
  | _, _ => none

/-- Takes turns, at most `n`. -/
def Replayer.turns : Nat → Replayer → Replayer
  | 0, s => s
  | n + 1, s => match s.turn with
    | none => s
    | some s => Replayer.turns n s

/-- Takes the turns before an entry that has `step` steps before it; `none` if the machine does not
reach this step. -/
def Replayer.reach (s : Replayer) (step : Nat) : Option Replayer :=
  let s := s.turns (step - s.machine.stepIndex)
  match Nat.beq s.machine.stepIndex step with
  | true => some s
  | false => none

/-- As `reach`; `none` also if a request must be the next entry. -/
def Replayer.reachAsked (s : Replayer) (step : Nat) : Option Replayer :=
  match s.reach step with
  | none => none
  | some s => match s.pending with
    | [] => some s
    | _ :: _ => none

/-- Applies an input. A repeated request is the next entry. -/
def Replayer.input (s : Replayer) (ingress : Ingress) : Replayer :=
  let acted := s.machine.act (.input ingress)
  { machine := acted.machine
    pending := match acted.shown.result with
      | .taken (.resumed session (.reissued number)) => { session, number } :: s.pending
      | _ => s.pending
    answerable := none
    refused := match acted.shown.result with
      | .refused refusal => some refusal
      | _ => none
    actions := .input ingress :: s.actions }

/-- The picks of a wave that is claimed again, each with its own lane, from `lane` on. -/
def Machine.claimFrom (m : Machine) (lane : Nat) : List (Pick × Nat) → List WavePick
  | [] => []
  | p :: ps => { pick := p.1, lane, quantum := p.2, footprint := m.footprintOf p.1 } ::
      m.claimFrom (lane + 1) ps

/-- The certificate of these picks on the machine as it is. It models
`ProtocolMachineKernel::claim`. -/
def Machine.claim (m : Machine) (picks : List (Pick × Nat)) : WaveCertificate :=
  { stepIndex := m.stepIndex, queue := m.queue, picks := m.claimFrom 0 picks }

/-- Runs a wave; `none` if the checker rejects its certificate. -/
def Replayer.wave (s : Replayer) (c : WaveCertificate) : Option Replayer :=
  match s.machine.checkWave c with
  | false => none
  | true => some {
      machine := (s.machine.act (.wave c)).machine, pending := issuedByWave s.machine c.picks,
      answerable := none, refused := none, actions := .wave c :: s.actions }

/-- Reaches a checkpoint's step and compares the clock. -/
def Replayer.pass (s : Replayer) (point : Checkpoint) : Option Replayer :=
  match s.reachAsked point.step with
  | none => none
  | some s => match Nat.beq s.machine.clock point.clock with
    | true => some { s with answerable := none }
    | false => none

/-- Confirms a refusal. -/
def Replayer.confirm (s : Replayer) (refusal : Refusal) : RecordedEntry → Option Replayer
  | .refused recorded => match decide (recorded = refusal) with
    | true => some { s with refused := none }
    | false => none
  | _ => none

/-- Compares a request with the machine's, by their bytes. -/
def Replayer.request (s : Replayer) (recorded : EffectRequest) : Option Replayer :=
  match s.pending with
  | [] => none
  | e :: rest => match s.machine.request e with
    | none => none
    | some request => match sameBytes (encRequest recorded []) (encRequest request []) with
      | true => some { s with pending := rest, answerable := some e }
      | false => none

/-- Plays an entry; `none` if it cannot come next. -/
def Replayer.play (s : Replayer) (entry : RecordedEntry) : Option Replayer :=
  match s.refused with
  | some refusal => s.confirm refusal entry
  | none => match entry with
    | .request step request => match s.reach step with
      | none => none
      | some s => s.request request
    | .answer outcome => match s.answerable with
      | none => none
      | some e => some (s.input (.outcome e outcome))
    | .input step ingress => match s.reachAsked step with
      | none => none
      | some s => some (s.input ingress)
    | .refused _ => none
    | .checkpoint point => s.pass point
    | .wave step picks => match s.reachAsked step with
      | none => none
      | some s => s.wave (s.machine.claim picks)

/-- Plays entries one after another. -/
def Replayer.playAll (s : Replayer) : List RecordedEntry → Option Replayer
  | [] => some s
  | x :: xs => match s.play x with
    | none => none
    | some s => Replayer.playAll s xs

/-- The state in which a machine is left. It models `stop_of` in `rust/record`. -/
def Machine.stop (m : Machine) : Stop :=
  match m.queue with
  | _ :: _ => .running
  | [] => match m.rest with
    | .idle => .idle
    | .done => .done
    | .stuck _ => .stuck

/-- Compares the end of a recording. -/
def Replayer.finish (s : Replayer) (stop : Stop) (last : Checkpoint) : Option Replayer :=
  match s.refused with
  | some _ => none
  | none => match s.pass last with
    | none => none
    | some s => match decide (s.machine.stop = stop) with
      | true => some s
      | false => none

/-- Actions in reverse order, before `tail`. -/
def actionsOnto : List Action → List Action → List Action
  | [], tail => tail
  | a :: as, tail => actionsOnto as (a :: tail)

/-- The machine on which a recorded run starts. -/
def RecordedRun.machine (r : RecordedRun) : Machine := Machine.new r.config r.images

/-- The actions of a recording; `none` if its entries are not those of a run that starts on its
machine. -/
@[noinline] def expand (r : RecordedRun) : Option (List Action) :=
  match (Replayer.start r.machine).playAll r.entries with
  | none => none
  | some s => match s.finish r.stop r.last with
    | none => none
    | some s => some (actionsOnto s.actions [])

/-! ## Recording -/

/-- A recorder: the replay of its entries so far, and the entries, the last one first. -/
structure Recorder where
  now : Replayer
  entries : List RecordedEntry

/-- Writes an entry. -/
def Recorder.write (w : Recorder) (entry : RecordedEntry) : Option Recorder :=
  match w.now.play entry with
  | none => none
  | some s => some { now := s, entries := entry :: w.entries }

/-- Writes the request of an effect. -/
def Recorder.ask (w : Recorder) (e : EffectId) : Option Recorder :=
  match w.now.machine.request e with
  | none => none
  | some request => w.write (.request w.now.machine.stepIndex request)

/-- Writes the requests of effects. -/
def Recorder.askAll : List EffectId → Recorder → Option Recorder
  | [], w => some w
  | e :: es, w => match w.ask e with
    | none => none
    | some w => Recorder.askAll es w

/-- Whether two effects are the same. -/
def sameEffect (a b : EffectId) : Bool :=
  match Nat.beq a.session b.session with
  | true => Nat.beq a.number b.number
  | false => false

/-- Writes the requests of effects up to the effect `to`. -/
def Recorder.askTo (to : EffectId) : List EffectId → Recorder → Option Recorder
  | [], _ => none
  | e :: es, w => match w.ask e with
    | none => none
    | some w => match sameEffect e to with
      | true => some w
      | false => Recorder.askTo to es w

/-- What a recorder adds to a run: whether it writes a checkpoint in this state of the machine, and
the digests in it. -/
abbrev Checkpoints := Machine → Option (Option Bytes × Option Bytes)

/-- Writes the requests that are not written yet, and then a checkpoint if one is due. -/
def Recorder.pause (due : Checkpoints) (w : Recorder) : Option Recorder :=
  match Recorder.askAll w.now.pending w with
  | none => none
  | some w => match due w.now.machine with
    | none => some w
    | some digests => w.write (.checkpoint {
        step := w.now.machine.stepIndex, clock := w.now.machine.clock,
        state := digests.1, trace := digests.2 })

/-- Writes the refusal of the input before it, if the machine refused it. -/
def Recorder.confirm (w : Recorder) : Option Recorder :=
  match w.now.refused with
  | none => some w
  | some refusal => w.write (.refused refusal)

/-- Writes an entry with an input and, if the machine refuses the input, the refusal. -/
def Recorder.writeInput (w : Recorder) (entry : RecordedEntry) : Option Recorder :=
  match w.write entry with
  | none => none
  | some w => w.confirm

/-- Records an input that does not answer a request at once. -/
def Recorder.input (due : Checkpoints) (w : Recorder) (ingress : Ingress) : Option Recorder :=
  match w.pause due with
  | none => none
  | some w => w.writeInput (.input w.now.machine.stepIndex ingress)

/-- Records the outcome of a request that is not written yet as its answer. -/
def Recorder.answer (w : Recorder) (e : EffectId) (outcome : Outcome) : Option Recorder :=
  match Recorder.askTo e w.now.pending w with
  | none => none
  | some w => w.writeInput (.answer outcome)

/-- The picks of a certificate with their quanta. -/
def quantaOf : List WavePick → List (Pick × Nat)
  | [] => []
  | w :: ws => (w.pick, w.quantum) :: quantaOf ws

/-- Whether two lists of picks are equal. -/
def samePicks : List WavePick → List WavePick → Bool
  | [], [] => true
  | a :: as, b :: bs => samePick a.pick b.pick && (Nat.beq a.lane b.lane && (Nat.beq a.quantum b.quantum &&
      (sameKeys a.footprint b.footprint && samePicks as bs)))
  | _, _ => false

/-- Whether two certificates are equal. -/
def sameCertificate (a b : WaveCertificate) : Bool :=
  Nat.beq a.stepIndex b.stepIndex && (sameQueue a.queue b.queue && samePicks a.picks b.picks)

/-- Records a wave, if its certificate is the one that its picks have on the machine. -/
def Recorder.wave (due : Checkpoints) (w : Recorder) (c : WaveCertificate) : Option Recorder :=
  match w.pause due with
  | none => none
  | some w => match sameCertificate (w.now.machine.claim (quantaOf c.picks)) c with
    | true => w.write (.wave w.now.machine.stepIndex (quantaOf c.picks))
    | false => none

/-- Records a turn, which has no entry of its own. -/
def Recorder.turn (due : Checkpoints) (w : Recorder) : Option Recorder :=
  match w.pause due with
  | none => none
  | some w => match w.now.turn with
    | none => none
    | some s => some { w with now := s }

/-- Records an action. A pick of the caller and a round are refused: a driver's steps follow the
policy, and a round is a wave of its plan or a turn. -/
def Recorder.act (due : Checkpoints) (w : Recorder) : Action → Option Recorder
  | .turn => w.turn due
  | .input ingress => match ingress with
    | .outcome e outcome => match some? (fun x => sameEffect x e) w.now.pending with
      | true => w.answer e outcome
      | false => w.input due (.outcome e outcome)
    | _ => w.input due ingress
  | .wave c => w.wave due c
  | .pick _ => none
  | .round _ _ => none

/-- Records actions. -/
def Recorder.actAll (due : Checkpoints) (w : Recorder) : List Action → Option Recorder
  | [] => some w
  | a :: as => match w.act due a with
    | none => none
    | some w => Recorder.actAll due w as

/-- Entries in reverse order, before `tail`. -/
def entriesOnto : List RecordedEntry → List RecordedEntry → List RecordedEntry
  | [], tail => tail
  | x :: xs, tail => entriesOnto xs (x :: tail)

/-- The recording of a run: the actions on a new machine. `digests` are those at its end. The result
is `none` if the actions do not have the form that a driver produces: turns that step, waves that
the checker accepts and whose certificate is that of their picks, and inputs, accepted or
refused. -/
@[noinline] def compress (due : Checkpoints) (digests : Option Bytes × Option Bytes)
    (config : ProtocolMachineConfig) (images : List Loaded) (actions : List Action) :
    Option RecordedRun :=
  match Recorder.actAll due { now := Replayer.start (Machine.new config images), entries := [] } actions with
  | none => none
  | some w => match Recorder.askAll w.now.pending w with
    | none => none
    | some w =>
      let stop := w.now.machine.stop
      let last := { step := w.now.machine.stepIndex, clock := w.now.machine.clock,
                    state := digests.1, trace := digests.2 : Checkpoint }
      match w.now.finish stop last with
      | none => none
      | some _ => some { config, images, entries := entriesOnto w.entries [], stop, last }

end Antiphon

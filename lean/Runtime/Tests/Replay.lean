module

public import Runtime.Proofs.Replay

@[expose] public section

/-!
# Tests of the theorems on replay

A run in which the machine issues requests, and faulty replays that each break a theorem of
`Proofs/Replay.lean`.
-/

namespace Antiphon.Tests.Replay

/-- An image with one role that issues one effect and halts. -/
def image : CodeImage where
  name := []
  version := 0
  roles := [{ name := [], states := [.done] }]
  labels := []
  sorts := [.unit]
  interfaces := []
  operations := [{ interface := 0, name := [], cls := .command, args := [], result := 0,
                   budget := none, retries := 1 }]
  programs := [{ name := [], registers := 1, code := [.invoke 0 [] 0 none, .halt] }]

def config : ProtocolMachineConfig where
  policy := .roundRobin
  priorities := []
  bufferMax := 1
  payloadMax := 64
  coroutinesMax := 4
  sessionsMax := 4
  witnessesMax := 4
  witnessTtl := 10
  effectBudget := none
  determinismMode := .full

def start : Driven :=
  { machine := Machine.new config [image.load []], events := [], asked := none }

/-- The driver opens a session and then takes turns. The first request fails as unavailable, the
second one succeeds. -/
def world : World where
  next
    | [] => .input (.open [] [])
    | _ => .turn
  answer _ q := match q.attempt with
    | 0 => some (.failure .unavailable [])
    | _ => some (.success .unit)

/-- The same driver in a world that never answers at once. -/
def slow : World := { world with answer := fun _ _ => none }

/-- The effect numbers of a recording's requests. -/
def requests : List Entry → List Nat
  | [] => []
  | .act _ :: es => requests es
  | .ask q _ :: es => q.effect.number :: requests es

/-- The run opens a session, issues a request that fails, repeats it, gets an answer and halts. Its
recording has both requests. -/
example : requests (world.live [] start 5).2 = [0, 1] := by decide

/-- The run has nine events. -/
example : (world.live [] start 5).1.events.length = 9 := by decide

/-- The hypothesis of `replay_faithful` holds for a recording with requests in it. -/
example : ∃ d', start.replay (world.live [] start 5).2 = some d' := ⟨_, replay_sound ..⟩

/-- The hypothesis of `replay_deterministic` holds for two different worlds. -/
example : (world.live [] start 2).2 = ((World.mk world.next fun _ _ => none).live [] start 2).2 := by rfl

/-! ## A replay that does not compare requests -/

def acceptsAny (d : Driven) : Entry → Bool
  | .act _ => match d.asked with
    | none => true
    | some _ => false
  | .ask _ _ => match d.asked with
    | none => false
    | some _ => true

def replayBlind (d : Driven) : List Entry → Option Driven
  | [] => some d
  | e :: es => match acceptsAny d e with
    | true => replayBlind (d.after e) es
    | false => none

/-- A request that the machine never issues. -/
def stranger : EffectRequest :=
  { effect := { session := 0, number := 7 }, role := none, operation := 0, deadline := none,
    attempt := 0, args := [] }

def forged : List Entry := [.act (.input (.open [] [])), .act .turn, .ask stranger none]

/-- A replay that does not compare requests accepts a recording with a request that the machine does
not issue. -/
theorem blind_takes_forged :
    ∃ d', replayBlind start forged = some d' ∧
      (recordedWorld forged).live [] start forged.length ≠ (d', forged) := by
  refine ⟨_, rfl, fun h => ?_⟩
  have := congrArg (fun r => requests r.2) h
  revert this
  decide

/-- The real replay rejects it. -/
example : start.replay forged = none := by rfl

/-! ## A replay that answers at once what the run answered later -/

def answerEagerly (d : Driven) (q : EffectRequest) : Option Outcome → Driven
  | none => d.answer q (some (.success .unit))
  | some outcome => d.answer q (some outcome)

def replayEager (d : Driven) : List Entry → Option Driven
  | [] => some d
  | e :: es => match d.accepts e, e with
    | true, .act a => replayEager (d.act a) es
    | true, .ask q answer => replayEager (answerEagerly d q answer) es
    | false, _ => none

/-- The number of ready coroutines after a replay. -/
def ready : Option Driven → Nat
  | none => 0
  | some d => len d.machine.queue

/-- It ends with another machine than the run. -/
theorem eager_not_sound :
    replayEager start (slow.live [] start 3).2 ≠ some (slow.live [] start 3).1 := by
  intro h
  have := congrArg ready h
  revert this
  decide

/-! ## A recording without answers -/

/-- A recording with its actions and requests but without the answers. -/
def withoutAnswers : List Entry → List Entry
  | [] => []
  | .act a :: es => .act a :: withoutAnswers es
  | .ask q _ :: es => .ask q none :: withoutAnswers es

/-- A recording without answers does not determine the run. -/
theorem answers_are_needed :
    withoutAnswers (world.live [] start 3).2 = withoutAnswers (slow.live [] start 3).2 ∧
      (world.live [] start 3).1 ≠ (slow.live [] start 3).1 := by
  refine ⟨rfl, fun h => ?_⟩
  have := congrArg (fun d : Driven => d.events.length) h
  revert this
  decide

end Antiphon.Tests.Replay

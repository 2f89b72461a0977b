module

public import Runtime.Proofs.Recording
public import Runtime.Tests.Replay

@[expose] public noncomputable section

/-!
# Tests of the theorems on recordings

A run with waves, requests, answers, refused inputs and turns that is recorded and expanded again,
actions that are not recorded, and changed recordings that are refused.
-/

namespace Antiphon.Tests.Recording

open Antiphon.Tests.Replay (image config)

def images : List Loaded := [image.load []]

/-- Opens two sessions. -/
def opened : List Action := [.input (.open [] []), .input (.open [] [])]

/-- The machine after some actions. -/
def after (actions : List Action) : Machine :=
  (Run.actAll { machine := Machine.new config images, events := [] } actions).machine

/-- A wave of both sessions, each with one step. -/
def certificate : WaveCertificate :=
  (after opened).claim [({ session := 0, coroutine := 0 }, 1), ({ session := 1, coroutine := 0 }, 1)]

/-- The first request fails and is repeated, and the second one is answered at once. The repeated
request is answered later, and an input is refused. -/
def actions : List Action := opened ++ [
  .wave certificate,
  .input (.outcome { session := 0, number := 0 } (.failure .unavailable [])),
  .input (.outcome { session := 1, number := 0 } (.success .unit)),
  .input (.outcome { session := 0, number := 1 } (.success .unit)),
  .input (.cancel 7 []), .turn, .turn]

/-- Without checkpoints. -/
def never : Checkpoints := fun _ => none

/-- The recording of actions. -/
def record (actions : List Action) : Option RecordedRun := compress never (none, none) config images actions

/-- The number that encodes the kind of an entry. -/
def kind : RecordedEntry → Nat
  | .request .. => 2 | .answer _ => 3 | .input .. => 4 | .refused _ => 5 | .checkpoint _ => 6
  | .wave .. => 9

/-- The run is recorded, and the recording has no entry for the two turns. -/
example : (record actions).map (fun r => r.entries.map kind) = some [4, 4, 9, 2, 3, 2, 2, 3, 4, 4, 5] := by
  decide +kernel

/-- The machine is left when both sessions have ended, after four steps. -/
example : (record actions).map (fun r => (r.stop, r.last.step)) = some (.done, 4) := by decide +kernel

/-- The hypothesis of `expand_compress` holds for this run. -/
example : ∃ r, record actions = some r ∧ expand r = some actions := by
  have some : (record actions).isSome = true := by decide +kernel
  obtain ⟨r, recorded⟩ := Option.isSome_iff_exists.mp some
  exact ⟨r, recorded, expand_compress recorded⟩

/-- With a checkpoint wherever one is possible the entries are others. -/
example : (compress (fun _ => some (none, none)) (none, none) config images [.input (.open [] []), .turn]).map
    (fun r => r.entries.map kind) = some [6, 4, 6, 2] := by decide +kernel

/-! ## Actions that are not recorded -/

/-- A turn that takes no step. -/
example : (record [.turn]).isNone = true := by decide +kernel

/-- A pick of the caller. -/
example : (record (opened ++ [.pick { session := 1, coroutine := 0 }])).isNone = true := by decide +kernel

/-- A round. -/
example : (record (opened ++ [.round 2 1])).isNone = true := by decide +kernel

/-- A wave whose certificate is accepted, but is not the one that its picks have. -/
example :
    let other := { certificate with picks := certificate.picks.map fun w => { w with lane := w.lane + 1 } }
    (after opened).checkWave other = true ∧ (record (opened ++ [.wave other])).isNone = true := by
  decide +kernel

/-! ## Changed recordings -/

/-- The actions of the run's recording after its entries are changed. -/
def changed (change : List RecordedEntry → List RecordedEntry) : Option (List Action) :=
  (record actions).bind fun r => expand { r with entries := change r.entries }

/-- Each of these entries is needed: a request, an answer, a refusal, a wave, an opening. -/
example : ([0, 2, 3, 4, 5, 6, 7, 8, 10].map fun n => (changed fun xs => xs.eraseIdx n).isNone) =
    List.replicate 9 true := by decide +kernel

/-- The step of a recorded wave, one too late. -/
def late : RecordedEntry → RecordedEntry
  | .wave step picks => .wave (step + 1) picks
  | x => x

/-- The replay takes a turn before the late wave, which then does not fit. -/
example : (changed fun xs => xs.map late).isNone = true := by decide +kernel

/-- A replay that takes no turns. -/
def playAllWithoutTurns (s : Replayer) : List RecordedEntry → Option Replayer
  | [] => some s
  | x :: xs => match s.machine.stepIndex, x with
    | now, .checkpoint p => if now = p.step then playAllWithoutTurns s xs else none
    | _, x => (s.play x).bind fun s => playAllWithoutTurns s xs

/-- A recording of turns is not expanded without turns: `expand_compress` fails for such a replay. -/
example :
    let last := { step := 4, clock := 0, state := none, trace := none : Checkpoint }
    let entries := ((record actions).map (fun r => r.entries ++ [.checkpoint last])).getD []
    ((Replayer.start (Machine.new config images)).playAll entries).isSome = true ∧
      (playAllWithoutTurns (Replayer.start (Machine.new config images)) entries).isNone = true := by
  decide +kernel

end Antiphon.Tests.Recording

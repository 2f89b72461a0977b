module

public import Runtime.Proofs.Schedule.Steps
public import Runtime.Tests.Concurrency

@[expose] public noncomputable section

/-!
# Tests of the theorems on schedules

Schedules for which the hypotheses hold, and functions that perform deeds but each break one
premise, or hypotheses left out, for which the statements fail.
-/

namespace Antiphon.ScheduleTests

open ConcurrencyTests

/-! ## Machines -/

/-- An image with one role that issues one effect and halts. -/
def asker : Loaded :=
  { digest := []
    image := {
      name := [], version := 0, roles := [{ name := [0], states := [.done] }], labels := [],
      sorts := [.unit], interfaces := []
      operations := [{ interface := 0, name := [], cls := .command, args := [], result := 0,
                       budget := none, retries := 0 }]
      programs := [{ name := [], registers := 1, code := [.invoke 0 [] 0 none, .halt] }] }
    edges := [] }

/-- A run with two sessions of `asker`. -/
def asking : Run :=
  let m := Machine.new { unfair with policy := .roundRobin, sessionsMax := 2 } [asker]
  let m := (m.input (.open [] [])).machine
  { machine := (m.input (.open [] [])).machine, events := [] }

/-- A successful outcome for a session's first effect. -/
def answer (session : Nat) : Action := .input (.outcome { session, number := 0 } (.success .unit))

/-- Two turns, then the answers, then two turns. -/
def slow : List Action := [.turn, .turn, answer 0, answer 1, .turn, .turn]

/-- A wave of both sessions; then the second session runs to its end before the first one is
answered. -/
def mixed : List Action := [.round 2 1, answer 1, .turn, answer 0, .round 2 5]

/-- Two sessions that yield once and halt. -/
def short : Run := { machine := two [.yield, .halt], events := [] }

/-- Two sessions that yield and jump alternately, forever. -/
def endless : Run := { machine := looping, events := [] }

/-- The sessions of a log's events. -/
def whose (log : List ObsEvent) : List Nat := log.map fun e => e.stamp.session

/-- The position of the only coroutine of a session. -/
def pcIn (r : Run) (session : Nat) : Nat := pcOf r.machine session

/-- Whether a session has ended. -/
def endedIn (r : Run) (session : Nat) : Bool :=
  match getAt r.machine.sessions session with
  | some s => s.ended
  | none => false

/-! ## The hypotheses can hold -/

/-- Two schedules that give each session the same deeds but have different logs. -/
example : asking.dealtTo 0 slow =
      [.turn 0, .input (.outcome { session := 0, number := 0 } (.success .unit)), .turn 0] ∧
    asking.dealtTo 0 slow = asking.dealtTo 0 mixed ∧
    asking.dealtTo 1 slow = asking.dealtTo 1 mixed ∧
    whose (asking.actAll slow).events ≠ whose (asking.actAll mixed).events :=
  ⟨rfl, rfl, rfl, by decide⟩

/-- In both schedules, the first session is answered when it has no ready coroutine, and it has none
at the end. -/
example : asking.restsAt 0 slow ∧ asking.restsAt 0 mixed :=
  ⟨⟨nofun, nofun, fun _ _ => rfl, nofun, nofun, nofun, rfl⟩,
    ⟨nofun, nofun, nofun, nofun, fun _ _ => rfl, nofun, rfl⟩⟩

/-- Three canonical turns, and a round of two steps followed by one turn, each give the first
session two turns. -/
example : (endless.dealtTo 0 [.turn, .turn, .turn]).length =
    (endless.dealtTo 0 [.round 1 2, .turn]).length := by rfl

/-- A run of one wave and a run of four canonical turns that both continue until no coroutine is
ready and take four steps. -/
example : (short.runScheduledThreaded 2 3 1).machine.queue = [] ∧
    (short.runScheduled 4).machine.queue = [] ∧
    (short.runScheduledThreaded 2 3 1).machine.stepIndex = 4 ∧
    (short.runScheduled 4).machine.stepIndex = 4 := ⟨rfl, rfl, rfl, rfl⟩

/-! ## Hypotheses left out -/

/-- After different numbers of turns a session differs. -/
theorem other_turns_other_session :
    ¬ SameSession 0 (endless.actAll [.turn]) (endless.actAll [.turn, .turn, .turn]) := by
  intro h
  exact absurd (congrArg (fun s => (s.map fun s => s.coroutines.map fun c => c.pc)) h.1) (by decide)

/-- The same turns and the same inputs in another order leave a session different. -/
theorem order_counts :
    (endless.dealtTo 0 [.turn, .input (.cancel 0 [])]).filter Deed.asked =
        (endless.dealtTo 0 [.input (.cancel 0 []), .turn]).filter Deed.asked ∧
      ¬ SameSession 0 (endless.actAll [.turn, .input (.cancel 0 [])])
        (endless.actAll [.input (.cancel 0 []), .turn]) := by
  refine ⟨rfl, fun h => ?_⟩
  exact absurd (congrArg (fun s => (s.map fun s => s.coroutines.map fun c => c.pc)) h.1) (by decide)

/-- Runs that are not complete do not agree. -/
theorem incomplete_rounds_differ :
    (endless.runScheduledThreaded 2 1 1).machine.sessions ≠ (endless.runScheduled 1).machine.sessions := by
  intro h
  exact absurd (congrArg (fun ss => ss.map fun s => s.coroutines.map fun c => c.pc) h) (by decide)

/-- The step index in a stamp can differ although a session has the same deeds. -/
theorem step_index_differs :
    asking.dealtTo 0 slow = asking.dealtTo 0 mixed ∧
      traceOf 0 (asking.actAll slow).events ≠ traceOf 0 (asking.actAll mixed).events := by
  refine ⟨rfl, fun h => ?_⟩
  exact absurd (congrArg (fun log => log.map fun e => e.stamp.step) h) (by decide)

/-- A round that counts a wave as one step. -/
def coarseRound (r : Run) (width quantum : Nat) : Machine :=
  { (r.machine.schedRoundThreaded width quantum).machine with stepIndex := r.machine.stepIndex + 1 }

/-- It ends in another machine than the canonical run. -/
theorem coarse_round_other_machine :
    (coarseRound short 2 3).queue = [] ∧ (short.runScheduled 4).machine.queue = [] ∧
      coarseRound short 2 3 ≠ (short.runScheduled 4).machine := by
  refine ⟨rfl, rfl, fun h => ?_⟩
  exact absurd (congrArg Machine.stepIndex h) (by decide)

/-! ## Machines that break a premise -/

/-- A machine in which a session has turns only at the first step: it reads the machine's step
index. -/
def peeking (m : Machine) : Deed → Acted
  | .turn session => match m.stepIndex with
    | 0 => m.turnIn session
    | _ => { machine := m, shown := { result := .notReady, events := [], request := none } }
  | d => m.perform d

/-- In it, a session depends on the turns of other sessions. -/
theorem peeking_not_independent :
    endless.heard peeking 0 [.turn 1, .turn 0] = endless.heard peeking 0 [.turn 0] ∧
      pcIn (endless.deeds peeking [.turn 1, .turn 0]) 0 ≠ pcIn (endless.deeds peeking [.turn 0]) 0 :=
  ⟨rfl, by decide⟩

/-- A machine in which the turn of a session is also a turn of the next one: it writes outside its
session. -/
def spilling (m : Machine) : Deed → Acted
  | .turn session => (m.turnIn session).machine.turnIn (session + 1)
  | d => m.perform d

theorem spilling_not_independent :
    endless.heard spilling 1 [.turn 0] = endless.heard spilling 1 [] ∧
      pcIn (endless.deeds spilling [.turn 0]) 1 ≠ pcIn (endless.deeds spilling []) 1 :=
  ⟨rfl, by decide⟩

/-- A machine that cancels a session that gets a turn while it has no ready coroutine. -/
def restless (m : Machine) : Deed → Acted
  | .turn session => match m.bestOf session with
    | some p => m.turnOf p
    | none => m.input (.cancel session [])
  | d => m.perform d

/-- In it, the number of turns matters although the session has no ready coroutine. -/
theorem restless_not_complete :
    asking.restsIn restless 0 [.turn 0] ∧ asking.restsIn restless 0 [.turn 0, .turn 0] ∧
      endedIn (asking.deeds restless [.turn 0]) 0 ≠
        endedIn (asking.deeds restless [.turn 0, .turn 0]) 0 :=
  ⟨⟨nofun, rfl⟩, ⟨nofun, nofun, rfl⟩, by decide⟩

/-- A wave of two steps for each session is not one turn of each. -/
theorem one_turn_each_is_not_the_wave :
    (looping.act (.round 2 2)).machine ≠
      (endless.deeds Machine.perform [.turn 0, .turn 1]).machine := by
  intro h
  exact absurd (congrArg Machine.stepIndex h) (by decide)

/-- None of these machines satisfies the premises. -/
theorem none_keeps :
    ¬ ThreadedRoundRefinementPremises peeking ∧ ¬ ThreadedRoundRefinementPremises spilling ∧
      ¬ ThreadedRoundRefinementPremises restless := by
  have pc : ∀ {r r' : Run} {j : Nat}, r.sight j = r'.sight j → pcIn r j = pcIn r' j := by
    intro r r' j h
    have := (same_of_sight h).1
    simp only [pcIn, pcOf, getAt_eq, this]
  have ended : ∀ {r r' : Run} {j : Nat}, r.sight j = r'.sight j → endedIn r j = endedIn r' j := by
    intro r r' j h
    have := (same_of_sight h).1
    simp only [endedIn, getAt_eq, this]
  refine ⟨fun h => ?_, fun h => ?_, fun h => ?_⟩
  · exact peeking_not_independent.2 (pc (h.independent rfl peeking_not_independent.1))
  · exact spilling_not_independent.2 (pc (h.independent rfl spilling_not_independent.1))
  · exact restless_not_complete.2.2
      (ended (h.complete rfl rfl restless_not_complete.1 restless_not_complete.2.1))

end Antiphon.ScheduleTests

module

public import Runtime.Proofs.Concurrency
public import Runtime.Proofs.Concurrency.Plan

@[expose] public noncomputable section

/-!
# The threaded runner at width 1 is the canonical runner

The runner has no special case for width 1. It plans, checks and runs a wave, and a wave of one pick
with one step is a canonical turn. A round of any width is the run of its own picks.
-/

namespace Antiphon

/-- A round of width at least 1 on a machine with a ready coroutine runs the certificate that the
machine plans. -/
theorem round_of_ready {m : Machine} (ready : m.queue ≠ []) (width quantum : Nat) :
    m.schedRoundThreaded (width + 1) quantum = m.roundWith (m.plan (width + 1) quantum) := by
  cases hq : m.queue with
  | nil => exact absurd hq ready
  | cons x xs => simp only [Machine.schedRoundThreaded, hq]

/-- A round of width at least 1 without a ready coroutine changes nothing and shows the reason. -/
theorem round_of_rest {m : Machine} (rest : m.queue = []) (width quantum : Nat) :
    m.schedRoundThreaded (width + 1) quantum =
      { machine := m, shown := { result := .rested m.rest, events := [], request := none } } := by
  simp [Machine.schedRoundThreaded, rest, Machine.schedRoundOne, Machine.policyPick, best]

theorem microRun_one (cx : Context) (session : Nat) (s : Session) (queue : List Pick)
    (coroutine : Nat) :
    microRun cx session 1 s queue coroutine = [microStep cx session s coroutine] := by
  simp only [microRun]
  split
  · rfl
  · split <;> rfl

/-- A round of the threaded runner with width 1 and quantum 1, through the plan that it computes,
leaves the same machine and shows the same events as a canonical turn. -/
theorem sched_round_threaded_one_eq_sched_round_one (m : Machine) :
    (m.schedRoundThreaded 1 1).machine = m.schedRoundOne.machine ∧
      (m.schedRoundThreaded 1 1).shown.events = m.schedRoundOne.shown.events := by
  cases hp : best m.rank m.queue with
  | none =>
    have rest := best_none.1 hp
    have e := round_of_rest rest 0 1
    rw [show (0 + 1 : Nat) = 1 from rfl] at e
    rw [e]
    simp only [Machine.schedRoundOne, Machine.policyPick, hp]
    exact ⟨trivial, trivial⟩
  | some p =>
    have ready : m.queue ≠ [] := fun e => by simp [e, best] at hp
    have e : m.schedRoundThreaded 1 1 = m.roundWith (m.plan 1 1) := round_of_ready ready 0 1
    have check : m.checkWave (m.plan 1 1) = true := plan_checks m 0 0 ready
    have plan : (m.plan 1 1).picks =
        [{ pick := p, lane := 0, quantum := 1, footprint := m.footprintOf p }] := by
      simp [Machine.plan, Machine.planFrom, hp]
    have one : m.schedRoundOne = m.turnOf p := by
      simp only [Machine.schedRoundOne, Machine.policyPick, hp]
    rw [e, one]
    simp only [Machine.roundWith, check, Machine.wave, plan, waveFrom, Machine.turnOf,
      Machine.micro, Machine.runPick]
    cases m.find p.session with
    | none => exact ⟨rfl, rfl⟩
    | some found =>
      simp only [microRun_one]
      exact ⟨rfl, rfl⟩

/-- Any number of rounds of the threaded runner with width 1 and quantum 1 gives, from any start,
the same machine and the same log as that many canonical turns. -/
theorem run_scheduled_threaded_one_eq_run_scheduled (r : Run) (rounds : Nat) :
    r.runScheduledThreaded 1 1 rounds = r.runScheduled rounds := by
  induction rounds generalizing r with
  | zero => rfl
  | succ rounds ih =>
    have h := sched_round_threaded_one_eq_sched_round_one r.machine
    simp only [Run.runScheduledThreaded, Run.runScheduled, ih, h.1, h.2]

/-- The events of one session in a log, with their stamps. -/
def traceOf (session : Nat) (log : List ObsEvent) : List ObsEvent :=
  log.filter fun e => Nat.beq e.stamp.session session

/-- The events of every session in a threaded run with width 1 and quantum 1 are its events in the
canonical run, including stamps and order. -/
theorem per_session_trace_threaded_one_eq_canonical (r : Run) (rounds session : Nat) :
    traceOf session (r.runScheduledThreaded 1 1 rounds).events =
      traceOf session (r.runScheduled rounds).events := by
  rw [run_scheduled_threaded_one_eq_run_scheduled]

/-- The action with a round of width 1 and quantum 1 replaced by a canonical turn. -/
def Action.canonical : Action → Action
  | .round 1 1 => .turn
  | a => a

/-- Replacing rounds of width 1 and quantum 1 by canonical turns anywhere in a list of actions does
not change the machine or the log. -/
theorem act_all_canonical (r : Run) (actions : List Action) :
    r.actAll (actions.map Action.canonical) = r.actAll actions := by
  induction actions generalizing r with
  | nil => rfl
  | cons a as ih =>
    have h : (r.machine.act a.canonical).machine = (r.machine.act a).machine ∧
        (r.machine.act a.canonical).shown.events = (r.machine.act a).shown.events := by
      unfold Action.canonical
      split
      · have h := sched_round_threaded_one_eq_sched_round_one r.machine
        exact ⟨h.1.symm, h.2.symm⟩
      · exact ⟨rfl, rfl⟩
    simp only [List.map_cons, Run.actAll, h.1, h.2, ih]

/-- A round of any width of at least 1 and any quantum of at least 1 leaves the machine, and shows
the events, of its plan's picks run one after another. -/
theorem round_is_run_of_its_picks (m : Machine) (width quantum : Nat) :
    let acted := m.schedRoundThreaded (width + 1) (quantum + 1)
    let r := Run.inTurn { machine := m, events := [] } (m.plan (width + 1) (quantum + 1)).picks
    acted.machine = r.machine ∧ acted.shown.events = r.events := by
  by_cases ready : m.queue = []
  · simp [round_of_rest ready, Machine.plan, Machine.planFrom, ready, best, Run.inTurn]
  · simp only [round_of_ready ready, round_with_exact m _ (plan_checks m width quantum ready)]
    exact ⟨trivial, trivial⟩

/-- A round of width 0 is refused and changes nothing. -/
theorem round_of_no_width (m : Machine) (quantum : Nat) :
    m.schedRoundThreaded 0 quantum =
      { machine := m, shown := { result := .noWidth, events := [], request := none } } := rfl

end Antiphon

module

public import Runtime.Proofs.Concurrency.One
public import Runtime.Proofs.Concurrency.Turns

@[expose] public noncomputable section

/-!
# A round is the run of its pick list

A round shows which coroutines stepped, in order. A driver that steps exactly these coroutines one
after another obtains the same machine and the same log, without planning or checking anything.
-/

namespace Antiphon

/-- Turns of named coroutines are the actions `pick` with these coroutines. -/
theorem turns_are_actions (r : Run) (ps : List Pick) : r.turns ps = r.actAll (ps.map .pick) := by
  induction ps generalizing r with
  | nil => rfl
  | cons p ps ih => exact ih _

/-- A canonical turn is a pick of the coroutine that it shows. -/
theorem sched_round_one_is_its_pick {m : Machine} {p : Pick} {step : Step}
    (h : m.schedRoundOne.shown.result = .stepped p step) : m.schedRoundOne = m.pickTurn p := by
  cases hp : m.policyPick with
  | none => simp [Machine.schedRoundOne, hp] at h
  | some q =>
    have one : m.schedRoundOne = m.turnOf q := by simp only [Machine.schedRoundOne, hp]
    have same : q = p := by
      rw [one] at h
      unfold Machine.turnOf at h
      split at h
      · cases h
      · injection h
    subst same
    have queued : some? (fun x => samePick x q) m.queue = true := by
      simp only [some?_eq, List.any_eq_true]
      exact ⟨q, best_mem hp, samePick_self q⟩
    rw [one]
    simp only [Machine.pickTurn, queued]

/-- A round with a given certificate, accepted or not, has the machine and the events of the run of
the pick list that it shows. -/
theorem round_with_is_its_pick_list {m : Machine} {c : WaveCertificate} {picks : List Pick}
    {fellBack : Bool} (h : (m.roundWith c).shown.result = .round picks fellBack) :
    ({ machine := (m.roundWith c).machine, events := (m.roundWith c).shown.events } : Run) =
      Run.actAll { machine := m, events := [] } (picks.map .pick) := by
  rw [← turns_are_actions]
  cases check : m.checkWave c with
  | true =>
    have e : m.roundWith c = m.wave c := by simp only [Machine.roundWith, check]
    rw [e] at h ⊢
    injection h with h _
    subst h
    simp only [Machine.wave]
    exact (wave_is_its_turns m c check).1
  | false =>
    obtain ⟨machine, events⟩ := invalid_wave_is_one_step m c check
    rw [machine, events]
    simp only [Machine.roundWith, check] at h
    split at h
    · rename_i p step stepped
      injection h with h _
      subst h
      rw [sched_round_one_is_its_pick stepped]
      simp [Run.turns]
    · unfold Machine.schedRoundOne Machine.turnOf at h
      split at h
      · cases h
      · split at h <;> cases h

/-- A round of any width and quantum has the machine and the events of the run of the pick list that
it shows. -/
theorem round_is_its_pick_list {m : Machine} {width quantum : Nat} {picks : List Pick}
    {fellBack : Bool} (h : (m.schedRoundThreaded width quantum).shown.result = .round picks fellBack) :
    ({ machine := (m.schedRoundThreaded width quantum).machine
       events := (m.schedRoundThreaded width quantum).shown.events } : Run) =
      Run.actAll { machine := m, events := [] } (picks.map .pick) := by
  cases width with
  | zero => cases h
  | succ width =>
    by_cases ready : m.queue = []
    · rw [round_of_rest ready] at h
      cases h
    · rw [round_of_ready ready] at h ⊢
      exact round_with_is_its_pick_list h

/-! ## Runs -/

/-- The actions that replace an action: the picks that it shows if it is a round or a wave,
otherwise the action itself. -/
def Action.picked (a : Action) (result : Result) : List Action :=
  match a, result with
  | .round _ _, .round picks _ => picks.map .pick
  | .wave _, .round picks _ => picks.map .pick
  | a, _ => [a]

/-- A list of actions with rounds and waves replaced by the picks that they show. -/
def Run.picked (r : Run) : List Action → List Action
  | [] => []
  | a :: as =>
    a.picked (r.machine.act a).shown.result ++
      Run.picked
        { machine := (r.machine.act a).machine
          events := app r.events (r.machine.act a).shown.events } as

theorem actAll_append (r : Run) (as bs : List Action) :
    r.actAll (as ++ bs) = (r.actAll as).actAll bs := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih => exact ih _

theorem actAll_log (m : Machine) (log more : List ObsEvent) (as : List Action) :
    Run.actAll { machine := m, events := log ++ more } as =
      { machine := (Run.actAll { machine := m, events := more } as).machine
        events := log ++ (Run.actAll { machine := m, events := more } as).events } := by
  induction as generalizing m more with
  | nil => rfl
  | cons a as ih =>
    simp only [Run.actAll, app_eq, List.append_assoc]
    exact ih _ _

theorem act_picked (m : Machine) (a : Action) :
    ({ machine := (m.act a).machine, events := (m.act a).shown.events } : Run) =
      Run.actAll { machine := m, events := [] } (a.picked (m.act a).shown.result) := by
  unfold Action.picked
  split
  · exact round_is_its_pick_list ‹_›
  · exact round_with_is_its_pick_list ‹_›
  · rfl

/-- A run of any actions equals the run in which every round and wave that shows a pick list is
replaced by its picks. -/
theorem run_is_its_pick_list (r : Run) (as : List Action) : r.actAll as = r.actAll (r.picked as) := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih =>
    have log := actAll_log r.machine r.events []
      (a.picked (r.machine.act a).shown.result)
    rw [← act_picked, List.append_nil] at log
    simp only [Run.picked, actAll_append]
    rw [show r.actAll (a.picked (r.machine.act a).shown.result) = _ from log, Run.actAll, ih]
    simp only [app_eq]

end Antiphon

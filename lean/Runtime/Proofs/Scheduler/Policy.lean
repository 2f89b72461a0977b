module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner

@[expose] public noncomputable section

/-! # The policy decides only which coroutine steps; fixed priority starves -/

namespace Antiphon

/-- The same configuration with another policy. -/
abbrev ProtocolMachineConfig.withPolicy (c : ProtocolMachineConfig) (p : SchedulingPolicy) :
    ProtocolMachineConfig := { c with policy := p }

/-- The same context with another policy. -/
abbrev Context.withPolicy (cx : Context) (p : SchedulingPolicy) : Context :=
  { cx with config := cx.config.withPolicy p }

theorem endpointsAtEnd_policy (cx : Context) (p : SchedulingPolicy) (holder : Option Nat)
    (role : Nat) (es : List Endpoint) :
    endpointsAtEnd (cx.withPolicy p) holder role es = endpointsAtEnd cx holder role es := by
  induction es generalizing role with
  | nil => rfl
  | cons e es ih =>
    unfold endpointsAtEnd
    rw [ih]
    rfl

theorem admitAll_policy (cx : Context) (p : SchedulingPolicy) (c : Coroutine)
    (args sorts : List Nat) :
    admitAll (cx.withPolicy p) c args sorts = admitAll cx c args sorts := by
  induction args generalizing sorts with
  | nil => rfl
  | cons arg args ih =>
    cases sorts with
    | nil => rfl
    | cons sort sorts =>
      unfold admitAll
      rw [ih]
      rfl

theorem execute_policy (cx : Context) (p : SchedulingPolicy) (s : Session) (who : Nat)
    (c : Coroutine) (instruction : Instruction) :
    execute (cx.withPolicy p) s who c instruction = execute cx s who c instruction := by
  cases instruction with
  | invoke =>
    simp only [execute, invoke, admitAll_policy]
  | check =>
    simp only [execute, invoke, admitAll_policy]
  | close => simp only [execute, close, endpointsAtEnd_policy]
  | halt => simp only [execute, halt, endpointsAtEnd_policy]
  | _ => rfl

/-- A step does not depend on the policy: under any other policy it gives the same session, the same
events, the same result and the same woken coroutine. -/
theorem policy_not_in_step (cx : Context) (p : SchedulingPolicy) (s : Session) (who : Nat) :
    step { cx with config := { cx.config with policy := p } } s who = step cx s who := by
  have h : ∀ c, attempt (cx.withPolicy p) s who c = attempt cx s who c := by
    intro c
    simp only [attempt, execute_policy]
  show step (cx.withPolicy p) s who = step cx s who
  simp only [step, h]

/-! ## Fixed priority starves -/

/-- An image with two roles that both jump to themselves forever. -/
def spinning : Loaded :=
  let program : Program := { name := [], registers := 1, code := [.jump 0] }
  { digest := []
    image := {
      name := [], version := 0
      roles := [{ name := [0], states := [.done] }, { name := [1], states := [.done] }]
      labels := [], sorts := [], interfaces := [], operations := []
      programs := [program, program] }
    edges := [] }

/-- A configuration with fixed priority in which the second role has the higher priority. -/
def unfair : ProtocolMachineConfig :=
  { policy := .priority, priorities := [([1], 1)], bufferMax := 1, payloadMax := 1,
    coroutinesMax := 2, sessionsMax := 1, witnessesMax := 1, witnessTtl := 1, effectBudget := none,
    determinismMode := .full }

/-- A machine with one session of `spinning`, after a number of steps. -/
def starving (steps : Nat) : Machine :=
  let coroutine (role priority : Nat) : Coroutine :=
    { program := role, role := some role, priority, status := .ready, pc := 0,
      registers := [.endpoint role] }
  { config := unfair
    images := [spinning]
    sessions := [{
      id := 0, image := 0, phase := .active, live := 2, epoch := 0, events := 1, effectsIssued := 0,
      witnessesIssued := 0
      endpoints := [{ holder := 0, state := 0 }, { holder := 1, state := 0 }]
      coroutines := [coroutine 0 0, coroutine 1 1]
      edges := [], effects := [], witnesses := [], owner := [] }]
    queue := [{ session := 0, coroutine := 0 }, { session := 0, coroutine := 1 }]
    clock := 0
    stepIndex := steps }

/-- `starving 0` is the machine after one `Open` on a machine without sessions. -/
theorem starving_opens :
    ((Machine.new unfair [spinning]).input (.open [] [])).machine = starving 0 := by rfl

theorem starving_round (steps : Nat) :
    (starving steps).schedRoundOne.machine = starving (steps + 1) := by rfl

theorem starving_rounds (log : List ObsEvent) (steps rounds : Nat) :
    (Run.runScheduled { machine := starving steps, events := log } rounds).machine =
      starving (steps + rounds) := by
  induction rounds generalizing log steps with
  | zero => rfl
  | succ rounds ih =>
    rw [Run.runScheduled, starving_round, ih]
    congr 1
    omega

/-- Fixed priority starves: there is a machine, reached by one `Open`, with a coroutine that after
any number of canonical turns is ready and in the queue but is not the policy's pick. -/
theorem priority_starves :
    ∃ (m : Machine) (p : Pick),
      (∃ c i o, m = ((Machine.new c [i]).input (.open i.digest o)).machine ∧
        c.policy = .priority) ∧
      ∀ rounds,
        let after := (Run.runScheduled { machine := m, events := [] } rounds).machine
        p ∈ after.queue ∧ (∃ q, after.policyPick = some q ∧ q ≠ p) ∧
          (∃ s c, after.sessions[p.session]? = some s ∧ s.coroutines[p.coroutine]? = some c ∧
            c.status = .ready) := by
  refine ⟨starving 0, { session := 0, coroutine := 0 },
    ⟨unfair, spinning, [], starving_opens.symm, rfl⟩, fun rounds => ?_⟩
  simp only [starving_rounds]
  exact ⟨List.mem_cons_self, ⟨{ session := 0, coroutine := 1 }, rfl, by decide⟩, ⟨_, _, rfl, rfl, rfl⟩⟩

end Antiphon

module

public import Runtime.Proofs.Concurrency.Picks
public import Runtime.Proofs.Scheduler.Runs

@[expose] public noncomputable section

/-!
# Tests of the theorems on waves and on the scheduler

For each theorem, a machine for which its hypotheses hold, and a changed copy of a definition, or a
dropped hypothesis, for which its statement fails.
-/

namespace Antiphon.ConcurrencyTests

/-! ## Machines -/

/-- An image with one role and its program. -/
def solo (code : List Instruction) : Loaded :=
  { digest := []
    image := {
      name := [], version := 0, roles := [{ name := [0], states := [.done] }], labels := [],
      sorts := [], interfaces := [], operations := []
      programs := [{ name := [], registers := 1, code }] }
    edges := [] }

/-- A machine with two sessions of `solo`. -/
def two (code : List Instruction) : Machine :=
  let m := Machine.new { unfair with policy := .roundRobin, sessionsMax := 2 } [solo code]
  let m := (m.input (.open [] [])).machine
  (m.input (.open [] [])).machine

/-- Two sessions that yield and jump alternately, forever. -/
def looping : Machine := two [.yield, .jump 0]

/-- Two sessions that halt at once. -/
def halting : Machine := two [.halt]

/-- The position of the only coroutine of a session. -/
def pcOf (m : Machine) (session : Nat) : Nat :=
  match getAt m.sessions session with
  | none => 99
  | some s => match s.coroutines with
    | [] => 99
    | c :: _ => c.pc

/-- The session of the first event of a log. -/
def firstOf : List ObsEvent → Nat
  | [] => 99
  | e :: _ => e.stamp.session

/-- A session of two roles that jump to themselves, under a policy. -/
def spinningUnder (policy : SchedulingPolicy) : Machine :=
  { starving 0 with config := { unfair with policy } }

theorem spinning_ready (policy : SchedulingPolicy) : (spinningUnder policy).QueueReady := by
  intro p hp
  have : p = { session := 0, coroutine := 0 } ∨ p = { session := 0, coroutine := 1 } := by
    simpa [spinningUnder, starving] using hp
  rcases this with rfl | rfl <;> exact ⟨_, _, rfl, rfl, _, rfl, rfl⟩

/-! ## The hypotheses can hold -/

/-- The checker accepts a plan of two picks of two steps each. -/
example : looping.checkWave (looping.plan 2 2) = true := by rfl

/-- The plan steps each session twice. -/
example : steppedBy looping (looping.plan 2 2).picks =
    [{ session := 0, coroutine := 0 }, { session := 0, coroutine := 0 },
     { session := 1, coroutine := 0 }, { session := 1, coroutine := 0 }] := by rfl

/-- A round shows these steps; with a quantum of 0 it shows one canonical turn. -/
example : (looping.schedRoundThreaded 2 2).shown.result =
      .round [{ session := 0, coroutine := 0 }, { session := 0, coroutine := 0 },
        { session := 1, coroutine := 0 }, { session := 1, coroutine := 0 }] false ∧
    (looping.schedRoundThreaded 2 0).shown.result =
      .round [{ session := 0, coroutine := 0 }] true := ⟨rfl, rfl⟩

/-- The checker rejects a plan that was made at another step. -/
example : looping.checkWave { looping.plan 2 2 with stepIndex := 1 } = false := by rfl

/-- The checker rejects a footprint that lacks a key. -/
example : looping.checkWave { looping.plan 1 1 with
    picks := [{ pick := { session := 0, coroutine := 0 }, lane := 0, quantum := 1,
                footprint := [.ledger 0] }] } = false := by rfl

/-- A machine with a ready coroutine. -/
example : looping.queue ≠ [] := by decide

/-- A run after which a coroutine is in the queue. -/
example : (runOf { unfair with sessionsMax := 2 } [solo [.halt]]
    [.input (.open [] []), .input (.open [] []), .turn]).machine.queue =
      [{ session := 1, coroutine := 0 }] := by rfl

/-- Round robin, with only ready coroutines in the queue: the coroutine at position 1 is picked
after one round. -/
example : (spinningUnder .roundRobin).QueueReady ∧
    (spinningUnder .roundRobin).queue[1]? = some { session := 0, coroutine := 1 } ∧
    (Run.runScheduled { machine := spinningUnder .roundRobin, events := [] } 1).machine.policyPick =
      some { session := 0, coroutine := 1 } :=
  ⟨spinning_ready _, rfl, rfl⟩

/-! ## `certified_wave_exact`, `check_wave_iff`: a checker that accepts picks that are not apart -/

def looseCheck (m : Machine) (c : WaveCertificate) : Bool :=
  Nat.beq c.stepIndex m.stepIndex && sameQueue c.queue m.queue &&
    (match c.picks, m.policyPick with
      | w :: _, some p => samePick p w.pick
      | _, _ => false) &&
    allFit m c.picks

/-- The same pick twice. -/
def twice : WaveCertificate :=
  let c := looping.plan 1 1
  { c with picks := app c.picks c.picks }

theorem loose_check_not_exact :
    looseCheck looping twice = true ∧ ¬ twice.picks.Pairwise WavePick.Apart ∧
      waveFrom looping { machine := looping, events := [] } twice.picks ≠
        Run.inTurn { machine := looping, events := [] } twice.picks := by
  refine ⟨rfl, ?_, ?_⟩
  · intro h
    rw [← pairwiseApart_iff] at h
    exact absurd h (by decide)
  · intro h
    exact absurd (congrArg (fun r => pcOf r.machine 0) h) (by decide)

/-- Commits a wave in reverse order of its picks. -/
def waveBackwards (before : Machine) (r : Run) : List WavePick → Run
  | [] => r
  | w :: ws => (waveBackwards before r ws).commitAll (before.runPick w)

/-- Committing in another order gives another log. -/
theorem backwards_not_exact :
    halting.checkWave (halting.plan 2 1) = true ∧
      waveBackwards halting { machine := halting, events := [] } (halting.plan 2 1).picks ≠
        Run.inTurn { machine := halting, events := [] } (halting.plan 2 1).picks := by
  refine ⟨rfl, fun h => ?_⟩
  exact absurd (congrArg (fun r => firstOf r.events) h) (by decide)

/-!
## A list with only the first step of each pick

It breaks `wave_steps`, `wave_is_its_turns` and `round_is_its_pick_list`.
-/

def headsOf : List WavePick → List Pick
  | [] => []
  | w :: ws => w.pick :: headsOf ws

theorem heads_are_not_the_steps :
    headsOf (looping.plan 2 2).picks ≠
        Run.steppedInTurn { machine := looping, events := [] } (looping.plan 2 2).picks ∧
      waveFrom looping { machine := looping, events := [] } (looping.plan 2 2).picks ≠
        Run.turns { machine := looping, events := [] } (headsOf (looping.plan 2 2).picks) := by
  refine ⟨fun h => ?_, fun h => ?_⟩
  · exact absurd (congrArg List.length h) (by decide)
  · exact absurd (congrArg (fun r => r.machine.stepIndex) h) (by decide)

/-! ## `invalid_wave_is_one_step`: a round that runs any certificate -/

theorem rash_round_is_not_one_step :
    looping.checkWave { looping.plan 2 2 with stepIndex := 1 } = false ∧
      (looping.wave { looping.plan 2 2 with stepIndex := 1 }).machine ≠
        looping.schedRoundOne.machine := by
  refine ⟨rfl, fun h => ?_⟩
  exact absurd (congrArg Machine.stepIndex h) (by decide)

/-! ## `plan_checks`: a planner that does not remove a planned session from the queue -/

def greedyFrom (m : Machine) (quantum lane : Nat) (width : Nat) (queue : List Pick) :
    List WavePick :=
  match width with
  | 0 => []
  | width + 1 => match best m.rank queue with
    | none => []
    | some p =>
      { pick := p, lane, quantum, footprint := m.footprintOf p } ::
        greedyFrom m quantum (lane + 1) width (unqueue queue p)

theorem greedy_plan_fails :
    (starving 0).queue ≠ [] ∧
      (starving 0).checkWave { (starving 0).plan 2 1 with
        picks := greedyFrom (starving 0) 1 0 2 (starving 0).queue } = false :=
  ⟨by decide, rfl⟩

/-! ## `best_of_session`, `best_iff`: the last pick of least rank -/

def bestLast (rank : Pick → Nat) : List Pick → Option Pick
  | [] => none
  | p :: ps => match bestLast rank ps with
    | none => some p
    | some q => match Nat.ble (rank q) (rank p) with
      | true => some q
      | false => some p

theorem last_is_not_first :
    bestLast (fun _ => 0) [{ session := 0, coroutine := 0 }, { session := 1, coroutine := 0 }] =
        some { session := 1, coroutine := 0 } ∧
      ¬ ∃ before after,
        [{ session := 0, coroutine := 0 }, { session := 1, coroutine := 0 }] =
          before ++ ({ session := 1, coroutine := 0 } : Pick) :: after ∧
        (∀ q, q ∈ before → (fun _ : Pick => 0) { session := 1, coroutine := 0 } <
          (fun _ : Pick => 0) q) ∧
        (∀ q, q ∈ after → (fun _ : Pick => 0) { session := 1, coroutine := 0 } ≤
          (fun _ : Pick => 0) q) := by
  refine ⟨rfl, ?_⟩
  rintro ⟨before, after, e, first, _⟩
  cases before with
  | nil => simp at e
  | cons x xs => exact absurd (first x List.mem_cons_self) (Nat.lt_irrefl _)

/-- The second pick of the queue, if there is one. -/
def bestSecond (rank : Pick → Nat) : List Pick → Option Pick
  | _ :: p :: _ => some p
  | queue => best rank queue

theorem second_is_not_of_session :
    let queue : List Pick := [{ session := 0, coroutine := 0 }, { session := 1, coroutine := 0 },
      { session := 1, coroutine := 1 }]
    bestSecond (fun _ => 0) queue = some { session := 1, coroutine := 0 } ∧
      bestSecond (fun _ => 0) (queue.filter fun q => Nat.beq q.session 1) ≠
        some { session := 1, coroutine := 0 } :=
  ⟨rfl, by decide⟩

/-!
## A round that steps the head of the queue

It breaks `sched_round_threaded_one_eq_sched_round_one` and its corollaries.
-/

def frontRound (m : Machine) : Acted :=
  match m.queue with
  | [] => m.schedRoundOne
  | p :: _ => m.wave { m.plan 1 1 with
      picks := [{ pick := p, lane := 0, quantum := 1, footprint := m.footprintOf p }] }

theorem front_round_not_canonical :
    (frontRound (starving 0)).machine ≠ (starving 0).schedRoundOne.machine := by
  intro h
  exact absurd (congrArg Machine.queue h) (by decide)

/-- With a quantum of 2, a round of one pick differs from a canonical turn. -/
theorem quantum_two_not_canonical :
    (looping.schedRoundThreaded 1 2).machine ≠ looping.schedRoundOne.machine := by
  intro h
  exact absurd (congrArg Machine.stepIndex h) (by decide)

/-- With a width of 2, a run differs from the canonical run, and so do a session's events because of
their step indices. -/
theorem width_two_not_canonical :
    Run.runScheduledThreaded { machine := looping, events := [] } 2 1 1 ≠
        Run.runScheduled { machine := looping, events := [] } 1 ∧
      traceOf 1 (Run.runScheduledThreaded { machine := halting, events := [] } 2 1 1).events ≠
        traceOf 1 (Run.runScheduled { machine := halting, events := [] } 1).events := by
  refine ⟨fun h => ?_, fun h => ?_⟩
  · exact absurd (congrArg (fun r => r.machine.stepIndex) h) (by decide)
  · exact absurd (congrArg firstOf h) (by decide)

/-! ## `round_is_run_of_its_picks`: a quantum of 0, with no step in the plan but one in the round -/

theorem no_quantum_is_not_its_picks :
    (looping.schedRoundThreaded 2 0).machine ≠
      (Run.inTurn { machine := looping, events := [] } (looping.plan 2 0).picks).machine := by
  intro h
  exact absurd (congrArg Machine.stepIndex h) (by decide)

/-! ## `pick_is_ready`: a queue that coroutines never leave -/

def lazyCommit (m : Machine) (μ : Micro) : Machine :=
  { m with sessions := setAt m.sessions μ.pick.session μ.session, stepIndex := m.stepIndex + 1 }

/-- The machine after a coroutine's step, with an unchanged queue. -/
def lazyTurn (m : Machine) (p : Pick) : Machine :=
  match m.micro p with
  | none => m
  | some μ => lazyCommit m μ

theorem lazy_queue_not_ready :
    (lazyTurn halting { session := 0, coroutine := 0 }).policyPick =
        some { session := 0, coroutine := 0 } ∧
      ¬ (lazyTurn halting { session := 0, coroutine := 0 }).CanStep
        { session := 0, coroutine := 0 } := by
  refine ⟨rfl, ?_⟩
  rintro ⟨s, i, found, active, _⟩
  have : (lazyTurn halting { session := 0, coroutine := 0 }).find 0 =
      some ((microStep (halting.context (solo [.halt])) 0
        ((halting.sessions[0]?).getD (Session.start (solo []) unfair 0 0 [])) 0).session,
        solo [.halt]) := rfl
  rw [this] at found
  cases found
  exact absurd active (by decide)

/-! ## `queue_ready_of_run`: a cancelled session whose coroutines stay in the queue -/

def lazyCancel (m : Machine) (session : Nat) : Machine :=
  match getAt m.sessions session with
  | none => m
  | some s => m.put session (cancel s).1 (cancel s).2

theorem lazy_cancel_not_ready : ¬ (lazyCancel halting 0).QueueReady := by
  intro h
  obtain ⟨s, i, found, active, _⟩ := h { session := 0, coroutine := 0 } List.mem_cons_self
  have over : ((lazyCancel halting 0).find 0).map (fun f => f.1.ended) = some true := rfl
  simp only at found
  rw [found] at over
  simp [Session.ended, active] at over

/-! ## `round_robin_serves`: another policy -/

/-- A cooperative coroutine that does not yield continues to step: the one behind it is not picked
within one round. -/
theorem cooperative_does_not_serve :
    (spinningUnder .cooperative).QueueReady ∧
      (spinningUnder .cooperative).queue[1]? = some { session := 0, coroutine := 1 } ∧
      ¬ ∃ j, j ≤ 1 ∧
        let after := (Run.runScheduled { machine := spinningUnder .cooperative, events := [] } j).machine
        after.policyPick = some { session := 0, coroutine := 1 } ∨ after.HasEnded 0 := by
  refine ⟨spinning_ready _, rfl, ?_⟩
  rintro ⟨j, le, h⟩
  have : j = 0 ∨ j = 1 := by omega
  rcases this with rfl | rfl <;> rcases h with h | ⟨s, how, hs, hp⟩
  · exact absurd h (by decide)
  · cases hs; cases hp
  · exact absurd h (by decide)
  · cases hs; cases hp

/-! ## `round_of_no_width`: a round that treats width 0 as width 1 -/

def eagerRound (m : Machine) (width quantum : Nat) : Acted :=
  match width with
  | 0 => m.schedRoundThreaded 1 quantum
  | width + 1 => m.schedRoundThreaded (width + 1) quantum

theorem eager_round_is_not_refused :
    ¬ ∀ (m : Machine) (quantum : Nat), eagerRound m 0 quantum =
      { machine := m, shown := { result := .noWidth, events := [], request := none } } := by
  intro h
  exact absurd (congrArg (fun a => a.machine.stepIndex) (h looping 1)) (by decide)

/-- A round that changes nothing for width 0 but does not report a refusal. -/
def restingRound (m : Machine) (width quantum : Nat) : Acted :=
  match width with
  | 0 => { machine := m, shown := { result := .round [] false, events := [], request := none } }
  | width + 1 => m.schedRoundThreaded (width + 1) quantum

/-- Whether a result is the refusal of a round of width 0. -/
def isNoWidth : Result → Bool
  | .noWidth => true
  | _ => false

theorem resting_round_is_not_refused :
    ¬ ∀ (m : Machine) (quantum : Nat), restingRound m 0 quantum =
      { machine := m, shown := { result := .noWidth, events := [], request := none } } := by
  intro h
  exact absurd (congrArg (fun a => isNoWidth a.shown.result) (h looping 1)) (by decide)

/-- A real round of width 0 is refused, whether or not a coroutine is ready. -/
example : (looping.schedRoundThreaded 0 1).shown.result = .noWidth ∧
    ((Machine.new unfair []).schedRoundThreaded 0 1).shown.result = .noWidth := ⟨rfl, rfl⟩

/-! ## `priority_starves`: round robin does not starve -/

/-- The statement of `priority_starves`, for a policy. -/
def Starves (policy : SchedulingPolicy) : Prop :=
  ∃ (m : Machine) (p : Pick),
    (∃ c i o, m = ((Machine.new c [i]).input (.open i.digest o)).machine ∧ c.policy = policy) ∧
    ∀ rounds,
      let after := (Run.runScheduled { machine := m, events := [] } rounds).machine
      p ∈ after.queue ∧ (∃ q, after.policyPick = some q ∧ q ≠ p) ∧
        (∃ s c, after.sessions[p.session]? = some s ∧ s.coroutines[p.coroutine]? = some c ∧
          c.status = .ready)

example : Starves .priority := priority_starves

/-- Under round robin, no coroutine of a machine reached by one `Open` stays ready in the queue
forever without being picked, whatever the image. -/
theorem round_robin_does_not_starve : ¬ Starves .roundRobin := by
  rintro ⟨m, p, ⟨c, i, o, opened, policy⟩, stays⟩
  have ready : m.QueueReady := opened ▸ queue_ready_of_run c [i] [.input (.open i.digest o)]
  have kept : m.config = c := opened ▸ (good_run c [i] [.input (.open i.digest o)]).config_eq
  have fair : m.config.policy = .roundRobin := by rw [kept, policy]
  obtain ⟨k, queued⟩ := List.mem_iff_getElem?.mp (stays 0).1
  have queued : m.queue[k]? = some p := queued
  obtain ⟨j, -, picked | ⟨s, how, found, over⟩⟩ := round_robin_serves fair ready queued
  · obtain ⟨-, ⟨q, other, ne⟩, -⟩ := stays j
    rw [picked] at other
    cases other
    exact ne rfl
  · have later : ∀ rounds (r : Run), r.machine.QueueReady → (r.runScheduled rounds).machine.QueueReady := by
      intro rounds
      induction rounds with
      | zero => exact fun _ h => h
      | succ rounds ih => exact fun _ h => ih _ h.round
    obtain ⟨s', i', here, active, -⟩ := later j { machine := m, events := [] } ready p (stays j).1
    have same := (find_some here).1
    rw [found] at same
    cases same
    rw [over] at active
    cases active

/-- In the machine that fixed priority starves, round robin picks the starved coroutine, and two
turns later the machine is the same except for its step index. -/
theorem round_robin_serves_whom_priority_starves (steps : Nat) :
    let spins := { spinningUnder .roundRobin with stepIndex := steps }
    spins.policyPick = some { session := 0, coroutine := 0 } ∧
      (Run.runScheduled { machine := spins, events := [] } 2).machine =
        { spinningUnder .roundRobin with stepIndex := steps + 2 } := ⟨rfl, rfl⟩

/-! ## `policy_not_in_step`: a step that reads the policy -/

def bentStep (cx : Context) (s : Session) (who : Nat) : Stepped :=
  match cx.config.policy with
  | .priority => still s .halted
  | _ => step cx s who

theorem bent_step_depends :
    ∃ (cx : Context) (p : SchedulingPolicy) (s : Session) (who : Nat),
      bentStep { cx with config := { cx.config with policy := p } } s who ≠ bentStep cx s who := by
  refine ⟨{ image := spinning, config := unfair, clock := 0 }, .roundRobin,
    Session.start spinning unfair 0 0 [], 0, fun h => ?_⟩
  exact absurd (congrArg Stepped.step h) (by decide)

end Antiphon.ConcurrencyTests

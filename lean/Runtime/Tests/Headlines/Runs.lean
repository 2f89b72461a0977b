module

public import Runtime.Tests.Headlines.Row
public import Runtime.Tests.Effects
public import Runtime.Tests.Replay
public import Runtime.Tests.Schedule
public import Runtime.Tests.Session

@[expose] public noncomputable section

/-!
# The table of headlines: steps and runs
-/

namespace Antiphon.Tests.Headlines

open ConcurrencyTests

/-! ## Changed machines -/

/-- A machine that counts a round as one step. -/
def coarse (m : Machine) (a : Action) : Acted :=
  match a with
  | .round _ _ =>
    { machine := { (m.act a).machine with stepIndex := m.stepIndex + 1 }, shown := (m.act a).shown }
  | _ => m.act a

/-- A machine whose turn is two turns. -/
def doubled (m : Machine) (a : Action) : Acted :=
  match a with
  | .turn => (m.act .turn).machine.act .turn
  | _ => m.act a

/-- A machine that cancels its first session when it is to step and no coroutine is ready. -/
def restless (m : Machine) (a : Action) : Acted :=
  match m.queue with
  | [] => match a.free with
    | true => m.input (.cancel 0 [])
    | false => m.act a
  | _ :: _ => m.act a

/-- A machine in which the coroutines of a cancelled session stay in the queue. -/
def lingering (m : Machine) (a : Action) : Acted :=
  match a with
  | .input (.cancel session _) => { machine := lazyCancel m session, shown := (m.act a).shown }
  | _ => m.act a

/-- A round that commits its wave in reverse order of the picks that it shows. -/
def backwardsRound (m : Machine) (width quantum : Nat) : Acted :=
  let picks := (m.plan width quantum).picks
  let r := waveBackwards m { machine := m, events := [] } picks
  { machine := r.machine
    shown := { result := .round (steppedBy m picks) false, events := r.events, request := none } }

/-- A run of two sessions that each wait for the outcome of an effect. -/
def waiting : Run := ScheduleTests.asking.actAll [.turn, .turn]

/-- Two sessions are opened, and the first one is cancelled. -/
def cancelled : List Action :=
  [.input (.open [] []), .input (.open [] []), .input (.cancel 0 [])]

/-- The picks of a round of width 2 and quantum 2 on `looping`. -/
def fourPicks : List Pick := [⟨0, 0⟩, ⟨0, 0⟩, ⟨1, 0⟩, ⟨1, 0⟩]

/-! ## Steps -/

/-- Changed: a send also counts a message on another edge. -/
def step_frame : Headline where
  Subject := Context → Session → Nat → Stepped
  claim := Step.Frames
  real := step
  changed := Step.miscounts.step
  holds := @Antiphon.step_frame
  fails := Step.miscounts_not_frames

/-- A send on the first edge does not change the second. -/
theorem step_frame_applied :
    (step Step.cx Step.about 0).session.edges[1]? = Step.about.edges[1]? :=
  (Antiphon.step_frame Step.cx Step.about 0 0).edge 1 (by decide)

/-- Changed: a send also records the position of another coroutine. -/
def step_reads : Headline where
  Subject := Context → Session → Nat → Stepped
  claim := Step.Reads
  real := step
  changed := Step.spies.step
  holds := @Antiphon.step_reads
  fails := Step.spies_not_reads

/-- A send has the same events in two sessions that differ only where it does not read. -/
theorem step_reads_applied :
    (step Step.cx Step.about 0).events = (step Step.cx Step.elsewhere 0).events :=
  (Antiphon.step_reads Step.cx Step.about Step.elsewhere 0 0 Step.reads_shows.1).events

/-- Changed: a session that has ended continues to step. -/
def step_refused_unchanged : Headline where
  Subject := Context → Session → Nat → Stepped
  claim step := Step.Unchanged step Machine.input
  real := step
  changed := Step.goesOn.step
  holds := @Antiphon.step_refused_unchanged
  fails := Step.goesOn_not_unchanged

/-- A cancellation by another owner changes nothing, and a receive from an empty buffer has no
events. -/
theorem step_refused_unchanged_applied :
    (Step.machine.input (.cancel 0 [1])).machine = Step.machine ∧
      (step Step.cx Step.about 1).events = [] :=
  ⟨(Antiphon.step_refused_unchanged.1 Step.machine (.cancel 0 [1]) (.notOwner 0) rfl).1,
    (Antiphon.step_refused_unchanged.2.2 Step.cx Step.about 1 (.empty 0)
      Step.unchanged_shows.2.2.2.1).1⟩

/-! ## Waves -/

/-- Changed: the checker accepts picks that are not apart. -/
def check_wave_iff : Headline where
  Subject := Machine → WaveCertificate → Bool
  claim check := ∀ (m : Machine) (c : WaveCertificate), check m c = true ↔
    c.stepIndex = m.stepIndex ∧ c.queue = m.queue ∧
      (∃ w ws, c.picks = w :: ws ∧ m.policyPick = some w.pick) ∧
      (∀ w, w ∈ c.picks → w.Fits m) ∧ c.picks.Pairwise WavePick.Apart
  real := Machine.checkWave
  changed := looseCheck
  holds := @Antiphon.check_wave_iff
  fails h := loose_check_not_exact.2.1 ((h _ _).1 loose_check_not_exact.1).2.2.2.2

/-- The picks of an accepted plan are pairwise apart. -/
theorem check_wave_iff_applied : (looping.plan 2 2).picks.Pairwise WavePick.Apart :=
  ((Antiphon.check_wave_iff looping (looping.plan 2 2)).1 rfl).2.2.2.2

/-- Changed: a wave is committed in reverse order of its picks. -/
def certified_wave_exact : Headline where
  Subject := Machine → Run → List WavePick → Run
  claim wave := ∀ (m : Machine) (c : WaveCertificate) (log : List ObsEvent),
    m.checkWave c = true →
      wave m { machine := m, events := log } c.picks =
        Run.inTurn { machine := m, events := log } c.picks
  real := waveFrom
  changed := waveBackwards
  holds := @Antiphon.certified_wave_exact
  fails h := backwards_not_exact.2 (h _ _ _ backwards_not_exact.1)

/-- A wave of two picks of two steps each has the effect of its picks one after another. -/
theorem certified_wave_exact_applied :
    waveFrom looping { machine := looping, events := [] } (looping.plan 2 2).picks =
      Run.inTurn { machine := looping, events := [] } (looping.plan 2 2).picks :=
  Antiphon.certified_wave_exact looping (looping.plan 2 2) [] rfl

/-- Changed: the planner does not remove a planned session from the queue. -/
def plan_checks : Headline where
  Subject := Machine → Nat → Nat → WaveCertificate
  claim plan := ∀ (m : Machine) (width quantum : Nat), m.queue ≠ [] →
    m.checkWave (plan m (width + 1) (quantum + 1)) = true
  real := Machine.plan
  changed m width quantum :=
    { m.plan width quantum with picks := greedyFrom m quantum 0 width m.queue }
  holds := @Antiphon.plan_checks
  fails h :=
    Bool.false_ne_true (greedy_plan_fails.2.symm.trans (h (starving 0) 1 0 greedy_plan_fails.1))

/-- The checker accepts the plan of two picks. -/
theorem plan_checks_applied : looping.checkWave (looping.plan 2 2) = true :=
  Antiphon.plan_checks looping 1 1 (by decide)

/-! ## Rounds -/

/-- Changed: a round steps the head of the queue and not the pick of the policy. -/
def sched_round_threaded_one_eq_sched_round_one : Headline where
  Subject := Machine → Nat → Nat → Acted
  claim round := ∀ m : Machine, (round m 1 1).machine = m.schedRoundOne.machine ∧
    (round m 1 1).shown.events = m.schedRoundOne.shown.events
  real := Machine.schedRoundThreaded
  changed m _ _ := frontRound m
  holds := @Antiphon.sched_round_threaded_one_eq_sched_round_one
  fails h := front_round_not_canonical (h (starving 0)).1

/-- A round of width 1 of a machine with two ready coroutines is a canonical turn. -/
theorem sched_round_threaded_one_eq_sched_round_one_applied :
    (looping.schedRoundThreaded 1 1).machine = looping.schedRoundOne.machine :=
  (Antiphon.sched_round_threaded_one_eq_sched_round_one looping).1

/-- Changed: a wave is committed in reverse order of its picks. -/
def wave_is_its_turns : Headline where
  Subject := Machine → Run → List WavePick → Run
  claim wave := ∀ (m : Machine) (c : WaveCertificate), m.checkWave c = true →
    wave m { machine := m, events := [] } c.picks =
        Run.turns { machine := m, events := [] } (steppedBy m c.picks) ∧
      Run.allWanted { machine := m, events := [] } (steppedBy m c.picks)
  real := waveFrom
  changed := waveBackwards
  holds := @Antiphon.wave_is_its_turns
  fails h := absurd
    (congrArg (fun r => firstOf r.events) (h halting (halting.plan 2 1) backwards_not_exact.1).1)
    (by decide)

/-- A wave of two picks of two steps each is four turns. -/
theorem wave_is_its_turns_applied :
    waveFrom looping { machine := looping, events := [] } (looping.plan 2 2).picks =
      Run.turns { machine := looping, events := [] } fourPicks :=
  (Antiphon.wave_is_its_turns looping (looping.plan 2 2) rfl).1

/-- Changed: a round is committed in reverse order of the picks that it shows. -/
def round_is_its_pick_list : Headline where
  Subject := Machine → Nat → Nat → Acted
  claim round := ∀ (m : Machine) (width quantum : Nat) (picks : List Pick) (fellBack : Bool),
    (round m width quantum).shown.result = .round picks fellBack →
      ({ machine := (round m width quantum).machine
         events := (round m width quantum).shown.events } : Run) =
        Run.actAll { machine := m, events := [] } (picks.map .pick)
  real := Machine.schedRoundThreaded
  changed := backwardsRound
  holds := @Antiphon.round_is_its_pick_list
  fails h := absurd (congrArg (fun r => firstOf r.events) (h halting 2 1 _ _ rfl)) (by decide)

/-- A round of width 2 and quantum 2 is the run of four picks. -/
theorem round_is_its_pick_list_applied :
    (looping.schedRoundThreaded 2 2).machine =
      (Run.actAll { machine := looping, events := [] } (fourPicks.map .pick)).machine :=
  congrArg Run.machine (Antiphon.round_is_its_pick_list (m := looping) (width := 2) (quantum := 2)
    (picks := fourPicks) (fellBack := false) rfl)

/-- Changed: a round counts as one step. -/
def run_is_its_pick_list : Headline where
  Subject := Run → List Action → Run
  claim all := ∀ (r : Run) (as : List Action), all r as = all r (r.picked as)
  real := Run.actAll
  changed := actAllWith coarse
  holds := @Antiphon.run_is_its_pick_list
  fails h := absurd
    (congrArg (fun r => r.machine.stepIndex) (h ScheduleTests.endless [.round 2 2])) (by decide)

/-- A round followed by a turn is four picks followed by a turn. -/
theorem run_is_its_pick_list_applied :
    ScheduleTests.endless.actAll [.round 2 2, .turn] =
      ScheduleTests.endless.actAll [.pick ⟨0, 0⟩, .pick ⟨0, 0⟩, .pick ⟨1, 0⟩, .pick ⟨1, 0⟩, .turn] :=
  Antiphon.run_is_its_pick_list ScheduleTests.endless [.round 2 2, .turn]

/-! ## Schedules -/

/-- Changed: a session has turns only at the first step of the machine. -/
def threaded_round_refinement_premises : Headline where
  Subject := Machine → Deed → Acted
  claim := ThreadedRoundRefinementPremises
  real := Machine.perform
  changed := ScheduleTests.peeking
  holds := @Antiphon.threaded_round_refinement_premises
  fails := ScheduleTests.none_keeps.1

/-- A turn of the second session changes nothing that the first one sees. -/
theorem threaded_round_refinement_premises_applied :
    sessionView (looping.perform (.turn 1)).machine 0 = sessionView looping 0 :=
  (Antiphon.threaded_round_refinement_premises.frame looping 0 (.turn 1) rfl).1

/-- Changed: a round counts as one step. -/
def act_is_deeds : Headline where
  Subject := Machine → Action → Acted
  claim act := ∀ (m : Machine) (a : Action),
    ({ machine := (act m a).machine, events := (act m a).shown.events } : Run) =
      Run.deeds Machine.perform { machine := m, events := [] } (a.deeds (act m a).shown.result)
  real := Machine.act
  changed := coarse
  holds := @Antiphon.act_is_deeds
  fails h := absurd (congrArg (fun r => r.machine.stepIndex) (h looping (.round 2 2))) (by decide)

/-- A round of width 2 and quantum 2 is two turns of each session. -/
theorem act_is_deeds_applied :
    (looping.act (.round 2 2)).machine =
      (Run.deeds Machine.perform { machine := looping, events := [] }
        [.turn 0, .turn 0, .turn 1, .turn 1]).machine :=
  congrArg Run.machine (Antiphon.act_is_deeds looping (.round 2 2))

/-- Changed: a turn is two turns, the second one in another session. -/
def schedule_independence : Headline where
  Subject := Run → List Action → Run
  claim all := ∀ (r r' : Run) (j : Nat) (as as' : List Action), r.sight j = r'.sight j →
    r.dealtTo j as = r'.dealtTo j as' → SameSession j (all r as) (all r' as')
  real := Run.actAll
  changed := actAllWith doubled
  holds := @Antiphon.schedule_independence
  fails h := absurd
    (congrArg (fun s => s.map fun s => s.coroutines.map fun c => c.pc)
      (h ScheduleTests.endless ScheduleTests.endless 1 [.turn] [] rfl rfl).1)
    (by decide)

/-- Turns and a wave, with the answers at other times, leave the first session the same. -/
theorem schedule_independence_applied :
    SameSession 0 (ScheduleTests.asking.actAll ScheduleTests.slow)
      (ScheduleTests.asking.actAll ScheduleTests.mixed) :=
  Antiphon.schedule_independence (r := ScheduleTests.asking) (r' := ScheduleTests.asking) rfl rfl

/-- Changed: a turn is two turns, the second one in another session. -/
def same_turns_same_session : Headline where
  Subject := Run → List Action → Run
  claim all := ∀ (r r' : Run) (j : Nat) (as as' : List Action), r.sight j = r'.sight j →
    (∀ a, a ∈ as → a.free = true) → (∀ a, a ∈ as' → a.free = true) →
      (r.dealtTo j as).length = (r'.dealtTo j as').length → SameSession j (all r as) (all r' as')
  real := Run.actAll
  changed := actAllWith doubled
  holds := @Antiphon.same_turns_same_session
  fails h := absurd
    (congrArg (fun s => s.map fun s => s.coroutines.map fun c => c.pc)
      (h ScheduleTests.endless ScheduleTests.endless 1 [.turn] [] rfl (by decide) (by decide) rfl).1)
    (by decide)

/-- Three canonical turns, and a round of two steps followed by one turn, leave the first session
the same. -/
theorem same_turns_same_session_applied :
    SameSession 0 (ScheduleTests.endless.actAll [.turn, .turn, .turn])
      (ScheduleTests.endless.actAll [.round 1 2, .turn]) :=
  Antiphon.same_turns_same_session (r := ScheduleTests.endless) (r' := ScheduleTests.endless) rfl
    (by decide) (by decide) rfl

/-- Changed: a turn without a ready coroutine cancels the first session. -/
def complete_runs_agree : Headline where
  Subject := Run → List Action → Run
  claim all := ∀ (r r' : Run) (j : Nat) (as as' : List Action), r.sight j = r'.sight j →
    (r.dealtTo j as).filter Deed.asked = (r'.dealtTo j as').filter Deed.asked →
      r.restsAt j as → r'.restsAt j as' → SameSession j (all r as) (all r' as')
  real := Run.actAll
  changed := actAllWith restless
  holds := @Antiphon.complete_runs_agree
  fails h := absurd
    (congrArg (fun s => s.map fun s => s.ended) (h waiting waiting 0 [.turn] [] rfl rfl rfl rfl).1)
    (by decide)

/-- Two complete runs, in which the answers come after other turns, leave the first session the
same. -/
theorem complete_runs_agree_applied :
    SameSession 0 (ScheduleTests.asking.actAll ScheduleTests.slow)
      (ScheduleTests.asking.actAll ScheduleTests.mixed) :=
  Antiphon.complete_runs_agree (r := ScheduleTests.asking) (r' := ScheduleTests.asking) rfl rfl
    ⟨nofun, nofun, fun _ _ => rfl, nofun, nofun, nofun, rfl⟩
    ⟨nofun, nofun, nofun, nofun, fun _ _ => rfl, nofun, rfl⟩

/-- Changed: a round without a ready coroutine cancels the first session. -/
def complete_rounds_agree : Headline where
  Subject := Run → Nat → Nat → Nat → Run
  claim run := ∀ (r : Run) (width quantum rounds width' quantum' rounds' : Nat),
    (run r width quantum rounds).machine.queue = [] →
      (run r width' quantum' rounds').machine.queue = [] →
        (run r width quantum rounds).machine.sessions =
            (run r width' quantum' rounds').machine.sessions ∧
          ∀ j, toldOf j (run r width quantum rounds).events =
            toldOf j (run r width' quantum' rounds').events
  real := Run.runScheduledThreaded
  changed r width quantum rounds :=
    actAllWith restless r (List.replicate rounds (.round width quantum))
  holds := @Antiphon.complete_rounds_agree
  fails h := absurd
    (congrArg (fun ss => ss.map fun s => s.ended) (h waiting 1 1 0 1 1 1 rfl rfl).1) (by decide)

/-- One round of width 2 and quantum 3 ends with the same sessions as four rounds of width 1. -/
theorem complete_rounds_agree_applied :
    (ScheduleTests.short.runScheduledThreaded 2 3 1).machine.sessions =
      (ScheduleTests.short.runScheduledThreaded 1 1 4).machine.sessions :=
  (Antiphon.complete_rounds_agree ScheduleTests.short rfl rfl).1

/-- Changed: a round counts as one step. -/
def complete_schedules_same_machine : Headline where
  Subject := Run → List Action → Run
  claim all := ∀ (r : Run) (as as' : List Action), (∀ a, a ∈ as → a.free = true) →
    (∀ a, a ∈ as' → a.free = true) → (all r as).machine.queue = [] →
      (all r as').machine.queue = [] → (all r as).machine = (all r as').machine
  real := Run.actAll
  changed := actAllWith coarse
  holds := @Antiphon.complete_schedules_same_machine
  fails h := absurd
    (congrArg Machine.stepIndex (h ScheduleTests.short [.round 2 3] [.turn, .turn, .turn, .turn]
      (by decide) (by decide) rfl rfl))
    (by decide)

/-- A wave ends in the same machine as four turns. -/
theorem complete_schedules_same_machine_applied :
    (ScheduleTests.short.actAll [.round 2 3]).machine =
      (ScheduleTests.short.actAll [.turn, .turn, .turn, .turn]).machine :=
  Antiphon.complete_schedules_same_machine ScheduleTests.short (by decide) (by decide) rfl rfl

/-! ## The scheduler -/

/-- Changed: the coroutines of a cancelled session stay in the queue. -/
def queue_ready_of_run : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action),
    (run config images as).machine.QueueReady
  real := runOf
  changed := runWith lingering
  holds := @Antiphon.queue_ready_of_run
  fails h := lazy_cancel_not_ready
    (h { unfair with policy := .roundRobin, sessionsMax := 2 } [solo [.halt]] cancelled)

/-- After the first of two sessions has halted, the coroutine of the second one can step. -/
theorem queue_ready_of_run_applied :
    (runOf { unfair with sessionsMax := 2 } [solo [.halt]]
      [.input (.open [] []), .input (.open [] []), .turn]).machine.CanStep ⟨1, 0⟩ :=
  Antiphon.queue_ready_of_run _ _ _ _ (List.mem_of_getElem? (i := 0) rfl)

/-- Changed: a runner that takes no turn. -/
def round_robin_serves : Headline where
  Subject := Run → Nat → Run
  claim run := ∀ m : Machine, m.config.policy = .roundRobin → m.QueueReady →
    ∀ (k : Nat) (p : Pick), m.queue[k]? = some p →
      ∃ j, j ≤ k ∧
        let after := (run { machine := m, events := [] } j).machine
        after.policyPick = some p ∨ after.HasEnded p.session
  real := Run.runScheduled
  changed r _ := r
  holds := @Antiphon.round_robin_serves
  fails h := by
    obtain ⟨j, _, picked | ⟨s, how, hs, hp⟩⟩ :=
      h (spinningUnder .roundRobin) rfl (spinning_ready _) 1 ⟨0, 1⟩ rfl
    · exact absurd picked (by decide)
    · cases hs
      cases hp

/-- The second of two coroutines is picked after at most one turn. -/
theorem round_robin_serves_applied :
    ∃ j, j ≤ 1 ∧
      ((Run.runScheduled { machine := spinningUnder .roundRobin, events := [] } j).machine.policyPick =
          some ⟨0, 1⟩ ∨
        (Run.runScheduled { machine := spinningUnder .roundRobin, events := [] } j).machine.HasEnded 0) :=
  Antiphon.round_robin_serves (m := spinningUnder .roundRobin) rfl (spinning_ready _) (k := 1)
    (p := ⟨0, 1⟩) rfl

/-- Changed: the policy is round robin. -/
def priority_starves : Headline where
  Subject := SchedulingPolicy
  claim := Starves
  real := .priority
  changed := .roundRobin
  holds := @Antiphon.priority_starves
  fails := round_robin_does_not_starve

/-- After seven turns there is a coroutine that is queued and that the policy does not pick. -/
theorem priority_starves_applied :
    ∃ (m : Machine) (p : Pick), p ∈ (Run.runScheduled { machine := m, events := [] } 7).machine.queue ∧
      (Run.runScheduled { machine := m, events := [] } 7).machine.policyPick ≠ some p := by
  obtain ⟨m, p, _, stays⟩ := Antiphon.priority_starves
  obtain ⟨queued, ⟨q, picked, ne⟩, _⟩ := stays 7
  exact ⟨m, p, queued, fun h => ne (Option.some.inj (picked.symm.trans h))⟩

/-- Changed: a coroutine does not step under fixed priority. -/
def policy_not_in_step : Headline where
  Subject := Context → Session → Nat → Stepped
  claim step := ∀ (cx : Context) (p : SchedulingPolicy) (s : Session) (who : Nat),
    step { cx with config := { cx.config with policy := p } } s who = step cx s who
  real := step
  changed := bentStep
  holds := @Antiphon.policy_not_in_step
  fails h := let ⟨cx, p, s, who, ne⟩ := bent_step_depends; ne (h cx p s who)

/-- A send is the same under fixed priority. -/
theorem policy_not_in_step_applied :
    step { Step.cx with config := { Step.cx.config with policy := .priority } } Step.about 0 =
      step Step.cx Step.about 0 :=
  Antiphon.policy_not_in_step Step.cx .priority Step.about 0

/-! ## Sessions -/

/-- Changed: a send does not advance its endpoint. -/
def session_fidelity : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) (n : Nat) (s : Session) (i : Loaded),
    (run config (loadImages images) as).machine.sessions[n]? = some s →
      (loadImages images)[s.image]? = some i →
        ∀ (role : Nat) (endpoint : Endpoint), s.endpoints[role]? = some endpoint →
          i.follow role 0
              (i.communications role (logOf n (run config (loadImages images) as).events)) =
            some endpoint.state
  real := runOf
  changed := Session.run Session.lingers
  holds := @Antiphon.session_fidelity
  fails h := Session.lingers_not_followed fun config images as n s i role endpoint hs hi he =>
    h config images as n s i hs hi role endpoint he

/-- After a run, the communications of the first role lead to the last state of its automaton. -/
theorem session_fidelity_applied :
    (Session.loaded 0).follow 0 0
        ((Session.loaded 0).communications 0 (logOf 0 Session.ran.events)) = some 2 :=
  Antiphon.session_fidelity (Session.config 2) [([], Session.image 0)] Session.actions (n := 0) rfl rfl
    (role := 0) (endpoint := ⟨0, 2⟩) rfl

/-- Changed: a receive takes the second message of a buffer before the first. -/
def fifo_conservation : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) (n : Nat)
    (s : Session), (run config images as).machine.sessions[n]? = some s →
      let log := logOf n (run config images as).events
      (∀ k e, s.edges[k]? = some e →
        sentOn k log = takenOn k log ++ e.queue.map (Parcel.message k) ∧
        (sentOn k log).map Message.sequence = List.range e.sent ∧
        (takenOn k log).map Message.sequence = List.range (takenOn k log).length) ∧
      ∀ k, s.edges[k]? = none → sentOn k log = [] ∧ takenOn k log = []
  real := runOf
  changed := Session.run Session.reorders
  holds := @Antiphon.fifo_conservation
  fails h := Session.reorders_not_conserved fun config images as n s hs => h config images as n s hs

/-- After a run, two messages were sent over the first edge, numbered 0 and 1. -/
theorem fifo_conservation_applied :
    (sentOn 0 (logOf 0 Session.ran.events)).map Message.sequence = List.range 2 :=
  ((Antiphon.fifo_conservation (Session.config 2) (loadImages [([], Session.image 0)]) Session.actions
    (n := 0) rfl).1 0 _ rfl).2.1

/-- Changed: a buffer has room for one message more than the configuration allows. -/
def buffers_bounded : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action),
    ∀ s ∈ (run config images as).machine.sessions, ∀ e ∈ s.edges, e.queue.length ≤ config.bufferMax
  real := runOf
  changed := Session.run Session.overfull
  holds := @Antiphon.buffers_bounded
  fails := Session.overfull_not_bounded

/-- After a run, every buffer holds at most two messages. -/
theorem buffers_bounded_applied :
    (Session.ran.machine.sessions.all fun s => s.edges.all fun e => decide (e.queue.length ≤ 2)) =
      true := by
  simp only [List.all_eq_true, decide_eq_true_eq]
  exact Antiphon.buffers_bounded (Session.config 2) (loadImages [([], Session.image 0)]) Session.actions

/-- Changed: a receive does not check the payload. -/
def payload_sorts : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) (n : Nat) (s : Session) (i : Loaded),
    (run config (loadImages images) as).machine.sessions[n]? = some s →
      (loadImages images)[s.image]? = some i →
        ∀ (before after : List Event) (e : Event),
          logOf n (run config (loadImages images) as).events = before ++ e :: after → i.Proper before e
  real := runOf
  changed := Session.run Session.takesAny
  holds := @Antiphon.payload_sorts
  fails h := Session.takesAny_not_sorted fun config images as n s i before e after hs hi log =>
    h config images as n s i hs hi before after e log

/-- In the run in which the first role has sent one message, that message has the sort of its
branch. -/
theorem payload_sorts_applied :
    ∃ before e, logOf 0 (runOf (Session.config 2) [Session.loaded 0] (Session.picks [0, 0])).events =
      [before, e] ∧ (Session.loaded 0).Proper [before] e :=
  ⟨_, _, rfl, Antiphon.payload_sorts (Session.config 2) [([], Session.image 0)] (Session.picks [0, 0])
    (n := 0) rfl rfl (before := [_]) (after := []) rfl⟩

/-! ## Replay -/

/-- Changed: the replay answers at once what the run answered later. -/
def replay_sound : Headline where
  Subject := Driven → List Entry → Option Driven
  claim replay := ∀ (w : World) (past : List Entry) (d : Driven) (n : Nat),
    replay d (w.live past d n).2 = some (w.live past d n).1
  real := Driven.replay
  changed := Replay.replayEager
  holds := @Antiphon.replay_sound
  fails h := Replay.eager_not_sound (h Replay.slow [] Replay.start 3)

/-- A run with a failed and a repeated request is replayed. -/
theorem replay_sound_applied :
    Replay.start.replay (Replay.world.live [] Replay.start 5).2 =
      some (Replay.world.live [] Replay.start 5).1 :=
  Antiphon.replay_sound Replay.world [] Replay.start 5

/-- Changed: the replay does not compare requests. -/
def replay_faithful : Headline where
  Subject := Driven → List Entry → Option Driven
  claim replay := ∀ (log : List Entry) (d d' : Driven), replay d log = some d' →
    (recordedWorld log).live [] d log.length = (d', log) ∧
      ∀ before q answer after, log = before ++ .ask q answer :: after →
        ∃ now, (recordedWorld log).live [] d before.length = (now, before) ∧
          now.asked = some q ∧ replay (now.answer q answer) after = some d'
  real := Driven.replay
  changed := Replay.replayBlind
  holds := @Antiphon.replay_faithful
  fails h := let ⟨_, accepted, other⟩ := Replay.blind_takes_forged; other (h _ _ _ accepted).1

/-- The recording of a run is the recording in its own world. -/
theorem replay_faithful_applied :
    (recordedWorld (Replay.world.live [] Replay.start 5).2).live [] Replay.start
        (Replay.world.live [] Replay.start 5).2.length = Replay.world.live [] Replay.start 5 :=
  (Antiphon.replay_faithful _ _ _ (Antiphon.replay_sound Replay.world [] Replay.start 5)).1

/-! ## Effects -/

/-- Changed: an effect stays outstanding after its outcome. -/
def effect_one_outcome : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    (session number : Nat), endedIn number (logOf session (run config images as).events) ≤ 1
  real := runOf
  changed := Effects.keeps.run
  holds := @Antiphon.effect_one_outcome
  fails := Effects.keeps_not_oneOutcome

/-- An effect that failed and was issued again has ended at most once. -/
theorem effect_one_outcome_applied : endedIn 0 (logOf 0 Effects.ran.events) ≤ 1 :=
  Antiphon.effect_one_outcome Effects.config [Effects.image.load []] Effects.actions 0 0

/-- Changed: a session that ends does not invalidate its effects. -/
def issued_effect_ends : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    (session : Nat) (s : Session) (how : Ending),
    (run config images as).machine.sessions[session]? = some s → s.phase = .terminal how →
      ∀ (number coroutine operation attempt : Nat) (deadline : Option Nat),
        Event.effectIssued number coroutine operation attempt deadline ∈
            logOf session (run config images as).events →
          endedIn number (logOf session (run config images as).events) = 1
  real := runOf
  changed := Effects.forgets.run
  holds := @Antiphon.issued_effect_ends
  fails := Effects.forgets_not_ends

/-- The first effect of a cancelled session has ended. -/
theorem issued_effect_ends_applied : endedIn 0 (logOf 0 Effects.ran.events) = 1 :=
  Antiphon.issued_effect_ends Effects.config [Effects.image.load []] Effects.actions (session := 0) rfl
    (how := .cancelled) rfl (coroutine := 0) (operation := 0) (attempt := 0) (deadline := none)
    (List.mem_of_getElem? (i := 1) rfl)

/-- Changed: an outcome is accepted whenever its effect has been issued. -/
def late_outcome_changes_nothing : Headline where
  Subject := Machine → Ingress → Acted
  claim input := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    (effect : EffectId) (outcome : Outcome),
    0 < endedIn effect.number (logOf effect.session (runOf config images as).events) →
      ∃ s, (runOf config images as).machine.sessions[effect.session]? = some s ∧
        input (runOf config images as).machine (.outcome effect outcome) =
          { machine := (runOf config images as).machine
            shown := {
              result := .refused (.late { session := s.id, number := effect.number })
              events := []
              request := none } }
  real := Machine.input
  changed := Effects.believes.input
  holds := @Antiphon.late_outcome_changes_nothing
  fails h := by
    obtain ⟨s, _, hs⟩ := h Effects.config [Effects.image.load []]
      [.input (.open [] []), .turn, Effects.answer 0] ⟨0, 0⟩ (.success .unit) (by decide)
    exact absurd (congrArg (fun acted => acted.shown.events.length) hs : _ = 0) (by decide)

/-- A second answer to the first effect has no events. -/
theorem late_outcome_changes_nothing_applied :
    (Effects.ran.machine.input (.outcome ⟨0, 0⟩ (.success .unit))).shown.events = [] := by
  obtain ⟨s, _, hs⟩ := Antiphon.late_outcome_changes_nothing Effects.config [Effects.image.load []]
    Effects.actions ⟨0, 0⟩ (.success .unit) (by decide)
  exact congrArg (fun acted => acted.shown.events) hs

end Antiphon.Tests.Headlines

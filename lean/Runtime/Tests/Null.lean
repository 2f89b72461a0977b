module

public import Runtime.Tests.Headlines

@[expose] public noncomputable section

/-!
# The null machine

A machine that takes inputs and does nothing else: its turns, picks, rounds and waves change nothing
and show no events, and its step returns `.ran` and the session as it was. Every group of headlines
that speaks of runs should have one that is false of this machine. Today one group has.

| group | headlines that are false of the null machine | headlines that are true of it | what is missing |
| --- | --- | --- | --- |
| steps | none | all four | a step of a ready coroutine changes the session as its instruction says; for example, a send to a buffer with room appends the message and advances the endpoint |
| waves | none | `certified_wave_exact`; the others are about the checker and the planner | an accepted wave takes at least one step for each pick |
| rounds | none | `sched_round_threaded_one_eq_sched_round_one`, `round_is_its_pick_list`, `run_is_its_pick_list`, `act_is_deeds` | a round with a ready coroutine takes a step |
| schedules | none | the parts `frame`, `reads` and `rest` of the premises, `complete_rounds_agree`, `complete_schedules_same_machine` | a session with a ready coroutine that gets enough turns comes to rest or takes any number of steps |
| scheduler | `round_robin_serves` | `queue_ready_of_run` | the coroutine that is picked then steps: every ready coroutine steps within a bound |
| sessions | none | all four | a role whose send has room sends, and a role whose message has arrived takes it |
| session safety | none | both headlines about runs | a session of a certified image has a ready coroutine or an outstanding effect until it ends, and steps |
| replay | not stated | not stated: `Driven.act` is `Machine.act` | a recording of a run that has steps, and the model of the recording that drivers write |
| effects | none | all three | a coroutine that reaches an `invoke` issues an effect |

That something is true of the null machine is proved below for each headline that the table names,
except for `run_is_its_pick_list`, which follows from `rounds_picks`. `ready_is_queued`,
`waits_are_real` and a statement about the result `stuck` would not change the table: the null
machine never blocks a coroutine and never takes one out of the queue.
-/

namespace Antiphon.Tests.Null

open ConcurrencyTests

/-! ## The machine -/

/-- A step that does nothing. -/
def step (_ : Context) (s : Session) (_ : Nat) : Stepped :=
  { session := s, events := [], step := .ran, woken := none }

/-- The machine as it was, without events. -/
def nothing (m : Machine) : Acted :=
  { machine := m, shown := { result := .notReady, events := [], request := none } }

/-- Takes an input and does nothing else. -/
def act (m : Machine) : Action → Acted
  | .input ingress => m.input ingress
  | .turn => nothing m
  | .pick _ => nothing m
  | .round _ _ => nothing m
  | .wave _ => nothing m

/-- Takes an input and does nothing else. -/
def perform (m : Machine) : Deed → Acted
  | .input ingress => m.input ingress
  | .turn _ => nothing m
  | .pick _ => nothing m

/-- A wave, or its picks one after another, that do nothing. -/
def wave (_ : Machine) (r : Run) (_ : List WavePick) : Run := r

/-- A number of rounds. -/
def rounds (r : Run) (width quantum count : Nat) : Run :=
  actAllWith act r (List.replicate count (.round width quantum))

/-- A number of canonical turns. -/
def turns (r : Run) (count : Nat) : Run := actAllWith act r (List.replicate count .turn)

/-- The run of a list of actions. -/
def run : Runner := runWith act

/-- Whether an action is an input. -/
def isInput : Action → Bool
  | .input _ => true
  | _ => false

/-- A run of the null machine is the real machine's run of the inputs alone. -/
theorem actAll_inputs (r : Run) (as : List Action) :
    actAllWith act r as = r.actAll (as.filter isInput) := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih =>
    cases a with
    | input ingress => exact ih _
    | _ => simpa only [actAllWith, act, nothing, app_eq, List.append_nil, List.filter_cons, isInput,
        Bool.false_eq_true, if_false] using ih r

theorem run_inputs : run = fun config images as => runOf config images (as.filter isInput) := by
  funext config images as
  exact actAll_inputs _ as

/-- Without inputs, nothing happens. -/
theorem actAll_free (r : Run) {as : List Action} (free : ∀ a, a ∈ as → a.free = true) :
    actAllWith act r as = r := by
  rw [actAll_inputs, List.filter_eq_nil_iff.2]
  · rfl
  · intro a ha
    have := free a ha
    cases a <;> simp_all [Action.free, isInput]

/-! ## The headline that is false of it -/

/-- Under round robin, the second of two coroutines is never picked. -/
theorem scheduler_serves : ¬ Headlines.round_robin_serves.claim turns := by
  intro h
  obtain ⟨j, _, picked | ⟨s, how, hs, hp⟩⟩ :=
    h (spinningUnder .roundRobin) rfl (spinning_ready _) 1 ⟨0, 1⟩ rfl
  · have same : turns { machine := spinningUnder .roundRobin, events := [] } j = _ :=
      actAll_free _ (by
        intro a ha
        rw [(List.mem_replicate.1 ha).2]
        rfl)
    rw [same] at picked
    exact absurd picked (by decide)
  · have same : turns { machine := spinningUnder .roundRobin, events := [] } j = _ :=
      actAll_free _ (by
        intro a ha
        rw [(List.mem_replicate.1 ha).2]
        rfl)
    rw [same] at hs
    cases hs
    cases hp

/-! ## The headlines that are true of it -/

theorem steps_frame : Headlines.step_frame.claim step := fun _ s _ _ => Framed.refl _ _ s

theorem steps_reads : Headlines.step_reads.claim step :=
  fun _ _ _ _ _ _ => ⟨rfl, rfl, rfl, fun _ h => h⟩

theorem steps_refused : Headlines.step_refused_unchanged.claim step :=
  ⟨fun m x r h => by simp [Machine.input, h], fun _ _ _ _ => ⟨rfl, rfl⟩, fun _ _ _ _ h => by cases h⟩

theorem steps_policy : Headlines.policy_not_in_step.claim step := fun _ _ _ _ => rfl

/-- `certified_wave_exact`, for functions that run a wave and run its picks one after another. -/
def WaveExact (wave : Machine → Run → List WavePick → Run) (inTurn : Run → List WavePick → Run) :
    Prop :=
  ∀ (m : Machine) (c : WaveCertificate) (log : List ObsEvent), m.checkWave c = true →
    wave m { machine := m, events := log } c.picks = inTurn { machine := m, events := log } c.picks

theorem real_wave_exact : WaveExact waveFrom Run.inTurn := Antiphon.certified_wave_exact

theorem waves_exact : WaveExact wave fun r _ => r := fun _ _ _ _ => rfl

/-- `sched_round_threaded_one_eq_sched_round_one`, for a function that performs actions. -/
def RoundOne (act : Machine → Action → Acted) : Prop :=
  ∀ m : Machine, (act m (.round 1 1)).machine = (act m .turn).machine ∧
    (act m (.round 1 1)).shown.events = (act m .turn).shown.events

theorem real_round_one : RoundOne Machine.act := Antiphon.sched_round_threaded_one_eq_sched_round_one

theorem rounds_one : RoundOne act := fun _ => ⟨rfl, rfl⟩

/-- `round_is_its_pick_list`, for a function that performs actions. -/
def RoundPicks (act : Machine → Action → Acted) : Prop :=
  ∀ (m : Machine) (width quantum : Nat) (picks : List Pick) (fellBack : Bool),
    (act m (.round width quantum)).shown.result = .round picks fellBack →
      (act m (.round width quantum)).machine =
        (actAllWith act { machine := m, events := [] } (picks.map .pick)).machine

theorem actAll_real (r : Run) (as : List Action) : actAllWith Machine.act r as = r.actAll as := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih => exact ih _

theorem real_round_picks : RoundPicks Machine.act := by
  intro m width quantum picks fellBack h
  rw [actAll_real]
  exact congrArg Run.machine (Antiphon.round_is_its_pick_list h)

theorem rounds_picks : RoundPicks act := fun _ _ _ _ _ h =>
  Result.noConfusion (show Result.notReady = .round _ _ from h)

/-- `act_is_deeds`, for functions that perform actions and deeds. -/
def ActDeeds (act : Machine → Action → Acted) (perform : Machine → Deed → Acted) : Prop :=
  ∀ (m : Machine) (a : Action),
    ({ machine := (act m a).machine, events := (act m a).shown.events } : Run) =
      Run.deeds perform { machine := m, events := [] } (a.deeds (act m a).shown.result)

theorem real_act_deeds : ActDeeds Machine.act Machine.perform := Antiphon.act_is_deeds

theorem rounds_deeds : ActDeeds act perform := by
  intro m a
  cases a with
  | input ingress => simp [act, Action.deeds, Run.deeds, Run.deed, perform]
  | _ => rfl

/-- The premises that do not mention `Machine.act`. -/
theorem schedules_premises :
    (∀ (m : Machine) (j : Nat) (d : Deed), m.concerns j d = false →
      sessionView (perform m d).machine j = sessionView m j ∧
        toldOf j (perform m d).shown.events = []) ∧
    (∀ (m m' : Machine) (j : Nat) (d : Deed), sessionView m j = sessionView m' j →
      sessionView (perform m d).machine j = sessionView (perform m' d).machine j ∧
        toldOf j (perform m d).shown.events = toldOf j (perform m' d).shown.events) ∧
    ∀ (m : Machine) (j : Nat), partOf j m.queue = [] →
      sessionView (perform m (.turn j)).machine j = sessionView m j ∧
        toldOf j (perform m (.turn j)).shown.events = [] := by
  refine ⟨fun m j d h => ?_, fun m m' j d h => ?_, fun m j _ => ⟨rfl, rfl⟩⟩
  · cases d with
    | input ingress => exact Antiphon.threaded_round_refinement_premises.frame m j (.input ingress) h
    | _ => exact ⟨rfl, rfl⟩
  · cases d with
    | input ingress => exact Antiphon.threaded_round_refinement_premises.reads m m' j (.input ingress) h
    | _ => exact ⟨h, rfl⟩

theorem schedules_rounds : Headlines.complete_rounds_agree.claim rounds := by
  intro r width quantum count width' quantum' count' _ _
  have same : ∀ width quantum count, rounds r width quantum count = r := fun _ _ _ =>
    actAll_free r (rounds_free _ _ _)
  rw [same width quantum count, same width' quantum' count']
  exact ⟨rfl, fun _ => rfl⟩

theorem schedules_machine : Headlines.complete_schedules_same_machine.claim (actAllWith act) := by
  intro r as as' free free' _ _
  rw [actAll_free r free, actAll_free r free']

theorem scheduler_queue : Headlines.queue_ready_of_run.claim run := by
  rw [run_inputs]
  exact fun config images as => Antiphon.queue_ready_of_run config images _

theorem sessions_fidelity : Headlines.session_fidelity.claim run := by
  rw [run_inputs]
  exact fun config images as n s i hs hi role endpoint he =>
    Antiphon.session_fidelity config images _ hs hi he

theorem sessions_fifo : Headlines.fifo_conservation.claim run := by
  rw [run_inputs]
  exact fun config images as n s hs => Antiphon.fifo_conservation config images _ hs

theorem sessions_bounded : Headlines.buffers_bounded.claim run := by
  rw [run_inputs]
  exact fun config images as => Antiphon.buffers_bounded config images _

theorem sessions_sorts : Headlines.payload_sorts.claim run := by
  rw [run_inputs]
  exact fun config images as n s i hs hi before after e log =>
    Antiphon.payload_sorts config images _ hs hi log

theorem safety_sessions : Headlines.certified_sessions_safe.claim run := by
  rw [run_inputs]
  exact fun config images as n s image digest certificate accepted hs certified wide =>
    Antiphon.certified_sessions_safe accepted hs certified wide

theorem safety_larger : Headlines.certified_sessions_safe_larger_buffers.claim run := by
  rw [run_inputs]
  exact fun config images as n s image digest certificate accepted room hs certified larger =>
    Antiphon.certified_sessions_safe_larger_buffers accepted room hs certified larger

theorem effects_once : Headlines.effect_one_outcome.claim run := by
  rw [run_inputs]
  exact fun config images as => Antiphon.effect_one_outcome config images _

theorem effects_end : Headlines.issued_effect_ends.claim run := by
  rw [run_inputs]
  exact fun config images as session s how hs ended number coroutine operation attempt deadline issued =>
    Antiphon.issued_effect_ends config images _ hs ended issued

/-- `late_outcome_changes_nothing`, for a function that performs actions. -/
theorem effects_late : ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    (effect : EffectId) (outcome : Outcome),
    0 < endedIn effect.number (logOf effect.session (run config images as).events) →
      (act (run config images as).machine (.input (.outcome effect outcome))).machine =
        (run config images as).machine := by
  rw [run_inputs]
  intro config images as effect outcome ended
  obtain ⟨s, _, same⟩ := Antiphon.late_outcome_changes_nothing config images _ effect outcome ended
  exact congrArg Acted.machine same

end Antiphon.Tests.Null

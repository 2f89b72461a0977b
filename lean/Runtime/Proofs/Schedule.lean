module

public import Runtime.Contracts.RuntimeContracts
public import Runtime.Proofs.Concurrency.One

@[expose] public noncomputable section

/-!
# Sessions do not depend on how they are interleaved

How a session proceeds depends on its own turns and inputs in their order, and on nothing that
happens to other sessions in between. So runs of any width that continue until no coroutine is ready
agree for every session.

A session's trace has, for each of its events, the event's number in the session, the clock and the
event (`Told`). A stamp also has the machine's step index, which counts the steps of all sessions;
it is not part of the trace.
-/

namespace Antiphon

/-- The deeds of a list of actions that concern a session, in order. -/
def Run.dealtTo (j : Nat) (r : Run) (as : List Action) : List Deed :=
  r.heard Machine.perform j (r.dealt as)

/-- The session has no ready coroutine whenever the driver does something to it, and none at the
end. -/
def Run.restsAt (j : Nat) (r : Run) (as : List Action) : Prop :=
  r.restsIn Machine.perform j (r.dealt as)

/-- The session's state, its ready coroutines in order, and its trace are the same in two runs. -/
def SameSession (j : Nat) (r r' : Run) : Prop :=
  r.machine.sessions[j]? = r'.machine.sessions[j]? ∧
    partOf j r.machine.queue = partOf j r'.machine.queue ∧ toldOf j r.events = toldOf j r'.events

theorem same_of_sight {j : Nat} {r r' : Run} (h : r.sight j = r'.sight j) : SameSession j r r' := by
  obtain ⟨view, told⟩ := sight_iff.1 h
  obtain ⟨session, queue, _⟩ := view_iff.1 view
  exact ⟨session, queue, told⟩

/-- If two schedules of any turns, picks, rounds, waves and inputs give a session the same turns,
picks and inputs in the same order, and its view and trace are the same at their starts, then its
state, its ready coroutines and its trace are the same after both. -/
theorem schedule_independence {r r' : Run} {j : Nat} {as as' : List Action}
    (start : r.sight j = r'.sight j) (same : r.dealtTo j as = r'.dealtTo j as') :
    SameSession j (r.actAll as) (r'.actAll as') := by
  have h := threaded_round_refinement_premises
  rw [h.act_all, h.act_all]
  exact same_of_sight (h.independent start same)

/-! ## Schedules without inputs: only the number of turns counts -/

/-- Whether an action lets the policy choose which coroutines step. -/
def Action.free : Action → Bool
  | .turn => true
  | .round _ _ => true
  | .wave _ => true
  | .input _ => false
  | .pick _ => false

theorem result_turns_own (result : Result) {d : Deed} (h : d ∈ result.turns) : d.asked = false := by
  cases result with
  | stepped p s => simp [Result.turns] at h; subst h; rfl
  | round picks back =>
    simp only [Result.turns, List.mem_map] at h
    obtain ⟨_, _, rfl⟩ := h
    rfl
  | _ => simp [Result.turns] at h

theorem dealt_own {r : Run} {as : List Action} (free : ∀ a, a ∈ as → a.free = true) {d : Deed}
    (h : d ∈ r.dealt as) : d.asked = false := by
  induction as generalizing r with
  | nil => cases h
  | cons a as ih =>
    simp only [Run.dealt, List.mem_append] at h
    rcases h with h | h
    · have := free a List.mem_cons_self
      cases a with
      | turn => exact result_turns_own _ h
      | round => exact result_turns_own _ h
      | wave => exact result_turns_own _ h
      | input => cases this
      | pick => cases this
    · exact ih (fun a ha => free a (List.mem_cons_of_mem _ ha)) h

theorem heard_own {r : Run} {j : Nat} {ds : List Deed} (own : ∀ d, d ∈ ds → d.asked = false) :
    ∀ d, d ∈ r.heard Machine.perform j ds → d = .turn j := by
  induction ds generalizing r with
  | nil => simp [Run.heard]
  | cons d ds ih =>
    have ih := ih (r := r.deed Machine.perform d) fun d hd => own d (List.mem_cons_of_mem _ hd)
    intro x hx
    simp only [Run.heard] at hx
    split at hx
    · rename_i c
      rcases List.mem_cons.1 hx with rfl | hx
      · exact turn_of_concerns c (own x List.mem_cons_self)
      · exact ih x hx
    · exact ih x hx

/-- If two schedules of turns, rounds and waves of any widths, without inputs and picks, give a
session equally many turns, and its view and trace are the same at their starts, then its state, its
ready coroutines and its trace are the same after both. -/
theorem same_turns_same_session {r r' : Run} {j : Nat} {as as' : List Action}
    (start : r.sight j = r'.sight j) (free : ∀ a, a ∈ as → a.free = true)
    (free' : ∀ a, a ∈ as' → a.free = true)
    (turns : (r.dealtTo j as).length = (r'.dealtTo j as').length) :
    SameSession j (r.actAll as) (r'.actAll as') := by
  refine schedule_independence start ?_
  have h := List.eq_replicate_of_mem
    (heard_own (r := r) (j := j) fun _ => dealt_own (r := r) free)
  have h' := List.eq_replicate_of_mem
    (heard_own (r := r') (j := j) fun _ => dealt_own (r := r') free')
  unfold Run.dealtTo at turns ⊢
  rw [h, h', turns]

/-! ## Complete runs -/

/-- If two schedules give a session the same inputs and picks, each when it has no ready coroutine,
and it has none at the end, then its state, its ready coroutines and its trace are the same after
both, whatever turns they give it, provided that its view and trace are the same at their starts. -/
theorem complete_runs_agree {r r' : Run} {j : Nat} {as as' : List Action}
    (start : r.sight j = r'.sight j)
    (asked : (r.dealtTo j as).filter Deed.asked = (r'.dealtTo j as').filter Deed.asked)
    (rests : r.restsAt j as) (rests' : r'.restsAt j as') :
    SameSession j (r.actAll as) (r'.actAll as') := by
  have h := threaded_round_refinement_premises
  rw [h.act_all, h.act_all]
  exact same_of_sight (h.complete start asked rests rests')

theorem threaded_is_act_all (r : Run) (width quantum rounds : Nat) :
    r.runScheduledThreaded width quantum rounds =
      r.actAll (List.replicate rounds (.round width quantum)) := by
  induction rounds generalizing r with
  | zero => rfl
  | succ rounds ih => simp only [Run.runScheduledThreaded, List.replicate_succ, Run.actAll, ih]; rfl

theorem rests_of_own {r : Run} {j : Nat} {ds : List Deed} (own : ∀ d, d ∈ ds → d.asked = false)
    (rest : partOf j (r.deeds Machine.perform ds).machine.queue = []) :
    r.restsIn Machine.perform j ds := by
  induction ds generalizing r with
  | nil => exact rest
  | cons d ds ih =>
    refine ⟨fun _ asked => ?_, ih (fun d hd => own d (List.mem_cons_of_mem _ hd)) rest⟩
    rw [own d List.mem_cons_self] at asked
    cases asked

theorem rests_of_free {r : Run} {as : List Action} (j : Nat) (free : ∀ a, a ∈ as → a.free = true)
    (done : (r.actAll as).machine.queue = []) : r.restsAt j as := by
  refine rests_of_own (fun d => dealt_own free) ?_
  rw [← threaded_round_refinement_premises.act_all, done]
  rfl

theorem asked_of_free {r : Run} {as : List Action} (j : Nat) (free : ∀ a, a ∈ as → a.free = true) :
    (r.dealtTo j as).filter Deed.asked = [] := by
  refine List.filter_eq_nil_iff.2 fun d hd => ?_
  rw [heard_own (fun d => dealt_own free) d hd]
  nofun

/-- After two schedules without inputs and picks from the same start that continue until no
coroutine is ready, each session has the same view and the same trace. -/
theorem complete_sight {r : Run} {as as' : List Action} (j : Nat)
    (free : ∀ a, a ∈ as → a.free = true) (free' : ∀ a, a ∈ as' → a.free = true)
    (done : (r.actAll as).machine.queue = []) (done' : (r.actAll as').machine.queue = []) :
    (r.actAll as).sight j = (r.actAll as').sight j := by
  have h := threaded_round_refinement_premises
  have rests := rests_of_free j free done
  have rests' := rests_of_free j free' done'
  rw [h.act_all, h.act_all]
  exact h.complete rfl ((asked_of_free j free).trans (asked_of_free j free').symm) rests rests'

theorem rounds_free (width quantum rounds : Nat) :
    ∀ a, a ∈ List.replicate rounds (Action.round width quantum) → a.free = true := by
  intro a ha
  rw [(List.mem_replicate.1 ha).2]
  rfl

/-- Two runs of the threaded runner from the same start that continue until no coroutine is ready,
whatever their widths, quanta and numbers of rounds, end with the same sessions and the same trace
of every session. -/
theorem complete_rounds_agree (r : Run) {width quantum rounds width' quantum' rounds' : Nat}
    (done : (r.runScheduledThreaded width quantum rounds).machine.queue = [])
    (done' : (r.runScheduledThreaded width' quantum' rounds').machine.queue = []) :
    (r.runScheduledThreaded width quantum rounds).machine.sessions =
        (r.runScheduledThreaded width' quantum' rounds').machine.sessions ∧
      ∀ j, toldOf j (r.runScheduledThreaded width quantum rounds).events =
        toldOf j (r.runScheduledThreaded width' quantum' rounds').events := by
  rw [threaded_is_act_all] at done done'
  simp only [threaded_is_act_all]
  have agree := fun j =>
    same_of_sight (complete_sight j (rounds_free _ _ _) (rounds_free _ _ _) done done')
  exact ⟨List.ext_getElem? fun j => (agree j).1, fun j => (agree j).2.2⟩

/-- A run of the threaded runner of any width and quantum that continues until no coroutine is ready
ends with the same sessions and the same traces as a canonical run from the same start that does
so. -/
theorem complete_rounds_canonical (r : Run) {width quantum rounds rounds' : Nat}
    (done : (r.runScheduledThreaded width quantum rounds).machine.queue = [])
    (done' : (r.runScheduled rounds').machine.queue = []) :
    (r.runScheduledThreaded width quantum rounds).machine.sessions =
        (r.runScheduled rounds').machine.sessions ∧
      ∀ j, toldOf j (r.runScheduledThreaded width quantum rounds).events =
        toldOf j (r.runScheduled rounds').events := by
  rw [← run_scheduled_threaded_one_eq_run_scheduled] at done' ⊢
  exact complete_rounds_agree r done done'

end Antiphon

module

public import Runtime.Proofs.Schedule

@[expose] public noncomputable section

/-!
# Complete runs take the same steps

Every turn of a round is a step of a ready coroutine. So runs that continue until no coroutine is
ready give each session the same number of turns, take the same number of steps in total, and end in
the same machine.
-/

namespace Antiphon

/-! ## Every turn of an action is a step -/

theorem commitAll_stepIndex (r : Run) (μs : List Micro) :
    (r.commitAll μs).machine.stepIndex = r.machine.stepIndex + μs.length := by
  induction μs generalizing r with
  | nil => rfl
  | cons μ μs ih =>
    rw [Run.commitAll, ih, commit_stepIndex, List.length_cons]
    omega

theorem waveFrom_stepIndex (before : Machine) (r : Run) (ws : List WavePick) :
    (waveFrom before r ws).machine.stepIndex =
      r.machine.stepIndex + (steppedBy before ws).length := by
  induction ws generalizing r with
  | nil => rfl
  | cons w ws ih =>
    rw [waveFrom, ih, commitAll_stepIndex, steppedBy]
    simp only [app_eq, mapL_eq, List.length_append, List.length_map]
    omega

theorem sched_round_one_steps (m : Machine) :
    m.schedRoundOne.machine.stepIndex =
      m.stepIndex + m.schedRoundOne.shown.result.turns.length := by
  unfold Machine.schedRoundOne
  split
  · rfl
  · unfold Machine.turnOf
    split <;> rfl

theorem round_with_steps (m : Machine) (c : WaveCertificate) :
    (m.roundWith c).machine.stepIndex =
      m.stepIndex + (m.roundWith c).shown.result.turns.length := by
  cases check : m.checkWave c with
  | true =>
    have e : m.roundWith c = m.wave c := by simp only [Machine.roundWith, check]
    rw [e]
    simp only [Machine.wave, Result.turns, List.length_map]
    exact waveFrom_stepIndex _ _ _
  | false =>
    rw [(invalid_wave_is_one_step m c check).1, fallback_turns check]
    exact sched_round_one_steps m

/-- An action that lets the policy choose takes as many steps as it has turns. -/
theorem act_steps {m : Machine} {a : Action} (free : a.free = true) :
    (m.act a).machine.stepIndex =
      m.stepIndex + (a.deeds (m.act a).shown.result).length := by
  cases a with
  | input => cases free
  | pick => cases free
  | turn => exact sched_round_one_steps m
  | wave c => exact round_with_steps m c
  | round width quantum =>
    simp only [Machine.act, Action.deeds]
    unfold Machine.schedRoundThreaded
    split
    · rfl
    · split
      · exact sched_round_one_steps m
      · exact round_with_steps m _

theorem actAll_steps {r : Run} {as : List Action} (free : ∀ a, a ∈ as → a.free = true) :
    (r.actAll as).machine.stepIndex = r.machine.stepIndex + (r.dealt as).length := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih =>
    rw [Run.actAll, ih fun a ha => free a (List.mem_cons_of_mem _ ha)]
    simp only [Run.dealt, List.length_append, act_steps (m := r.machine) (free a List.mem_cons_self)]
    omega

/-! ## Every turn of an action belongs to a session with a ready coroutine -/

/-- Each session has a ready coroutine at each of its turns. -/
def Run.wanted (r : Run) : List Deed → Prop
  | [] => True
  | d :: ds =>
    (∀ j, d = .turn j → partOf j r.machine.queue ≠ []) ∧
      Run.wanted (r.deed Machine.perform d) ds

theorem wanted_append {r : Run} {ds es : List Deed} :
    r.wanted (ds ++ es) ↔ r.wanted ds ∧ (r.deeds Machine.perform ds).wanted es := by
  induction ds generalizing r with
  | nil => simp [Run.wanted, Run.deeds]
  | cons d ds ih => simp only [List.cons_append, Run.wanted, Run.deeds, ih, and_assoc]

theorem wanted_machine {r r' : Run} (h : r.machine = r'.machine) {ds : List Deed} (w : r.wanted ds) :
    r'.wanted ds := by
  induction ds generalizing r r' with
  | nil => trivial
  | cons d ds ih =>
    refine ⟨fun j e => h ▸ w.1 j e, ih ?_ w.2⟩
    simp only [Run.deed, h]

theorem part_of_bestOf {m : Machine} {p : Pick} (h : m.bestOf p.session = some p) :
    partOf p.session m.queue ≠ [] :=
  List.ne_nil_of_mem (mem_partOf.2 (bestOf_mem h))

theorem wanted_turns {r : Run} {ps : List Pick} (h : r.allWanted ps) :
    r.wanted (ps.map fun p => .turn p.session) := by
  induction ps generalizing r with
  | nil => trivial
  | cons p ps ih =>
    refine ⟨fun j e => ?_, ?_⟩
    · cases e
      exact part_of_bestOf h.1
    · have one : r.turns [p] = r.deed Machine.perform (.turn p.session) :=
        turns_are_deeds (ps := [p]) ⟨h.1, trivial⟩
      rw [← one]
      exact ih h.2

theorem sched_round_one_wanted (m : Machine) (log : List ObsEvent) :
    Run.wanted { machine := m, events := log } m.schedRoundOne.shown.result.turns := by
  cases hp : m.policyPick with
  | none => simp [Machine.schedRoundOne, hp, Result.turns, Run.wanted]
  | some p =>
    have best : m.bestOf p.session = some p := by
      simpa [Machine.bestOf] using best_of_session hp
    simp only [Machine.schedRoundOne, hp]
    unfold Machine.turnOf
    split
    · trivial
    · refine ⟨fun j e => ?_, trivial⟩
      cases e
      exact part_of_bestOf best

theorem round_with_wanted (m : Machine) (c : WaveCertificate) (log : List ObsEvent) :
    Run.wanted { machine := m, events := log } (m.roundWith c).shown.result.turns := by
  cases check : m.checkWave c with
  | true =>
    have e : m.roundWith c = m.wave c := by simp only [Machine.roundWith, check]
    rw [e]
    simp only [Machine.wave, Result.turns]
    exact wanted_machine (r := { machine := m, events := [] })
      (r' := { machine := m, events := log }) rfl
      (wanted_turns (wave_is_its_turns m c check).2)
  | false =>
    rw [fallback_turns check]
    exact sched_round_one_wanted m log

theorem act_wanted {m : Machine} {a : Action} (free : a.free = true) (log : List ObsEvent) :
    Run.wanted { machine := m, events := log } (a.deeds (m.act a).shown.result) := by
  cases a with
  | input => cases free
  | pick => cases free
  | turn => exact sched_round_one_wanted m log
  | wave c => exact round_with_wanted m c log
  | round width quantum =>
    simp only [Machine.act, Action.deeds]
    unfold Machine.schedRoundThreaded
    split
    · trivial
    · split
      · exact sched_round_one_wanted m log
      · exact round_with_wanted m _ log

theorem dealt_wanted {r : Run} {as : List Action} (free : ∀ a, a ∈ as → a.free = true) :
    r.wanted (r.dealt as) := by
  induction as generalizing r with
  | nil => trivial
  | cons a as ih =>
    refine wanted_append.2 ⟨act_wanted (free a List.mem_cons_self) _, ?_⟩
    refine wanted_machine ?_ (ih fun a ha => free a (List.mem_cons_of_mem _ ha))
    have log := deeds_log Machine.perform r.machine r.events []
      (a.deeds (r.machine.act a).shown.result)
    rw [← act_is_deeds, List.append_nil] at log
    exact (congrArg Run.machine log).symm

/-! ## So complete runs give a session the same turns -/

/-- If a session's view and trace are the same at the start of two lists of turns, each turn belongs
to a session that then has a ready coroutine, and the session has none after either list, then it
has the same turns in both. -/
theorem same_turns {r r' : Run} {j : Nat} {ds ds' : List Deed} (start : r.sight j = r'.sight j)
    (own : ∀ d, d ∈ ds → d.asked = false) (own' : ∀ d, d ∈ ds' → d.asked = false)
    (wanted : r.wanted ds) (wanted' : r'.wanted ds')
    (rest : partOf j (r.deeds Machine.perform ds).machine.queue = [])
    (rest' : partOf j (r'.deeds Machine.perform ds').machine.queue = []) :
    r.heard Machine.perform j ds = r'.heard Machine.perform j ds' := by
  have h := threaded_round_refinement_premises
  suffices all : ∀ n (r r' : Run) (ds ds' : List Deed), ds.length + ds'.length ≤ n →
      r.sight j = r'.sight j → (∀ d, d ∈ ds → d.asked = false) → (∀ d, d ∈ ds' → d.asked = false) →
      r.wanted ds → r'.wanted ds' →
      partOf j (r.deeds Machine.perform ds).machine.queue = [] →
      partOf j (r'.deeds Machine.perform ds').machine.queue = [] →
      r.heard Machine.perform j ds = r'.heard Machine.perform j ds' from
    all _ r r' ds ds' (Nat.le_refl _) start own own' wanted wanted' rest rest'
  clear start own own' wanted wanted' rest rest'
  intro n
  induction n with
  | zero =>
    intro r r' ds ds' short _ _ _ _ _ _ _
    have e : ds = [] := List.eq_nil_of_length_eq_zero (by omega)
    have e' : ds' = [] := List.eq_nil_of_length_eq_zero (by omega)
    subst e e'
    rfl
  | succ n ih =>
    intro r r' ds ds' short start own own' wanted wanted' rest rest'
    have queue : partOf j r.machine.queue = partOf j r'.machine.queue :=
      (view_iff.1 (sight_iff.1 start).1).2.1
    have right : ∀ d' es, ds' = d' :: es → r'.machine.concerns j d' = false →
        r.heard Machine.perform j ds = r'.heard Machine.perform j ds' := by
      intro d' es e c
      subst e
      simp only [List.length_cons] at short
      have := ih r (r'.deed Machine.perform d') ds es (by omega) (start.trans (h.deed_frame c).symm)
        own (fun d hd => own' d (List.mem_cons_of_mem _ hd)) wanted wanted'.2 rest rest'
      simpa [Run.heard, c] using this
    cases ds with
    | nil =>
      cases ds' with
      | nil => rfl
      | cons d' es =>
        cases c : r'.machine.concerns j d' with
        | false => exact right d' es rfl c
        | true =>
          exact absurd (queue.symm.trans rest)
            (wanted'.1 j (turn_of_concerns c (own' d' List.mem_cons_self)))
    | cons d ds =>
      simp only [List.length_cons] at short
      have own₁ := fun x hx => own x (List.mem_cons_of_mem d hx)
      cases c : r.machine.concerns j d with
      | false =>
        have := ih (r.deed Machine.perform d) r' ds ds' (by omega) ((h.deed_frame c).trans start) own₁
          own' wanted.2 wanted' rest rest'
        simpa [Run.heard, c] using this
      | true =>
        have e := turn_of_concerns c (own d List.mem_cons_self)
        cases ds' with
        | nil => exact absurd (queue.trans rest') (wanted.1 j e)
        | cons d' es =>
          cases c' : r'.machine.concerns j d' with
          | false => exact right d' es rfl c'
          | true =>
            have e' := turn_of_concerns c' (own' d' List.mem_cons_self)
            subst e e'
            simp only [List.length_cons] at short
            have := ih (r.deed Machine.perform (.turn j)) (r'.deed Machine.perform (.turn j)) ds es
              (by omega) (h.deed_reads _ start) own₁
              (fun x hx => own' x (List.mem_cons_of_mem _ hx)) wanted.2 wanted'.2 rest rest'
            simp [Run.heard, c, c', this]

/-- The session of a turn or a pick. -/
def Deed.whose : Deed → Nat
  | .turn session => session
  | .pick p => p.session
  | .input _ => 0

theorem heard_count {r : Run} {j : Nat} {ds : List Deed} (own : ∀ d, d ∈ ds → d.asked = false) :
    (r.heard Machine.perform j ds).length = (ds.map Deed.whose).count j := by
  induction ds generalizing r with
  | nil => rfl
  | cons d ds ih =>
    have ih := ih (r := r.deed Machine.perform d) fun x hx => own x (List.mem_cons_of_mem _ hx)
    have := own d List.mem_cons_self
    cases d with
    | turn i =>
      by_cases e : i = j
      · simp [Run.heard, Machine.concerns, Deed.whose, e, ← ih]
      · simp [Run.heard, Machine.concerns, Deed.whose, e, ih]
    | pick p => cases this
    | input i => cases this

/-- Two schedules of turns, rounds and waves from the same start, after which no coroutine is ready,
end in the same machine, including sessions, clock and step index. -/
theorem complete_schedules_same_machine (r : Run) {as as' : List Action}
    (free : ∀ a, a ∈ as → a.free = true) (free' : ∀ a, a ∈ as' → a.free = true)
    (done : (r.actAll as).machine.queue = []) (done' : (r.actAll as').machine.queue = []) :
    (r.actAll as).machine = (r.actAll as').machine := by
  have h := threaded_round_refinement_premises
  have own := fun d => dealt_own (r := r) (d := d) free
  have own' := fun d => dealt_own (r := r) (d := d) free'
  have count : ∀ j, ((r.dealt as).map Deed.whose).count j =
      ((r.dealt as').map Deed.whose).count j := by
    intro j
    rw [← heard_count (r := r) own, ← heard_count (r := r) own']
    refine congrArg List.length (same_turns rfl own own' (dealt_wanted free) (dealt_wanted free')
      ?_ ?_)
    · rw [← h.act_all, done]; rfl
    · rw [← h.act_all, done']; rfl
  have length := (List.perm_iff_count.2 count).length_eq
  simp only [List.length_map] at length
  have steps : (r.actAll as).machine.stepIndex = (r.actAll as').machine.stepIndex := by
    rw [actAll_steps free, actAll_steps free', length]
  have views := fun j => view_iff.1 (sight_iff.1 (complete_sight j free free' done done')).1
  have sessions := List.ext_getElem? fun j => (views j).1
  obtain ⟨_, _, _, clock, config, images⟩ := views 0
  generalize (r.actAll as).machine = m at *
  generalize (r.actAll as').machine = m' at *
  cases m
  cases m'
  simp_all

/-- Two runs of the threaded runner from the same start that continue until no coroutine is ready,
whatever their widths, quanta and numbers of rounds, end in the same machine. -/
theorem complete_rounds_same_machine (r : Run) {width quantum rounds width' quantum' rounds' : Nat}
    (done : (r.runScheduledThreaded width quantum rounds).machine.queue = [])
    (done' : (r.runScheduledThreaded width' quantum' rounds').machine.queue = []) :
    (r.runScheduledThreaded width quantum rounds).machine =
      (r.runScheduledThreaded width' quantum' rounds').machine := by
  rw [threaded_is_act_all] at done done'
  simp only [threaded_is_act_all]
  exact complete_schedules_same_machine r (rounds_free _ _ _) (rounds_free _ _ _) done done'

end Antiphon

module

public import Runtime.Proofs.Schedule.Deeds

@[expose] public noncomputable section

/-!
# What a runner of many sessions must guarantee

The premises under which a session does not depend on how the sessions are interleaved, stated for
any function that performs deeds; what follows from the premises; and the proof that the machine
with its whole instruction set satisfies them.
-/

namespace Antiphon

/-- The premises under which rounds of many sessions refine canonical rounds. -/
structure ThreadedRoundRefinementPremises (perform : Machine → Deed → Acted) : Prop where
  /-- Frame: a deed that does not concern a session changes nothing that the session sees and adds
  nothing to its trace. -/
  frame : ∀ (m : Machine) (j : Nat) (d : Deed), m.concerns j d = false →
    sessionView (perform m d).machine j = sessionView m j ∧ toldOf j (perform m d).shown.events = []
  /-- Locality of reads: how a deed changes what a session sees, and what it adds to the session's
  trace, depends only on what the session sees. -/
  reads : ∀ (m m' : Machine) (j : Nat) (d : Deed), sessionView m j = sessionView m' j →
    sessionView (perform m d).machine j = sessionView (perform m' d).machine j ∧
      toldOf j (perform m d).shown.events = toldOf j (perform m' d).shown.events
  /-- Rest: a turn of a session without a ready coroutine changes nothing that the session sees and
  adds nothing to its trace. -/
  rest : ∀ (m : Machine) (j : Nat), partOf j m.queue = [] →
    sessionView (perform m (.turn j)).machine j = sessionView m j ∧
      toldOf j (perform m (.turn j)).shown.events = []
  /-- Order of commits: every action, including a wave of many sessions, leaves the machine and the
  events of the deeds that it shows, performed one after another. -/
  order : ∀ (m : Machine) (a : Action),
    ({ machine := (m.act a).machine, events := (m.act a).shown.events } : Run) =
      Run.deeds perform { machine := m, events := [] } (a.deeds (m.act a).shown.result)

/-- The machine, with every instruction and every input, satisfies the premises. -/
theorem threaded_round_refinement_premises : ThreadedRoundRefinementPremises Machine.perform where
  frame _ _ _ := perform_frame
  reads _ _ _ d := perform_reads d
  rest m j h := by rw [perform_rest h]; exact ⟨rfl, rfl⟩
  order := act_is_deeds

namespace ThreadedRoundRefinementPremises

variable {perform : Machine → Deed → Acted} (h : ThreadedRoundRefinementPremises perform)
include h

theorem deed_frame {r : Run} {j : Nat} {d : Deed} (other : r.machine.concerns j d = false) :
    (r.deed perform d).sight j = r.sight j := by
  obtain ⟨view, told⟩ := h.frame r.machine j d other
  exact sight_iff.2 ⟨view, by simp [Run.deed, toldOf_append, told]⟩

theorem deed_reads {r r' : Run} {j : Nat} (d : Deed) (same : r.sight j = r'.sight j) :
    (r.deed perform d).sight j = (r'.deed perform d).sight j := by
  obtain ⟨view, told⟩ := sight_iff.1 same
  obtain ⟨view', told'⟩ := h.reads r.machine r'.machine j d view
  exact sight_iff.2 ⟨view', by simp [Run.deed, toldOf_append, told, told']⟩

theorem deed_rest {r : Run} {j : Nat} (rest : partOf j r.machine.queue = []) :
    (r.deed perform (.turn j)).sight j = r.sight j := by
  obtain ⟨view, told⟩ := h.rest r.machine j rest
  exact sight_iff.2 ⟨view, by simp [Run.deed, toldOf_append, told]⟩

theorem deeds_reads {r r' : Run} {j : Nat} (ds : List Deed) (same : r.sight j = r'.sight j) :
    (r.deeds perform ds).sight j = (r'.deeds perform ds).sight j := by
  induction ds generalizing r r' with
  | nil => exact same
  | cons d ds ih => exact ih (h.deed_reads d same)

/-- It follows from the premises that a session's view and trace are the same after all deeds as
after only those deeds that concern it. -/
theorem deeds_heard (r : Run) (j : Nat) (ds : List Deed) :
    (r.deeds perform ds).sight j = (r.deeds perform (r.heard perform j ds)).sight j := by
  induction ds generalizing r with
  | nil => rfl
  | cons d ds ih =>
    simp only [Run.deeds, Run.heard]
    split
    · exact ih _
    · rename_i other
      rw [ih]
      exact h.deeds_reads _ (h.deed_frame (by simpa using other))

/-- It follows from the premises that a session's view and trace are the same after two lists of
deeds in which the deeds that concern it are the same, if they are the same at the start. -/
theorem independent {r r' : Run} {j : Nat} {ds ds' : List Deed} (start : r.sight j = r'.sight j)
    (same : r.heard perform j ds = r'.heard perform j ds') :
    (r.deeds perform ds).sight j = (r'.deeds perform ds').sight j := by
  rw [h.deeds_heard r, h.deeds_heard r', same]
  exact h.deeds_reads _ start

/-- It follows from the premises that a session's view and trace are the same after two lists of
deeds, whatever turns they give it, if they are the same at the start, the same picks and inputs
concern it, and it has no ready coroutine before any of these nor at the end. -/
theorem complete {r r' : Run} {j : Nat} {ds ds' : List Deed} (start : r.sight j = r'.sight j)
    (same : (r.heard perform j ds).filter Deed.asked = (r'.heard perform j ds').filter Deed.asked)
    (rests : r.restsIn perform j ds) (rests' : r'.restsIn perform j ds') :
    (r.deeds perform ds).sight j = (r'.deeds perform ds').sight j := by
  suffices all : ∀ n (r r' : Run) (ds ds' : List Deed), ds.length + ds'.length ≤ n →
      r.sight j = r'.sight j →
      (r.heard perform j ds).filter Deed.asked = (r'.heard perform j ds').filter Deed.asked →
      r.restsIn perform j ds → r'.restsIn perform j ds' →
      (r.deeds perform ds).sight j = (r'.deeds perform ds').sight j from
    all _ r r' ds ds' (Nat.le_refl _) start same rests rests'
  intro n
  induction n with
  | zero =>
    intro r r' ds ds' short start _ _ _
    have : ds = [] := List.eq_nil_of_length_eq_zero (by omega)
    have : ds' = [] := List.eq_nil_of_length_eq_zero (by omega)
    simp_all [Run.deeds]
  | succ n ih =>
    intro r r' ds ds' short start same rests rests'
    have queue : partOf j r.machine.queue = partOf j r'.machine.queue :=
      (view_iff.1 (sight_iff.1 start).1).2.1
    -- A deed that changes nothing for the session can be left out on either side.
    have left : ∀ d ds, ds.length + ds'.length ≤ n → r.restsIn perform j (d :: ds) →
        ((r.deed perform d).heard perform j ds).filter Deed.asked =
          (r'.heard perform j ds').filter Deed.asked →
        (r.deed perform d).sight j = r.sight j →
        (r.deeds perform (d :: ds)).sight j = (r'.deeds perform ds').sight j :=
      fun d ds short rests same nothing =>
        ih _ _ ds ds' short (nothing.trans start) same rests.2 rests'
    have right : ∀ d ds', ds.length + ds'.length ≤ n → r'.restsIn perform j (d :: ds') →
        (r.heard perform j ds).filter Deed.asked =
          ((r'.deed perform d).heard perform j ds').filter Deed.asked →
        (r'.deed perform d).sight j = r'.sight j →
        (r.deeds perform ds).sight j = (r'.deeds perform (d :: ds')).sight j :=
      fun d ds' short rests' same nothing =>
        ih _ _ ds ds' short (start.trans nothing.symm) same rests rests'.2
    cases ds with
    | nil =>
      have rest' : partOf j r'.machine.queue = [] := queue ▸ rests
      cases ds' with
      | nil => exact start
      | cons d' ds' =>
        simp only [List.length_nil, List.length_cons] at short
        cases c : r'.machine.concerns j d' with
        | false =>
          simp only [Run.heard, c] at same
          exact right d' ds' (by simp; omega) rests' (by simpa [Run.heard] using same) (h.deed_frame c)
        | true =>
          cases own : d'.asked with
          | true => simp [Run.heard, c, own] at same
          | false =>
            simp [Run.heard, c, own] at same
            have := turn_of_concerns c own
            subst this
            exact right _ ds' (by simp; omega) rests' (by simpa [Run.heard] using same)
              (h.deed_rest rest')
    | cons d ds =>
      simp only [List.length_cons] at short
      cases c : r.machine.concerns j d with
      | false =>
        refine left d ds (by omega) rests ?_ (h.deed_frame c)
        simpa [Run.heard, c] using same
      | true =>
        cases own : d.asked with
        | false =>
          have := turn_of_concerns c own
          subst this
          by_cases rest : partOf j r.machine.queue = []
          · refine left _ ds (by omega) rests ?_ (h.deed_rest rest)
            simpa [Run.heard, c, own] using same
          · cases ds' with
            | nil => exact absurd (queue.trans rests') rest
            | cons d' ds' =>
              simp only [List.length_cons] at short
              cases c' : r'.machine.concerns j d' with
              | false =>
                refine right d' ds' (by simp; omega) rests' ?_ (h.deed_frame c')
                simpa [Run.heard, c'] using same
              | true =>
                cases own' : d'.asked with
                | true => exact absurd (queue.trans (rests'.1 c' own')) rest
                | false =>
                  have := turn_of_concerns c' own'
                  subst this
                  refine ih _ _ ds ds' (by omega) (h.deed_reads _ start) ?_ rests.2 rests'.2
                  simpa [Run.heard, c, c', own] using same
        | true =>
          have rest := rests.1 c own
          cases ds' with
          | nil => simp [Run.heard, c, own] at same
          | cons d' ds' =>
            simp only [List.length_cons] at short
            cases c' : r'.machine.concerns j d' with
            | false =>
              refine right d' ds' (by simp; omega) rests' ?_ (h.deed_frame c')
              simpa [Run.heard, c'] using same
            | true =>
              cases own' : d'.asked with
              | false =>
                have := turn_of_concerns c' own'
                subst this
                refine right _ ds' (by simp; omega) rests' ?_ (h.deed_rest (queue ▸ rest))
                simpa [Run.heard, c', own'] using same
              | true =>
                simp only [Run.heard, c, c', if_true, List.filter_cons, own, own',
                  List.cons.injEq] at same
                obtain ⟨e, same⟩ := same
                subst e
                exact ih _ _ ds ds' (by omega) (h.deed_reads _ start) same rests.2 rests'.2

/-- It follows from the premises that a list of actions has the effect of its deeds, performed one
after another. -/
theorem act_all (r : Run) (as : List Action) : r.actAll as = r.deeds perform (r.dealt as) := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih =>
    have e := h.order r.machine a
    have log := deeds_log perform r.machine r.events []
      (a.deeds (r.machine.act a).shown.result)
    rw [← e, List.append_nil] at log
    simp only [Run.actAll, Run.dealt, deeds_append, ih]
    rw [show r = { machine := r.machine, events := r.events } from rfl] at *
    rw [log]
    simp only [app_eq]

end ThreadedRoundRefinementPremises

end Antiphon

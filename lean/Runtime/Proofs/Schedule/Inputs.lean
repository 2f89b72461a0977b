module

public import Runtime.Proofs.Schedule.View
public import Runtime.Proofs.Schedule.Due

@[expose] public noncomputable section

/-!
# What a session sees of an input

An outcome and a cancellation concern one session. The clock concerns all sessions, but its effect
on a session depends only on what that session sees. Sessions that are already open see nothing of a
new one.
-/

namespace Antiphon

theorem partOf_settleResumed_self (j : Nat) (queue : List Pick) (r : Resumed) :
    partOf j (settleResumed queue j r) = settleResumed (partOf j queue) j r := by
  cases r with
  | ready c => exact partOf_enqueue_self ..
  | reissued => rfl
  | faulted => exact partOf_dropSession_comm ..

theorem partOf_settleResumed_ne {i j : Nat} (h : i ≠ j) (queue : List Pick) (r : Resumed) :
    partOf j (settleResumed queue i r) = partOf j queue := by
  cases r with
  | ready c => exact partOf_enqueue_ne h ..
  | reissued => rfl
  | faulted => exact partOf_dropSession h _

/-! ## Outcomes and cancellations -/

theorem outcome_other {m : Machine} {e : EffectId} {o : Outcome} {j : Nat} (h : e.session ≠ j) :
    sessionView (m.input (.outcome e o)).machine j = sessionView m j ∧
      toldOf j (m.input (.outcome e o)).shown.events = [] := by
  simp only [Machine.input, Machine.ingress, Machine.takeOutcome]
  cases m.find e.session with
  | none => exact ⟨rfl, rfl⟩
  | some found =>
    simp only
    cases resume (m.context found.2) found.1 e.number o with
    | error => exact ⟨rfl, rfl⟩
    | ok taken =>
      refine ⟨view_set_ne (s := taken.session.counted taken.events) h ?_
        (partOf_settleResumed_ne h _ _) rfl rfl rfl, toldOf_stamp_ne h ..⟩
      simp [Machine.put]

theorem outcome_self {m m' : Machine} {e : EffectId} {o : Outcome}
    (same : sessionView m e.session = sessionView m' e.session) :
    sessionView (m.input (.outcome e o)).machine e.session =
        sessionView (m'.input (.outcome e o)).machine e.session ∧
      toldOf e.session (m.input (.outcome e o)).shown.events =
        toldOf e.session (m'.input (.outcome e o)).shown.events := by
  obtain ⟨_, h2, _, h4, _, _⟩ := view_iff.1 same
  simp only [Machine.input, Machine.ingress, Machine.takeOutcome, find_of_view same,
    context_of_view same]
  cases m'.find e.session with
  | none => exact ⟨same, rfl⟩
  | some found =>
    simp only
    cases resume (m'.context found.2) found.1 e.number o with
    | error => exact ⟨same, rfl⟩
    | ok taken =>
      constructor
      · refine view_set_self (s := taken.session.counted taken.events) same ?_ ?_ ?_ rfl rfl rfl rfl
          rfl rfl
        · simp [Machine.put]
        · simp [Machine.put]
        · simp only [partOf_settleResumed_self, h2]
      · simp only [h4]
        exact toldOf_stamp ..

theorem cancel_other {m : Machine} {i j : Nat} {owner : Bytes} (h : i ≠ j) :
    sessionView (m.input (.cancel i owner)).machine j = sessionView m j ∧
      toldOf j (m.input (.cancel i owner)).shown.events = [] := by
  simp only [Machine.input, Machine.ingress, Machine.cancel, getAt_eq]
  cases m.sessions[i]? with
  | none => exact ⟨rfl, rfl⟩
  | some s =>
    simp only
    cases sameBytes s.owner owner with
    | false => exact ⟨rfl, rfl⟩
    | true =>
      simp only
      cases s.phase with
      | terminal => exact ⟨rfl, rfl⟩
      | active =>
        refine ⟨view_set_ne (s := (cancel s).1.counted (cancel s).2) h ?_
          (partOf_dropSession h _) rfl rfl rfl, toldOf_stamp_ne h ..⟩
        simp [Machine.put]

theorem cancel_self {m m' : Machine} {j : Nat} {owner : Bytes}
    (same : sessionView m j = sessionView m' j) :
    sessionView (m.input (.cancel j owner)).machine j =
        sessionView (m'.input (.cancel j owner)).machine j ∧
      toldOf j (m.input (.cancel j owner)).shown.events =
        toldOf j (m'.input (.cancel j owner)).shown.events := by
  obtain ⟨h1, h2, _, h4, _, _⟩ := view_iff.1 same
  simp only [Machine.input, Machine.ingress, Machine.cancel, getAt_eq, h1]
  cases m'.sessions[j]? with
  | none => exact ⟨same, rfl⟩
  | some s =>
    simp only
    cases sameBytes s.owner owner with
    | false => exact ⟨same, rfl⟩
    | true =>
      simp only
      cases s.phase with
      | terminal => exact ⟨same, rfl⟩
      | active =>
        constructor
        · refine view_set_self (s := (cancel s).1.counted (cancel s).2) same ?_ ?_ ?_ rfl rfl rfl rfl
            rfl rfl
          · simp [Machine.put]
          · simp [Machine.put]
          · simp only [partOf_dropSession_comm, h2]
        · simp only [h4]
          exact toldOf_stamp ..

/-! ## The clock -/

/-- What a session sees of a machine that is expiring what is due, and its trace. -/
abbrev Expiring.sight (j : Nat) (x : Expiring) : View × List Told :=
  Antiphon.sight j x.machine x.events

theorem effect_other {x : Expiring} {d : Due} {j : Nat} (h : d.session ≠ j) :
    (x.effect d).sight j = x.sight j := by
  unfold Expiring.effect
  cases x.machine.find d.session with
  | none => rfl
  | some found =>
    simp only
    cases expire (x.machine.context found.2) found.1 d.number with
    | none => rfl
    | some taken =>
      refine sight_iff.2 ⟨view_set_ne (s := taken.session.counted taken.events) h ?_
        (partOf_settleResumed_ne h _ _) rfl rfl rfl, ?_⟩
      · simp [Machine.put]
      · simp [toldOf_append, toldOf_stamp_ne h]

theorem effect_self {x x' : Expiring} {d : Due} (same : x.sight d.session = x'.sight d.session) :
    (x.effect d).sight d.session = (x'.effect d).sight d.session := by
  obtain ⟨view, told⟩ := sight_iff.1 same
  obtain ⟨_, h2, _, h4, _, _⟩ := view_iff.1 view
  unfold Expiring.effect
  simp only [find_of_view view, context_of_view view]
  cases x'.machine.find d.session with
  | none => exact same
  | some found =>
    simp only
    cases expire (x'.machine.context found.2) found.1 d.number with
    | none => exact same
    | some taken =>
      refine sight_iff.2 ⟨view_set_self (s := taken.session.counted taken.events) view ?_ ?_ ?_ rfl
        rfl rfl rfl rfl rfl, ?_⟩
      · simp [Machine.put]
      · simp [Machine.put]
      · simp only [partOf_settleResumed_self, h2]
      · simp only [app_eq, toldOf_append, told, h4]
        rw [toldOf_stamp]

theorem witness_other {x : Expiring} {d : Due} {j : Nat} (h : d.session ≠ j) :
    (x.witness d).sight j = x.sight j := by
  unfold Expiring.witness
  rw [getAt_eq]
  cases x.machine.sessions[d.session]? with
  | none => rfl
  | some s =>
    refine sight_iff.2 ⟨view_set_ne
      (s := (expireWitness s d.number).1.counted (expireWitness s d.number).2) h ?_ rfl rfl rfl rfl, ?_⟩
    · simp [Machine.put]
    · simp [toldOf_append, toldOf_stamp_ne h]

theorem witness_self {x x' : Expiring} {d : Due} (same : x.sight d.session = x'.sight d.session) :
    (x.witness d).sight d.session = (x'.witness d).sight d.session := by
  obtain ⟨view, told⟩ := sight_iff.1 same
  obtain ⟨h1, h2, _, h4, _, _⟩ := view_iff.1 view
  unfold Expiring.witness
  rw [getAt_eq, getAt_eq, h1]
  cases x'.machine.sessions[d.session]? with
  | none => exact same
  | some s =>
    refine sight_iff.2 ⟨view_set_self
      (s := (expireWitness s d.number).1.counted (expireWitness s d.number).2) view ?_ ?_ h2 rfl rfl rfl
      rfl rfl rfl, ?_⟩
    · simp [Machine.put]
    · simp [Machine.put]
    · simp only [app_eq, toldOf_append, told, h4]
      rw [toldOf_stamp]

/-- If steps of a fold for other sessions change nothing for a session, and steps for it depend only
on what it sees, the fold's effect on the session depends only on its own part of the list. -/
theorem fold_sight {f : Expiring → Due → Expiring} {j : Nat}
    (other : ∀ x d, d.session ≠ j → (f x d).sight j = x.sight j)
    (self : ∀ x x' d, d.session = j → x.sight j = x'.sight j → (f x d).sight j = (f x' d).sight j)
    {x x' : Expiring} {ds ds' : List Due} (same : x.sight j = x'.sight j)
    (due : dueOf j ds = dueOf j ds') : (foldL f x ds).sight j = (foldL f x' ds').sight j := by
  have own : ∀ (ds : List Due) (x x' : Expiring), x.sight j = x'.sight j →
      (foldL f x ds).sight j = (foldL f x' (dueOf j ds)).sight j := by
    intro ds
    induction ds with
    | nil => intro _ _ same; exact same
    | cons d ds ih =>
      intro x x' same
      by_cases h : d.session = j
      · have : dueOf j (d :: ds) = d :: dueOf j ds := by simp [dueOf, h]
        rw [this]
        exact ih _ _ (self _ _ _ h same)
      · have : dueOf j (d :: ds) = dueOf j ds := by simp [dueOf, h]
        rw [this]
        exact ih _ _ ((other _ _ h).trans same)
  rw [own ds x x' same, own ds' x' x' rfl, due]

/-- How an advance of the clock changes what a session sees, and what it adds to the session's
trace, depends only on what the session sees. -/
theorem advance_self {m m' : Machine} {j ticks : Nat} (same : sessionView m j = sessionView m' j) :
    sessionView (m.input (.advanceClock ticks)).machine j =
        sessionView (m'.input (.advanceClock ticks)).machine j ∧
      toldOf j (m.input (.advanceClock ticks)).shown.events =
        toldOf j (m'.input (.advanceClock ticks)).shown.events := by
  obtain ⟨h1, h2, h3, h4, h5, h6⟩ := view_iff.1 same
  simp only [Machine.input, Machine.ingress, Machine.advance, h4]
  cases Nat.ble (m'.clock + ticks) tickMax with
  | false => exact ⟨same, rfl⟩
  | true =>
    have later : sessionView { m with clock := m'.clock + ticks } j =
        sessionView { m' with clock := m'.clock + ticks } j :=
      view_iff.2 ⟨h1, h2, h3, rfl, h5, h6⟩
    have effects := fold_sight (j := j) (f := Expiring.effect) (fun _ _ h => effect_other h)
      (fun _ _ _ h same => by subst h; exact effect_self same)
      (x := { machine := { m with clock := m'.clock + ticks }, events := [], expired := 0 })
      (x' := { machine := { m' with clock := m'.clock + ticks }, events := [], expired := 0 })
      (sight_iff.2 ⟨later, rfl⟩)
      (due_effects_of_view (clock := m'.clock + ticks) (ss := m.sessions) (ss' := m'.sessions) h1)
    have h1' := (view_iff.1 (sight_iff.1 effects).1).1
    have all := fold_sight (j := j) (f := Expiring.witness) (fun _ _ h => witness_other h)
      (fun _ _ _ h same => by subst h; exact witness_self same) effects
      (due_witnesses_of_view (clock := m'.clock + ticks) h1')
    exact sight_iff.1 all

/-! ## Opening -/

theorem partOf_newPicks_ne {i j : Nat} (h : i ≠ j) (n count : Nat) :
    partOf j (newPicks i n count) = [] := by
  induction count generalizing n with
  | zero => rfl
  | succ count ih => simpa [newPicks, h] using ih (n + 1)

/-- A session that is already open sees nothing of an opening, and its trace does not change. -/
theorem open_other {m : Machine} {digest owner : Bytes} {j : Nat} (h : j < m.sessions.length) :
    sessionView (m.input (.open digest owner)).machine j = sessionView m j ∧
      toldOf j (m.input (.open digest owner)).shown.events = [] := by
  have ne : m.sessions.length ≠ j := by omega
  simp only [Machine.input, Machine.ingress, Machine.open, len_eq]
  cases imageRow digest 0 m.images with
  | none => exact ⟨rfl, rfl⟩
  | some row =>
    simp only
    cases Nat.blt m.sessions.length m.config.sessionsMax with
    | false => exact ⟨rfl, rfl⟩
    | true =>
      simp only
      cases Nat.ble owner.length nameMax with
      | false => exact ⟨rfl, rfl⟩
      | true =>
        refine ⟨view_iff.2 ⟨?_, ?_, ?_, rfl, rfl, rfl⟩, toldOf_stamp_ne ne ..⟩
        · simp [List.getElem?_append_left h]
        · simp only [app_eq, partOf, List.filter_append]
          rw [show (newPicks _ _ _).filter _ = [] from partOf_newPicks_ne ne ..]
          simp
        · simp only [app_eq, List.length_append, List.length_singleton]
          omega

/-- If session `j` is not open yet, its view after an opening, and its trace, depend only on its
view before. -/
theorem open_self {m m' : Machine} {digest owner : Bytes} {j : Nat} (h : ¬ j < m.sessions.length)
    (same : sessionView m j = sessionView m' j) :
    sessionView (m.input (.open digest owner)).machine j =
        sessionView (m'.input (.open digest owner)).machine j ∧
      toldOf j (m.input (.open digest owner)).shown.events =
        toldOf j (m'.input (.open digest owner)).shown.events := by
  have h' := mt (opened_of_view same).2 h
  obtain ⟨h1, h2, h3, h4, h5, h6⟩ := view_iff.1 same
  have count : m.sessions.length = m'.sessions.length := by omega
  simp only [Machine.input, Machine.ingress, Machine.open, len_eq, count, h5, h6]
  cases imageRow digest 0 m'.images with
  | none => exact ⟨same, rfl⟩
  | some row =>
    simp only
    cases Nat.blt m'.sessions.length m'.config.sessionsMax with
    | false => exact ⟨same, rfl⟩
    | true =>
      simp only
      cases Nat.ble owner.length nameMax with
      | false => exact ⟨same, rfl⟩
      | true =>
        refine ⟨view_iff.2 ⟨?_, ?_, ?_, h4, rfl, rfl⟩, ?_⟩
        · simp only [app_eq, List.getElem?_append, h', if_false, count]
        · simp only [app_eq, partOf, List.filter_append]
          rw [show m.queue.filter _ = m'.queue.filter _ from h2]
        · simp only [app_eq, List.length_append, List.length_singleton, count]
        · simp only [h4]
          exact toldOf_stamp ..

end Antiphon

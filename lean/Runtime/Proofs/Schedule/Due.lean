module

public import Runtime.Proofs.Concurrency.Check

@[expose] public noncomputable section

/-!
# What is due, session by session

The machine sorts everything that is due by time, session and number. One session's part of the
sorted list is the sorted list of its own part.
-/

namespace Antiphon

theorem dueLess_iff {a b : Due} : dueLess a b = true ↔
    a.time < b.time ∨ a.time = b.time ∧ (a.session < b.session ∨
      a.session = b.session ∧ a.number < b.number) := by
  have less : ∀ x y, Nat.blt x y = decide (x < y) := fun x y => by rw [Bool.eq_iff_iff]; simp
  have equal : ∀ x y, Nat.beq x y = decide (x = y) := fun x y => by rw [Bool.eq_iff_iff]; simp
  simp only [dueLess, less, equal]
  by_cases h1 : a.time < b.time
  · simp [h1]
  · by_cases h2 : a.time = b.time
    · by_cases h3 : a.session < b.session
      · simp [h2, h3]
      · by_cases h4 : a.session = b.session <;> simp [h2, h3, h4]
    · simp [h1, h2]

/-- No item is less than an item before it. -/
def Ordered (ds : List Due) : Prop := ds.Pairwise fun a b => ¬ dueLess b a = true

theorem mem_insertBy {y z : Due} {xs : List Due} :
    z ∈ insertBy dueLess y xs ↔ z = y ∨ z ∈ xs := by
  induction xs with
  | nil => simp [insertBy]
  | cons x xs ih =>
    simp only [insertBy]
    split <;> simp only [List.mem_cons, ih]
    constructor
    · rintro (h | h | h) <;> simp [h]
    · rintro (h | h | h) <;> simp [h]

theorem insertBy_front {y : Due} {xs : List Due} (h : ∀ z, z ∈ xs → dueLess y z = true) :
    insertBy dueLess y xs = y :: xs := by
  cases xs with
  | nil => rfl
  | cons x xs => simp only [insertBy, h x List.mem_cons_self]

theorem insertBy_ordered {y : Due} {xs : List Due} (h : Ordered xs) :
    Ordered (insertBy dueLess y xs) := by
  induction xs with
  | nil => simp [insertBy, Ordered]
  | cons x xs ih =>
    have ⟨first, rest⟩ := List.pairwise_cons.1 h
    simp only [insertBy]
    split
    · rename_i less
      refine List.pairwise_cons.2 ⟨fun z hz => ?_, h⟩
      rcases List.mem_cons.1 hz with rfl | hz
      · rw [dueLess_iff] at less ⊢; omega
      · have := first z hz
        rw [dueLess_iff] at this less ⊢; omega
    · rename_i more
      refine List.pairwise_cons.2 ⟨fun z hz => ?_, ih rest⟩
      rcases mem_insertBy.1 hz with rfl | hz
      · simp [more]
      · exact first z hz

theorem insertBy_filter (p : Due → Bool) {y : Due} {xs : List Due} (h : Ordered xs) :
    (insertBy dueLess y xs).filter p =
      if p y then insertBy dueLess y (xs.filter p) else xs.filter p := by
  induction xs with
  | nil => simp [insertBy, List.filter_cons]
  | cons x xs ih =>
    have ⟨first, rest⟩ := List.pairwise_cons.1 h
    simp only [insertBy]
    split
    · rename_i less
      have front : ∀ z, z ∈ (x :: xs).filter p → dueLess y z = true := by
        intro z hz
        rcases List.mem_cons.1 (List.mem_filter.1 hz).1 with rfl | hz
        · exact less
        · have := first z hz
          rw [dueLess_iff] at this less ⊢; omega
      rw [insertBy_front front, List.filter_cons]
    · rename_i more
      rw [List.filter_cons, List.filter_cons, ih rest]
      cases p x <;> cases p y <;> simp [insertBy, more]

theorem sortBy_ordered (xs : List Due) : Ordered (sortBy dueLess xs) := by
  induction xs with
  | nil => exact List.Pairwise.nil
  | cons x xs ih => exact insertBy_ordered ih

theorem sortBy_filter (p : Due → Bool) (xs : List Due) :
    (sortBy dueLess xs).filter p = sortBy dueLess (xs.filter p) := by
  induction xs with
  | nil => rfl
  | cons x xs ih =>
    rw [sortBy, insertBy_filter p (sortBy_ordered xs), ih]
    cases h : p x <;> simp [h, sortBy]

/-! ## One session's part -/

/-- The part of one session. -/
abbrev dueOf (j : Nat) (ds : List Due) : List Due := ds.filter fun d => Nat.beq d.session j

theorem dueEffects_session {clock i : Nat} {es : List Effect} {d : Due}
    (h : d ∈ dueEffects clock i es) : d.session = i := by
  induction es with
  | nil => cases h
  | cons e es ih =>
    simp only [dueEffects] at h
    split at h
    · exact ih h
    · split at h
      · rcases List.mem_cons.1 h with rfl | h
        · rfl
        · exact ih h
      · exact ih h

theorem dueWitnesses_session {clock i : Nat} {ws : List Witness} {d : Due}
    (h : d ∈ dueWitnesses clock i ws) : d.session = i := by
  induction ws with
  | nil => cases h
  | cons w ws ih =>
    simp only [dueWitnesses] at h
    split at h
    · rcases List.mem_cons.1 h with rfl | h
      · rfl
      · exact ih h
    · exact ih h

theorem dueOf_self {j : Nat} {ds : List Due} (h : ∀ d, d ∈ ds → d.session = j) :
    dueOf j ds = ds :=
  List.filter_eq_self.2 fun d hd => by simp [h d hd]

theorem dueOf_none {j : Nat} {ds : List Due} (h : ∀ d, d ∈ ds → d.session ≠ j) :
    dueOf j ds = [] :=
  List.filter_eq_nil_iff.2 fun d hd => by simp [h d hd]

theorem allDueEffects_later {clock n : Nat} {ss : List Session} {d : Due}
    (h : d ∈ allDueEffects clock n ss) : n ≤ d.session := by
  induction ss generalizing n with
  | nil => cases h
  | cons s ss ih =>
    simp only [allDueEffects, app_eq, List.mem_append] at h
    rcases h with h | h
    · exact Nat.le_of_eq (dueEffects_session h).symm
    · have := ih h; omega

theorem allDueWitnesses_later {clock n : Nat} {ss : List Session} {d : Due}
    (h : d ∈ allDueWitnesses clock n ss) : n ≤ d.session := by
  induction ss generalizing n with
  | nil => cases h
  | cons s ss ih =>
    simp only [allDueWitnesses, app_eq, List.mem_append] at h
    rcases h with h | h
    · exact Nat.le_of_eq (dueWitnesses_session h).symm
    · have := ih h; omega

theorem dueOf_effects (clock j n : Nat) (ss : List Session) (h : n ≤ j) :
    dueOf j (allDueEffects clock n ss) = match ss[j - n]? with
      | some s => dueEffects clock j s.effects
      | none => [] := by
  induction ss generalizing n with
  | nil => simp [allDueEffects, dueOf]
  | cons s ss ih =>
    rw [allDueEffects, app_eq, dueOf, List.filter_append]
    by_cases e : n = j
    · subst e
      rw [show (dueEffects clock n s.effects).filter _ = _ from
        dueOf_self fun d hd => dueEffects_session hd,
        show (allDueEffects clock (n + 1) ss).filter _ = [] from
        dueOf_none fun d hd => by have := allDueEffects_later hd; omega]
      simp
    · rw [show (dueEffects clock n s.effects).filter _ = [] from
        dueOf_none fun d hd => by rw [dueEffects_session hd]; exact e]
      have : j - n = (j - (n + 1)) + 1 := by omega
      rw [this, List.getElem?_cons_succ, List.nil_append]
      exact ih (n + 1) (by omega)

theorem dueOf_witnesses (clock j n : Nat) (ss : List Session) (h : n ≤ j) :
    dueOf j (allDueWitnesses clock n ss) = match ss[j - n]? with
      | some s => dueWitnesses clock j s.witnesses
      | none => [] := by
  induction ss generalizing n with
  | nil => simp [allDueWitnesses, dueOf]
  | cons s ss ih =>
    rw [allDueWitnesses, app_eq, dueOf, List.filter_append]
    by_cases e : n = j
    · subst e
      rw [show (dueWitnesses clock n s.witnesses).filter _ = _ from
        dueOf_self fun d hd => dueWitnesses_session hd,
        show (allDueWitnesses clock (n + 1) ss).filter _ = [] from
        dueOf_none fun d hd => by have := allDueWitnesses_later hd; omega]
      simp
    · rw [show (dueWitnesses clock n s.witnesses).filter _ = [] from
        dueOf_none fun d hd => by rw [dueWitnesses_session hd]; exact e]
      have : j - n = (j - (n + 1)) + 1 := by omega
      rw [this, List.getElem?_cons_succ, List.nil_append]
      exact ih (n + 1) (by omega)

/-- A session's part of the effects that are due depends only on that session. -/
theorem due_effects_of_view {clock j : Nat} {ss ss' : List Session} (h : ss[j]? = ss'[j]?) :
    dueOf j (sortBy dueLess (allDueEffects clock 0 ss)) =
      dueOf j (sortBy dueLess (allDueEffects clock 0 ss')) := by
  have := dueOf_effects clock j 0 ss (Nat.zero_le _)
  have := dueOf_effects clock j 0 ss' (Nat.zero_le _)
  simp_all [dueOf, sortBy_filter]

theorem due_witnesses_of_view {clock j : Nat} {ss ss' : List Session} (h : ss[j]? = ss'[j]?) :
    dueOf j (sortBy dueLess (allDueWitnesses clock 0 ss)) =
      dueOf j (sortBy dueLess (allDueWitnesses clock 0 ss')) := by
  have := dueOf_witnesses clock j 0 ss (Nat.zero_le _)
  have := dueOf_witnesses clock j 0 ss' (Nat.zero_le _)
  simp_all [dueOf, sortBy_filter]

end Antiphon

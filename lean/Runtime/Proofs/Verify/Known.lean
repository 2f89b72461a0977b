module

public import Runtime.ProtocolMachine.Verify.Known
public import Runtime.Proofs.Session.Runs

@[expose] public section

/-!
# The meaning of abstract values

`Known.Holds` gives an abstract value its meaning. The tests of verification are sound for it.
-/

namespace Antiphon

/-! ## Equality -/

mutual
/-- `Value.same` compares values. -/
theorem Value.same_eq : ∀ (a b : Value), Value.same a b = true → a = b
  | .unit, b, h => by cases b <;> simp_all [Value.same]
  | .bool x, b, h => by
    cases b with
    | bool y => cases x <;> cases y <;> simp_all [Value.same]
    | _ => simp [Value.same] at h
  | .nat x, b, h => by cases b <;> simp_all [Value.same]
  | .int x, b, h => by cases b <;> simp_all [Value.same]
  | .text x, b, h => by
    cases b with
    | text y => simp only [Value.same] at h; rw [sameBytes_eq h]
    | _ => simp [Value.same] at h
  | .bytes x, b, h => by
    cases b with
    | bytes y => simp only [Value.same] at h; rw [sameBytes_eq h]
    | _ => simp [Value.same] at h
  | .list xs, b, h => by
    cases b with
    | list ys => simp only [Value.same] at h; rw [Value.sameAll_eq xs ys h]
    | _ => simp [Value.same] at h
  | .record xs, b, h => by
    cases b with
    | record ys => simp only [Value.same] at h; rw [Value.sameAll_eq xs ys h]
    | _ => simp [Value.same] at h
  | .endpoint x, b, h => by cases b <;> simp_all [Value.same]
  | .evidence x, b, h => by cases b <;> simp_all [Value.same]

/-- `Value.sameAll` compares lists of values. -/
theorem Value.sameAll_eq : ∀ (as bs : List Value), Value.sameAll as bs = true → as = bs
  | [], bs, h => by cases bs <;> simp_all [Value.sameAll]
  | a :: as, bs, h => by
    cases bs with
    | nil => simp [Value.sameAll] at h
    | cons b bs =>
      simp only [Value.sameAll] at h
      split at h
      · rename_i same
        rw [Value.same_eq a b same, Value.sameAll_eq as bs h]
      · cases h
end

/-- `Known.same` compares abstract values. -/
theorem Known.same_eq {a b : Known} (h : Known.same a b = true) : a = b := by
  cases a <;> cases b <;> simp_all [Known.same]
  exact Value.same_eq _ _ h

/-! ## Values of a sort -/

section
variable {sorts : List PayloadSort} {s : Nat} {v : Value}

theorem isOf_congr {a b : Nat} (h : sorts[a]? = sorts[b]?) : v.isOf sorts a = v.isOf sorts b := by
  cases v <;> simp only [Value.isOf, getAt_eq, h]

theorem isOf_bool (h : sorts[s]? = some .bool) : v.isOf sorts s = true ↔ ∃ b, v = .bool b := by
  cases v <;> simp [Value.isOf, h]

theorem isOf_nat (h : sorts[s]? = some .nat) : v.isOf sorts s = true ↔ ∃ n, v = .nat n := by
  cases v <;> simp [Value.isOf, h]

theorem isOf_bytes (h : sorts[s]? = some .bytes) : v.isOf sorts s = true ↔ ∃ b, v = .bytes b := by
  cases v <;> simp [Value.isOf, h]

theorem isOf_foreign {name : Bytes} (h : sorts[s]? = some (.foreign name)) :
    v.isOf sorts s = true ↔ ∃ b, v = .bytes b := by
  cases v <;> simp [Value.isOf, h]

theorem isOf_enum {name : Bytes} {variants : List Bytes} (h : sorts[s]? = some (.enum name variants)) :
    v.isOf sorts s = true ↔ ∃ n, v = .nat n ∧ n < variants.length := by
  cases v <;> simp [Value.isOf, h]

theorem isOf_arm {labels : List Nat} (h : sorts[s]? = some (.arm labels)) :
    v.isOf sorts s = true ↔ ∃ n, v = .nat n ∧ n ∈ labels := by
  cases v <;> simp [Value.isOf, h]

theorem isOf_list {item : Nat} (h : sorts[s]? = some (.list item)) :
    v.isOf sorts s = true ↔ ∃ vs, v = .list vs ∧ allOf sorts vs item = true := by
  cases v <;> simp [Value.isOf, h]

theorem isOf_option {item : Nat} (h : sorts[s]? = some (.option item)) :
    v.isOf sorts s = true ↔ ∃ vs, v = .list vs ∧ vs.length ≤ 1 ∧ allOf sorts vs item = true := by
  cases v <;> simp only [Value.isOf, getAt_eq, h, Bool.false_eq_true, reduceCtorEq, false_and,
    exists_const, Value.list.injEq, len_eq, exists_eq_left']
  rename_i items
  by_cases short : items.length ≤ 1
  · simp [Nat.ble_eq.mpr short, short]
  · have : Nat.ble items.length 1 = false := by rw [← Bool.not_eq_true, Nat.ble_eq]; exact short
    simp [this, short]

theorem isOf_record {name : Bytes} {fields : List (Bytes × Nat)}
    (h : sorts[s]? = some (.record name fields)) :
    v.isOf sorts s = true ↔
      ∃ vs, v = .record vs ∧ vs.length = fields.length ∧ fieldsOf sorts vs fields = true := by
  cases v <;> simp only [Value.isOf, getAt_eq, h, Bool.false_eq_true, reduceCtorEq, false_and,
    exists_const, Value.record.injEq, len_eq, exists_eq_left']
  rename_i items
  by_cases long : items.length = fields.length
  · simp [long]
  · have : Nat.beq items.length fields.length = false := beq_eq_false.mpr long
    simp [this, long]

theorem allOf_imp {x y : Nat} (h : ∀ v : Value, v.isOf sorts x = true → v.isOf sorts y = true) :
    ∀ vs, allOf sorts vs x = true → allOf sorts vs y = true
  | [], _ => rfl
  | v :: vs, all => by
    simp only [allOf] at all ⊢
    split at all
    · rename_i one
      rw [h v one]
      exact allOf_imp h vs all
    · cases all

theorem fieldsOf_imp {holds : Nat → Nat → Bool}
    (h : ∀ a b (v : Value), holds a b = true → v.isOf sorts a = true → v.isOf sorts b = true) :
    ∀ vs xs ys, xs.length = ys.length → fieldsIncluded holds xs ys = true →
      fieldsOf sorts vs xs = true → fieldsOf sorts vs ys = true
  | [], _, _, _, _, _ => by simp [fieldsOf]
  | v :: vs, [], [], _, _, _ => by simp [fieldsOf]
  | v :: vs, x :: xs, y :: ys, len, incl, all => by
    simp only [fieldsIncluded] at incl
    split at incl
    · rename_i first
      simp only [fieldsOf] at all ⊢
      split at all
      · rename_i one
        rw [h _ _ v first one]
        exact fieldsOf_imp h vs xs ys (by simpa using len) incl all
      · cases all
    · cases incl
  | _ :: _, [], _ :: _, len, _, _ => by simp at len
  | _ :: _, _ :: _, [], len, _, _ => by simp at len

theorem numberIn_iff {n : Nat} {ns : List Nat} : numberIn n ns = true ↔ n ∈ ns := by
  simp [numberIn]

/-- `included` compares sorts by their values. -/
theorem included_sound : ∀ (depth a b : Nat) (v : Value), included sorts depth a b = true →
    v.isOf sorts a = true → v.isOf sorts b = true
  | 0, _, _, _, h, _ => by simp [included] at h
  | depth + 1, a, b, v, h, hv => by
    simp only [included, getAt_eq] at h
    split at h
    · rename_i same
      rw [Nat.beq_eq.mp same] at hv
      exact hv
    · split at h
      · cases h
      · rename_i x hx
        split at h
        · cases h
        · rename_i y hy
          have below := included_sound depth
          unfold sortIncluded at h
          split at h
          · obtain ⟨vs, e, all⟩ := (isOf_list hx).mp hv
            exact (isOf_list hy).mpr ⟨vs, e, allOf_imp (fun v => below _ _ v h) vs all⟩
          · obtain ⟨vs, e, short, all⟩ := (isOf_option hx).mp hv
            exact (isOf_option hy).mpr ⟨vs, e, short, allOf_imp (fun v => below _ _ v h) vs all⟩
          · obtain ⟨vs, e, _, all⟩ := (isOf_option hx).mp hv
            exact (isOf_list hy).mpr ⟨vs, e, allOf_imp (fun v => below _ _ v h) vs all⟩
          · split at h
            · rename_i lens
              simp only [len_eq, Nat.beq_eq] at lens
              obtain ⟨vs, e, long, all⟩ := (isOf_record hx).mp hv
              exact (isOf_record hy).mpr ⟨vs, e, long.trans lens,
                fieldsOf_imp (fun a b v => below a b v) vs _ _ lens h all⟩
            · cases h
          · obtain ⟨n, e, small⟩ := (isOf_enum hx).mp hv
            simp only [len_eq, Nat.ble_eq] at h
            exact (isOf_enum hy).mpr ⟨n, e, by omega⟩
          · obtain ⟨n, e, _⟩ := (isOf_enum hx).mp hv
            exact (isOf_nat hy).mpr ⟨n, e⟩
          · obtain ⟨n, e, _⟩ := (isOf_arm hx).mp hv
            exact (isOf_nat hy).mpr ⟨n, e⟩
          · obtain ⟨n, e, mem⟩ := (isOf_arm hx).mp hv
            simp only [every_eq, List.all_eq_true, numberIn_iff] at h
            exact (isOf_arm hy).mpr ⟨n, e, h n mem⟩
          · exact (isOf_bytes hy).mpr ((isOf_foreign hx).mp hv)
          · exact (isOf_foreign hy).mpr ((isOf_bytes hx).mp hv)
          · exact (isOf_foreign hy).mpr ((isOf_foreign hx).mp hv)
          all_goals first
            | (cases h; done)
            | (rw [isOf_congr (hx.trans hy.symm)] at hv; exact hv)

end

/-! ## Abstract values -/

/-- The meaning of an abstract value in a coroutine of a program: what it says about a value. -/
def Known.Holds (sorts : List PayloadSort) (program : Nat) (v : Value) : Known → Prop
  | .exactly w => v = w
  | .of sort => v.isOf sorts sort = true
  | .nat => ∃ n, v = .nat n
  | .failureCode => ∃ n, n < failureKinds ∧ v = .nat n
  | .endpoint => v = .endpoint program
  | .evidence => ∃ n, v = .evidence n
  | .nothing => True

section
variable {sorts : List PayloadSort} {program : Nat} {v : Value} {k : Known}

theorem Known.isOf_sound {sort : Nat} (h : k.isOf sorts sort = true) (holds : k.Holds sorts program v) :
    v.isOf sorts sort = true := by
  cases k with
  | exactly w => simp only [Known.Holds] at holds; subst holds; exact h
  | of own => exact included_sound _ _ _ v h holds
  | nat =>
    simp only [Known.isOf, getAt_eq] at h
    split at h
    · rename_i hs; exact (isOf_nat hs).mpr holds
    · cases h
  | failureCode =>
    obtain ⟨n, small, e⟩ := holds
    simp only [Known.isOf, getAt_eq] at h
    split at h
    · rename_i hs; exact (isOf_nat hs).mpr ⟨n, e⟩
    · rename_i hs
      simp only [len_eq, Nat.ble_eq] at h
      exact (isOf_enum hs).mpr ⟨n, e, by omega⟩
    · cases h
  | _ => simp [Known.isOf] at h

theorem Known.isNat_sound (h : k.isNat sorts = true) (holds : k.Holds sorts program v) :
    ∃ n, v = .nat n := by
  cases k with
  | exactly w =>
    simp only [Known.Holds] at holds
    subst holds
    cases v <;> simp [Known.isNat] at h
    exact ⟨_, rfl⟩
  | of sort =>
    simp only [Known.isNat, getAt_eq] at h
    split at h
    · rename_i hs; exact (isOf_nat hs).mp holds
    · rename_i hs; obtain ⟨n, e, _⟩ := (isOf_enum hs).mp holds; exact ⟨n, e⟩
    · rename_i hs; obtain ⟨n, e, _⟩ := (isOf_arm hs).mp holds; exact ⟨n, e⟩
    · cases h
  | nat => exact holds
  | failureCode => obtain ⟨n, _, e⟩ := holds; exact ⟨n, e⟩
  | _ => simp [Known.isNat] at h

/-- What covers an abstract value that holds, holds. -/
theorem Known.covers_sound {a : Known} (h : Known.covers sorts a k = true)
    (holds : k.Holds sorts program v) : a.Holds sorts program v := by
  unfold Known.covers at h
  split at h
  · rename_i same
    rw [Known.same_eq same]
    exact holds
  · cases a with
    | of sort => exact Known.isOf_sound h holds
    | nat => exact Known.isNat_sound h holds
    | nothing => trivial
    | _ => simp at h

/-- A value denotes one of the numbers that its abstract value can denote, and what is certain after
a branch on that number holds. -/
theorem Known.numbers_sound {numbers : List Nat} (h : k.numbers sorts = some numbers)
    (holds : k.Holds sorts program v) :
    ∃ n ∈ numbers, v.number = .ok n ∧ (k.after sorts n).Holds sorts program v := by
  cases k with
  | exactly w =>
    simp only [Known.Holds] at holds
    subst holds
    cases v with
    | nat n => simp only [Known.numbers, Option.some.injEq] at h; subst h; exact ⟨n, by simp, rfl, rfl⟩
    | bool b =>
      cases b <;> simp only [Known.numbers, Option.some.injEq] at h <;> subst h
      · exact ⟨0, by simp, rfl, rfl⟩
      · exact ⟨1, by simp, rfl, rfl⟩
    | _ => simp [Known.numbers] at h
  | failureCode =>
    obtain ⟨n, small, e⟩ := holds
    simp only [Known.numbers, Option.some.injEq] at h
    subst h e
    exact ⟨n, by simpa using small, rfl, rfl⟩
  | of sort =>
    simp only [Known.numbers, getAt_eq] at h
    simp only [Known.after, getAt_eq]
    split at h
    · rename_i hs
      obtain ⟨b, e⟩ := (isOf_bool hs).mp holds
      cases h
      subst e
      cases b
      · exact ⟨0, by simp, rfl, by simp [hs, Known.Holds]; rfl⟩
      · exact ⟨1, by simp, rfl, by simp [hs, Known.Holds]⟩
    · rename_i hs
      obtain ⟨n, e, small⟩ := (isOf_enum hs).mp holds
      cases h
      subst e
      exact ⟨n, by simpa using small, rfl, by simp [hs, Known.Holds]⟩
    · rename_i hs
      obtain ⟨n, e, mem⟩ := (isOf_arm hs).mp holds
      cases h
      subst e
      exact ⟨n, mem, rfl, by simp [hs, Known.Holds]⟩
    · cases h
  | _ => simp [Known.numbers] at h

/-- What is certain about a value is certain about a copy in another program. -/
theorem Known.handed_sound {child : Nat} (holds : k.Holds sorts program v) :
    k.handed.Holds sorts child v := by
  cases k <;> first | trivial | exact holds

end

end Antiphon

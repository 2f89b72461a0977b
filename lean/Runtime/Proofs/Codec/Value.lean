module

public import Runtime.Proofs.Codec.Parts

@[expose] public section

/-! # The codec of values is exact -/

namespace Antiphon

mutual
/-- Whether the numbers of a value are in range, its texts are UTF-8, and its nesting depth is at
most the given one. -/
def Value.fitsIn : Value → Nat → Bool
  | _, 0 => false
  | .unit, _ + 1 => true
  | .bool _, _ + 1 => true
  | .nat n, _ + 1 => fitsU64 n
  | .int i, _ + 1 => fitsI64 i
  | .text s, _ + 1 => fitsText s
  | .bytes s, _ + 1 => fitsBytes s
  | .list items, depth + 1 => below headEnd (len items + 1) && allFitIn items depth
  | .record fields, depth + 1 => below headEnd (len fields + 1) && allFitIn fields depth
  | .endpoint role, _ + 1 => fitsU16 role
  | .evidence witness, _ + 1 => fitsU64 witness

/-- Whether all values fit in the given depth. -/
def allFitIn : List Value → Nat → Bool
  | [], _ => true
  | v :: vs, depth => v.fitsIn depth && allFitIn vs depth
end

/-- Whether a value can be encoded and decoded. -/
def Value.fits (v : Value) : Bool := v.fitsIn depthMax

theorem allFitIn_eq (vs : List Value) (depth : Nat) : allFitIn vs depth = every (fun v => v.fitsIn depth) vs := by
  induction vs with
  | nil => simp [allFitIn]
  | cons v vs ih => simp [allFitIn, ih]

theorem encValues_eq (vs : List Value) (k : Bytes) : encValues vs k = encItems encValue vs k := by
  induction vs with
  | nil => simp [encValues, encItems]
  | cons v vs ih => simp [encValues, encItems, ih]

/-- The first byte of a head contains the major type. -/
theorem encHead_cons {m : Nat} (n : Nat) (k : Bytes) (major : m < 8) :
    ∃ x b, encHead m n k = x :: b ∧ x.toNat / 32 = m := by
  unfold encHead
  repeat' split
  all_goals exact ⟨_, _, rfl, by simp only [UInt8.toNat_ofNat']; omega⟩

/-- Bytes that start with a head of a major type below 7 are decoded as a value by that major
type. -/
theorem decValueAt_head {m : Nat} (n depth : Nat) (k : Bytes) (major : m < 7) :
    decValueAt (depth + 1) (encHead m n k) =
      if m = 0 then decAs Value.nat decUint (encHead m n k)
      else if m = 2 then decAs Value.bytes decBytes (encHead m n k)
      else if m = 3 then decAs Value.text decText (encHead m n k)
      else decAlternative (decCompound (decValueAt depth)) (encHead m n k) := by
  obtain ⟨x, b, eq, byte⟩ := encHead_cons n k (by omega : m < 8)
  have other (y : UInt8) (h : y.toNat / 32 = 7) : x ≠ y := by
    rintro rfl
    omega
  rw [eq]
  simp only [decValueAt, byte, if_neg (other 246 rfl), if_neg (other 244 rfl), if_neg (other 245 rfl)]

/-- Whether a value is encoded as an array. -/
def Value.compound : Value → Bool
  | .int _ | .list _ | .record _ | .endpoint _ | .evidence _ => true
  | _ => false

theorem exact_compound {depth : Nat} (item : Exact (fun v => v.fitsIn depth) encValue (decValueAt depth)) :
    Exact (fun v => v.compound && v.fitsIn (depth + 1)) encValue
      (decAlternative (decCompound (decValueAt depth))) := by
  refine .alternative (fun v k f => ?_) (fun number n b v k range r => ?_)
  · cases v with
    | int i =>
      have f : fitsI64 i = true := by simpa [Value.compound, Value.fitsIn] using f
      exact ⟨2, 0, encInt i k, by simp [encValue], by decide, by decide, exact_int.backAs Value.int f⟩
    | list items =>
      have f : items.length + 1 < headEnd ∧ every (fun v => v.fitsIn depth) items = true := by
        simpa [Value.compound, Value.fitsIn, below, allFitIn_eq] using f
      refine ⟨items.length + 1, 1, encItems encValue items k, by simp [encValue, encTag, count_eq, encValues_eq],
        f.1, by decide, ?_⟩
      simp [decCompound, decAs, decItems_encItems item items k f.2]
    | record items =>
      have f : items.length + 1 < headEnd ∧ every (fun v => v.fitsIn depth) items = true := by
        simpa [Value.compound, Value.fitsIn, below, allFitIn_eq] using f
      refine ⟨items.length + 1, 2, encItems encValue items k, by simp [encValue, encTag, count_eq, encValues_eq],
        f.1, by decide, ?_⟩
      simp [decCompound, decAs, decItems_encItems item items k f.2]
    | endpoint role =>
      have f : fitsU16 role = true := by simpa [Value.compound, Value.fitsIn] using f
      exact ⟨2, 3, encUint role k, by simp [encValue], by decide, by decide, exact_u16.backAs Value.endpoint f⟩
    | evidence witness =>
      have f : fitsU64 witness = true := by simpa [Value.compound, Value.fitsIn] using f
      exact ⟨2, 4, encUint witness k, by simp [encValue], by decide, by decide,
        exact_u64.backAs Value.evidence f⟩
    | _ => simp [Value.compound] at f
  · unfold decCompound at r
    split at r
    · obtain ⟨i, rfl, rfl, f⟩ := exact_int.onlyAs r
      exact ⟨by simp [encValue], by simpa [Value.compound, Value.fitsIn] using f⟩
    · rename_i m
      unfold decAs at r
      split at r
      · cases r
      · rename_i items rest read
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨rfl, rfl⟩ := r
        obtain ⟨eq, rfl, f⟩ := encItems_decItems item read
        exact ⟨by simp [encValue, encTag, count_eq, encValues_eq, eq],
          by simpa [Value.compound, Value.fitsIn, below, allFitIn_eq, range] using f⟩
    · rename_i m
      unfold decAs at r
      split at r
      · cases r
      · rename_i items rest read
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨rfl, rfl⟩ := r
        obtain ⟨eq, rfl, f⟩ := encItems_decItems item read
        exact ⟨by simp [encValue, encTag, count_eq, encValues_eq, eq],
          by simpa [Value.compound, Value.fitsIn, below, allFitIn_eq, range] using f⟩
    · obtain ⟨role, rfl, rfl, f⟩ := exact_u16.onlyAs r
      exact ⟨by simp [encValue], by simpa [Value.compound, Value.fitsIn] using f⟩
    · obtain ⟨witness, rfl, rfl, f⟩ := exact_u64.onlyAs r
      exact ⟨by simp [encValue], by simpa [Value.compound, Value.fitsIn] using f⟩
    · cases r

theorem exact_valueAt (depth : Nat) : Exact (fun v => v.fitsIn depth) encValue (decValueAt depth) := by
  induction depth with
  | zero =>
    refine ⟨fun v k f => ?_, fun b v k r => ?_⟩
    · cases v <;> simp [Value.fitsIn] at f
    · simp [decValueAt] at r
  | succ depth item =>
    have compound := exact_compound item
    have array (v : Value) (k : Bytes) (f : v.fitsIn (depth + 1) = true) (c : v.compound = true)
        (e : ∃ n r, encValue v k = encHead 4 n r) : decValueAt (depth + 1) (encValue v k) = some (v, k) := by
      have took := compound.back v k (by simp [c, f])
      obtain ⟨n, r, eq⟩ := e
      rw [eq] at took ⊢
      rw [decValueAt_head n depth r (by decide)]
      simpa using took
    refine ⟨fun v k f => ?_, fun b v k r => ?_⟩
    · cases v with
      | unit => simp [decValueAt, encValue, encNull]
      | bool x => cases x <;> simp [decValueAt, encValue, encBool]
      | nat n =>
        simp only [Value.fitsIn] at f
        have took := exact_u64.backAs Value.nat (k := k) f
        simp only [encValue]
        rw [encUint_eq] at took ⊢
        rw [decValueAt_head n depth k (by decide)]
        simpa using took
      | text s =>
        simp only [Value.fitsIn] at f
        have took := exact_text.backAs Value.text (k := k) f
        simp only [encValue, encText] at took ⊢
        rw [decValueAt_head _ depth _ (by decide)]
        simpa using took
      | bytes s =>
        simp only [Value.fitsIn] at f
        have took := exact_bytes.backAs Value.bytes (k := k) f
        simp only [encValue, encBytes] at took ⊢
        rw [decValueAt_head _ depth _ (by decide)]
        simpa using took
      | _ => exact array _ k f rfl ⟨_, _, by simp only [encValue, encTag, encArrayHead_eq]; rfl⟩
    · cases b with
      | nil => simp [decValueAt] at r
      | cons x b =>
        simp only [decValueAt] at r
        split at r
        · rename_i byte
          simp only [Option.some.injEq, Prod.mk.injEq] at r
          obtain ⟨rfl, rfl⟩ := r
          exact ⟨by simp [encValue, encNull, byte], by simp [Value.fitsIn]⟩
        · split at r
          · rename_i byte
            simp only [Option.some.injEq, Prod.mk.injEq] at r
            obtain ⟨rfl, rfl⟩ := r
            exact ⟨by simp [encValue, encBool, byte], by simp [Value.fitsIn]⟩
          · split at r
            · rename_i byte
              simp only [Option.some.injEq, Prod.mk.injEq] at r
              obtain ⟨rfl, rfl⟩ := r
              exact ⟨by simp [encValue, encBool, byte], by simp [Value.fitsIn]⟩
            · split at r
              · obtain ⟨n, rfl, eq, f⟩ := exact_u64.onlyAs r
                exact ⟨by simp [encValue, eq], by simpa [Value.fitsIn] using f⟩
              · split at r
                · obtain ⟨s, rfl, eq, f⟩ := exact_bytes.onlyAs r
                  exact ⟨by simp [encValue, eq], by simpa [Value.fitsIn] using f⟩
                · split at r
                  · obtain ⟨s, rfl, eq, f⟩ := exact_text.onlyAs r
                    exact ⟨by simp [encValue, eq], by simpa [Value.fitsIn] using f⟩
                  · obtain ⟨eq, f⟩ := compound.only _ _ _ r
                    have f : v.compound = true ∧ v.fitsIn (depth + 1) = true := by simpa using f
                    exact ⟨eq, f.2⟩

theorem exact_value : Exact Value.fits encValue decValue := exact_valueAt depthMax

end Antiphon

module

public import Runtime.ProtocolMachine.Codec.Cbor

@[expose] public section

/-! # Heads: the argument of an item, in its shortest form only -/

namespace Antiphon

/-- A byte equals `UInt8.ofNat` of any number that is congruent to it modulo 256. -/
theorem ofNat_of_mod {x : UInt8} {n : Nat} (h : n % 256 = x.toNat) : UInt8.ofNat n = x := by
  apply UInt8.toNat_inj.mp
  simpa using h

theorem decBe_encBe (c n acc : Nat) (k : Bytes) :
    decBe c acc (encBe c n k) = some (acc * 256 ^ c + n % 256 ^ c, k) := by
  induction c generalizing acc with
  | zero => simp [decBe, encBe, Nat.mod_one]
  | succ c ih =>
    have sum : (acc * 256 + n / 256 ^ c % 256) * 256 ^ c + n % 256 ^ c =
        acc * (256 ^ c * 256) + (n % 256 ^ c + 256 ^ c * (n / 256 ^ c % 256)) := by
      rw [Nat.add_mul, Nat.mul_assoc, Nat.mul_comm 256, Nat.mul_comm (n / 256 ^ c % 256)]
      ac_rfl
    simp only [decBe, encBe, ih, UInt8.toNat_ofNat', Nat.reducePow]
    rw [sum, Nat.pow_succ, Nat.mod_mul]

theorem encBe_decBe {c acc : Nat} {b : Bytes} {n : Nat} {k : Bytes} (h : decBe c acc b = some (n, k)) :
    encBe c n k = b ∧ acc * 256 ^ c ≤ n ∧ n < (acc + 1) * 256 ^ c := by
  induction c generalizing acc b with
  | zero =>
    simp only [decBe, Option.some.injEq, Prod.mk.injEq] at h
    simp [encBe, h.1, h.2]
  | succ c ih =>
    cases b with
    | nil => simp [decBe] at h
    | cons x b =>
      have small := x.toNat_lt
      obtain ⟨same, low, high⟩ := ih h
      have digit : n / 256 ^ c = acc * 256 + x.toNat := Nat.div_eq_of_lt_le low high
      refine ⟨?_, ?_, ?_⟩
      · simp only [encBe, same, digit]
        rw [ofNat_of_mod (x := x) (by omega)]
      · have : acc * 256 * 256 ^ c ≤ (acc * 256 + x.toNat) * 256 ^ c := Nat.mul_le_mul_right _ (by omega)
        rw [Nat.pow_succ, Nat.mul_comm (256 ^ c), ← Nat.mul_assoc]
        omega
      · have : (acc * 256 + x.toNat + 1) * 256 ^ c ≤ (acc + 1) * 256 * 256 ^ c :=
          Nat.mul_le_mul_right _ (by omega)
        rw [Nat.pow_succ, Nat.mul_comm (256 ^ c), ← Nat.mul_assoc]
        omega

theorem decArgument_encBe {c low n : Nat} (major : Nat) (k : Bytes) (least : low ≤ n) (most : n < 256 ^ c) :
    decArgument c low major (encBe c n k) = some ((major, n), k) := by
  have : ¬ n < low := by omega
  simp [decArgument, decBe_encBe, Nat.mod_eq_of_lt most, this]

theorem encBe_decArgument {c low major m n : Nat} {b k : Bytes}
    (h : decArgument c low major b = some ((m, n), k)) :
    m = major ∧ encBe c n k = b ∧ low ≤ n ∧ n < 256 ^ c := by
  unfold decArgument at h
  split at h
  · cases h
  · rename_i got rest read
    split at h
    · cases h
    · simp only [Option.some.injEq, Prod.mk.injEq] at h
      obtain ⟨⟨rfl, rfl⟩, rfl⟩ := h
      obtain ⟨same, -, high⟩ := encBe_decBe read
      exact ⟨rfl, same, by omega, by simpa using high⟩

theorem decHead_initial {m i : Nat} (b : Bytes) (major : m < 8) (info : i < 32) :
    decHead (UInt8.ofNat (m * 32 + i) :: b) =
      if i < 24 then some ((m, i), b)
      else if i = 24 then decArgument 1 24 m b
      else if i = 25 then decArgument 2 256 m b
      else if i = 26 then decArgument 4 65536 m b
      else if i = 27 then decArgument 8 4294967296 m b
      else none := by
  have byte : (m * 32 + i) % 2 ^ 8 = m * 32 + i := by omega
  have high : (m * 32 + i) / 32 = m := by omega
  have low : (m * 32 + i) % 32 = i := by omega
  simp only [decHead, UInt8.toNat_ofNat', byte, high, low]

/-- Decoding an encoded head with a major type below 8 and an argument below 2^64 returns its major
type, its argument and the bytes after it. -/
theorem head_decode_encode {m n : Nat} (k : Bytes) (major : m < 8) (range : n < headEnd) :
    decHead (encHead m n k) = some ((m, n), k) := by
  unfold headEnd at range
  unfold encHead
  split
  · rename_i small
    rw [decHead_initial k major (by omega)]
    simp [small]
  · split
    · have byte : UInt8.ofNat n :: k = encBe 1 n k := by simp [encBe]
      rw [decHead_initial _ major (by omega), byte]
      exact decArgument_encBe (c := 1) m k (by omega) (by omega)
    · split
      · rw [decHead_initial _ major (by omega)]
        exact decArgument_encBe (c := 2) m k (by omega) (by omega)
      · split
        · rw [decHead_initial _ major (by omega)]
          exact decArgument_encBe (c := 4) m k (by omega) (by omega)
        · rw [decHead_initial _ major (by omega)]
          exact decArgument_encBe (c := 8) m k (by omega) (by omega)

/-- If the decoder returns a head, the bytes that it consumed are that head's encoding, which has
the shortest form. -/
theorem head_encode_decode {b : Bytes} {m n : Nat} {k : Bytes} (h : decHead b = some ((m, n), k)) :
    encHead m n k = b ∧ m < 8 ∧ n < headEnd := by
  unfold headEnd
  cases b with
  | nil => simp [decHead] at h
  | cons x b =>
    have small := x.toNat_lt
    simp only [decHead] at h
    split at h
    · simp only [Option.some.injEq, Prod.mk.injEq] at h
      obtain ⟨⟨rfl, rfl⟩, rfl⟩ := h
      refine ⟨?_, by omega, by omega⟩
      unfold encHead
      rw [if_pos (by omega), ofNat_of_mod (x := x) (by omega)]
    · unfold encHead
      repeat' (split at h)
      · obtain ⟨rfl, same, low, high⟩ := encBe_decArgument h
        refine ⟨?_, by omega, by omega⟩
        rw [if_neg (by omega), if_pos (by omega), ofNat_of_mod (x := x) (by omega), ← same]
        simp [encBe]
      · obtain ⟨rfl, same, low, high⟩ := encBe_decArgument h
        refine ⟨?_, by omega, by omega⟩
        rw [if_neg (by omega), if_neg (by omega), if_pos (by omega), ofNat_of_mod (x := x) (by omega), ← same]
      · obtain ⟨rfl, same, low, high⟩ := encBe_decArgument h
        refine ⟨?_, by omega, by omega⟩
        rw [if_neg (by omega), if_neg (by omega), if_neg (by omega), if_pos (by omega),
          ofNat_of_mod (x := x) (by omega), ← same]
      · obtain ⟨rfl, same, low, high⟩ := encBe_decArgument h
        refine ⟨?_, by omega, by omega⟩
        rw [if_neg (by omega), if_neg (by omega), if_neg (by omega), if_neg (by omega),
          ofNat_of_mod (x := x) (by omega), ← same]
      · cases h

theorem encUint_eq (n : Nat) (k : Bytes) : encUint n k = encHead 0 n k := by
  unfold encUint encHead
  split <;> simp

theorem encArrayHead_eq (n : Nat) (k : Bytes) : encArrayHead n k = encHead 4 n k := by
  unfold encArrayHead encHead
  split <;> simp

theorem decMajor_encHead {m n : Nat} (k : Bytes) (major : m < 8) (range : n < headEnd) :
    decMajor m (encHead m n k) = some (n, k) := by
  simp [decMajor, head_decode_encode k major range]

theorem encHead_decMajor {m n : Nat} {b k : Bytes} (h : decMajor m b = some (n, k)) :
    encHead m n k = b ∧ n < headEnd := by
  unfold decMajor at h
  split at h
  · cases h
  · rename_i got n' rest read
    split at h
    · rename_i same
      simp only [Option.some.injEq, Prod.mk.injEq] at h
      obtain ⟨rfl, rfl⟩ := h
      obtain ⟨eq, -, high⟩ := head_encode_decode read
      exact ⟨same ▸ eq, high⟩
    · cases h

end Antiphon

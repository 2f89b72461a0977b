module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner

@[expose] public section

/-!
# What the wave checker checks

Each Boolean function of the checker, with the proposition that it decides.
-/

namespace Antiphon

/-- `Nat.beq` returns `false` exactly when the numbers differ. -/
theorem beq_false_iff {a b : Nat} : Nat.beq a b = false ↔ a ≠ b := by
  rw [← Bool.not_eq_true, Nat.beq_eq]

/-- `samePick` decides equality of picks. -/
@[simp] theorem samePick_iff {p q : Pick} : samePick p q = true ↔ p = q := by
  cases p with | mk a b =>
  cases q with | mk c d =>
  by_cases h : a = c
  · simp [samePick, h]
  · simp [samePick, h, beq_false_iff.2 h]

@[simp] theorem samePick_self (p : Pick) : samePick p p = true := samePick_iff.2 rfl

/-- `Key.same` decides equality of keys. -/
@[simp] theorem Key.same_iff {a b : Key} : Key.same a b = true ↔ a = b := by
  cases a <;> cases b <;> simp [Key.same]

/-- `sameKeys` decides equality of lists of keys. -/
@[simp] theorem sameKeys_iff {a b : List Key} : sameKeys a b = true ↔ a = b := by
  induction a generalizing b with
  | nil => cases b <;> simp [sameKeys]
  | cons x xs ih => cases b <;> simp [sameKeys, ih]

/-- `sameQueue` decides equality of queues. -/
@[simp] theorem sameQueue_iff {a b : List Pick} : sameQueue a b = true ↔ a = b := by
  induction a generalizing b with
  | nil => cases b <;> simp [sameQueue]
  | cons x xs ih => cases b <;> simp [sameQueue, ih]

@[simp] theorem hasKey_iff {k : Key} {ks : List Key} : hasKey k ks = true ↔ k ∈ ks := by
  induction ks with
  | nil => simp [hasKey]
  | cons x xs ih => simp [hasKey, ih]

@[simp] theorem noKeyOf_iff {a b : List Key} : noKeyOf a b = true ↔ ∀ k, k ∈ a → k ∉ b := by
  induction a with
  | nil => simp [noKeyOf]
  | cons x xs ih =>
    have h : hasKey x b = false ↔ x ∉ b := by rw [← Bool.not_eq_true, hasKey_iff]
    simp [noKeyOf, ih, h]

/-- Two picks are apart if their lanes and sessions differ and their footprints are disjoint. -/
def WavePick.Apart (a b : WavePick) : Prop :=
  a.lane ≠ b.lane ∧ a.pick.session ≠ b.pick.session ∧ ∀ k, k ∈ a.footprint → k ∉ b.footprint

/-- A pick fits a machine if its quantum is at least 1, the policy would step it next in its
session, and its footprint is exactly that of its first step. -/
def WavePick.Fits (w : WavePick) (m : Machine) : Prop :=
  0 < w.quantum ∧ m.bestOf w.pick.session = some w.pick ∧ w.footprint = m.footprintOf w.pick

@[simp] theorem WavePick.apart_iff {a b : WavePick} : a.apart b = true ↔ a.Apart b := by
  simp [WavePick.apart, WavePick.Apart, beq_false_iff, and_assoc]

theorem apartFrom_iff {a : WavePick} {bs : List WavePick} :
    apartFrom a bs = true ↔ ∀ b, b ∈ bs → a.Apart b := by
  induction bs with
  | nil => simp [apartFrom]
  | cons b bs ih => simp [apartFrom, ih]

theorem pairwiseApart_iff {ws : List WavePick} :
    pairwiseApart ws = true ↔ ws.Pairwise WavePick.Apart := by
  induction ws with
  | nil => simp [pairwiseApart]
  | cons w ws ih => simp [pairwiseApart, ih, apartFrom_iff]

@[simp] theorem WavePick.fits_iff {w : WavePick} {m : Machine} : w.fits m = true ↔ w.Fits m := by
  cases h : m.bestOf w.pick.session <;> simp [WavePick.fits, WavePick.Fits, h, and_assoc]

theorem allFit_iff {m : Machine} {ws : List WavePick} :
    allFit m ws = true ↔ ∀ w, w ∈ ws → w.Fits m := by
  induction ws with
  | nil => simp [allFit]
  | cons w ws ih => simp [allFit, ih]

/-- The checker accepts exactly the certificates whose step index and queue are the machine's, whose
first pick is the policy's, whose every pick fits the machine, and whose picks are pairwise
apart. -/
theorem check_wave_iff (m : Machine) (c : WaveCertificate) :
    m.checkWave c = true ↔
      c.stepIndex = m.stepIndex ∧ c.queue = m.queue ∧
      (∃ w ws, c.picks = w :: ws ∧ m.policyPick = some w.pick) ∧
      (∀ w, w ∈ c.picks → w.Fits m) ∧ c.picks.Pairwise WavePick.Apart := by
  cases hp : c.picks with
  | nil => simp [Machine.checkWave, hp]
  | cons w ws =>
    cases hq : m.policyPick <;>
      simp [Machine.checkWave, hp, hq, allFit_iff, pairwiseApart_iff, and_assoc, -List.mem_cons,
        -List.pairwise_cons]

end Antiphon

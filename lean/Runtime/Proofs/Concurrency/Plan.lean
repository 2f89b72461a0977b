module

public import Runtime.Proofs.Concurrency.Frame

@[expose] public noncomputable section

/-!
# The checker accepts the planner's certificates

What `best` picks, and that the checker accepts every plan with a width and a quantum of at least 1
if some coroutine is ready.
-/

namespace Antiphon

/-- `best` returns the first pick of least rank: every pick before it has a greater rank, and no
pick after it has a smaller rank. -/
theorem best_iff {rank : Pick → Nat} {queue : List Pick} {p : Pick} :
    best rank queue = some p ↔
      ∃ before after, queue = before ++ p :: after ∧
        (∀ q, q ∈ before → rank p < rank q) ∧ (∀ q, q ∈ after → rank p ≤ rank q) := by
  induction queue generalizing p with
  | nil => simp [best]
  | cons x xs ih =>
    constructor
    · intro h
      simp only [best] at h
      split at h
      · rename_i none
        injection h with h
        cases xs with
        | nil => exact ⟨[], [], by simp [h], by simp, by simp⟩
        | cons y ys =>
          simp only [best] at none
          split at none
          · cases none
          · split at none <;> cases none
      · rename_i q some
        have ⟨a, b, e, ha, hb⟩ := ih.1 some
        split at h <;> rename_i less
        · injection h with h
          subst h
          exact ⟨x :: a, b, by simp [e], by simpa using ⟨by simpa using less, ha⟩, hb⟩
        · injection h with h
          subst h
          have le : rank x ≤ rank q := by
            have : ¬ rank q < rank x := by
              intro lt
              rw [← Nat.blt_eq] at lt
              rw [lt] at less
              cases less
            omega
          refine ⟨[], xs, rfl, by simp, ?_⟩
          intro y hy
          rw [e] at hy
          simp only [List.mem_append, List.mem_cons] at hy
          rcases hy with hy | hy | hy
          · have := ha y hy; omega
          · rw [hy]; exact le
          · have := hb y hy; omega
    · rintro ⟨a, b, e, ha, hb⟩
      cases a with
      | nil =>
        simp only [List.nil_append, List.cons.injEq] at e
        obtain ⟨rfl, rfl⟩ := e
        simp only [best]
        cases hq : best rank xs with
        | none => rfl
        | some q =>
          have ⟨a', b', e', _, _⟩ := ih.1 hq
          have le := hb q (by rw [e']; simp)
          have : Nat.blt (rank q) (rank x) = false := by
            rw [← Bool.not_eq_true, Nat.blt_eq]; omega
          simp only [this]
      | cons y a =>
        simp only [List.cons_append, List.cons.injEq] at e
        obtain ⟨rfl, e⟩ := e
        have hq := ih.2 ⟨a, b, e, fun q hq => ha q (List.mem_cons_of_mem _ hq), hb⟩
        have : Nat.blt (rank p) (rank x) = true := by
          rw [Nat.blt_eq]; exact ha x List.mem_cons_self
        simp only [best, hq, this]

/-- `best` returns no pick exactly when the queue is empty. -/
theorem best_none {rank : Pick → Nat} {queue : List Pick} : best rank queue = none ↔ queue = [] := by
  cases queue with
  | nil => simp [best]
  | cons x xs =>
    simp only [best]
    cases best rank xs with
    | none => simp
    | some q => cases h : Nat.blt (rank q) (rank x) <;> simp [h]

/-- The pick that `best` returns is in the queue. -/
theorem best_mem {rank : Pick → Nat} {queue : List Pick} {p : Pick} (h : best rank queue = some p) :
    p ∈ queue := by
  have ⟨_, _, e, _, _⟩ := best_iff.1 h
  simp [e]

/-- If `best` returns a pick that satisfies a test, it returns the same pick for the part of the
queue that satisfies the test. -/
theorem best_of_filter {rank : Pick → Nat} {queue : List Pick} {p : Pick} (test : Pick → Bool)
    (h : best rank queue = some p) (kept : test p = true) :
    best rank (queue.filter test) = some p := by
  have ⟨a, b, e, ha, hb⟩ := best_iff.1 h
  refine best_iff.2 ⟨a.filter test, b.filter test, ?_, ?_, ?_⟩
  · simp [e, kept]
  · intro q hq; exact ha q (List.mem_filter.1 hq).1
  · intro q hq; exact hb q (List.mem_filter.1 hq).1

/-- The best pick of the queue is the best pick of its session's part of the queue. -/
theorem best_of_session {rank : Pick → Nat} {queue : List Pick} {p : Pick}
    (h : best rank queue = some p) :
    best rank (queue.filter fun q => Nat.beq q.session p.session) = some p :=
  best_of_filter _ h (by simp)

/-- The session to which a key belongs. -/
def Key.session : Key → Nat
  | .ledger s => s
  | .coroutine s _ => s
  | .endpoint s _ => s
  | .edge s _ => s

theorem speechKeys_session {i : Loaded} {session : Nat} {s : Session} {c : Coroutine} {chan : Nat}
    {k : Key} (h : k ∈ speechKeys i session s c chan) : k.session = session := by
  revert h
  unfold speechKeys
  split
  · simp
  · split
    · simp
    · split
      · simp
      · split
        · intro h
          simp at h
          rcases h with rfl | rfl <;> rfl
        · intro h
          simp at h
          rcases h with rfl | rfl | rfl <;> rfl

/-- Every key of a footprint belongs to the session that steps. -/
theorem footprint_session {i : Loaded} {session : Nat} {s : Session} {coroutine : Nat} {k : Key}
    (h : k ∈ footprint i session s coroutine) : k.session = session := by
  simp only [footprint, List.mem_cons] at h
  rcases h with rfl | rfl | h
  · rfl
  · rfl
  · split at h
    · simp at h
    · split at h
      · exact speechKeys_session h
      · exact speechKeys_session h
      · exact speechKeys_session h
      · exact speechKeys_session h
      · simp at h; rw [h]; rfl
      · simp at h

theorem footprintOf_session {m : Machine} {p : Pick} {k : Key} (h : k ∈ m.footprintOf p) :
    k.session = p.session := by
  unfold Machine.footprintOf at h
  split at h
  · simp at h
  · exact footprint_session h

theorem mem_dropSession {p : Pick} {session : Nat} {queue : List Pick} :
    p ∈ dropSession session queue ↔ p ∈ queue ∧ p.session ≠ session := by
  simp [dropSession, beq_false_iff]

/-- A planned pick is in the queue, its lane is at least the first lane, its quantum is the given
one, and its footprint is that of its first step. -/
theorem planFrom_mem {m : Machine} {quantum lane width : Nat} {queue : List Pick} {w : WavePick}
    (h : w ∈ m.planFrom quantum lane width queue) :
    w.pick ∈ queue ∧ lane ≤ w.lane ∧ w.quantum = quantum ∧ w.footprint = m.footprintOf w.pick := by
  induction width generalizing lane queue with
  | zero => simp [Machine.planFrom] at h
  | succ width ih =>
    simp only [Machine.planFrom] at h
    split at h
    · simp at h
    · rename_i p hp
      simp only [List.mem_cons] at h
      rcases h with rfl | h
      · exact ⟨best_mem hp, Nat.le_refl _, rfl, rfl⟩
      · have ⟨h1, h2, h3, h4⟩ := ih h
        exact ⟨(mem_dropSession.1 h1).1, by omega, h3, h4⟩

/-- Planned picks are pairwise apart. -/
theorem planFrom_apart (m : Machine) (quantum lane width : Nat) (queue : List Pick) :
    (m.planFrom quantum lane width queue).Pairwise WavePick.Apart := by
  induction width generalizing lane queue with
  | zero => simp [Machine.planFrom]
  | succ width ih =>
    simp only [Machine.planFrom]
    split
    · simp
    · rename_i p hp
      refine List.pairwise_cons.2 ⟨?_, ih _ _⟩
      intro w hw
      have ⟨h1, h2, _, h4⟩ := planFrom_mem hw
      have other := (mem_dropSession.1 h1).2
      refine ⟨?_, fun e => other e.symm, ?_⟩
      · show lane ≠ w.lane
        omega
      · intro k hk hk'
        rw [h4] at hk'
        exact other ((footprintOf_session hk').symm.trans (footprintOf_session hk))

/-- A planned pick is the one that the policy would step next in its session, if the queue to plan
from contains each session's part of the machine's queue wholly or not at all. -/
theorem planFrom_best {m : Machine} {quantum lane width : Nat} {queue : List Pick}
    (whole : ∀ i, partOf i queue = [] ∨ partOf i queue = partOf i m.queue) {w : WavePick}
    (h : w ∈ m.planFrom quantum lane width queue) : m.bestOf w.pick.session = some w.pick := by
  induction width generalizing lane queue with
  | zero => simp [Machine.planFrom] at h
  | succ width ih =>
    simp only [Machine.planFrom] at h
    split at h
    · simp at h
    · rename_i p hp
      simp only [List.mem_cons] at h
      rcases h with rfl | h
      · have hb := best_of_session hp
        rcases whole p.session with e | e
        · have : partOf p.session queue = [] := e
          rw [show (queue.filter fun q => Nat.beq q.session p.session) = [] from this] at hb
          simp [best] at hb
        · show m.bestOf p.session = some p
          have : partOf p.session queue = partOf p.session m.queue := e
          rw [show (queue.filter fun q => Nat.beq q.session p.session) =
            m.queue.filter fun q => Nat.beq q.session p.session from this] at hb
          simpa [Machine.bestOf] using hb
      · refine ih ?_ h
        intro i
        by_cases hi : p.session = i
        · left
          apply List.eq_nil_iff_forall_not_mem.2
          intro q hq
          have ⟨h1, h2⟩ := mem_partOf.1 hq
          exact (mem_dropSession.1 h1).2 (h2.trans hi.symm)
        · rw [partOf_dropSession hi]
          exact whole i

/-- The checker accepts what the planner plans, for any machine with a ready coroutine and any width
and quantum of at least 1. -/
theorem plan_checks (m : Machine) (width quantum : Nat) (ready : m.queue ≠ []) :
    m.checkWave (m.plan (width + 1) (quantum + 1)) = true := by
  refine (check_wave_iff m _).2 ⟨rfl, rfl, ?_, ?_, planFrom_apart _ _ _ _ _⟩
  · cases hp : best m.rank m.queue with
    | none => exact absurd (best_none.1 hp) ready
    | some p =>
      simp only [Machine.plan, Machine.planFrom, hp]
      exact ⟨_, _, rfl, hp⟩
  · intro w hw
    have ⟨_, _, h3, h4⟩ := planFrom_mem hw
    exact ⟨by omega, planFrom_best (fun i => .inr rfl) hw, h4⟩

/-- The checker rejects every certificate that is planned with quantum 0. -/
theorem no_quantum_fails (m : Machine) (width : Nat) : m.checkWave (m.plan width 0) = false := by
  rw [← Bool.not_eq_true, check_wave_iff]
  rintro ⟨_, _, ⟨w, ws, hw, _⟩, fits, _⟩
  have hm : w ∈ (m.plan width 0).picks := by rw [hw]; exact List.mem_cons_self
  have := (fits w hm).1
  have := (planFrom_mem hm).2.2.1
  omega

end Antiphon

module

public import Runtime.Proofs.Concurrency.Check

@[expose] public noncomputable section

/-!
# What committing a step does not change

A step of one session does not change another session, its part of the ready queue, the images, the
configuration or the clock.
-/

namespace Antiphon

/-- The ready coroutines of one session, in queue order. -/
abbrev partOf (session : Nat) (queue : List Pick) : List Pick :=
  queue.filter fun p => Nat.beq p.session session

theorem mem_partOf {p : Pick} {session : Nat} {queue : List Pick} :
    p ∈ partOf session queue ↔ p ∈ queue ∧ p.session = session := by simp [partOf]

/-- Removing a coroutine from the queue does not change another session's part. -/
theorem partOf_unqueue {i : Nat} {p : Pick} (h : p.session ≠ i) (queue : List Pick) :
    partOf i (unqueue queue p) = partOf i queue := by
  simp only [partOf, unqueue, keep_eq, List.filter_filter]
  apply List.filter_congr
  intro q _
  cases hs : samePick q p with
  | false => simp
  | true => simp [samePick_iff.1 hs, beq_false_iff.2 h]

/-- Dropping a session from the queue does not change another session's part. -/
theorem partOf_dropSession {i j : Nat} (h : j ≠ i) (queue : List Pick) :
    partOf i (dropSession j queue) = partOf i queue := by
  simp only [partOf, dropSession, keep_eq, List.filter_filter]
  apply List.filter_congr
  intro q _
  by_cases hq : q.session = i
  · have : Nat.beq i j = false := beq_false_iff.2 (Ne.symm h)
    simp [hq, this]
  · simp [hq]

/-- Settling the queue after one session's step does not change another session's part. -/
theorem partOf_settle {i : Nat} {μ : Micro} (h : μ.pick.session ≠ i) (policy : SchedulingPolicy)
    (queue : List Pick) : partOf i (settle policy queue μ) = partOf i queue := by
  have single : partOf i [μ.pick] = [] := by simp [partOf, h]
  have woken : ∀ w, partOf i (enqueue queue μ.pick.session w) = partOf i queue := by
    intro w; simp [partOf, enqueue, h]
  have append : ∀ a b, partOf i (app a b) = partOf i a ++ partOf i b := by
    intro a b; simp [partOf]
  unfold settle
  cases μ.woken <;> cases μ.step <;> cases μ.session.phase <;> cases policy <;>
    simp only [partOf_dropSession h, append, partOf_unqueue h, single, woken, List.append_nil]

/-- Committing a step does not change another session or its image. -/
theorem find_commit_ne {r : Run} {μ : Micro} {i : Nat} (h : μ.pick.session ≠ i) :
    (r.commit μ).machine.find i = r.machine.find i := by
  simp [Machine.find, Run.commit, List.getElem?_set_ne h]

@[simp] theorem commit_config (r : Run) (μ : Micro) :
    (r.commit μ).machine.config = r.machine.config := rfl

@[simp] theorem commit_clock (r : Run) (μ : Micro) :
    (r.commit μ).machine.clock = r.machine.clock := rfl

@[simp] theorem commit_images (r : Run) (μ : Micro) :
    (r.commit μ).machine.images = r.machine.images := rfl

@[simp] theorem commit_stepIndex (r : Run) (μ : Micro) :
    (r.commit μ).machine.stepIndex = r.machine.stepIndex + 1 := rfl

/-- Every step of a pick belongs to the pick's session. -/
theorem microRun_session {cx : Context} {session quantum : Nat} {s : Session} {queue : List Pick}
    {coroutine : Nat} {μ : Micro} (h : μ ∈ microRun cx session quantum s queue coroutine) :
    μ.pick.session = session := by
  induction quantum generalizing s queue coroutine with
  | zero => simp [microRun] at h
  | succ quantum ih =>
    have one : (microStep cx session s coroutine).pick.session = session := rfl
    simp only [microRun] at h
    split at h
    · simp at h; rw [h]; exact one
    · split at h
      · simp at h; rw [h]; exact one
      · simp at h
        cases h with
        | inl h => rw [h]; exact one
        | inr h => exact ih h

theorem runPick_session {m : Machine} {w : WavePick} {μ : Micro} (h : μ ∈ m.runPick w) :
    μ.pick.session = w.pick.session := by
  unfold Machine.runPick at h
  split at h
  · simp at h
  · exact microRun_session h

/-- Committing one session's step does not change the steps of a pick of another session. -/
theorem runPick_commit_ne {r : Run} {μ : Micro} {w : WavePick}
    (h : μ.pick.session ≠ w.pick.session) :
    (r.commit μ).machine.runPick w = r.machine.runPick w := by
  have hq : keep (fun p => Nat.beq p.session w.pick.session) (r.commit μ).machine.queue =
      keep (fun p => Nat.beq p.session w.pick.session) r.machine.queue := by
    simpa only [keep_eq] using partOf_settle h r.machine.config.policy r.machine.queue
  simp only [Machine.runPick, find_commit_ne h, hq, Machine.context, commit_config, commit_clock]

theorem runPick_commitAll_ne {r : Run} {μs : List Micro} {w : WavePick}
    (h : ∀ μ, μ ∈ μs → μ.pick.session ≠ w.pick.session) :
    (r.commitAll μs).machine.runPick w = r.machine.runPick w := by
  induction μs generalizing r with
  | nil => rfl
  | cons μ μs ih =>
    rw [Run.commitAll, ih (fun ν hν => h ν (List.mem_cons_of_mem _ hν)),
      runPick_commit_ne (h μ List.mem_cons_self)]

end Antiphon

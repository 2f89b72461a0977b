module

public import Runtime.Proofs.Session.Moves
public import Runtime.ProtocolMachine.Runtime.ThreadedRunner

@[expose] public section

/-!
# The life of a session

Every session of every run has been opened and has then changed by steps, outcomes, expiries and
possibly a cancellation, one after another, and its part of the log has the events of these. So a
property that a session has at its start, and that each of these changes preserves, holds for every
session of every run, including runs of the threaded runner.
-/

namespace Antiphon

/-- A session of an image, with all its events, oldest first, as it results from any sequence of the
following changes. -/
inductive Lives (i : Loaded) (config : ProtocolMachineConfig) : Session → List Event → Prop where
  /-- The session was opened. -/
  | opened (id row : Nat) (owner : Bytes) :
      Lives i config ((Session.start i config id row owner).counted [.opened i.digest owner])
        [.opened i.digest owner]
  /-- A coroutine took a step. -/
  | step {s : Session} {log : List Event} (before : Lives i config s log) (clock who : Nat) :
      Lives i config
        ((step ⟨i, config, clock⟩ s who).session.counted (step ⟨i, config, clock⟩ s who).events)
        (log ++ (step ⟨i, config, clock⟩ s who).events)
  /-- The outcome of an effect was applied. -/
  | outcome {s : Session} {log : List Event} {taken : Taken} (before : Lives i config s log)
      (clock number : Nat) (outcome : Outcome)
      (ok : resume ⟨i, config, clock⟩ s number outcome = .ok taken) :
      Lives i config (taken.session.counted taken.events) (log ++ taken.events)
  /-- An effect's budget ran out. -/
  | expired {s : Session} {log : List Event} {taken : Taken} (before : Lives i config s log)
      (clock number : Nat) (ok : expire ⟨i, config, clock⟩ s number = some taken) :
      Lives i config (taken.session.counted taken.events) (log ++ taken.events)
  /-- A witness expired. -/
  | witness {s : Session} {log : List Event} (before : Lives i config s log) (number : Nat) :
      Lives i config ((expireWitness s number).1.counted (expireWitness s number).2)
        (log ++ (expireWitness s number).2)
  /-- The session was cancelled. -/
  | cancelled {s : Session} {log : List Event} (before : Lives i config s log)
      (active : s.phase = .active) :
      Lives i config ((cancel s).1.counted (cancel s).2) (log ++ (cancel s).2)

/-- Induction over a life for properties of endpoints and edges: a property holds if it holds at the
start and each `Moved` preserves it. -/
theorem Lives.moves {i : Loaded} {config : ProtocolMachineConfig} {P : Session → List Event → Prop}
    (start : ∀ id row owner events, P ((Session.start i config id row owner).counted events)
      [.opened i.digest owner])
    (move : ∀ s s' log es clock, Lives i config s log → P s log → Moved ⟨i, config, clock⟩ s es s' →
      P (s'.counted es) (log ++ es))
    {s : Session} {log : List Event} (h : Lives i config s log) : P s log := by
  induction h with
  | opened id row owner => exact start ..
  | step before clock who ih => exact move _ _ _ _ clock before ih (step_moved ..)
  | outcome before clock number o ok ih => exact move _ _ _ _ clock before ih (resume_still ok).moved
  | expired before clock number ok ih => exact move _ _ _ _ clock before ih (expire_still ok).moved
  | witness before number ih => exact move _ _ _ _ 0 before ih (expireWitness_still ..).moved
  | cancelled before active ih => exact move _ _ _ _ 0 before ih (cancel_still _).moved

/-! ## A session's part of the log -/

/-- The events of one session, in order, without stamps. -/
def logOf (session : Nat) : List ObsEvent → List Event
  | [] => []
  | o :: os => if o.stamp.session = session then o.event :: logOf session os else logOf session os

theorem logOf_append (n : Nat) (xs ys : List ObsEvent) :
    logOf n (xs ++ ys) = logOf n xs ++ logOf n ys := by
  induction xs with
  | nil => rfl
  | cons x xs ih => simp only [List.cons_append, logOf]; split <;> simp [ih]

theorem logOf_stampFrom (n session step clock index : Nat) (es : List Event) :
    logOf n (stampFrom session step clock index es) = if session = n then es else [] := by
  induction es generalizing index with
  | nil => simp [stampFrom, logOf]
  | cons e es ih => simp only [stampFrom, logOf, ih]; split <;> rfl

/-! ## Machines -/

/-- Every session of the machine has a life, whose events are the session's part of the log. -/
structure Good (config : ProtocolMachineConfig) (images : List Loaded) (m : Machine)
    (log : List ObsEvent) : Prop where
  config_eq : m.config = config
  images_eq : m.images = images
  lives : ∀ n s, m.sessions[n]? = some s →
    ∃ i, images[s.image]? = some i ∧ Lives i config s (logOf n log)
  fresh : ∀ n, m.sessions.length ≤ n → logOf n log = []

theorem Good.new (config : ProtocolMachineConfig) (images : List Loaded) :
    Good config images (Machine.new config images) [] :=
  ⟨rfl, rfl, by simp [Machine.new], by simp [logOf]⟩

/-- `Good` does not depend on the queue, the clock and the step index. -/
theorem Good.same {config : ProtocolMachineConfig} {images : List Loaded} {m m' : Machine}
    {log : List ObsEvent} (h : Good config images m log) (hc : m'.config = m.config)
    (hi : m'.images = m.images) (hs : m'.sessions = m.sessions) : Good config images m' log :=
  ⟨hc ▸ h.config_eq, hi ▸ h.images_eq, by rw [hs]; exact h.lives, by rw [hs]; exact h.fresh⟩

/-- If one session continues its life and its events are appended to the log, the machine stays
good. -/
theorem Good.put {config : ProtocolMachineConfig} {images : List Loaded} {m m' : Machine}
    {log : List ObsEvent} {n : Nat} {s s' : Session} {i : Loaded} {es : List Event}
    (h : Good config images m log) (step clock index : Nat) (hs : m.sessions[n]? = some s)
    (hi : images[s'.image]? = some i) (life : Lives i config s' (logOf n log ++ es))
    (hc : m'.config = m.config) (hm : m'.images = m.images)
    (hp : m'.sessions = m.sessions.set n s') :
    Good config images m' (log ++ stampFrom n step clock index es) := by
  have hn : n < m.sessions.length := by
    rcases Nat.lt_or_ge n m.sessions.length with h | h
    · exact h
    · simp [List.getElem?_eq_none h] at hs
  refine ⟨hc ▸ h.config_eq, hm ▸ h.images_eq, ?_, ?_⟩
  · intro k t ht
    rw [hp, List.getElem?_set] at ht
    rw [logOf_append, logOf_stampFrom]
    split at ht
    · rename_i e
      subst e
      simp only [Option.some.injEq] at ht
      subst ht
      exact ⟨i, hi, by simpa using life⟩
    · rename_i e
      simpa [e] using h.lives k t ht
  · intro k hk
    rw [hp, List.length_set] at hk
    rw [logOf_append, logOf_stampFrom, h.fresh k hk]
    have : n ≠ k := by omega
    simp [this]

theorem find_some {m : Machine} {n : Nat} {found : Session × Loaded} (h : m.find n = some found) :
    m.sessions[n]? = some found.1 ∧ m.images[found.1.image]? = some found.2 := by
  unfold Machine.find at h
  split at h
  · cases h
  · rename_i hs
    split at h
    · cases h
    · rename_i hi
      cases h
      exact ⟨by simpa using hs, by simpa using hi⟩

/-- A session of a good machine has a life, whose events are its part of the log. -/
theorem Good.life {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine}
    {log : List ObsEvent} {n : Nat} {s : Session} {i : Loaded} (h : Good config images m log)
    (hs : m.sessions[n]? = some s) (hi : images[s.image]? = some i) :
    Lives i config s (logOf n log) := by
  obtain ⟨i', hi', life⟩ := h.lives n _ hs
  rw [hi] at hi'
  cases hi'
  exact life

/-- A session that `find` returns is in the machine, with its image from the list of images. -/
theorem Good.found {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine}
    {log : List ObsEvent} {n : Nat} {found : Session × Loaded} (h : Good config images m log)
    (hf : m.find n = some found) :
    m.sessions[n]? = some found.1 ∧ images[found.1.image]? = some found.2 := by
  obtain ⟨hs, hi⟩ := find_some hf
  exact ⟨hs, h.images_eq ▸ hi⟩

/-- Committing a step of a session keeps the machine good. -/
theorem Good.commit {config : ProtocolMachineConfig} {images : List Loaded} {r : Run}
    {s : Session} {i : Loaded} {n who clock : Nat} (h : Good config images r.machine r.events)
    (hs : r.machine.sessions[n]? = some s) (hi : images[s.image]? = some i) :
    Good config images (r.commit (microStep ⟨i, config, clock⟩ n s who)).machine
      (r.commit (microStep ⟨i, config, clock⟩ n s who)).events := by
  have e : (r.commit (microStep ⟨i, config, clock⟩ n s who)).events =
      r.events ++ stampFrom n r.machine.stepIndex r.machine.clock s.events
        (Antiphon.step ⟨i, config, clock⟩ s who).events := by
    simp [Run.commit, microStep]
  rw [e]
  refine h.put _ _ _ hs ?_ ((h.life hs hi).step clock who) rfl rfl ?_
  · show images[(Antiphon.step ⟨i, config, clock⟩ s who).session.image]? = some i
    rw [(step_moved ..).image_eq]; exact hi
  · simp [Run.commit, microStep]

/-! ## Turns -/

theorem Good.turnOf {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine}
    {log : List ObsEvent} (h : Good config images m log) (p : Pick) :
    Good config images (m.turnOf p).machine (log ++ (m.turnOf p).shown.events) := by
  unfold Machine.turnOf Machine.micro
  cases hf : m.find p.session with
  | none => simpa using h
  | some found =>
    obtain ⟨hs, hi⟩ := h.found hf
    have := h.commit (r := ⟨m, log⟩) (who := p.coroutine) (clock := m.clock) hs hi
    rw [← h.config_eq] at this ⊢
    simpa [Run.commit, microStep, Machine.context] using this

theorem Good.schedRoundOne {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine}
    {log : List ObsEvent} (h : Good config images m log) :
    Good config images m.schedRoundOne.machine (log ++ m.schedRoundOne.shown.events) := by
  unfold Machine.schedRoundOne
  split
  · simpa using h
  · exact h.turnOf _

theorem Good.pickTurn {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine}
    {log : List ObsEvent} (h : Good config images m log) (p : Pick) :
    Good config images (m.pickTurn p).machine (log ++ (m.pickTurn p).shown.events) := by
  unfold Machine.pickTurn
  split
  · exact h.turnOf _
  · simpa using h

end Antiphon

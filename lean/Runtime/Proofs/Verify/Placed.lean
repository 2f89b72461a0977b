module

public import Runtime.Proofs.Verify.Closed
public import Runtime.Proofs.Session.Follow
public import Runtime.Proofs.Step.Kept

@[expose] public section

/-!
# Coroutines agree with the frames

`Placed` states that a coroutine agrees with the frame that verification computed for its position:
its registers hold what the frame says, and its endpoint is in the frame's state. `Seated` states it
for every coroutine of a session. The steps of verified images preserve it.
-/

namespace Antiphon

/-- A coroutine with number `k` of a program acts as its role: it holds the endpoint with its number,
in this state. A coroutine that does not act as a role has a number after all endpoints. -/
def Acts (endpoints : List Endpoint) (k program : Nat) : Option Nat → Prop
  | some state => k = program ∧ endpoints[k]? = some ⟨k, state⟩
  | none => endpoints.length ≤ k

/-- A coroutine agrees with the frame at its position. -/
def Placed (i : Loaded) (frames : Frames) (endpoints : List Endpoint) (k : Nat) (c : Coroutine) : Prop :=
  ∃ f, frameAt frames c.program c.pc = some f ∧ f.Holds i.image.sorts c.program c.registers ∧
    Acts endpoints k c.program f.state

/-- Every coroutine of the session agrees with the frame at its position. -/
structure Seated (i : Loaded) (frames : Frames) (s : Session) : Prop where
  /-- Each role's endpoint is held by the coroutine with the role's number. -/
  holders : ∀ (r : Nat) (e : Endpoint), s.endpoints[r]? = some e → e.holder = r
  /-- There is a coroutine for each role. -/
  enough : s.endpoints.length ≤ s.coroutines.length
  edges : s.edges.length = i.edges.length
  placed : ∀ (k : Nat) (c : Coroutine), s.coroutines[k]? = some c → Placed i frames s.endpoints k c

section
variable {sorts : List PayloadSort} {program : Nat}

theorem coversAll_sound {as bs : List Known} : ∀ {registers : List Value},
    coversAll sorts as bs = true →
    (∀ (j : Nat) (k : Known) (v : Value), bs[j]? = some k → registers[j]? = some v →
      k.Holds sorts program v) →
    as.length = bs.length ∧
    ∀ (j : Nat) (k : Known) (v : Value), as[j]? = some k → registers[j]? = some v →
      k.Holds sorts program v := by
  induction as generalizing bs with
  | nil =>
    intro registers h _
    cases bs with
    | nil => simp
    | cons => simp [coversAll] at h
  | cons a as ih =>
    intro registers h holds
    cases bs with
    | nil => simp [coversAll] at h
    | cons b bs =>
      simp only [coversAll] at h
      split at h
      · rename_i first
        cases registers with
        | nil =>
          obtain ⟨lens, _⟩ := ih (registers := []) h (by simp)
          exact ⟨by simp [lens], by simp⟩
        | cons v registers =>
          obtain ⟨lens, rest⟩ := ih (registers := registers) h (fun j k w hk hw =>
            holds (j + 1) k w (by simpa using hk) (by simpa using hw))
          refine ⟨by simp [lens], ?_⟩
          intro j k w hk hw
          cases j with
          | zero =>
            simp only [List.getElem?_cons_zero, Option.some.injEq] at hk hw
            subst hk hw
            exact Known.covers_sound first (holds 0 b v rfl rfl)
          | succ j => exact rest j k w (by simpa using hk) (by simpa using hw)
      · cases h

end

section
variable {i : Loaded} {frames : Frames} {endpoints : List Endpoint} {k : Nat} {c : Coroutine}

/-- A coroutine that agrees with a frame that is passed on to its position is placed. -/
theorem placed_of_flow {x : Flow} (covered : flowCovered i.image.sorts frames x = true)
    (program : c.program = x.program) (pc : c.pc = x.pc)
    (holds : x.frame.Holds i.image.sorts c.program c.registers)
    (acts : Acts endpoints k c.program x.frame.state) : Placed i frames endpoints k c := by
  unfold flowCovered at covered
  rw [← program, ← pc] at covered
  split at covered
  · cases covered
  · rename_i f hf
    split at covered
    · rename_i same
      obtain ⟨lens, each⟩ := coversAll_sound (program := c.program) covered holds.each
      refine ⟨f, hf, ⟨lens.trans holds.count, each⟩, ?_⟩
      have : f.state = x.frame.state := by
        cases hs : f.state <;> cases hx : x.frame.state <;> simp_all [sameState]
      rw [this]
      exact acts
    · cases covered

theorem Placed.same {c' : Coroutine} (h : Placed i frames endpoints k c)
    (program : c'.program = c.program) (pc : c'.pc = c.pc) (registers : c'.registers = c.registers) :
    Placed i frames endpoints k c' := by
  unfold Placed at h ⊢
  rw [program, pc, registers]
  exact h

theorem Placed.other {who : Nat} {e : Endpoint} (h : Placed i frames endpoints k c) (ne : k ≠ who) :
    Placed i frames (endpoints.set who e) k c := by
  obtain ⟨f, hf, holds, acts⟩ := h
  refine ⟨f, hf, holds, ?_⟩
  unfold Acts at acts ⊢
  split
  · rename_i state hs
    rw [hs] at acts
    exact ⟨acts.1, by rw [List.getElem?_set_ne (Ne.symm ne)]; exact acts.2⟩
  · rename_i hs
    rw [hs] at acts
    simpa using acts

end

section
variable {i : Loaded} {frames : Frames} {s s' : Session}

/-- A change of coroutines after which every one is placed. -/
theorem Seated.keep (h : Seated i frames s) (endpoints : s'.endpoints = s.endpoints)
    (edges : s'.edges = s.edges) (count : s.coroutines.length ≤ s'.coroutines.length)
    (placed : ∀ (k : Nat) (c : Coroutine), s'.coroutines[k]? = some c →
      Placed i frames s.endpoints k c) : Seated i frames s' := by
  refine ⟨?_, ?_, ?_, ?_⟩
  · rw [endpoints]; exact h.holders
  · rw [endpoints]; exact Nat.le_trans h.enough count
  · rw [edges]; exact h.edges
  · rw [endpoints]; exact placed

/-- One coroutine is replaced. -/
theorem Seated.set (h : Seated i frames s) {who : Nat} {x : Coroutine}
    (endpoints : s'.endpoints = s.endpoints) (edges : s'.edges = s.edges)
    (coroutines : s'.coroutines = s.coroutines.set who x)
    (placed : Placed i frames s.endpoints who x) : Seated i frames s' := by
  refine h.keep endpoints edges (by simp [coroutines]) ?_
  intro k c hc
  rw [coroutines, List.getElem?_set] at hc
  split at hc
  · rename_i same
    subst same
    split at hc
    · cases hc; exact placed
    · cases hc
  · exact h.placed k c hc

/-- Waking changes at most a status. -/
theorem wake_position {endpoints : List Endpoint} {coroutines : List Coroutine} {peer k : Nat} {on : On}
    {c : Coroutine} (h : (wake endpoints coroutines peer on).1[k]? = some c) :
    ∃ old, coroutines[k]? = some old ∧ c.program = old.program ∧ c.pc = old.pc ∧
      c.registers = old.registers := by
  rcases wake_cases endpoints coroutines peer on with ⟨e, _⟩ | ⟨p, x, _, hx, _, e⟩
  · rw [e] at h
    exact ⟨c, h, rfl, rfl, rfl⟩
  · rw [e] at h
    simp only [List.getElem?_set] at h
    split at h
    · rename_i same
      subst same
      split at h
      · cases h; exact ⟨x, hx, rfl, rfl, rfl⟩
      · cases h
    · exact ⟨c, h, rfl, rfl, rfl⟩

/-- A role's coroutine has communicated: its endpoint has moved, and it has moved itself. -/
theorem Seated.message (h : Seated i frames s) {who edge peer state : Nat} {on : On} {x : Coroutine}
    {b : Edge} (endpoints : s'.endpoints = s.endpoints.set who ⟨who, state⟩)
    (edges : s'.edges = s.edges.set edge b)
    (coroutines : s'.coroutines = (wake s.endpoints (s.coroutines.set who x) peer on).1)
    (placed : Placed i frames (s.endpoints.set who ⟨who, state⟩) who x) : Seated i frames s' := by
  refine ⟨?_, ?_, ?_, ?_⟩
  · intro r e he
    rw [endpoints, List.getElem?_set] at he
    split at he
    · rename_i same
      split at he
      · cases he; exact same
      · cases he
    · exact h.holders r e he
  · rw [endpoints, coroutines, wake_length]
    simpa using h.enough
  · rw [edges]
    simpa using h.edges
  · intro k c hc
    rw [coroutines] at hc
    obtain ⟨old, ho, hp, hpc, hr⟩ := wake_position hc
    rw [endpoints]
    rw [List.getElem?_set] at ho
    split at ho
    · rename_i same
      subst same
      split at ho
      · cases ho; exact placed.same hp hpc hr
      · cases ho
    · rename_i ne
      exact ((h.placed k old ho).other (Ne.symm ne)).same hp hpc hr

end

/-! ## The start -/

theorem roleEndpoints_at : ∀ {count n r : Nat} {e : Endpoint}, (roleEndpoints n count)[r]? = some e →
    e = ⟨n + r, 0⟩
  | 0, _, _, _, h => by simp [roleEndpoints] at h
  | count + 1, n, 0, e, h => by
    simp only [roleEndpoints, List.getElem?_cons_zero, Option.some.injEq] at h
    exact h.symm
  | count + 1, n, r + 1, e, h => by
    simp only [roleEndpoints, List.getElem?_cons_succ] at h
    have := roleEndpoints_at h
    rw [this]
    congr 1
    omega

theorem roleEndpoints_length : ∀ (count n : Nat), (roleEndpoints n count).length = count
  | 0, _ => rfl
  | count + 1, n => by simp [roleEndpoints, roleEndpoints_length count]

theorem roleCoroutines_at {image : CodeImage} {config : ProtocolMachineConfig} {roles : List Role} :
    ∀ {n k : Nat} {c : Coroutine}, (roleCoroutines image config n roles)[k]? = some c →
      k < roles.length ∧ ∃ priority, c = Coroutine.start image (n + k) (some (n + k)) priority := by
  induction roles with
  | nil => intro n k c h; simp [roleCoroutines] at h
  | cons role roles ih =>
    intro n k c h
    cases k with
    | zero =>
      simp only [roleCoroutines, List.getElem?_cons_zero, Option.some.injEq] at h
      exact ⟨by simp, _, h.symm⟩
    | succ k =>
      simp only [roleCoroutines, List.getElem?_cons_succ] at h
      obtain ⟨lt, priority, e⟩ := ih h
      refine ⟨by simpa using lt, priority, ?_⟩
      have : n + (k + 1) = n + 1 + k := by omega
      rw [this]
      exact e

theorem roleCoroutines_length {image : CodeImage} {config : ProtocolMachineConfig}
    {roles : List Role} : ∀ {n : Nat}, (roleCoroutines image config n roles).length = roles.length := by
  induction roles with
  | nil => intro n; rfl
  | cons role roles ih => intro n; simp [roleCoroutines, ih]

/-- The frame in which a role's program starts holds for a new coroutine of the role. -/
theorem start_holds (sorts : List PayloadSort) (r count : Nat) :
    Frame.Holds sorts r ((List.replicate count Value.unit).set 0 (.endpoint r))
      ⟨some 0, (List.replicate count (.exactly .unit)).set 0 .endpoint⟩ := by
  refine ⟨by simp, ?_⟩
  intro j k v hk hv
  cases j with
  | zero =>
    cases count with
    | zero => simp at hk
    | succ count =>
      simp only [List.replicate_succ, List.set_cons_zero, List.getElem?_cons_zero,
        Option.some.injEq] at hk hv
      subst hk hv
      rfl
  | succ j =>
    rw [List.getElem?_set_ne (by omega)] at hk hv
    rw [List.getElem?_replicate] at hk hv
    by_cases lt : j + 1 < count
    · rw [if_pos lt, Option.some.injEq] at hk hv
      subst hk hv
      rfl
    · rw [if_neg lt] at hk
      cases hk

theorem start_seated {i : Loaded} {frames : Frames} (closed : ClosedFrames i.image frames)
    (config : ProtocolMachineConfig) (id row : Nat) (owner : Bytes) :
    Seated i frames (Session.start i config id row owner) := by
  refine ⟨?_, ?_, ?_, ?_⟩
  · intro r e he
    rw [roleEndpoints_at (count := len i.image.numberedRoles) (n := 0) he]
    simp
  · simp [Session.start, roleEndpoints_length, roleCoroutines_length]
  · simp [Session.start]
  · intro k c hc
    obtain ⟨lt, priority, e⟩ := roleCoroutines_at (n := 0) hc
    simp only [Nat.zero_add] at e
    subst e
    refine placed_of_flow (closed.start k lt) rfl rfl ?_ ⟨rfl, ?_⟩
    · have : (Coroutine.start i.image k (some k) priority).registers =
          (List.replicate (registersOf i.image k) Value.unit).set 0 (.endpoint k) := by
        simp [Coroutine.start, registersOf]
        rfl
      rw [this]
      exact start_holds ..
    · have lt' : k < (roleEndpoints 0 (len i.image.numberedRoles)).length := by
        simpa [roleEndpoints_length] using lt
      have := roleEndpoints_at (count := len i.image.numberedRoles) (n := 0)
        (List.getElem?_eq_getElem lt')
      show (roleEndpoints 0 (len i.image.numberedRoles))[k]? = _
      rw [List.getElem?_eq_getElem lt', this]
      simp

end Antiphon

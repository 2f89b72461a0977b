module

public import Runtime.ProtocolMachine.Verify.Paths
public import Runtime.Proofs.Verify.Known

@[expose] public section

/-!
# Closed frames

What `framesClosed` has established about the frames of an image.
-/

namespace Antiphon

theorem require_ok {holds : Bool} {kind : VerifyErrorKind} {u : Unit} :
    require holds kind = .ok u ↔ holds = true := by
  cases holds <;> simp [require]

/-- An instruction passes on a frame, which is covered. -/
def Covered (image : CodeImage) (frames : Frames) (x : Except VerifyErrorKind Flow) : Prop :=
  ∃ y, x = .ok y ∧ flowCovered image.sorts frames y = true

theorem flowsCovered_all {image : CodeImage} {frames : Frames} {xs : List (Except VerifyErrorKind Flow)}
    (h : flowsCovered image.sorts frames xs = true) : ∀ x ∈ xs, Covered image frames x := by
  induction xs with
  | nil => simp
  | cons x xs ih =>
    cases x with
    | error kind => simp [flowsCovered] at h
    | ok y =>
      simp only [flowsCovered] at h
      split at h
      · rename_i first
        intro x hx
        rcases List.mem_cons.mp hx with e | hx
        · exact ⟨y, e, first⟩
        · exact ih h x hx
      · cases h

theorem frameAt_some {frames : Frames} {program pc : Nat} {f : Frame}
    (h : frameAt frames program pc = some f) :
    ∃ slots, frames[program]? = some slots ∧ slots[pc]? = some (some f) := by
  simp only [frameAt, getAt_eq] at h
  split at h
  · cases h
  · rename_i slots hs
    split at h
    · rename_i g hg
      cases h
      exact ⟨slots, hs, hg⟩
    · cases h

/-- The instruction at `pc` and its frame are in order. -/
def InOrder (image : CodeImage) (frames : Frames) (program pc : Nat) (f : Frame) (i : Instruction) :
    Prop :=
  stateExists image program f.state = true ∧
    ∀ x ∈ transfer image program pc f i, Covered image frames x

theorem slotsClosed_at {image : CodeImage} {frames : Frames} {program : Nat}
    {slots : List (Option Frame)} : ∀ {pc : Nat} {code : List Instruction},
    slotsClosed image frames program pc code slots = true → ∀ {m : Nat} {f : Frame},
    slots[m]? = some (some f) → ∃ i, code[m]? = some i ∧ InOrder image frames program (pc + m) f i := by
  induction slots with
  | nil => intro _ _ _ m f hm; simp at hm
  | cons slot slots ih =>
    intro pc code h m f hm
    cases slot with
    | none =>
      cases m with
      | zero => simp at hm
      | succ m =>
        simp only [List.getElem?_cons_succ] at hm
        cases code with
        | nil =>
          simp only [slotsClosed] at h
          obtain ⟨i, hi, _⟩ := ih h hm
          simp at hi
        | cons _ code =>
          simp only [slotsClosed] at h
          obtain ⟨i, hi, ok⟩ := ih h hm
          refine ⟨i, by simpa using hi, ?_⟩
          have : pc + (m + 1) = pc + 1 + m := by omega
          rw [this]; exact ok
    | some g =>
      cases code with
      | nil => simp [slotsClosed] at h
      | cons i code =>
        simp only [slotsClosed] at h
        split at h
        · cases h
        · rename_i exists_
          split at h
          · rename_i covered
            cases m with
            | zero =>
              simp only [List.getElem?_cons_zero, Option.some.injEq] at hm
              subst hm
              exact ⟨i, rfl, exists_, flowsCovered_all covered⟩
            | succ m =>
              simp only [List.getElem?_cons_succ] at hm
              obtain ⟨i', hi, ok⟩ := ih h hm
              refine ⟨i', by simpa using hi, ?_⟩
              have : pc + (m + 1) = pc + 1 + m := by omega
              rw [this]; exact ok
          · cases h

theorem programsClosed_at {image : CodeImage} {frames : Frames} {rest : Frames} :
    ∀ {n : Nat} {programs : List Program}, programsClosed image frames n programs rest = true →
    ∀ {m pc : Nat} {f : Frame} {slots : List (Option Frame)},
    rest[m]? = some slots → slots[pc]? = some (some f) →
    ∃ p i, programs[m]? = some p ∧ p.code[pc]? = some i ∧ InOrder image frames (n + m) pc f i := by
  induction rest with
  | nil => intro _ _ _ m pc f slots hm; simp at hm
  | cons first rest ih =>
    intro n programs h m pc f slots hm hf
    cases programs with
    | nil => simp [programsClosed] at h
    | cons p programs =>
      simp only [programsClosed] at h
      split at h
      · rename_i here
        cases m with
        | zero =>
          simp only [List.getElem?_cons_zero, Option.some.injEq] at hm
          subst hm
          obtain ⟨i, hi, ok⟩ := slotsClosed_at here hf
          refine ⟨p, i, rfl, hi, ?_⟩
          simpa using ok
        | succ m =>
          simp only [List.getElem?_cons_succ] at hm
          obtain ⟨q, i, hq, hi, ok⟩ := ih h hm hf
          refine ⟨q, i, by simpa using hq, hi, ?_⟩
          have : n + (m + 1) = n + 1 + m := by omega
          rw [this]; exact ok
      · cases h

/-- What is proved about the frames of a verified image. -/
structure ClosedFrames (image : CodeImage) (frames : Frames) : Prop where
  /-- An instruction with a frame exists; it has no error, and passes on only covered frames. -/
  instruction : ∀ {program pc : Nat} {f : Frame}, frameAt frames program pc = some f →
    ∃ i, image.codeAt program pc = some i ∧ InOrder image frames program pc f i
  /-- The frames in which the roles' programs start are covered. -/
  start : ∀ r, r < image.numberedRoles.length → flowCovered image.sorts frames
    ⟨r, 0, ⟨some 0, (List.replicate (registersOf image r) (.exactly .unit)).set 0 .endpoint⟩⟩ = true
  /-- The edge over which a state sends has a number. -/
  sends : ∀ {r state to : Nat} {branches : List Transition},
    image.stateAt r state = some (.send to branches) →
    edgeIndex (r, to) (image.load []).edges 0 < (image.load []).edges.length
  /-- The edge over which a state receives has a number. -/
  receives : ∀ {r state peer : Nat} {branches : List Transition},
    image.stateAt r state = some (.recv peer branches) →
    edgeIndex (peer, r) (image.load []).edges 0 < (image.load []).edges.length

theorem startFlows_mem {image : CodeImage} : ∀ {roles : List Role} {n m : Nat}, m < roles.length →
    Except.ok ⟨n + m, 0, ⟨some 0,
      (List.replicate (registersOf image (n + m)) (.exactly .unit)).set 0 .endpoint⟩⟩ ∈
      startFlows image n roles := by
  intro roles
  induction roles with
  | nil => intro n m h; simp at h
  | cons role roles ih =>
    intro n m h
    cases m with
    | zero => simp [startFlows]
    | succ m =>
      have : n + (m + 1) = n + 1 + m := by omega
      rw [this]
      simp only [startFlows]
      exact List.mem_cons_of_mem _ (ih (by simpa using h))

theorem edgesNumbered_mem {edges : List EdgePair} {role : Nat} {ss : List AutomatonState}
    (h : edgesNumbered edges role ss = true) :
    (∀ to bs, .send to bs ∈ ss → edgeIndex (role, to) edges 0 < edges.length) ∧
      ∀ peer bs, .recv peer bs ∈ ss → edgeIndex (peer, role) edges 0 < edges.length := by
  induction ss with
  | nil => simp
  | cons s ss ih =>
    cases s with
    | done =>
      simp only [edgesNumbered] at h
      obtain ⟨hs, hr⟩ := ih h
      exact ⟨fun to bs m => hs to bs (by simpa using m), fun p bs m => hr p bs (by simpa using m)⟩
    | send to bs =>
      simp only [edgesNumbered] at h
      split at h
      · rename_i lt
        simp only [len_eq, Nat.blt_eq] at lt
        obtain ⟨hs, hr⟩ := ih h
        refine ⟨fun to' bs' m => ?_, fun p bs m => hr p bs (by simpa using m)⟩
        rcases List.mem_cons.mp m with e | m
        · cases e; exact lt
        · exact hs _ _ m
      · cases h
    | recv peer bs =>
      simp only [edgesNumbered] at h
      split at h
      · rename_i lt
        simp only [len_eq, Nat.blt_eq] at lt
        obtain ⟨hs, hr⟩ := ih h
        refine ⟨fun p bs m => hs p bs (by simpa using m), fun peer' bs' m => ?_⟩
        rcases List.mem_cons.mp m with e | m
        · cases e; exact lt
        · exact hr _ _ m
      · cases h

theorem rolesNumbered_at {edges : List EdgePair} {roles : List Role} : ∀ {n : Nat},
    rolesNumbered edges n roles = true → ∀ {m : Nat} {role : Role}, roles[m]? = some role →
    edgesNumbered edges (n + m) role.states = true := by
  induction roles with
  | nil => intro n _ m role hm; simp at hm
  | cons first roles ih =>
    intro n h m role hm
    simp only [rolesNumbered] at h
    split at h
    · rename_i here
      cases m with
      | zero => simp only [List.getElem?_cons_zero, Option.some.injEq] at hm; subst hm; exact here
      | succ m =>
        have : n + (m + 1) = n + 1 + m := by omega
        rw [this]
        exact ih h (by simpa using hm)
    · cases h

theorem stateAt_some {image : CodeImage} {r state : Nat} {a : AutomatonState}
    (h : image.stateAt r state = some a) :
    ∃ role, image.numberedRoles[r]? = some role ∧ role.states[state]? = some a := by
  simp only [CodeImage.stateAt, getAt_eq] at h
  split at h
  · cases h
  · rename_i role hr
    exact ⟨role, hr, h⟩

/-- `framesClosed` establishes all of this. -/
theorem closed_facts {image : CodeImage} {frames : Frames} (h : framesClosed image frames = true) :
    ClosedFrames image frames := by
  unfold framesClosed at h
  split at h
  · cases h
  · rename_i starts
    split at h
    · cases h
    · rename_i programs
      refine ⟨?_, ?_, ?_, ?_⟩
      · intro program pc f hf
        obtain ⟨slots, hs, hslot⟩ := frameAt_some hf
        obtain ⟨p, i, hp, hi, ok⟩ := programsClosed_at programs hs hslot
        refine ⟨i, by simp [CodeImage.codeAt, hp, hi], ?_⟩
        simpa using ok
      · intro r hr
        have mem := startFlows_mem (image := image) (n := 0) hr
        obtain ⟨y, e, covered⟩ := flowsCovered_all starts _ mem
        cases e
        simpa using covered
      · intro r state to branches hs
        obtain ⟨role, hr, ha⟩ := stateAt_some hs
        have := rolesNumbered_at h hr
        simpa using (edgesNumbered_mem this).1 to branches (List.mem_of_getElem? ha)
      · intro r state peer branches hs
        obtain ⟨role, hr, ha⟩ := stateAt_some hs
        have := rolesNumbered_at h hr
        simpa using (edgesNumbered_mem this).2 peer branches (List.mem_of_getElem? ha)

/-- A verified image has closed frames. -/
theorem verify_closed {image : CodeImage} (h : image.verify = .ok ()) :
    ∃ frames, ClosedFrames image frames := by
  simp only [CodeImage.verify, bind_ok, require_ok] at h
  obtain ⟨_, _, _, _, _, _, frames, _, _, closed, _⟩ := h
  exact ⟨frames, closed_facts closed⟩

/-! ## Frames of coroutines -/

/-- What a frame says about the registers of a coroutine of a program. -/
structure Frame.Holds (sorts : List PayloadSort) (program : Nat) (registers : List Value) (f : Frame) :
    Prop where
  count : f.registers.length = registers.length
  each : ∀ (j : Nat) (k : Known) (v : Value), f.registers[j]? = some k → registers[j]? = some v →
    k.Holds sorts program v

section
variable {sorts : List PayloadSort} {program : Nat} {registers : List Value} {f : Frame}

theorem Frame.read_ok {r : Nat} {k : Known} : f.read r = .ok k ↔ f.registers[r]? = some k := by
  unfold Frame.read
  cases h : f.registers[r]? <;> simp [h]

theorem Frame.write_ok {r : Nat} {k : Known} {g : Frame} (h : f.write r k = .ok g) :
    r < f.registers.length ∧ g = { f with registers := f.registers.set r k } := by
  unfold Frame.write at h
  rw [getAt_eq] at h
  split at h
  · rename_i old ho
    simp only [setAt_eq, Except.ok.injEq] at h
    exact ⟨(List.getElem?_eq_some_iff.mp ho).1, h.symm⟩
  · cases h

/-- A register that a frame knows exists, and what the frame says about it holds. -/
theorem Frame.Holds.read (h : f.Holds sorts program registers) {r : Nat} {k : Known}
    (read : f.read r = .ok k) : ∃ v, registers[r]? = some v ∧ k.Holds sorts program v := by
  have hk := Frame.read_ok.mp read
  have lt : r < registers.length := h.count ▸ (List.getElem?_eq_some_iff.mp hk).1
  exact ⟨registers[r], by simp [lt], h.each r k _ hk (by simp [lt])⟩

/-- A register that a frame can write exists. -/
theorem Frame.Holds.writable (h : f.Holds sorts program registers) {r : Nat} {k : Known} {g : Frame}
    (write : f.write r k = .ok g) : ∃ v, registers[r]? = some v := by
  have lt : r < registers.length := h.count ▸ (Frame.write_ok write).1
  exact ⟨registers[r], by simp [lt]⟩

/-- Writing a value about which `k` holds. -/
theorem Frame.Holds.write (h : f.Holds sorts program registers) {r : Nat} {k : Known} {v : Value}
    {g : Frame} (write : f.write r k = .ok g) (holds : k.Holds sorts program v) :
    g.Holds sorts program (registers.set r v) := by
  obtain ⟨lt, rfl⟩ := Frame.write_ok write
  have lt' : r < registers.length := h.count ▸ lt
  refine ⟨by simpa using h.count, ?_⟩
  intro j k' v' hk hv
  by_cases same : r = j
  · subst same
    rw [List.getElem?_set_self lt, Option.some.injEq] at hk
    rw [List.getElem?_set_self lt', Option.some.injEq] at hv
    subst hk hv
    exact holds
  · simp only [List.getElem?_set_ne same] at hk hv
    exact h.each j k' v' hk hv

/-- Knowing the same about registers. -/
theorem Frame.Holds.refine (h : f.Holds sorts program registers) {r : Nat} {k : Known} {v : Value}
    {g : Frame} (write : f.write r k = .ok g) (read : registers[r]? = some v)
    (holds : k.Holds sorts program v) : g.Holds sorts program registers := by
  have same : registers.set r v = registers := by
    apply List.ext_getElem?
    intro j
    rw [List.getElem?_set]
    split
    · rename_i e
      subst e
      rw [read, if_pos (List.getElem?_eq_some_iff.mp read).1]
    · rfl
  rw [← same]
  exact h.write write holds

end

end Antiphon

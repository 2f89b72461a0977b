module

public import Runtime.Proofs.Verify.Preserved

@[expose] public section

/-!
# Outcomes of effects of verified images

An outstanding effect belongs to the instruction at which its coroutine waits (`Waits`). So its
outcome writes what verification expects, and a failure without a failure branch is the only fault.
-/

namespace Antiphon

/-- The operation that an instruction requests. -/
def Instruction.requested : Instruction → Option Nat
  | .invoke operation _ _ _ => some operation
  | .check operation _ _ _ _ => some operation
  | _ => none

/-- Every outstanding effect is the one for which its coroutine waits, and was requested by the
instruction at which the coroutine is. -/
structure Waits (i : Loaded) (s : Session) : Prop where
  waiting : ∀ e ∈ s.effects, ∃ c instruction, s.coroutines[e.coroutine]? = some c ∧
    c.status = .blocked (.effect e.number) ∧ i.image.codeAt c.program c.pc = some instruction ∧
    instruction.requested = some e.operation
  ordered : s.effects.Pairwise (fun a b => a.number < b.number)
  below : ∀ e ∈ s.effects, e.number < s.effectsIssued

section
variable {i : Loaded} {frames : Frames} {s s' : Session} {who : Nat} {c x : Coroutine}

theorem Waits.keep (h : Waits i s) (effects : s'.effects = s.effects)
    (issued : s'.effectsIssued = s.effectsIssued)
    (same : ∀ (k n : Nat) (c : Coroutine), s.coroutines[k]? = some c →
      c.status = .blocked (.effect n) → s'.coroutines[k]? = some c) : Waits i s' := by
  refine ⟨?_, by rw [effects]; exact h.ordered, by rw [effects, issued]; exact h.below⟩
  rw [effects]
  intro e he
  obtain ⟨c, instruction, hc, hs, hi, ho⟩ := h.waiting e he
  exact ⟨c, instruction, same _ _ c hc hs, hs, hi, ho⟩

theorem Waits.ended (effects : s'.effects = []) : Waits i s' := by
  refine ⟨?_, ?_, ?_⟩ <;> simp [effects]

/-- A coroutine that waits for no effect is replaced. -/
theorem Waits.set (h : Waits i s) (effects : s'.effects = s.effects)
    (issued : s'.effectsIssued = s.effectsIssued) (free : ∀ e ∈ s.effects, e.coroutine ≠ who)
    (coroutines : s'.coroutines = s.coroutines.set who x) : Waits i s' := by
  refine ⟨?_, by rw [effects]; exact h.ordered, by rw [effects, issued]; exact h.below⟩
  rw [effects]
  intro e he
  obtain ⟨c, instruction, hc, hs, hi, ho⟩ := h.waiting e he
  refine ⟨c, instruction, ?_, hs, hi, ho⟩
  rw [coroutines, List.getElem?_set_ne (Ne.symm (free e he))]
  exact hc

/-- A coroutine that waits for no effect issues one. -/
theorem Waits.issue (h : Waits i s) {e : Effect} (number : e.number = s.effectsIssued)
    (effects : s'.effects = s.effects ++ [e]) (issued : s'.effectsIssued = s.effectsIssued + 1)
    (free : ∀ e ∈ s.effects, e.coroutine ≠ who) (coroutine : e.coroutine = who)
    (found : s.coroutines[who]? = some c)
    (coroutines : s'.coroutines =
      s.coroutines.set who { c with status := .blocked (.effect s.effectsIssued) })
    {instruction : Instruction} (code : i.image.codeAt c.program c.pc = some instruction)
    (requested : instruction.requested = some e.operation) : Waits i s' := by
  have lt : who < s.coroutines.length := (List.getElem?_eq_some_iff.mp found).1
  refine ⟨?_, ?_, ?_⟩
  · rw [effects]
    intro e' he
    rw [coroutines]
    rcases List.mem_append.mp he with he | he
    · obtain ⟨c', instruction', hc, hs, hi, ho⟩ := h.waiting e' he
      refine ⟨c', instruction', ?_, hs, hi, ho⟩
      rw [List.getElem?_set_ne (Ne.symm (free e' he))]
      exact hc
    · rw [List.mem_singleton] at he
      subst he
      exact ⟨{ c with status := .blocked (.effect s.effectsIssued) }, instruction,
        by simp [coroutine, lt], by rw [number], code, requested⟩
  · rw [effects, List.pairwise_append]
    refine ⟨h.ordered, List.pairwise_singleton .., ?_⟩
    intro a ha b hb
    rw [List.mem_singleton] at hb
    subst hb
    rw [number]
    exact h.below a ha
  · rw [effects, issued]
    intro e' he
    rcases List.mem_append.mp he with he | he
    · have := h.below e' he
      omega
    · rw [List.mem_singleton] at he
      subst he
      omega

/-- A ready coroutine waits for no effect. -/
theorem Waits.free (h : Waits i s) (found : s.coroutines[who]? = some c) (ready : c.status = .ready) :
    ∀ e ∈ s.effects, e.coroutine ≠ who := by
  intro e he same
  obtain ⟨c', _, hc, hs, _⟩ := h.waiting e he
  rw [same, found] at hc
  cases hc
  rw [ready] at hs
  cases hs

theorem wake_waits {endpoints : List Endpoint} {coroutines : List Coroutine} {peer : Nat} {on : On}
    (edge : ∀ n, on ≠ .effect n) {k n : Nat} (hk : coroutines[k]? = some c)
    (hs : c.status = .blocked (.effect n)) : (wake endpoints coroutines peer on).1[k]? = some c := by
  rcases wake_cases endpoints coroutines peer on with ⟨e, _⟩ | ⟨p, y, _, hy, status, e⟩
  · rw [e]; exact hk
  · rw [e]
    by_cases same : p.holder = k
    · subst same
      rw [hk] at hy
      cases hy
      rw [hs] at status
      cases status
      exact absurd rfl (edge n)
    · rw [List.getElem?_set_ne same]
      exact hk

/-- A ready coroutine communicates. -/
theorem Waits.woken (h : Waits i s) (found : s.coroutines[who]? = some c) (ready : c.status = .ready)
    (effects : s'.effects = s.effects) (issued : s'.effectsIssued = s.effectsIssued) {peer : Nat}
    {on : On} (edge : ∀ n, on ≠ .effect n)
    (coroutines : s'.coroutines = (wake s.endpoints (s.coroutines.set who x) peer on).1) :
    Waits i s' := by
  refine h.keep effects issued (fun k n c' hk hs => ?_)
  rw [coroutines]
  refine wake_waits edge ?_ hs
  rw [List.getElem?_set_ne]
  · exact hk
  · intro same
    subst same
    rw [found] at hk
    cases hk
    rw [ready] at hs
    cases hs

theorem finish_waits (s : Session) (how : Ending) : Waits i (finish s how).1 := .ended rfl

theorem fail_waits (s : Session) (who : Nat) (fault : Fault) : Waits i (fail s who fault).1 :=
  .ended rfl

/-- A step leaves every outstanding effect with its coroutine. -/
theorem step_waits (h : Waits i s) (config : ProtocolMachineConfig) (clock who : Nat) :
    Waits i (step ⟨i, config, clock⟩ s who).session := by
  have cases_ := step_cases ⟨i, config, clock⟩ s who
  generalize step ⟨i, config, clock⟩ s who = r at cases_ ⊢
  cases cases_ with
  | absent => exact h
  | over => exact h
  | blocked => exact h
  | @faulted c fault => exact fail_waits s who fault
  | @ran c instruction stepped found active ready fetched executed =>
    have free := h.free found ready
    have code := fetch_codeAt.mp fetched
    have block_ (on : On) : Waits i (block s who c on).session :=
      h.set (x := { c with status := .blocked on }) rfl rfl free
        (by simp [block, plain, Session.withCoroutine])
    have sent {chan label val next : Nat} {chosen : Bool} {stepped : Stepped}
        (sent : Sent ⟨i, config, clock⟩ s who c chan label val next chosen stepped) :
        Waits i stepped.session := by
      cases sent with
      | full => exact block_ _
      | put => exact h.woken found ready rfl rfl (by simp) rfl
    have heard {chan dst : Nat} {chosen : Bool} {next : Nat → Option Nat} {stepped : Stepped}
        (heard : Heard ⟨i, config, clock⟩ s who c chan dst chosen next stepped) :
        Waits i stepped.session := by
      cases heard with
      | empty => exact block_ _
      | took => exact h.woken found ready rfl rfl (by simp) rfl
    have plain_ (x : Coroutine) (step : Step) : Waits i (plain s who x step).session :=
      h.set (x := x) rfl rfl free (by simp [plain, Session.withCoroutine])
    cases executed with
    | send s => exact sent s
    | offer _ _ _ s => exact sent s
    | receive s => exact heard s
    | choose s => exact heard s
    | invoke asked =>
      cases asked
      exact h.issue rfl rfl rfl free rfl found rfl code rfl
    | check asked =>
      cases asked
      exact h.issue rfl rfl rfl free rfl found rfl code rfl
    | spawn spawned =>
      cases spawned with
      | spawned =>
        refine h.keep rfl rfl (fun k n c' hk hs => ?_)
        have lt := (List.getElem?_eq_some_iff.mp hk).1
        simp only
        rw [List.getElem?_append_left (by simpa using lt), List.getElem?_set_ne]
        · exact hk
        · intro same
          subst same
          rw [found] at hk
          cases hk
          rw [ready] at hs
          cases hs
    | set => exact plain_ _ _
    | move => exact plain_ _ _
    | jump => exact plain_ _ _
    | branch => exact plain_ _ _
    | «yield» => exact plain_ _ _
    | close closed => cases closed; exact finish_waits ..
    | halt halted =>
      cases halted with
      | last => exact finish_waits ..
      | one => exact h.set (x := { c with status := .halted }) rfl rfl free rfl

/-! ## Outcomes -/

theorem effectOf_mem {number : Nat} {effects : List Effect} {e : Effect}
    (h : effectOf number effects = some e) : e ∈ effects ∧ e.number = number := by
  induction effects with
  | nil => cases h
  | cons x xs ih =>
    simp only [effectOf] at h
    split at h
    · rename_i same
      cases h
      exact ⟨List.mem_cons_self .., Nat.beq_eq.mp same⟩
    · obtain ⟨mem, e⟩ := ih h
      exact ⟨List.mem_cons_of_mem _ mem, e⟩

theorem withoutEffect_sub (number : Nat) (effects : List Effect) :
    (withoutEffect number effects).Sublist effects := by
  induction effects with
  | nil => exact .slnil
  | cons x xs ih =>
    simp only [withoutEffect]
    split
    · exact List.sublist_cons_self ..
    · exact ih.cons₂ x

theorem withoutEffect_other {number : Nat} {effects : List Effect}
    (ordered : effects.Pairwise (fun a b => a.number < b.number)) :
    ∀ e ∈ withoutEffect number effects, e.number ≠ number := by
  induction effects with
  | nil => simp [withoutEffect]
  | cons x xs ih =>
    obtain ⟨first, rest⟩ := List.pairwise_cons.mp ordered
    simp only [withoutEffect]
    split
    · rename_i same
      intro e he
      have := first e he
      rw [Nat.beq_eq.mp same] at this
      omega
    · rename_i other
      intro e he
      rcases List.mem_cons.mp he with eq | he
      · subst eq
        intro eq
        simp [eq] at other
      · exact ih rest e he

/-- The effect is removed; its coroutine then waits for no effect. -/
theorem Waits.without (h : Waits i s) {e : Effect} (mem : e ∈ s.effects) :
    Waits i { s with effects := withoutEffect e.number s.effects } ∧
      ∀ e' ∈ withoutEffect e.number s.effects, e'.coroutine ≠ e.coroutine := by
  have sub := withoutEffect_sub e.number s.effects
  refine ⟨⟨fun e' he => h.waiting e' (sub.subset he), h.ordered.sublist sub,
    fun e' he => h.below e' (sub.subset he)⟩, ?_⟩
  intro e' he same
  obtain ⟨c, _, hc, hs, _⟩ := h.waiting e mem
  obtain ⟨c', _, hc', hs', _⟩ := h.waiting e' (sub.subset he)
  rw [same, hc] at hc'
  cases hc'
  rw [hs] at hs'
  simp only [Status.blocked.injEq, On.effect.injEq] at hs'
  exact withoutEffect_other h.ordered e' he hs'.symm

/-- What an outcome needs of the instruction that requested its effect, and what verification knows
about that instruction. -/
theorem requested_asking {instruction : Instruction} {operation : Nat}
    (code : i.image.codeAt c.program c.pc = some instruction)
    (requested : instruction.requested = some operation) :
    ∃ args dst witness onFailure, askingOf i c = some ⟨dst, witness, onFailure⟩ ∧
      ∀ program pc f, transfer i.image program pc f instruction =
        requestFlows i.image program (nextPc pc) f operation args dst witness onFailure := by
  have fetched := fetch_codeAt.mpr code
  cases instruction with
  | invoke operation' args dst onFailure =>
    simp only [Instruction.requested, Option.some.injEq] at requested
    subst requested
    exact ⟨args, dst, none, onFailure, by simp [askingOf, fetched], fun _ _ _ => rfl⟩
  | check operation' args dst witness onFailure =>
    simp only [Instruction.requested, Option.some.injEq] at requested
    subst requested
    exact ⟨args, dst, some witness, onFailure, by simp [askingOf, fetched], fun _ _ _ => rfl⟩
  | _ => simp [Instruction.requested] at requested

/-- What holds of a session after an outcome, and of the fault in it. -/
structure Resumes (i : Loaded) (frames : Frames) (taken : Taken) : Prop where
  seated : Seated i frames taken.session
  waits : Waits i taken.session
  fault : ∀ fault, taken.resumed = .faulted fault → ∃ number kind, fault = .effectFailed number kind

section
variable {config : ProtocolMachineConfig} {clock : Nat} {e : Effect} {o : Operation}

/-- The state of a session whose outstanding effect has been removed, and whose coroutine is about to
get its outcome. -/
structure Resuming (i : Loaded) (frames : Frames) (s : Session) (e : Effect) (o : Operation)
    (c : Coroutine) (instruction : Instruction) : Prop where
  seated : Seated i frames s
  waits : Waits i s
  free : ∀ e' ∈ s.effects, e'.coroutine ≠ e.coroutine
  found : s.coroutines[e.coroutine]? = some c
  code : i.image.codeAt c.program c.pc = some instruction
  requested : instruction.requested = some e.operation
  operation : i.image.operations[e.operation]? = some o

theorem succeed_resumes {instruction : Instruction} (closed : ClosedFrames i.image frames)
    (h : Resuming i frames s e o c instruction) {value : Value}
    (isOf : value.isOf i.image.sorts o.result = true) :
    Resumes i frames (succeed ⟨i, config, clock⟩ s e value) := by
  obtain ⟨args, dst, witness, onFailure, asking, flows⟩ := requested_asking h.code h.requested
  obtain ⟨f, hf, holds, acts⟩ := h.seated.placed _ _ h.found
  obtain ⟨instruction', hi, _, covered⟩ := closed.instruction hf
  rw [h.code] at hi
  cases hi
  rw [flows] at covered
  obtain ⟨result, ok, ⟨y, done, cov⟩, _⟩ := requestFlows_ok covered
  obtain ⟨o', ho, _, _, _, res⟩ := requestResult_ok ok
  rw [h.operation] at ho
  cases ho
  subst res
  obtain ⟨g, hg, rest⟩ := doneFlow_ok done
  have state : g.state = f.state := by rw [(Frame.write_ok hg).2]
  have holds' := holds.write hg isOf
  rcases rest with ⟨rfl, rfl⟩ | ⟨w, g', rfl, hw, rfl⟩
  · have eq : succeed ⟨i, config, clock⟩ s e value =
        { session := s.withCoroutine e.coroutine
            { c with registers := c.registers.set dst value, pc := nextPc c.pc, status := .ready }
          events := [.effectResolved e.number value]
          resumed := .ready e.coroutine } := by
      simp [succeed, h.found, asking, writeReg]
    rw [eq]
    refine ⟨h.seated.set (who := e.coroutine) (x := { c with
        registers := c.registers.set dst value, pc := nextPc c.pc, status := .ready }) rfl rfl
        (by simp [Session.withCoroutine]) ?_,
      h.waits.set (who := e.coroutine) (x := { c with
        registers := c.registers.set dst value, pc := nextPc c.pc, status := .ready }) rfl rfl h.free
        (by simp [Session.withCoroutine]), by simp⟩
    exact placed_of_flow cov rfl rfl holds' (by rw [state]; exact acts)
  · have holds'' := holds'.write hw (v := .evidence s.witnessesIssued) ⟨_, rfl⟩
    have state' : g'.state = g.state := by rw [(Frame.write_ok hw).2]
    have shape : ∃ events, succeed ⟨i, config, clock⟩ s e value =
        { session := (testify ⟨i, config, clock⟩ s e.number .check).1.withCoroutine e.coroutine
            { c with registers := (c.registers.set dst value).set w (.evidence s.witnessesIssued),
                     pc := nextPc c.pc, status := .ready }
          events, resumed := .ready e.coroutine } :=
      ⟨.effectResolved e.number value :: app (testify ⟨i, config, clock⟩ s e.number .check).2
          [.witnessIssued s.witnessesIssued e.number],
        by simp only [succeed, getAt_eq, h.found, asking, writeReg, setAt_eq]⟩
    obtain ⟨events, eq⟩ := shape
    rw [eq]
    refine ⟨h.seated.set (who := e.coroutine) (x := { c with
        registers := (c.registers.set dst value).set w (.evidence s.witnessesIssued),
        pc := nextPc c.pc, status := .ready }) rfl rfl
        (by simp [Session.withCoroutine, testify]) ?_,
      h.waits.set (who := e.coroutine) (x := { c with
        registers := (c.registers.set dst value).set w (.evidence s.witnessesIssued),
        pc := nextPc c.pc, status := .ready }) rfl rfl h.free
        (by simp [Session.withCoroutine, testify]), by simp⟩
    exact placed_of_flow cov rfl rfl holds'' (by rw [state', state]; exact acts)

theorem code_below (kind : FailureKind) : kind.code < failureKinds := by
  cases kind <;> decide

theorem disappoint_resumes {instruction : Instruction} (closed : ClosedFrames i.image frames)
    (h : Resuming i frames s e o c instruction) (kind : FailureKind) (detail : Bytes) :
    Resumes i frames (disappoint ⟨i, config, clock⟩ s e o kind detail) := by
  obtain ⟨args, dst, witness, onFailure, asking, flows⟩ := requested_asking h.code h.requested
  obtain ⟨f, hf, holds, acts⟩ := h.seated.placed _ _ h.found
  obtain ⟨instruction', hi, _, covered⟩ := closed.instruction hf
  rw [h.code] at hi
  cases hi
  rw [flows] at covered
  obtain ⟨_, _, _, failing⟩ := requestFlows_ok covered
  have again : ∀ events, Resumes i frames
      { session := (issue s e.coroutine c e.operation e.deadline (e.attempt + 1)).1, events,
        resumed := .reissued s.effectsIssued } := by
    intro events
    refine ⟨h.seated.set (who := e.coroutine)
      (x := { c with status := .blocked (.effect s.effectsIssued) }) rfl rfl (by simp [issue]) ?_, ?_,
      by simp⟩
    · exact (h.seated.placed _ _ h.found).same rfl rfl rfl
    · exact h.waits.issue (who := e.coroutine) (c := c)
        (e := { number := s.effectsIssued, deadline := e.deadline, operation := e.operation,
                coroutine := e.coroutine, attempt := e.attempt + 1 })
        rfl (by simp [issue]) rfl h.free rfl h.found (by simp [issue]) h.code h.requested
  cases onFailure with
  | none =>
    have failed : ∀ events, Resumes i frames
        { session := (fail s e.coroutine (.effectFailed e.number kind)).1, events,
          resumed := .faulted (.effectFailed e.number kind) } := by
      intro events
      refine ⟨fail_seated h.seated e.coroutine (.effectFailed e.number kind),
        fail_waits s e.coroutine (.effectFailed e.number kind), ?_⟩
      intro fault eq
      cases eq
      exact ⟨_, _, rfl⟩
    unfold disappoint
    simp only [getAt_eq, h.found, asking]
    cases kind
    case unavailable =>
      dsimp only
      generalize Nat.blt e.attempt o.retries = retry
      cases retry
      · exact failed _
      · exact again _
    all_goals exact failed _
  | some target =>
    obtain ⟨y, ok, cov⟩ := failing target rfl
    obtain ⟨g, hg, rfl⟩ := failedFlow_ok ok
    have failed : ∀ events, Resumes i frames
        { session := s.withCoroutine e.coroutine { c with
            registers := writeReg c dst (.nat kind.code), pc := target, status := .ready }, events,
          resumed := .ready e.coroutine } := by
      intro events
      refine ⟨h.seated.set (who := e.coroutine) (x := { c with
          registers := c.registers.set dst (.nat kind.code), pc := target, status := .ready }) rfl rfl
          (by simp [Session.withCoroutine, writeReg]) ?_,
        h.waits.set (who := e.coroutine) (x := { c with
          registers := c.registers.set dst (.nat kind.code), pc := target, status := .ready }) rfl rfl
          h.free (by simp [Session.withCoroutine, writeReg]), by simp⟩
      exact placed_of_flow cov rfl rfl (holds.write hg ⟨kind.code, code_below kind, rfl⟩)
        (by rw [(Frame.write_ok hg).2]; exact acts)
    unfold disappoint
    simp only [getAt_eq, h.found, asking]
    cases kind
    case unavailable =>
      dsimp only
      generalize Nat.blt e.attempt o.retries = retry
      cases retry
      · exact failed _
      · exact again _
    all_goals exact failed _

/-- An outcome leaves every coroutine placed, and faults only because an effect failed. -/
theorem resume_resumes (closed : ClosedFrames i.image frames) (seated : Seated i frames s)
    (waits : Waits i s) {number : Nat} {outcome : Outcome} {taken : Taken}
    (h : resume ⟨i, config, clock⟩ s number outcome = .ok taken) : Resumes i frames taken := by
  unfold resume at h
  split at h
  · split at h <;> cases h
  · rename_i e he
    split at h
    · cases h
    · rename_i o ho
      cases h
      obtain ⟨mem, _⟩ := effectOf_mem he
      obtain ⟨c, instruction, hc, _, code, requested⟩ := waits.waiting e mem
      obtain ⟨waits', free⟩ := waits.without mem
      have resuming : Resuming i frames { s with effects := withoutEffect e.number s.effects } e o c
          instruction :=
        ⟨seated.keep rfl rfl (Nat.le_refl _) seated.placed, waits', free, hc, code, requested,
          operationAt_ok.mp ho⟩
      unfold takeOutcome
      dsimp only
      split
      · exact disappoint_resumes closed resuming _ _
      · split
        · rename_i admitted
          exact succeed_resumes closed resuming (admit_ok.mp admitted).1
        · exact disappoint_resumes closed resuming _ _

/-- An expiry leaves every coroutine placed, and faults only because an effect failed. -/
theorem expire_resumes (closed : ClosedFrames i.image frames) (seated : Seated i frames s)
    (waits : Waits i s) {number : Nat} {taken : Taken}
    (h : expire ⟨i, config, clock⟩ s number = some taken) : Resumes i frames taken := by
  unfold expire at h
  split at h
  · cases h
  · dsimp only at h
    split at h
    · cases h
    · rename_i taken' hr
      cases h
      have seated' : Seated i frames (testify ⟨i, config, clock⟩ s number .timeout).1 :=
        seated.keep rfl rfl (Nat.le_refl _) seated.placed
      have waits' : Waits i (testify ⟨i, config, clock⟩ s number .timeout).1 :=
        waits.keep rfl rfl (fun _ _ _ hc _ => hc)
      obtain ⟨one, two, three⟩ := resume_resumes closed seated' waits' hr
      exact ⟨one, two, three⟩

end
end

end Antiphon

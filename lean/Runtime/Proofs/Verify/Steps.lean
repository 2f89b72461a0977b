module

public import Runtime.Proofs.Verify.Faults

@[expose] public section

/-!
# Steps of verified images

A step of a session whose coroutines are placed has only the faults of `MayFault`, and leaves every
coroutine placed.
-/

namespace Antiphon

theorem fetch_codeAt {i : Loaded} {program pc : Nat} {instruction : Instruction} :
    fetch i program pc = .ok instruction ↔ i.image.codeAt program pc = some instruction := by
  rw [fetch_ok]
  simp only [CodeImage.codeAt, getAt_eq]
  cases i.image.programs[program]? <;> simp

theorem covered_one {image : CodeImage} {frames : Frames} {x : Except VerifyErrorKind Flow}
    {xs : List (Except VerifyErrorKind Flow)} (h : ∀ y ∈ xs, Covered image frames y) (mem : x ∈ xs) :
    ∃ y, x = .ok y ∧ flowCovered image.sorts frames y = true := h x mem

theorem sendFlow_ok {image : CodeImage} {program pc chan label val : Nat} {f : Frame} {y : Flow}
    (h : sendFlow image program pc f chan label val = .ok y) :
    ∃ t, sendBranch image program f chan label val = .ok t ∧
      y = ⟨program, pc, f.inState t.next⟩ := by
  simp only [sendFlow, bind_ok] at h
  obtain ⟨t, ht, h⟩ := h
  cases h
  exact ⟨t, ht, rfl⟩

theorem armFlow_ok {image : CodeImage} {program chan selector : Nat} {f : Frame} {arm : Arm} {y : Flow}
    (h : armFlow image program f chan selector arm = .ok y) :
    ∃ t k g, sendBranch image program f chan arm.label arm.val = .ok t ∧ f.read selector = .ok k ∧
      f.write selector (k.after image.sorts arm.label) = .ok g ∧
      y = ⟨program, arm.target, g.inState t.next⟩ := by
  simp only [armFlow, bind_ok] at h
  obtain ⟨t, ht, k, hk, g, hg, h⟩ := h
  cases h
  exact ⟨t, k, g, ht, hk, hg, rfl⟩

theorem armNumbers_ok {image : CodeImage} {selector : Nat} {f : Frame} {arms : List Arm} {u : Unit}
    (h : armNumbers image f selector arms = .ok u) :
    ∃ k numbers, f.read selector = .ok k ∧ k.numbers image.sorts = some numbers ∧
      ∀ n ∈ numbers, ∃ arm, armFor n arms = some arm := by
  simp only [armNumbers, bind_ok] at h
  obtain ⟨k, hk, h⟩ := h
  split at h
  · cases h
  · rename_i numbers hn
    simp only [bind_ok, require_ok, every_eq, List.all_eq_true] at h
    obtain ⟨_, _, _, _, all⟩ := h
    refine ⟨k, numbers, hk, hn, fun n mem => ?_⟩
    have := all n mem
    split at this
    · rename_i arm ha; exact ⟨arm, ha⟩
    · cases this

theorem receiveBranches_ok {image : CodeImage} {program chan label dst : Nat} {f : Frame}
    {branches : List Transition}
    (h : receiveBranches image program f chan label dst = .ok branches) :
    branchesAt image program f chan .receive = .ok branches ∧ (∃ k, f.read dst = .ok k) ∧
      ∀ t ∈ branches, t.label = label := by
  simp only [receiveBranches, bind_ok, require_ok, every_eq, List.all_eq_true] at h
  obtain ⟨bs, hb, k, hk, _, all, h⟩ := h
  cases h
  exact ⟨hb, ⟨k, hk⟩, fun t mem => by simpa using all t mem⟩

theorem chooseBranches_ok {image : CodeImage} {program chan dst : Nat} {f : Frame}
    {table : List (Nat × Nat)} {branches : List Transition}
    (h : chooseBranches image program f chan dst table = .ok branches) :
    branchesAt image program f chan .receive = .ok branches ∧ ∃ k, f.read dst = .ok k := by
  simp only [chooseBranches, bind_ok] at h
  obtain ⟨bs, hb, k, hk, _, _, h⟩ := h
  cases h
  exact ⟨hb, k, hk⟩

theorem takeFlow_ok {program pc dst : Nat} {f : Frame} {t : Transition} {y : Flow}
    (h : takeFlow program pc f dst t = .ok y) :
    ∃ g, f.write dst (.of t.sort) = .ok g ∧ y = ⟨program, pc, g.inState t.next⟩ := by
  simp only [takeFlow, bind_ok] at h
  obtain ⟨g, hg, h⟩ := h
  cases h
  exact ⟨g, hg, rfl⟩

theorem chooseFlow_ok {program dst : Nat} {f : Frame} {table : List (Nat × Nat)} {t : Transition}
    {y : Flow} (h : chooseFlow program f dst table t = .ok y) :
    ∃ target, targetFor t.label table = some target ∧ takeFlow program target f dst t = .ok y := by
  unfold chooseFlow at h
  split at h
  · cases h
  · rename_i target ht; exact ⟨target, ht, h⟩

theorem writeFlow_ok {program pc dst : Nat} {f : Frame} {k : Known} {y : Flow}
    (h : writeFlow program pc f dst k = .ok y) :
    ∃ g, f.write dst k = .ok g ∧ y = ⟨program, pc, g⟩ := by
  simp only [writeFlow, bind_ok] at h
  obtain ⟨g, hg, h⟩ := h
  cases h
  exact ⟨g, hg, rfl⟩

theorem moveFlow_ok {program pc dst src : Nat} {f : Frame} {y : Flow}
    (h : moveFlow program pc f dst src = .ok y) :
    ∃ k, f.read src = .ok k ∧ writeFlow program pc f dst k = .ok y := by
  simp only [moveFlow, bind_ok] at h
  exact h

theorem rowNumbers_ok {image : CodeImage} {cond : Nat} {f : Frame} {table : List (Nat × Nat)}
    {numbers : List Nat} (h : rowNumbers image f cond table = .ok numbers) :
    ∃ k, f.read cond = .ok k ∧ k.numbers image.sorts = some numbers ∧
      ∀ n ∈ numbers, ∃ target, targetFor n table = some target := by
  simp only [rowNumbers, bind_ok] at h
  obtain ⟨k, hk, h⟩ := h
  split at h
  · cases h
  · rename_i ns hn
    simp only [bind_ok, require_ok, every_eq, List.all_eq_true] at h
    obtain ⟨_, all, h⟩ := h
    cases h
    refine ⟨k, hk, hn, fun n mem => ?_⟩
    have := all n mem
    split at this
    · rename_i target ht; exact ⟨target, ht⟩
    · cases this

theorem rowFlow_ok {image : CodeImage} {program cond n : Nat} {f : Frame} {table : List (Nat × Nat)}
    {y : Flow} (h : rowFlow image program f cond table n = .ok y) :
    ∃ target k, targetFor n table = some target ∧ f.read cond = .ok k ∧
      writeFlow program target f cond (k.after image.sorts n) = .ok y := by
  unfold rowFlow at h
  split at h
  · cases h
  · rename_i target ht
    simp only [bind_ok] at h
    obtain ⟨k, hk, h⟩ := h
    exact ⟨target, k, ht, hk, h⟩

/-- What verification has found about a request. -/
theorem requestFlows_ok {image : CodeImage} {frames : Frames} {program pc operation dst : Nat}
    {f : Frame} {args : List Nat} {witness onFailure : Option Nat}
    (h : ∀ x ∈ requestFlows image program pc f operation args dst witness onFailure,
      Covered image frames x) :
    ∃ result, requestResult image f operation args witness.isSome = .ok result ∧
      Covered image frames (doneFlow program pc f dst witness result) ∧
      ∀ target, onFailure = some target → Covered image frames (failedFlow program f dst target) := by
  have flag : isGiven witness = witness.isSome := by cases witness <;> rfl
  unfold requestFlows at h
  rw [flag] at h
  split at h
  · obtain ⟨y, e, _⟩ := h _ (List.mem_singleton_self _)
    cases e
  · rename_i result ok
    refine ⟨result, ok, h _ (List.mem_cons_self ..), fun target e => ?_⟩
    subst e
    exact h _ (by simp)

theorem doneFlow_ok {program pc dst result : Nat} {f : Frame} {witness : Option Nat} {y : Flow}
    (h : doneFlow program pc f dst witness result = .ok y) :
    ∃ g, f.write dst (.of result) = .ok g ∧
      ((witness = none ∧ y = ⟨program, pc, g⟩) ∨
        ∃ w g', witness = some w ∧ g.write w .evidence = .ok g' ∧ y = ⟨program, pc, g'⟩) := by
  simp only [doneFlow, bind_ok] at h
  obtain ⟨g, hg, h⟩ := h
  refine ⟨g, hg, ?_⟩
  cases witness with
  | none => cases h; exact .inl ⟨rfl, rfl⟩
  | some w =>
    simp only [bind_ok] at h
    obtain ⟨g', hg', h⟩ := h
    cases h
    exact .inr ⟨w, g', rfl, hg', rfl⟩

theorem failedFlow_ok {program dst target : Nat} {f : Frame} {y : Flow}
    (h : failedFlow program f dst target = .ok y) :
    ∃ g, f.write dst .failureCode = .ok g ∧ y = ⟨program, target, g⟩ := by
  simp only [failedFlow, bind_ok] at h
  obtain ⟨g, hg, h⟩ := h
  cases h
  exact ⟨g, hg, rfl⟩

/-! ## Faults -/

section
variable {i : Loaded} {frames : Frames} {s : Session} {config : ProtocolMachineConfig} {clock who : Nat}
  {c : Coroutine}

theorem request_fault {f : Frame} (holds : f.Holds i.image.sorts c.program c.registers)
    {program pc operation dst : Nat} {args : List Nat} {witness onFailure : Option Nat}
    (flows : ∀ x ∈ requestFlows i.image program pc f operation args dst witness onFailure,
      Covered i.image frames x) {e : Fault}
    (h : invoke ⟨i, config, clock⟩ s who c operation args dst witness = .error e) :
    ∃ n max, e = .payloadTooLarge n max := by
  obtain ⟨result, ok, ⟨y, done, _⟩, _⟩ := requestFlows_ok flows
  obtain ⟨g, hg, rest⟩ := doneFlow_ok done
  refine invoke_fault holds ok ⟨_, g, hg⟩ (fun w hw => ?_) h
  rcases rest with ⟨none, _⟩ | ⟨w', g', some_, write, _⟩
  · rw [none] at hw; cases hw
  · rw [some_] at hw
    cases hw
    refine ⟨.evidence, g', .inr ?_⟩
    have lt := (Frame.write_ok write).1
    obtain ⟨_, eq⟩ := Frame.write_ok hg
    rw [eq] at lt
    simp only [List.length_set] at lt
    rw [holds.count] at lt
    exact ⟨c.registers[w], by simp [lt]⟩

/-- The faults of a coroutine that is placed. -/
theorem attempt_fault (closed : ClosedFrames i.image frames)
    (loaded : i.edges = (i.image.load []).edges) (seated : Seated i frames s)
    (found : s.coroutines[who]? = some c) {e : Fault}
    (h : attempt ⟨i, config, clock⟩ s who c = .error e) :
    ∃ instruction, fetch i c.program c.pc = .ok instruction ∧ MayFault instruction e := by
  obtain ⟨f, hf, holds, acts⟩ := seated.placed who c found
  obtain ⟨instruction, hi, _, flows⟩ := closed.instruction hf
  have fetched := fetch_codeAt.mpr hi
  refine ⟨instruction, fetched, ?_⟩
  simp only [attempt, fetched, bind_error, reduceCtorEq, false_or, Except.ok.injEq,
    exists_eq_left'] at h
  cases instruction with
  | send chan label val =>
    simp only [execute] at h
    obtain ⟨y, ok, _⟩ := flows _ (List.mem_singleton_self _)
    obtain ⟨t, ht, _⟩ := sendFlow_ok ok
    obtain ⟨n, max, rfl⟩ := send_fault closed loaded seated holds acts ht h
    exact .send
  | offer chan selector arms =>
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i ok
      obtain ⟨k, numbers, hk, hn, total⟩ := armNumbers_ok ok
      obtain ⟨v, hv, kv⟩ := holds.read hk
      obtain ⟨n, mem, number, _⟩ := Known.numbers_sound hn kv
      obtain ⟨arm, ha⟩ := total n mem
      have reg : readReg c selector = .ok v := readReg_ok.mpr hv
      simp only [execute, reg, number, ha, bind_error, reduceCtorEq, false_or, Except.ok.injEq,
        exists_eq_left'] at h
      obtain ⟨y, ok, _⟩ := flows (armFlow i.image c.program f chan selector arm)
        (by rw [mapL_eq]; exact List.mem_map_of_mem (armFor_some ha).1)
      obtain ⟨t, _, _, ht, _⟩ := armFlow_ok ok
      obtain ⟨n, max, rfl⟩ := send_fault closed loaded seated holds acts ht h
      exact .offer
  | receive chan label dst =>
    simp only [execute] at h
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i branches ok
      obtain ⟨hb, readable, labels⟩ := receiveBranches_ok ok
      rcases receive_fault closed loaded seated holds acts hb readable
        (fun t mem => ⟨nextPc c.pc, by simp [labels t mem]⟩) h with ⟨_, _, _, rfl⟩ | ⟨_, _, rfl⟩
      · exact .receiveLabel
      · exact .receiveSort
  | choose chan dst table =>
    simp only [execute] at h
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i branches ok
      obtain ⟨hb, readable⟩ := chooseBranches_ok ok
      rcases receive_fault closed loaded seated holds acts hb readable (fun t mem => by
        obtain ⟨y, ok, _⟩ := flows (chooseFlow c.program f dst table t)
          (by rw [mapL_eq]; exact List.mem_map_of_mem mem)
        obtain ⟨target, ht, _⟩ := chooseFlow_ok ok
        exact ⟨target, ht⟩) h with ⟨_, _, _, rfl⟩ | ⟨_, _, rfl⟩
      · exact .chooseLabel
      · exact .chooseSort
  | invoke operation args dst onFailure =>
    simp only [execute] at h
    simp only [transfer] at flows
    obtain ⟨n, max, rfl⟩ := request_fault holds flows h
    exact .invoke
  | check operation args dst witness onFailure =>
    simp only [execute] at h
    simp only [transfer] at flows
    obtain ⟨n, max, rfl⟩ := request_fault holds flows h
    exact .check
  | spawn child args dst =>
    obtain ⟨y, ok, covered⟩ := flows (childFlow i.image f child args) (by simp [transfer])
    obtain ⟨z, ok', _⟩ := flows (writeFlow c.program (nextPc c.pc) f dst .nat) (by simp [transfer])
    obtain ⟨g, hg, _⟩ := writeFlow_ok ok'
    obtain ⟨max, rfl⟩ := spawn_fault closed holds ok covered ⟨_, g, hg⟩ h
    exact .spawn
  | set dst value =>
    obtain ⟨y, ok, _⟩ := flows _ (List.mem_singleton_self _)
    obtain ⟨g, hg, _⟩ := writeFlow_ok ok
    obtain ⟨v, hv⟩ := holds.writable hg
    have reg : readReg c dst = .ok v := readReg_ok.mpr hv
    simp [execute, reg, bind, Except.bind] at h
  | move dst src =>
    obtain ⟨y, ok, _⟩ := flows _ (List.mem_singleton_self _)
    obtain ⟨k, hk, ok⟩ := moveFlow_ok ok
    obtain ⟨g, hg, _⟩ := writeFlow_ok ok
    obtain ⟨v, hv⟩ := holds.writable hg
    obtain ⟨w, hw, _⟩ := holds.read hk
    have reg : readReg c dst = .ok v := readReg_ok.mpr hv
    have reg' : readReg c src = .ok w := readReg_ok.mpr hw
    simp [execute, reg, reg', bind, Except.bind] at h
  | jump target => simp [execute] at h
  | branch cond table =>
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i numbers ok
      obtain ⟨k, hk, hn, total⟩ := rowNumbers_ok ok
      obtain ⟨v, hv, kv⟩ := holds.read hk
      obtain ⟨n, mem, number, _⟩ := Known.numbers_sound hn kv
      obtain ⟨target, ht⟩ := total n mem
      have reg : readReg c cond = .ok v := readReg_ok.mpr hv
      simp [execute, reg, number, ht, bind, Except.bind] at h
  | «yield» => simp [execute] at h
  | close =>
    rcases close_fault closed loaded seated h with ⟨_, _, rfl⟩ | ⟨_, _, rfl⟩
    · exact .closeOpen
    · exact .closeFull
  | halt =>
    have none : endFlows i.image c.program f = [] := by
      simp only [transfer] at flows
      cases hs : endFlows i.image c.program f with
      | nil => rfl
      | cons x xs =>
        obtain ⟨y, e, _⟩ := flows x (by rw [hs]; exact List.mem_cons_self ..)
        unfold endFlows at hs
        split at hs
        · cases hs
        · split at hs
          · cases hs
          · cases hs; cases e
    obtain ⟨_, _, rfl⟩ := halt_fault closed loaded seated acts none h
    exact .haltFull

end

end Antiphon

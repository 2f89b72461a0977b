module

public import Runtime.Proofs.Verify.Placed

@[expose] public section

/-!
# The faults of a verified image

`MayFault` lists the faults that an instruction of a verified image can have. A coroutine that agrees
with the frame of its position has no other.
-/

namespace Antiphon

/-- The faults that a step of an instruction can have in a verified image. -/
inductive MayFault : Instruction → Fault → Prop
  | send {chan label val n max : Nat} : MayFault (.send chan label val) (.payloadTooLarge n max)
  | offer {chan selector n max : Nat} {arms : List Arm} :
      MayFault (.offer chan selector arms) (.payloadTooLarge n max)
  | receiveLabel {chan label dst role state got : Nat} :
      MayFault (.receive chan label dst) (.wrongLabel role state got)
  | receiveSort {chan label dst sort : Nat} {got : Form} :
      MayFault (.receive chan label dst) (.wrongSort sort got)
  | chooseLabel {chan dst role state got : Nat} {table : List (Nat × Nat)} :
      MayFault (.choose chan dst table) (.wrongLabel role state got)
  | chooseSort {chan dst sort : Nat} {table : List (Nat × Nat)} {got : Form} :
      MayFault (.choose chan dst table) (.wrongSort sort got)
  | invoke {operation dst n max : Nat} {args : List Nat} {onFailure : Option Nat} :
      MayFault (.invoke operation args dst onFailure) (.payloadTooLarge n max)
  | check {operation dst witness n max : Nat} {args : List Nat} {onFailure : Option Nat} :
      MayFault (.check operation args dst witness onFailure) (.payloadTooLarge n max)
  | spawn {program dst max : Nat} {args : List Nat} :
      MayFault (.spawn program args dst) (.coroutineBound max)
  | closeOpen {role state : Nat} : MayFault .close (.endpointOpen role state)
  | closeFull {edge n : Nat} : MayFault .close (.edgeNotEmpty edge n)
  | haltFull {edge n : Nat} : MayFault .halt (.edgeNotEmpty edge n)

theorem bind_error {ε α β : Type} {x : Except ε α} {f : α → Except ε β} {e : ε} :
    (x >>= f) = .error e ↔ x = .error e ∨ ∃ a, x = .ok a ∧ f a = .error e := by
  cases x <;> simp [bind, Except.bind]

theorem ensure_error {holds : Bool} {fault e : Fault} (h : ensure holds fault = .error e) :
    holds = false ∧ e = fault := by
  cases holds <;> simp_all [ensure]

theorem admit_error {cx : Context} {v : Value} {sort : Nat} {e : Fault}
    (h : admitPayload cx v sort = .error e) (isOf : v.isOf cx.image.image.sorts sort = true) :
    ∃ n max, e = .payloadTooLarge n max := by
  simp only [admitPayload, isOf, ensure, bind_error, reduceCtorEq, false_or] at h
  obtain ⟨_, _, h⟩ := h
  split at h
  · cases h
  · cases h; exact ⟨_, _, rfl⟩

theorem branchFor_found {label : Nat} {ts : List Transition} {t : Transition}
    (h : branchFor label ts = some t) : t ∈ ts ∧ t.label = label := by
  rw [branchFor_eq] at h
  exact ⟨List.mem_of_find?_eq_some h, by simpa using List.find?_some h⟩

theorem armFor_some {label : Nat} {arms : List Arm} {arm : Arm} (h : armFor label arms = some arm) :
    arm ∈ arms ∧ arm.label = label := by
  induction arms with
  | nil => cases h
  | cons a as ih =>
    simp only [armFor] at h
    split at h
    · rename_i same
      cases h
      exact ⟨List.mem_cons_self .., Nat.beq_eq.mp same⟩
    · obtain ⟨mem, e⟩ := ih h
      exact ⟨List.mem_cons_of_mem _ mem, e⟩

/-! ## Checks of verification -/

theorem branchesAt_ok {image : CodeImage} {program chan : Nat} {f : Frame} {act : SpeechAct}
    {branches : List Transition} (h : branchesAt image program f chan act = .ok branches) :
    f.read chan = .ok .endpoint ∧ ∃ state a, f.state = some state ∧
      image.stateAt program state = some a ∧ a.act = act ∧ branches = a.branches := by
  simp only [branchesAt, bind_ok] at h
  obtain ⟨k, hk, h⟩ := h
  split at h
  · rename_i state hs
    split at h
    · cases h
    · rename_i a ha
      simp only [bind_ok, require_ok] at h
      obtain ⟨_, same, h⟩ := h
      cases h
      exact ⟨hk, state, a, hs, ha, by simpa using same, rfl⟩
  · cases h

theorem checkOf_ok {image : CodeImage} {f : Frame} {r sort : Nat} {u : Unit}
    (h : checkOf image f r sort = .ok u) : ∃ k, f.read r = .ok k ∧ k.isOf image.sorts sort = true := by
  simp only [checkOf, bind_ok, require_ok] at h
  exact h

theorem sendBranch_ok {image : CodeImage} {program chan label val : Nat} {f : Frame} {t : Transition}
    (h : sendBranch image program f chan label val = .ok t) :
    ∃ branches, branchesAt image program f chan .send = .ok branches ∧
      branchFor label branches = some t ∧
      ∃ k, f.read val = .ok k ∧ k.isOf image.sorts t.sort = true := by
  simp only [sendBranch, bind_ok] at h
  obtain ⟨branches, hb, h⟩ := h
  split at h
  · cases h
  · rename_i t' ht
    simp only [bind_ok] at h
    obtain ⟨_, hof, h⟩ := h
    cases h
    exact ⟨branches, hb, ht, checkOf_ok hof⟩

/-- A state of a loaded image's automaton as a step sees it, with the number of its edge. -/
theorem point_stateAt {i : Loaded} {frames : Frames} (closed : ClosedFrames i.image frames)
    (loaded : i.edges = (i.image.load []).edges) {r state : Nat} {a : AutomatonState}
    (h : i.image.stateAt r state = some a) :
    ∃ p, i.point r state = some p ∧ p.act = a.act ∧ p.branches = a.branches ∧
      (a.act ≠ .done → p.edge < i.edges.length) := by
  obtain ⟨role, hr, hs⟩ := stateAt_some h
  cases a with
  | done =>
    exact ⟨⟨.done, r, numbered, []⟩, by simp [Loaded.point, hr, hs], rfl, rfl, fun no => absurd rfl no⟩
  | send to branches =>
    refine ⟨⟨.send, to, edgeIndex (r, to) i.edges 0, branches⟩, by simp [Loaded.point, hr, hs], rfl, rfl,
      fun _ => ?_⟩
    rw [loaded]
    exact closed.sends h
  | recv peer branches =>
    refine ⟨⟨.receive, peer, edgeIndex (peer, r) i.edges 0, branches⟩, by simp [Loaded.point, hr, hs],
      rfl, rfl, fun _ => ?_⟩
    rw [loaded]
    exact closed.receives h

section
variable {i : Loaded} {frames : Frames} {s : Session} {config : ProtocolMachineConfig} {clock who : Nat}
  {c : Coroutine} {f : Frame}

/-- A coroutine that agrees with its frame may use its endpoint as verification has found. -/
theorem speak_total (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) (holds : f.Holds i.image.sorts c.program c.registers)
    (acts : Acts s.endpoints who c.program f.state) {chan : Nat} {act : SpeechAct}
    {branches : List Transition} (ok : branchesAt i.image c.program f chan act = .ok branches)
    (active : act ≠ .done) :
    ∃ speaker edge, speak ⟨i, config, clock⟩ s who c chan act = .ok speaker ∧
      speaker.point.branches = branches ∧ s.edges[speaker.point.edge]? = some edge := by
  obtain ⟨read, state, a, hs, ha, hact, hb⟩ := branchesAt_ok ok
  obtain ⟨v, hv, he⟩ := holds.read read
  simp only [Known.Holds] at he
  subst he
  rw [hs] at acts
  obtain ⟨same, endpoint⟩ := acts
  obtain ⟨p, hp, pact, pbranches, pedge⟩ := point_stateAt closed loaded ha
  have lt : p.edge < s.edges.length := by
    rw [seated.edges]
    exact pedge (by rw [hact]; exact active)
  refine ⟨⟨who, ⟨who, state⟩, p⟩, s.edges[p.edge], ?_, by rw [hb]; exact pbranches, by simp [lt]⟩
  rw [← same] at hv hp
  have reg : readReg c chan = .ok (.endpoint who) := readReg_ok.mpr hv
  simp [speak, reg, bind, Except.bind, endpoint, hp, ensure, pact, hact]

theorem send_fault (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) (holds : f.Holds i.image.sorts c.program c.registers)
    (acts : Acts s.endpoints who c.program f.state) {chan label val next : Nat} {chosen : Bool}
    {t : Transition} (ok : sendBranch i.image c.program f chan label val = .ok t) {e : Fault}
    (h : send ⟨i, config, clock⟩ s who c chan label val next chosen = .error e) :
    ∃ n max, e = .payloadTooLarge n max := by
  obtain ⟨branches, hb, hl, k, hk, isOf⟩ := sendBranch_ok ok
  obtain ⟨v, hv, kv⟩ := holds.read hk
  obtain ⟨speaker, edge, hs, hbr, he⟩ :=
    speak_total (config := config) (clock := clock) closed loaded seated holds acts hb (by simp)
  have reg : readReg c val = .ok v := readReg_ok.mpr hv
  simp only [send, hs, hbr, hl, reg, getAt_eq, he, bind_error, reduceCtorEq, false_or, Except.ok.injEq,
    exists_eq_left'] at h
  rcases h with h | ⟨_, _, h⟩
  · exact admit_error h (Known.isOf_sound isOf kv)
  · split at h <;> cases h

theorem receive_fault (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) (holds : f.Holds i.image.sorts c.program c.registers)
    (acts : Acts s.endpoints who c.program f.state) {chan dst : Nat} {chosen : Bool}
    {next : Nat → Option Nat} {branches : List Transition}
    (ok : branchesAt i.image c.program f chan .receive = .ok branches)
    (readable : ∃ k, f.read dst = .ok k)
    (handled : ∀ t ∈ branches, ∃ target, next t.label = some target) {e : Fault}
    (h : receive ⟨i, config, clock⟩ s who c chan dst chosen next = .error e) :
    (∃ role state got, e = .wrongLabel role state got) ∨ ∃ sort got, e = .wrongSort sort got := by
  obtain ⟨k, hk⟩ := readable
  obtain ⟨old, ho, _⟩ := holds.read hk
  have reg : readReg c dst = .ok old := readReg_ok.mpr ho
  obtain ⟨speaker, edge, hs, hbr, he⟩ :=
    speak_total (config := config) (clock := clock) closed loaded seated holds acts ok (by simp)
  simp only [receive, hs, reg, getAt_eq, he, bind_error, reduceCtorEq, false_or, Except.ok.injEq,
    exists_eq_left'] at h
  split at h
  · cases h
  · rename_i parcel rest hq
    rw [hbr] at h
    split at h
    · cases h; exact .inl ⟨_, _, _, rfl⟩
    · rename_i t ht
      obtain ⟨mem, same⟩ := branchFor_found ht
      obtain ⟨target, hn⟩ := handled t mem
      rw [← same, hn] at h
      simp only [bind_error] at h
      rcases h with h | ⟨_, _, h⟩
      · exact .inr ⟨_, _, (ensure_error h).2⟩
      · cases h

theorem arguments_fault {cx : Context} (hi : cx.image = i)
    (holds : f.Holds i.image.sorts c.program c.registers) {args : List Nat} :
    ∀ {sorts : List Nat} {u : Unit}, checkArguments i.image f args sorts = .ok u → ∀ {e : Fault},
      admitAll cx c args sorts = .error e → ∃ n max, e = .payloadTooLarge n max := by
  induction args with
  | nil => intro sorts u _ e h; simp [admitAll] at h
  | cons arg args ih =>
    intro sorts u ok e h
    cases sorts with
    | nil => simp [admitAll] at h
    | cons sort sorts =>
      simp only [checkArguments, bind_ok] at ok
      obtain ⟨_, one, ok⟩ := ok
      obtain ⟨k, hk, isOf⟩ := checkOf_ok one
      obtain ⟨v, hv, kv⟩ := holds.read hk
      have reg : readReg c arg = .ok v := readReg_ok.mpr hv
      simp only [admitAll, reg, bind_error, reduceCtorEq, false_or, Except.ok.injEq,
        exists_eq_left'] at h
      rcases h with h | ⟨_, _, h⟩
      · exact admit_error h (by rw [hi]; exact Known.isOf_sound isOf kv)
      · exact ih ok h

theorem requestResult_ok {image : CodeImage} {operation : Nat} {args : List Nat} {isCheck : Bool}
    {result : Nat} (h : requestResult image f operation args isCheck = .ok result) :
    ∃ o, image.operations[operation]? = some o ∧ o.isCheck = isCheck ∧
      o.args.length = args.length ∧ checkArguments image f args o.args = .ok () ∧ o.result = result := by
  unfold requestResult at h
  rw [getAt_eq] at h
  split at h
  · cases h
  · rename_i o ho
    simp only [bind_ok, require_ok] at h
    obtain ⟨_, kind, _, arity, _, arguments, h⟩ := h
    cases h
    refine ⟨o, ho, ?_, by simpa using arity, arguments, rfl⟩
    cases isCheck <;> simpa using kind

theorem invoke_fault (holds : f.Holds i.image.sorts c.program c.registers) {operation : Nat}
    {args : List Nat} {dst : Nat} {witness : Option Nat} {result : Nat}
    (ok : requestResult i.image f operation args witness.isSome = .ok result)
    (writable : ∃ k g, f.write dst k = .ok g)
    (evidence : ∀ w, witness = some w → ∃ k g, f.write w k = .ok g ∨ ∃ v, c.registers[w]? = some v)
    {e : Fault} (h : invoke ⟨i, config, clock⟩ s who c operation args dst witness = .error e) :
    ∃ n max, e = .payloadTooLarge n max := by
  obtain ⟨o, ho, kind, arity, arguments, _⟩ := requestResult_ok ok
  obtain ⟨k, g, hw⟩ := writable
  obtain ⟨v, hv⟩ := holds.writable hw
  have reg : readReg c dst = .ok v := readReg_ok.mpr hv
  have op : operationAt i operation = .ok o := operationAt_ok.mpr ho
  have same : ensure (Nat.beq (len o.args) (len args)) .wrongOperation = .ok () := by
    rw [ensure_ok]; simpa using arity
  cases witness with
  | none =>
    have class_ : ensure (!o.isCheck) .wrongOperation = .ok () := by
      rw [ensure_ok]; simpa using kind
    simp only [invoke, op, class_, same, reg, bind_error, reduceCtorEq, false_or, Except.ok.injEq,
      exists_eq_left', or_false, and_false, exists_false] at h
    obtain ⟨_, _, _, _, _, _, h⟩ := h
    exact arguments_fault (cx := ⟨i, config, clock⟩) (i := i) rfl holds arguments h
  | some w =>
    have class_ : ensure o.isCheck .wrongOperation = .ok () := by
      rw [ensure_ok]; simpa using kind
    have hx : ∃ x, c.registers[w]? = some x := by
      obtain ⟨k, g, h⟩ := evidence w rfl
      rcases h with h | h
      · exact holds.writable h
      · exact h
    obtain ⟨x, hx⟩ := hx
    have wit : readReg c w = .ok x := readReg_ok.mpr hx
    simp only [invoke, op, class_, same, reg, wit, bind_error, reduceCtorEq, false_or, Except.ok.injEq,
      exists_eq_left', or_false, and_false, exists_false] at h
    obtain ⟨_, _, _, _, h⟩ := h
    rcases h with h | ⟨_, _, h⟩
    · cases h
    · exact arguments_fault (cx := ⟨i, config, clock⟩) (i := i) rfl holds arguments h

/-! ## Arguments of a new coroutine -/

theorem childRegisters_none : ∀ {count : Nat} {ks : List Known},
    childRegisters f count [] = .ok ks → ks = List.replicate count (.exactly .unit)
  | 0, ks, h => by simp only [childRegisters, Except.ok.injEq] at h; simp [← h]
  | count + 1, ks, h => by
    simp only [childRegisters, bind_ok] at h
    obtain ⟨rest, hr, h⟩ := h
    cases h
    rw [childRegisters_none hr, List.replicate_succ]

/-- Copying the arguments succeeds, and the new coroutine's registers hold what verification expects
of them. -/
theorem spawnArgs_total {sorts : List PayloadSort} {child : Nat}
    (holds : f.Holds sorts c.program c.registers) {args : List Nat} :
    ∀ {count slot : Nat} {started : Coroutine} {before : List Value} {ks : List Known},
    childRegisters f count args = .ok ks → before.length = slot →
    started.registers = before ++ List.replicate count Value.unit →
    ∃ filled vs, spawnArgs c slot started args = .ok filled ∧ filled.registers = before ++ vs ∧
      Frame.Holds sorts child vs ⟨none, ks⟩ := by
  induction args with
  | nil =>
    intro count slot started before ks ok _ registers
    refine ⟨started, List.replicate count .unit, rfl, registers, ?_⟩
    rw [childRegisters_none ok]
    refine ⟨by simp, ?_⟩
    intro j k v hk hv
    rw [List.getElem?_replicate] at hk hv
    by_cases lt : j < count
    · rw [if_pos lt, Option.some.injEq] at hk hv
      subst hk hv
      rfl
    · rw [if_neg lt] at hk
      cases hk
  | cons arg args ih =>
    intro count slot started before ks ok len registers
    cases count with
    | zero => simp [childRegisters] at ok
    | succ count =>
      simp only [childRegisters, bind_ok] at ok
      obtain ⟨k, hk, rest, hr, ok⟩ := ok
      cases ok
      obtain ⟨v, hv, kv⟩ := holds.read hk
      have reg : readReg c arg = .ok v := readReg_ok.mpr hv
      have slot_ : readReg started slot = .ok .unit := by
        rw [readReg_ok, registers, ← len]
        simp [List.replicate_succ]
      have written : (writeReg started slot v) = (before ++ [v]) ++ List.replicate count Value.unit := by
        rw [writeReg, setAt_eq, registers, ← len]
        simp [List.replicate_succ]
      obtain ⟨filled, vs, hf, regs, each⟩ :=
        ih (started := { started with registers := writeReg started slot v }) (slot := slot + 1)
          (before := before ++ [v]) hr (by simp [len]) written
      refine ⟨filled, v :: vs, ?_, by simp [regs], by simpa using each.count, ?_⟩
      · simp only [spawnArgs, reg, slot_, bind, Except.bind]
        exact hf
      · intro j k' v' hk' hv'
        cases j with
        | zero =>
          simp only [List.getElem?_cons_zero, Option.some.injEq] at hk' hv'
          subst hk' hv'
          exact Known.handed_sound kv
        | succ j => exact each.each j k' v' (by simpa using hk') (by simpa using hv')

theorem childFlow_ok {image : CodeImage} {child : Nat} {args : List Nat} {y : Flow}
    (h : childFlow image f child args = .ok y) :
    ∃ ks, childRegisters f (registersOf image child) args = .ok ks ∧ y = ⟨child, 0, ⟨none, ks⟩⟩ := by
  simp only [childFlow, bind_ok] at h
  obtain ⟨_, _, ks, hk, h⟩ := h
  cases h
  exact ⟨ks, hk, rfl⟩

/-- A program with a frame exists. -/
theorem covered_program {y : Flow} (closed : ClosedFrames i.image frames)
    (covered : flowCovered i.image.sorts frames y = true) : y.program < i.image.programs.length := by
  unfold flowCovered at covered
  split at covered
  · cases covered
  · rename_i g hg
    obtain ⟨instruction, hi, _⟩ := closed.instruction hg
    simp only [CodeImage.codeAt, getAt_eq] at hi
    split at hi
    · cases hi
    · rename_i p hp
      exact (List.getElem?_eq_some_iff.mp hp).1

theorem start_registers (image : CodeImage) (child priority : Nat) :
    (Coroutine.start image child none priority).registers =
      [] ++ List.replicate (registersOf image child) Value.unit := by
  simp [Coroutine.start, registersOf]
  rfl

theorem spawn_fault (closed : ClosedFrames i.image frames)
    (holds : f.Holds i.image.sorts c.program c.registers) {child : Nat} {args : List Nat}
    {dst next : Nat} {y : Flow} (ok : childFlow i.image f child args = .ok y)
    (covered : flowCovered i.image.sorts frames y = true) (writable : ∃ k g, f.write dst k = .ok g)
    {e : Fault} (h : spawn ⟨i, config, clock⟩ s who c child args dst next = .error e) :
    ∃ max, e = .coroutineBound max := by
  obtain ⟨ks, hk, hy⟩ := childFlow_ok ok
  obtain ⟨k, g, hw⟩ := writable
  obtain ⟨v, hv⟩ := holds.writable hw
  have reg : readReg c dst = .ok v := readReg_ok.mpr hv
  have row : ensure (Nat.blt child (len i.image.programs)) (.noSuchRow .programs child) = .ok () := by
    rw [ensure_ok]
    have := covered_program closed covered
    subst hy
    simpa using this
  obtain ⟨filled, vs, hf, _, _⟩ := spawnArgs_total (child := child) holds hk (slot := 0) rfl
    (start_registers i.image child c.priority)
  simp only [spawn, reg, row, hf, bind_error, reduceCtorEq, false_or, Except.ok.injEq, exists_eq_left',
    or_false, and_false, exists_false] at h
  obtain ⟨_, _, h⟩ := h
  exact ⟨_, (ensure_error h).2⟩

/-! ## Ends -/

theorem endpointsAtEnd_own {cx : Context} {endpoints : List Endpoint} : ∀ {n : Nat},
    (∀ (j : Nat) (e : Endpoint), endpoints[j]? = some e → e.holder = who →
      atEnd cx (n + j) e.state = .ok ()) → endpointsAtEnd cx (some who) n endpoints = .ok () := by
  induction endpoints with
  | nil => intro n _; rfl
  | cons e es ih =>
    intro n ok
    have rest : endpointsAtEnd cx (some who) (n + 1) es = .ok () := ih (fun j e' he hold => by
      have := ok (j + 1) e' (by simpa using he) hold
      rwa [show n + (j + 1) = n + 1 + j from by omega] at this)
    simp only [endpointsAtEnd]
    by_cases own : e.holder = who
    · have := ok 0 e rfl own
      simp only [Nat.add_zero] at this
      simp [own, this, rest, bind, Except.bind]
    · have : Nat.beq e.holder who = false := beq_eq_false.mpr own
      simp [this, rest, bind, Except.bind]

theorem endpointsAtEnd_error {cx : Context} {endpoints : List Endpoint} : ∀ {n : Nat} {e : Fault},
    (∀ (j : Nat) (p : Endpoint), endpoints[j]? = some p → ∃ q, cx.image.point (n + j) p.state = some q) →
    endpointsAtEnd cx none n endpoints = .error e → ∃ role state, e = .endpointOpen role state := by
  induction endpoints with
  | nil => intro n e _ h; simp [endpointsAtEnd] at h
  | cons p es ih =>
    intro n e known h
    simp only [endpointsAtEnd, bind_error] at h
    rcases h with h | ⟨_, _, h⟩
    · obtain ⟨q, hq⟩ := known 0 p rfl
      simp only [Nat.add_zero] at hq
      simp only [atEnd, hq] at h
      split at h
      · cases h
      · cases h; exact ⟨_, _, rfl⟩
    · refine ih (fun j p' hp => ?_) h
      have := known (j + 1) p' (by simpa using hp)
      rwa [show n + (j + 1) = n + 1 + j from by omega] at this

theorem edgesEmpty_error {edges : List Edge} : ∀ {n : Nat} {e : Fault},
    edgesEmpty n edges = .error e → ∃ edge count, e = .edgeNotEmpty edge count := by
  induction edges with
  | nil => intro n e h; simp [edgesEmpty] at h
  | cons x xs ih =>
    intro n e h
    simp only [edgesEmpty] at h
    split at h
    · exact ih h
    · cases h; exact ⟨_, _, rfl⟩

/-- The state of each endpoint exists. -/
theorem endpoint_state (closed : ClosedFrames i.image frames) (seated : Seated i frames s) {r : Nat}
    {p : Endpoint} (h : s.endpoints[r]? = some p) : ∃ a, i.image.stateAt r p.state = some a := by
  have lt : r < s.coroutines.length :=
    Nat.lt_of_lt_of_le (List.getElem?_eq_some_iff.mp h).1 seated.enough
  obtain ⟨f, hf, _, acts⟩ := seated.placed r s.coroutines[r] (by simp [lt])
  obtain ⟨_, _, exists_, _⟩ := closed.instruction hf
  cases hs : f.state with
  | none =>
    rw [hs] at acts
    have := (List.getElem?_eq_some_iff.mp h).1
    simp only [Acts] at acts
    omega
  | some state =>
    rw [hs] at acts exists_
    obtain ⟨same, endpoint⟩ := acts
    rw [h] at endpoint
    cases endpoint
    simp only [stateExists, ← same] at exists_
    split at exists_
    · rename_i a ha; exact ⟨a, ha⟩
    · cases exists_

theorem close_fault (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) {e : Fault} (h : close ⟨i, config, clock⟩ s = .error e) :
    (∃ role state, e = .endpointOpen role state) ∨ ∃ edge count, e = .edgeNotEmpty edge count := by
  simp only [close, bind_error] at h
  rcases h with h | ⟨_, _, h | ⟨_, _, h⟩⟩
  · refine .inl (endpointsAtEnd_error (fun j p hp => ?_) h)
    obtain ⟨a, ha⟩ := endpoint_state closed seated hp
    obtain ⟨q, hq, _⟩ := point_stateAt closed loaded ha
    exact ⟨q, by simpa using hq⟩
  · exact .inr (edgesEmpty_error h)
  · cases h

theorem halt_fault (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) (acts : Acts s.endpoints who c.program f.state)
    (atEnd_ : endFlows i.image c.program f = []) {e : Fault}
    (h : halt ⟨i, config, clock⟩ s who c = .error e) : ∃ edge count, e = .edgeNotEmpty edge count := by
  have own : endpointsAtEnd ⟨i, config, clock⟩ (some who) 0 s.endpoints = .ok () := by
    refine endpointsAtEnd_own (fun j p hp hold => ?_)
    have same := seated.holders j p hp
    rw [hold] at same
    subst same
    cases hs : f.state with
    | none =>
      rw [hs] at acts
      have := (List.getElem?_eq_some_iff.mp hp).1
      simp only [Acts] at acts
      omega
    | some state =>
      rw [hs] at acts
      obtain ⟨same, endpoint⟩ := acts
      rw [hp] at endpoint
      cases endpoint
      simp only [endFlows, hs, ← same] at atEnd_
      split at atEnd_
      · rename_i ha
        obtain ⟨q, hq, act, _⟩ := point_stateAt closed loaded ha
        simp [atEnd, hq, act, AutomatonState.act]
      · cases atEnd_
  cases last : Nat.beq s.live 1 with
  | true =>
    simp only [halt, own, last, bind_error, reduceCtorEq, false_or] at h
    obtain ⟨_, _, h⟩ := h
    rcases h with h | ⟨_, _, h⟩
    · exact edgesEmpty_error h
    · cases h
  | false => simp [halt, own, last, bind, Except.bind] at h

end

end Antiphon

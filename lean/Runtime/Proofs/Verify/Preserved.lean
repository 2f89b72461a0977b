module

public import Runtime.Proofs.Verify.Steps

@[expose] public section

/-!
# Steps of verified images leave coroutines placed

The instruction's frame is passed on to the next position, where it is covered.
-/

namespace Antiphon

section
variable {i : Loaded} {frames : Frames} {s : Session} {config : ProtocolMachineConfig} {clock who : Nat}
  {c : Coroutine} {f : Frame}

theorem Frame.Holds.inState {sorts : List PayloadSort} {program : Nat} {registers : List Value}
    {g : Frame} (h : g.Holds sorts program registers) (state : Nat) :
    (g.inState state).Holds sorts program registers := ⟨h.count, h.each⟩

/-- The endpoint that a communication uses is the one that verification expects. -/
theorem speaks_match (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (holds : f.Holds i.image.sorts c.program c.registers)
    (acts : Acts s.endpoints who c.program f.state) {chan : Nat} {act : SpeechAct} {speaker : Speaker}
    (speaks : Speaks ⟨i, config, clock⟩ s who c chan act speaker) {branches : List Transition}
    (ok : branchesAt i.image c.program f chan act = .ok branches) :
    who = c.program ∧ speaker.role = who ∧ (∃ state, speaker.endpoint = ⟨who, state⟩) ∧
      s.endpoints[who]? = some speaker.endpoint ∧ speaker.point.branches = branches := by
  obtain ⟨read, state, a, hs, ha, _, hb⟩ := branchesAt_ok ok
  obtain ⟨v, hv, he⟩ := holds.read read
  simp only [Known.Holds] at he
  subst he
  have reg := speaks.register
  rw [hv] at reg
  simp only [Option.some.injEq, Value.endpoint.injEq] at reg
  rw [hs] at acts
  obtain ⟨same, endpoint⟩ := acts
  have role : speaker.role = who := by rw [same]; exact reg.symm
  have found := speaks.endpoint
  rw [role, endpoint] at found
  simp only [Option.some.injEq] at found
  obtain ⟨p, hp, _, pbranches, _⟩ := point_stateAt closed loaded ha
  have point := speaks.point
  rw [role, ← found] at point
  simp only at point
  rw [same, hp] at point
  simp only [Option.some.injEq] at point
  refine ⟨same, role, ⟨state, found.symm⟩, by rw [← found]; exact endpoint, ?_⟩
  rw [← point, pbranches, hb]

theorem acts_moved {endpoints : List Endpoint} {old : Endpoint} (h : endpoints[who]? = some old)
    {program : Nat} (same : who = program) (state : Nat) :
    Acts (endpoints.set who ⟨who, state⟩) who program (some state) :=
  ⟨same, by simp [(List.getElem?_eq_some_iff.mp h).1]⟩

theorem block_seated (seated : Seated i frames s) (found : s.coroutines[who]? = some c) (on : On) :
    Seated i frames (block s who c on).session :=
  seated.set (x := { c with status := .blocked on }) rfl rfl
    (by simp [block, plain, Session.withCoroutine]) ((seated.placed who c found).same rfl rfl rfl)

theorem sent_seated (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) (found : s.coroutines[who]? = some c)
    (holds : f.Holds i.image.sorts c.program c.registers)
    (acts : Acts s.endpoints who c.program f.state) {chan label val next : Nat} {chosen : Bool}
    {t : Transition} (ok : sendBranch i.image c.program f chan label val = .ok t)
    (placed : ∀ endpoints, Acts endpoints who c.program (some t.next) →
      Placed i frames endpoints who { c with pc := next })
    {stepped : Stepped}
    (sent : Sent ⟨i, config, clock⟩ s who c chan label val next chosen stepped) :
    Seated i frames stepped.session := by
  obtain ⟨branches, hb, hl, _⟩ := sendBranch_ok ok
  cases sent with
  | full => exact block_seated seated found _
  | @put speaker t' payload edge speaks branch read admitted hedge room =>
    obtain ⟨same, role, ⟨state, endpoint⟩, has, hbr⟩ :=
      speaks_match closed loaded holds acts speaks hb
    rw [hbr, hl] at branch
    cases branch
    refine seated.message (who := who) (state := t.next) (x := { c with pc := next }) ?_ rfl rfl
      (placed _ (acts_moved has same t.next))
    simp only [role, endpoint]

theorem heard_seated (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) (found : s.coroutines[who]? = some c)
    (holds : f.Holds i.image.sorts c.program c.registers)
    (acts : Acts s.endpoints who c.program f.state) {chan dst : Nat} {chosen : Bool}
    {next : Nat → Option Nat} {branches : List Transition}
    (ok : branchesAt i.image c.program f chan .receive = .ok branches)
    (placed : ∀ endpoints t target (v : Value), t ∈ branches → next t.label = some target →
      v.isOf i.image.sorts t.sort = true → Acts endpoints who c.program (some t.next) →
      Placed i frames endpoints who { c with pc := target, registers := c.registers.set dst v })
    {stepped : Stepped} (heard : Heard ⟨i, config, clock⟩ s who c chan dst chosen next stepped) :
    Seated i frames stepped.session := by
  cases heard with
  | empty => exact block_seated seated found _
  | @took speaker old edge parcel rest t target speaks writable hedge head branch goes sorted =>
    obtain ⟨same, role, ⟨state, endpoint⟩, has, hbr⟩ :=
      speaks_match closed loaded holds acts speaks ok
    rw [hbr] at branch
    obtain ⟨mem, label⟩ := branchFor_found branch
    refine seated.message (who := who) (state := t.next)
      (x := { c with pc := target, registers := c.registers.set dst parcel.payload }) ?_ rfl rfl
      (placed _ t target _ mem (by rw [label]; exact goes) sorted (acts_moved has same t.next))
    simp only [role, endpoint]

theorem plain_seated (seated : Seated i frames s) {x : Coroutine}
    (placed : Placed i frames s.endpoints who x) (step : Step) :
    Seated i frames (plain s who x step).session :=
  seated.set (x := x) rfl rfl (by simp [plain, Session.withCoroutine]) placed

theorem finish_seated (seated : Seated i frames s) (how : Ending) :
    Seated i frames (finish s how).1 :=
  seated.keep rfl rfl (Nat.le_refl _) seated.placed

theorem fail_seated (seated : Seated i frames s) (who : Nat) (fault : Fault) :
    Seated i frames (fail s who fault).1 := by
  cases found : s.coroutines[who]? with
  | none =>
    simp only [fail, getAt_eq, found]
    exact finish_seated seated _
  | some c =>
    rw [fail_eq _ _ _ _ found]
    have one : Seated i frames (s.withCoroutine who { c with status := .faulted }) :=
      seated.set (x := { c with status := .faulted }) rfl rfl (by simp [Session.withCoroutine])
        ((seated.placed who c found).same rfl rfl rfl)
    exact finish_seated one _

theorem spawned_seated (seated : Seated i frames s)
    (holds : f.Holds i.image.sorts c.program c.registers)
    (acts : Acts s.endpoints who c.program f.state) {child : Nat} {args : List Nat} {dst : Nat}
    {y z : Flow} (ok : childFlow i.image f child args = .ok y)
    (covered : flowCovered i.image.sorts frames y = true)
    (ok' : writeFlow c.program (nextPc c.pc) f dst .nat = .ok z)
    (covered' : flowCovered i.image.sorts frames z = true) {stepped : Stepped}
    (spawned : Spawned ⟨i, config, clock⟩ s who c child args dst (nextPc c.pc) stepped) :
    Seated i frames stepped.session := by
  cases spawned with
  | @spawned old filled writable row fill room =>
    obtain ⟨ks, hk, rfl⟩ := childFlow_ok ok
    obtain ⟨g, hg, rfl⟩ := writeFlow_ok ok'
    refine seated.keep rfl rfl (by simp) ?_
    intro k c' hc
    by_cases lt : k < s.coroutines.length
    · rw [List.getElem?_append_left (by simpa using lt)] at hc
      by_cases same : who = k
      · subst same
        rw [List.getElem?_set_self lt, Option.some.injEq] at hc
        subst hc
        exact placed_of_flow covered' rfl rfl (holds.write hg ⟨_, rfl⟩)
          (by rw [(Frame.write_ok hg).2]; exact acts)
      · rw [List.getElem?_set_ne same] at hc
        exact seated.placed k c' hc
    · rw [List.getElem?_append_right (by simpa using Nat.not_lt.mp lt)] at hc
      simp only [List.length_set] at hc
      cases hn : k - s.coroutines.length with
      | succ n => simp [hn] at hc
      | zero =>
        simp only [hn, List.getElem?_cons_zero, Option.some.injEq] at hc
        subst hc
        obtain ⟨filled', vs, hf, regs, each⟩ := spawnArgs_total (child := child) holds hk (slot := 0) rfl
          (start_registers i.image child c.priority)
        rw [fill] at hf
        cases hf
        simp only [List.nil_append] at regs
        have shape := (spawnArgs_ok fill).1
        have program : filled.program = child := by rw [shape]; rfl
        have pc : filled.pc = 0 := by rw [shape]; rfl
        refine placed_of_flow covered program pc ?_ ?_
        · rw [program, regs]; exact each
        · have := seated.enough
          simp only [Acts]
          omega

/-- An instruction leaves every coroutine placed. -/
theorem executed_seated (closed : ClosedFrames i.image frames)
    (loaded : i.edges = (i.image.load []).edges) (seated : Seated i frames s)
    (found : s.coroutines[who]? = some c) {instruction : Instruction}
    (fetched : fetch i c.program c.pc = .ok instruction) {stepped : Stepped}
    (executed : Executed ⟨i, config, clock⟩ s who c instruction stepped) :
    Seated i frames stepped.session := by
  obtain ⟨f, hf, holds, acts⟩ := seated.placed who c found
  obtain ⟨instruction', hi, _, flows⟩ := closed.instruction hf
  rw [fetch_codeAt, hi] at fetched
  cases fetched
  cases executed with
  | send sent =>
    obtain ⟨y, ok, covered⟩ := flows _ (List.mem_singleton_self _)
    obtain ⟨t, ht, rfl⟩ := sendFlow_ok ok
    exact sent_seated closed loaded seated found holds acts ht
      (fun _ acts => placed_of_flow covered rfl rfl (holds.inState _) acts) sent
  | @offer chan selector arms v n arm stepped read number chosen sent =>
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i ok
      obtain ⟨k, numbers, hk, hn, _⟩ := armNumbers_ok ok
      obtain ⟨v', hv, kv⟩ := holds.read hk
      rw [read] at hv
      cases hv
      obtain ⟨n', _, number', after⟩ := Known.numbers_sound hn kv
      rw [number] at number'
      cases number'
      obtain ⟨mem, label⟩ := armFor_some chosen
      obtain ⟨y, ok, covered⟩ := flows (armFlow i.image c.program f chan selector arm)
        (by rw [mapL_eq]; exact List.mem_map_of_mem mem)
      obtain ⟨t, k', g, ht, hk', hg, rfl⟩ := armFlow_ok ok
      rw [hk] at hk'
      cases hk'
      rw [label] at hg
      exact sent_seated closed loaded seated found holds acts ht
        (fun _ acts => placed_of_flow covered rfl rfl ((holds.refine hg read after).inState _) acts) sent
  | receive heard =>
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i branches ok
      obtain ⟨hb, _, _⟩ := receiveBranches_ok ok
      refine heard_seated closed loaded seated found holds acts hb ?_ heard
      intro endpoints t target v mem goes sorted acts
      obtain ⟨y, ok, covered⟩ := flows _ (by rw [mapL_eq]; exact List.mem_map_of_mem mem)
      obtain ⟨g, hg, rfl⟩ := takeFlow_ok ok
      split at goes
      · cases goes
        exact placed_of_flow covered rfl rfl ((holds.write hg sorted).inState _) acts
      · cases goes
  | @choose chan dst table _ heard =>
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i branches ok
      obtain ⟨hb, _⟩ := chooseBranches_ok ok
      refine heard_seated closed loaded seated found holds acts hb ?_ heard
      intro endpoints t target v mem goes sorted acts
      obtain ⟨y, ok, covered⟩ := flows (chooseFlow c.program f dst table t)
        (by rw [mapL_eq]; exact List.mem_map_of_mem mem)
      obtain ⟨target', ht, ok⟩ := chooseFlow_ok ok
      rw [ht] at goes
      cases goes
      obtain ⟨g, hg, rfl⟩ := takeFlow_ok ok
      exact placed_of_flow covered rfl rfl ((holds.write hg sorted).inState _) acts
  | invoke asked =>
    cases asked
    exact seated.set rfl rfl rfl ((seated.placed who c found).same rfl rfl rfl)
  | check asked =>
    cases asked
    exact seated.set rfl rfl rfl ((seated.placed who c found).same rfl rfl rfl)
  | @spawn child args dst _ spawned =>
    obtain ⟨y, ok, covered⟩ := flows (childFlow i.image f child args) (by simp [transfer])
    obtain ⟨z, ok', covered'⟩ := flows (writeFlow c.program (nextPc c.pc) f dst .nat) (by simp [transfer])
    exact spawned_seated seated holds acts ok covered ok' covered' spawned
  | @set dst value old writable =>
    obtain ⟨y, ok, covered⟩ := flows _ (List.mem_singleton_self _)
    obtain ⟨g, hg, rfl⟩ := writeFlow_ok ok
    exact plain_seated seated
      (x := { c with pc := nextPc c.pc, registers := c.registers.set dst value }) (placed_of_flow covered rfl rfl (holds.write hg rfl)
      (by rw [(Frame.write_ok hg).2]; exact acts)) _
  | @move dst src v old read writable =>
    obtain ⟨y, ok, covered⟩ := flows _ (List.mem_singleton_self _)
    obtain ⟨k, hk, ok⟩ := moveFlow_ok ok
    obtain ⟨g, hg, rfl⟩ := writeFlow_ok ok
    obtain ⟨w, hw, kw⟩ := holds.read hk
    rw [read] at hw
    cases hw
    exact plain_seated seated
      (x := { c with pc := nextPc c.pc, registers := c.registers.set dst v }) (placed_of_flow covered rfl rfl (holds.write hg kw)
      (by rw [(Frame.write_ok hg).2]; exact acts)) _
  | @jump target =>
    obtain ⟨y, ok, covered⟩ := flows _ (List.mem_singleton_self _)
    cases ok
    exact plain_seated seated (x := { c with pc := target }) (placed_of_flow covered rfl rfl holds acts) _
  | @branch cond table v n target read number goes =>
    simp only [transfer] at flows
    split at flows
    · obtain ⟨_, e, _⟩ := flows _ (List.mem_singleton_self _); cases e
    · rename_i numbers ok
      obtain ⟨k, hk, hn, _⟩ := rowNumbers_ok ok
      obtain ⟨v', hv, kv⟩ := holds.read hk
      rw [read] at hv
      cases hv
      obtain ⟨n', mem, number', after⟩ := Known.numbers_sound hn kv
      rw [number] at number'
      cases number'
      obtain ⟨y, ok, covered⟩ := flows (rowFlow i.image c.program f cond table n)
        (by rw [mapL_eq]; exact List.mem_map_of_mem mem)
      obtain ⟨target', k', ht, hk', ok⟩ := rowFlow_ok ok
      rw [goes] at ht
      cases ht
      rw [hk] at hk'
      cases hk'
      obtain ⟨g, hg, rfl⟩ := writeFlow_ok ok
      exact plain_seated seated (x := { c with pc := target }) (placed_of_flow covered rfl rfl (holds.refine hg read after)
        (by rw [(Frame.write_ok hg).2]; exact acts)) _
  | «yield» =>
    obtain ⟨y, ok, covered⟩ := flows _ (List.mem_singleton_self _)
    cases ok
    exact plain_seated seated (x := { c with pc := nextPc c.pc }) (placed_of_flow covered rfl rfl holds acts) _
  | close closed' => cases closed'; exact finish_seated seated _
  | halt halted =>
    have one : Seated i frames (s.halting who c) :=
      seated.set (x := { c with status := .halted }) rfl rfl rfl
        ((seated.placed who c found).same rfl rfl rfl)
    cases halted with
    | last => exact finish_seated one _
    | one => exact one

/-- A step leaves every coroutine placed. -/
theorem step_seated (closed : ClosedFrames i.image frames) (loaded : i.edges = (i.image.load []).edges)
    (seated : Seated i frames s) (config : ProtocolMachineConfig) (clock who : Nat) :
    Seated i frames (step ⟨i, config, clock⟩ s who).session := by
  have cases_ := step_cases ⟨i, config, clock⟩ s who
  generalize step ⟨i, config, clock⟩ s who = r at cases_ ⊢
  cases cases_ with
  | absent => exact seated
  | over => exact seated
  | blocked => exact seated
  | @faulted c fault => exact fail_seated seated who fault
  | ran found active ready fetched executed =>
    exact executed_seated closed loaded seated found fetched executed

end

end Antiphon

module

public import Runtime.ProtocolMachine.Semantics.Step

@[expose] public section

/-!
# The cases of a step

`step_cases` turns the function `step` into a list of cases that name every check that succeeded and
everything that is written. The other proofs start from it:
`have h := step_cases cx s who; generalize step cx s who = stepped at h ⊢; cases h with …`.
-/

namespace Antiphon

/-! ## Small checks -/

theorem blt_false {a b : Nat} : Nat.blt a b = false ↔ b ≤ a := by
  rw [← Bool.not_eq_true, Nat.blt_eq]
  omega

theorem beq_eq_false {a b : Nat} : Nat.beq a b = false ↔ a ≠ b := by
  rw [← Bool.not_eq_true, Nat.beq_eq]

theorem bind_ok {ε α β : Type} {x : Except ε α} {f : α → Except ε β} {b : β} :
    (x >>= f) = .ok b ↔ ∃ a, x = .ok a ∧ f a = .ok b := by
  cases x <;> simp [bind, Except.bind]

theorem ensure_ok {holds : Bool} {fault : Fault} {u : Unit} :
    ensure holds fault = .ok u ↔ holds = true := by
  cases holds <;> simp [ensure]

theorem readReg_ok {c : Coroutine} {r : Nat} {v : Value} :
    readReg c r = .ok v ↔ c.registers[r]? = some v := by
  unfold readReg
  cases h : c.registers[r]? <;> simp [h]

theorem fetch_ok {i : Loaded} {program pc : Nat} {instruction : Instruction} :
    fetch i program pc = .ok instruction ↔
      ∃ p, i.image.programs[program]? = some p ∧ p.code[pc]? = some instruction := by
  unfold fetch
  cases h : i.image.programs[program]? with
  | none => simp [h]
  | some p => cases h' : p.code[pc]? <;> simp [h, h']

theorem admit_ok {cx : Context} {v : Value} {sort : Nat} {u : Unit} :
    admitPayload cx v sort = .ok u ↔
      v.isOf cx.image.image.sorts sort = true ∧ v.encodedLen ≤ cx.config.payloadMax := by
  simp [admitPayload, bind_ok, ensure_ok]

theorem branchFor_eq (label : Nat) (ts : List Transition) :
    branchFor label ts = ts.find? (fun t => Nat.beq t.label label) := by
  induction ts with
  | nil => rfl
  | cons t ts ih => cases h : Nat.beq t.label label <;> simp [branchFor, h, ih]

/-- What a successful `speak` has established about the speaker. -/
structure Speaks (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (chan : Nat) (act : SpeechAct)
    (speaker : Speaker) : Prop where
  register : c.registers[chan]? = some (.endpoint speaker.role)
  endpoint : s.endpoints[speaker.role]? = some speaker.endpoint
  holder : speaker.endpoint.holder = who
  point : cx.image.point speaker.role speaker.endpoint.state = some speaker.point
  act : speaker.point.act = act

theorem speak_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan : Nat} {act : SpeechAct}
    {speaker : Speaker} (h : speak cx s who c chan act = .ok speaker) :
    Speaks cx s who c chan act speaker := by
  simp only [speak, bind_ok, readReg_ok, getAt_eq] at h
  obtain ⟨v, hv, h⟩ := h
  split at h
  · rename_i role
    split at h
    · simp at h
    · rename_i endpoint he
      simp only [bind_ok, ensure_ok] at h
      obtain ⟨_, hh, h⟩ := h
      split at h
      · simp at h
      · rename_i point hp
        simp only [bind_ok, ensure_ok] at h
        obtain ⟨_, ha, h⟩ := h
        cases h
        exact ⟨hv, he, by simpa using hh, hp, by simpa using ha⟩
  · simp at h

/-- `wake` makes the holder of the peer's endpoint ready if it is blocked on `on`, and otherwise
changes nothing. -/
theorem wake_cases (endpoints : List Endpoint) (coroutines : List Coroutine) (peer : Nat) (on : On) :
    (wake endpoints coroutines peer on = (coroutines, none) ∧
      ∀ e c, endpoints[peer]? = some e → coroutines[e.holder]? = some c → c.status ≠ .blocked on) ∨
    ∃ e c, endpoints[peer]? = some e ∧ coroutines[e.holder]? = some c ∧ c.status = .blocked on ∧
      wake endpoints coroutines peer on =
        (coroutines.set e.holder { c with status := .ready }, some e.holder) := by
  cases he : endpoints[peer]? with
  | none => left; simp [wake, he]
  | some e =>
    cases hc : coroutines[e.holder]? with
    | none =>
      refine .inl ⟨by simp [wake, he, hc], ?_⟩
      intro e' c' he' hc'
      cases he'
      simp [hc] at hc'
    | some c =>
      by_cases hs : c.status = .blocked on
      · right; exact ⟨e, c, rfl, hc, hs, by simp [wake, he, hc, hs]⟩
      · refine .inl ⟨by simp [wake, he, hc, hs], ?_⟩
        intro e' c' he' hc'
        cases he'
        simp only [hc, Option.some.injEq] at hc'
        exact hc' ▸ hs

theorem wake_length (endpoints : List Endpoint) (coroutines : List Coroutine) (peer : Nat) (on : On) :
    (wake endpoints coroutines peer on).1.length = coroutines.length := by
  rcases wake_cases endpoints coroutines peer on with ⟨h, _⟩ | ⟨e, c, _, _, _, h⟩ <;> simp [h]

/-! ## The instructions -/

/-- The event of a message sent by `Send` or `Offer`. -/
def spokenEvent (chosen : Bool) (message : Message) : Event :=
  match chosen with | true => .offered message | false => .sent message

/-- The event of a message taken by `Receive` or `Choose`. -/
def heardEvent (chosen : Bool) (message : Message) : Event :=
  match chosen with | true => .chose message | false => .received message

/-- The results of `Send` or `Offer` without a fault: the buffer is full, or the message is put into
it. -/
inductive Sent (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (chan label val next : Nat)
    (chosen : Bool) : Stepped → Prop
  | full {speaker : Speaker} {t : Transition} {payload : Value} {edge : Edge}
      (speaks : Speaks cx s who c chan .send speaker)
      (branch : branchFor label speaker.point.branches = some t)
      (read : c.registers[val]? = some payload)
      (admitted : admitPayload cx payload t.sort = .ok ())
      (found : s.edges[speaker.point.edge]? = some edge)
      (full : cx.config.bufferMax ≤ edge.queue.length) :
      Sent cx s who c chan label val next chosen (block s who c (.full speaker.point.edge))
  | put {speaker : Speaker} {t : Transition} {payload : Value} {edge : Edge}
      (speaks : Speaks cx s who c chan .send speaker)
      (branch : branchFor label speaker.point.branches = some t)
      (read : c.registers[val]? = some payload)
      (admitted : admitPayload cx payload t.sort = .ok ())
      (found : s.edges[speaker.point.edge]? = some edge)
      (room : edge.queue.length < cx.config.bufferMax) :
      Sent cx s who c chan label val next chosen
        { session := { s with
            edges := s.edges.set speaker.point.edge
              { sent := edge.sent + 1
                queue := edge.queue ++ [{ payload, sequence := edge.sent, label }] }
            endpoints := s.endpoints.set speaker.role { speaker.endpoint with state := t.next }
            coroutines := (wake s.endpoints (s.coroutines.set who { c with pc := next })
              speaker.point.peer (.empty speaker.point.edge)).1 }
          events := [spokenEvent chosen
            { edge := speaker.point.edge, label, sequence := edge.sent, payload }]
          step := .ran
          woken := (wake s.endpoints (s.coroutines.set who { c with pc := next })
            speaker.point.peer (.empty speaker.point.edge)).2 }

theorem send_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan label val next : Nat}
    {chosen : Bool} {stepped : Stepped} (h : send cx s who c chan label val next chosen = .ok stepped) :
    Sent cx s who c chan label val next chosen stepped := by
  simp only [send, bind_ok] at h
  obtain ⟨speaker, hs, h⟩ := h
  have hs := speak_ok hs
  split at h
  · simp at h
  · rename_i t ht
    simp only [bind_ok, readReg_ok] at h
    obtain ⟨payload, hp, _, ha, h⟩ := h
    split at h
    · simp at h
    · rename_i edge he
      simp only [getAt_eq] at he
      split at h
      · rename_i hf
        cases h
        exact .full hs ht hp ha he (by simpa [blt_false] using hf)
      · rename_i hf
        simp only [len_eq, Nat.blt_eq] at hf
        simp only [setAt_eq, app_eq] at h
        cases h
        exact .put hs ht hp ha he hf

/-- The results of `Receive` or `Choose` without a fault: the buffer is empty, or its first message
is taken. -/
inductive Heard (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (chan dst : Nat) (chosen : Bool)
    (next : Nat → Option Nat) : Stepped → Prop
  | empty {speaker : Speaker} {old : Value} {edge : Edge}
      (speaks : Speaks cx s who c chan .receive speaker)
      (writable : c.registers[dst]? = some old)
      (found : s.edges[speaker.point.edge]? = some edge)
      (empty : edge.queue = []) :
      Heard cx s who c chan dst chosen next (block s who c (.empty speaker.point.edge))
  | took {speaker : Speaker} {old : Value} {edge : Edge} {parcel : Parcel} {rest : List Parcel}
      {t : Transition} {target : Nat}
      (speaks : Speaks cx s who c chan .receive speaker)
      (writable : c.registers[dst]? = some old)
      (found : s.edges[speaker.point.edge]? = some edge)
      (head : edge.queue = parcel :: rest)
      (branch : branchFor parcel.label speaker.point.branches = some t)
      (goes : next parcel.label = some target)
      (sorted : parcel.payload.isOf cx.image.image.sorts t.sort = true) :
      Heard cx s who c chan dst chosen next
        { session := { s with
            edges := s.edges.set speaker.point.edge { edge with queue := rest }
            endpoints := s.endpoints.set speaker.role { speaker.endpoint with state := t.next }
            coroutines := (wake s.endpoints
              (s.coroutines.set who
                { c with pc := target, registers := c.registers.set dst parcel.payload })
              speaker.point.peer (.full speaker.point.edge)).1 }
          events := [heardEvent chosen
            { edge := speaker.point.edge, label := parcel.label, sequence := parcel.sequence,
              payload := parcel.payload }]
          step := .ran
          woken := (wake s.endpoints
            (s.coroutines.set who
              { c with pc := target, registers := c.registers.set dst parcel.payload })
            speaker.point.peer (.full speaker.point.edge)).2 }

theorem receive_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan dst : Nat}
    {chosen : Bool} {next : Nat → Option Nat} {stepped : Stepped}
    (h : receive cx s who c chan dst chosen next = .ok stepped) :
    Heard cx s who c chan dst chosen next stepped := by
  simp only [receive, bind_ok, readReg_ok] at h
  obtain ⟨speaker, hs, old, ho, h⟩ := h
  have hs := speak_ok hs
  split at h
  · simp at h
  · rename_i edge he
    simp only [getAt_eq] at he
    split at h
    · rename_i hq
      cases h
      exact .empty hs ho he hq
    · rename_i parcel rest hq
      split at h
      · simp at h
      · rename_i t ht
        split at h
        · simp at h
        · rename_i target hn
          simp only [bind_ok, ensure_ok] at h
          obtain ⟨_, hi, h⟩ := h
          simp only [setAt_eq, writeReg] at h
          cases h
          exact .took hs ho he hq ht hn hi

/-- The deadline of an effect of this operation. -/
def deadlineOf (cx : Context) (o : Operation) : Option Nat :=
  match (match o.budget with
    | some ticks => some ticks
    | none => cx.config.effectBudget) with
  | some ticks => some (addTicks cx.clock ticks)
  | none => none

/-- The result of `Invoke` or `Check` without a fault: an effect is issued. -/
inductive Asked (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (operation : Nat)
    (args : List Nat) (dst : Nat) (witness : Option Nat) : Stepped → Prop
  | asked {o : Operation} {old : Value}
      (row : cx.image.image.operations[operation]? = some o)
      (kind : o.isCheck = witness.isSome)
      (arity : o.args.length = args.length)
      (writable : c.registers[dst]? = some old)
      (evidence : ∀ w, witness = some w → ∃ v, c.registers[w]? = some v)
      (admitted : admitAll cx c args o.args = .ok ()) :
      Asked cx s who c operation args dst witness
        { session := { s with
            effectsIssued := s.effectsIssued + 1
            effects := s.effects ++
              [{ number := s.effectsIssued, deadline := deadlineOf cx o, operation,
                 coroutine := who, attempt := 0 }]
            coroutines := s.coroutines.set who
              { c with status := .blocked (.effect s.effectsIssued) } }
          events := [.effectIssued s.effectsIssued who operation 0 (deadlineOf cx o)]
          step := .effect s.effectsIssued
          woken := none }

theorem operationAt_ok {i : Loaded} {n : Nat} {o : Operation} :
    operationAt i n = .ok o ↔ i.image.operations[n]? = some o := by
  unfold operationAt
  cases h : i.image.operations[n]? <;> simp [h]

theorem invoke_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {operation : Nat}
    {args : List Nat} {dst : Nat} {witness : Option Nat} {stepped : Stepped}
    (h : invoke cx s who c operation args dst witness = .ok stepped) :
    Asked cx s who c operation args dst witness stepped := by
  cases witness with
  | none =>
    simp only [invoke, bind_ok, ensure_ok, readReg_ok, operationAt_ok] at h
    obtain ⟨o, ho, _, hk, _, hl, old, hd, _, _, _, ha, h⟩ := h
    simp only [issue, setAt_eq, app_eq] at h
    cases h
    exact .asked ho (by simpa using hk) (by simpa using hl) hd (by simp) ha
  | some w =>
    simp only [invoke, bind_ok, ensure_ok, readReg_ok, operationAt_ok] at h
    obtain ⟨o, ho, _, hk, _, hl, old, hd, v, hw, _, _, _, ha, h⟩ := h
    simp only [issue, setAt_eq, app_eq] at h
    cases h
    exact .asked ho (by simpa using hk) (by simpa using hl) hd (by simp [hw]) ha

/-- The result of `Spawn` without a fault. -/
inductive Spawned (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (program : Nat)
    (args : List Nat) (dst next : Nat) : Stepped → Prop
  | spawned {old : Value} {child : Coroutine}
      (writable : c.registers[dst]? = some old)
      (row : program < cx.image.image.programs.length)
      (filled : spawnArgs c 0 (Coroutine.start cx.image.image program none c.priority) args = .ok child)
      (room : s.coroutines.length < cx.config.coroutinesMax) :
      Spawned cx s who c program args dst next
        { session := { s with
            live := s.live + 1
            coroutines := s.coroutines.set who
              { c with pc := next, registers := c.registers.set dst (.nat s.coroutines.length) }
              ++ [child] }
          events := [.spawned s.coroutines.length program]
          step := .ran
          woken := some s.coroutines.length }

theorem spawn_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {program : Nat}
    {args : List Nat} {dst next : Nat} {stepped : Stepped}
    (h : spawn cx s who c program args dst next = .ok stepped) :
    Spawned cx s who c program args dst next stepped := by
  simp only [spawn, bind_ok, ensure_ok, readReg_ok] at h
  obtain ⟨old, hd, _, hp, child, hf, _, hr, h⟩ := h
  simp only [setAt_eq, app_eq, len_eq, writeReg] at h
  cases h
  exact .spawned hd (by simpa using hp) hf (by simpa using hr)

/-- Copying the arguments changes only the new coroutine's registers, and not their number. -/
theorem spawnArgs_ok {parent : Coroutine} {args : List Nat} {slot : Nat} {child filled : Coroutine}
    (h : spawnArgs parent slot child args = .ok filled) :
    filled = { child with registers := filled.registers } ∧
      filled.registers.length = child.registers.length := by
  induction args generalizing slot child with
  | nil => simp only [spawnArgs] at h; cases h; simp
  | cons arg args ih =>
    simp only [spawnArgs, bind_ok] at h
    obtain ⟨v, _, _, _, h⟩ := h
    simpa [writeReg] using ih h

/-- The result of `Close` without a fault. -/
inductive Closed (cx : Context) (s : Session) : Stepped → Prop
  | closed (atEnd : endpointsAtEnd cx none 0 s.endpoints = .ok ())
      (empty : edgesEmpty 0 s.edges = .ok ()) :
      Closed cx s { session := (finish s .closed).1, events := .closed :: (finish s .closed).2,
                    step := .halted, woken := none }

theorem close_ok {cx : Context} {s : Session} {stepped : Stepped} (h : close cx s = .ok stepped) :
    Closed cx s stepped := by
  simp only [close, bind_ok] at h
  obtain ⟨_, ha, _, he, h⟩ := h
  cases h
  exact .closed ha he

/-- The session after a coroutine has halted. -/
noncomputable def Session.halting (s : Session) (who : Nat) (c : Coroutine) : Session :=
  { s with live := s.live - 1, coroutines := s.coroutines.set who { c with status := .halted } }

/-- The results of `Halt` without a fault: the last live coroutine also closes the session. -/
inductive Halted (cx : Context) (s : Session) (who : Nat) (c : Coroutine) : Stepped → Prop
  | last (atEnd : endpointsAtEnd cx (some who) 0 s.endpoints = .ok ())
      (live : s.live = 1) (empty : edgesEmpty 0 s.edges = .ok ()) :
      Halted cx s who c
        { session := (finish (s.halting who c) .closed).1
          events := .halted who :: .closed :: (finish (s.halting who c) .closed).2
          step := .halted, woken := none }
  | one (atEnd : endpointsAtEnd cx (some who) 0 s.endpoints = .ok ()) (live : s.live ≠ 1) :
      Halted cx s who c
        { session := s.halting who c, events := [.halted who], step := .halted, woken := none }

theorem halt_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {stepped : Stepped}
    (h : halt cx s who c = .ok stepped) : Halted cx s who c stepped := by
  simp only [halt, bind_ok] at h
  obtain ⟨_, ha, h⟩ := h
  cases hl : Nat.beq s.live 1 with
  | true =>
    simp only [hl, bind_ok, Session.withCoroutine, setAt_eq] at h
    obtain ⟨_, he, h⟩ := h
    cases h
    exact .last ha (by simpa using hl) he
  | false =>
    simp only [hl, bind_ok, Session.withCoroutine, setAt_eq] at h
    obtain ⟨_, _, h⟩ := h
    cases h
    exact .one ha (beq_eq_false.mp hl)

/-- The results of one instruction without a fault. -/
inductive Executed (cx : Context) (s : Session) (who : Nat) (c : Coroutine) : Instruction → Stepped → Prop
  | send {chan label val : Nat} {stepped : Stepped}
      (sent : Sent cx s who c chan label val (nextPc c.pc) false stepped) :
      Executed cx s who c (.send chan label val) stepped
  | offer {chan selector : Nat} {arms : List Arm} {v : Value} {n : Nat} {arm : Arm} {stepped : Stepped}
      (read : c.registers[selector]? = some v) (number : v.number = .ok n)
      (chosen : armFor n arms = some arm)
      (sent : Sent cx s who c chan arm.label arm.val arm.target true stepped) :
      Executed cx s who c (.offer chan selector arms) stepped
  | receive {chan label dst : Nat} {stepped : Stepped}
      (heard : Heard cx s who c chan dst false (fun got => match Nat.beq got label with
        | true => some (nextPc c.pc)
        | false => none) stepped) :
      Executed cx s who c (.receive chan label dst) stepped
  | choose {chan dst : Nat} {table : List (Nat × Nat)} {stepped : Stepped}
      (heard : Heard cx s who c chan dst true (fun got => targetFor got table) stepped) :
      Executed cx s who c (.choose chan dst table) stepped
  | invoke {operation : Nat} {args : List Nat} {dst : Nat} {onFailure : Option Nat} {stepped : Stepped}
      (asked : Asked cx s who c operation args dst none stepped) :
      Executed cx s who c (.invoke operation args dst onFailure) stepped
  | check {operation : Nat} {args : List Nat} {dst witness : Nat} {onFailure : Option Nat}
      {stepped : Stepped} (asked : Asked cx s who c operation args dst (some witness) stepped) :
      Executed cx s who c (.check operation args dst witness onFailure) stepped
  | spawn {program : Nat} {args : List Nat} {dst : Nat} {stepped : Stepped}
      (spawned : Spawned cx s who c program args dst (nextPc c.pc) stepped) :
      Executed cx s who c (.spawn program args dst) stepped
  | set {dst : Nat} {value old : Value} (writable : c.registers[dst]? = some old) :
      Executed cx s who c (.set dst value)
        (plain s who { c with pc := nextPc c.pc, registers := c.registers.set dst value } .ran)
  | move {dst src : Nat} {v old : Value} (read : c.registers[src]? = some v)
      (writable : c.registers[dst]? = some old) :
      Executed cx s who c (.move dst src)
        (plain s who { c with pc := nextPc c.pc, registers := c.registers.set dst v } .ran)
  | jump {target : Nat} :
      Executed cx s who c (.jump target) (plain s who { c with pc := target } .ran)
  | branch {cond : Nat} {table : List (Nat × Nat)} {v : Value} {n target : Nat}
      (read : c.registers[cond]? = some v) (number : v.number = .ok n)
      (goes : targetFor n table = some target) :
      Executed cx s who c (.branch cond table) (plain s who { c with pc := target } .ran)
  | yield : Executed cx s who c .yield (plain s who { c with pc := nextPc c.pc } .yielded)
  | close {stepped : Stepped} (closed : Closed cx s stepped) : Executed cx s who c .close stepped
  | halt {stepped : Stepped} (halted : Halted cx s who c stepped) : Executed cx s who c .halt stepped

theorem execute_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {instruction : Instruction}
    {stepped : Stepped} (h : execute cx s who c instruction = .ok stepped) :
    Executed cx s who c instruction stepped := by
  cases instruction with
  | send => exact .send (send_ok h)
  | offer chan selector arms =>
    simp only [execute, bind_ok, readReg_ok] at h
    obtain ⟨v, hv, n, hn, h⟩ := h
    split at h
    · simp at h
    · rename_i arm ha
      exact .offer hv hn ha (send_ok h)
  | receive => exact .receive (receive_ok h)
  | choose => exact .choose (receive_ok h)
  | invoke => exact .invoke (invoke_ok h)
  | check => exact .check (invoke_ok h)
  | spawn => exact .spawn (spawn_ok h)
  | set =>
    simp only [execute, bind_ok, readReg_ok, writeReg, setAt_eq] at h
    obtain ⟨_, ho, h⟩ := h
    cases h
    exact .set ho
  | move =>
    simp only [execute, bind_ok, readReg_ok, writeReg, setAt_eq] at h
    obtain ⟨_, hv, _, ho, h⟩ := h
    cases h
    exact .move hv ho
  | jump => simp only [execute] at h; cases h; exact .jump
  | branch =>
    simp only [execute, bind_ok, readReg_ok] at h
    obtain ⟨v, hv, n, hn, h⟩ := h
    split at h
    · simp at h
    · rename_i target ht
      cases h
      exact .branch hv hn ht
  | «yield» => simp only [execute] at h; cases h; exact .yield
  | close => exact .close (close_ok h)
  | halt => exact .halt (halt_ok h)

theorem attempt_ok {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {stepped : Stepped}
    (h : attempt cx s who c = .ok stepped) :
    ∃ instruction, fetch cx.image c.program c.pc = .ok instruction ∧
      Executed cx s who c instruction stepped := by
  simp only [attempt, bind_ok] at h
  obtain ⟨instruction, hf, h⟩ := h
  exact ⟨instruction, hf, execute_ok h⟩

/-! ## The step -/

/-- A step that changes nothing. -/
def still (s : Session) (step : Step) : Stepped := { session := s, events := [], step, woken := none }

/-- A step that faults. -/
def faulting (s : Session) (who : Nat) (fault : Fault) : Stepped :=
  { session := (fail s who fault).1, events := (fail s who fault).2, step := .faulted fault, woken := none }

/-- The results of a step. -/
inductive Stepping (cx : Context) (s : Session) (who : Nat) : Stepped → Prop
  | absent (none : s.coroutines[who]? = none) : Stepping cx s who (still s .halted)
  | over {c : Coroutine} (found : s.coroutines[who]? = some c)
      (over : s.phase ≠ .active ∨ c.status = .halted ∨ c.status = .faulted) :
      Stepping cx s who (still s .halted)
  | blocked {c : Coroutine} {on : On} (found : s.coroutines[who]? = some c) (active : s.phase = .active)
      (blocked : c.status = .blocked on) : Stepping cx s who (still s (.blocked on))
  | ran {c : Coroutine} {instruction : Instruction} {stepped : Stepped}
      (found : s.coroutines[who]? = some c) (active : s.phase = .active) (ready : c.status = .ready)
      (fetched : fetch cx.image c.program c.pc = .ok instruction)
      (executed : Executed cx s who c instruction stepped) : Stepping cx s who stepped
  | faulted {c : Coroutine} {fault : Fault}
      (found : s.coroutines[who]? = some c) (active : s.phase = .active) (ready : c.status = .ready)
      (failed : attempt cx s who c = .error fault) : Stepping cx s who (faulting s who fault)

theorem step_cases (cx : Context) (s : Session) (who : Nat) : Stepping cx s who (step cx s who) := by
  unfold step
  split
  · rename_i h
    exact .absent (by simpa using h)
  · rename_i c hc
    simp only [getAt_eq] at hc
    split
    · rename_i hp hs
      split
      · rename_i stepped h
        obtain ⟨instruction, hf, he⟩ := attempt_ok h
        exact .ran hc hp hs hf he
      · rename_i fault h
        exact .faulted hc hp hs h
    · rename_i on hp hs
      exact .blocked hc hp hs
    · rename_i h1 h2
      refine .over hc ?_
      cases hp : s.phase with
      | terminal => simp
      | active =>
        cases hs : c.status with
        | ready => exact absurd hs (h1 hp)
        | blocked on => exact absurd hs (h2 on hp)
        | halted => simp
        | faulted => simp

end Antiphon

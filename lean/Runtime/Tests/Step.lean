module

public import Runtime.Proofs.Step

@[expose] public section

/-!
# Tests of the theorems on steps

A session in which a step writes, another session that differs only where the step does not read,
inputs and steps that change nothing, and kernels that are wrong in one place, and so each break a
statement of `Proofs/Step`.
-/

namespace Antiphon.Tests.Step

/-! ## Kernels -/

/-- The parts of a kernel that can differ. -/
structure Kernel where
  /-- The number of messages that a buffer has room for. -/
  room : ProtocolMachineConfig → Session → Nat
  /-- Whether a payload is checked when it is sent. -/
  admits : Bool
  /-- Whether a send advances its endpoint. -/
  moves : Bool
  /-- An additional change by a send that finds the buffer full. -/
  full : Session → Session
  /-- An additional change by a send that finds room. -/
  also : Session → Session
  /-- The message that is taken, and the rest of the buffer. -/
  take : Parcel → List Parcel → Parcel × List Parcel
  /-- Whether a payload is checked when it is taken. -/
  checks : Bool
  /-- The phase in which a step finds the session. -/
  phase : Session → Phase

/-- The real kernel. -/
def real : Kernel where
  room config _ := config.bufferMax
  admits := true
  moves := true
  full s := s
  also s := s
  take parcel rest := (parcel, rest)
  checks := true
  phase s := s.phase

/-- `Antiphon.send` with a kernel's parts. -/
def Kernel.send (k : Kernel) (cx : Context) (s : Session) (who : Nat) (c : Coroutine)
    (chan label val next : Nat) (chosen : Bool) : Except Fault Stepped := do
  let speaker ← speak cx s who c chan .send
  match branchFor label speaker.point.branches with
  | none => .error (.wrongLabel speaker.role speaker.endpoint.state label)
  | some t => do
    let payload ← readReg c val
    (match k.admits with
      | true => admitPayload cx payload t.sort
      | false => .ok () : Except Fault Unit)
    match getAt s.edges speaker.point.edge with
    | none => .error (.noSuchRow .edges speaker.point.edge)
    | some edge => match Nat.blt (len edge.queue) (k.room cx.config s) with
      | false => .ok (block (k.full s) who c (.full speaker.point.edge))
      | true =>
        let message := { edge := speaker.point.edge, label, sequence := edge.sent, payload : Message }
        let woken := wake s.endpoints (setAt s.coroutines who { c with pc := next }) speaker.point.peer
          (.empty speaker.point.edge)
        .ok {
          session := k.also { s with
            edges := setAt s.edges speaker.point.edge
              { sent := edge.sent + 1
                queue := app edge.queue [{ payload, sequence := edge.sent, label }] }
            endpoints := setAt s.endpoints speaker.role
              { speaker.endpoint with
                state := match k.moves with | true => t.next | false => speaker.endpoint.state }
            coroutines := woken.1 }
          events := [match chosen with | true => .offered message | false => .sent message]
          step := .ran
          woken := woken.2 }

/-- `Antiphon.receive` with a kernel's parts. -/
def Kernel.receive (k : Kernel) (cx : Context) (s : Session) (who : Nat) (c : Coroutine)
    (chan dst : Nat) (chosen : Bool) (next : Nat → Option Nat) : Except Fault Stepped := do
  let speaker ← speak cx s who c chan .receive
  let _ ← readReg c dst
  match getAt s.edges speaker.point.edge with
  | none => .error (.noSuchRow .edges speaker.point.edge)
  | some edge => match edge.queue with
    | [] => .ok (block s who c (.empty speaker.point.edge))
    | first :: others =>
      let parcel := (k.take first others).1
      match branchFor parcel.label speaker.point.branches with
      | none => .error (.wrongLabel speaker.role speaker.endpoint.state parcel.label)
      | some t => match next parcel.label with
        | none => .error (.unexpectedMessage speaker.point.edge parcel.label)
        | some target => do
          ensure (match k.checks with
              | true => parcel.payload.isOf cx.image.image.sorts t.sort
              | false => true)
            (.wrongSort t.sort parcel.payload.form)
          let message := { edge := speaker.point.edge, label := parcel.label,
                           sequence := parcel.sequence, payload := parcel.payload : Message }
          let woken := wake s.endpoints
            (setAt s.coroutines who { c with pc := target, registers := writeReg c dst parcel.payload })
            speaker.point.peer (.full speaker.point.edge)
          .ok {
            session := { s with
              edges := setAt s.edges speaker.point.edge { edge with queue := (k.take first others).2 }
              endpoints := setAt s.endpoints speaker.role { speaker.endpoint with state := t.next }
              coroutines := woken.1 }
            events := [match chosen with | true => .chose message | false => .received message]
            step := .ran
            woken := woken.2 }

/-- `Antiphon.execute` with a kernel's parts. -/
def Kernel.execute (k : Kernel) (cx : Context) (s : Session) (who : Nat) (c : Coroutine) :
    Instruction → Except Fault Stepped
  | .send chan label val => k.send cx s who c chan label val (nextPc c.pc) false
  | .offer chan selector arms => do
    let v ← readReg c selector
    let n ← v.number
    match armFor n arms with
    | none => .error (.selectorOutside n)
    | some arm => k.send cx s who c chan arm.label arm.val arm.target true
  | .receive chan label dst =>
    k.receive cx s who c chan dst false fun got => match Nat.beq got label with
      | true => some (nextPc c.pc)
      | false => none
  | .choose chan dst table => k.receive cx s who c chan dst true fun got => targetFor got table
  | instruction => Antiphon.execute cx s who c instruction

/-- `Antiphon.attempt` with a kernel's parts. -/
def Kernel.attempt (k : Kernel) (cx : Context) (s : Session) (who : Nat) (c : Coroutine) :
    Except Fault Stepped := do
  let instruction ← fetch cx.image c.program c.pc
  k.execute cx s who c instruction

/-- `Antiphon.step` with a kernel's parts. -/
def Kernel.step (k : Kernel) (cx : Context) (s : Session) (who : Nat) : Stepped :=
  match getAt s.coroutines who with
  | none => { session := s, events := [], step := .halted, woken := none }
  | some c => match k.phase s, c.status with
    | .active, .ready => match k.attempt cx s who c with
      | .ok stepped => stepped
      | .error fault =>
        let failed := fail s who fault
        { session := failed.1, events := failed.2, step := .faulted fault, woken := none }
    | .active, .blocked on => { session := s, events := [], step := .blocked on, woken := none }
    | _, _ => { session := s, events := [], step := .halted, woken := none }

/-- A step with the real kernel's parts is `Antiphon.step`. -/
theorem real_step : real.step = Antiphon.step := by
  have sends : real.send = Antiphon.send := rfl
  have receives : real.receive = Antiphon.receive := rfl
  have attempts : real.attempt = Antiphon.attempt := by
    funext cx s who c
    refine congrArg (bind (fetch cx.image c.program c.pc)) ?_
    funext instruction
    cases instruction <;> simp only [Kernel.execute, Antiphon.execute, sends, receives] <;> rfl
  unfold Kernel.step Antiphon.step
  rw [attempts]
  rfl

/-! ## The statements, for a kernel -/

/-- The statement of `step_frame`. -/
def Frames (step : Context → Session → Nat → Stepped) : Prop := ∀ cx s who session,
  Framed (footprint cx.image session s who) session s (step cx s who).session

/-- The statement of `step_reads`. -/
def Reads (step : Context → Session → Nat → Stepped) : Prop := ∀ cx s t who session,
  (∀ k ∈ readSet cx.image session s who, SameAt s t k) →
    SameStepped s t (step cx s who) (step cx t who)

/-- The statement of `step_refused_unchanged`. -/
def Unchanged (step : Context → Session → Nat → Stepped) (input : Machine → Ingress → Acted) : Prop :=
  (∀ (m : Machine) (ingress : Ingress) (refusal : Refusal), m.ingress ingress = .error refusal →
    (input m ingress).machine = m ∧ (input m ingress).shown.events = []) ∧
  (∀ (cx : Context) (s : Session) (who : Nat),
    (s.phase ≠ .active ∨ ∀ c, s.coroutines[who]? = some c → c.status ≠ .ready) →
    (step cx s who).session = s ∧ (step cx s who).events = []) ∧
  (∀ (cx : Context) (s : Session) (who : Nat) (on : On), (step cx s who).step = .blocked on →
    (step cx s who).events = [] ∧ ∃ c, s.coroutines[who]? = some c ∧
      (step cx s who).session = s.withCoroutine who { c with status := .blocked on })

/-- The part of `turnOf_frame` that concerns other sessions. -/
def Alone (turn : Machine → Pick → Acted) : Prop := ∀ m p, ∀ j : Nat, j ≠ p.session →
  (turn m p).machine.sessions[j]? = m.sessions[j]?

theorem real_frames : Frames real.step := real_step ▸ step_frame

theorem real_reads : Reads real.step := real_step ▸ step_reads

theorem real_unchanged : Unchanged real.step Machine.input := real_step ▸ step_refused_unchanged

theorem real_alone : Alone Machine.turnOf := fun m p => (turnOf_frame m p).1

/-! ## A protocol -/

/-- The first role sends a number to the second, which answers; the third does nothing. -/
def image : CodeImage where
  name := []
  version := 0
  roles := [
    { name := [], states := [.send 1 [⟨0, 0, 1⟩], .recv 1 [⟨0, 0, 2⟩], .done] },
    { name := [], states := [.recv 0 [⟨0, 0, 1⟩], .send 0 [⟨0, 0, 2⟩], .done] },
    { name := [], states := [.done] }]
  labels := [[]]
  sorts := [.nat]
  interfaces := []
  operations := []
  programs := [
    { name := [], registers := 2, code := [.set 1 (.nat 7), .send 0 0 1, .receive 0 0 1, .halt] },
    { name := [], registers := 2, code := [.receive 0 0 1, .send 0 0 1, .halt] },
    { name := [], registers := 2, code := [.halt] }]

def loaded : Loaded := image.load []

/-- A configuration with buffers of one message. -/
def config : ProtocolMachineConfig where
  policy := .roundRobin
  priorities := []
  bufferMax := 1
  payloadMax := 64
  coroutinesMax := 4
  sessionsMax := 4
  witnessesMax := 4
  witnessTtl := 10
  effectBudget := none
  determinismMode := .full

def cx : Context := ⟨loaded, config, 0⟩

/-- A session whose first coroutine is about to send. -/
def about : Session := (Antiphon.step cx (Session.start loaded config 0 0 []) 0).session

/-- The same session except for a message on the answer's edge and for the third role's
coroutine. -/
def elsewhere : Session :=
  { about with
    edges := setAt about.edges 1 { sent := 1, queue := [⟨.nat 1, 0, 0⟩] }
    coroutines := setAt about.coroutines 2
      { program := 2, role := none, priority := 0, status := .ready, pc := 5, registers := [] } }

/-- A machine with two such sessions. -/
def machine : Machine := { Machine.new config [loaded] with sessions := [about, about] }

/-! ## The statements apply to the protocol -/

/-- A send writes its endpoint, its edge and its coroutine, and changes neither the answer's edge
nor the third role, which both exist. -/
theorem frame_shows :
    footprint loaded 0 about 0 =
        [.ledger 0, .coroutine 0 0, .endpoint 0 0, .edge 0 0, .coroutine 0 1] ∧
      (Antiphon.step cx about 0).session.edges.map Edge.sent = [1, 0] ∧
      (Antiphon.step cx about 0).session.endpoints.map Endpoint.state = [1, 0, 0] ∧
      (Antiphon.step cx about 0).session.coroutines.map Coroutine.pc = [2, 0, 0] := by
  decide

/-- What the send reads is equal in two sessions that differ elsewhere, and the send succeeds. -/
theorem reads_shows :
    (∀ k ∈ readSet loaded 0 about 0, SameAt about elsewhere k) ∧
      about.edges.map Edge.sent ≠ elsewhere.edges.map Edge.sent ∧
      about.coroutines.map Coroutine.pc ≠ elsewhere.coroutines.map Coroutine.pc ∧
      (Antiphon.step cx about 0).step = .ran := by
  refine ⟨?_, by decide, by decide, by decide⟩
  have keys : readSet loaded 0 about 0 =
      [.ledger 0, .coroutine 0 0, .endpoint 0 0, .edge 0 0, .endpoint 0 1, .coroutine 0 1] := by
    decide
  rw [keys]
  simp only [List.forall_mem_cons, List.not_mem_nil, false_implies, implies_true, and_true]
  exact ⟨⟨rfl, rfl, rfl, rfl, rfl, rfl, rfl⟩, rfl, rfl, rfl, rfl, rfl⟩

/-- There are refused inputs, coroutines that are not ready, sessions that have ended, and steps
that block. -/
theorem unchanged_shows :
    machine.ingress (.cancel 0 [1]) = .error (.notOwner 0) ∧
      machine.ingress (.outcome ⟨0, 0⟩ (.success .unit)) = .error (.neverIssued ⟨0, 0⟩) ∧
      (cancel about).1.phase ≠ .active ∧
      (Antiphon.step cx about 1).step = .blocked (.empty 0) ∧
      (Antiphon.step cx about 1).session.coroutines.map Coroutine.status =
        [.ready, .blocked (.empty 0), .ready] := by
  refine ⟨rfl, rfl, by decide, by decide, by decide⟩

/-- A turn of the second session takes a step in it. -/
theorem alone_shows :
    (machine.turnOf ⟨1, 0⟩).machine.sessions.map (fun s => s.edges.map Edge.sent) =
      [[0, 0], [1, 0]] := by
  decide

/-! ## Faulty kernels -/

/-- A send also counts a message on another edge. -/
def miscounts : Kernel :=
  { real with also := fun s => { s with edges := setAt s.edges 1 { sent := 1, queue := [] } } }

theorem miscounts_not_frames : ¬Frames miscounts.step := by
  intro h
  have := (h cx about 0 0).edge 1 (by decide)
  exact absurd (congrArg (Option.map Edge.sent) this) (by decide)

/-- A send also advances a coroutine that is not involved. -/
def hurries : Kernel :=
  { real with also := fun s => match getAt s.coroutines 2 with
      | some c => s.withCoroutine 2 { c with pc := 1 }
      | none => s }

theorem hurries_not_frames : ¬Frames hurries.step := by
  intro h
  have := (h cx about 0 0).coroutine 2 (by decide)
  exact absurd (congrArg (Option.map Coroutine.pc) this) (by decide)

/-- A send also advances the receiver's endpoint. -/
def answers : Kernel :=
  { real with also := fun s => { s with endpoints := setAt s.endpoints 1 { holder := 1, state := 1 } } }

theorem answers_not_frames : ¬Frames answers.step := by
  intro h
  have := (h cx about 0 0).endpoint 1 (by decide)
  exact absurd (congrArg (Option.map Endpoint.state) this) (by decide)

/-- `Machine.turnOf` with another function that stores the session. -/
def turnLike (put : List Session → Nat → Session → List Session) (m : Machine) (p : Pick) : Acted :=
  match m.micro p with
  | none => { machine := m, shown := { result := .notReady, events := [], request := none } }
  | some μ =>
    let after := { m with
      sessions := put m.sessions μ.pick.session μ.session
      queue := settle m.config.policy m.queue μ
      stepIndex := m.stepIndex + 1 }
    { machine := after
      shown := {
        result := .stepped p μ.step
        events := stampFrom μ.pick.session m.stepIndex m.clock μ.index μ.events
        request := after.requestAfter p.session μ.step } }

theorem turnLike_real : turnLike setAt = Machine.turnOf := rfl

/-- A turn that also stores the session at the position before its own. -/
def spills (sessions : List Session) (n : Nat) (s : Session) : List Session :=
  setAt (setAt sessions n s) (n - 1) s

theorem spills_not_alone : ¬Alone (turnLike spills) := by
  intro h
  have := h machine ⟨1, 0⟩ 0 (by decide)
  exact absurd (congrArg (Option.map fun s => s.edges.map Edge.sent) this) (by decide)

/-- All buffers together have room for as many messages as one. -/
def shares : Kernel :=
  { real with room := fun config s => match getAt s.edges 1 with
      | some edge => config.bufferMax - len edge.queue
      | none => config.bufferMax }

theorem shares_not_reads : ¬Reads shares.step := by
  intro h
  exact absurd (h cx about elsewhere 0 0 reads_shows.1).step (by decide)

/-- A send also records the position of another coroutine. -/
def spies : Kernel :=
  { real with also := fun s => match getAt s.coroutines 2 with
      | some c => { s with epoch := c.pc }
      | none => s }

theorem spies_not_reads : ¬Reads spies.step := by
  intro h
  have := (h cx about elsewhere 0 0 reads_shows.1).keys (.ledger 0) (reads_shows.1 _ (by simp [readSet]))
  exact absurd this.2.2.1 (by decide)

/-- `Machine.input` with a function that changes the machine when an input is refused. -/
def inputLike (refused : Machine → Machine) (m : Machine) (ingress : Ingress) : Acted :=
  match m.ingress ingress with
  | .error refusal =>
    { machine := refused m, shown := { result := .refused refusal, events := [], request := none } }
  | .ok accepted => {
      machine := accepted.machine
      shown := {
        result := .taken accepted.answer
        events := accepted.events
        request := match accepted.answer with
          | .resumed session (.reissued number) => accepted.machine.request { session, number }
          | _ => none } }

theorem inputLike_real : inputLike (fun m => m) = Machine.input := rfl

/-- A refused input counts as a step. -/
def counts (m : Machine) : Machine := { m with stepIndex := m.stepIndex + 1 }

theorem counts_not_unchanged : ¬Unchanged real.step (inputLike counts) := by
  intro h
  have := (h.1 machine (.cancel 0 [1]) (.notOwner 0) rfl).1
  exact absurd (congrArg Machine.stepIndex this) (by decide)

/-- A session that has ended continues to step. -/
def goesOn : Kernel := { real with phase := fun _ => .active }

theorem goesOn_not_unchanged : ¬Unchanged goesOn.step Machine.input := by
  intro h
  have := (h.2.1 cx (cancel about).1 0 (.inl (by decide))).2
  exact absurd (congrArg List.length this) (by decide)

/-- A send that finds the buffer full advances its endpoint nevertheless. -/
def presumes : Kernel :=
  { real with full := fun s => { s with endpoints := setAt s.endpoints 0 { holder := 0, state := 1 } } }

/-- A session whose first coroutine is about to send into a full buffer. -/
def crammed : Session := { about with edges := setAt about.edges 0 { sent := 1, queue := [⟨.nat 1, 0, 0⟩] } }

theorem presumes_not_unchanged : ¬Unchanged presumes.step Machine.input := by
  intro h
  obtain ⟨_, c, _, hs⟩ := h.2.2 cx crammed 0 (.full 0) (by decide)
  have moved : (presumes.step cx crammed 0).session.endpoints.map Endpoint.state =
      crammed.endpoints.map Endpoint.state := by rw [hs]; rfl
  exact absurd moved (by decide)

end Antiphon.Tests.Step

module

public import Runtime.ProtocolMachine.Model.Event

@[expose] public section

/-!
# The meaning of an instruction

`step` is the only function that gives an instruction its meaning; it models `step` in
`rust/machine/src/step.rs`. It reads one session, the image, the configuration and the clock, and
nothing else: no other session, no queue, no step index. Checks come before commits, in the order of
`docs/semantics.md`; a check that fails is a fault.
-/

namespace Antiphon

/-- What a step reads in addition to its session. -/
structure Context where
  image : Loaded
  config : ProtocolMachineConfig
  clock : Nat

/-- The result of a step: the session, its events in order, the outcome in one word, and the
coroutine that it made ready. -/
structure Stepped where
  session : Session
  events : List Event
  step : Step
  woken : Option Nat

/-- A check: succeeds if `holds`, otherwise returns the fault. -/
def ensure (holds : Bool) (fault : Fault) : Except Fault Unit :=
  match holds with
  | true => .ok ()
  | false => .error fault

/-- The value in a register. -/
def readReg (c : Coroutine) (r : Nat) : Except Fault Value :=
  match getAt c.registers r with
  | some v => .ok v
  | none => .error (.outOfRegisters r (len c.registers))

/-- The coroutine's registers with register `r` replaced. -/
def writeReg (c : Coroutine) (r : Nat) (v : Value) : List Value := setAt c.registers r v

/-- The number that a value denotes: a `Nat` is itself, a `Bool` is 0 or 1. -/
def Value.number : Value → Except Fault Nat
  | .nat n => .ok n
  | .bool true => .ok 1
  | .bool false => .ok 0
  | v => .error (.notANumber v.form)

/-- The instruction at a position of a program. -/
def fetch (i : Loaded) (program pc : Nat) : Except Fault Instruction :=
  match getAt i.image.programs program with
  | none => .error (.noSuchRow .programs program)
  | some p => match getAt p.code pc with
    | none => .error (.pcOutOfBounds pc (len p.code))
    | some instruction => .ok instruction

/-- Checks that a value belongs to its sort and is not too large. -/
def admitPayload (cx : Context) (v : Value) (sort : Nat) : Except Fault Unit := do
  ensure (v.isOf cx.image.image.sorts sort) (.wrongSort sort v.form)
  ensure (Nat.ble v.encodedLen cx.config.payloadMax) (.payloadTooLarge v.encodedLen cx.config.payloadMax)

/-- A role about to send or receive: its number, its endpoint and the state of its automaton. -/
structure Speaker where
  role : Nat
  endpoint : Endpoint
  point : Point

/-- The endpoint in register `chan`, if this coroutine holds it and its state allows `act`. -/
def speak (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (chan : Nat) (act : SpeechAct) :
    Except Fault Speaker := do
  let v ← readReg c chan
  match v with
  | .endpoint role =>
    match getAt s.endpoints role with
    | none => .error (.noSuchRow .roles role)
    | some endpoint => do
      ensure (Nat.beq endpoint.holder who) (.notHolder role endpoint.holder)
      match cx.image.point role endpoint.state with
      | none => .error (.noSuchRow .states endpoint.state)
      | some point => do
        ensure (decide (point.act = act)) (.wrongState role endpoint.state act point.act)
        .ok { role, endpoint, point }
  | v => .error (.notAnEndpoint chan v.form)

/-- The branch for a label; the first one if there are several. -/
def branchFor (label : Nat) : List Transition → Option Transition
  | [] => none
  | t :: ts => match Nat.beq t.label label with
    | true => some t
    | false => branchFor label ts

/-- The arm for a label. -/
def armFor (label : Nat) : List Arm → Option Arm
  | [] => none
  | a :: as => match Nat.beq a.label label with
    | true => some a
    | false => armFor label as

/-- The target that a table has for a number. -/
def targetFor (n : Nat) : List (Nat × Nat) → Option Nat
  | [] => none
  | row :: rows => match Nat.beq row.1 n with
    | true => some row.2
    | false => targetFor n rows

/-- Makes the holder of the peer's endpoint ready if it is blocked on `on`. -/
def wake (endpoints : List Endpoint) (coroutines : List Coroutine) (peer : Nat) (on : On) :
    List Coroutine × Option Nat :=
  match getAt endpoints peer with
  | none => (coroutines, none)
  | some endpoint => match getAt coroutines endpoint.holder with
    | none => (coroutines, none)
    | some c => match decide (c.status = .blocked on) with
      | true => (setAt coroutines endpoint.holder { c with status := .ready }, some endpoint.holder)
      | false => (coroutines, none)

/-- The session with one coroutine replaced. -/
def Session.withCoroutine (s : Session) (who : Nat) (c : Coroutine) : Session :=
  { s with coroutines := setAt s.coroutines who c }

/-- The result of a step that replaces the coroutine and changes nothing else. -/
def plain (s : Session) (who : Nat) (c : Coroutine) (step : Step) : Stepped :=
  { session := s.withCoroutine who c, events := [], step, woken := none }

/-- The result of a step that blocks: the coroutine's status changes and nothing else. -/
def block (s : Session) (who : Nat) (c : Coroutine) (on : On) : Stepped :=
  plain s who { c with status := .blocked on } (.blocked on)

/-- The instruction `Send`, and `Offer` after its arm has been selected. -/
def send (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (chan label val next : Nat)
    (chosen : Bool) : Except Fault Stepped := do
  let speaker ← speak cx s who c chan .send
  match branchFor label speaker.point.branches with
  | none => .error (.wrongLabel speaker.role speaker.endpoint.state label)
  | some t => do
    let payload ← readReg c val
    admitPayload cx payload t.sort
    match getAt s.edges speaker.point.edge with
    | none => .error (.noSuchRow .edges speaker.point.edge)
    | some edge => match Nat.blt (len edge.queue) cx.config.bufferMax with
      | false => .ok (block s who c (.full speaker.point.edge))
      | true =>
        let message := { edge := speaker.point.edge, label, sequence := edge.sent, payload : Message }
        let woken := wake s.endpoints (setAt s.coroutines who { c with pc := next }) speaker.point.peer
          (.empty speaker.point.edge)
        .ok {
          session := { s with
            edges := setAt s.edges speaker.point.edge
              { sent := edge.sent + 1
                queue := app edge.queue [{ payload, sequence := edge.sent, label }] }
            endpoints := setAt s.endpoints speaker.role { speaker.endpoint with state := t.next }
            coroutines := woken.1 }
          events := [match chosen with | true => .offered message | false => .sent message]
          step := .ran
          woken := woken.2 }

/-- The instructions `Receive` and `Choose`. `next` maps a label to the next position. -/
def receive (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (chan dst : Nat) (chosen : Bool)
    (next : Nat → Option Nat) : Except Fault Stepped := do
  let speaker ← speak cx s who c chan .receive
  let _ ← readReg c dst
  match getAt s.edges speaker.point.edge with
  | none => .error (.noSuchRow .edges speaker.point.edge)
  | some edge => match edge.queue with
    | [] => .ok (block s who c (.empty speaker.point.edge))
    | parcel :: rest => match branchFor parcel.label speaker.point.branches with
      | none => .error (.wrongLabel speaker.role speaker.endpoint.state parcel.label)
      | some t => match next parcel.label with
        | none => .error (.unexpectedMessage speaker.point.edge parcel.label)
        | some target => do
          ensure (parcel.payload.isOf cx.image.image.sorts t.sort)
            (.wrongSort t.sort parcel.payload.form)
          let message := { edge := speaker.point.edge, label := parcel.label,
                           sequence := parcel.sequence, payload := parcel.payload : Message }
          let woken := wake s.endpoints
            (setAt s.coroutines who { c with pc := target, registers := writeReg c dst parcel.payload })
            speaker.point.peer (.full speaker.point.edge)
          .ok {
            session := { s with
              edges := setAt s.edges speaker.point.edge { edge with queue := rest }
              endpoints := setAt s.endpoints speaker.role { speaker.endpoint with state := t.next }
              coroutines := woken.1 }
            events := [match chosen with | true => .chose message | false => .received message]
            step := .ran
            woken := woken.2 }

/-- An operation of the image. -/
def operationAt (i : Loaded) (n : Nat) : Except Fault Operation :=
  match getAt i.image.operations n with
  | some operation => .ok operation
  | none => .error (.noSuchRow .operations n)

/-- Whether an operation is of class `Check`. -/
def Operation.isCheck (o : Operation) : Bool :=
  match o.cls with
  | .check => true
  | _ => false

/-- Checks that each argument is admitted for its sort. -/
def admitAll (cx : Context) (c : Coroutine) : List Nat → List Nat → Except Fault Unit
  | arg :: args, sort :: sorts => do
    let v ← readReg c arg
    admitPayload cx v sort
    admitAll cx c args sorts
  | _, _ => .ok ()

/-- Issues an effect and blocks the coroutine on it. -/
def issue (s : Session) (who : Nat) (c : Coroutine) (operation : Nat) (deadline : Option Nat)
    (attempt : Nat) : Session × Event :=
  ({ s with
      effectsIssued := s.effectsIssued + 1
      effects := app s.effects
        [{ number := s.effectsIssued, deadline, operation, coroutine := who, attempt }]
      coroutines := setAt s.coroutines who { c with status := .blocked (.effect s.effectsIssued) } },
    .effectIssued s.effectsIssued who operation attempt deadline)

/-- The instructions `Invoke` and `Check`. -/
def invoke (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (operation : Nat) (args : List Nat)
    (dst : Nat) (witness : Option Nat) : Except Fault Stepped := do
  let o ← operationAt cx.image operation
  ensure (match witness with | some _ => o.isCheck | none => !o.isCheck) .wrongOperation
  ensure (Nat.beq (len o.args) (len args)) .wrongOperation
  let _ ← readReg c dst
  match witness with
  | some w => do let _ ← readReg c w
  | none => .ok ()
  admitAll cx c args o.args
  let budget := match o.budget with
    | some ticks => some ticks
    | none => cx.config.effectBudget
  let deadline := match budget with
    | some ticks => some (addTicks cx.clock ticks)
    | none => none
  let issued := issue s who c operation deadline 0
  .ok { session := issued.1, events := [issued.2], step := .effect s.effectsIssued, woken := none }

/-- Copies the arguments of a `Spawn` into the new coroutine's registers, from `slot` on. -/
def spawnArgs (parent : Coroutine) (slot : Nat) (child : Coroutine) :
    List Nat → Except Fault Coroutine
  | [] => .ok child
  | arg :: args => do
    let v ← readReg parent arg
    let _ ← readReg child slot
    spawnArgs parent (slot + 1) { child with registers := writeReg child slot v } args

/-- The instruction `Spawn`. -/
def spawn (cx : Context) (s : Session) (who : Nat) (c : Coroutine) (program : Nat) (args : List Nat)
    (dst next : Nat) : Except Fault Stepped := do
  let _ ← readReg c dst
  ensure (Nat.blt program (len cx.image.image.programs)) (.noSuchRow .programs program)
  let child ← spawnArgs c 0 (Coroutine.start cx.image.image program none c.priority) args
  ensure (Nat.blt (len s.coroutines) cx.config.coroutinesMax) (.coroutineBound cx.config.coroutinesMax)
  let number := len s.coroutines
  let parent := { c with pc := next, registers := writeReg c dst (.nat number) }
  .ok {
    session := { s with
      live := s.live + 1
      coroutines := app (setAt s.coroutines who parent) [child] }
    events := [.spawned number program]
    step := .ran
    woken := some number }

/-- Checks that a role's automaton has reached a final state. -/
def atEnd (cx : Context) (role state : Nat) : Except Fault Unit :=
  match cx.image.point role state with
  | none => .error (.noSuchRow .states state)
  | some point => match point.act with
    | .done => .ok ()
    | _ => .error (.endpointOpen role state)

/-- Checks that every endpoint that the coroutine `holder` holds has reached a final state; every
endpoint of the session if `holder` is `none`. -/
def endpointsAtEnd (cx : Context) (holder : Option Nat) (role : Nat) : List Endpoint → Except Fault Unit
  | [] => .ok ()
  | e :: es => do
    match holder with
    | none => atEnd cx role e.state
    | some who => match Nat.beq e.holder who with
      | true => atEnd cx role e.state
      | false => .ok ()
    endpointsAtEnd cx holder (role + 1) es

/-- Checks that every edge is empty. -/
def edgesEmpty (n : Nat) : List Edge → Except Fault Unit
  | [] => .ok ()
  | e :: es => match e.queue with
    | [] => edgesEmpty (n + 1) es
    | _ :: _ => .error (.edgeNotEmpty n (len e.queue))

/-- The events for effects and witnesses that end with their session. -/
def leftovers (effects : List Effect) (witnesses : List Witness) : List Event :=
  app (mapL (fun e => .effectInvalidated e.number) effects)
    (mapL (fun w => .witnessExpired w.number) witnesses)

/-- Ends the session. Its outstanding effects are invalidated and its witnesses expire. -/
def finish (s : Session) (how : Ending) : Session × List Event :=
  ({ s with phase := .terminal how, epoch := s.epoch + 1, effects := [], witnesses := [] },
    app (leftovers s.effects s.witnesses) [.sessionTerminal how, .epochAdvanced (s.epoch + 1)])

/-- The coroutine faults and ends its session. -/
def fail (s : Session) (who : Nat) (fault : Fault) : Session × List Event :=
  let s' := match getAt s.coroutines who with
    | some c => s.withCoroutine who { c with status := .faulted }
    | none => s
  let ended := finish s' .faulted
  (ended.1, .failureBranchEntered who fault :: .faulted who fault :: ended.2)

/-- The instruction `Close`. -/
def close (cx : Context) (s : Session) : Except Fault Stepped := do
  endpointsAtEnd cx none 0 s.endpoints
  edgesEmpty 0 s.edges
  let ended := finish s .closed
  .ok { session := ended.1, events := .closed :: ended.2, step := .halted, woken := none }

/-- The instruction `Halt`. -/
def halt (cx : Context) (s : Session) (who : Nat) (c : Coroutine) : Except Fault Stepped := do
  endpointsAtEnd cx (some who) 0 s.endpoints
  match Nat.beq s.live 1 with
  | true => edgesEmpty 0 s.edges
  | false => .ok ()
  let s' := { s.withCoroutine who { c with status := .halted } with live := s.live - 1 }
  match Nat.beq s.live 1 with
  | true =>
    let ended := finish s' .closed
    .ok { session := ended.1, events := .halted who :: .closed :: ended.2, step := .halted, woken := none }
  | false => .ok { session := s', events := [.halted who], step := .halted, woken := none }

/-- Executes one instruction. -/
def execute (cx : Context) (s : Session) (who : Nat) (c : Coroutine) :
    Instruction → Except Fault Stepped
  | .send chan label val => send cx s who c chan label val (nextPc c.pc) false
  | .offer chan selector arms => do
    let v ← readReg c selector
    let n ← v.number
    match armFor n arms with
    | none => .error (.selectorOutside n)
    | some arm => send cx s who c chan arm.label arm.val arm.target true
  | .receive chan label dst =>
    receive cx s who c chan dst false fun got => match Nat.beq got label with
      | true => some (nextPc c.pc)
      | false => none
  | .choose chan dst table => receive cx s who c chan dst true fun got => targetFor got table
  | .invoke operation args dst _ => invoke cx s who c operation args dst none
  | .check operation args dst witness _ => invoke cx s who c operation args dst (some witness)
  | .spawn program args dst => spawn cx s who c program args dst (nextPc c.pc)
  | .set dst value => do
    let _ ← readReg c dst
    .ok (plain s who { c with pc := nextPc c.pc, registers := writeReg c dst value } .ran)
  | .move dst src => do
    let v ← readReg c src
    let _ ← readReg c dst
    .ok (plain s who { c with pc := nextPc c.pc, registers := writeReg c dst v } .ran)
  | .jump target => .ok (plain s who { c with pc := target } .ran)
  | .branch cond table => do
    let v ← readReg c cond
    let n ← v.number
    match targetFor n table with
    | none => .error (.noSuchBranch n)
    | some target => .ok (plain s who { c with pc := target } .ran)
  | .yield => .ok (plain s who { c with pc := nextPc c.pc } .yielded)
  | .close => close cx s
  | .halt => halt cx s who c

/-- Fetches and executes the instruction at the coroutine's position. -/
def attempt (cx : Context) (s : Session) (who : Nat) (c : Coroutine) : Except Fault Stepped := do
  let instruction ← fetch cx.image c.program c.pc
  execute cx s who c instruction

/-- One step of one coroutine. It changes nothing if the session has ended or the coroutine is not
ready. -/
def step (cx : Context) (s : Session) (who : Nat) : Stepped :=
  match getAt s.coroutines who with
  | none => { session := s, events := [], step := .halted, woken := none }
  | some c => match s.phase, c.status with
    | .active, .ready => match attempt cx s who c with
      | .ok stepped => stepped
      | .error fault =>
        let failed := fail s who fault
        { session := failed.1, events := failed.2, step := .faulted fault, woken := none }
    | .active, .blocked on => { session := s, events := [], step := .blocked on, woken := none }
    | _, _ => { session := s, events := [], step := .halted, woken := none }

end Antiphon

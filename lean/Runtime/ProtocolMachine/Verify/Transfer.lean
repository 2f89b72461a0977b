module

public import Runtime.ProtocolMachine.Verify.Known

@[expose] public section

/-!
# Verification: what an instruction does to what is certain

`transfer` lists the frames that an instruction passes on, in the order in which the kernel joins
them into those of the next instructions, up to the first error. It models `visit` and the functions
that `visit` calls in `rust/machine/src/verify/paths.rs`.
-/

namespace Antiphon

/-- What is certain when control reaches an instruction. -/
structure Frame where
  /-- The state of the role's automaton; `none` in a program that only `Spawn` starts. -/
  state : Option Nat
  registers : List Known

/-- A frame that an instruction passes on to another. -/
structure Flow where
  program : Nat
  pc : Nat
  frame : Frame

/-- What is certain about a register. -/
def Frame.read (f : Frame) (r : Nat) : Except VerifyErrorKind Known :=
  match getAt f.registers r with
  | some k => .ok k
  | none => .error .noSuchRow

/-- The frame after a register was written. -/
def Frame.write (f : Frame) (r : Nat) (k : Known) : Except VerifyErrorKind Frame :=
  match getAt f.registers r with
  | some _ => .ok { f with registers := setAt f.registers r k }
  | none => .error .noSuchRow

/-- The frame with the automaton in another state. -/
def Frame.inState (f : Frame) (state : Nat) : Frame := { f with state := some state }

/-- A state of a role's automaton. -/
def CodeImage.stateAt (image : CodeImage) (role state : Nat) : Option AutomatonState :=
  match getAt image.numberedRoles role with
  | none => none
  | some r => getAt r.states state

/-- The kind of action that a state allows. -/
def AutomatonState.act : AutomatonState → SpeechAct
  | .done => .done
  | .send _ _ => .send
  | .recv _ _ => .receive

/-- The branches of a state. -/
def AutomatonState.branches : AutomatonState → List Transition
  | .done => []
  | .send _ branches => branches
  | .recv _ branches => branches

/-- The branches of the automaton's state, if the state allows the action over the endpoint in
`chan`. -/
def branchesAt (image : CodeImage) (program : Nat) (f : Frame) (chan : Nat) (act : SpeechAct) :
    Except VerifyErrorKind (List Transition) := do
  let k ← f.read chan
  match k, f.state with
  | .endpoint, some state => match image.stateAt program state with
    | none => .error .noSuchRow
    | some s => do
      require (decide (s.act = act)) .wrongAction
      .ok s.branches
  | _, _ => .error .notEndpoint

/-- Checks that a register is certain to hold a value of a sort. -/
def checkOf (image : CodeImage) (f : Frame) (r sort : Nat) : Checked := do
  let k ← f.read r
  require (k.isOf image.sorts sort) .wrongSort

/-- The branch that a send takes. -/
def sendBranch (image : CodeImage) (program : Nat) (f : Frame) (chan label val : Nat) :
    Except VerifyErrorKind Transition := do
  let branches ← branchesAt image program f chan .send
  match branchFor label branches with
  | none => .error .wrongLabel
  | some t => do
    checkOf image f val t.sort
    .ok t

/-- `Send`. -/
def sendFlow (image : CodeImage) (program pc : Nat) (f : Frame) (chan label val : Nat) :
    Except VerifyErrorKind Flow := do
  let t ← sendBranch image program f chan label val
  .ok { program, pc, frame := f.inState t.next }

/-- The numbers that the selector of an `Offer` can hold, if the arms are exactly these. -/
def armNumbers (image : CodeImage) (f : Frame) (selector : Nat) (arms : List Arm) : Checked := do
  let k ← f.read selector
  match k.numbers image.sorts with
  | none => .error .notTotal
  | some numbers => do
    require (Nat.beq (len numbers) (len arms)) .notTotal
    require (every (fun a => numberIn a.label numbers) arms) .notTotal
    require (every (fun n => match armFor n arms with | some _ => true | none => false) numbers)
      .notTotal

/-- One arm of an `Offer`. -/
def armFlow (image : CodeImage) (program : Nat) (f : Frame) (chan selector : Nat) (arm : Arm) :
    Except VerifyErrorKind Flow := do
  let t ← sendBranch image program f chan arm.label arm.val
  let k ← f.read selector
  let f ← f.write selector (k.after image.sorts arm.label)
  .ok { program, pc := arm.target, frame := f.inState t.next }

/-- The branches of a `Receive`: every one has its label. -/
def receiveBranches (image : CodeImage) (program : Nat) (f : Frame) (chan label dst : Nat) :
    Except VerifyErrorKind (List Transition) := do
  let branches ← branchesAt image program f chan .receive
  let _ ← f.read dst
  require (every (fun t => Nat.beq t.label label) branches) .unhandled
  .ok branches

/-- The frame after a message of this branch was taken. -/
def takeFlow (program pc : Nat) (f : Frame) (dst : Nat) (t : Transition) :
    Except VerifyErrorKind Flow := do
  let f ← f.write dst (.of t.sort)
  .ok { program, pc, frame := f.inState t.next }

/-- The branches of a `Choose`: every label of the table has one. -/
def chooseBranches (image : CodeImage) (program : Nat) (f : Frame) (chan dst : Nat)
    (table : List (Nat × Nat)) : Except VerifyErrorKind (List Transition) := do
  let branches ← branchesAt image program f chan .receive
  let _ ← f.read dst
  require (every (fun row => match branchFor row.1 branches with
    | some _ => true
    | none => false) table) .wrongLabel
  .ok branches

/-- One branch of a `Choose`. -/
def chooseFlow (program : Nat) (f : Frame) (dst : Nat) (table : List (Nat × Nat)) (t : Transition) :
    Except VerifyErrorKind Flow :=
  match targetFor t.label table with
  | none => .error .unhandled
  | some target => takeFlow program target f dst t

/-- Checks the arguments of a request. -/
def checkArguments (image : CodeImage) (f : Frame) : List Nat → List Nat → Checked
  | arg :: args, sort :: sorts => do
    checkOf image f arg sort
    checkArguments image f args sorts
  | _, _ => .ok ()

/-- The sort of the result of a request. -/
def requestResult (image : CodeImage) (f : Frame) (operation : Nat) (args : List Nat) (isCheck : Bool) :
    Except VerifyErrorKind Nat :=
  match getAt image.operations operation with
  | none => .error .noSuchRow
  | some o => do
    require (match isCheck with | true => o.isCheck | false => !o.isCheck) .wrongOperation
    require (Nat.beq (len o.args) (len args)) .wrongOperation
    checkArguments image f args o.args
    .ok o.result

/-- The frame after a request has succeeded. -/
def doneFlow (program pc : Nat) (f : Frame) (dst : Nat) (witness : Option Nat) (result : Nat) :
    Except VerifyErrorKind Flow := do
  let f ← f.write dst (.of result)
  match witness with
  | none => .ok { program, pc, frame := f }
  | some w => do
    let f ← f.write w .evidence
    .ok { program, pc, frame := f }

/-- The frame after a request has failed. -/
def failedFlow (program : Nat) (f : Frame) (dst target : Nat) : Except VerifyErrorKind Flow := do
  let f ← f.write dst .failureCode
  .ok { program, pc := target, frame := f }

/-- Whether a register is given. -/
def isGiven : Option Nat → Bool
  | some _ => true
  | none => false

/-- `Invoke`, and `Check`, which has a witness. -/
def requestFlows (image : CodeImage) (program pc : Nat) (f : Frame) (operation : Nat) (args : List Nat)
    (dst : Nat) (witness : Option Nat) (onFailure : Option Nat) : List (Except VerifyErrorKind Flow) :=
  match requestResult image f operation args (isGiven witness) with
  | .error kind => [.error kind]
  | .ok result => doneFlow program pc f dst witness result ::
      match onFailure with
      | none => []
      | some target => [failedFlow program f dst target]

/-- The registers of a new coroutine, which has `count` of them, started with these arguments. -/
def childRegisters (f : Frame) : Nat → List Nat → Except VerifyErrorKind (List Known)
  | 0, [] => .ok []
  | 0, _ :: _ => .error .tooLong
  | count + 1, [] => do
    let rest ← childRegisters f count []
    .ok (.exactly .unit :: rest)
  | count + 1, arg :: args => do
    let k ← f.read arg
    let rest ← childRegisters f count args
    .ok (k.handed :: rest)

/-- The frame in which `Spawn` starts a program. -/
def childFlow (image : CodeImage) (f : Frame) (child : Nat) (args : List Nat) :
    Except VerifyErrorKind Flow := do
  require (!Nat.blt child (len image.roles)) .spawnsRole
  let registers ← childRegisters f (registersOf image child) args
  .ok { program := child, pc := 0, frame := { state := none, registers } }

/-- The frame after a register was written. -/
def writeFlow (program pc : Nat) (f : Frame) (dst : Nat) (k : Known) : Except VerifyErrorKind Flow := do
  let f ← f.write dst k
  .ok { program, pc, frame := f }

/-- `Move`. -/
def moveFlow (program pc : Nat) (f : Frame) (dst src : Nat) : Except VerifyErrorKind Flow := do
  let k ← f.read src
  writeFlow program pc f dst k

/-- The numbers that the condition of a `Branch` can hold, if each has a row. -/
def rowNumbers (image : CodeImage) (f : Frame) (cond : Nat) (table : List (Nat × Nat)) :
    Except VerifyErrorKind (List Nat) := do
  let k ← f.read cond
  match k.numbers image.sorts with
  | none => .error .notTotal
  | some numbers => do
    require (every (fun n => match targetFor n table with | some _ => true | none => false) numbers)
      .notTotal
    .ok numbers

/-- One row of a `Branch`. -/
def rowFlow (image : CodeImage) (program : Nat) (f : Frame) (cond : Nat) (table : List (Nat × Nat))
    (number : Nat) : Except VerifyErrorKind Flow :=
  match targetFor number table with
  | none => .error .notTotal
  | some target => do
    let k ← f.read cond
    writeFlow program target f cond (k.after image.sorts number)

/-- Checks that the role is at an end. -/
def endFlows (image : CodeImage) (program : Nat) (f : Frame) : List (Except VerifyErrorKind Flow) :=
  match f.state with
  | none => []
  | some state => match image.stateAt program state with
    | some .done => []
    | _ => [.error .endsEarly]

/-- The frames that an instruction passes on, and its errors. -/
def transfer (image : CodeImage) (program pc : Nat) (f : Frame) :
    Instruction → List (Except VerifyErrorKind Flow)
  | .send chan label val => [sendFlow image program (nextPc pc) f chan label val]
  | .offer chan selector arms => match armNumbers image f selector arms with
    | .error kind => [.error kind]
    | .ok _ => mapL (fun arm => armFlow image program f chan selector arm) arms
  | .receive chan label dst => match receiveBranches image program f chan label dst with
    | .error kind => [.error kind]
    | .ok branches => mapL (fun t => takeFlow program (nextPc pc) f dst t) branches
  | .choose chan dst table => match chooseBranches image program f chan dst table with
    | .error kind => [.error kind]
    | .ok branches => mapL (fun t => chooseFlow program f dst table t) branches
  | .invoke operation args dst onFailure =>
    requestFlows image program (nextPc pc) f operation args dst none onFailure
  | .check operation args dst witness onFailure =>
    requestFlows image program (nextPc pc) f operation args dst (some witness) onFailure
  | .spawn child args dst =>
    [childFlow image f child args, writeFlow program (nextPc pc) f dst .nat]
  | .set dst value => [writeFlow program (nextPc pc) f dst (.exactly value)]
  | .move dst src => [moveFlow program (nextPc pc) f dst src]
  | .jump target => [.ok { program, pc := target, frame := f }]
  | .branch cond table => match rowNumbers image f cond table with
    | .error kind => [.error kind]
    | .ok numbers => mapL (fun n => rowFlow image program f cond table n) numbers
  | .yield => [.ok { program, pc := nextPc pc, frame := f }]
  | .close => endFlows image program f
  | .halt => endFlows image program f

end Antiphon

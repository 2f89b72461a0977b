module

public import Runtime.ProtocolMachine.Codec.Cbor
public import Runtime.ProtocolMachine.Semantics.Step

@[expose] public section

/-!
# Verification: tables, automata and operands

The passes of verification that look at one row of a table or one instruction at a time. They model
`tables.rs` and `operands.rs` in `rust/machine/src/verify`, with the checks in the same order, so
that the first error has the same kind.
-/

namespace Antiphon

/-- The kind of the first error of an image. It models the type of the same name in
`rust/machine/src/verify/mod.rs`, without the values that only messages show. -/
inductive VerifyErrorKind where
  | tooLong | empty | twice | noSuchRow | sortOrder | selfMessage | programPerRole | fallsOff
  | pathsDisagree | notEndpoint | wrongAction | wrongLabel | unhandled | wrongSort | notTotal
  | wrongOperation | spawnsRole | endsEarly | forgedConstant
  /-- The frames of the paths are not closed. The kernel has no such error, and the comparison with
  the kernel has never met it. -/
  | notClosed
deriving DecidableEq

/-- A check: nothing, or the kind of the error. -/
abbrev Checked := Except VerifyErrorKind Unit

/-- The bounds of `rust/machine/src/bounds.rs`. -/
def registersMax : Nat := 16
def rolesMax : Nat := 64
def tableLenMax : Nat := 4096
def sortsMax : Nat := 4096
def sortDepthMax : Nat := 16
def statesMax : Nat := 65536
def codeLenMax : Nat := 65536
def branchesMax : Nat := 1024
def nameLenMax : Nat := 256
def constantLenMax : Nat := 65536
def imageLenMax : Nat := 8388608

/-- A check that refuses with this kind unless `holds`. -/
def require (holds : Bool) (kind : VerifyErrorKind) : Checked :=
  match holds with
  | true => .ok ()
  | false => .error kind

/-- Refuses a number over its bound. -/
def atMost (n max : Nat) : Checked := require (Nat.ble n max) .tooLong

/-- Refuses a reference to a row that does not exist. -/
def rowBelow (index count : Nat) : Checked := require (Nat.blt index count) .noSuchRow

/-- Whether no byte string occurs twice. -/
def distinctNames : List Bytes → Bool
  | [] => true
  | x :: xs => match some? (fun y => sameBytes x y) xs with
    | true => false
    | false => distinctNames xs

/-- Whether a number occurs in a list. -/
@[noinline] def numberIn (n : Nat) (ns : List Nat) : Bool := some? (fun m => Nat.beq m n) ns

/-- Whether no number occurs twice. -/
def distinctNumbers : List Nat → Bool
  | [] => true
  | n :: ns => match numberIn n ns with
    | true => false
    | false => distinctNumbers ns

/-- Refuses a name that is too long. -/
def checkName (name : Bytes) : Checked := atMost (bytesLen name 0) nameLenMax

/-- Refuses names that are too long. -/
def checkNames : List Bytes → Checked
  | [] => .ok ()
  | name :: names => do
    checkName name
    checkNames names

/-- Refuses numbers that are not rows of a table with `count` rows. -/
def rowsBelow (count : Nat) : List Nat → Checked
  | [] => .ok ()
  | n :: ns => do
    rowBelow n count
    rowsBelow count ns

/-- Checks a list of labels: there is one, there are not too many, all exist, and none occurs
twice. -/
def checkLabels (image : CodeImage) (labels : List Nat) : Checked := do
  match labels with
  | [] => .error .empty
  | _ :: _ => .ok ()
  atMost (len labels) branchesMax
  rowsBelow (len image.labels) labels
  require (distinctNumbers labels) .twice

/-- The depth of a sort to which another refers. A sort refers only to earlier ones. -/
def depthOf (depths : List Nat) (inner : Nat) : Except VerifyErrorKind Nat :=
  match getAt depths inner with
  | some depth => .ok depth
  | none => .error .sortOrder

/-- The depth of a record, whose fields are these. -/
def fieldsDepth (depths : List Nat) (depth : Nat) : List (Bytes × Nat) → Except VerifyErrorKind Nat
  | [] => .ok depth
  | field :: fields => do
    checkName field.1
    let inner ← depthOf depths field.2
    fieldsDepth depths (Nat.max depth (inner + 1)) fields

/-- The depth of a sort, if the sort is well formed. `depths` has those of the sorts before it. -/
def checkSort (image : CodeImage) (depths : List Nat) : PayloadSort → Except VerifyErrorKind Nat
  | .list inner => do
    let depth ← depthOf depths inner
    .ok (depth + 1)
  | .option inner => do
    let depth ← depthOf depths inner
    .ok (depth + 1)
  | .record name fields => do
    checkName name
    atMost (len fields) branchesMax
    let depth ← fieldsDepth depths 1 fields
    require (distinctNames (mapL (fun f => f.1) fields)) .twice
    .ok depth
  | .enum name variants => do
    checkName name
    atMost (len variants) branchesMax
    checkNames variants
    require (distinctNames variants) .twice
    .ok 1
  | .foreign name => do
    checkName name
    .ok 1
  | .arm labels => do
    checkLabels image labels
    .ok 1
  | _ => .ok 1

/-- Checks the sorts. `depths` has the depths of those before them. -/
def checkSorts (image : CodeImage) (depths : List Nat) : List PayloadSort → Checked
  | [] => .ok ()
  | sort :: sorts => do
    let depth ← checkSort image depths sort
    atMost depth sortDepthMax
    checkSorts image (app depths [depth]) sorts

/-- Checks the class of an operation. -/
def checkClass (image : CodeImage) : OperationClass → Checked
  | .produce label peer => do
    rowBelow label (len image.labels)
    rowBelow peer (len image.roles)
  | .deliver label peer => do
    rowBelow label (len image.labels)
    rowBelow peer (len image.roles)
  | .decide labels peer => do
    checkLabels image labels
    rowBelow peer (len image.roles)
  | _ => .ok ()

/-- Checks the operations. -/
def checkOperations (image : CodeImage) : List Operation → Checked
  | [] => .ok ()
  | o :: os => do
    checkName o.name
    rowBelow o.interface (len image.interfaces)
    atMost (len o.args) registersMax
    rowsBelow (len image.sorts) o.args
    rowBelow o.result (len image.sorts)
    checkClass image o.cls
    checkOperations image os

/-- Checks the tables: their sizes, their names, and the references from one to another. -/
def checkTables (image : CodeImage) : Checked := do
  match image.roles with
  | [] => .error .empty
  | _ :: _ => .ok ()
  atMost (len image.roles) rolesMax
  atMost (len image.labels) tableLenMax
  atMost (len image.sorts) sortsMax
  atMost (len image.interfaces) tableLenMax
  atMost (len image.operations) tableLenMax
  atMost (len image.programs) tableLenMax
  require (Nat.ble (len image.roles) (len image.programs)) .programPerRole
  checkName image.name
  let roles := mapL (fun r => r.name) image.roles
  checkNames roles
  require (distinctNames roles) .twice
  checkNames image.labels
  require (distinctNames image.labels) .twice
  let interfaces := mapL (fun i => i.name) image.interfaces
  checkNames interfaces
  require (distinctNames interfaces) .twice
  checkSorts image [] image.sorts
  checkOperations image image.operations

/-- Checks the sorts and the next states of branches. -/
def checkBranches (image : CodeImage) (states : Nat) : List Transition → Checked
  | [] => .ok ()
  | t :: ts => do
    rowBelow t.sort (len image.sorts)
    rowBelow t.next states
    checkBranches image states ts

/-- Checks a state of role `role`, whose automaton has this number of states: who the other role is,
and the branches. -/
def checkPeer (image : CodeImage) (role states peer : Nat) (branches : List Transition) : Checked := do
  rowBelow peer (len image.roles)
  require (!Nat.beq peer role) .selfMessage
  checkLabels image (mapL (fun t => t.label) branches)
  checkBranches image states branches

/-- Checks the states of role `role`. -/
def checkStates (image : CodeImage) (role states : Nat) : List AutomatonState → Checked
  | [] => .ok ()
  | .done :: ss => checkStates image role states ss
  | .send to branches :: ss => do
    checkPeer image role states to branches
    checkStates image role states ss
  | .recv peer branches :: ss => do
    checkPeer image role states peer branches
    checkStates image role states ss

/-- Checks the automata of the roles, numbered from `n` on. -/
def checkAutomata (image : CodeImage) (n : Nat) : List Role → Checked
  | [] => .ok ()
  | role :: roles => do
    match role.states with
    | [] => .error .empty
    | _ :: _ => .ok ()
    atMost (len role.states) statesMax
    checkStates image n (len role.states) role.states
    checkAutomata image (n + 1) roles

mutual
/-- Checks that a constant contains only values that a program may make, and that it nests no deeper
than a sort may. -/
def checkConstant (depth : Nat) : Value → Checked
  | .list items => do
    atMost depth sortDepthMax
    checkConstants (depth + 1) items
  | .record fields => do
    atMost depth sortDepthMax
    checkConstants (depth + 1) fields
  | .endpoint _ => do
    atMost depth sortDepthMax
    .error .forgedConstant
  | .evidence _ => do
    atMost depth sortDepthMax
    .error .forgedConstant
  | _ => atMost depth sortDepthMax

/-- Checks constants one after another. -/
def checkConstants (depth : Nat) : List Value → Checked
  | [] => .ok ()
  | v :: vs => do
    checkConstant depth v
    checkConstants depth vs
end

/-- Checks that a program has these registers. -/
def checkRegisters (p : Program) (registers : List Nat) : Checked := do
  atMost (len registers) registersMax
  rowsBelow p.registers registers

/-- Checks that an address is in the program. -/
def checkTarget (p : Program) (target : Nat) : Checked := rowBelow target (len p.code)

/-- Checks the targets of a table. -/
def checkTargets (p : Program) : List (Nat × Nat) → Checked
  | [] => .ok ()
  | row :: rows => do
    checkTarget p row.2
    checkTargets p rows

/-- Checks the registers and the targets of the arms of an `Offer`. -/
def checkArms (p : Program) : List Arm → Checked
  | [] => .ok ()
  | arm :: arms => do
    checkRegisters p [arm.val]
    checkTarget p arm.target
    checkArms p arms

/-- Checks the operands that `Invoke` and `Check` have in common. -/
def checkRequest (image : CodeImage) (p : Program) (operation : Nat) (args : List Nat) (dst : Nat) :
    Checked := do
  rowBelow operation (len image.operations)
  checkRegisters p args
  checkRegisters p [dst]

/-- Checks the target after a failure. -/
def checkFailure (p : Program) : Option Nat → Checked
  | none => .ok ()
  | some target => checkTarget p target

/-- The number of registers of a program; 0 if it does not exist. -/
def registersOf (image : CodeImage) (program : Nat) : Nat :=
  match getAt image.programs program with
  | some p => p.registers
  | none => 0

/-- Checks that every operand of an instruction names something that exists. -/
def checkOperands (image : CodeImage) (p : Program) : Instruction → Checked
  | .send chan label val => do
    checkRegisters p [chan]
    rowBelow label (len image.labels)
    checkRegisters p [val]
  | .receive chan label dst => do
    checkRegisters p [chan]
    rowBelow label (len image.labels)
    checkRegisters p [dst]
  | .offer chan selector arms => do
    checkRegisters p [chan]
    checkRegisters p [selector]
    checkLabels image (mapL (fun a => a.label) arms)
    checkArms p arms
  | .choose chan dst table => do
    checkRegisters p [chan]
    checkRegisters p [dst]
    checkLabels image (mapL (fun r => r.1) table)
    checkTargets p table
  | .invoke operation args dst onFailure => do
    checkRequest image p operation args dst
    checkFailure p onFailure
  | .check operation args dst witness onFailure => do
    checkRequest image p operation args dst
    checkRegisters p [witness]
    checkFailure p onFailure
  | .spawn program args dst => do
    rowBelow program (len image.programs)
    checkRegisters p args
    checkRegisters p [dst]
    atMost (len args) (registersOf image program)
  | .set dst value => do
    checkRegisters p [dst]
    checkConstant 1 value
    atMost value.encodedLen constantLenMax
  | .move dst src => do
    checkRegisters p [dst]
    checkRegisters p [src]
  | .jump target => checkTarget p target
  | .branch cond table => do
    checkRegisters p [cond]
    atMost (len table) branchesMax
    require (distinctNumbers (mapL (fun r => r.1) table)) .twice
    checkTargets p table
  | .yield => .ok ()
  | .close => .ok ()
  | .halt => .ok ()

/-- Checks the operands of the instructions of a program, reachable or not. -/
def checkCode (image : CodeImage) (p : Program) : List Instruction → Checked
  | [] => .ok ()
  | i :: is => do
    checkOperands image p i
    checkCode image p is

/-- Checks the programs: their sizes, and the operands of their instructions. -/
def checkPrograms (image : CodeImage) : List Program → Checked
  | [] => .ok ()
  | p :: ps => do
    checkName p.name
    atMost p.registers registersMax
    atMost (len p.code) codeLenMax
    match p.code with
    | [] => .error .empty
    | _ :: _ => .ok ()
    checkCode image p p.code
    checkPrograms image ps

end Antiphon

module

public import Runtime.ProtocolMachine.Codec.Image
public import Runtime.ProtocolMachine.Verify.Transfer

@[expose] public section

/-!
# Verification: all paths through the programs

`findFrames` follows every program along all paths at once. It models `check_paths` in
`rust/machine/src/verify/paths.rs`, including the order of visits, so that the first error has the
same kind. The proofs do not depend on it: `framesClosed` looks at the resulting frames once more.
-/

namespace Antiphon

/-- What is certain at each instruction of each program; `none` where control never comes. -/
abbrev Frames := List (List (Option Frame))

/-- The frame of an instruction. -/
def frameAt (frames : Frames) (program pc : Nat) : Option Frame :=
  match getAt frames program with
  | none => none
  | some slots => match getAt slots pc with
    | some (some f) => some f
    | _ => none

/-- The frames found so far, and the instructions still to be visited, next one first. -/
structure Paths where
  frames : Frames
  work : List (Nat × Nat)

/-- Whether two automaton states do not contradict each other. -/
def statesAgree : Option Nat → Option Nat → Bool
  | some a, some b => Nat.beq a b
  | _, _ => true

/-- What is certain about registers if one or the other frame holds. -/
def meetAll (sorts : List PayloadSort) : List Known → List Known → List Known
  | a :: as, b :: bs => Known.meet sorts a b :: meetAll sorts as bs
  | as, _ => as

/-- Whether two lists of abstract values are equal. -/
def sameKnown : List Known → List Known → Bool
  | [], [] => true
  | a :: as, b :: bs => match Known.same a b with
    | true => sameKnown as bs
    | false => false
  | _, _ => false

/-- The frames with that of one instruction replaced. -/
def setFrame (frames : Frames) (program : Nat) (slots : List (Option Frame)) (pc : Nat)
    (f : Frame) : Frames :=
  setAt frames program (setAt slots pc (some f))

/-- Joins a frame into that of an instruction, which is to be visited if its frame has changed. -/
def Paths.flow (sorts : List PayloadSort) (paths : Paths) (x : Flow) :
    Except VerifyErrorKind Paths :=
  match getAt paths.frames x.program with
  | none => .error .fallsOff
  | some slots => match getAt slots x.pc with
    | none => .error .fallsOff
    | some none => .ok {
        frames := setFrame paths.frames x.program slots x.pc x.frame
        work := (x.program, x.pc) :: paths.work }
    | some (some old) => match statesAgree old.state x.frame.state with
      | false => .error .pathsDisagree
      | true =>
        let met := meetAll sorts old.registers x.frame.registers
        match sameKnown met old.registers with
        | true => .ok paths
        | false => .ok {
            frames := setFrame paths.frames x.program slots x.pc { old with registers := met }
            work := (x.program, x.pc) :: paths.work }

/-- Joins frames in order, up to the first error. -/
def Paths.flows (sorts : List PayloadSort) (paths : Paths) :
    List (Except VerifyErrorKind Flow) → Except VerifyErrorKind Paths
  | [] => .ok paths
  | .error kind :: _ => .error kind
  | .ok x :: xs => match paths.flow sorts x with
    | .error kind => .error kind
    | .ok paths => Paths.flows sorts paths xs

/-- The instruction at a position of a program. -/
def CodeImage.codeAt (image : CodeImage) (program pc : Nat) : Option Instruction :=
  match getAt image.programs program with
  | none => none
  | some p => getAt p.code pc

/-- Visits instructions until none is left. -/
def Paths.run (image : CodeImage) : Nat → Paths → Except VerifyErrorKind Frames
  | 0, _ => .error .notClosed
  | fuel + 1, paths => match paths.work with
    | [] => .ok paths.frames
    | (program, pc) :: work =>
      let rest := { paths with work }
      match image.codeAt program pc, frameAt paths.frames program pc with
      | some instruction, some f =>
        match rest.flows image.sorts (transfer image program pc f instruction) with
        | .error kind => .error kind
        | .ok paths => Paths.run image fuel paths
      | _, _ => Paths.run image fuel rest

/-- The frames in which the roles' programs start, numbered from `n` on. -/
def startFlows (image : CodeImage) (n : Nat) : List Role → List (Except VerifyErrorKind Flow)
  | [] => []
  | _ :: roles =>
    let registers := setAt (copies (registersOf image n) (.exactly .unit)) 0 .endpoint
    .ok { program := n, pc := 0, frame := { state := some 0, registers } } ::
      startFlows image (n + 1) roles

/-- No frames yet, for each instruction of each program. -/
def noFrames : List Program → Frames
  | [] => []
  | p :: ps => copies (len p.code) none :: noFrames ps

/-- The number of instructions of all programs. -/
def codeLen : List Program → Nat
  | [] => 0
  | p :: ps => len p.code + codeLen ps

/-- The maximum number of visits: an instruction is visited when its frame appears, and each of its
16 registers becomes less certain at most three times. -/
def visitsMax (image : CodeImage) : Nat := codeLen image.programs * 49 + 1

/-- The frames of all programs. -/
def findFrames (image : CodeImage) : Except VerifyErrorKind Frames := do
  let start := { frames := noFrames image.programs, work := [] : Paths }
  let paths ← start.flows image.sorts (startFlows image 0 image.numberedRoles)
  paths.run image (visitsMax image)

/-! ## The result -/

/-- Whether what the registers `as` are certain to hold follows from what `bs` are. -/
def coversAll (sorts : List PayloadSort) : List Known → List Known → Bool
  | [], [] => true
  | a :: as, b :: bs => match Known.covers sorts a b with
    | true => coversAll sorts as bs
    | false => false
  | _, _ => false

/-- Whether two automaton states are equal. -/
def sameState : Option Nat → Option Nat → Bool
  | some a, some b => Nat.beq a b
  | none, none => true
  | _, _ => false

/-- Whether what the frames say about an instruction follows from a frame passed on to it. -/
def flowCovered (sorts : List PayloadSort) (frames : Frames) (x : Flow) : Bool :=
  match frameAt frames x.program x.pc with
  | none => false
  | some f => match sameState f.state x.frame.state with
    | true => coversAll sorts f.registers x.frame.registers
    | false => false

/-- Whether there is no error, and every frame is covered. -/
def flowsCovered (sorts : List PayloadSort) (frames : Frames) :
    List (Except VerifyErrorKind Flow) → Bool
  | [] => true
  | .error _ :: _ => false
  | .ok x :: xs => match flowCovered sorts frames x with
    | true => flowsCovered sorts frames xs
    | false => false

/-- Whether the automaton of a role has this state. -/
def stateExists (image : CodeImage) (program : Nat) : Option Nat → Bool
  | none => true
  | some state => match image.stateAt program state with
    | some _ => true
    | none => false

/-- Whether the frames of a program, from position `pc` on, pass on only frames that are covered. -/
def slotsClosed (image : CodeImage) (frames : Frames) (program pc : Nat) :
    List Instruction → List (Option Frame) → Bool
  | _, [] => true
  | code, none :: slots => match code with
    | [] => slotsClosed image frames program (pc + 1) [] slots
    | _ :: code => slotsClosed image frames program (pc + 1) code slots
  | [], some _ :: _ => false
  | i :: code, some f :: slots =>
    match stateExists image program f.state with
    | false => false
    | true => match flowsCovered image.sorts frames (transfer image program pc f i) with
      | true => slotsClosed image frames program (pc + 1) code slots
      | false => false

/-- Whether the frames of the programs from `program` on pass on only frames that are covered. -/
def programsClosed (image : CodeImage) (frames : Frames) (program : Nat) :
    List Program → Frames → Bool
  | _, [] => true
  | [], _ :: _ => false
  | p :: ps, slots :: rest => match slotsClosed image frames program 0 p.code slots with
    | true => programsClosed image frames (program + 1) ps rest
    | false => false

/-- Whether the edges of a role's states have numbers. -/
def edgesNumbered (edges : List EdgePair) (role : Nat) : List AutomatonState → Bool
  | [] => true
  | .done :: ss => edgesNumbered edges role ss
  | .send to _ :: ss => match Nat.blt (edgeIndex (role, to) edges 0) (len edges) with
    | true => edgesNumbered edges role ss
    | false => false
  | .recv peer _ :: ss => match Nat.blt (edgeIndex (peer, role) edges 0) (len edges) with
    | true => edgesNumbered edges role ss
    | false => false

/-- Whether the edges of the states of the roles from `n` on have numbers. -/
def rolesNumbered (edges : List EdgePair) (n : Nat) : List Role → Bool
  | [] => true
  | role :: roles => match edgesNumbered edges n role.states with
    | true => rolesNumbered edges (n + 1) roles
    | false => false

/-- Whether the frames contain those in which roles start, and every instruction with a frame has no
error and passes on only frames that are covered. This holds for the result of `findFrames`; it is
checked because a proof about the result is then shorter than one about the search. -/
def framesClosed (image : CodeImage) (frames : Frames) : Bool :=
  match flowsCovered image.sorts frames (startFlows image 0 image.numberedRoles) with
  | false => false
  | true => match programsClosed image frames 0 image.programs frames with
    | false => false
    | true => rolesNumbered (image.load []).edges 0 image.numberedRoles

/-- Verifies an image: `.ok ()`, or the kind of the first error. It models `CodeImage::verify`. -/
def CodeImage.verify (image : CodeImage) : Checked := do
  checkTables image
  checkAutomata image 0 image.roles
  checkPrograms image image.programs
  let frames ← findFrames image
  require (framesClosed image frames) .notClosed
  atMost (bytesLen (encImage image []) 0) imageLenMax

end Antiphon

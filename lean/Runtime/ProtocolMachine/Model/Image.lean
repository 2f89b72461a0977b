module

public import Runtime.ProtocolMachine.Model.Value

@[expose] public section

/-!
# Images: what a protocol compiles to

The types model those of the same names in `rust/machine/src/image.rs`; `PayloadSort`,
`AutomatonState` and `OperationClass` are `Sort`, `State` and `Class` there.
-/

namespace Antiphon

/-- One message that a state of an automaton admits: its label, its payload's sort and the next
state. -/
structure Transition where
  label : Nat
  sort : Nat
  next : Nat
deriving DecidableEq

/-- A state of a local automaton. -/
inductive AutomatonState where
  | done
  | send (to : Nat) (branches : List Transition)
  | recv (peer : Nat) (branches : List Transition)

/-- A role: its name and the states of its automaton. State 0 is the start. -/
structure Role where
  name : Bytes
  states : List AutomatonState

/-- A named set of operations. -/
structure Interface where
  name : Bytes
  version : Nat

/-- The class of an operation: the kind of request. -/
inductive OperationClass where
  | produce (label peer : Nat)
  | decide (labels : List Nat) (peer : Nat)
  | deliver (label peer : Nat)
  | command
  | observe
  | check

/-- An operation, requested by `Invoke` or `Check`. -/
structure Operation where
  interface : Nat
  name : Bytes
  cls : OperationClass
  args : List Nat
  result : Nat
  /-- Ticks until the request times out; `none` means the configuration's budget. -/
  budget : Option Nat
  /-- How often the machine repeats the request after the failure `unavailable`. -/
  retries : Nat

/-- One arm of an `Offer`. -/
structure Arm where
  label : Nat
  val : Nat
  target : Nat

/-- An instruction. `chan`, `val`, `dst` and the like are registers; `target` is a position in the
code. -/
inductive Instruction where
  | send (chan label val : Nat)
  | receive (chan label dst : Nat)
  | offer (chan selector : Nat) (arms : List Arm)
  | choose (chan dst : Nat) (table : List (Nat × Nat))
  | invoke (operation : Nat) (args : List Nat) (dst : Nat) (onFailure : Option Nat)
  | check (operation : Nat) (args : List Nat) (dst witness : Nat) (onFailure : Option Nat)
  | spawn (program : Nat) (args : List Nat) (dst : Nat)
  | set (dst : Nat) (value : Value)
  | move (dst src : Nat)
  | jump (target : Nat)
  | branch (cond : Nat) (table : List (Nat × Nat))
  | yield
  | close
  | halt

/-- A program: its instructions and the number of registers they need. -/
structure Program where
  name : Bytes
  registers : Nat
  code : List Instruction

/-- A compiled protocol. `programs[r]` belongs to role `r`; the programs after the roles' are
started by `Spawn` only. -/
structure CodeImage where
  name : Bytes
  version : Nat
  roles : List Role
  labels : List Bytes
  sorts : List PayloadSort
  interfaces : List Interface
  operations : List Operation
  programs : List Program

/-- An ordered pair of roles: sender, receiver. -/
abbrev EdgePair := Nat × Nat

/-- The lexicographic order on (sender, receiver). -/
def pairLess (a b : EdgePair) : Bool :=
  match Nat.blt a.1 b.1 with
  | true => true
  | false => match Nat.beq a.1 b.1 with
    | true => Nat.blt a.2 b.2
    | false => false

/-- Inserts a pair into a sorted list of distinct pairs. -/
def addEdge (e : EdgePair) : List EdgePair → List EdgePair
  | [] => [e]
  | x :: xs => match pairLess e x with
    | true => e :: x :: xs
    | false => match pairLess x e with
      | true => x :: addEdge e xs
      | false => x :: xs

/-- Adds the edges over which the states of role `r` send or receive. -/
def stateEdges (r : Nat) : List AutomatonState → List EdgePair → List EdgePair
  | [], es => es
  | .done :: ss, es => stateEdges r ss es
  | .send to _ :: ss, es => stateEdges r ss (addEdge (r, to) es)
  | .recv peer _ :: ss, es => stateEdges r ss (addEdge (peer, r) es)

/-- Adds the edges of a list of roles, numbered from `r` on. -/
def roleEdges (r : Nat) : List Role → List EdgePair → List EdgePair
  | [], es => es
  | role :: rs, es => roleEdges (r + 1) rs (stateEdges r role.states es)

/-- The bound on numbered rows: roles, coroutines and edges have numbers below it. -/
def numbered : Nat := 65535

/-- The roles that have a number: the first 65,535. -/
def CodeImage.numberedRoles (image : CodeImage) : List Role := takeL numbered image.roles

/-- A loaded image: its digest, the image, and its edges in order. -/
structure Loaded where
  digest : Bytes
  image : CodeImage
  edges : List EdgePair

/-- Loads an image: computes its edges, whose positions are their numbers. -/
def CodeImage.load (image : CodeImage) (digest : Bytes) : Loaded :=
  { digest, image, edges := takeL numbered (roleEdges 0 image.numberedRoles []) }

/-- The position of a pair in a list, counted from `n`; `numbered` if the pair is absent. -/
def edgeIndex (e : EdgePair) : List EdgePair → Nat → Nat
  | [], _ => numbered
  | x :: xs, n => match Nat.beq x.1 e.1 with
    | true => match Nat.beq x.2 e.2 with
      | true => n
      | false => edgeIndex e xs (n + 1)
    | false => edgeIndex e xs (n + 1)

/-- The kind of action that a state allows its role. -/
inductive SpeechAct where
  | done | send | receive
deriving DecidableEq

/-- A state of an automaton with its edge looked up, as a step uses it. -/
structure Point where
  act : SpeechAct
  peer : Nat
  edge : Nat
  branches : List Transition

/-- The point of a role's automaton at a state; `none` if the role or the state does not exist. -/
def Loaded.point (i : Loaded) (role state : Nat) : Option Point :=
  match getAt i.image.numberedRoles role with
  | none => none
  | some r => match getAt r.states state with
    | none => none
    | some .done => some { act := .done, peer := role, edge := numbered, branches := [] }
    | some (.send to branches) =>
      some { act := .send, peer := to, edge := edgeIndex (role, to) i.edges 0, branches }
    | some (.recv peer branches) =>
      some { act := .receive, peer, edge := edgeIndex (peer, role) i.edges 0, branches }

end Antiphon

module

public import Runtime.ProtocolMachine.Model.Image
public import Runtime.ProtocolMachine.Model.Config

@[expose] public section

/-! # Sessions: everything that a step may touch -/

namespace Antiphon

/-- How a session ended. -/
inductive Ending where
  | closed | cancelled | faulted
deriving DecidableEq

/-- Whether a session runs. -/
inductive Phase where
  | active
  | terminal (how : Ending)
deriving DecidableEq

/-- What a coroutine waits for: a message on an edge, room on an edge, the outcome of an effect. -/
inductive On where
  | empty (edge : Nat)
  | full (edge : Nat)
  | effect (number : Nat)
deriving DecidableEq

/-- Whether a coroutine can step. -/
inductive Status where
  | ready
  | blocked (on : On)
  | halted
  | faulted
deriving DecidableEq

/-- The right to speak as a role, and how far the role has come. -/
structure Endpoint where
  holder : Nat
  state : Nat
deriving DecidableEq

/-- A thread of control within a session. -/
structure Coroutine where
  program : Nat
  role : Option Nat
  priority : Nat
  status : Status
  pc : Nat
  registers : List Value

/-- A message in a buffer. -/
structure Parcel where
  payload : Value
  sequence : Nat
  label : Nat

/-- The buffer from one role to another; `sent` counts the messages ever accepted. -/
structure Edge where
  sent : Nat
  queue : List Parcel

/-- An outstanding effect. -/
structure Effect where
  number : Nat
  deadline : Option Nat
  operation : Nat
  coroutine : Nat
  attempt : Nat

/-- What a witness is evidence for. -/
inductive WitnessKind where
  | check | timeout
deriving DecidableEq

/-- Evidence that is still good. -/
structure Witness where
  number : Nat
  expires : Nat
  effect : Nat
  kind : WitnessKind

/-- A session's whole state. -/
structure Session where
  id : Nat
  /-- Which of the machine's images: a row number. -/
  image : Nat
  phase : Phase
  /-- Coroutines that have not halted. -/
  live : Nat
  epoch : Nat
  /-- The number of the next event. -/
  events : Nat
  /-- The number of the next effect. -/
  effectsIssued : Nat
  /-- The number of the next witness. -/
  witnessesIssued : Nat
  /-- By role. -/
  endpoints : List Endpoint
  coroutines : List Coroutine
  /-- In the image's numbering. -/
  edges : List Edge
  /-- Outstanding effects, by number. -/
  effects : List Effect
  /-- Live witnesses, by number. -/
  witnesses : List Witness
  owner : Bytes

/-- A coroutine at its start. -/
def Coroutine.start (image : CodeImage) (program : Nat) (role : Option Nat) (priority : Nat) :
    Coroutine :=
  let count := match getAt image.programs program with
    | some p => p.registers
    | none => 0
  let registers := match role with
    | some r => setAt (copies count Value.unit) 0 (Value.endpoint r)
    | none => copies count Value.unit
  { program, role, priority, status := .ready, pc := 0, registers }

/-- The coroutines of the roles from number `n` on. -/
def roleCoroutines (image : CodeImage) (config : ProtocolMachineConfig) (n : Nat) :
    List Role → List Coroutine
  | [] => []
  | role :: roles =>
    Coroutine.start image n (some n) (priorityOf role.name config.priorities) ::
      roleCoroutines image config (n + 1) roles

/-- The endpoints of `count` roles from number `n` on. -/
def roleEndpoints (n : Nat) : Nat → List Endpoint
  | 0 => []
  | count + 1 => { holder := n, state := 0 } :: roleEndpoints (n + 1) count

/-- A session as it opens. -/
def Session.start (i : Loaded) (config : ProtocolMachineConfig) (id row : Nat) (owner : Bytes) :
    Session :=
  let roles := i.image.numberedRoles
  { id, image := row, phase := .active, live := len roles, epoch := 0, events := 0,
    effectsIssued := 0, witnessesIssued := 0, endpoints := roleEndpoints 0 (len roles),
    coroutines := roleCoroutines i.image config 0 roles,
    edges := copies (len i.edges) { sent := 0, queue := [] },
    effects := [], witnesses := [], owner }

/-- The coroutine that alone can serve whoever waits for this; none for an effect. -/
def Session.server (s : Session) (i : Loaded) (on : On) : Option Nat :=
  let role := match on with
    | .empty e => match getAt i.edges e with | some pair => some pair.1 | none => none
    | .full e => match getAt i.edges e with | some pair => some pair.2 | none => none
    | .effect _ => none
  match role with
  | none => none
  | some r => match getAt s.endpoints r with
    | some endpoint => some endpoint.holder
    | none => none

/-- Whether one of the coroutines is blocked on an edge that only `who` can serve. -/
def waitsFor (s : Session) (i : Loaded) (who : Nat) : List Coroutine → Bool
  | [] => false
  | c :: cs => match c.status with
    | .blocked on => match s.server i on with
      | some h => match Nat.beq h who with
        | true => true
        | false => waitsFor s i who cs
      | none => waitsFor s i who cs
    | _ => waitsFor s i who cs

/-- Whether a coroutine holds a progress token. -/
def Session.holdsToken (s : Session) (i : Loaded) (who : Nat) : Bool :=
  waitsFor s i who s.coroutines

end Antiphon

module

public import Runtime.ProtocolMachine.Model.Image
public import Runtime.ProtocolMachine.Model.Config

@[expose] public section

/-!
# Sessions: everything that a step may change

The types model those of the same names in `rust/machine/src/session.rs`; `Ending` is `End` in
`event.rs`.
-/

namespace Antiphon

/-- How a session ended. -/
inductive Ending where
  | closed | cancelled | faulted
deriving DecidableEq

/-- Whether a session is active or has ended. -/
inductive Phase where
  | active
  | terminal (how : Ending)
deriving DecidableEq

/-- What a blocked coroutine waits for: a message on an edge, room on an edge, or the outcome of an
effect. -/
inductive On where
  | empty (edge : Nat)
  | full (edge : Nat)
  | effect (number : Nat)
deriving DecidableEq

/-- The status of a coroutine. It can step only when it is ready. -/
inductive Status where
  | ready
  | blocked (on : On)
  | halted
  | faulted
deriving DecidableEq

/-- The right to act as a role: the coroutine that holds it and the state that the role's automaton
has reached. -/
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

/-- The buffer from one role to another. `sent` counts the messages ever put into it. -/
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

/-- Evidence that has not expired. -/
structure Witness where
  number : Nat
  expires : Nat
  effect : Nat
  kind : WitnessKind

/-- The whole state of a session. -/
structure Session where
  id : Nat
  /-- The row of the session's image in the machine's list of images. -/
  image : Nat
  phase : Phase
  /-- The number of coroutines that have not halted. -/
  live : Nat
  epoch : Nat
  /-- The number of the next event. -/
  events : Nat
  /-- The number of the next effect. -/
  effectsIssued : Nat
  /-- The number of the next witness. -/
  witnessesIssued : Nat
  /-- The endpoints, by role. -/
  endpoints : List Endpoint
  coroutines : List Coroutine
  /-- The edges, in the image's numbering. -/
  edges : List Edge
  /-- The outstanding effects, by number. -/
  effects : List Effect
  /-- The live witnesses, by number. -/
  witnesses : List Witness
  owner : Bytes

/-- A new coroutine at the start of its program. A role's coroutine has its endpoint in register
0. -/
def Coroutine.start (image : CodeImage) (program : Nat) (role : Option Nat) (priority : Nat) :
    Coroutine :=
  let count := match getAt image.programs program with
    | some p => p.registers
    | none => 0
  let registers := match role with
    | some r => setAt (copies count Value.unit) 0 (Value.endpoint r)
    | none => copies count Value.unit
  { program, role, priority, status := .ready, pc := 0, registers }

/-- The coroutines of a list of roles, numbered from `n` on. -/
def roleCoroutines (image : CodeImage) (config : ProtocolMachineConfig) (n : Nat) :
    List Role → List Coroutine
  | [] => []
  | role :: roles =>
    Coroutine.start image n (some n) (priorityOf role.name config.priorities) ::
      roleCoroutines image config (n + 1) roles

/-- The endpoints of `count` roles, numbered from `n` on. -/
def roleEndpoints (n : Nat) : Nat → List Endpoint
  | 0 => []
  | count + 1 => { holder := n, state := 0 } :: roleEndpoints (n + 1) count

/-- A session that has just been opened. -/
def Session.start (i : Loaded) (config : ProtocolMachineConfig) (id row : Nat) (owner : Bytes) :
    Session :=
  let roles := i.image.numberedRoles
  { id, image := row, phase := .active, live := len roles, epoch := 0, events := 0,
    effectsIssued := 0, witnessesIssued := 0, endpoints := roleEndpoints 0 (len roles),
    coroutines := roleCoroutines i.image config 0 roles,
    edges := copies (len i.edges) { sent := 0, queue := [] },
    effects := [], witnesses := [], owner }

/-- The only coroutine that can serve a coroutine that waits for `on`; `none` for an effect. -/
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

/-- Whether one of these coroutines is blocked on an edge that only coroutine `who` can serve. -/
def waitsFor (s : Session) (i : Loaded) (who : Nat) : List Coroutine → Bool
  | [] => false
  | c :: cs => match c.status with
    | .blocked on => match s.server i on with
      | some h => match Nat.beq h who with
        | true => true
        | false => waitsFor s i who cs
      | none => waitsFor s i who cs
    | _ => waitsFor s i who cs

/-- Whether a coroutine holds a progress token: some coroutine waits for an edge that only it can
serve. -/
def Session.holdsToken (s : Session) (i : Loaded) (who : Nat) : Bool :=
  waitsFor s i who s.coroutines

end Antiphon

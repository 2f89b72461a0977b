module

public import Runtime.ProtocolMachine.Semantics.Step

@[expose] public section

/-!
# Configurations: the automata of all roles together

A configuration has the state of each role and the labels in the buffer of each edge. Payloads,
registers and effects are left out: they only decide which message comes next, or end the session by
a fault.
-/

namespace Antiphon

/-- A configuration of the roles of a session. -/
structure Configuration where
  /-- The state of each role, by role. -/
  states : List Nat
  /-- The labels in each buffer, by edge, oldest first. -/
  buffers : List (List Nat)

/-- The start: every role in state 0, every buffer empty. -/
def Loaded.beginning (i : Loaded) : Configuration :=
  { states := copies (len i.image.numberedRoles) 0, buffers := copies (len i.edges) [] }

/-- The point of a role's automaton in a configuration. -/
def Configuration.point (c : Configuration) (i : Loaded) (role : Nat) : Option Point :=
  match getAt c.states role with
  | none => none
  | some state => i.point role state

/-- The configuration with a role's state and a buffer's labels replaced. -/
def Configuration.with (c : Configuration) (role state edge : Nat) (labels : List Nat) : Configuration :=
  { states := setAt c.states role state, buffers := setAt c.buffers edge labels }

/-- What a role can do in a configuration. -/
inductive Turn where
  | done
  /-- The role waits: its buffer is full or empty. -/
  | waits
  | moves (next : List Configuration)
  /-- The role has no such state, or it cannot receive the next message. -/
  | bad

/-- The configurations after each message that a role can send. If several branches have the same
label, the first one counts, as in a step. -/
def sends (c : Configuration) (role edge : Nat) (labels : List Nat) (branches : List Transition) :
    List Transition → List Configuration
  | [] => []
  | t :: ts => match branchFor t.label branches with
    | some u => c.with role u.next edge (app labels [t.label]) :: sends c role edge labels branches ts
    | none => sends c role edge labels branches ts

/-- What a role can do if a buffer holds `bound` messages. -/
def turn (i : Loaded) (bound : Nat) (c : Configuration) (role : Nat) : Turn :=
  match c.point i role with
  | none => .bad
  | some p => match p.act with
    | .done => .done
    | .send => match getAt c.buffers p.edge with
      | none => .bad
      | some labels => match Nat.blt (len labels) bound with
        | true => .moves (sends c role p.edge labels p.branches p.branches)
        | false => .waits
    | .receive => match getAt c.buffers p.edge with
      | none => .bad
      | some [] => .waits
      | some (label :: rest) => match branchFor label p.branches with
        | none => .bad
        | some t => .moves [c.with role t.next p.edge rest]

/-- The configurations after one step of a role below a number. -/
def successorsBelow (i : Loaded) (bound : Nat) (c : Configuration) : Nat → List Configuration
  | 0 => []
  | role + 1 => match turn i bound c role with
    | .moves next => app (successorsBelow i bound c role) next
    | _ => successorsBelow i bound c role

/-- The configurations after one step. -/
def successors (i : Loaded) (bound : Nat) (c : Configuration) : List Configuration :=
  successorsBelow i bound c (len c.states)

/-- Whether the turn of a role below a number is bad. -/
def misreadsBelow (i : Loaded) (bound : Nat) (c : Configuration) : Nat → Bool
  | 0 => false
  | role + 1 => match turn i bound c role with
    | .bad => true
    | _ => misreadsBelow i bound c role

/-- Whether a role has reached a final state. -/
def Configuration.ended (c : Configuration) (i : Loaded) (role : Nat) : Bool :=
  match c.point i role with
  | none => false
  | some p => match p.act with
    | .done => true
    | _ => false

/-- Whether all roles below a number have reached a final state. -/
def endedBelow (i : Loaded) (c : Configuration) : Nat → Bool
  | 0 => true
  | role + 1 => match c.ended i role with
    | true => endedBelow i c role
    | false => false

/-- Whether a buffer holds a message for a role that has reached a final state. -/
def orphaned (i : Loaded) (c : Configuration) : List EdgePair → List (List Nat) → Bool
  | _ :: edges, [] :: buffers => orphaned i c edges buffers
  | edge :: edges, (_ :: _) :: buffers => match c.ended i edge.2 with
    | true => true
    | false => orphaned i c edges buffers
  | _, _ => false

/-- Whether a configuration with the successors `next` is bad. It is if a role cannot receive its
next message, if a message is buffered for a role that is done, or if no step is possible while some
role is not done. -/
def bad (i : Loaded) (bound : Nat) (c : Configuration) (next : List Configuration) : Bool :=
  match misreadsBelow i bound c (len c.states) with
  | true => true
  | false => match orphaned i c i.edges c.buffers with
    | true => true
    | false => match next with
      | _ :: _ => false
      | [] => !endedBelow i c (len c.states)

end Antiphon

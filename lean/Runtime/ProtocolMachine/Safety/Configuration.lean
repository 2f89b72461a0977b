module

public import Runtime.ProtocolMachine.Semantics.Step

@[expose] public section

/-!
# Configurations: the roles' automata together

A configuration is each role's state and, for each edge, the labels in its buffer. Payloads, registers and effects play no
part: they end in the next message or in a fault of the whole session.
-/

namespace Antiphon

/-- What the roles of a session have come to together. -/
structure Configuration where
  /-- The state of each role, by role. -/
  states : List Nat
  /-- The labels in each buffer, by edge, the oldest first. -/
  buffers : List (List Nat)

/-- Every role at its start, every buffer empty. -/
def Loaded.beginning (i : Loaded) : Configuration :=
  { states := copies (len i.image.numberedRoles) 0, buffers := copies (len i.edges) [] }

/-- What a role can do where it stands. -/
def Configuration.point (c : Configuration) (i : Loaded) (role : Nat) : Option Point :=
  match getAt c.states role with
  | none => none
  | some state => i.point role state

/-- The configuration with another state of a role and other labels in a buffer. -/
def Configuration.with (c : Configuration) (role state edge : Nat) (labels : List Nat) : Configuration :=
  { states := setAt c.states role state, buffers := setAt c.buffers edge labels }

/-- What a role comes to next. -/
inductive Turn where
  | done
  /-- Its buffer is full, or there is no message. -/
  | waits
  | moves (next : List Configuration)
  /-- It stands nowhere, or the message that comes next is none that it can take. -/
  | bad

/-- The configurations after each message that a role can send; a label stands for its first branch, as in a step. -/
def sends (c : Configuration) (role edge : Nat) (labels : List Nat) (branches : List Transition) :
    List Transition → List Configuration
  | [] => []
  | t :: ts => match branchFor t.label branches with
    | some u => c.with role u.next edge (app labels [t.label]) :: sends c role edge labels branches ts
    | none => sends c role edge labels branches ts

/-- What a role comes to next when a buffer holds `bound` messages. -/
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

/-- The configurations after one step of one of the first roles. -/
def successorsBelow (i : Loaded) (bound : Nat) (c : Configuration) : Nat → List Configuration
  | 0 => []
  | role + 1 => match turn i bound c role with
    | .moves next => app (successorsBelow i bound c role) next
    | _ => successorsBelow i bound c role

/-- The configurations after one step. -/
def successors (i : Loaded) (bound : Nat) (c : Configuration) : List Configuration :=
  successorsBelow i bound c (len c.states)

/-- Whether the turn of one of the first roles is bad. -/
def misreadsBelow (i : Loaded) (bound : Nat) (c : Configuration) : Nat → Bool
  | 0 => false
  | role + 1 => match turn i bound c role with
    | .bad => true
    | _ => misreadsBelow i bound c role

/-- Whether a role is at an end of its automaton. -/
def Configuration.ended (c : Configuration) (i : Loaded) (role : Nat) : Bool :=
  match c.point i role with
  | none => false
  | some p => match p.act with
    | .done => true
    | _ => false

/-- Whether the first roles are all at an end. -/
def endedBelow (i : Loaded) (c : Configuration) : Nat → Bool
  | 0 => true
  | role + 1 => match c.ended i role with
    | true => endedBelow i c role
    | false => false

/-- Whether a buffer holds a message for a role that is at its end. -/
def orphaned (i : Loaded) (c : Configuration) : List EdgePair → List (List Nat) → Bool
  | _ :: edges, [] :: buffers => orphaned i c edges buffers
  | edge :: edges, (_ :: _) :: buffers => match c.ended i edge.2 with
    | true => true
    | false => orphaned i c edges buffers
  | _, _ => false

/-- Whether a configuration is bad, `next` being its successors: a message that cannot be taken, a message to a role that
is done, or no step while a role is not done. -/
def bad (i : Loaded) (bound : Nat) (c : Configuration) (next : List Configuration) : Bool :=
  match misreadsBelow i bound c (len c.states) with
  | true => true
  | false => match orphaned i c i.edges c.buffers with
    | true => true
    | false => match next with
      | _ :: _ => false
      | [] => !endedBelow i c (len c.states)

end Antiphon

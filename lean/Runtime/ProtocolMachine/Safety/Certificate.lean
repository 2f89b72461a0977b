module

public import Runtime.ProtocolMachine.Safety.Configuration

@[expose] public section

/-!
# Safety certificates

A certificate is the set of the configurations that an image can come to with buffers of a given size. It is checked
without exploring: the start is in it, no step leads out of it, nothing in it is bad.
-/

namespace Antiphon

/-- Stands where a buffer holds no label; no label has this number. -/
def noLabel : Nat := 65535

/-- The configurations that were explored, as they are stored. -/
structure SafetyCertificate where
  /-- How many messages a buffer held. -/
  bound : Nat
  /-- Rows of numbers, ascending: the state of each role, then for each edge `bound` labels, the oldest first and
  `noLabel` behind the last. -/
  rows : List (List Nat)

/-! ## Rows -/

/-- A buffer without messages: nothing but `noLabel`, `places` times; what follows it. -/
def takeEmpty : Nat → List Nat → Option (List Nat)
  | 0, row => some row
  | _ + 1, [] => none
  | places + 1, n :: row => match Nat.beq n noLabel with
    | true => takeEmpty places row
    | false => none

/-- The labels of a buffer of `places`, and what follows it. -/
def takeBuffer : Nat → List Nat → Option (List Nat × List Nat)
  | 0, row => some ([], row)
  | _ + 1, [] => none
  | places + 1, n :: row => match Nat.beq n noLabel with
    | true => match takeEmpty places row with
      | none => none
      | some row => some ([], row)
    | false => match takeBuffer places row with
      | none => none
      | some (labels, row) => some (n :: labels, row)

/-- The labels of `edges` buffers, which are all that is left of the row. -/
def takeBuffers (bound : Nat) : Nat → List Nat → Option (List (List Nat))
  | 0, [] => some []
  | 0, _ :: _ => none
  | edges + 1, row => match takeBuffer bound row with
    | none => none
    | some (labels, row) => match takeBuffers bound edges row with
      | none => none
      | some buffers => some (labels :: buffers)

/-- The states of the roles from number `role` on, `count` of them, each a state of its automaton, and what follows. -/
def takeStates (i : Loaded) (role : Nat) : Nat → List Nat → Option (List Nat × List Nat)
  | 0, row => some ([], row)
  | _ + 1, [] => none
  | count + 1, state :: row => match i.point role state with
    | none => none
    | some _ => match takeStates i (role + 1) count row with
      | none => none
      | some (states, row) => some (state :: states, row)

/-- The configuration that a row stands for; none if it is no configuration of these automata. -/
def unpack (i : Loaded) (bound : Nat) (row : List Nat) : Option Configuration :=
  match takeStates i 0 (len i.image.numberedRoles) row with
  | none => none
  | some (states, row) => match takeBuffers bound (len i.edges) row with
    | none => none
    | some buffers => some { states, buffers }

/-! ## The order of rows, and a tree to look them up in -/

/-- How one thing stands to another. -/
inductive Order where
  | less | same | greater
deriving DecidableEq

/-- The order of the numbers, from the left; where one list is at its end there is `noLabel`, the greatest. -/
def orderNumbers : List Nat → List Nat → Order
  | [], [] => .same
  | [], _ :: _ => .greater
  | _ :: _, [] => .less
  | x :: xs, y :: ys => match Nat.blt x y with
    | true => .less
    | false => match Nat.beq x y with
      | true => orderNumbers xs ys
      | false => .greater

/-- The order of the buffers, from the left. -/
def orderBuffers : List (List Nat) → List (List Nat) → Order
  | [], [] => .same
  | [], _ :: _ => .greater
  | _ :: _, [] => .less
  | x :: xs, y :: ys => match orderNumbers x y with
    | .same => orderBuffers xs ys
    | order => order

/-- The order of the rows of two configurations. -/
def Configuration.order (c d : Configuration) : Order :=
  match orderNumbers c.states d.states with
  | .same => orderBuffers c.buffers d.buffers
  | order => order

/-- A set of configurations: smaller ones to the left, greater ones to the right. -/
inductive Explored where
  | none
  | node (left : Explored) (c : Configuration) (right : Explored)

/-- Whether a configuration is in the set. -/
def Explored.has (c : Configuration) : Explored → Bool
  | .none => false
  | .node left d right => match c.order d with
    | .same => true
    | .less => left.has c
    | .greater => right.has c

/-- A tree at most `depth` deep of the first configurations of an ascending list, and those that are left. -/
def grow : Nat → List Configuration → Explored × List Configuration
  | 0, cs => (.none, cs)
  | depth + 1, cs => match grow depth cs with
    | (left, []) => (left, [])
    | (left, c :: cs) => match grow depth cs with
      | (right, cs) => (.node left c right, cs)

/-- An ascending list as a set. No list has so many configurations that some are left. -/
def Explored.of (cs : List Configuration) : Explored := (grow 48 cs).1

/-! ## The check -/

/-- What an examination of a certificate comes to; numbers say which configuration, from 0. -/
inductive Verdict where
  | accepted
  /-- A row is no configuration of these automata. -/
  | foreign (index : Nat)
  /-- The start is missing. -/
  | noStart
  /-- A configuration is bad. -/
  | bad (index : Nat)
  /-- A step leads out of the set. -/
  | leak (index : Nat)
deriving DecidableEq

/-- A list in reverse order before another one. One loop, whatever the length. -/
@[specialize α] def turnOnto {α : Type} : List α → List α → List α
  | [], ys => ys
  | x :: xs, ys => turnOnto xs (x :: ys)

/-- What the rows stand for, behind those that were unpacked before, last first; or the number of the first row that is no
configuration. -/
def unpackRows (i : Loaded) (bound index : Nat) (before : List Configuration) :
    List (List Nat) → Except Nat (List Configuration)
  | [] => .ok (turnOnto before [])
  | row :: rows => match unpack i bound row with
    | none => .error index
    | some c => unpackRows i bound (index + 1) (c :: before) rows

/-- Whether every configuration is in the set. -/
def Explored.hasAll (set : Explored) : List Configuration → Bool
  | [] => true
  | c :: cs => match set.has c with
    | true => set.hasAll cs
    | false => false

/-- Whether none of these configurations is bad and no step leads from one of them out of the set. -/
def closed (i : Loaded) (bound : Nat) (set : Explored) (index : Nat) : List Configuration → Verdict
  | [] => .accepted
  | c :: cs => match successors i bound c with
    | next => match bad i bound c next with
      | true => .bad index
      | false => match set.hasAll next with
        | false => .leak index
        | true => closed i bound set (index + 1) cs

/-- Buffers of no messages make no sense: at least one. -/
def SafetyCertificate.places (certificate : SafetyCertificate) : Nat := Nat.max certificate.bound 1

/-- Holds a certificate against an image. -/
def examine (i : Loaded) (certificate : SafetyCertificate) : Verdict :=
  match unpackRows i certificate.places 0 [] certificate.rows with
  | .error index => .foreign index
  | .ok cs => match Explored.of cs with
    | set => match set.has i.beginning with
      | false => .noStart
      | true => closed i certificate.places set 0 cs

/-- Whether a certificate proves that an image is safe. -/
def checkCertificate (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match examine (image.load []) certificate with
  | .accepted => true
  | _ => false

/-! ## Larger buffers -/

/-- Whether a role wants to send into a buffer that holds `bound` messages. -/
def Configuration.lacksRoom (c : Configuration) (i : Loaded) (bound role : Nat) : Bool :=
  match c.point i role with
  | none => false
  | some p => match p.act with
    | .send => match getAt c.buffers p.edge with
      | none => false
      | some labels => Nat.ble bound (len labels)
    | _ => false

/-- Whether none of the first roles wants to send into a full buffer. -/
def roomyBelow (i : Loaded) (bound : Nat) (c : Configuration) : Nat → Bool
  | 0 => true
  | role + 1 => match c.lacksRoom i bound role with
    | true => false
    | false => roomyBelow i bound c role

/-- Whether nobody wants to send into a full buffer in any of these configurations. -/
def roomy (i : Loaded) (bound : Nat) : List Configuration → Bool
  | [] => true
  | c :: cs => match roomyBelow i bound c (len c.states) with
    | true => roomy i bound cs
    | false => false

/-- Whether nobody ever waits for room in what a certificate holds. Larger buffers then change nothing, and what the certificate
says it says of them too. -/
def hasRoom (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match unpackRows (image.load []) certificate.places 0 [] certificate.rows with
  | .error _ => false
  | .ok cs => roomy (image.load []) certificate.places cs

end Antiphon

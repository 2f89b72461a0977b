module

public import Runtime.ProtocolMachine.Safety.Configuration

@[expose] public section

/-!
# Safety certificates

A certificate lists the configurations that an image can reach with buffers of a given size. The
checker does not explore: it checks that the certificate contains the start, that no step leads out,
and that it has no bad configuration. The exploration that writes certificates is in
`rust/language/src/safety.rs`.
-/

namespace Antiphon

/-- The number that fills the unused places of a buffer; no label has this number. -/
def noLabel : Nat := 65535

/-- A safety certificate: the explored configurations, as they are stored. -/
structure SafetyCertificate where
  /-- The number of messages that a buffer could hold in the exploration. -/
  bound : Nat
  /-- The configurations as rows of numbers, in ascending order. A row has the state of each role,
  then `bound` numbers for each edge: the buffered labels, oldest first, followed by `noLabel`. -/
  rows : List (List Nat)

/-! ## Rows -/

/-- Skips `places` numbers, which must all be `noLabel`, and returns the rest of the row. -/
def takeEmpty : Nat → List Nat → Option (List Nat)
  | 0, row => some row
  | _ + 1, [] => none
  | places + 1, n :: row => match Nat.beq n noLabel with
    | true => takeEmpty places row
    | false => none

/-- Reads a buffer of `places` numbers: its labels, and the rest of the row. -/
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

/-- Reads `edges` buffers, which must be the whole row. -/
def takeBuffers (bound : Nat) : Nat → List Nat → Option (List (List Nat))
  | 0, [] => some []
  | 0, _ :: _ => none
  | edges + 1, row => match takeBuffer bound row with
    | none => none
    | some (labels, row) => match takeBuffers bound edges row with
      | none => none
      | some buffers => some (labels :: buffers)

/-- Reads the states of `count` roles from number `role` on and returns them with the rest of the
row. Each must be a state of the role's automaton. -/
def takeStates (i : Loaded) (role : Nat) : Nat → List Nat → Option (List Nat × List Nat)
  | 0, row => some ([], row)
  | _ + 1, [] => none
  | count + 1, state :: row => match i.point role state with
    | none => none
    | some _ => match takeStates i (role + 1) count row with
      | none => none
      | some (states, row) => some (state :: states, row)

/-- The configuration that a row encodes; `none` if it is not a configuration of these automata. -/
def unpack (i : Loaded) (bound : Nat) (row : List Nat) : Option Configuration :=
  match takeStates i 0 (len i.image.numberedRoles) row with
  | none => none
  | some (states, row) => match takeBuffers bound (len i.edges) row with
    | none => none
    | some buffers => some { states, buffers }

/-! ## The order of configurations, and a search tree -/

/-- The result of a comparison. -/
inductive Order where
  | less | same | greater
deriving DecidableEq

/-- Compares numbers lexicographically. The end of a list counts as `noLabel`, which is greater than
every label. -/
def orderNumbers : List Nat → List Nat → Order
  | [], [] => .same
  | [], _ :: _ => .greater
  | _ :: _, [] => .less
  | x :: xs, y :: ys => match Nat.blt x y with
    | true => .less
    | false => match Nat.beq x y with
      | true => orderNumbers xs ys
      | false => .greater

/-- Compares lists of buffers lexicographically. -/
def orderBuffers : List (List Nat) → List (List Nat) → Order
  | [], [] => .same
  | [], _ :: _ => .greater
  | _ :: _, [] => .less
  | x :: xs, y :: ys => match orderNumbers x y with
    | .same => orderBuffers xs ys
    | order => order

/-- Compares two configurations as their rows compare. -/
def Configuration.order (c d : Configuration) : Order :=
  match orderNumbers c.states d.states with
  | .same => orderBuffers c.buffers d.buffers
  | order => order

/-- A set of configurations as a search tree: smaller ones to the left, greater ones to the
right. -/
inductive Explored where
  | none
  | node (left : Explored) (c : Configuration) (right : Explored)

/-- Whether the search finds a configuration. -/
def Explored.has (c : Configuration) : Explored → Bool
  | .none => false
  | .node left d right => match c.order d with
    | .same => true
    | .less => left.has c
    | .greater => right.has c

/-- Builds a tree of depth at most `depth` from the first configurations of an ascending list, and
returns it with the configurations that are left. -/
def grow : Nat → List Configuration → Explored × List Configuration
  | 0, cs => (.none, cs)
  | depth + 1, cs => match grow depth cs with
    | (left, []) => (left, [])
    | (left, c :: cs) => match grow depth cs with
      | (right, cs) => (.node left c right, cs)

/-- The set of an ascending list of configurations. A tree of depth 48 has room for 2^48 - 1, more
than any list has in practice. -/
def Explored.of (cs : List Configuration) : Explored := (grow 48 cs).1

/-! ## The check -/

/-- The result of checking a certificate. A number is the position of a configuration, from 0. -/
inductive Verdict where
  | accepted
  /-- A row is not a configuration of these automata. -/
  | foreign (index : Nat)
  /-- The certificate does not contain the start. -/
  | noStart
  /-- A configuration is bad. -/
  | bad (index : Nat)
  /-- A step leads to a configuration that is not in the certificate. -/
  | leak (index : Nat)
deriving DecidableEq

/-- The list in reverse order, before another one. A tail call, so that long lists do not need
stack. -/
@[specialize α] def turnOnto {α : Type} : List α → List α → List α
  | [], ys => ys
  | x :: xs, ys => turnOnto xs (x :: ys)

/-- The configurations that the rows encode, or the position of the first row that is not a
configuration. `before` holds those unpacked so far, the last one first. -/
def unpackRows (i : Loaded) (bound index : Nat) (before : List Configuration) :
    List (List Nat) → Except Nat (List Configuration)
  | [] => .ok (turnOnto before [])
  | row :: rows => match unpack i bound row with
    | none => .error index
    | some c => unpackRows i bound (index + 1) (c :: before) rows

/-- Whether the search finds every configuration of a list. -/
def Explored.hasAll (set : Explored) : List Configuration → Bool
  | [] => true
  | c :: cs => match set.has c with
    | true => set.hasAll cs
    | false => false

/-- Checks that none of these configurations is bad and that no step leads from them out of the
set. -/
def closed (i : Loaded) (bound : Nat) (set : Explored) (index : Nat) : List Configuration → Verdict
  | [] => .accepted
  | c :: cs => match successors i bound c with
    | next => match bad i bound c next with
      | true => .bad index
      | false => match set.hasAll next with
        | false => .leak index
        | true => closed i bound set (index + 1) cs

/-- The buffer size of a certificate. A bound of 0 counts as 1, because a session with buffers of
size 0 could never send. -/
def SafetyCertificate.places (certificate : SafetyCertificate) : Nat := Nat.max certificate.bound 1

/-- Checks a certificate against an image. -/
def examine (i : Loaded) (certificate : SafetyCertificate) : Verdict :=
  match unpackRows i certificate.places 0 [] certificate.rows with
  | .error index => .foreign index
  | .ok cs => match Explored.of cs with
    | set => match set.has i.beginning with
      | false => .noStart
      | true => closed i certificate.places set 0 cs

/-- Whether a certificate is accepted for an image. -/
def checkCertificate (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match examine (image.load []) certificate with
  | .accepted => true
  | _ => false

/-! ## Larger buffers -/

/-- Whether a role is about to send into a buffer that holds at least `bound` messages. -/
def Configuration.lacksRoom (c : Configuration) (i : Loaded) (bound role : Nat) : Bool :=
  match c.point i role with
  | none => false
  | some p => match p.act with
    | .send => match getAt c.buffers p.edge with
      | none => false
      | some labels => Nat.ble bound (len labels)
    | _ => false

/-- Whether none of the roles below a number is about to send into a full buffer. -/
def roomyBelow (i : Loaded) (bound : Nat) (c : Configuration) : Nat → Bool
  | 0 => true
  | role + 1 => match c.lacksRoom i bound role with
    | true => false
    | false => roomyBelow i bound c role

/-- Whether no role is about to send into a full buffer in any of these configurations. -/
def roomy (i : Loaded) (bound : Nat) : List Configuration → Bool
  | [] => true
  | c :: cs => match roomyBelow i bound c (len c.states) with
    | true => roomy i bound cs
    | false => false

/-- Whether no role waits for room in any configuration of a certificate. If so, larger buffers
reach no further configurations, and an accepted certificate is also valid for them. -/
def hasRoom (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match unpackRows (image.load []) certificate.places 0 [] certificate.rows with
  | .error _ => false
  | .ok cs => roomy (image.load []) certificate.places cs

end Antiphon

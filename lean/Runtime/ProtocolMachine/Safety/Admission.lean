module

public import Runtime.ProtocolMachine.Safety.Codec

@[expose] public section

/-!
# Admission: for which machines a certificate holds

An accepted certificate holds for machines with buffers of exactly its own size. If no role waits
for room in any of its configurations, it holds for all larger buffers, too.
`rust/machine/src/safety/admission.rs` has the same rules.
-/

namespace Antiphon

/-! ## The buffers that a certificate covers -/

/-- The sizes of buffers that an accepted certificate covers. -/
inductive Coverage where
  /-- Exactly `bound` messages: `role` waits for room in the configuration at position `index`. -/
  | exactly (bound index role : Nat)
  /-- At least `bound` messages: no role waits for room in any configuration. -/
  | atLeast (bound : Nat)
deriving DecidableEq

/-- The smallest size of buffers that is covered. -/
def Coverage.bound : Coverage → Nat
  | .exactly bound _ _ => bound
  | .atLeast bound => bound

/-- The first of the roles below a number that is about to send into a full buffer. -/
def firstWaitingBelow (i : Loaded) (bound : Nat) (c : Configuration) : Nat → Option Nat
  | 0 => none
  | role + 1 => match firstWaitingBelow i bound c role with
    | some first => some first
    | none => match c.lacksRoom i bound role with
      | true => some role
      | false => none

/-- The first configuration of a list in which a role is about to send into a full buffer: its
position, counted from `index`, and the role. -/
def firstFull (i : Loaded) (bound index : Nat) : List Configuration → Option (Nat × Nat)
  | [] => none
  | c :: cs => match firstWaitingBelow i bound c (len c.states) with
    | some role => some (index, role)
    | none => firstFull i bound (index + 1) cs

/-- The buffers that a certificate covers if the checker accepts it, or the position of the first
row that is not a configuration. -/
def SafetyCertificate.coverage (certificate : SafetyCertificate) (image : CodeImage) : Except Nat Coverage :=
  match unpackRows (image.load []) certificate.places 0 [] certificate.rows with
  | .error index => .error index
  | .ok cs => match firstFull (image.load []) certificate.places 0 cs with
    | some (index, role) => .ok (.exactly certificate.places index role)
    | none => .ok (.atLeast certificate.places)

/-! ## Admission -/

/-- Why a machine's buffers are covered. -/
inductive Way where
  /-- They have the size of the certificate's. -/
  | sameBound
  /-- They are larger, and no role waits for room in any configuration of the certificate. -/
  | room
deriving DecidableEq

/-- The result of admitting an image to a machine. -/
structure Admission where
  /-- Why the machine's buffers are covered. -/
  way : Way
  /-- All sizes of buffers that the certificate covers. -/
  coverage : Coverage
deriving DecidableEq

/-- Why an image is not admitted to a machine. -/
inductive NotAdmitted where
  /-- The checker does not accept the certificate. -/
  | certificate (verdict : Verdict)
  /-- The machine's buffers are smaller than the certificate's, which hold `certified` messages. -/
  | smallerBuffers (certified : Nat)
  /-- The machine's buffers are larger than the certificate's, and `role` waits for room in the
  configuration at position `index`. -/
  | noRoom (certified index role : Nat)
deriving DecidableEq

/-- Whether a machine's buffers of `bufferMax` messages are covered. -/
def Coverage.admit (coverage : Coverage) (bufferMax : Nat) : Except NotAdmitted Admission :=
  match Nat.blt bufferMax coverage.bound with
  | true => .error (.smallerBuffers coverage.bound)
  | false => match Nat.beq bufferMax coverage.bound with
    | true => .ok { way := .sameBound, coverage }
    | false => match coverage with
      | .atLeast bound => .ok { way := .room, coverage := .atLeast bound }
      | .exactly certified index role => .error (.noRoom certified index role)

/-- Admits an image to machines with this configuration, with a certificate as evidence. -/
def admitRun (config : ProtocolMachineConfig) (image : CodeImage) (certificate : SafetyCertificate) :
    Except NotAdmitted Admission :=
  match examine (image.load []) certificate with
  | .accepted => match certificate.coverage image with
    | .error index => .error (.certificate (.foreign index))
    | .ok coverage => coverage.admit config.bufferMax
  | verdict => .error (.certificate verdict)

/-! ## Bytes -/

/-- The buffers that the bytes of a certificate cover if `judge` accepts them for the bytes of an
image. -/
def judgeCoverage (image certificate : Bytes) : Option Coverage :=
  match decImage image with
  | some (image, []) => match readCertificate certificate with
    | none => none
    | some certificate => match certificate.coverage image with
      | .error _ => none
      | .ok coverage => some coverage
  | _ => none

end Antiphon

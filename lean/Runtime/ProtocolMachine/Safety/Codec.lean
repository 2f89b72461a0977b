module

public import Runtime.ProtocolMachine.Safety.Certificate
public import Runtime.ProtocolMachine.Codec.Image

@[expose] public section

/-!
# The bytes of a certificate, and what is said of them

Deterministic CBOR, `[1, buffer bound, row length, rows, bytes]`. Each row is written as how many numbers it shares with the
one before it and the rest of its numbers, each plus one, in LEB128; `noLabel` plus one is zero.
-/

namespace Antiphon

/-- A number of at most three bytes, in its shortest form. -/
def takeNumber : Bytes → Option (Nat × Bytes)
  | [] => none
  | x :: b => if x.toNat < 128 then some (x.toNat, b) else match b with
    | [] => none
    | y :: b => if y = 0 then none else if y.toNat < 128 then some (x.toNat - 128 + y.toNat * 128, b) else match b with
      | [] => none
      | z :: b => if z = 0 then none else if z.toNat < 128 then
          some (x.toNat - 128 + (y.toNat - 128) * 128 + z.toNat * 16384, b)
        else none

/-- The number that is written as itself plus one, in sixteen bits. -/
def lessOne (n : Nat) : Nat := if n = 0 then noLabel else n - 1

/-- The rest of a row: `count` numbers. -/
def takeNumbers : Nat → Bytes → Option (List Nat × Bytes)
  | 0, b => some ([], b)
  | count + 1, b => match takeNumber b with
    | none => none
    | some (n, b) => if 65535 < n then none else match takeNumbers count b with
      | none => none
      | some (ns, b) => some (lessOne n :: ns, b)

/-- The first `count` numbers of a row before others; none if there are not so many. -/
def shareRow : Nat → List Nat → List Nat → Option (List Nat)
  | 0, _, rest => some rest
  | _ + 1, [], _ => none
  | count + 1, n :: ns, rest => match shareRow count ns rest with
    | none => none
    | some row => some (n :: row)

/-- Whether the first row comes before the second one, the first `shared` numbers and no more being equal. -/
def ascends : Nat → List Nat → List Nat → Bool
  | 0, x :: _, y :: _ => Nat.blt x y
  | shared + 1, x :: xs, y :: ys => match Nat.beq x y with
    | true => ascends shared xs ys
    | false => false
  | _, _, _ => false

/-- Rows of `width` numbers until the bytes are at an end, behind those that were read before, last first. Each row takes a
byte at least, so `fuel` is the number of bytes. -/
def takeRows (width : Nat) (last : List Nat) (before : List (List Nat)) : Nat → Bytes → Option (List (List Nat))
  | 0, _ => none
  | _ + 1, [] => some (turnOnto before [])
  | fuel + 1, b => match takeNumber b with
    | none => none
    | some (shared, b) => if width < shared then none else match takeNumbers (width - shared) b with
      | none => none
      | some (rest, b) => match shareRow shared last rest with
        | none => none
        | some row => match before with
          | [] => takeRows width row [row] fuel b
          | _ :: _ => match ascends shared last row with
            | true => takeRows width row (row :: before) fuel b
            | false => none

/-- The five parts of a certificate. -/
def decParts : Bytes → Option ((Nat × Nat × Nat × Nat × Bytes) × Bytes) :=
  decFields 5 (decThen decUint (decThen (decBelow 256) (decThen decUint (decThen decUint decBytes))))

/-- How many rows there are. -/
def rowCount : Nat → List (List Nat) → Nat
  | n, [] => n
  | n, _ :: rows => rowCount (n + 1) rows

/-- Reads a certificate. -/
@[noinline] def readCertificate (b : Bytes) : Option SafetyCertificate :=
  match decParts b with
  | some ((1, bound, width, count, bytes), []) =>
    match takeRows width [] [] (bytesLen bytes 0 + 1) bytes with
    | none => none
    | some rows => match Nat.beq (rowCount 0 rows) count with
      | true => some { bound, rows }
      | false => none
  | _ => none

/-- What the bytes of an image and of a certificate come to. -/
inductive Judged where
  | noImage
  | noCertificate
  | examined (verdict : Verdict)
deriving DecidableEq

/-- Judges the bytes of an image and of its certificate. -/
def judge (image certificate : Bytes) : Judged :=
  match decImage image with
  | some (image, []) => match readCertificate certificate with
    | none => .noCertificate
    | some certificate => .examined (examine (image.load []) certificate)
  | _ => .noImage

end Antiphon

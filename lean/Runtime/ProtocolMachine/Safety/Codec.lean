module

public import Runtime.ProtocolMachine.Safety.Certificate
public import Runtime.ProtocolMachine.Codec.Image

@[expose] public section

/-!
# Reading a safety certificate, and judging its bytes

A certificate is deterministic CBOR: `[1, buffer bound, row length, number of rows, bytes]`. The
bytes hold the rows. Each row is stored as the length of the prefix that it shares with the previous
row, then its remaining numbers, each plus one. All of these are in LEB128; `noLabel` plus one is
stored as zero.
-/

namespace Antiphon

/-- Decodes an LEB128 number of at most three bytes, in its shortest form. -/
def takeNumber : Bytes → Option (Nat × Bytes)
  | [] => none
  | x :: b => if x.toNat < 128 then some (x.toNat, b) else match b with
    | [] => none
    | y :: b => if y = 0 then none else if y.toNat < 128 then some (x.toNat - 128 + y.toNat * 128, b) else match b with
      | [] => none
      | z :: b => if z = 0 then none else if z.toNat < 128 then
          some (x.toNat - 128 + (y.toNat - 128) * 128 + z.toNat * 16384, b)
        else none

/-- Recovers a number that was stored as itself plus one, in sixteen bits. -/
def lessOne (n : Nat) : Nat := if n = 0 then noLabel else n - 1

/-- Decodes the remaining `count` numbers of a row. -/
def takeNumbers : Nat → Bytes → Option (List Nat × Bytes)
  | 0, b => some ([], b)
  | count + 1, b => match takeNumber b with
    | none => none
    | some (n, b) => if 65535 < n then none else match takeNumbers count b with
      | none => none
      | some (ns, b) => some (lessOne n :: ns, b)

/-- The first `count` numbers of a row before `rest`; `none` if the row is shorter. -/
def shareRow : Nat → List Nat → List Nat → Option (List Nat)
  | 0, _, rest => some rest
  | _ + 1, [], _ => none
  | count + 1, n :: ns, rest => match shareRow count ns rest with
    | none => none
    | some row => some (n :: row)

/-- Whether the first row precedes the second one and they agree in exactly the first `shared`
numbers. -/
def ascends : Nat → List Nat → List Nat → Bool
  | 0, x :: _, y :: _ => Nat.blt x y
  | shared + 1, x :: xs, y :: ys => match Nat.beq x y with
    | true => ascends shared xs ys
    | false => false
  | _, _, _ => false

/-- Decodes rows of `width` numbers until the bytes end. `last` is the previous row; `before` holds
the rows decoded so far, the last one first. A row takes at least one byte, so a `fuel` above the
number of bytes is enough. -/
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

/-- Decodes the five parts of a certificate. -/
def decParts : Bytes → Option ((Nat × Nat × Nat × Nat × Bytes) × Bytes) :=
  decFields 5 (decThen decUint (decThen (decBelow 256) (decThen decUint (decThen decUint decBytes))))

/-- `n` plus the number of rows. -/
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

/-- The result of judging the bytes of an image and of a certificate. -/
inductive Judged where
  | noImage
  | noCertificate
  | examined (verdict : Verdict)
deriving DecidableEq

/-- Judges an image and its certificate, given as bytes. -/
def judge (image certificate : Bytes) : Judged :=
  match decImage image with
  | some (image, []) => match readCertificate certificate with
    | none => .noCertificate
    | some certificate => .examined (examine (image.load []) certificate)
  | _ => .noImage

end Antiphon

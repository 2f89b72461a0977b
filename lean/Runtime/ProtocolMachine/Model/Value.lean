module

public import Runtime.ProtocolMachine.Data.List

@[expose] public section

/-!
# Values and their sorts

`Value` and `Form` model the types of the same names in `rust/machine/src/value.rs`, `PayloadSort`
models `Sort` in `image.rs`.
-/

namespace Antiphon

/-- A byte string. Text is stored as its UTF-8 bytes. -/
abbrev Bytes := List UInt8

/-- A value: what a register holds and a message carries. -/
inductive Value where
  | unit
  | bool (b : Bool)
  /-- A number below 2^64. -/
  | nat (n : Nat)
  /-- A number from -2^63 to 2^63 - 1. -/
  | int (i : Int)
  | text (utf8 : Bytes)
  | bytes (b : Bytes)
  | list (items : List Value)
  | record (fields : List Value)
  /-- The right to act as a role; never a payload. -/
  | endpoint (role : Nat)
  /-- The number of a witness; never a payload. -/
  | evidence (witness : Nat)

/-- The outermost form of a value. -/
inductive Form where
  | unit | bool | nat | int | text | bytes | list | record | endpoint | evidence
deriving DecidableEq

/-- The form's name, as it appears in diagnostics. -/
def Form.name : Form → String
  | .unit => "unit" | .bool => "bool" | .nat => "nat" | .int => "int" | .text => "text"
  | .bytes => "bytes" | .list => "list" | .record => "record" | .endpoint => "endpoint"
  | .evidence => "evidence"

/-- The form of a value. -/
def Value.form : Value → Form
  | .unit => .unit | .bool _ => .bool | .nat _ => .nat | .int _ => .int | .text _ => .text
  | .bytes _ => .bytes | .list _ => .list | .record _ => .record | .endpoint _ => .endpoint
  | .evidence _ => .evidence

/-- The type of a payload, an argument or a result. The numbers are rows of the image's tables. -/
inductive PayloadSort where
  | unit | bool | nat | int | text | bytes
  | list (item : Nat)
  | option (item : Nat)
  | record (name : Bytes) (fields : List (Bytes × Nat))
  | enum (name : Bytes) (variants : List Bytes)
  | foreign (name : Bytes)
  | arm (labels : List Nat)

mutual
/-- Whether a value belongs to a sort. A row that the table does not have contains no value. -/
def Value.isOf (sorts : List PayloadSort) : Value → Nat → Bool
  | .unit, s => match getAt sorts s with | some .unit => true | _ => false
  | .bool _, s => match getAt sorts s with | some .bool => true | _ => false
  | .nat n, s => match getAt sorts s with
    | some .nat => true
    | some (.enum _ variants) => Nat.blt n (len variants)
    | some (.arm labels) => some? (fun l => Nat.beq l n) labels
    | _ => false
  | .int _, s => match getAt sorts s with | some .int => true | _ => false
  | .text _, s => match getAt sorts s with | some .text => true | _ => false
  | .bytes _, s => match getAt sorts s with
    | some .bytes => true
    | some (.foreign _) => true
    | _ => false
  | .list items, s => match getAt sorts s with
    | some (.list item) => allOf sorts items item
    | some (.option item) => match Nat.ble (len items) 1 with
      | true => allOf sorts items item
      | false => false
    | _ => false
  | .record values, s => match getAt sorts s with
    | some (.record _ fields) => match Nat.beq (len values) (len fields) with
      | true => fieldsOf sorts values fields
      | false => false
    | _ => false
  | .endpoint _, _ => false
  | .evidence _, _ => false

/-- Whether every value belongs to the sort. -/
def allOf (sorts : List PayloadSort) : List Value → Nat → Bool
  | [], _ => true
  | v :: vs, s => match v.isOf sorts s with
    | true => allOf sorts vs s
    | false => false

/-- Whether each value belongs to its field's sort. -/
def fieldsOf (sorts : List PayloadSort) : List Value → List (Bytes × Nat) → Bool
  | v :: vs, f :: fs => match v.isOf sorts f.2 with
    | true => fieldsOf sorts vs fs
    | false => false
  | _, _ => true
end

/-- The length in bytes of the head of a deterministic CBOR item with argument `n`. -/
def headLen (n : Nat) : Nat :=
  if n < 24 then 1 else if n < 256 then 2 else if n < 65536 then 3 else if n < 4294967296 then 5 else 9

/-- The argument of an integer's CBOR head: `i`, or `-1 - i` if `i` is negative. -/
def intArgument : Int → Nat
  | .ofNat n => n
  | .negSucc n => n

mutual
/-- The length in bytes of a value's canonical encoding. -/
def Value.encodedLen : Value → Nat
  | .unit => 1
  | .bool _ => 1
  | .nat n => headLen n
  | .int i => 2 + headLen (intArgument i)
  | .text b => headLen (len b) + len b
  | .bytes b => headLen (len b) + len b
  | .list items => headLen (len items + 1) + 1 + encodedLens items
  | .record items => headLen (len items + 1) + 1 + encodedLens items
  | .endpoint r => 2 + headLen r
  | .evidence n => 2 + headLen n

/-- The sum of the lengths of the values' encodings. -/
def encodedLens : List Value → Nat
  | [] => 0
  | v :: vs => v.encodedLen + encodedLens vs
end

end Antiphon

module

public import Runtime.ProtocolMachine.Model.Value

@[expose] public section

/-!
# Deterministic CBOR

RFC 8949, section 4.2.1: definite lengths, and every head in its shortest form. An encoder
`enc… x k` returns the bytes of `x` followed by `k`. A decoder `dec… b` decodes one item at the
front of `b` and returns it with the bytes that follow. It returns `none` for anything but the
deterministic form. The Rust code is the crate `rust/codec`.
-/

namespace Antiphon

variable {α β : Type}

/-- The bound on the argument of a head: 2^64. -/
def headEnd : Nat := 18446744073709551616

/-- Encodes the low `c` bytes of a number, most significant first. -/
def encBe : Nat → Nat → Bytes → Bytes
  | 0, _, k => k
  | c + 1, n, k => UInt8.ofNat (n / 256 ^ c) :: encBe c n k

/-- Decodes `c` bytes, most significant first, as further digits of the number `n`. -/
def decBe : Nat → Nat → Bytes → Option (Nat × Bytes)
  | 0, n, b => some (n, b)
  | _ + 1, _, [] => none
  | c + 1, n, x :: b => decBe c (n * 256 + x.toNat) b

/-- Encodes a head: the major type and its argument. -/
def encHead (major n : Nat) (k : Bytes) : Bytes :=
  if n < 24 then UInt8.ofNat (major * 32 + n) :: k
  else if n < 256 then UInt8.ofNat (major * 32 + 24) :: UInt8.ofNat n :: k
  else if n < 65536 then UInt8.ofNat (major * 32 + 25) :: encBe 2 n k
  else if n < 4294967296 then UInt8.ofNat (major * 32 + 26) :: encBe 4 n k
  else UInt8.ofNat (major * 32 + 27) :: encBe 8 n k

/-- Decodes the `c` bytes of an argument after the initial byte. An argument below `low` has a
shorter form and is rejected. -/
def decArgument (c low : Nat) (major : Nat) (b : Bytes) : Option ((Nat × Nat) × Bytes) :=
  match decBe c 0 b with
  | none => none
  | some (n, b) => if n < low then none else some ((major, n), b)

/-- Decodes a head in its shortest form: the major type and the argument. -/
def decHead : Bytes → Option ((Nat × Nat) × Bytes)
  | [] => none
  | x :: b =>
    let major := x.toNat / 32
    let info := x.toNat % 32
    if info < 24 then some ((major, info), b)
    else if info = 24 then decArgument 1 24 major b
    else if info = 25 then decArgument 2 256 major b
    else if info = 26 then decArgument 4 65536 major b
    else if info = 27 then decArgument 8 4294967296 major b
    else none

/-- Decodes a head of this major type; returns the argument. -/
def decMajor (major : Nat) (b : Bytes) : Option (Nat × Bytes) :=
  match decHead b with
  | none => none
  | some ((m, n), b) => if m = major then some (n, b) else none

/-- Encodes a number below 2^64. Most numbers are below 24; they are encoded without a call. -/
@[inline] def encUint (n : Nat) (k : Bytes) : Bytes :=
  if n < 24 then UInt8.ofNat n :: k else encHead 0 n k

/-- Decodes a number below 2^64. -/
def decUint (b : Bytes) : Option (Nat × Bytes) := decMajor 0 b

/-- Encodes an integer from -2^64 to 2^64 - 1. -/
def encInt (i : Int) (k : Bytes) : Bytes :=
  match i with
  | .ofNat n => encHead 0 n k
  | .negSucc n => encHead 1 n k

/-- Decodes an integer whose argument is below `limit`: from `-limit` to `limit - 1`. -/
def decInt (limit : Nat) (b : Bytes) : Option (Int × Bytes) :=
  match decHead b with
  | none => none
  | some ((m, n), b) =>
    if n < limit then
      if m = 0 then some (.ofNat n, b) else if m = 1 then some (.negSucc n, b) else none
    else none

/-- The bytes in reverse order, before `k`. A tail call, so that long strings do not need stack. -/
def revOnto : Bytes → Bytes → Bytes
  | [], k => k
  | x :: b, k => revOnto b (x :: k)

/-- The bytes before `k`. -/
def putBytes (b k : Bytes) : Bytes := revOnto (revOnto b []) k

/-- Takes `n` bytes from the front. `taken` holds the bytes taken so far, the last one first. -/
def takeOnto : Nat → Bytes → Bytes → Option (Bytes × Bytes)
  | 0, taken, b => some (revOnto taken [], b)
  | _ + 1, _, [] => none
  | n + 1, taken, x :: b => takeOnto n (x :: taken) b

/-- Takes `n` bytes from the front. -/
def takeBytes (n : Nat) (b : Bytes) : Option (Bytes × Bytes) := takeOnto n [] b

/-- `n` plus the number of bytes. A tail call, so that long strings do not need stack. -/
def bytesLen : Bytes → Nat → Nat
  | [], n => n
  | _ :: b, n => bytesLen b (n + 1)

/-- Encodes a byte string. -/
def encBytes (s : Bytes) (k : Bytes) : Bytes := encHead 2 (bytesLen s 0) (putBytes s k)

/-- Decodes a byte string. -/
def decBytes (b : Bytes) : Option (Bytes × Bytes) :=
  match decMajor 2 b with
  | none => none
  | some (n, b) => takeBytes n b

/-- Whether the bytes continue valid UTF-8 (RFC 3629). The current character needs `more` further
bytes, and the next one must lie between `low` and `high`. The narrower ranges exclude overlong
forms, surrogates and characters above U+10FFFF. -/
def utf8From : Nat → Nat → Nat → Bytes → Bool
  | 0, _, _, [] => true
  | _ + 1, _, _, [] => false
  | 0, _, _, x :: b =>
    let c := x.toNat
    if c < 128 then utf8From 0 0 0 b
    else if c < 194 then false
    else if c < 224 then utf8From 1 128 191 b
    else if c = 224 then utf8From 2 160 191 b
    else if c = 237 then utf8From 2 128 159 b
    else if c < 240 then utf8From 2 128 191 b
    else if c = 240 then utf8From 3 144 191 b
    else if c < 244 then utf8From 3 128 191 b
    else if c = 244 then utf8From 3 128 143 b
    else false
  | more + 1, low, high, x :: b =>
    let c := x.toNat
    if c < low then false
    else if high < c then false
    else utf8From more 128 191 b

/-- Whether the bytes are valid UTF-8. -/
def isUtf8 (b : Bytes) : Bool := utf8From 0 0 0 b

/-- Encodes a text, given as its UTF-8 bytes. -/
def encText (s : Bytes) (k : Bytes) : Bytes := encHead 3 (bytesLen s 0) (putBytes s k)

/-- Decodes a text. -/
def decText (b : Bytes) : Option (Bytes × Bytes) :=
  match decMajor 3 b with
  | none => none
  | some (n, b) => match takeBytes n b with
    | none => none
    | some (s, b) => match isUtf8 s with
      | true => some (s, b)
      | false => none

/-- Encodes the head of an array; its items follow. -/
@[inline] def encArrayHead (n : Nat) (k : Bytes) : Bytes :=
  if n < 24 then UInt8.ofNat (128 + n) :: k else encHead 4 n k

/-- Decodes the head of an array. -/
def decArrayHead (b : Bytes) : Option (Nat × Bytes) := decMajor 4 b

/-- Encodes a truth value. -/
def encBool (x : Bool) (k : Bytes) : Bytes :=
  match x with
  | false => 244 :: k
  | true => 245 :: k

/-- Decodes a truth value. -/
def decBool : Bytes → Option (Bool × Bytes)
  | [] => none
  | x :: b => if x = 244 then some (false, b) else if x = 245 then some (true, b) else none

/-- Encodes `null`. -/
@[inline] def encNull (k : Bytes) : Bytes := 246 :: k

/-- Decodes a number below `limit`. -/
def decBelow (limit : Nat) (b : Bytes) : Option (Nat × Bytes) :=
  match decMajor 0 b with
  | none => none
  | some (n, b) => if n < limit then some (n, b) else none

/-- Decodes an 8-bit number. -/
def decU8 (b : Bytes) : Option (Nat × Bytes) := decBelow 256 b

/-- Decodes a 16-bit number. -/
def decU16 (b : Bytes) : Option (Nat × Bytes) := decBelow 65536 b

/-- Decodes a 32-bit number. -/
def decU32 (b : Bytes) : Option (Nat × Bytes) := decBelow 4294967296 b

/-- Decodes a byte string of length `n`. -/
def decFixed (n : Nat) (b : Bytes) : Option (Bytes × Bytes) :=
  match decBytes b with
  | none => none
  | some (s, b) => if bytesLen s 0 = n then some (s, b) else none

/-- Decodes no bytes and returns `x`. -/
@[specialize α] def decNothing (x : α) (b : Bytes) : Option (α × Bytes) := some (x, b)

/-- Decodes as `dec` does and applies `f` to the result. -/
@[specialize] def decAs (f : α → β) (dec : Bytes → Option (α × Bytes)) (b : Bytes) : Option (β × Bytes) :=
  match dec b with
  | none => none
  | some (x, b) => some (f x, b)

/-- Decodes one item and then another. -/
@[specialize] def decThen (first : Bytes → Option (α × Bytes)) (second : Bytes → Option (β × Bytes)) (b : Bytes) :
    Option ((α × β) × Bytes) :=
  match first b with
  | none => none
  | some (x, b) => match second b with
    | none => none
    | some (y, b) => some ((x, y), b)

/-- Decodes an array of `n` fields, whose contents `dec` decodes. -/
@[specialize] def decFields (n : Nat) (dec : Bytes → Option (α × Bytes)) (b : Bytes) : Option (α × Bytes) :=
  match decArrayHead b with
  | none => none
  | some (got, b) => if got = n then dec b else none

/-- Decodes an array whose first item is a number. `dec` is given that number and the array's
length, and decodes the rest. -/
@[specialize] def decAlternative (dec : Nat → Nat → Bytes → Option (α × Bytes)) (b : Bytes) : Option (α × Bytes) :=
  match decArrayHead b with
  | none => none
  | some (n, b) => match decUint b with
    | none => none
    | some (number, b) => dec number n b

/-- Encodes the start of an alternative: the head of an array of `n` items, and its first item,
`number`. -/
@[inline] def encTag (n number : Nat) (k : Bytes) : Bytes := encArrayHead n (encUint number k)

/-- Encodes items one after another. -/
@[specialize] def encItems (enc : α → Bytes → Bytes) : List α → Bytes → Bytes
  | [], k => k
  | x :: xs, k => enc x (encItems enc xs k)

/-- Decodes `n` items. -/
@[specialize] def decItems (dec : Bytes → Option (α × Bytes)) : Nat → Bytes → Option (List α × Bytes)
  | 0, b => some ([], b)
  | n + 1, b => match dec b with
    | none => none
    | some (x, b) => match decItems dec n b with
      | none => none
      | some (xs, b) => some (x :: xs, b)

/-- The number of items. The same as `len`, but with code for every type in this module. -/
@[specialize α] def count : List α → Nat
  | [] => 0
  | _ :: xs => count xs + 1

/-- Encodes an array. -/
@[specialize] def encArray (enc : α → Bytes → Bytes) (xs : List α) (k : Bytes) : Bytes :=
  encArrayHead (count xs) (encItems enc xs k)

/-- Decodes an array. -/
@[specialize] def decArray (dec : Bytes → Option (α × Bytes)) (b : Bytes) : Option (List α × Bytes) :=
  match decArrayHead b with
  | none => none
  | some (n, b) => decItems dec n b

/-- Encodes an optional item; `null` if it is absent. For items whose encoding is never `null`. -/
@[specialize] def encOption (enc : α → Bytes → Bytes) (x : Option α) (k : Bytes) : Bytes :=
  match x with
  | none => encNull k
  | some x => enc x k

/-- Decodes an optional item. -/
@[specialize] def decOption (dec : Bytes → Option (α × Bytes)) : Bytes → Option (Option α × Bytes)
  | [] => none
  | x :: b => if x = 246 then some (none, b) else match dec (x :: b) with
    | none => none
    | some (y, b) => some (some y, b)

/-- Encodes a pair as an array of two items. -/
@[specialize] def encPair (first : α → Bytes → Bytes) (second : β → Bytes → Bytes) (p : α × β) (k : Bytes) : Bytes :=
  encArrayHead 2 (first p.1 (second p.2 k))

/-- Decodes an array of two items. -/
@[specialize] def decPair (first : Bytes → Option (α × Bytes)) (second : Bytes → Option (β × Bytes)) :
    Bytes → Option ((α × β) × Bytes) :=
  decFields 2 (decThen first second)

/-- Decodes one item and requires that no bytes follow. -/
@[specialize] def decWhole (dec : Bytes → Option (α × Bytes)) (b : Bytes) : Option α :=
  match dec b with
  | some (x, []) => some x
  | _ => none

end Antiphon

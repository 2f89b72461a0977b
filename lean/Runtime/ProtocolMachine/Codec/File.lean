module

public import Runtime.ProtocolMachine.Model.Config
public import Runtime.ProtocolMachine.Codec.Cbor

@[expose] public section

/-!
# Files

A file is a CBOR sequence: a text that names the format, then byte strings. The file is kept as one
array of bytes; only a string that is examined becomes a list.
-/

namespace Antiphon

/-- `count` bytes of an array from `start` on, before `tail`. It uses the library's compiled
functions: a recursion in this module would be interpreted byte by byte. -/
def sliceOnto (b : ByteArray) (start count : Nat) (tail : Bytes) : Bytes :=
  putBytes (b.extract start (start + count)).toList tail

/-- The array with bytes appended. -/
def pushAll (bs : Bytes) (b : ByteArray) : ByteArray := b.append bs.toByteArray

/-- The position and the length of the content of the byte string that starts at `place`. -/
def stringAt (b : ByteArray) (place : Nat) : Option (Nat × Nat) :=
  let rest := b.size - place
  match decMajor 2 (sliceOnto b place (if rest < 9 then rest else 9) []) with
  | none => none
  | some (n, left) =>
    let start := place + ((if rest < 9 then rest else 9) - len left)
    match Nat.ble (start + n) b.size with
    | true => some (start, n)
    | false => none

/-- The position after the text `tag`, with which the file has to start; `none` if it starts
differently. -/
def behindTag (b : ByteArray) (tag : Bytes) : Option Nat :=
  let n := len tag
  match Nat.ble n b.size && sameBytes (sliceOnto b 0 n []) tag with
  | true => some n
  | false => none

end Antiphon

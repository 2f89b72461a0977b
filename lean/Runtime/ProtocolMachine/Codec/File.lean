module

public import Runtime.ProtocolMachine.Model.Config
public import Runtime.ProtocolMachine.Codec.Cbor

@[expose] public section

/-!
# Files

A file is a CBOR sequence in one array of bytes: a text that names the format, then byte strings. Only the string that is
looked at becomes a list.
-/

namespace Antiphon

/-- `count` bytes of an array from `start`, before others. The library's functions are compiled where a recursion of ours
would be interpreted byte by byte. -/
def sliceOnto (b : ByteArray) (start count : Nat) (tail : Bytes) : Bytes :=
  putBytes (b.extract start (start + count)).toList tail

/-- The array with bytes added at its end. -/
def pushAll (bs : Bytes) (b : ByteArray) : ByteArray := b.append bs.toByteArray

/-- A byte string at a place of the file: where its content begins, and how long it is. -/
def stringAt (b : ByteArray) (place : Nat) : Option (Nat × Nat) :=
  let rest := b.size - place
  match decMajor 2 (sliceOnto b place (if rest < 9 then rest else 9) []) with
  | none => none
  | some (n, left) =>
    let start := place + ((if rest < 9 then rest else 9) - len left)
    match Nat.ble (start + n) b.size with
    | true => some (start, n)
    | false => none

/-- Where the first byte string is, behind a text that has to be this one. -/
def behindTag (b : ByteArray) (tag : Bytes) : Option Nat :=
  let n := len tag
  match Nat.ble n b.size && sameBytes (sliceOnto b 0 n []) tag with
  | true => some n
  | false => none

end Antiphon

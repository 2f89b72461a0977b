module

public import Runtime.ProtocolMachine.Codec.Action
public import Runtime.ProtocolMachine.Codec.Frame
public import Runtime.ProtocolMachine.Codec.File
public import Runtime.ProtocolMachine.Semantics.Resume

@[expose] public section

/-!
# The program that splits streams into frames

A stream comes in pieces. The program feeds the pieces to a `Deframer` one after another and writes
what each piece completes. It does not read bodies: the file says for each body whether it is a
message, a fault or a fatal fault.
-/

namespace Antiphon

/-- The first item of a file of streams. Each stream follows as a byte string. -/
def streamsTag : Bytes := encText (ascii "antiphon.streams.v1" []) []

/-- The first and the last item of an output file. -/
def framesTag : Bytes := encText (ascii "antiphon.frames.v1" []) []
def framesEnd : Bytes := encText (ascii "complete" []) []

/-- The output of a stream that cannot be read. -/
def noStream : Bytes := encArrayHead 1 (encText (ascii "this stream cannot be read" []) [])

/-- A stream: the bound on bodies, the kind of each body in order (0 a message, 1 a fault, any other
number a fatal fault), and the pieces. -/
structure PieceStream where
  lenMax : Nat
  kinds : List Nat
  pieces : List Bytes

/-- Decodes a stream. -/
def decPieceStream (b : Bytes) : Option (PieceStream × Bytes) :=
  decAs (fun p => { lenMax := p.1, kinds := p.2.1, pieces := p.2.2 })
    (decFields 3 (decThen decU32 (decThen (decArray decUint) (decArray decBytes)))) b

/-- Reads bytes that are the encoding of one stream and nothing more. -/
def readPieceStream (b : Bytes) : Option PieceStream := decWhole decPieceStream b

/-- Reads a body as the next kind says. A body without a kind is fatal. A fault contains the body. -/
def readKind (kinds : List Nat) (body : Bytes) : Reading Bytes Bytes × List Nat :=
  match kinds with
  | [] => (.fatal body, [])
  | 0 :: kinds => (.message body, kinds)
  | 1 :: kinds => (.fault body, kinds)
  | _ :: kinds => (.fatal body, kinds)

/-- Encodes an error. -/
def encFrameError (e : FrameError Bytes) (k : Bytes) : Bytes :=
  match e with
  | .tooLong n max => encTag 3 1 (encUint n (encUint max k))
  | .body body => encTag 2 2 (encBytes body k)
  | .cut held needed => encTag 3 3 (encUint held (encUint needed k))

/-- Encodes a message or an error. -/
def encFramed (x : Except (FrameError Bytes) Bytes) (k : Bytes) : Bytes :=
  match x with
  | .ok body => encTag 2 0 (encBytes body k)
  | .error e => encFrameError e k

/-- Encodes what each piece completes, from this state of the deframer on, and then the end of the
stream. -/
def encPieces (d : Deframer (List Nat) Bytes) : List Bytes → Bytes
  | [] => encOption encFrameError d.finish []
  | piece :: pieces => match d.feed readKind piece with
    | (d, xs) => encArray encFramed xs (encPieces d pieces)

/-- The output of a stream: for each piece an array of what it completes, then the error of the
stream's end or `null`. -/
def framesOf (b : Bytes) : Bytes :=
  match readPieceStream b with
  | none => noStream
  | some s => encArrayHead (len s.pieces + 1) (encPieces (Deframer.new s.lenMax s.kinds) s.pieces)

/-- Splits the streams from a position of the file on. A stream takes at least one byte, so the
file's length is enough `fuel`. -/
def splitAll (b : ByteArray) (out : IO.FS.Handle) : Nat → Nat → IO Unit
  | 0, _ => pure ()
  | fuel + 1, place =>
    match Nat.ble b.size place with
    | true => pure ()
    | false => match stringAt b place with
      | none => throw (IO.userError "the file is cut off or is not a sequence of byte strings")
      | some (start, n) => do
        out.write (pushAll (framesOf (sliceOnto b start n [])) ByteArray.empty)
        splitAll b out fuel (start + n)

end Antiphon

open Antiphon in
/-- `Frames.lean STREAMS OUTPUT` splits a file of streams. -/
public def main (args : List String) : IO Unit :=
  match args with
  | [streams, output] => do
    let b ← IO.FS.readBinFile streams
    match behindTag b streamsTag with
    | none => throw (IO.userError "this is not a file of streams")
    | some start => do
      let out ← IO.FS.Handle.mk output .write
      out.write (pushAll framesTag ByteArray.empty)
      splitAll b out (b.size + 1) start
      out.write (pushAll framesEnd ByteArray.empty)
      out.flush
  | _ => throw (IO.userError "usage: Frames.lean STREAMS OUTPUT")

module

public import Runtime.ProtocolMachine.Codec.Cbor

@[expose] public section

/-!
# Frames of the guest link

A frame is four bytes of length, the highest first, and a body of that length. A deframer holds the bytes of frames that
are not whole yet. What a body says is for a reader to tell; what it knows, such as the versions that are spoken, may
change with every body. A length above the bound ends the link, and so does a body that its reader calls fatal.
-/

namespace Antiphon

variable {σ μ ε : Type}

/-- Bytes of the length before a body. -/
def frameHeader : Nat := 4

/-- The longest body, unless a peer offers less. -/
def frameLenMax : Nat := 4194304

/-- A frame before other bytes, if the body is not too long. -/
def encFrame (lenMax : Nat) (body k : Bytes) : Option Bytes :=
  let n := bytesLen body 0
  if lenMax < n then none else some (encBe frameHeader n (putBytes body k))

/-- What is wrong with the bytes of a peer. -/
inductive FrameError (ε : Type) where
  /-- A longer body is announced than is allowed. -/
  | tooLong (len max : Nat)
  /-- The reader finds fault with a body. -/
  | body (fault : ε)
  /-- The bytes end inside a frame. -/
  | cut (held needed : Nat)

/-- What a body is read as. -/
inductive Reading (μ ε : Type) where
  | message (message : μ)
  /-- The next frame follows. -/
  | fault (fault : ε)
  /-- The link cannot go on. -/
  | fatal (fault : ε)

/-- Bytes in, frames out. -/
structure Deframer (σ ε : Type) where
  lenMax : Nat
  /-- What came and was not taken yet. -/
  held : Bytes
  /-- What the reader knows. -/
  reader : σ
  /-- The error that ended the link. -/
  broken : Option (FrameError ε)

/-- A deframer to which nothing came yet. -/
@[specialize σ ε] def Deframer.new (lenMax : Nat) (reader : σ) : Deframer σ ε :=
  { lenMax, held := [], reader, broken := none }

/-- Takes bytes as they came. After a fatal error they are dropped. -/
@[specialize σ ε] def Deframer.push (d : Deframer σ ε) (b : Bytes) : Deframer σ ε :=
  match d.broken with
  | some _ => d
  | none => { d with held := putBytes d.held b }

/-- Ends the link. -/
@[specialize σ ε] def Deframer.break (d : Deframer σ ε) (reader : σ) (e : FrameError ε) : Deframer σ ε :=
  { d with held := [], reader, broken := some e }

/-- The next message or error, or none until more bytes come. After a fatal error the same one comes for ever. -/
@[specialize] def Deframer.next (read : σ → Bytes → Reading μ ε × σ) (d : Deframer σ ε) :
    Deframer σ ε × Option (Except (FrameError ε) μ) :=
  match d.broken with
  | some e => (d, some (.error e))
  | none => match decBe frameHeader 0 d.held with
    | none => (d, none)
    | some (n, rest) =>
      if d.lenMax < n then
        (d.break d.reader (.tooLong n d.lenMax), some (.error (.tooLong n d.lenMax)))
      else match takeBytes n rest with
        | none => (d, none)
        | some (body, rest) => match read d.reader body with
          | (.message m, reader) => ({ d with held := rest, reader }, some (.ok m))
          | (.fault e, reader) => ({ d with held := rest, reader }, some (.error (.body e)))
          | (.fatal e, reader) => (d.break reader (.body e), some (.error (.body e)))

/-- Takes what there is, until more bytes must come or the link has ended. Each frame takes a byte at least, so `fuel` is
more than the number of bytes. -/
@[specialize] def Deframer.drain (read : σ → Bytes → Reading μ ε × σ) :
    Nat → Deframer σ ε → Deframer σ ε × List (Except (FrameError ε) μ)
  | 0, d => (d, [])
  | fuel + 1, d => match d.next read with
    | (d, none) => (d, [])
    | (d, some x) => match d.broken with
      | some _ => (d, [x])
      | none => match d.drain read fuel with
        | (d, xs) => (d, x :: xs)

/-- Takes a piece of the stream, and what is whole then. Nobody asks again when the link has ended. -/
@[specialize] def Deframer.feed (read : σ → Bytes → Reading μ ε × σ) (d : Deframer σ ε) (b : Bytes) :
    Deframer σ ε × List (Except (FrameError ε) μ) :=
  match d.broken with
  | some _ => (d, [])
  | none => let d := d.push b; d.drain read (bytesLen d.held 1)

/-- One list and then another; as `app`, but with code for every type in this module. -/
@[specialize α] def joined {α : Type} : List α → List α → List α
  | [], ys => ys
  | x :: xs, ys => x :: joined xs ys

/-- Takes the stream in pieces. -/
@[specialize] def Deframer.feedAll (read : σ → Bytes → Reading μ ε × σ) (d : Deframer σ ε) :
    List Bytes → Deframer σ ε × List (Except (FrameError ε) μ)
  | [] => (d, [])
  | b :: bs => match d.feed read b with
    | (d, xs) => match d.feedAll read bs with
      | (d, ys) => (d, joined xs ys)

/-- Why a stream that ends here did not end well. -/
@[specialize σ ε] def Deframer.finish (d : Deframer σ ε) : Option (FrameError ε) :=
  match d.broken with
  | some e => some e
  | none =>
    let held := bytesLen d.held 0
    match decBe frameHeader 0 d.held with
    | none => if held = 0 then none else some (.cut held frameHeader)
    | some (n, _) => if d.lenMax < n then some (.tooLong n d.lenMax) else some (.cut held (frameHeader + n))

end Antiphon

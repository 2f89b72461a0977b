module

public import Runtime.ProtocolMachine.Codec.Cbor

@[expose] public section

/-!
# Frames of the guest link

A frame is a length in four bytes, most significant first, and a body of that length. A deframer
buffers incomplete frames. A reader interprets the bodies; its state, for instance the protocol
versions in use, may change with every body. The link ends at a length above the bound and at a body
that the reader reports as fatal. The Rust code is in `rust/wire`.
-/

namespace Antiphon

variable {σ μ ε : Type}

/-- The size in bytes of the length before a body. -/
def frameHeader : Nat := 4

/-- The maximum length of a body, unless a peer offers less. -/
def frameLenMax : Nat := 4194304

/-- Encodes a frame before `k`; `none` if the body is too long. -/
def encFrame (lenMax : Nat) (body k : Bytes) : Option Bytes :=
  let n := bytesLen body 0
  if lenMax < n then none else some (encBe frameHeader n (putBytes body k))

/-- An error in the bytes of a peer. -/
inductive FrameError (ε : Type) where
  /-- The announced length exceeds the maximum. -/
  | tooLong (len max : Nat)
  /-- The reader rejects a body. -/
  | body (fault : ε)
  /-- The stream ends inside a frame. -/
  | cut (held needed : Nat)

/-- The result of reading a body. -/
inductive Reading (μ ε : Type) where
  | message (message : μ)
  /-- The body is faulty, but the link continues with the next frame. -/
  | fault (fault : ε)
  /-- The body is faulty and the link cannot continue. -/
  | fatal (fault : ε)

/-- Splits a byte stream into frames and reads their bodies. -/
structure Deframer (σ ε : Type) where
  lenMax : Nat
  /-- Bytes that have arrived and have not been consumed. -/
  held : Bytes
  /-- The state of the reader. -/
  reader : σ
  /-- The error that ended the link. -/
  broken : Option (FrameError ε)

/-- A deframer that has received no bytes. -/
@[specialize σ ε] def Deframer.new (lenMax : Nat) (reader : σ) : Deframer σ ε :=
  { lenMax, held := [], reader, broken := none }

/-- Appends received bytes. After a fatal error they are dropped. -/
@[specialize σ ε] def Deframer.push (d : Deframer σ ε) (b : Bytes) : Deframer σ ε :=
  match d.broken with
  | some _ => d
  | none => { d with held := putBytes d.held b }

/-- Ends the link with an error. -/
@[specialize σ ε] def Deframer.break (d : Deframer σ ε) (reader : σ) (e : FrameError ε) : Deframer σ ε :=
  { d with held := [], reader, broken := some e }

/-- The next message or error; `none` if more bytes are needed. After a fatal error, every call
returns that error. -/
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

/-- Reads messages until more bytes are needed or the link has ended. A frame takes at least one
byte, so a `fuel` above the number of bytes is enough. -/
@[specialize] def Deframer.drain (read : σ → Bytes → Reading μ ε × σ) :
    Nat → Deframer σ ε → Deframer σ ε × List (Except (FrameError ε) μ)
  | 0, d => (d, [])
  | fuel + 1, d => match d.next read with
    | (d, none) => (d, [])
    | (d, some x) => match d.broken with
      | some _ => (d, [x])
      | none => match d.drain read fuel with
        | (d, xs) => (d, x :: xs)

/-- Appends a piece of the stream and reads what is complete. After the link has ended it returns
nothing. -/
@[specialize] def Deframer.feed (read : σ → Bytes → Reading μ ε × σ) (d : Deframer σ ε) (b : Bytes) :
    Deframer σ ε × List (Except (FrameError ε) μ) :=
  match d.broken with
  | some _ => (d, [])
  | none => let d := d.push b; d.drain read (bytesLen d.held 1)

/-- The concatenation of two lists. The same as `app`, but with code for every type in this
module. -/
@[specialize α] def joined {α : Type} : List α → List α → List α
  | [], ys => ys
  | x :: xs, ys => x :: joined xs ys

/-- Feeds the pieces of a stream one after another. -/
@[specialize] def Deframer.feedAll (read : σ → Bytes → Reading μ ε × σ) (d : Deframer σ ε) :
    List Bytes → Deframer σ ε × List (Except (FrameError ε) μ)
  | [] => (d, [])
  | b :: bs => match d.feed read b with
    | (d, xs) => match d.feedAll read bs with
      | (d, ys) => (d, joined xs ys)

/-- The error of a stream that ends now; `none` if it ends between frames. -/
@[specialize σ ε] def Deframer.finish (d : Deframer σ ε) : Option (FrameError ε) :=
  match d.broken with
  | some e => some e
  | none =>
    let held := bytesLen d.held 0
    match decBe frameHeader 0 d.held with
    | none => if held = 0 then none else some (.cut held frameHeader)
    | some (n, _) => if d.lenMax < n then some (.tooLong n d.lenMax) else some (.cut held (frameHeader + n))

end Antiphon

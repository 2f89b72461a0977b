module

public import Runtime.Proofs.Codec.Case
public import Runtime.Proofs.Codec.Frame

@[expose] public section

/-!
# The codec

Decoding inverts encoding, and a decoder accepts only what the encoder produces, so everything has
exactly one encoding. The range of a type is an executable test `fits`. It holds for exactly those
items that a decoder can return. `k` stands for the bytes that follow.
-/

namespace Antiphon

/-! ## Values -/

/-- Decoding the encoding of a value in range, with any bytes after it, returns the value and those
bytes. -/
theorem value_decode_encode {v : Value} (range : v.fits = true) (k : Bytes) :
    decValue (encValue v k) = some (v, k) :=
  exact_value.back v k range

/-- If the decoder returns a value, the bytes that it consumed are the value's encoding. -/
theorem value_encode_decode {b k : Bytes} {v : Value} (h : decValue b = some (v, k)) : encValue v k = b :=
  (exact_value.only b v k h).1

/-- A value is in range exactly when the decoder returns it for some bytes. -/
theorem value_range (v : Value) : v.fits = true ↔ ∃ b k, decValue b = some (v, k) :=
  ⟨fun range => ⟨_, [], value_decode_encode range []⟩, fun ⟨b, k, h⟩ => (exact_value.only b v k h).2⟩

/-- If the encodings of two values in range, each with bytes after it, are equal, then the values
are equal and so are the bytes after them. -/
theorem value_encode_injective {v w : Value} {k l : Bytes} (fv : v.fits = true) (fw : w.fits = true)
    (h : encValue v k = encValue w l) : v = w ∧ k = l := by
  have same := (value_decode_encode fv k).symm.trans (h ▸ value_decode_encode fw l)
  simpa using same

/-! ## Images -/

/-- Decoding the encoding of an image in range, with any bytes after it, returns the image and those
bytes. -/
theorem image_decode_encode {i : CodeImage} (range : i.fits = true) (k : Bytes) :
    decImage (encImage i k) = some (i, k) :=
  exact_image.back i k range

/-- If the decoder returns an image, the bytes that it consumed are the image's encoding. -/
theorem image_encode_decode {b k : Bytes} {i : CodeImage} (h : decImage b = some (i, k)) : encImage i k = b :=
  (exact_image.only b i k h).1

/-- An image is in range exactly when the decoder returns it for some bytes. -/
theorem image_range (i : CodeImage) : i.fits = true ↔ ∃ b k, decImage b = some (i, k) :=
  ⟨fun range => ⟨_, [], image_decode_encode range []⟩, fun ⟨b, k, h⟩ => (exact_image.only b i k h).2⟩

/-! ## Inputs and outcomes -/

/-- Decoding the encoding of an outcome in range, with any bytes after it, returns the outcome and
those bytes. -/
theorem outcome_decode_encode {o : Outcome} (range : o.fits = true) (k : Bytes) :
    decOutcome (encOutcome o k) = some (o, k) :=
  exact_outcome.back o k range

/-- If the decoder returns an outcome, the bytes that it consumed are the outcome's encoding. -/
theorem outcome_encode_decode {b k : Bytes} {o : Outcome} (h : decOutcome b = some (o, k)) : encOutcome o k = b :=
  (exact_outcome.only b o k h).1

/-- Decoding the encoding of an input in range, with any bytes after it, returns the input and those
bytes. -/
theorem ingress_decode_encode {i : Ingress} (range : i.fits = true) (k : Bytes) :
    decIngress (encIngress i k) = some (i, k) :=
  exact_ingress.back i k range

/-- If the decoder returns an input, the bytes that it consumed are the input's encoding. -/
theorem ingress_encode_decode {b k : Bytes} {i : Ingress} (h : decIngress b = some (i, k)) : encIngress i k = b :=
  (exact_ingress.only b i k h).1

/-- An input is in range exactly when the decoder returns it for some bytes. -/
theorem ingress_range (i : Ingress) : i.fits = true ↔ ∃ b k, decIngress b = some (i, k) :=
  ⟨fun range => ⟨_, [], ingress_decode_encode range []⟩, fun ⟨b, k, h⟩ => (exact_ingress.only b i k h).2⟩

/-! ## Cases -/

/-- Reading the encoding of a case in range returns the case. -/
theorem case_decode_encode {c : Case} (range : c.fits = true) : readCase (encCase c []) = some c := by
  simp [readCase, decWhole, exact_case.back c [] range]

/-- If bytes are read as a case, they are the case's encoding. -/
theorem case_encode_decode {b : Bytes} {c : Case} (h : readCase b = some c) : encCase c [] = b := by
  unfold readCase decWhole at h
  split at h
  · rename_i x read
    simp only [Option.some.injEq] at h
    subst h
    exact (exact_case.only _ _ _ read).1
  · cases h

/-- A case is in range exactly when some bytes are read as it. -/
theorem case_range (c : Case) : c.fits = true ↔ ∃ b, readCase b = some c := by
  refine ⟨fun range => ⟨_, case_decode_encode range⟩, fun ⟨b, h⟩ => ?_⟩
  unfold readCase decWhole at h
  split at h
  · rename_i x read
    simp only [Option.some.injEq] at h
    subst h
    exact (exact_case.only _ _ _ read).2
  · cases h

/-! ## Frames -/

variable {σ μ ε : Type}

/-- A new deframer that is fed a stream in pieces returns the same messages and errors and ends in
the same state as one that is fed the whole stream. -/
theorem frames_split_anywhere (read : σ → Bytes → Reading μ ε × σ) (lenMax : Nat) (s : σ) (pieces : List Bytes) :
    (Deframer.new lenMax s).feedAll read pieces = (Deframer.new lenMax s).feed read pieces.flatten :=
  Deframer.feedAll_eq (Deframer.new_settled lenMax s) pieces

/-- A new deframer with a reader that keeps bodies as they are, fed the frames of some bodies,
returns these bodies in order and ends in the state of a new deframer, if the length bound is below
2^32. -/
theorem frames_decode_encode {lenMax : Nat} {bodies : List Bytes} {b : Bytes} (s : σ) (range : lenMax < 4294967296)
    (h : encFrames lenMax bodies [] = some b) :
    (Deframer.new lenMax s : Deframer σ ε).feed keepBody b = (Deframer.new lenMax s, bodies.map .ok) := by
  rw [Deframer.feed_whole (by rfl) b (f := b.length + 1) (by simp [Deframer.new])]
  exact Deframer.drain_frames (bodies := bodies) (by rfl) range (by simpa [Deframer.push, Deframer.new, putBytes_eq] using h)
    (by simp [Deframer.push, Deframer.new, putBytes_eq])

/-- If a stream ends between frames, it consists of exactly the frames of the bodies that the
deframer returned, if the reader keeps bodies as they are. -/
theorem frames_encode_decode {lenMax : Nat} {b : Bytes} {s : σ} {d : Deframer σ ε}
    {xs : List (Except (FrameError ε) Bytes)} (h : (Deframer.new lenMax s).feed keepBody b = (d, xs))
    (well : d.finish = none) :
    ∃ bodies : List Bytes, xs = bodies.map .ok ∧ encFrames lenMax bodies [] = some b := by
  obtain ⟨whole, empty⟩ := Deframer.finish_none well
  rw [Deframer.feed_whole (by rfl) b (f := b.length + 1) (by simp [Deframer.new])] at h
  obtain ⟨bodies, same, frames⟩ := Deframer.drain_bodies (by rfl) h whole
  exact ⟨bodies, same, by simpa [Deframer.push, Deframer.new, putBytes_eq, empty] using frames⟩

end Antiphon

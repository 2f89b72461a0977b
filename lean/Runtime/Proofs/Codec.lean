module

public import Runtime.Proofs.Codec.Case
public import Runtime.Proofs.Codec.Frame

@[expose] public section

/-!
# The codec

What is written is read back, and nothing is read but what would be written: each thing has one form in bytes. The range
of a thing, `fits`, is executable, and it is exactly what a decoder gives; so what was read has it. `k` is what follows.
-/

namespace Antiphon

/-! ## Values -/

/-- A value in range that was written, with anything after it, is read as the same value with the same rest. -/
theorem value_decode_encode {v : Value} (range : v.fits = true) (k : Bytes) :
    decValue (encValue v k) = some (v, k) :=
  exact_value.back v k range

/-- What is read as a value is its own encoding and nothing else. -/
theorem value_encode_decode {b k : Bytes} {v : Value} (h : decValue b = some (v, k)) : encValue v k = b :=
  (exact_value.only b v k h).1

/-- The values in range are those that can be read. -/
theorem value_range (v : Value) : v.fits = true ↔ ∃ b k, decValue b = some (v, k) :=
  ⟨fun range => ⟨_, [], value_decode_encode range []⟩, fun ⟨b, k, h⟩ => (exact_value.only b v k h).2⟩

/-- The bytes of a value say which value it is and where it ends. -/
theorem value_encode_injective {v w : Value} {k l : Bytes} (fv : v.fits = true) (fw : w.fits = true)
    (h : encValue v k = encValue w l) : v = w ∧ k = l := by
  have same := (value_decode_encode fv k).symm.trans (h ▸ value_decode_encode fw l)
  simpa using same

/-! ## Images -/

/-- An image in range that was written is read as the same image. -/
theorem image_decode_encode {i : CodeImage} (range : i.fits = true) (k : Bytes) :
    decImage (encImage i k) = some (i, k) :=
  exact_image.back i k range

/-- What is read as an image is its own encoding and nothing else. -/
theorem image_encode_decode {b k : Bytes} {i : CodeImage} (h : decImage b = some (i, k)) : encImage i k = b :=
  (exact_image.only b i k h).1

/-- The images in range are those that can be read. -/
theorem image_range (i : CodeImage) : i.fits = true ↔ ∃ b k, decImage b = some (i, k) :=
  ⟨fun range => ⟨_, [], image_decode_encode range []⟩, fun ⟨b, k, h⟩ => (exact_image.only b i k h).2⟩

/-! ## Inputs and outcomes -/

/-- An outcome in range that was written is read as the same outcome. -/
theorem outcome_decode_encode {o : Outcome} (range : o.fits = true) (k : Bytes) :
    decOutcome (encOutcome o k) = some (o, k) :=
  exact_outcome.back o k range

/-- What is read as an outcome is its own encoding and nothing else. -/
theorem outcome_encode_decode {b k : Bytes} {o : Outcome} (h : decOutcome b = some (o, k)) : encOutcome o k = b :=
  (exact_outcome.only b o k h).1

/-- An input in range that was written is read as the same input. -/
theorem ingress_decode_encode {i : Ingress} (range : i.fits = true) (k : Bytes) :
    decIngress (encIngress i k) = some (i, k) :=
  exact_ingress.back i k range

/-- What is read as an input is its own encoding and nothing else. -/
theorem ingress_encode_decode {b k : Bytes} {i : Ingress} (h : decIngress b = some (i, k)) : encIngress i k = b :=
  (exact_ingress.only b i k h).1

/-- The inputs in range are those that can be read. -/
theorem ingress_range (i : Ingress) : i.fits = true ↔ ∃ b k, decIngress b = some (i, k) :=
  ⟨fun range => ⟨_, [], ingress_decode_encode range []⟩, fun ⟨b, k, h⟩ => (exact_ingress.only b i k h).2⟩

/-! ## Cases -/

/-- A case in range that was written is read as the same case. -/
theorem case_decode_encode {c : Case} (range : c.fits = true) : readCase (encCase c []) = some c := by
  simp [readCase, decWhole, exact_case.back c [] range]

/-- What is read as a case is its own encoding and nothing else. -/
theorem case_encode_decode {b : Bytes} {c : Case} (h : readCase b = some c) : encCase c [] = b := by
  unfold readCase decWhole at h
  split at h
  · rename_i x read
    simp only [Option.some.injEq] at h
    subst h
    exact (exact_case.only _ _ _ read).1
  · cases h

/-- The cases in range are those that can be read. -/
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

/-- A stream that is fed in pieces gives the same messages, errors, rest and end as the stream fed whole. -/
theorem frames_split_anywhere (read : σ → Bytes → Reading μ ε × σ) (lenMax : Nat) (s : σ) (pieces : List Bytes) :
    (Deframer.new lenMax s).feedAll read pieces = (Deframer.new lenMax s).feed read pieces.flatten :=
  Deframer.feedAll_eq (Deframer.new_settled lenMax s) pieces

/-- Frames that were written give their bodies in order and leave nothing. -/
theorem frames_decode_encode {lenMax : Nat} {bodies : List Bytes} {b : Bytes} (s : σ) (range : lenMax < 4294967296)
    (h : encFrames lenMax bodies [] = some b) :
    (Deframer.new lenMax s : Deframer σ ε).feed keepBody b = (Deframer.new lenMax s, bodies.map .ok) := by
  rw [Deframer.feed_whole (by rfl) b (f := b.length + 1) (by simp [Deframer.new])]
  exact Deframer.drain_frames (bodies := bodies) (by rfl) range (by simpa [Deframer.push, Deframer.new, putBytes_eq] using h)
    (by simp [Deframer.push, Deframer.new, putBytes_eq])

/-- A stream that ends well is the frames of the bodies that were taken from it, and nothing else. -/
theorem frames_encode_decode {lenMax : Nat} {b : Bytes} {s : σ} {d : Deframer σ ε}
    {xs : List (Except (FrameError ε) Bytes)} (h : (Deframer.new lenMax s).feed keepBody b = (d, xs))
    (well : d.finish = none) :
    ∃ bodies : List Bytes, xs = bodies.map .ok ∧ encFrames lenMax bodies [] = some b := by
  obtain ⟨whole, empty⟩ := Deframer.finish_none well
  rw [Deframer.feed_whole (by rfl) b (f := b.length + 1) (by simp [Deframer.new])] at h
  obtain ⟨bodies, same, frames⟩ := Deframer.drain_bodies (by rfl) h whole
  exact ⟨bodies, same, by simpa [Deframer.push, Deframer.new, putBytes_eq, empty] using frames⟩

end Antiphon

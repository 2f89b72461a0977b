module

public import Runtime.ProtocolMachine.Safety.Admission
public import Runtime.ProtocolMachine.Codec.File
public import Runtime.ProtocolMachine.Semantics.Resume

@[expose] public section

/-!
# The program that checks safety certificates

It writes the result of `judge` for each image and certificate, one line each. For an accepted
certificate, the line also has the buffers that it covers, and whether it admits the image to
machines with buffers one smaller than the certificate's, equal, and one larger. The theorems
`judged_sound` in `Proofs/Safety.lean` and `judged_admission` in `Proofs/Safety/Admission.lean` are
about these results.
-/

namespace Antiphon

/-- The text of a verdict. -/
def Verdict.words : Verdict → String
  | .accepted => "accepted"
  | .foreign n => "refused: configuration " ++ Nat.repr n ++ " is not one of these automata"
  | .noStart => "refused: the certificate lacks the start"
  | .bad n => "refused: configuration " ++ Nat.repr n ++ " of the certificate is unsafe"
  | .leak n => "refused: a step leads from configuration " ++ Nat.repr n ++ " out of the certificate"

/-- The text of a judgement. -/
def Judged.words : Judged → String
  | .noImage => "refused: these bytes are no image"
  | .noCertificate => "refused: these bytes are no certificate"
  | .examined verdict => verdict.words

/-- The text of a coverage. -/
def Coverage.words : Coverage → String
  | .exactly bound index role => "buffers of " ++ Nat.repr bound ++ ": role " ++ Nat.repr role ++
    " waits for room in configuration " ++ Nat.repr index
  | .atLeast bound => "buffers of at least " ++ Nat.repr bound

/-- The text of an admission, or of its refusal. -/
def admissionWords : Except NotAdmitted Admission → String
  | .ok admission => match admission.way with
    | .sameBound => "same bound"
    | .room => "room"
  | .error (.certificate verdict) => verdict.words
  | .error (.smallerBuffers _) => "smaller"
  | .error (.noRoom _ _ _) => "no room"

/-- The text of the admissions to machines with buffers near the coverage's bound. -/
def Coverage.admissions (coverage : Coverage) : String :=
  "admission with one less: " ++ admissionWords (coverage.admit (coverage.bound - 1)) ++
    ", equal: " ++ admissionWords (coverage.admit coverage.bound) ++
    ", one more: " ++ admissionWords (coverage.admit (coverage.bound + 1))

/-- Judges a claim and returns the text. -/
def claimWords (image certificate : Bytes) : String :=
  match judge image certificate with
  | .examined .accepted => match judgeCoverage image certificate with
    | none => Verdict.words .accepted
    | some coverage => Verdict.words .accepted ++ " for " ++ coverage.words ++ "; " ++ coverage.admissions
  | judged => judged.words

/-- The first item of a file of claims. After it, images and certificates alternate, each as a byte
string. -/
def claimsTag : Bytes := encText (ascii "antiphon.claims.v1" []) []

/-- Judges the claims from a position of the file on. A claim takes at least two bytes, so the
file's length is enough `fuel`. -/
def judgeClaims (b : ByteArray) (out : IO.FS.Handle) : Nat → Nat → IO Unit
  | 0, _ => pure ()
  | fuel + 1, place =>
    match Nat.ble b.size place with
    | true => pure ()
    | false => match stringAt b place with
      | none => throw (IO.userError "the file is cut off or is not a sequence of byte strings")
      | some (image, n) => match stringAt b (image + n) with
        | none => throw (IO.userError "an image has no certificate behind it")
        | some (certificate, m) => do
          out.putStr (claimWords (sliceOnto b image n []) (sliceOnto b certificate m []) ++ "\n")
          judgeClaims b out fuel (certificate + m)

end Antiphon

open Antiphon in
/-- `Certificate.lean CLAIMS VERDICTS` judges a file of claims;
`Certificate.lean IMAGE CERTIFICATE VERDICT` judges one claim. The last line of the output is
`complete`. -/
public def main (args : List String) : IO Unit :=
  match args with
  | [claims, verdicts] => do
    let b ← IO.FS.readBinFile claims
    match behindTag b claimsTag with
    | none => throw (IO.userError "this is not a file of claims")
    | some start => do
      let out ← IO.FS.Handle.mk verdicts .write
      judgeClaims b out (b.size + 1) start
      out.putStr "complete\n"
      out.flush
  | [image, certificate, verdict] => do
    let image ← IO.FS.readBinFile image
    let certificate ← IO.FS.readBinFile certificate
    let out ← IO.FS.Handle.mk verdict .write
    let words := claimWords (sliceOnto image 0 image.size []) (sliceOnto certificate 0 certificate.size [])
    out.putStr (words ++ "\ncomplete\n")
    out.flush
  | _ => throw (IO.userError "usage: Certificate.lean CLAIMS VERDICTS or Certificate.lean IMAGE CERTIFICATE VERDICT")

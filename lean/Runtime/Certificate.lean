module

public import Runtime.ProtocolMachine.Safety.Codec
public import Runtime.ProtocolMachine.Codec.File
public import Runtime.ProtocolMachine.Semantics.Resume

@[expose] public section

/-!
# The program that checks safety certificates

It writes the result of `judge` for each image and certificate, one line each. The theorem
`judged_sound` in `Proofs/Safety.lean` is about `judge`.
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
          out.putStr ((judge (sliceOnto b image n []) (sliceOnto b certificate m [])).words ++ "\n")
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
    let judged := judge (sliceOnto image 0 image.size []) (sliceOnto certificate 0 certificate.size [])
    out.putStr (judged.words ++ "\ncomplete\n")
    out.flush
  | _ => throw (IO.userError "usage: Certificate.lean CLAIMS VERDICTS or Certificate.lean IMAGE CERTIFICATE VERDICT")

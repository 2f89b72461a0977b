module

public import Runtime.ProtocolMachine.Verify.Paths
public import Runtime.ProtocolMachine.Codec.File
public import Runtime.ProtocolMachine.Semantics.Resume

@[expose] public section

/-!
# The program that verifies images

It writes the result of `CodeImage.verify` for each image, one line each. The theorems on verified
images in `Proofs/Verify.lean` are about `CodeImage.verify`.
-/

namespace Antiphon

/-- The name of a kind of error. -/
def VerifyErrorKind.name : VerifyErrorKind → String
  | .tooLong => "TooLong" | .empty => "Empty" | .twice => "Twice" | .noSuchRow => "NoSuchRow"
  | .sortOrder => "SortOrder" | .selfMessage => "SelfMessage"
  | .programPerRole => "ProgramPerRole" | .fallsOff => "FallsOff"
  | .pathsDisagree => "PathsDisagree" | .notEndpoint => "NotEndpoint"
  | .wrongAction => "WrongAction" | .wrongLabel => "WrongLabel" | .unhandled => "Unhandled"
  | .wrongSort => "WrongSort" | .notTotal => "NotTotal" | .wrongOperation => "WrongOperation"
  | .spawnsRole => "SpawnsRole" | .endsEarly => "EndsEarly"
  | .forgedConstant => "ForgedConstant" | .notClosed => "NotClosed"

/-- The line for the bytes of an image. -/
def verifyLine (b : Bytes) : String :=
  match decImage b with
  | some (image, []) => match image.verify with
    | .ok _ => "verified\n"
    | .error kind => kind.name ++ "\n"
  | _ => "unreadable\n"

/-- The first item of a file of images. After it, each image is a byte string. -/
def imagesTag : Bytes := encText (ascii "antiphon.images.v1" []) []

/-- Verifies the images from a position of the file on. An image takes at least one byte, so the
file's length is enough `fuel`. -/
def verifyImages (b : ByteArray) (out : IO.FS.Handle) : Nat → Nat → IO Unit
  | 0, _ => pure ()
  | fuel + 1, place =>
    match Nat.ble b.size place with
    | true => pure ()
    | false => match stringAt b place with
      | none => throw (IO.userError "the file is cut off or is not a sequence of byte strings")
      | some (image, n) => do
        out.putStr (verifyLine (sliceOnto b image n []))
        verifyImages b out fuel (image + n)

end Antiphon

open Antiphon in
/-- `Verification.lean IMAGES VERDICTS` verifies a file of images. The last line of the output is
`complete`. -/
public def main (args : List String) : IO Unit :=
  match args with
  | [images, verdicts] => do
    let b ← IO.FS.readBinFile images
    match behindTag b imagesTag with
    | none => throw (IO.userError "this is not a file of images")
    | some start => do
      let out ← IO.FS.Handle.mk verdicts .write
      verifyImages b out (b.size + 1) start
      out.putStr "complete\n"
      out.flush
  | _ => throw (IO.userError "usage: Verification.lean IMAGES VERDICTS")

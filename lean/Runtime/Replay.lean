module

public import Runtime.ProtocolMachine.Codec.Recording
public import Runtime.ProtocolMachine.Codec.File

@[expose] public section

/-!
# The program that replays recordings

It expands each recording into a list of actions, runs them and writes what each action shows. It
also records the run again and writes the entries of that recording. The theorem `expand_compress`
in `Proofs/Recording.lean` is about `expand` and `compress`.
-/

namespace Antiphon

/-- The first item of a file of recordings. Each recording follows as a byte string. -/
def recordingsTag : Bytes := encText (ascii "antiphon.recordings.v1" []) []

/-- The first and the last item of an output file. -/
def replaysTag : Bytes := encText (ascii "antiphon.replays.v1" []) []
def replaysEnd : Bytes := encText (ascii "complete" []) []

/-- The output of a recording that cannot be read, and of one that is refused. -/
def notRead : Bytes := encArrayHead 1 (encText (ascii "this recording cannot be read" []) [])
def notReplayed : Bytes := encArrayHead 1 (encText (ascii "this recording is refused" []) [])

/-- Runs actions and appends what each one shows. -/
def showRun (m : Machine) (out : ByteArray) : List Action → ByteArray
  | [] => out
  | a :: as =>
    let acted := m.act a
    showRun acted.machine (pushAll (encShown acted.shown acted.machine []) out) as

/-- The entries that record these actions without checkpoints; `none` if the actions do not have the
form that a driver produces. -/
def recordAgain (r : RecordedRun) (actions : List Action) : List RecordedEntry :=
  match compress (fun _ => none) (none, none) r.config r.images actions with
  | none => []
  | some again => again.entries

/-- The output of a recording: an array of its entries when it is recorded again, then what each
action shows. -/
def showRecording (b : Bytes) : ByteArray :=
  match readRecordedRun b with
  | none => pushAll notRead ByteArray.empty
  | some r => match expand r with
    | none => pushAll notReplayed ByteArray.empty
    | some actions =>
      let entries := encEntries (recordAgain r actions) []
      showRun r.machine (pushAll (encArrayHead (len actions + 1) entries) ByteArray.empty) actions

/-- Replays the recordings from a position of the file on. A recording takes at least one byte, so
the file's length is enough `fuel`. -/
def replayAll (b : ByteArray) (out : IO.FS.Handle) : Nat → Nat → IO Unit
  | 0, _ => pure ()
  | fuel + 1, place =>
    match Nat.ble b.size place with
    | true => pure ()
    | false => match stringAt b place with
      | none => throw (IO.userError "the file is cut off or is not a sequence of byte strings")
      | some (start, n) => do
        out.write (showRecording (sliceOnto b start n []))
        replayAll b out fuel (start + n)

end Antiphon

open Antiphon in
/-- `Replay.lean RECORDINGS OUTPUT` replays a file of recordings. -/
public def main (args : List String) : IO Unit :=
  match args with
  | [recordings, output] => do
    let b ← IO.FS.readBinFile recordings
    match behindTag b recordingsTag with
    | none => throw (IO.userError "this is not a file of recordings")
    | some start => do
      let out ← IO.FS.Handle.mk output .write
      out.write (pushAll replaysTag ByteArray.empty)
      replayAll b out (b.size + 1) start
      out.write (pushAll replaysEnd ByteArray.empty)
      out.flush
  | _ => throw (IO.userError "usage: Replay.lean RECORDINGS OUTPUT")

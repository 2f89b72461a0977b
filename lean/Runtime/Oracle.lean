module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner
public import Runtime.ProtocolMachine.Codec.State
public import Runtime.ProtocolMachine.Codec.Action
public import Runtime.ProtocolMachine.Codec.File

@[expose] public section

/-!
# The oracle

The oracle reads a corpus file, runs every case and writes what each action shows. `docs/parity.md`
describes both formats. It is a loop over `Machine.act` and has no logic of its own.
-/

namespace Antiphon

/-- The first item of a corpus file. -/
def corpusTag : Bytes := encText (ascii "antiphon.corpus.v1" []) []

/-- The first and the last item of an output file. -/
def outputTag : Bytes := encText (ascii "antiphon.output.v1" []) []
def outputEnd : Bytes := encText (ascii "complete" []) []

/-- Runs actions and appends what each one shows. -/
def showActions (m : Machine) (out : ByteArray) : List Action → ByteArray
  | [] => out
  | a :: as =>
    let acted := m.act a
    showActions acted.machine (pushAll (encShown acted.shown acted.machine []) out) as

/-- The output of a case. -/
def showCase (c : Case) : ByteArray :=
  showActions c.machine (pushAll (encArrayHead (len c.actions) []) ByteArray.empty) c.actions

/-- The output of a case that cannot be read. -/
def unreadable : Bytes := encArrayHead 1 (encText (ascii "this case cannot be read" []) [])

/-- Runs the cases from a position of the file on. A case takes at least one byte, so the file's
length is enough `fuel`. -/
def runCases (b : ByteArray) (out : IO.FS.Handle) : Nat → Nat → IO Unit
  | 0, _ => pure ()
  | fuel + 1, place =>
    match Nat.ble b.size place with
    | true => pure ()
    | false => match stringAt b place with
      | none => throw (IO.userError "the corpus file is cut off or is not a sequence of byte strings")
      | some (start, n) => do
        match readCase (sliceOnto b start n []) with
        | none => out.write (pushAll unreadable ByteArray.empty)
        | some c => out.write (showCase c)
        runCases b out fuel (start + n)

end Antiphon

open Antiphon in
/-- `Oracle.lean CORPUS OUTPUT` runs a corpus file. -/
public def main (args : List String) : IO Unit :=
  match args with
  | [corpus, output] => do
    let b ← IO.FS.readBinFile corpus
    match behindTag b corpusTag with
    | none => throw (IO.userError "this is not a corpus file")
    | some start => do
      let out ← IO.FS.Handle.mk output .write
      out.write (pushAll outputTag ByteArray.empty)
      runCases b out (b.size + 1) start
      out.write (pushAll outputEnd ByteArray.empty)
      out.flush
  | _ => throw (IO.userError "usage: Oracle.lean CORPUS OUTPUT")

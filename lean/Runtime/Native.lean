module

public import Runtime.Oracle

@[expose] public section

/-!
# The oracle as a function

A program that links the compiled model calls `antiphon_run_case` once for each case, in its own
process. `rust/lean-native` declares this function.
-/

namespace Antiphon

/-- The output of one encoded case: the item that the oracle writes for it. -/
@[export antiphon_run_case]
def runCase (b : ByteArray) : ByteArray :=
  match readCase (sliceOnto b 0 b.size []) with
  | none => pushAll unreadable ByteArray.empty
  | some c => showCase c

end Antiphon

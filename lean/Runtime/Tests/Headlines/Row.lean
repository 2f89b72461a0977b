module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner

@[expose] public section

/-!
# Rows of the table of headlines

Every headline theorem of `TheoremPack/API.lean` has a row `Antiphon.Tests.Headlines.NAME`. The
row's claim is the statement of the headline with a variable in place of one definition. The claim
holds for the definition, which is what the headline proves, and it fails for a changed definition.
So the headline is not true of every definition. If the headline speaks of runs, the changed
definition is a machine, or a part of one, that behaves otherwise.

For every headline there is also a theorem `Antiphon.Tests.Headlines.NAME_applied`: a consequence
for one machine, one run or one encoding, in which all hypotheses of the headline are discharged.

`cargo xtask lean` reads the rows back (`rust/xtask/src/lean/environment.lean`). It checks that
`holds` is the headline itself, and that `claim real` is the headline's statement, word for word
after the definitions of `Tests` are unfolded. So a claim cannot examine its subject, and cannot say
less than the headline does.
-/

namespace Antiphon.Tests

universe u

/-- A row of the table: the statement of a headline as a claim about one definition, for which it
holds, and a changed definition, for which it fails. -/
structure Headline : Type (u + 1) where
  /-- The type of the definition. -/
  Subject : Type u
  /-- The headline's statement with a variable in place of the definition. -/
  claim : Subject → Prop
  /-- The definition that the headline is about. -/
  real : Subject
  /-- A changed definition. -/
  changed : Subject
  /-- The headline. -/
  holds : claim real
  /-- The statement is false of the changed definition. -/
  fails : ¬ claim changed

/-- The run of actions on a machine without sessions, as `runOf` defines it. -/
abbrev Runner : Type := ProtocolMachineConfig → List Loaded → List Action → Run

/-- `Run.actAll` with another function that performs an action. -/
def actAllWith (act : Machine → Action → Acted) (r : Run) : List Action → Run
  | [] => r
  | a :: as =>
    actAllWith act
      { machine := (act r.machine a).machine
        events := app r.events (act r.machine a).shown.events } as

/-- `runOf` with another function that performs an action. -/
def runWith (act : Machine → Action → Acted) : Runner := fun config images as =>
  actAllWith act { machine := Machine.new config images, events := [] } as

end Antiphon.Tests

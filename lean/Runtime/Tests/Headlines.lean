module

public import Runtime.Tests.Headlines.Admission
public import Runtime.Tests.Headlines.Runs
public import Runtime.Tests.Headlines.Static

@[expose] public section

/-!
# The table of headlines

`Headlines/Row.lean` explains the table. `cargo xtask lean` checks that each headline of
`TheoremPack/API.lean` has a row and an application in it.
-/

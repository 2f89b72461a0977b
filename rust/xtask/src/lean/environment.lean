
/-!
Reads Lean's environment after all modules of the project are loaded. `cargo xtask lean` prepends the
imports (every module with proofs or tests, and every module that these import, each with its proofs),
`outputFile`, the file to write, and `headlines`, the names of the headline theorems.

Three checks print a line for each finding: a declaration that depends on an axiom that is not allowed,
a declaration that hides one of Lean's own, and a headline without a row in the table of headlines. For
the constants of Lean's own library, only their kind is available here (axiom, theorem or definition),
not their proofs.

The file that is written has a line for each declaration outside the tests, from which the list of
theorems is made.
-/

open Lean Elab

/-- Whether a module belongs to this project. -/
meta def isOurs (module : Name) : Bool :=
  module.getRoot == `Runtime

/-- Whether a module has tests of the theorems. -/
meta def isTests (module : Name) : Bool :=
  (`Runtime.Tests).isPrefixOf module

/-- All but the first `n`. -/
meta def dropFirst : Nat → List Name → List Name
  | n + 1, _ :: xs => dropFirst n xs
  | _, xs => xs

/-! ## Axioms -/

/-- The axioms of Lean's logic, which are allowed. -/
meta def isAllowed (n : Name) : Bool :=
  n == `propext || n == `Quot.sound || n == `Classical.choice

/-- Why a declaration may not depend on a constant that has no body here; `none` if it may. -/
meta def objection (env : Environment) (n : Name) : Option String :=
  if isAllowed n then none
  else if getOriginalConstKind? env n == some .axiom then some "an axiom"
  else match env.getModuleIdxFor? n with
    | some i =>
      if isOurs (env.header.moduleNames[i.toNat]!) then some "imported without its body" else none
    | none => some "not in any module"

/-- The findings about `user`, the first declaration found to depend on these constants. -/
meta def axiomFindings (env : Environment) (user : Name) : List Name → String
  | [] => ""
  | n :: ns => (match objection env n with
      | some why => user.toString ++ " depends on " ++ n.toString ++ ", which is " ++ why ++ "\n"
      | none => "") ++ axiomFindings env user ns

/-! ## Names that hide a name of Lean's library

Inside `namespace Antiphon`, `List.range` means `Antiphon.List.range` if that exists, so a statement
could mean something else than it says. -/

/-- The name without its first component. -/
meta def withoutRoot (n : Name) : Name :=
  match n.components with
  | _ :: rest => rest.foldl (fun name part => name ++ part) .anonymous
  | [] => .anonymous

/-- Whether a name is one of Lean's own library. -/
meta def isLibrary (env : Environment) (n : Name) : Bool :=
  match env.getModuleIdxFor? n with
  | some i => !isOurs (env.header.moduleNames[i.toNat]!)
  | none => false

/-- The library's name that `n` hides inside one of its own namespaces. A name of a single component
is hidden only by a declaration directly in `Antiphon`: a field may have such a name. -/
meta def hides (env : Environment) (depth : Nat) (n : Name) : Nat → Option Name
  | 0 => none
  | fuel + 1 =>
    let rest := withoutRoot n
    if rest.isAnonymous then none
    else if isLibrary env rest && (depth == 0 || !rest.isAtomic) then some rest
    else hides env (depth + 1) rest fuel

/-- The finding about a name that hides one of Lean's; empty if it hides none. -/
meta def hidingFinding (env : Environment) (n : Name) : String :=
  if n.isInternalDetail then "" else
  match hides env 0 n 8 with
  | some hidden => n.toString ++ " hides " ++ hidden.toString ++ ", which is Lean's\n"
  | none => ""

/-! ## The text of a term, for hashing

Each node is a letter and its parts. The names of bound variables and whether an argument is implicit
are left out: they do not change what a statement means. -/

meta def levelText (acc : String) : Level → String
  | .zero => acc ++ "0"
  | .succ l => levelText (acc ++ "S") l
  | .max a b => levelText (levelText (acc ++ "M") a) b
  | .imax a b => levelText (levelText (acc ++ "I") a) b
  | .param n => (acc ++ "P").append (n.toString ++ " ")
  | .mvar _ => acc ++ "?"

meta def levelsText (acc : String) : List Level → String
  | [] => acc
  | l :: ls => levelsText (levelText acc l) ls

meta def termText (acc : String) : Expr → String
  | .bvar i => (acc ++ "#").append (Nat.repr i ++ " ")
  | .fvar _ => acc ++ "?"
  | .mvar _ => acc ++ "?"
  | .sort l => levelText (acc ++ "s") l
  | .const n ls => levelsText ((acc ++ "c").append (n.toString ++ " ")) ls
  | .app f x => termText (termText (acc ++ "a") f) x
  | .lam _ t b _ => termText (termText (acc ++ "l") t) b
  | .forallE _ t b _ => termText (termText (acc ++ "p") t) b
  | .letE _ t v b _ => termText (termText (termText (acc ++ "e") t) v) b
  | .lit (.natVal n) => (acc ++ "n").append (Nat.repr n ++ " ")
  | .lit (.strVal s) => (acc ++ "t").append s.quote
  | .mdata _ e => termText acc e
  | .proj n i e => termText ((acc ++ "j").append (n.toString ++ " " ++ Nat.repr i ++ " ")) e

/-- Statements are printed in full. -/
meta def printed (options : Options) : Options :=
  ((options.setBool `pp.deepTerms true).setBool `pp.proofs true).setNat `pp.maxSteps 1000000

/-! ## Lines of the file

A line has fields separated by tabs. The first is `module`, `declaration` or `theorem`. -/

meta def namesText : List Name → String
  | [] => ""
  | n :: ns => n.toString ++ "\t" ++ namesText ns

/-- The declarations that belong to this one: the constructors of a type, or the type of a constructor
or recursor. -/
meta def companions : ConstantInfo → List Name
  | .inductInfo i => i.ctors
  | .ctorInfo i => [i.induct]
  | .recInfo i => i.all
  | _ => []

/-- The text of the value. A theorem's value is its proof, which changes no meaning. -/
meta def valueText : ConstantInfo → String
  | .defnInfo i => termText "" i.value
  | .opaqueInfo i => termText "" i.value
  | _ => ""

meta def valueNames : ConstantInfo → List Name
  | .defnInfo i => i.value.getUsedConstants.toList
  | .opaqueInfo i => i.value.getUsedConstants.toList
  | _ => []

/-- `declaration NAME TEXT USED...`: the hashed text, and the constants that it uses. -/
meta def declarationLine (n : Name) (i : ConstantInfo) : String :=
  "declaration\t" ++ n.toString ++ "\t" ++ termText "" i.type ++ "|" ++ valueText i ++ "\t" ++
    namesText i.type.getUsedConstants.toList ++ namesText (valueNames i) ++
    namesText (companions i) ++ "\n"

/-- The last components of the names of theorems that Lean declares by itself. -/
meta def isGenerated : Name → Bool
  | .str _ s => s == "eq_def" || s == "inj" || s == "injEq" || s == "sizeOf_spec" || s == "brecOn"
  | _ => false

/-- `theorem NAME STATEMENT`: of a theorem that Lean did not declare by itself, its quoted statement
as Lean prints it. -/
meta def theoremLine (env : Environment) (n : Name) (type : Expr) : MetaM String := do
  if n.isInternalDetail || isGenerated n || env.isProjectionFn n then return ""
  let shown ← withOptions printed (Meta.ppExpr type)
  return "theorem\t" ++ n.toString ++ "\t" ++ (shown.pretty 1000000).quote ++ "\n"

/-- The state of the check: how many declarations were checked, the findings and the lines so far. -/
structure Checked where
  count : Nat
  theorems : Nat
  found : String
  lines : String
  reached : CollectAxioms.State

/-- Checks these declarations of a module. No lines are written of a module with tests. -/
meta def check (env : Environment) (tests : Bool) (c : Checked) : List Name → MetaM Checked
  | [] => return c
  | n :: ns => do
    let before := c.reached.axioms.size
    let (_, reached) := ((CollectAxioms.collect n).run env).run c.reached
    let found := if reached.axioms.size == before then c.found
      else c.found ++ axiomFindings env n (dropFirst before reached.axioms.toList)
    let found := found ++ hidingFinding env n
    match env.find? n with
    | some i =>
      let lines := if tests then c.lines else c.lines ++ declarationLine n i
      match i with
      | .thmInfo t =>
        let line ← if tests then pure "" else theoremLine env n t.type
        check env tests ⟨c.count + 1, c.theorems + 1, found, lines ++ line, reached⟩ ns
      | _ => check env tests ⟨c.count + 1, c.theorems, found, lines, reached⟩ ns
    | none => check env tests ⟨c.count + 1, c.theorems, found, c.lines, reached⟩ ns

/-- Checks every module of the project. -/
meta def checkAll (env : Environment) (c : Checked) : List Name → List ModuleData → MetaM Checked
  | m :: ms, d :: ds => do
    if isOurs m then
      let tests := isTests m
      let lines := if tests then c.lines else c.lines ++ "module\t" ++ m.toString ++ "\n"
      let c ← check env tests { c with lines } d.constNames.toList
      checkAll env c ms ds
    else checkAll env c ms ds
  | _, _ => return c

/-! ## The table of headlines

`Runtime/Tests/Headlines` has a row and an application for each headline; `Headlines/Row.lean` explains
them. The row proves its claim by the headline itself. The claim is compared with the headline's
statement as text, after the definitions of the tests are unfolded: a comparison up to computation
would accept a claim that examines its subject and says nothing about a changed one. -/

/-- The module of a declaration; none if this file declares it. -/
meta def moduleOf (env : Environment) (n : Name) : Option Name :=
  match env.getModuleIdxFor? n with
  | some i => some (env.header.moduleNames[i.toNat]!)
  | none => none

/-- The value of a definition of the tests, or of this file. -/
meta def testValue (env : Environment) (n : Name) (ls : List Level) : Option Expr :=
  match moduleOf env n, env.find? n with
  | some m, some (.defnInfo d) =>
    if isTests m then some (d.value.instantiateLevelParams d.levelParams ls) else none
  | none, some (.defnInfo d) => some (d.value.instantiateLevelParams d.levelParams ls)
  | _, _ => none

/-- The term with another term at its head. -/
meta def withHead (head : Expr) : Expr → Expr
  | .app f x => .app (withHead head f) x
  | _ => head

/-- The term with each `let` replaced by its value, and each function applied where it is given its
arguments; with the definitions of the tests unfolded if `tests` is set. -/
meta partial def plain (env : Environment) (tests : Bool) (e : Expr) : Expr :=
  match e with
  | .mdata _ e => plain env tests e
  | .letE _ _ v b _ => plain env tests (b.instantiate1 v)
  | .lam n t b i => (Expr.lam n (plain env tests t) (plain env tests b) i).eta
  | .forallE n t b i => .forallE n (plain env tests t) (plain env tests b) i
  | .proj n i e => .proj n i (plain env tests e)
  | .app f x => match unfolded e with
    | some e => plain env tests e
    | none =>
      let e := Expr.app (plain env tests f) (plain env tests x)
      if e.getAppFn.isLambda then plain env tests e.headBeta else e
  | .const .. => match unfolded e with
    | some e => plain env tests e
    | none => e
  | e => e
where
  /-- The term with the definition at its head unfolded. -/
  unfolded (e : Expr) : Option Expr :=
    match e.getAppFn with
    | .const n ls => if tests then match testValue env n ls with
        | some value => some (withHead value e).headBeta
        | none => none
      else none
    | .lam .. => some e.headBeta
    | _ => none

/-- The name of a headline's row, which is in the namespace of the table. -/
meta def rowOf (headline : Name) : Name := `Antiphon.Tests.Headlines ++ withoutRoot headline

/-- Whether a term is a single definition or constructor of the project outside the tests. -/
meta def isDefined (env : Environment) : Expr → Bool
  | .const n _ => match moduleOf env n with
    | some m => isOurs m && !isTests m
    | none => false
  | _ => false

/-- What is wrong with the value of a row; none if nothing is. -/
meta def valueFault (env : Environment) (headline : Name) (statement value : Expr) : Option String :=
  match value.consumeMData with
  | .app (.app (.app (.app (.app (.app (.const mk _) _) claim) real) _) holds) _ =>
    if mk != `Antiphon.Tests.Headline.mk then some "is not written as a row"
    else if !(plain env false holds).isConstOf headline then
      some "does not hold by the headline itself"
    else if !isDefined env (plain env false real) then
      some "is not about a definition of the project"
    else if termText "" (plain env true statement) != termText "" (plain env true (.app claim real)) then
      some "claims something else than the headline states"
    else none
  | _ => some "is not written as a row"

/-- What is wrong with the row of a headline; none if nothing is. -/
meta def rowFault (env : Environment) (headline : Name) (statement : Expr) : Option String :=
  match env.find? (rowOf headline) with
  | some (.defnInfo d) =>
    if d.type.isConstOf `Antiphon.Tests.Headline then valueFault env headline statement d.value
    else some "does not have the type of a row"
  | some _ => some "is not a definition"
  | none => some "is missing"

meta def hasName (n : Name) : List Name → Bool
  | [] => false
  | x :: xs => x == n || hasName n xs

/-- What is wrong with a theorem and its proof as an application of a headline; none if nothing is. -/
meta def useFault (env : Environment) (headline : Name) (type proof : Expr) : Option String :=
  if (plain env true type).isForall then some "is not about anything in particular"
  else if hasName headline (plain env false proof).getUsedConstants.toList then none
  else some "does not use the headline"

/-- What is wrong with the application of a headline; none if nothing is. -/
meta def applicationFault (env : Environment) (headline : Name) : Option String :=
  match env.find? ((rowOf headline).appendAfter "_applied") with
  | some (.thmInfo t) => useFault env headline t.type t.value
  | some _ => some "is not a theorem"
  | none => some "is missing"

/-- The state of the check of the table. -/
structure Table where
  count : Nat
  applied : Nat
  refuted : Nat
  found : String

/-- Checks the rows and the applications of these headlines. -/
meta def checkTable (env : Environment) (t : Table) : List Name → Table
  | [] => t
  | n :: ns =>
    let faults := match env.find? n, moduleOf env n with
      | some (.thmInfo i), some m =>
        if isOurs m && !isTests m then (rowFault env n i.type, applicationFault env n)
        else (some "is a row of a test", some "is an application of a test")
      | _, _ => (some "has no theorem", some "has no theorem")
    let line (part : String) : Option String → String
      | some fault => "the " ++ part ++ " of the headline " ++ n.toString ++ " " ++ fault ++ "\n"
      | none => ""
    checkTable env
      { count := t.count + 1
        refuted := if faults.1.isNone then t.refuted + 1 else t.refuted
        applied := if faults.2.isNone then t.applied + 1 else t.applied
        found := t.found ++ line "row" faults.1 ++ line "application" faults.2 } ns

elab "environment" : term => do
  let env := (← getEnv).setExporting false
  let names := env.header.moduleNames.toList
  let c ← checkAll env ⟨0, 0, "", "", {}⟩ names env.header.moduleData.toList
  let t := checkTable env ⟨0, 0, 0, ""⟩ headlines
  IO.FS.writeFile outputFile (c.lines ++ "complete\n")
  IO.println (Nat.repr c.theorems ++ " theorems among " ++ Nat.repr c.count ++ " declarations")
  IO.println (Nat.repr t.count ++ " headlines, " ++ Nat.repr t.applied ++ " applied, " ++
    Nat.repr t.refuted ++ " refuted")
  IO.println (c.found ++ t.found)
  return mkStrLit (if (c.found ++ t.found).isEmpty then "allowed" else "refused")

/-! The check of names finds names that hide one of Lean's, and no others. -/

namespace Antiphon
def List.range (_ : Nat) : List Nat := []
def id (n : Nat) : Nat := n + 1
def Inner.id (n : Nat) : Nat := n
def List.rangeOfOurs (_ : Nat) : List Nat := []
end Antiphon

elab "hiding" : term => do
  let env := (← getEnv).setExporting false
  let found := hidingFinding env `Antiphon.List.range ++ hidingFinding env `Antiphon.id ++
    hidingFinding env `Antiphon.Inner.id ++ hidingFinding env `Antiphon.List.rangeOfOurs
  return mkStrLit found

example : hiding = "Antiphon.List.range hides List.range, which is Lean's\n\
  Antiphon.id hides id, which is Lean's\n" := rfl

/-! The check of rows and applications finds those that do not show what the headline says. -/

namespace Antiphon.Tests

/-- Stands for a headline. -/
theorem equal : sameBytes [] [] = true := rfl

theorem equal' : sameBytes [] [] = true := rfl

namespace Samples

noncomputable def right : Headline where
  Subject := Bytes → Bytes → Bool
  claim f := f [] [] = true
  real := sameBytes
  changed _ _ := false
  holds := equal
  fails := nofun

/-- It holds by computation. -/
noncomputable def otherProof : Headline where
  Subject := Bytes → Bytes → Bool
  claim f := f [] [] = true
  real := sameBytes
  changed _ _ := false
  holds := equal'
  fails := nofun

/-- The claim examines its subject, and is false of a changed one for this reason only. -/
noncomputable def examines : Headline where
  Subject := Bytes → Bytes → Bool
  claim f := cond (f [] []) (sameBytes [] [] = true) False
  real := sameBytes
  changed _ _ := false
  holds := equal
  fails h := h

/-- The statement does not become false, but an argument of it. -/
noncomputable def otherSubject : Headline where
  Subject := Bool
  claim b := sameBytes [] [] = b
  real := true
  changed := false
  holds := equal
  fails := nofun

theorem used : sameBytes [] [] ≠ false := fun h => nomatch equal.symm.trans h
theorem unused : sameBytes [] [] = true := (fun _ => rfl) equal
theorem letIn : sameBytes [] [] = true := have _ := equal; rfl
theorem open' (n : Nat) : sameBytes [] [] = true ∧ n = n := ⟨equal, rfl⟩

end Samples

end Antiphon.Tests

/-- The last component of a name. -/
meta def last : Name → String
  | .str _ s => s
  | _ => ""

/-- What is wrong with a row of this file. -/
meta def sampleRow (env : Environment) (row : Name) : String :=
  match env.find? row, env.find? ``Antiphon.Tests.equal with
  | some (.defnInfo d), some (.thmInfo t) =>
    last row ++ " " ++ (valueFault env ``Antiphon.Tests.equal t.type d.value).getD "is a row" ++ "\n"
  | _, _ => last row ++ " is missing\n"

/-- What is wrong with an application of this file. -/
meta def sampleUse (env : Environment) (name : Name) : String :=
  match env.find? name with
  | some (.thmInfo t) =>
    last name ++ " " ++ (useFault env ``Antiphon.Tests.equal t.type t.value).getD "uses it" ++ "\n"
  | _ => last name ++ " is missing\n"

elab "samples" : term => do
  let env := (← getEnv).setExporting false
  return mkStrLit (sampleRow env ``Antiphon.Tests.Samples.right ++
    sampleRow env ``Antiphon.Tests.Samples.otherProof ++
    sampleRow env ``Antiphon.Tests.Samples.examines ++
    sampleRow env ``Antiphon.Tests.Samples.otherSubject ++
    sampleUse env ``Antiphon.Tests.Samples.used ++ sampleUse env ``Antiphon.Tests.Samples.unused ++
    sampleUse env ``Antiphon.Tests.Samples.letIn ++ sampleUse env ``Antiphon.Tests.Samples.open')

example : samples = "right is a row\n\
  otherProof does not hold by the headline itself\n\
  examines claims something else than the headline states\n\
  otherSubject is not about a definition of the project\n\
  used uses it\n\
  unused does not use the headline\n\
  letIn does not use the headline\n\
  open' is not about anything in particular\n" := rfl

/-- The project's declarations depend on allowed axioms only and hide no name of Lean's, and every
headline has a row and an application. -/
example : environment = "allowed" := rfl


/-!
Reads Lean's environment after all modules of the project are loaded. `cargo xtask lean` prepends the
imports (every module with proofs, and every module that these import, each with its proofs) and
`outputFile`, the file to write.

Two checks print a line for each finding: a declaration that depends on an axiom that is not allowed,
and a declaration that hides one of Lean's own. For the constants of Lean's own library, only their
kind is available here (axiom, theorem or definition), not their proofs.

The file that is written has a line for each declaration, from which the list of theorems is made.
-/

open Lean Elab

/-- Whether a module belongs to this project. -/
meta def isOurs (module : Name) : Bool :=
  module.getRoot == `Runtime

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

/-- Checks these declarations of a module. -/
meta def check (env : Environment) (c : Checked) : List Name → MetaM Checked
  | [] => return c
  | n :: ns => do
    let before := c.reached.axioms.size
    let (_, reached) := ((CollectAxioms.collect n).run env).run c.reached
    let found := if reached.axioms.size == before then c.found
      else c.found ++ axiomFindings env n (dropFirst before reached.axioms.toList)
    let found := found ++ hidingFinding env n
    match env.find? n with
    | some i =>
      let lines := c.lines ++ declarationLine n i
      match i with
      | .thmInfo t =>
        let line ← theoremLine env n t.type
        check env ⟨c.count + 1, c.theorems + 1, found, lines ++ line, reached⟩ ns
      | _ => check env ⟨c.count + 1, c.theorems, found, lines, reached⟩ ns
    | none => check env ⟨c.count + 1, c.theorems, found, c.lines, reached⟩ ns

/-- Checks every module of the project. -/
meta def checkAll (env : Environment) (c : Checked) : List Name → List ModuleData → MetaM Checked
  | m :: ms, d :: ds => do
    if isOurs m then
      let c ← check env { c with lines := c.lines ++ "module\t" ++ m.toString ++ "\n" }
        d.constNames.toList
      checkAll env c ms ds
    else checkAll env c ms ds
  | _, _ => return c

elab "environment" : term => do
  let env := (← getEnv).setExporting false
  let names := env.header.moduleNames.toList
  let c ← checkAll env ⟨0, 0, "", "", {}⟩ names env.header.moduleData.toList
  IO.FS.writeFile outputFile (c.lines ++ "complete\n")
  IO.println (Nat.repr c.theorems ++ " theorems among " ++ Nat.repr c.count ++ " declarations")
  IO.println c.found
  return mkStrLit (if c.found.isEmpty then "allowed" else "refused")

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

/-- The project's declarations depend on allowed axioms only, and hide no name of Lean's. -/
example : environment = "allowed" := rfl

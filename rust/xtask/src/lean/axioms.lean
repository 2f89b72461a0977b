
/-!
Checks which axioms the project's declarations depend on. `cargo xtask lean` prepends the imports:
every module with proofs, and every module that these import, each with its proofs. For the
constants of Lean's own library, only their kind is available here (axiom, theorem or definition),
not their proofs.
-/

open Lean Elab

/-- The axioms of Lean's logic, which are allowed. -/
meta def isAllowed (n : Name) : Bool :=
  n == `propext || n == `Quot.sound || n == `Classical.choice

/-- Whether a module belongs to this project. -/
meta def isOurs (module : Name) : Bool :=
  module.getRoot == `Runtime

/-- Why a declaration may not depend on a constant that has no body here; `none` if it may. -/
meta def objection (env : Environment) (n : Name) : Option String :=
  if isAllowed n then none
  else if getOriginalConstKind? env n == some .axiom then some "an axiom"
  else match env.getModuleIdxFor? n with
    | some i =>
      if isOurs (env.header.moduleNames[i.toNat]!) then some "imported without its body" else none
    | none => some "not in any module"

/-- The findings about `user`, the first declaration found to depend on these constants. -/
meta def findings (env : Environment) (user : Name) : List Name → String
  | [] => ""
  | n :: ns => (match objection env n with
      | some why => user.toString ++ " depends on " ++ n.toString ++ ", which is " ++ why ++ "\n"
      | none => "") ++ findings env user ns

/-- All but the first `n`. -/
meta def dropFirst : Nat → List Name → List Name
  | n + 1, _ :: xs => dropFirst n xs
  | _, xs => xs

/-- The state of the check: how many declarations were checked, and the findings so far. -/
structure Checked where
  count : Nat
  theorems : Nat
  found : String
  reached : CollectAxioms.State

/-- Checks these declarations of a module. -/
meta def check (env : Environment) (c : Checked) : List Name → Checked
  | [] => c
  | n :: ns =>
    let before := c.reached.axioms.size
    let (_, reached) := ((CollectAxioms.collect n).run env).run c.reached
    let found := if reached.axioms.size == before then c.found
      else c.found ++ findings env n (dropFirst before reached.axioms.toList)
    let theorems := match env.find? n with
      | some (.thmInfo _) => c.theorems + 1
      | _ => c.theorems
    check env ⟨c.count + 1, theorems, found, reached⟩ ns

/-- Checks every module of the project. -/
meta def checkAll (env : Environment) (c : Checked) : List Name → List ModuleData → Checked
  | m :: ms, d :: ds =>
    checkAll env (if isOurs m then check env c d.constNames.toList else c) ms ds
  | _, _ => c

elab "axioms_of_all" : term => do
  let env := (← getEnv).setExporting false
  let c := checkAll env ⟨0, 0, "", {}⟩ env.header.moduleNames.toList env.header.moduleData.toList
  IO.println s!"{c.theorems} theorems among {c.count} declarations"
  IO.println c.found
  return mkStrLit (if c.found.isEmpty then "allowed" else "refused")

/-- The project's declarations depend on allowed axioms only. -/
example : axioms_of_all = "allowed" := rfl


/-!
Which axioms anything of ours rests on. `cargo xtask lean` puts the imports in front: all of every proof
and of every module that proofs import, so that no step of ours is taken on trust. Of Lean's own library
proofs are not at hand here; whether something was declared as an axiom is.
-/

open Lean Elab

/-- What Lean's logic is taken to have. -/
meta def isAllowed (n : Name) : Bool :=
  n == `propext || n == `Quot.sound || n == `Classical.choice

/-- Whether a module is of this project. -/
meta def isOurs (module : Name) : Bool :=
  module.getRoot == `Runtime

/-- What is wrong with resting on something that has no body here. -/
meta def wrong (env : Environment) (n : Name) : Option String :=
  if isAllowed n then none
  else if getOriginalConstKind? env n == some .axiom then some "an axiom"
  else match env.getModuleIdxFor? n with
    | some i => if isOurs (env.header.moduleNames[i.toNat]!) then some "not imported whole" else none
    | none => some "of no module"

/-- The findings about `who`, of what it was the first to rest on. -/
meta def findings (env : Environment) (who : Name) : List Name → String
  | [] => ""
  | n :: ns => (match wrong env n with
      | some why => who.toString ++ " rests on " ++ n.toString ++ ", which is " ++ why ++ "\n"
      | none => "") ++ findings env who ns

/-- All but the first `n`. -/
meta def without : Nat → List Name → List Name
  | n + 1, _ :: xs => without n xs
  | _, xs => xs

/-- How many there are, and what was found, of what was looked through so far. -/
structure Looked where
  count : Nat
  theorems : Nat
  found : String
  reached : CollectAxioms.State

/-- Looks through everything that a module declares. -/
meta def look (env : Environment) (l : Looked) : List Name → Looked
  | [] => l
  | n :: ns =>
    let before := l.reached.axioms.size
    let (_, reached) := ((CollectAxioms.collect n).run env).run l.reached
    let found := if reached.axioms.size == before then l.found
      else l.found ++ findings env n (without before reached.axioms.toList)
    let theorems := match env.find? n with
      | some (.thmInfo _) => l.theorems + 1
      | _ => l.theorems
    look env ⟨l.count + 1, theorems, found, reached⟩ ns

/-- Looks through every module of ours. -/
meta def lookAll (env : Environment) (l : Looked) : List Name → List ModuleData → Looked
  | m :: ms, d :: ds => lookAll env (if isOurs m then look env l d.constNames.toList else l) ms ds
  | _, _ => l

elab "axioms_of_all" : term => do
  let env := (← getEnv).setExporting false
  let l := lookAll env ⟨0, 0, "", {}⟩ env.header.moduleNames.toList env.header.moduleData.toList
  IO.println s!"{l.theorems} theorems among {l.count} declarations"
  IO.println l.found
  return mkStrLit (if l.found.isEmpty then "allowed" else "refused")

/-- Nothing of ours rests on anything but what is allowed. -/
example : axioms_of_all = "allowed" := rfl

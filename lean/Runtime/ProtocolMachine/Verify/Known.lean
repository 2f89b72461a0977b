module

public import Runtime.ProtocolMachine.Verify.Tables

@[expose] public section

/-!
# Verification: what is certain about a register

`Known` is the abstract value of a register. It models the type of the same name in
`rust/machine/src/verify/paths.rs`.
-/

namespace Antiphon

/-- The most that is certain about a register. -/
inductive Known where
  /-- Exactly this value. -/
  | exactly (value : Value)
  /-- Some value of this sort. -/
  | of (sort : Nat)
  /-- Some `Nat`. -/
  | nat
  /-- The code of a failure kind. -/
  | failureCode
  /-- The program's own endpoint. -/
  | endpoint
  /-- Evidence. -/
  | evidence
  | nothing

mutual
/-- Whether two values are equal. -/
def Value.same : Value → Value → Bool
  | .unit, .unit => true
  | .bool a, .bool b => match a with
    | true => b
    | false => !b
  | .nat a, .nat b => Nat.beq a b
  | .int a, .int b => decide (a = b)
  | .text a, .text b => sameBytes a b
  | .bytes a, .bytes b => sameBytes a b
  | .list as, .list bs => Value.sameAll as bs
  | .record as, .record bs => Value.sameAll as bs
  | .endpoint a, .endpoint b => Nat.beq a b
  | .evidence a, .evidence b => Nat.beq a b
  | _, _ => false

/-- Whether two lists of values are equal. -/
def Value.sameAll : List Value → List Value → Bool
  | [], [] => true
  | a :: as, b :: bs => match Value.same a b with
    | true => Value.sameAll as bs
    | false => false
  | _, _ => false
end

/-- Whether each field of one record is included in that of another. -/
def fieldsIncluded (holds : Nat → Nat → Bool) :
    List (Bytes × Nat) → List (Bytes × Nat) → Bool
  | x :: xs, y :: ys => match holds x.2 y.2 with
    | true => fieldsIncluded holds xs ys
    | false => false
  | _, _ => true

/-- Whether every value of one sort is of another, if `holds` answers this for the sorts of their
parts. -/
def sortIncluded (holds : Nat → Nat → Bool) : PayloadSort → PayloadSort → Bool
  | .list x, .list y => holds x y
  | .option x, .option y => holds x y
  | .option x, .list y => holds x y
  | .record _ xs, .record _ ys => match Nat.beq (len xs) (len ys) with
    | true => fieldsIncluded holds xs ys
    | false => false
  | .enum _ xs, .enum _ ys => Nat.ble (len xs) (len ys)
  | .enum _ _, .nat => true
  | .arm _, .nat => true
  | .arm xs, .arm ys => every (fun x => numberIn x ys) xs
  | .foreign _, .bytes => true
  | .bytes, .foreign _ => true
  | .foreign _, .foreign _ => true
  | .unit, .unit => true
  | .bool, .bool => true
  | .nat, .nat => true
  | .int, .int => true
  | .text, .text => true
  | .bytes, .bytes => true
  | _, _ => false

/-- Whether every value of sort `a` is of sort `b`, for sorts that nest at most `depth` levels. The
kernel also remembers the pairs of records that it has compared, which only saves time. -/
def included (sorts : List PayloadSort) : Nat → Nat → Nat → Bool
  | 0, _, _ => false
  | depth + 1, a, b => match Nat.beq a b with
    | true => true
    | false => match getAt sorts a with
      | none => false
      | some x => match getAt sorts b with
        | none => false
        | some y => sortIncluded (fun a b => included sorts depth a b) x y

/-- The number of failure kinds. -/
def failureKinds : Nat := 10

/-- Whether it is certain that the value is of a sort. -/
def Known.isOf (sorts : List PayloadSort) (k : Known) (sort : Nat) : Bool :=
  match k with
  | .exactly v => v.isOf sorts sort
  | .of own => included sorts sortDepthMax own sort
  | .nat => match getAt sorts sort with
    | some .nat => true
    | _ => false
  | .failureCode => match getAt sorts sort with
    | some .nat => true
    | some (.enum _ variants) => Nat.ble failureKinds (len variants)
    | _ => false
  | _ => false

/-- Whether it is certain that the value is a `Nat`. -/
def Known.isNat (sorts : List PayloadSort) (k : Known) : Bool :=
  match k with
  | .exactly (.nat _) => true
  | .of sort => match getAt sorts sort with
    | some .nat => true
    | some (.enum _ _) => true
    | some (.arm _) => true
    | _ => false
  | .nat => true
  | .failureCode => true
  | _ => false

/-- Whether two abstract values are equal. -/
def Known.same : Known → Known → Bool
  | .exactly a, .exactly b => Value.same a b
  | .of a, .of b => Nat.beq a b
  | .nat, .nat => true
  | .failureCode, .failureCode => true
  | .endpoint, .endpoint => true
  | .evidence, .evidence => true
  | .nothing, .nothing => true
  | _, _ => false

/-- What is certain if `a` or `b` holds and neither is a sort that includes the other. -/
def Known.meetNumbers (sorts : List PayloadSort) (a b : Known) : Known :=
  match a.isNat sorts with
  | true => match b.isNat sorts with
    | true => .nat
    | false => .nothing
  | false => .nothing

/-- What is certain if `a` or `b` holds and they differ. -/
def Known.meetDistinct (sorts : List PayloadSort) (a b : Known) : Known :=
  match a with
  | .of sort => match b.isOf sorts sort with
    | true => .of sort
    | false => Known.meetNumbers sorts a b
  | .exactly _ => match b with
    | .of sort => match a.isOf sorts sort with
      | true => .of sort
      | false => Known.meetNumbers sorts a b
    | _ => Known.meetNumbers sorts a b
  | _ => Known.meetNumbers sorts a b

/-- What is certain if `a` or `b` holds. -/
def Known.meet (sorts : List PayloadSort) (a b : Known) : Known :=
  match Known.same a b with
  | true => a
  | false => Known.meetDistinct sorts a b

/-- Whether what `a` says follows from what `b` says. -/
def Known.covers (sorts : List PayloadSort) (a b : Known) : Bool :=
  match Known.same a b with
  | true => true
  | false => match a with
    | .of sort => b.isOf sorts sort
    | .nat => b.isNat sorts
    | .nothing => true
    | _ => false

/-- The numbers that a value can denote, when they are few. -/
def Known.numbers (sorts : List PayloadSort) : Known → Option (List Nat)
  | .exactly (.nat n) => some [n]
  | .exactly (.bool b) => some [match b with | true => 1 | false => 0]
  | .failureCode => some (upFrom 0 failureKinds)
  | .of sort => match getAt sorts sort with
    | some .bool => some [0, 1]
    | some (.enum _ variants) => some (upFrom 0 (len variants))
    | some (.arm labels) => some labels
    | _ => none
  | _ => none

/-- What is certain after a branch on this number: a `Bool` if the number came from one. -/
def Known.after (sorts : List PayloadSort) (k : Known) (number : Nat) : Known :=
  match k with
  | .exactly v => .exactly v
  | .of sort => match getAt sorts sort with
    | some .bool => .exactly (.bool (Nat.beq number 1))
    | _ => .exactly (.nat number)
  | _ => .exactly (.nat number)

/-- What is certain about a copy in another program: a copy of an endpoint is of no use there. -/
def Known.handed : Known → Known
  | .endpoint => .nothing
  | k => k

end Antiphon

module

public import Runtime.ProtocolMachine.Model.Value

@[expose] public section

/-!
# The configuration of a machine

The types model those of the same names in `rust/machine/src/config.rs`.
-/

namespace Antiphon

/-- The rule that chooses which ready coroutine steps next. -/
inductive SchedulingPolicy where
  | cooperative | roundRobin | priority | progressAware
deriving DecidableEq

/-- What a recording of the run promises. No step reads it. -/
inductive DeterminismMode where
  | full | moduloEffects | moduloCommutativity | replay
deriving DecidableEq

/-- The configuration of a machine. -/
structure ProtocolMachineConfig where
  policy : SchedulingPolicy
  /-- The priority of each role name; a role that is not listed has priority 0. -/
  priorities : List (Bytes × Nat)
  bufferMax : Nat
  payloadMax : Nat
  coroutinesMax : Nat
  sessionsMax : Nat
  witnessesMax : Nat
  witnessTtl : Nat
  effectBudget : Option Nat
  determinismMode : DeterminismMode

/-- Whether two byte strings are equal. -/
def sameBytes : Bytes → Bytes → Bool
  | [], [] => true
  | x :: xs, y :: ys => match decide (x = y) with
    | true => sameBytes xs ys
    | false => false
  | _, _ => false

/-- The priority of a role name; 0 if it is not listed. -/
def priorityOf (name : Bytes) : List (Bytes × Nat) → Nat
  | [] => 0
  | row :: rows => match sameBytes row.1 name with
    | true => row.2
    | false => priorityOf name rows

/-- The largest 64-bit number. Sums of ticks saturate here. -/
def tickMax : Nat := 18446744073709551615

/-- The sum of two numbers of ticks, saturating at `tickMax`. -/
def addTicks (a b : Nat) : Nat := if a + b > tickMax then tickMax else a + b

/-- The largest program position, 2^32 - 1. -/
def pcMax : Nat := 4294967295

/-- The position after `pc`, saturating at `pcMax`. -/
def nextPc (pc : Nat) : Nat := if pc ≥ pcMax then pcMax else pc + 1

/-- The maximum length of an owner's name, in bytes. -/
def nameMax : Nat := 256

end Antiphon

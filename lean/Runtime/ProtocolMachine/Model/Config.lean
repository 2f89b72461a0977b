module

public import Runtime.ProtocolMachine.Model.Value

@[expose] public section

/-! # How a machine is set up -/

namespace Antiphon

/-- Which ready coroutine steps next. -/
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
  /-- Priorities by role name; a role that is absent has 0. -/
  priorities : List (Bytes × Nat)
  bufferMax : Nat
  payloadMax : Nat
  coroutinesMax : Nat
  sessionsMax : Nat
  witnessesMax : Nat
  witnessTtl : Nat
  effectBudget : Option Nat
  determinismMode : DeterminismMode

/-- Whether two strings of bytes are equal. -/
def sameBytes : Bytes → Bytes → Bool
  | [], [] => true
  | x :: xs, y :: ys => match decide (x = y) with
    | true => sameBytes xs ys
    | false => false
  | _, _ => false

/-- The priority of a role name. -/
def priorityOf (name : Bytes) : List (Bytes × Nat) → Nat
  | [] => 0
  | row :: rows => match sameBytes row.1 name with
    | true => row.2
    | false => priorityOf name rows

/-- The largest number of 64 bits: where sums of ticks stop. -/
def tickMax : Nat := 18446744073709551615

/-- The sum of two readings in ticks, stopping at the largest. -/
def addTicks (a b : Nat) : Nat := if a + b > tickMax then tickMax else a + b

/-- The largest position in a program that has a number. -/
def pcMax : Nat := 4294967295

/-- The position after this one. -/
def nextPc (pc : Nat) : Nat := if pc ≥ pcMax then pcMax else pc + 1

/-- Bytes of an owner's name, at most. -/
def nameMax : Nat := 256

end Antiphon

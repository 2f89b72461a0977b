module

public import Runtime.ProtocolMachine.Model.Session

@[expose] public section

/-!
# Faults, refusals, outcomes and events

The types model those of the same names in `fault.rs`, `effect.rs`, `event.rs`, `ids.rs` and
`step.rs` of `rust/machine/src`.
-/

namespace Antiphon

/-- Why an effect failed. A constructor's position is its code. -/
inductive FailureKind where
  | denied | timeout | cancelled | unavailable | invalidInput | staleAuthority
  | contractViolation | lost | busy | internal
deriving DecidableEq

/-- The kind's code. -/
def FailureKind.code : FailureKind → Nat
  | .denied => 0 | .timeout => 1 | .cancelled => 2 | .unavailable => 3 | .invalidInput => 4
  | .staleAuthority => 5 | .contractViolation => 6 | .lost => 7 | .busy => 8 | .internal => 9

/-- How an effect ended. -/
inductive Outcome where
  | success (value : Value)
  | failure (kind : FailureKind) (detail : Bytes)

/-- A table of the image or the session, as a fault names it. -/
inductive Table where
  | programs | operations | roles | states | edges
deriving DecidableEq

/-- An error that ends a coroutine and, with it, its session. -/
inductive Fault where
  | outOfRegisters (register count : Nat)
  | pcOutOfBounds (pc len : Nat)
  | noSuchRow (table : Table) (index : Nat)
  | notAnEndpoint (register : Nat) (got : Form)
  | notHolder (role holder : Nat)
  | wrongState (role state : Nat) (expected got : SpeechAct)
  | wrongLabel (role state got : Nat)
  | wrongSort (expected : Nat) (got : Form)
  | payloadTooLarge (len max : Nat)
  | unexpectedMessage (edge got : Nat)
  | selectorOutside (got : Nat)
  | noSuchBranch (got : Nat)
  | notANumber (got : Form)
  | wrongOperation
  | coroutineBound (max : Nat)
  | effectFailed (number : Nat) (kind : FailureKind)
  | endpointOpen (role state : Nat)
  | edgeNotEmpty (edge len : Nat)
deriving DecidableEq

/-- Identifies an effect in a machine: its session and its number within that session. -/
structure EffectId where
  session : Nat
  number : Nat
deriving DecidableEq

/-- Why an input is refused. A refused input changes nothing. -/
inductive Refusal where
  | noSuchSession (session : Nat)
  | sessionEnded (session : Nat)
  | late (effect : EffectId)
  | neverIssued (effect : EffectId)
  | notOwner (session : Nat)
  | noSuchImage
  | sessionBound (max : Nat)
  | ownerTooLong (len max : Nat)
  | clockOverflow (ticks : Nat)
deriving DecidableEq

/-- A message as an observer sees it. -/
structure Message where
  edge : Nat
  label : Nat
  sequence : Nat
  payload : Value

/-- Something that happened in a session, as observers are notified of it. -/
inductive Event where
  | opened (image owner : Bytes)
  | sent (message : Message)
  | offered (message : Message)
  | received (message : Message)
  | chose (message : Message)
  | effectIssued (number coroutine operation attempt : Nat) (deadline : Option Nat)
  | effectResolved (number : Nat) (result : Value)
  | effectFailed (number : Nat) (kind : FailureKind) (detail : Bytes)
  | effectInvalidated (number : Nat)
  | witnessIssued (witness number : Nat)
  | witnessExpired (witness : Nat)
  | timeoutIssued (number witness : Nat)
  | cancellationRequested (witness : Nat)
  | cancelled (witness : Nat)
  | failureBranchEntered (coroutine : Nat) (cause : Fault)
  | spawned (coroutine program : Nat)
  | halted (coroutine : Nat)
  | faulted (coroutine : Nat) (fault : Fault)
  | closed
  | sessionTerminal (how : Ending)
  | epochAdvanced (epoch : Nat)

/-- When and where an event happened: the session, the event's number in the session, the step index
and the clock. -/
structure Stamp where
  session : Nat
  index : Nat
  step : Nat
  clock : Nat
deriving DecidableEq

/-- An event with its stamp. -/
structure ObsEvent where
  stamp : Stamp
  event : Event

/-- The result of a step. An effect is named by its number in the session. -/
inductive Step where
  | ran
  | yielded
  | blocked (on : On)
  | effect (number : Nat)
  | halted
  | faulted (fault : Fault)
deriving DecidableEq

/-- The result of applying an outcome to a session. -/
inductive Resumed where
  | ready (coroutine : Nat)
  | reissued (number : Nat)
  | faulted (fault : Fault)
deriving DecidableEq

end Antiphon

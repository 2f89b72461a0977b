module

public import Runtime.ProtocolMachine.Model.Event

@[expose] public section

/-! # The machine: all sessions, the ready queue, the clock -/

namespace Antiphon

/-- A coroutine that can step. -/
structure Pick where
  session : Nat
  coroutine : Nat
deriving DecidableEq

/-- A machine's whole state. -/
structure Machine where
  config : ProtocolMachineConfig
  images : List Loaded
  /-- In the order of opening; a session's number is its position. -/
  sessions : List Session
  /-- Every ready coroutine of every active session once, in queue order. -/
  queue : List Pick
  clock : Nat
  /-- How many steps have been taken. -/
  stepIndex : Nat

/-- A machine without sessions. -/
def Machine.new (config : ProtocolMachineConfig) (images : List Loaded) : Machine :=
  { config, images, sessions := [], queue := [], clock := 0, stepIndex := 0 }

/-- Everything that comes from outside. -/
inductive Ingress where
  | open (image owner : Bytes)
  | outcome (effect : EffectId) (outcome : Outcome)
  | advanceClock (ticks : Nat)
  | cancel (session : Nat) (owner : Bytes)

/-- What an input came to. -/
inductive Answer where
  | opened (session : Nat)
  | resumed (session : Nat) (resumed : Resumed)
  | advanced (expired : Nat)
  | cancelled

/-- A coroutine that waits for an edge. -/
structure Wait where
  pick : Pick
  role : Option Nat
  on : On
  server : Option Nat

/-- Why no coroutine is ready. -/
inductive Rest where
  | idle
  | done
  | stuck (waits : List Wait)

/-- What the world is asked. -/
structure EffectRequest where
  effect : EffectId
  role : Option Nat
  operation : Nat
  deadline : Option Nat
  attempt : Nat
  args : List Value

/-- A part of a machine that a step may read or write. -/
inductive Key where
  /-- A session's phase, counters, effects and witnesses. -/
  | ledger (session : Nat)
  | coroutine (session coroutine : Nat)
  | endpoint (session role : Nat)
  | edge (session edge : Nat)
deriving DecidableEq

/-- One pick of a wave: who steps first, on which lane, how many steps at most, and what the first one may write. -/
structure WavePick where
  pick : Pick
  lane : Nat
  quantum : Nat
  footprint : List Key

/-- A plan of picks to be run at the same time, with what it was planned from. -/
structure WaveCertificate where
  /-- The step index it was planned at. -/
  stepIndex : Nat
  /-- The ready queue it was planned from. -/
  queue : List Pick
  picks : List WavePick

/-- What a driver does to a machine. -/
inductive Action where
  | turn
  | input (ingress : Ingress)
  | pick (pick : Pick)
  | round (width quantum : Nat)
  | wave (certificate : WaveCertificate)

/-- What an action came to. -/
inductive Result where
  | stepped (pick : Pick) (step : Step)
  | rested (rest : Rest)
  | taken (answer : Answer)
  | refused (refusal : Refusal)
  | round (picks : List Pick) (fellBack : Bool)
  | notReady
  | noWidth

/-- What a machine shows after an action: what it came to, the events, and the request if one is to be put. -/
structure Shown where
  result : Result
  events : List ObsEvent
  request : Option EffectRequest

end Antiphon

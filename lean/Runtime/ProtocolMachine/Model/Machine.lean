module

public import Runtime.ProtocolMachine.Model.Event

@[expose] public section

/-!
# The machine: all sessions, the ready queue, the clock

Most types model those of the same names in `kernel.rs`, `queue.rs`, `effect.rs` and `wave.rs` of
`rust/machine/src`; `Machine` is `ProtocolMachineKernel` and `Answer` is `Taken` there. `Action`
models the type in `rust/bridge`.
-/

namespace Antiphon

/-- A coroutine, identified by its session and its number there. -/
structure Pick where
  session : Nat
  coroutine : Nat
deriving DecidableEq

/-- The whole state of a machine. -/
structure Machine where
  config : ProtocolMachineConfig
  images : List Loaded
  /-- The sessions, in the order in which they were opened. A session's number is its position. -/
  sessions : List Session
  /-- The ready coroutines of the active sessions, each once, in queue order. -/
  queue : List Pick
  clock : Nat
  /-- The number of steps taken. -/
  stepIndex : Nat

/-- A machine without sessions. -/
def Machine.new (config : ProtocolMachineConfig) (images : List Loaded) : Machine :=
  { config, images, sessions := [], queue := [], clock := 0, stepIndex := 0 }

/-- An input: anything that enters the machine from outside. -/
inductive Ingress where
  | open (image owner : Bytes)
  | outcome (effect : EffectId) (outcome : Outcome)
  | advanceClock (ticks : Nat)
  | cancel (session : Nat) (owner : Bytes)

/-- The result of an accepted input. -/
inductive Answer where
  | opened (session : Nat)
  | resumed (session : Nat) (resumed : Resumed)
  | advanced (expired : Nat)
  | cancelled

/-- A coroutine that is blocked. `server` is the coroutine that alone can serve it. -/
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

/-- A request for an effect, as it is put to the world. -/
structure EffectRequest where
  effect : EffectId
  role : Option Nat
  operation : Nat
  deadline : Option Nat
  attempt : Nat
  args : List Value

/-- A part of a machine's state that a step may read or write. -/
inductive Key where
  /-- A session's phase, counters, effects and witnesses. -/
  | ledger (session : Nat)
  | coroutine (session coroutine : Nat)
  | endpoint (session role : Nat)
  | edge (session edge : Nat)
deriving DecidableEq

/-- One pick of a wave: the coroutine that steps first, its lane, the maximum number of steps, and
the parts of the state that the first step may write. -/
structure WavePick where
  pick : Pick
  lane : Nat
  quantum : Nat
  footprint : List Key

/-- A plan of picks to run at the same time, with the step index and the queue that it was made
from. -/
structure WaveCertificate where
  /-- The step index when the wave was planned. -/
  stepIndex : Nat
  /-- The ready queue when the wave was planned. -/
  queue : List Pick
  picks : List WavePick

/-- One operation of a driver on a machine. -/
inductive Action where
  | turn
  | input (ingress : Ingress)
  | pick (pick : Pick)
  | round (width quantum : Nat)
  | wave (certificate : WaveCertificate)

/-- The result of an action. -/
inductive Result where
  | stepped (pick : Pick) (step : Step)
  | rested (rest : Rest)
  | taken (answer : Answer)
  | refused (refusal : Refusal)
  | round (picks : List Pick) (fellBack : Bool)
  | notReady
  | noWidth

/-- What an action shows to the outside: its result, its events, and the request to be put to the
world, if there is one. -/
structure Shown where
  result : Result
  events : List ObsEvent
  request : Option EffectRequest

end Antiphon

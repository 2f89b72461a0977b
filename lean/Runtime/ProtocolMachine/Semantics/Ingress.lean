module

public import Runtime.ProtocolMachine.Semantics.Resume
public import Runtime.ProtocolMachine.Model.Machine

@[expose] public section

/-!
# Inputs

What the machine does with an input. It finds the session, changes it by a function of
`Semantics/Resume.lean`, stamps the events and updates the ready queue. `Machine.ingress` models
`ProtocolMachineKernel::ingress`.
-/

namespace Antiphon

/-- The events with their stamps, numbered from `index` on. -/
def stampFrom (session step clock index : Nat) : List Event → List ObsEvent
  | [] => []
  | e :: es => { stamp := { session, index, step, clock }, event := e } ::
      stampFrom session step clock (index + 1) es

/-- A session and its image. -/
def Machine.find (m : Machine) (session : Nat) : Option (Session × Loaded) :=
  match getAt m.sessions session with
  | none => none
  | some s => match getAt m.images s.image with
    | none => none
    | some i => some (s, i)

/-- The context of a step of image `i` in this machine. -/
def Machine.context (m : Machine) (i : Loaded) : Context :=
  { image := i, config := m.config, clock := m.clock }

/-- The session with its count of events increased by the number of `events`. -/
def Session.counted (s : Session) (events : List Event) : Session :=
  { s with events := s.events + len events }

/-- The machine with a session replaced, whose count of events includes `events`. -/
def Machine.put (m : Machine) (session : Nat) (s : Session) (events : List Event) : Machine :=
  { m with sessions := setAt m.sessions session (s.counted events) }

/-- The queue without the coroutines of a session. -/
@[noinline] def dropSession (session : Nat) (queue : List Pick) : List Pick :=
  keep (fun p => !Nat.beq p.session session) queue

/-- The queue with a coroutine added at the back. -/
@[noinline] def enqueue (queue : List Pick) (session coroutine : Nat) : List Pick :=
  app queue [{ session, coroutine }]

/-- The queue after an outcome has been applied. -/
def settleResumed (queue : List Pick) (session : Nat) : Resumed → List Pick
  | .ready coroutine => enqueue queue session coroutine
  | .reissued _ => queue
  | .faulted _ => dropSession session queue

/-- The row and the image with this digest. -/
def imageRow (digest : Bytes) (n : Nat) : List Loaded → Option (Nat × Loaded)
  | [] => none
  | i :: is => match sameBytes i.digest digest with
    | true => some (n, i)
    | false => imageRow digest (n + 1) is

/-- The picks of `count` coroutines of a new session, numbered from `n` on. -/
def newPicks (session n : Nat) : Nat → List Pick
  | 0 => []
  | count + 1 => { session, coroutine := n } :: newPicks session (n + 1) count

/-- The result of an accepted input. -/
structure Accepted where
  machine : Machine
  events : List ObsEvent
  answer : Answer

/-- The input `Open`: opens a session. -/
def Machine.open (m : Machine) (digest owner : Bytes) : Except Refusal Accepted :=
  match imageRow digest 0 m.images with
  | none => .error .noSuchImage
  | some row => match Nat.blt (len m.sessions) m.config.sessionsMax with
    | false => .error (.sessionBound m.config.sessionsMax)
    | true => match Nat.ble (len owner) nameMax with
      | false => .error (.ownerTooLong (len owner) nameMax)
      | true =>
        let id := len m.sessions
        let s := Session.start row.2 m.config id row.1 owner
        let events := [Event.opened digest owner]
        .ok {
          machine := { m with
            sessions := app m.sessions [s.counted events]
            queue := app m.queue (newPicks id 0 (len s.coroutines)) }
          events := stampFrom id m.stepIndex m.clock 0 events
          answer := .opened id }

/-- The input `Outcome`: applies the outcome of an effect. -/
def Machine.takeOutcome (m : Machine) (effect : EffectId) (outcome : Outcome) :
    Except Refusal Accepted :=
  match m.find effect.session with
  | none => .error (.noSuchSession effect.session)
  | some found => match resume (m.context found.2) found.1 effect.number outcome with
    | .error refusal => .error refusal
    | .ok taken => .ok {
        machine := { m.put effect.session taken.session taken.events with
          queue := settleResumed m.queue effect.session taken.resumed }
        events := stampFrom effect.session m.stepIndex m.clock found.1.events taken.events
        answer := .resumed effect.session taken.resumed }

/-- An effect or witness that is due: its time, its session and its number there. -/
structure Due where
  time : Nat
  session : Nat
  number : Nat
deriving DecidableEq

/-- The lexicographic order on (time, session, number). -/
def dueLess (a b : Due) : Bool :=
  match Nat.blt a.time b.time with
  | true => true
  | false => match Nat.beq a.time b.time with
    | false => false
    | true => match Nat.blt a.session b.session with
      | true => true
      | false => match Nat.beq a.session b.session with
        | true => Nat.blt a.number b.number
        | false => false

/-- The effects of a session whose deadline has been reached. -/
def dueEffects (clock session : Nat) : List Effect → List Due
  | [] => []
  | e :: es => match e.deadline with
    | none => dueEffects clock session es
    | some time => match Nat.ble time clock with
      | true => { time, session, number := e.number } :: dueEffects clock session es
      | false => dueEffects clock session es

/-- The witnesses of a session whose time of expiry has been reached. -/
def dueWitnesses (clock session : Nat) : List Witness → List Due
  | [] => []
  | w :: ws => match Nat.ble w.expires clock with
    | true => { time := w.expires, session, number := w.number } :: dueWitnesses clock session ws
    | false => dueWitnesses clock session ws

/-- The effects that are due in a list of sessions, numbered from `n` on. -/
def allDueEffects (clock n : Nat) : List Session → List Due
  | [] => []
  | s :: ss => app (dueEffects clock n s.effects) (allDueEffects clock (n + 1) ss)

/-- The witnesses that are due in a list of sessions, numbered from `n` on. -/
def allDueWitnesses (clock n : Nat) : List Session → List Due
  | [] => []
  | s :: ss => app (dueWitnesses clock n s.witnesses) (allDueWitnesses clock (n + 1) ss)

/-- A machine in the course of expiring what is due, the events so far, and the number of effects
that have expired. -/
structure Expiring where
  machine : Machine
  events : List ObsEvent
  expired : Nat

/-- Expires one effect, if it is still outstanding. -/
def Expiring.effect (x : Expiring) (d : Due) : Expiring :=
  match x.machine.find d.session with
  | none => x
  | some found => match expire (x.machine.context found.2) found.1 d.number with
    | none => x
    | some taken => {
        machine := { x.machine.put d.session taken.session taken.events with
          queue := settleResumed x.machine.queue d.session taken.resumed }
        events := app x.events
          (stampFrom d.session x.machine.stepIndex x.machine.clock found.1.events taken.events)
        expired := x.expired + 1 }

/-- Expires one witness, if it is still the oldest live witness of its session. -/
def Expiring.witness (x : Expiring) (d : Due) : Expiring :=
  match getAt x.machine.sessions d.session with
  | none => x
  | some s =>
    let gone := expireWitness s d.number
    { x with
      machine := x.machine.put d.session gone.1 gone.2
      events := app x.events
        (stampFrom d.session x.machine.stepIndex x.machine.clock s.events gone.2) }

/-- The input `AdvanceClock`: advances the clock, then expires effects, then witnesses. -/
def Machine.advance (m : Machine) (ticks : Nat) : Except Refusal Accepted :=
  match Nat.ble (m.clock + ticks) tickMax with
  | false => .error (.clockOverflow ticks)
  | true =>
    let m := { m with clock := m.clock + ticks }
    let effects := sortBy dueLess (allDueEffects m.clock 0 m.sessions)
    let x := foldL Expiring.effect { machine := m, events := [], expired := 0 } effects
    let witnesses := sortBy dueLess (allDueWitnesses m.clock 0 x.machine.sessions)
    let x := foldL Expiring.witness x witnesses
    .ok { machine := x.machine, events := x.events, answer := .advanced x.expired }

/-- The input `Cancel`: ends a session at its owner's request. -/
def Machine.cancel (m : Machine) (session : Nat) (owner : Bytes) : Except Refusal Accepted :=
  match getAt m.sessions session with
  | none => .error (.noSuchSession session)
  | some s => match sameBytes s.owner owner with
    | false => .error (.notOwner session)
    | true => match s.phase with
      | .terminal _ => .error (.sessionEnded session)
      | .active =>
        let ended := Antiphon.cancel s
        .ok {
          machine := { m.put session ended.1 ended.2 with queue := dropSession session m.queue }
          events := stampFrom session m.stepIndex m.clock s.events ended.2
          answer := .cancelled }

/-- Applies an input or refuses it. -/
def Machine.ingress (m : Machine) : Ingress → Except Refusal Accepted
  | .open image owner => m.open image owner
  | .outcome effect outcome => m.takeOutcome effect outcome
  | .advanceClock ticks => m.advance ticks
  | .cancel session owner => m.cancel session owner

end Antiphon

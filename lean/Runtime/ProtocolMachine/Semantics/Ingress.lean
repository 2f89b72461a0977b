module

public import Runtime.ProtocolMachine.Semantics.Resume
public import Runtime.ProtocolMachine.Model.Machine

@[expose] public section

/-!
# Inputs

What the machine does with an input: it finds the session, lets `Semantics/Resume.lean` change it, stamps the events and
keeps the ready queue.
-/

namespace Antiphon

/-- Events with their stamps, numbered from `index`. -/
def stampFrom (session step clock index : Nat) : List Event → List ObsEvent
  | [] => []
  | e :: es => { stamp := { session, index, step, clock }, event := e } ::
      stampFrom session step clock (index + 1) es

/-- A session and the image that it runs. -/
def Machine.find (m : Machine) (session : Nat) : Option (Session × Loaded) :=
  match getAt m.sessions session with
  | none => none
  | some s => match getAt m.images s.image with
    | none => none
    | some i => some (s, i)

/-- What a step of this image may know now. -/
def Machine.context (m : Machine) (i : Loaded) : Context :=
  { image := i, config := m.config, clock := m.clock }

/-- Counts a session's events. -/
def Session.counted (s : Session) (events : List Event) : Session :=
  { s with events := s.events + len events }

/-- Puts back a session that something happened to. -/
def Machine.put (m : Machine) (session : Nat) (s : Session) (events : List Event) : Machine :=
  { m with sessions := setAt m.sessions session (s.counted events) }

/-- The queue without the coroutines of a session. -/
@[noinline] def dropSession (session : Nat) (queue : List Pick) : List Pick :=
  keep (fun p => !Nat.beq p.session session) queue

/-- Enters at the back. -/
@[noinline] def enqueue (queue : List Pick) (session coroutine : Nat) : List Pick :=
  app queue [{ session, coroutine }]

/-- The queue after an outcome was taken. -/
def settleResumed (queue : List Pick) (session : Nat) : Resumed → List Pick
  | .ready coroutine => enqueue queue session coroutine
  | .reissued _ => queue
  | .faulted _ => dropSession session queue

/-- The row of an image, by its digest. -/
def imageRow (digest : Bytes) (n : Nat) : List Loaded → Option (Nat × Loaded)
  | [] => none
  | i :: is => match sameBytes i.digest digest with
    | true => some (n, i)
    | false => imageRow digest (n + 1) is

/-- Every coroutine of a new session, `count` of them from number `n` on. -/
def newPicks (session n : Nat) : Nat → List Pick
  | 0 => []
  | count + 1 => { session, coroutine := n } :: newPicks session (n + 1) count

/-- What an accepted input leaves behind. -/
structure Accepted where
  machine : Machine
  events : List ObsEvent
  answer : Answer

/-- `Open`. -/
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

/-- `Outcome`. -/
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

/-- Something whose time has come: when, in which session, its number there. -/
structure Due where
  time : Nat
  session : Nat
  number : Nat
deriving DecidableEq

/-- The order of (time, session, number). -/
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

/-- The effects of a session whose deadline has come. -/
def dueEffects (clock session : Nat) : List Effect → List Due
  | [] => []
  | e :: es => match e.deadline with
    | none => dueEffects clock session es
    | some time => match Nat.ble time clock with
      | true => { time, session, number := e.number } :: dueEffects clock session es
      | false => dueEffects clock session es

/-- The witnesses of a session whose time has come. -/
def dueWitnesses (clock session : Nat) : List Witness → List Due
  | [] => []
  | w :: ws => match Nat.ble w.expires clock with
    | true => { time := w.expires, session, number := w.number } :: dueWitnesses clock session ws
    | false => dueWitnesses clock session ws

/-- The effects that are due in the sessions from number `n` on. -/
def allDueEffects (clock n : Nat) : List Session → List Due
  | [] => []
  | s :: ss => app (dueEffects clock n s.effects) (allDueEffects clock (n + 1) ss)

/-- The witnesses that are due in the sessions from number `n` on. -/
def allDueWitnesses (clock n : Nat) : List Session → List Due
  | [] => []
  | s :: ss => app (dueWitnesses clock n s.witnesses) (allDueWitnesses clock (n + 1) ss)

/-- A machine that takes what is due, the events so far, and how many effects have expired. -/
structure Expiring where
  machine : Machine
  events : List ObsEvent
  expired : Nat

/-- One effect expires, if it is outstanding still. -/
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

/-- One witness expires, if it is live still. -/
def Expiring.witness (x : Expiring) (d : Due) : Expiring :=
  match getAt x.machine.sessions d.session with
  | none => x
  | some s =>
    let gone := expireWitness s d.number
    { x with
      machine := x.machine.put d.session gone.1 gone.2
      events := app x.events
        (stampFrom d.session x.machine.stepIndex x.machine.clock s.events gone.2) }

/-- `AdvanceClock`. -/
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

/-- `Cancel`. -/
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

/-- Takes an input, or refuses it. -/
def Machine.ingress (m : Machine) : Ingress → Except Refusal Accepted
  | .open image owner => m.open image owner
  | .outcome effect outcome => m.takeOutcome effect outcome
  | .advanceClock ticks => m.advance ticks
  | .cancel session owner => m.cancel session owner

end Antiphon

module

public import Runtime.ProtocolMachine.Semantics.Ingress

@[expose] public section

/-!
# The canonical runner

Which coroutine steps next, and how the ready queue changes. Only this file and the waves use the
policy; `step` does not.
-/

namespace Antiphon

/-- The rank of a coroutine under a policy. The least rank steps first; among equals, the first in
the queue. -/
def rankIn (policy : SchedulingPolicy) (i : Loaded) (s : Session) (coroutine : Nat) : Nat :=
  match policy with
  | .cooperative => 0
  | .roundRobin => 0
  | .priority => match getAt s.coroutines coroutine with
    | some c => 255 - c.priority
    | none => 255
  | .progressAware => match s.holdsToken i coroutine with
    | true => 0
    | false => 1

/-- The rank of a queued coroutine of a machine. -/
def Machine.rank (m : Machine) (p : Pick) : Nat :=
  match m.find p.session with
  | some found => rankIn m.config.policy found.2 found.1 p.coroutine
  | none => 255

/-- The first pick of least rank. -/
@[specialize] def best (rank : Pick → Nat) : List Pick → Option Pick
  | [] => none
  | p :: ps => match best rank ps with
    | none => some p
    | some q => match Nat.blt (rank q) (rank p) with
      | true => some q
      | false => some p

/-- The coroutine that the policy picks. -/
def Machine.policyPick (m : Machine) : Option Pick := best m.rank m.queue

/-- Whether two picks are equal. -/
def samePick (p q : Pick) : Bool :=
  match Nat.beq p.session q.session with
  | true => Nat.beq p.coroutine q.coroutine
  | false => false

/-- The queue without one coroutine. -/
@[noinline] def unqueue (queue : List Pick) (p : Pick) : List Pick := keep (fun q => !samePick q p) queue

/-- One step of a session that has not been committed to the machine yet: the coroutine, the session
after the step, its events and its result. -/
structure Micro where
  pick : Pick
  session : Session
  /-- The number of its first event. -/
  index : Nat
  events : List Event
  step : Step
  woken : Option Nat

/-- Runs one step of a coroutine without committing it. -/
def microStep (cx : Context) (session : Nat) (s : Session) (coroutine : Nat) : Micro :=
  let stepped := step cx s coroutine
  { pick := { session, coroutine }, session := stepped.session.counted stepped.events,
    index := s.events, events := stepped.events, step := stepped.step, woken := stepped.woken }

/-- The queue after a step. A coroutine that was woken enters at the back. Then the coroutine that
stepped keeps its place, moves to the back or leaves. If the session has ended, its coroutines
leave. -/
def settle (policy : SchedulingPolicy) (queue : List Pick) (μ : Micro) : List Pick :=
  let queue := match μ.woken with
    | some w => enqueue queue μ.pick.session w
    | none => queue
  let toBack := app (unqueue queue μ.pick) [μ.pick]
  let queue := match μ.step with
    | .ran => match policy with
      | .cooperative => queue
      | _ => toBack
    | .yielded => toBack
    | _ => unqueue queue μ.pick
  match μ.session.phase with
  | .active => queue
  | .terminal _ => dropSession μ.pick.session queue

/-- A machine and the events of its run so far, oldest first. -/
structure Run where
  machine : Machine
  events : List ObsEvent

/-- Commits a step to the machine: it gets its step index and its events get their stamps. -/
def Run.commit (r : Run) (μ : Micro) : Run :=
  let m := r.machine
  { machine := { m with
      sessions := setAt m.sessions μ.pick.session μ.session
      queue := settle m.config.policy m.queue μ
      stepIndex := m.stepIndex + 1 }
    events := app r.events (stampFrom μ.pick.session m.stepIndex m.clock μ.index μ.events) }

/-- The next step of a coroutine, uncommitted; `none` if its session does not exist. -/
def Machine.micro (m : Machine) (p : Pick) : Option Micro :=
  match m.find p.session with
  | none => none
  | some found => some (microStep (m.context found.2) p.session found.1 p.coroutine)

/-- The blocked coroutines of a session, from coroutine `n` on. -/
def waitsIn (s : Session) (i : Loaded) (session n : Nat) : List Coroutine → List Wait
  | [] => []
  | c :: cs => match c.status with
    | .blocked on =>
      { pick := { session, coroutine := n }, role := c.role, on, server := s.server i on } ::
        waitsIn s i session (n + 1) cs
    | _ => waitsIn s i session (n + 1) cs

/-- The blocked coroutines of the active sessions, from session `n` on. -/
def Machine.waits (m : Machine) (n : Nat) : List Session → List Wait
  | [] => []
  | s :: ss => match s.phase, getAt m.images s.image with
    | .active, some i => app (waitsIn s i n 0 s.coroutines) (m.waits (n + 1) ss)
    | _, _ => m.waits (n + 1) ss

/-- Whether a session has ended. -/
def Session.ended (s : Session) : Bool :=
  match s.phase with
  | .terminal _ => true
  | .active => false

/-- Why no coroutine is ready. -/
def Machine.rest (m : Machine) : Rest :=
  match every (fun s => match s.effects with | [] => true | _ => false) m.sessions with
  | false => .idle
  | true => match every Session.ended m.sessions with
    | true => .done
    | false => .stuck (m.waits 0 m.sessions)

/-- The values in a list of registers. -/
def valuesOf (c : Coroutine) : List Nat → List Value
  | [] => []
  | r :: rs => match getAt c.registers r with
    | some v => v :: valuesOf c rs
    | none => valuesOf c rs

/-- The request of an outstanding effect. -/
def Machine.request (m : Machine) (effect : EffectId) : Option EffectRequest :=
  match m.find effect.session with
  | none => none
  | some found => match effectOf effect.number found.1.effects with
    | none => none
    | some e => match getAt found.1.coroutines e.coroutine with
      | none => none
      | some c =>
        let request (args : List Nat) : EffectRequest :=
          { effect, role := c.role, operation := e.operation, deadline := e.deadline,
            attempt := e.attempt, args := valuesOf c args }
        match fetch found.2 c.program c.pc with
        | .ok (.invoke _ args _ _) => some (request args)
        | .ok (.check _ args _ _ _) => some (request args)
        | _ => none

/-- The request that a step issued. -/
def Machine.requestAfter (m : Machine) (session : Nat) : Step → Option EffectRequest
  | .effect number => m.request { session, number }
  | _ => none

/-- A machine after an action, and what the action shows. -/
structure Acted where
  machine : Machine
  shown : Shown

/-- Steps a coroutine of the machine. -/
def Machine.turnOf (m : Machine) (p : Pick) : Acted :=
  match m.micro p with
  | none => { machine := m, shown := { result := .notReady, events := [], request := none } }
  | some μ =>
    let r := Run.commit { machine := m, events := [] } μ
    { machine := r.machine
      shown := {
        result := .stepped p μ.step
        events := r.events
        request := r.machine.requestAfter p.session μ.step } }

/-- A canonical turn: one step of the coroutine that the policy picks, or the reason why none is
ready. It models `ProtocolMachineKernel::step`. -/
def Machine.schedRoundOne (m : Machine) : Acted :=
  match m.policyPick with
  | none => { machine := m, shown := { result := .rested m.rest, events := [], request := none } }
  | some p => m.turnOf p

/-- One step of a ready coroutine that the caller chose instead of the policy. It models
`ProtocolMachineKernel::step_pick`. -/
def Machine.pickTurn (m : Machine) (p : Pick) : Acted :=
  match some? (fun q => samePick q p) m.queue with
  | true => m.turnOf p
  | false => { machine := m, shown := { result := .notReady, events := [], request := none } }

/-- Applies an input. A refused input changes nothing. -/
def Machine.input (m : Machine) (ingress : Ingress) : Acted :=
  match m.ingress ingress with
  | .error refusal =>
    { machine := m, shown := { result := .refused refusal, events := [], request := none } }
  | .ok accepted => {
      machine := accepted.machine
      shown := {
        result := .taken accepted.answer
        events := accepted.events
        request := match accepted.answer with
          | .resumed session (.reissued number) => accepted.machine.request { session, number }
          | _ => none } }

end Antiphon

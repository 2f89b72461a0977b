module

public import Runtime.ProtocolMachine.Runtime.Runner

@[expose] public section

/-!
# Waves: steps of many sessions at the same time

A wave is planned from the ready queue. The checker accepts or rejects its certificate and relies on
nothing else from the planner. Every pick of an accepted wave runs on the machine as it was before
the wave; the steps are committed in the order of the picks. A certificate that is rejected is
replaced by one canonical turn. `runScheduled` and `runScheduledThreaded` run a number of rounds of
either runner, `actAll` runs a list of actions. The Rust code is in `wave.rs` and `kernel/wave.rs`.
-/

namespace Antiphon

/-! ## What a step may write -/

/-- The role whose endpoint a coroutine's register holds. -/
def roleIn (c : Coroutine) (chan : Nat) : Option Nat :=
  match getAt c.registers chan with
  | some (.endpoint role) => some role
  | _ => none

/-- The keys of sending or receiving over the endpoint in `chan`: the endpoint, the edge, and the
coroutine that may be woken. -/
def speechKeys (i : Loaded) (session : Nat) (s : Session) (c : Coroutine) (chan : Nat) : List Key :=
  match roleIn c chan with
  | none => []
  | some role => match getAt s.endpoints role with
    | none => []
    | some endpoint => match i.point role endpoint.state with
      | none => []
      | some point =>
        .endpoint session role :: .edge session point.edge ::
          match getAt s.endpoints point.peer with
          | none => []
          | some other => [.coroutine session other.holder]

/-- The footprint of a coroutine's next step, which is what the step may write: the coroutine, the
session's ledger, and the parts that the instruction needs. -/
def footprint (i : Loaded) (session : Nat) (s : Session) (coroutine : Nat) : List Key :=
  .ledger session :: .coroutine session coroutine ::
    match getAt s.coroutines coroutine with
    | none => []
    | some c => match fetch i c.program c.pc with
      | .ok (.send chan _ _) => speechKeys i session s c chan
      | .ok (.receive chan _ _) => speechKeys i session s c chan
      | .ok (.offer chan _ _) => speechKeys i session s c chan
      | .ok (.choose chan _ _) => speechKeys i session s c chan
      | .ok (.spawn _ _ _) => [.coroutine session (len s.coroutines)]
      | _ => []

/-! ## Planning -/

/-- The pick of least rank among the queued coroutines of one session; the first one among
equals. -/
def Machine.bestOf (m : Machine) (session : Nat) : Option Pick :=
  best m.rank (keep (fun p => Nat.beq p.session session) m.queue)

/-- The footprint of a pick. -/
def Machine.footprintOf (m : Machine) (p : Pick) : List Key :=
  match m.find p.session with
  | none => []
  | some found => footprint found.2 p.session found.1 p.coroutine

/-- Picks for at most `width` sessions, in the policy's order. `queue` is the part of the ready
queue that is not planned yet; the coroutines of a planned session are removed from it. -/
def Machine.planFrom (m : Machine) (quantum lane : Nat) (width : Nat) (queue : List Pick) :
    List WavePick :=
  match width with
  | 0 => []
  | width + 1 => match best m.rank queue with
    | none => []
    | some p =>
      { pick := p, lane, quantum, footprint := m.footprintOf p } ::
        m.planFrom quantum (lane + 1) width (dropSession p.session queue)

/-- Plans a wave of at most `width` picks. It models `ProtocolMachineKernel::plan`. -/
def Machine.plan (m : Machine) (width quantum : Nat) : WaveCertificate :=
  { stepIndex := m.stepIndex, queue := m.queue, picks := m.planFrom quantum 0 width m.queue }

/-! ## Checking -/

/-- Whether two keys are equal. -/
def Key.same : Key → Key → Bool
  | .ledger a, .ledger b => Nat.beq a b
  | .coroutine a m, .coroutine b n => Nat.beq a b && Nat.beq m n
  | .endpoint a m, .endpoint b n => Nat.beq a b && Nat.beq m n
  | .edge a m, .edge b n => Nat.beq a b && Nat.beq m n
  | _, _ => false

/-- Whether a key is in the list. -/
def hasKey (k : Key) : List Key → Bool
  | [] => false
  | x :: xs => Key.same k x || hasKey k xs

/-- Whether two lists have no key in common. -/
def noKeyOf : List Key → List Key → Bool
  | [], _ => true
  | k :: ks, other => !hasKey k other && noKeyOf ks other

/-- Whether two lists of keys are equal. -/
def sameKeys : List Key → List Key → Bool
  | [], [] => true
  | x :: xs, y :: ys => Key.same x y && sameKeys xs ys
  | _, _ => false

/-- Whether two picks may run at the same time: their lanes and sessions differ and their footprints
are disjoint. -/
def WavePick.apart (a b : WavePick) : Bool :=
  !Nat.beq a.lane b.lane && !Nat.beq a.pick.session b.pick.session && noKeyOf a.footprint b.footprint

/-- Whether a pick is apart from every pick of a list. -/
def apartFrom (a : WavePick) : List WavePick → Bool
  | [] => true
  | b :: bs => a.apart b && apartFrom a bs

/-- Whether the picks are pairwise apart. -/
def pairwiseApart : List WavePick → Bool
  | [] => true
  | a :: as => apartFrom a as && pairwiseApart as

/-- Whether two queues are equal. -/
def sameQueue : List Pick → List Pick → Bool
  | [], [] => true
  | p :: ps, q :: qs => samePick p q && sameQueue ps qs
  | _, _ => false

/-- Whether a pick has a quantum of at least 1, is the one that the policy would step next in its
session, and has exactly its footprint. -/
def WavePick.fits (w : WavePick) (m : Machine) : Bool :=
  Nat.blt 0 w.quantum &&
    (match m.bestOf w.pick.session with
      | some p => samePick p w.pick
      | none => false) &&
    sameKeys w.footprint (m.footprintOf w.pick)

/-- Whether every pick fits the machine. -/
def allFit (m : Machine) : List WavePick → Bool
  | [] => true
  | w :: ws => w.fits m && allFit m ws

/-- The checker. It accepts a certificate if the step index and the queue are the machine's, the
first pick is the policy's, every pick fits, and the picks are pairwise apart. It models
`check_wave` in `kernel/wave.rs`. -/
def Machine.checkWave (m : Machine) (c : WaveCertificate) : Bool :=
  Nat.beq c.stepIndex m.stepIndex && sameQueue c.queue m.queue &&
    (match c.picks, m.policyPick with
      | w :: _, some p => samePick p w.pick
      | _, _ => false) &&
    allFit m c.picks && pairwiseApart c.picks

/-! ## Running -/

/-- Whether a session continues within its quantum. It stops when a step issues an effect, so that
an immediate answer can be applied before the session's next step, and when the session has
ended. -/
def Micro.goesOn (μ : Micro) : Bool :=
  match μ.step with
  | .effect _ => false
  | _ => match μ.session.phase with
    | .active => true
    | .terminal _ => false

/-- Up to `quantum` steps of one session. `coroutine` steps first, the policy picks the others.
`queue` holds the session's own ready coroutines. -/
def microRun (cx : Context) (session : Nat) (quantum : Nat) (s : Session) (queue : List Pick)
    (coroutine : Nat) : List Micro :=
  match quantum with
  | 0 => []
  | quantum + 1 =>
    let μ := microStep cx session s coroutine
    match μ.goesOn with
    | false => [μ]
    | true =>
      let queue := settle cx.config.policy queue μ
      match best (fun p => rankIn cx.config.policy cx.image μ.session p.coroutine) queue with
      | none => [μ]
      | some p => μ :: microRun cx session quantum μ.session queue p.coroutine

/-- The steps of one pick, run on the machine as it is. This is what a worker thread computes. -/
def Machine.runPick (m : Machine) (w : WavePick) : List Micro :=
  match m.find w.pick.session with
  | none => []
  | some found =>
    microRun (m.context found.2) w.pick.session w.quantum found.1
      (keep (fun p => Nat.beq p.session w.pick.session) m.queue) w.pick.coroutine

/-- Commits a list of steps in order. -/
def Run.commitAll (r : Run) : List Micro → Run
  | [] => r
  | μ :: μs => (r.commit μ).commitAll μs

/-- Runs every pick on the machine `before` and commits the steps in pick order. -/
def waveFrom (before : Machine) (r : Run) : List WavePick → Run
  | [] => r
  | w :: ws => waveFrom before (r.commitAll (before.runPick w)) ws

/-- Runs the picks one after another, each on the machine that the previous ones left. -/
def Run.inTurn (r : Run) : List WavePick → Run
  | [] => r
  | w :: ws => (r.commitAll (r.machine.runPick w)).inTurn ws

/-- The coroutines that stepped, in the order in which their steps are committed. -/
def steppedBy (before : Machine) : List WavePick → List Pick
  | [] => []
  | w :: ws => app (mapL (fun μ => μ.pick) (before.runPick w)) (steppedBy before ws)

/-- A wave: runs every pick on the machine as it is and commits in pick order. -/
def Machine.wave (m : Machine) (c : WaveCertificate) : Acted :=
  let r := waveFrom m { machine := m, events := [] } c.picks
  { machine := r.machine
    shown := { result := .round (steppedBy m c.picks) false, events := r.events, request := none } }

/-- Runs a certificate if the checker accepts it; otherwise the round is one canonical turn. -/
def Machine.roundWith (m : Machine) (c : WaveCertificate) : Acted :=
  match m.checkWave c with
  | true => m.wave c
  | false =>
    let acted := m.schedRoundOne
    match acted.shown.result with
    | .stepped p _ => { acted with shown := { acted.shown with result := .round [p] true } }
    | _ => acted

/-- A round of the threaded runner: plan, check, run. A round of width 0 is refused; a round that
finds no ready coroutine returns the reason. -/
def Machine.schedRoundThreaded (m : Machine) (width quantum : Nat) : Acted :=
  match width with
  | 0 => { machine := m, shown := { result := .noWidth, events := [], request := none } }
  | width + 1 => match m.queue with
    | [] => m.schedRoundOne
    | _ :: _ => m.roundWith (m.plan (width + 1) quantum)

/-- One action of a driver. -/
def Machine.act (m : Machine) : Action → Acted
  | .turn => m.schedRoundOne
  | .input ingress => m.input ingress
  | .pick p => m.pickTurn p
  | .round width quantum => m.schedRoundThreaded width quantum
  | .wave certificate => m.roundWith certificate

/-- Performs a list of actions and collects their events. -/
def Run.actAll (r : Run) : List Action → Run
  | [] => r
  | a :: as =>
    let acted := r.machine.act a
    Run.actAll { machine := acted.machine, events := app r.events acted.shown.events } as

/-- Runs `rounds` canonical turns. -/
def Run.runScheduled (r : Run) : Nat → Run
  | 0 => r
  | rounds + 1 =>
    let acted := r.machine.schedRoundOne
    Run.runScheduled { machine := acted.machine, events := app r.events acted.shown.events } rounds

/-- Runs `rounds` rounds of the threaded runner. -/
def Run.runScheduledThreaded (r : Run) (width quantum : Nat) : Nat → Run
  | 0 => r
  | rounds + 1 =>
    let acted := r.machine.schedRoundThreaded width quantum
    Run.runScheduledThreaded { machine := acted.machine, events := app r.events acted.shown.events }
      width quantum rounds

end Antiphon

module

public import Runtime.Proofs.Concurrency.Turns

@[expose] public noncomputable section

/-!
# What a session sees of its machine

A session sees its own state, its own part of the ready queue, the clock, the configuration, the
images, and, until it has been opened, the number of sessions. A turn of another session changes
none of this, and a turn of its own depends on nothing else.
-/

namespace Antiphon

/-- What a session sees. -/
structure View where
  session : Option Session
  /-- The session's part of the ready queue, in order. -/
  queue : List Pick
  /-- The number of sessions, counted up to and including this one. -/
  count : Nat
  clock : Nat
  config : ProtocolMachineConfig
  images : List Loaded

/-- What session `j` sees of a machine. -/
def sessionView (m : Machine) (j : Nat) : View :=
  { session := m.sessions[j]?, queue := partOf j m.queue,
    count := min m.sessions.length (j + 1), clock := m.clock, config := m.config, images := m.images }

/-- An event as its session sees it: its number in the session, the clock and the event. -/
structure Told where
  index : Nat
  clock : Nat
  event : Event

/-- The trace of one session: its events in order, without the machine's step index. -/
def toldOf (j : Nat) : List ObsEvent → List Told
  | [] => []
  | o :: os =>
    if o.stamp.session = j then
      { index := o.stamp.index, clock := o.stamp.clock, event := o.event } :: toldOf j os
    else toldOf j os

/-- What a session sees of a machine, and its trace. -/
def sight (j : Nat) (m : Machine) (log : List ObsEvent) : View × List Told :=
  (sessionView m j, toldOf j log)

theorem view_iff {m m' : Machine} {j : Nat} :
    sessionView m j = sessionView m' j ↔
      m.sessions[j]? = m'.sessions[j]? ∧ partOf j m.queue = partOf j m'.queue ∧
        min m.sessions.length (j + 1) = min m'.sessions.length (j + 1) ∧ m.clock = m'.clock ∧
        m.config = m'.config ∧ m.images = m'.images := by
  simp [sessionView]

/-- A session sees whether it has been opened. -/
theorem opened_of_view {m m' : Machine} {j : Nat} (same : sessionView m j = sessionView m' j) :
    j < m.sessions.length ↔ j < m'.sessions.length := by
  have := (view_iff.1 same).2.2.1
  omega

theorem sight_iff {m m' : Machine} {log log' : List ObsEvent} {j : Nat} :
    sight j m log = sight j m' log' ↔
      sessionView m j = sessionView m' j ∧ toldOf j log = toldOf j log' := by
  simp [sight]

theorem toldOf_append (j : Nat) (xs ys : List ObsEvent) :
    toldOf j (xs ++ ys) = toldOf j xs ++ toldOf j ys := by
  induction xs with
  | nil => rfl
  | cons x xs ih => simp only [List.cons_append, toldOf]; split <;> simp [ih]

/-- The events of one session add nothing to the trace of another. -/
theorem toldOf_stamp_ne {i j : Nat} (h : i ≠ j) (step clock index : Nat) (es : List Event) :
    toldOf j (stampFrom i step clock index es) = [] := by
  induction es generalizing index with
  | nil => rfl
  | cons e es ih => simp [stampFrom, toldOf, h, ih]

/-- A trace does not depend on the step index. -/
theorem toldOf_stamp (j i step step' clock index : Nat) (es : List Event) :
    toldOf j (stampFrom i step clock index es) = toldOf j (stampFrom i step' clock index es) := by
  induction es generalizing index with
  | nil => rfl
  | cons e es ih => simp only [stampFrom, toldOf, ih]

/-! ## A session's part of the queue changes independently -/

theorem partOf_dropSession_comm (j i : Nat) (queue : List Pick) :
    partOf j (dropSession i queue) = dropSession i (partOf j queue) := by
  simp only [partOf, dropSession, keep_eq, List.filter_filter]
  exact List.filter_congr fun _ _ => Bool.and_comm ..

theorem partOf_enqueue_self (j n : Nat) (queue : List Pick) :
    partOf j (enqueue queue j n) = enqueue (partOf j queue) j n := by
  simp [partOf, enqueue]

theorem partOf_enqueue_ne {i j : Nat} (h : i ≠ j) (n : Nat) (queue : List Pick) :
    partOf j (enqueue queue i n) = partOf j queue := by
  simp [partOf, enqueue, h]

/-! ## Changing one session -/

/-- If only another session is replaced and this session's part of the queue is unchanged, this
session sees no change. -/
theorem view_set_ne {m m' : Machine} {i j : Nat} {s : Session} (h : i ≠ j)
    (sessions : m'.sessions = m.sessions.set i s) (queue : partOf j m'.queue = partOf j m.queue)
    (clock : m'.clock = m.clock) (config : m'.config = m.config) (images : m'.images = m.images) :
    sessionView m' j = sessionView m j := by
  rw [view_iff, sessions, clock, config, images, queue]
  simp [List.getElem?_set_ne h]

/-- If a session sees the same in two machines and is replaced by the same state in both, with the
same part of the queue, it still sees the same. -/
theorem view_set_self {m m' n n' : Machine} {j : Nat} {s : Session}
    (same : sessionView m j = sessionView m' j)
    (sessions : n.sessions = m.sessions.set j s) (sessions' : n'.sessions = m'.sessions.set j s)
    (queue : partOf j n.queue = partOf j n'.queue)
    (clock : n.clock = m.clock) (config : n.config = m.config) (images : n.images = m.images)
    (clock' : n'.clock = m'.clock) (config' : n'.config = m'.config) (images' : n'.images = m'.images) :
    sessionView n j = sessionView n' j := by
  obtain ⟨_, _, h3, h4, h5, h6⟩ := view_iff.1 same
  rw [view_iff, sessions, sessions', clock, config, images, clock', config', images', queue]
  simp [List.getElem?_set, opened_of_view same, h3, h4, h5, h6]

theorem find_of_view {m m' : Machine} {j : Nat} (same : sessionView m j = sessionView m' j) :
    m.find j = m'.find j := by
  obtain ⟨h1, _, _, _, _, h6⟩ := view_iff.1 same
  simp [Machine.find, h1, h6]

theorem context_of_view {m m' : Machine} {j : Nat} (same : sessionView m j = sessionView m' j)
    (i : Loaded) : m.context i = m'.context i := by
  obtain ⟨_, _, _, h4, h5, _⟩ := view_iff.1 same
  simp [Machine.context, h4, h5]

/-! ## Turns -/

theorem rank_of_view {m m' : Machine} {p : Pick}
    (same : sessionView m p.session = sessionView m' p.session) : m.rank p = m'.rank p := by
  simp only [Machine.rank, find_of_view same, (view_iff.1 same).2.2.2.2.1]

/-- Which of a session's coroutines the policy picks depends only on what the session sees. -/
theorem bestOf_of_view {m m' : Machine} {j : Nat} (same : sessionView m j = sessionView m' j) :
    m.bestOf j = m'.bestOf j := by
  have hq : partOf j m.queue = partOf j m'.queue := (view_iff.1 same).2.1
  simp only [Machine.bestOf, keep_eq]
  rw [show (m.queue.filter fun p => Nat.beq p.session j) = m'.queue.filter fun p => Nat.beq p.session j
    from hq]
  refine best_congr fun p hp => ?_
  have : p.session = j := (mem_partOf.1 hp).2
  subst this
  exact rank_of_view same

theorem micro_of_view {m m' : Machine} {p : Pick}
    (same : sessionView m p.session = sessionView m' p.session) : m.micro p = m'.micro p := by
  simp only [Machine.micro, find_of_view same, context_of_view same]

theorem micro_pick {m : Machine} {p : Pick} {μ : Micro} (h : m.micro p = some μ) : μ.pick = p := by
  unfold Machine.micro at h
  split at h
  · cases h
  · cases h; rfl

/-- A step of another session's coroutine changes nothing that a session sees and adds nothing to
its trace. -/
theorem turnOf_other {m : Machine} {p : Pick} {j : Nat} (h : p.session ≠ j) :
    sessionView (m.turnOf p).machine j = sessionView m j ∧
      toldOf j (m.turnOf p).shown.events = [] := by
  unfold Machine.turnOf
  split
  · exact ⟨rfl, rfl⟩
  · rename_i μ hμ
    have := micro_pick hμ
    subst this
    constructor
    · refine view_set_ne (s := μ.session) h ?_ (partOf_settle h _ _) rfl rfl rfl
      simp [Run.commit]
    · simp [Run.commit, toldOf_stamp_ne h]

/-- How a step of a session's own coroutine changes what the session sees, and what it adds to the
trace, depends only on what the session sees. -/
theorem turnOf_self {m m' : Machine} {p : Pick}
    (same : sessionView m p.session = sessionView m' p.session) :
    sessionView (m.turnOf p).machine p.session = sessionView (m'.turnOf p).machine p.session ∧
      toldOf p.session (m.turnOf p).shown.events =
        toldOf p.session (m'.turnOf p).shown.events := by
  obtain ⟨_, h2, _, h4, h5, _⟩ := view_iff.1 same
  simp only [Machine.turnOf, micro_of_view same]
  cases hμ : m'.micro p with
  | none => exact ⟨same, rfl⟩
  | some μ =>
    have := micro_pick hμ
    subst this
    constructor
    · refine view_set_self (s := μ.session) same ?_ ?_ ?_ rfl rfl rfl rfl rfl rfl
      · simp [Run.commit]
      · simp [Run.commit]
      · simp only [Run.commit, partOf_settle_self rfl, h2, h5]
    · simp only [Run.commit, app, h4]
      exact toldOf_stamp ..

/-- A turn of a session: one step of the coroutine that the policy picks among its ready
coroutines. -/
def Machine.turnIn (m : Machine) (session : Nat) : Acted :=
  match m.bestOf session with
  | some p => m.turnOf p
  | none => { machine := m, shown := { result := .notReady, events := [], request := none } }

/-- A turn of a session changes nothing that another session sees and adds nothing to its trace; how
it changes what its own session sees, and what it adds to that trace, depends only on what the
session sees. -/
theorem turn_of_view (i j : Nat) :
    (i ≠ j → ∀ m, sessionView (m.turnIn i).machine j = sessionView m j ∧
      toldOf j (m.turnIn i).shown.events = []) ∧
    (i = j → ∀ m m', sessionView m j = sessionView m' j →
      sessionView (m.turnIn i).machine j = sessionView (m'.turnIn i).machine j ∧
      toldOf j (m.turnIn i).shown.events = toldOf j (m'.turnIn i).shown.events) := by
  constructor
  · intro h m
    unfold Machine.turnIn
    split
    · rename_i p hp
      exact turnOf_other ((bestOf_mem hp).2 ▸ h)
    · exact ⟨rfl, rfl⟩
  · rintro rfl m m' same
    simp only [Machine.turnIn, bestOf_of_view same]
    split
    · rename_i p hp
      have := (bestOf_mem hp).2
      subst this
      exact turnOf_self same
    · exact ⟨same, rfl⟩

/-- A canonical turn is a turn of the session of the policy's pick. -/
theorem sched_round_one_is_turn (m : Machine) (p : Pick) (h : m.policyPick = some p) :
    m.schedRoundOne = m.turnIn p.session := by
  have : m.bestOf p.session = some p := by
    simpa [Machine.bestOf] using best_of_session h
  simp [Machine.schedRoundOne, Machine.turnIn, h, this]

/-- A pick of another session's coroutine changes nothing that a session sees and adds nothing to
its trace. -/
theorem pickTurn_other {m : Machine} {p : Pick} {j : Nat} (h : p.session ≠ j) :
    sessionView (m.pickTurn p).machine j = sessionView m j ∧
      toldOf j (m.pickTurn p).shown.events = [] := by
  unfold Machine.pickTurn
  split
  · exact turnOf_other h
  · exact ⟨rfl, rfl⟩

/-- How a pick of a session's own coroutine changes what the session sees, and what it adds to the
trace, depends only on what the session sees. -/
theorem pickTurn_self {m m' : Machine} {p : Pick}
    (same : sessionView m p.session = sessionView m' p.session) :
    sessionView (m.pickTurn p).machine p.session = sessionView (m'.pickTurn p).machine p.session ∧
      toldOf p.session (m.pickTurn p).shown.events =
        toldOf p.session (m'.pickTurn p).shown.events := by
  have mem : ∀ m : Machine, some? (fun q => samePick q p) m.queue = true ↔
      p ∈ partOf p.session m.queue := by
    intro m; simp
  have : some? (fun q => samePick q p) m.queue = some? (fun q => samePick q p) m'.queue := by
    rw [Bool.eq_iff_iff, mem, mem, (view_iff.1 same).2.1]
  simp only [Machine.pickTurn, this]
  split
  · exact turnOf_self same
  · exact ⟨same, rfl⟩

end Antiphon

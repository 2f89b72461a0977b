module

public import Runtime.ProtocolMachine.Safety.Configuration

@[expose] public section

/-!
# What safety means

The steps of a configuration and the three kinds of bad configuration, as propositions that do not
mention the checker, and the proof that the executable definitions list exactly these steps and find
every configuration of these kinds.
-/

namespace Antiphon

/-- A role sends a message into a buffer that has room, or receives the oldest message of a
buffer. -/
inductive Moves (i : Loaded) (bound : Nat) (c : Configuration) : Configuration → Prop where
  | send {role : Nat} {p : Point} {label : Nat} {labels : List Nat} {t : Transition}
      (stands : c.point i role = some p) (act : p.act = .send) (buffer : c.buffers[p.edge]? = some labels)
      (room : labels.length < bound) (branch : branchFor label p.branches = some t) :
      Moves i bound c (c.with role t.next p.edge (labels ++ [label]))
  | receive {role : Nat} {p : Point} {label : Nat} {rest : List Nat} {t : Transition}
      (stands : c.point i role = some p) (act : p.act = .receive)
      (buffer : c.buffers[p.edge]? = some (label :: rest)) (branch : branchFor label p.branches = some t) :
      Moves i bound c (c.with role t.next p.edge rest)

/-- The configurations that a session of an image can reach while no buffer holds more than `bound`
messages. -/
inductive Reachable (i : Loaded) (bound : Nat) : Configuration → Prop where
  | start : Reachable i bound i.beginning
  | step {c d : Configuration} : Reachable i bound c → Moves i bound c d → Reachable i bound d

/-- A role has reached a final state of its automaton. -/
def Ended (i : Loaded) (c : Configuration) (role : Nat) : Prop :=
  ∃ p, c.point i role = some p ∧ p.act = .done

/-- Some role is not done, and no role can take a step. -/
def Deadlock (i : Loaded) (bound : Nat) (c : Configuration) : Prop :=
  (∃ role, role < c.states.length ∧ ¬ Ended i c role) ∧ ∀ d, ¬ Moves i bound c d

/-- A role waits to receive, and the next message has a label that it does not accept. -/
def ReceptionError (i : Loaded) (c : Configuration) : Prop :=
  ∃ role p label rest, c.point i role = some p ∧ p.act = .receive ∧
    c.buffers[p.edge]? = some (label :: rest) ∧ ∀ t ∈ p.branches, t.label ≠ label

/-- A role is done, and a message to it is still in a buffer. -/
def Orphan (i : Loaded) (c : Configuration) : Prop :=
  ∃ (edge : Nat) (pair : EdgePair) (label : Nat) (rest : List Nat), i.edges[edge]? = some pair ∧ c.buffers[edge]? = some (label :: rest) ∧
    Ended i c pair.2

theorem point_lt {i : Loaded} {c : Configuration} {role : Nat} {p : Point} (h : c.point i role = some p) :
    role < c.states.length := by
  unfold Configuration.point at h
  split at h
  · cases h
  · rename_i state found
    rw [getAt_eq] at found
    exact (List.getElem?_eq_some_iff.mp found).1

/-- A branch that `branchFor` finds is one of the branches and has the label. -/
theorem branchFor_some {label : Nat} {ts : List Transition} {t : Transition} (h : branchFor label ts = some t) :
    t ∈ ts ∧ t.label = label := by
  induction ts with
  | nil => cases h
  | cons x xs ih =>
    unfold branchFor at h
    split at h
    · rename_i same
      cases h
      exact ⟨List.mem_cons_self, Nat.eq_of_beq_eq_true same⟩
    · exact ⟨List.mem_cons_of_mem _ (ih h).1, (ih h).2⟩

theorem branchFor_none {label : Nat} {ts : List Transition} (h : ∀ t ∈ ts, t.label ≠ label) :
    branchFor label ts = none := by
  cases found : branchFor label ts with
  | none => rfl
  | some t => exact absurd (branchFor_some found).2 (h t (branchFor_some found).1)

theorem mem_sends {c : Configuration} {role edge : Nat} {labels : List Nat} {d : Configuration}
    {branches : List Transition} (ts : List Transition) :
    d ∈ sends c role edge labels branches ts ↔
      ∃ t ∈ ts, ∃ u, branchFor t.label branches = some u ∧ d = c.with role u.next edge (labels ++ [t.label]) := by
  induction ts with
  | nil => simp [sends]
  | cons t ts ih => cases found : branchFor t.label branches <;> simp [sends, found, ih]

/-- Every configuration to which a role's turn leads is reached by a step. -/
theorem moves_of_turn {i : Loaded} {bound : Nat} {c d : Configuration} {role : Nat} {next : List Configuration}
    (h : turn i bound c role = .moves next) (mem : d ∈ next) : Moves i bound c d := by
  unfold turn at h
  split at h
  · cases h
  · rename_i p stands
    split at h
    · cases h
    · rename_i act
      split at h
      · cases h
      · rename_i labels buffer
        rw [getAt_eq] at buffer
        split at h
        · rename_i room
          cases h
          obtain ⟨t, -, u, branch, rfl⟩ := (mem_sends _).mp mem
          exact .send stands act buffer (by simpa using room) branch
        · cases h
    · rename_i act
      split at h
      · cases h
      · cases h
      · rename_i label rest buffer
        rw [getAt_eq] at buffer
        split at h
        · cases h
        · rename_i t branch
          cases h
          obtain rfl := List.mem_singleton.mp mem
          exact .receive stands act buffer branch

/-- Every step is among those of some role's turn. -/
theorem turn_of_moves {i : Loaded} {bound : Nat} {c d : Configuration} (h : Moves i bound c d) :
    ∃ role next, role < c.states.length ∧ turn i bound c role = .moves next ∧ d ∈ next := by
  cases h with
  | @send role p label labels t stands act buffer room branch =>
    obtain ⟨mem, rfl⟩ := branchFor_some branch
    refine ⟨role, sends c role p.edge labels p.branches p.branches, point_lt stands, ?_,
      (mem_sends _).mpr ⟨t, mem, t, branch, rfl⟩⟩
    have free : labels.length.blt bound = true := by rw [Nat.blt_eq]; exact room
    simp [turn, stands, act, buffer, free]
  | @receive role p label rest t stands act buffer branch =>
    exact ⟨role, [c.with role t.next p.edge rest], point_lt stands, by simp [turn, stands, act, buffer, branch], by simp⟩

theorem mem_successorsBelow {i : Loaded} {bound : Nat} {c d : Configuration} (n : Nat) :
    d ∈ successorsBelow i bound c n ↔ ∃ role next, role < n ∧ turn i bound c role = .moves next ∧ d ∈ next := by
  induction n with
  | zero => simp [successorsBelow]
  | succ n ih =>
    unfold successorsBelow
    split
    · rename_i next h
      rw [app_eq, List.mem_append, ih]
      constructor
      · rintro (⟨role, l, lt, e, mem⟩ | mem)
        · exact ⟨role, l, by omega, e, mem⟩
        · exact ⟨n, next, by omega, h, mem⟩
      · rintro ⟨role, l, lt, e, mem⟩
        by_cases same : role = n
        · subst same
          rw [h] at e
          cases e
          exact .inr mem
        · exact .inl ⟨role, l, by omega, e, mem⟩
    · rename_i no
      rw [ih]
      constructor
      · rintro ⟨role, l, lt, e, mem⟩
        exact ⟨role, l, by omega, e, mem⟩
      · rintro ⟨role, l, lt, e, mem⟩
        by_cases same : role = n
        · subst same
          exact absurd e (no l)
        · exact ⟨role, l, by omega, e, mem⟩

/-- `successors` lists exactly the configurations after one step. -/
theorem mem_successors {i : Loaded} {bound : Nat} {c d : Configuration} :
    d ∈ successors i bound c ↔ Moves i bound c d := by
  unfold successors
  rw [mem_successorsBelow, len_eq]
  constructor
  · rintro ⟨role, next, -, e, mem⟩
    exact moves_of_turn e mem
  · exact turn_of_moves

theorem misreadsBelow_of {i : Loaded} {bound : Nat} {c : Configuration} {role : Nat} (n : Nat) (lt : role < n)
    (h : turn i bound c role = .bad) : misreadsBelow i bound c n = true := by
  induction n with
  | zero => omega
  | succ n ih =>
    unfold misreadsBelow
    split
    · rfl
    · rename_i no
      by_cases same : role = n
      · subst same
        exact absurd h no
      · exact ih (by omega)

/-- The checker finds a configuration bad if a role cannot receive its next message. -/
theorem bad_of_receptionError {i : Loaded} {bound : Nat} {c : Configuration} {next : List Configuration}
    (h : ReceptionError i c) : bad i bound c next = true := by
  obtain ⟨role, p, label, rest, stands, act, buffer, none⟩ := h
  have turned : turn i bound c role = .bad := by simp [turn, stands, act, buffer, branchFor_none none]
  simp [bad, misreadsBelow_of _ (point_lt stands) turned]

theorem ended_iff {i : Loaded} {c : Configuration} {role : Nat} : c.ended i role = true ↔ Ended i c role := by
  unfold Configuration.ended Ended
  split
  · rename_i h
    simp [h]
  · rename_i p h
    cases act : p.act <;> simp [h, act]

theorem orphaned_of {i : Loaded} {c : Configuration} {pair : EdgePair} {label : Nat} {rest : List Nat} (ended : Ended i c pair.2) :
    ∀ (edge : Nat) (edges : List EdgePair) (buffers : List (List Nat)), edges[edge]? = some pair →
      buffers[edge]? = some (label :: rest) → orphaned i c edges buffers = true := by
  intro edge
  induction edge with
  | zero =>
    rintro (_ | ⟨e, edges⟩) (_ | ⟨b, buffers⟩) he hb <;> simp at he hb
    subst he hb
    simp [orphaned, ended_iff.mpr ended]
  | succ edge ih =>
    rintro (_ | ⟨e, edges⟩) (_ | ⟨b, buffers⟩) he hb <;> simp at he hb
    cases b with
    | nil => simpa [orphaned] using ih _ _ he hb
    | cons l ls =>
      unfold orphaned
      split
      · rfl
      · exact ih _ _ he hb

/-- The checker finds a configuration bad if a message is buffered for a role that is done. -/
theorem bad_of_orphan {i : Loaded} {bound : Nat} {c : Configuration} {next : List Configuration} (h : Orphan i c) :
    bad i bound c next = true := by
  obtain ⟨edge, pair, label, rest, he, hb, ended⟩ := h
  have found := orphaned_of ended edge _ _ he hb
  unfold bad
  split
  · rfl
  · simp [found]

theorem endedBelow_of {i : Loaded} {c : Configuration} (n : Nat) (h : endedBelow i c n = true) :
    ∀ role, role < n → Ended i c role := by
  induction n with
  | zero => intro role lt; omega
  | succ n ih =>
    unfold endedBelow at h
    split at h
    · rename_i last
      intro role lt
      by_cases same : role = n
      · subst same
        exact ended_iff.mp last
      · exact ih h role (by omega)
    · cases h

/-- The checker finds a deadlock bad. -/
theorem bad_of_deadlock {i : Loaded} {bound : Nat} {c : Configuration} (h : Deadlock i bound c) :
    bad i bound c (successors i bound c) = true := by
  obtain ⟨⟨role, lt, open_⟩, stuck⟩ := h
  have none : successors i bound c = [] := by
    cases e : successors i bound c with
    | nil => rfl
    | cons d ds => exact absurd (mem_successors.mp (e ▸ List.mem_cons_self)) (stuck d)
  have notAll : endedBelow i c c.states.length = false := by
    cases e : endedBelow i c c.states.length with
    | false => rfl
    | true => exact absurd (endedBelow_of _ e role lt) open_
  unfold bad
  split
  · rfl
  · split
    · rfl
    · simp [none, notAll]

end Antiphon

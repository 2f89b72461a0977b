module

public import Runtime.Proofs.Session.Life

@[expose] public section

/-!
# What a session's life means for its buffers and automata

The invariants of a session's life: its buffers are bounded, the messages sent are those taken
followed by those buffered, each endpoint is in the state to which its role's communications lead,
and every payload belongs to its branch's sort.
-/

namespace Antiphon

/-! ## Buffers -/

/-- A buffer never holds more messages than the configuration allows. -/
theorem Lives.bounded {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event}
    (h : Lives i config s log) : ∀ e ∈ s.edges, e.queue.length ≤ config.bufferMax := by
  refine h.moves (P := fun s _ => ∀ e ∈ s.edges, e.queue.length ≤ config.bufferMax) ?_ ?_
  · intro id row owner events e he
    simp only [Session.counted, Session.start, copies_eq] at he
    simp [(List.mem_replicate.mp he).2]
  · intro s s' log es clock _ ih moved e he
    change e ∈ s'.edges at he
    cases moved with
    | still _ _ edges _ => exact ih e (edges ▸ he)
    | sent _ _ _ _ _ _ _ _ _ _ _ room edges _ =>
      rw [edges] at he
      rcases List.mem_or_eq_of_mem_set he with he | he
      · exact ih e he
      · subst he
        simpa using room
    | taken _ _ _ _ _ _ _ _ _ edge_is queue edges _ =>
      rw [edges] at he
      rcases List.mem_or_eq_of_mem_set he with he | he
      · exact ih e he
      · subst he
        have := ih _ (List.mem_of_getElem? edge_is)
        rw [queue] at this
        simp only [List.length_cons] at this
        exact Nat.le_of_succ_le this

/-- The messages that a log shows as put into an edge's buffer, in order. -/
noncomputable def sentOn (edge : Nat) (log : List Event) : List Message :=
  (log.filterMap Event.sends).filter (fun m => m.edge == edge)

/-- The messages that a log shows as taken from an edge's buffer, in order. -/
noncomputable def takenOn (edge : Nat) (log : List Event) : List Message :=
  (log.filterMap Event.takes).filter (fun m => m.edge == edge)

/-- A buffered message as an observer sees it. -/
def Parcel.message (edge : Nat) (p : Parcel) : Message :=
  { edge, label := p.label, sequence := p.sequence, payload := p.payload }

theorem Silent.sends {es : List Event} (h : Silent es) : es.filterMap Event.sends = [] := by
  simp only [List.filterMap_eq_nil_iff]
  exact fun e he => (h e he).1

theorem Silent.takes {es : List Event} (h : Silent es) : es.filterMap Event.takes = [] := by
  simp only [List.filterMap_eq_nil_iff]
  exact fun e he => (h e he).2

/-- The messages sent over an edge are those taken followed by those buffered, and they are numbered
from 0; for an edge that the session does not have, this means that none were sent. -/
theorem Lives.conserved {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event}
    (h : Lives i config s log) (n : Nat) :
    sentOn n log = takenOn n log ++
        (s.edges[n]?.getD { sent := 0, queue := [] }).queue.map (Parcel.message n) ∧
      (sentOn n log).map Message.sequence =
        List.range (s.edges[n]?.getD { sent := 0, queue := [] }).sent := by
  refine h.moves (P := fun s log => sentOn n log = takenOn n log ++
        (s.edges[n]?.getD { sent := 0, queue := [] }).queue.map (Parcel.message n) ∧
      (sentOn n log).map Message.sequence =
        List.range (s.edges[n]?.getD { sent := 0, queue := [] }).sent) ?_ ?_
  · intro id row owner events
    simp only [Session.counted, Session.start, copies_eq, List.getElem?_replicate]
    split <;> simp [sentOn, takenOn, Event.sends, Event.takes]
  · intro s s' log es clock _ ih moved
    simp only [Session.counted, sentOn, takenOn, List.filterMap_append, List.filter_append] at ih ⊢
    cases moved with
    | still _ _ edges silent => simpa [edges, silent.sends, silent.takes] using ih
    | @sent s' e role endpoint point t edge m shows only _ _ _ _ _ _ _ edge_is number _ edges _ =>
      have hn : m.edge < s.edges.length := (List.getElem?_eq_some_iff.mp edge_is).1
      simp only [edges, List.getElem?_set, hn, List.filterMap_cons, shows, only, List.filterMap_nil,
        List.filter_nil, List.append_nil, List.filter_cons, beq_iff_eq, if_true]
      by_cases here : m.edge = n
      · subst here
        simp only [edge_is, Option.getD_some] at ih
        simp only [if_true, Option.getD_some, List.map_append, List.map_cons, List.map_nil,
          List.range_succ]
        refine ⟨?_, ?_⟩
        · rw [← List.append_assoc, ← ih.1]
          rfl
        · rw [ih.2, number]
      · simpa [here] using ih
    | @taken s' e role endpoint point t edge m rest shows only _ _ _ _ _ _ _ edge_is queue edges _ =>
      have hn : m.edge < s.edges.length := (List.getElem?_eq_some_iff.mp edge_is).1
      simp only [edges, List.getElem?_set, hn, List.filterMap_cons, shows, only, List.filterMap_nil,
        List.filter_nil, List.append_nil, List.filter_cons, beq_iff_eq, if_true]
      by_cases here : m.edge = n
      · subst here
        simp only [edge_is, Option.getD_some, queue, List.map_cons] at ih
        simp only [if_true, Option.getD_some]
        refine ⟨?_, ih.2⟩
        rw [ih.1, List.append_assoc]
        rfl
      · simpa [here] using ih

/-- If the messages taken are a prefix of the messages sent and those are numbered from 0, so are
the messages taken. -/
theorem numbered_prefix {sent taken rest : List Message} {count : Nat} (h : sent = taken ++ rest)
    (k : sent.map Message.sequence = List.range count) :
    taken.map Message.sequence = List.range taken.length := by
  have len : taken.length ≤ count := by
    have := congrArg List.length k
    simp only [h, List.map_append, List.length_append, List.length_map, List.length_range] at this
    omega
  have := congrArg (List.take taken.length) k
  rw [h, List.map_append, List.take_left' (by simp), List.take_range, Nat.min_eq_left len] at this
  exact this

/-! ## Automata -/

/-- One communication of a role, as its automaton sees it. -/
structure Communication where
  act : SpeechAct
  peer : Nat
  label : Nat
deriving DecidableEq

/-- The communication that an event is for a role: its send over an edge from it, its receipt over
an edge to it, or none. -/
noncomputable def Loaded.communication (i : Loaded) (role : Nat) (e : Event) : Option Communication :=
  match e.sends with
  | some m => match i.edges[m.edge]? with
    | some pair => if pair.1 = role then some ⟨.send, pair.2, m.label⟩ else none
    | none => none
  | none => match e.takes with
    | some m => match i.edges[m.edge]? with
      | some pair => if pair.2 = role then some ⟨.receive, pair.1, m.label⟩ else none
      | none => none
    | none => none

/-- The communications of a role in a log, in order. -/
noncomputable def Loaded.communications (i : Loaded) (role : Nat) (log : List Event) :
    List Communication := log.filterMap (i.communication role)

/-- The state to which a communication leads, if the automaton's state admits it. -/
noncomputable def Loaded.next (i : Loaded) (role state : Nat) (c : Communication) : Option Nat :=
  match i.point role state with
  | none => none
  | some p =>
    if p.act = c.act ∧ p.peer = c.peer then
      match branchFor c.label p.branches with
      | some t => some t.next
      | none => none
    else none

/-- The state to which a sequence of communications leads, if the automaton admits it. -/
noncomputable def Loaded.follow (i : Loaded) (role : Nat) : Nat → List Communication → Option Nat
  | state, [] => some state
  | state, c :: cs => match i.next role state c with
    | some state => i.follow role state cs
    | none => none

theorem follow_snoc (i : Loaded) (role state : Nat) (cs : List Communication) (c : Communication) :
    i.follow role state (cs ++ [c]) = (i.follow role state cs).bind (i.next role · c) := by
  induction cs generalizing state with
  | nil =>
    simp only [List.nil_append, Loaded.follow, Option.bind_some]
    cases i.next role state c <;> rfl
  | cons d ds ih =>
    simp only [List.cons_append, Loaded.follow]
    split
    · exact ih _
    · rfl

/-- Whether there are enough numbers for the edges of an image. -/
def Loaded.numbers (i : Loaded) : Bool := Nat.ble (len i.edges) numbered

theorem load_numbers (image : CodeImage) (digest : Bytes) : (image.load digest).numbers = true := by
  simp only [Loaded.numbers, CodeImage.load, len_eq, takeL_eq, Nat.ble_eq]
  exact List.length_take_le ..

theorem edgeIndex_get {e : EdgePair} {xs : List EdgePair} {n : Nat}
    (h : edgeIndex e xs n < n + xs.length) (hn : n + xs.length ≤ numbered) :
    n ≤ edgeIndex e xs n ∧ xs[edgeIndex e xs n - n]? = some e := by
  induction xs generalizing n with
  | nil =>
    simp only [edgeIndex, List.length_nil] at h hn
    omega
  | cons x xs ih =>
    have deeper : edgeIndex e xs (n + 1) < n + (x :: xs).length →
        n ≤ edgeIndex e xs (n + 1) ∧ (x :: xs)[edgeIndex e xs (n + 1) - n]? = some e := by
      intro h
      simp only [List.length_cons] at h hn
      obtain ⟨h1, h2⟩ := ih (n := n + 1) (by omega) (by omega)
      refine ⟨by omega, ?_⟩
      have : edgeIndex e xs (n + 1) - n = (edgeIndex e xs (n + 1) - (n + 1)) + 1 := by omega
      rw [this, List.getElem?_cons_succ]
      exact h2
    simp only [edgeIndex] at h ⊢
    cases h1 : Nat.beq x.1 e.1 <;> cases h2 : Nat.beq x.2 e.2 <;> simp only [h1, h2] at h ⊢
    · exact deeper h
    · exact deeper h
    · exact deeper h
    · refine ⟨Nat.le_refl _, ?_⟩
      have e1 := Nat.eq_of_beq_eq_true h1
      have e2 := Nat.eq_of_beq_eq_true h2
      simp only [Nat.sub_self, List.getElem?_cons_zero, Option.some.injEq]
      exact Prod.ext e1 e2

theorem point_edge {i : Loaded} {role state : Nat} {p : Point} (h : i.point role state = some p) :
    (p.act = .send → p.edge = edgeIndex (role, p.peer) i.edges 0) ∧
      (p.act = .receive → p.edge = edgeIndex (p.peer, role) i.edges 0) := by
  unfold Loaded.point at h
  split at h
  · cases h
  · split at h <;> cases h <;> simp

/-- A session has as many edges as its image. -/
theorem Lives.edges_length {i : Loaded} {config : ProtocolMachineConfig} {s : Session}
    {log : List Event} (h : Lives i config s log) : s.edges.length = i.edges.length := by
  refine h.moves (P := fun s _ => s.edges.length = i.edges.length) ?_ ?_
  · intro id row owner events
    simp [Session.counted, Session.start]
  · intro s s' log es clock _ ih moved
    show s'.edges.length = _
    cases moved <;> simp_all

/-- An edge of a session that a role's state uses connects the role with its peer, in the direction
of the state's act. -/
theorem Lives.pair {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event}
    (h : Lives i config s log) (numbers : i.numbers = true) {role state n : Nat} {p : Point}
    {edge : Edge} (hp : i.point role state = some p) (hn : n = p.edge) (he : s.edges[n]? = some edge) :
    (p.act = .send → i.edges[n]? = some (role, p.peer)) ∧
      (p.act = .receive → i.edges[n]? = some (p.peer, role)) := by
  have lt : n < i.edges.length := h.edges_length ▸ (List.getElem?_eq_some_iff.mp he).1
  simp only [Loaded.numbers, len_eq, Nat.ble_eq] at numbers
  have get {e : EdgePair} (k : n = edgeIndex e i.edges 0) : i.edges[n]? = some e := by
    have := (edgeIndex_get (e := e) (n := 0) (xs := i.edges) (by omega) (by omega)).2
    rw [k]
    simpa using this
  exact ⟨fun a => get (hn.trans ((point_edge hp).1 a)), fun a => get (hn.trans ((point_edge hp).2 a))⟩

theorem roleEndpoints_state {n count k : Nat} {e : Endpoint}
    (h : (roleEndpoints n count)[k]? = some e) : e.state = 0 := by
  induction count generalizing n k with
  | zero => simp [roleEndpoints] at h
  | succ count ih =>
    cases k with
    | zero =>
      simp only [roleEndpoints, List.getElem?_cons_zero, Option.some.injEq] at h
      rw [← h]
    | succ k => exact ih (by simpa [roleEndpoints] using h)

theorem Silent.communications {es : List Event} (h : Silent es) (i : Loaded) (role : Nat) :
    i.communications role es = [] := by
  simp only [Loaded.communications, List.filterMap_eq_nil_iff]
  intro e he
  simp [Loaded.communication, h e he]

/-- Each endpoint is in the state to which its role's communications lead. -/
theorem Lives.followed {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event}
    (h : Lives i config s log) (numbers : i.numbers = true) :
    ∀ r endpoint, s.endpoints[r]? = some endpoint →
      i.follow r 0 (i.communications r log) = some endpoint.state := by
  refine h.moves (P := fun s log => ∀ r endpoint, s.endpoints[r]? = some endpoint →
      i.follow r 0 (i.communications r log) = some endpoint.state) ?_ ?_
  · intro id row owner events r endpoint he
    rw [roleEndpoints_state he]
    simp [Loaded.communications, Loaded.communication, Event.sends, Event.takes, Loaded.follow]
  · intro s s' log es clock life ih moved r endpoint he
    change s'.endpoints[r]? = some endpoint at he
    have split : i.communications r (log ++ es) = i.communications r log ++ i.communications r es :=
      List.filterMap_append ..
    rw [split]
    cases moved with
    | still _ endpoints _ silent =>
      rw [silent.communications, List.append_nil]
      exact ih r endpoint (endpoints ▸ he)
    | @sent s' e role old point t edge m shows _ _ old_is point_is act over branch _ edge_is _ _ _ endpoints =>
      have pair := (life.pair numbers point_is over edge_is).1 act
      rw [endpoints, List.getElem?_set] at he
      by_cases here : role = r
      · subst here
        have lt : role < s.endpoints.length := (List.getElem?_eq_some_iff.mp old_is).1
        simp only [lt, if_true, Option.some.injEq] at he
        simp only [Loaded.communications, Loaded.communication, List.filterMap_cons,
          List.filterMap_nil, shows, pair, if_true]
        have before := ih role old old_is
        simp only [Loaded.communications] at before
        rw [follow_snoc, before]
        simp only [Option.bind_some, Loaded.next, point_is, act, and_self, if_true, branch]
        rw [← he]
      · simp only [here, if_false] at he
        have none : i.communications r [e] = [] := by
          simp [Loaded.communications, Loaded.communication, shows, pair, here]
        rw [none, List.append_nil]
        exact ih r endpoint he
    | @taken s' e role old point t edge m rest shows only _ old_is point_is act over branch _ edge_is _ _ endpoints =>
      have pair := (life.pair numbers point_is over edge_is).2 act
      rw [endpoints, List.getElem?_set] at he
      by_cases here : role = r
      · subst here
        have lt : role < s.endpoints.length := (List.getElem?_eq_some_iff.mp old_is).1
        simp only [lt, if_true, Option.some.injEq] at he
        simp only [Loaded.communications, Loaded.communication, List.filterMap_cons,
          List.filterMap_nil, shows, only, pair, if_true]
        have before := ih role old old_is
        simp only [Loaded.communications] at before
        rw [follow_snoc, before]
        simp only [Option.bind_some, Loaded.next, point_is, act, and_self, if_true, branch]
        rw [← he]
      · simp only [here, if_false] at he
        have none : i.communications r [e] = [] := by
          simp [Loaded.communications, Loaded.communication, shows, only, pair, here]
        rw [none, List.append_nil]
        exact ih r endpoint he

/-- After the events `before`, the role's automaton allows it to send to, or to receive from, `peer`
a message with this label and with a payload of this value's sort. -/
def Loaded.Admits (i : Loaded) (before : List Event) (role : Nat) (act : SpeechAct) (peer : Nat)
    (m : Message) : Prop :=
  ∃ state p t, i.follow role 0 (i.communications role before) = some state ∧
    i.point role state = some p ∧ p.act = act ∧ p.peer = peer ∧
    branchFor m.label p.branches = some t ∧ m.payload.isOf i.image.sorts t.sort = true

/-- If an event after the events `before` sends or takes a message, the automaton of its sender or
receiver admits the message then. -/
def Loaded.Proper (i : Loaded) (before : List Event) (e : Event) : Prop :=
  (∀ m, e.sends = some m →
    ∃ pair, i.edges[m.edge]? = some pair ∧ i.Admits before pair.1 .send pair.2 m) ∧
  (∀ m, e.takes = some m →
    ∃ pair, i.edges[m.edge]? = some pair ∧ i.Admits before pair.2 .receive pair.1 m)

theorem Loaded.proper_silent (i : Loaded) (before : List Event) {e : Event} (h : e.sends = none)
    (k : e.takes = none) : i.Proper before e := by simp [Loaded.Proper, h, k]

/-- Every message sent or taken is one that the automaton of its sender or receiver admits at that
point, with a payload of the branch's sort. -/
theorem Lives.proper {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event}
    (h : Lives i config s log) (numbers : i.numbers = true) :
    ∀ before e after, log = before ++ e :: after → i.Proper before e := by
  refine h.moves (P := fun _ log => ∀ before e after, log = before ++ e :: after →
    i.Proper before e) ?_ ?_
  · intro id row owner events before e after eq
    cases before with
    | nil =>
      simp only [List.nil_append, List.cons.injEq] at eq
      rw [← eq.1]
      exact i.proper_silent _ rfl rfl
    | cons x xs => simp at eq
  · intro s s' log es clock life ih moved before e after eq
    have either : (∃ mid, log = before ++ e :: mid) ∨
        ∃ skip, before = log ++ skip ∧ es = skip ++ e :: after := by
      rcases List.append_eq_append_iff.mp eq with ⟨skip, h1, h2⟩ | ⟨mid, h1, h2⟩
      · exact .inr ⟨skip, h1, h2⟩
      · cases mid with
        | nil => exact .inr ⟨[], by simpa using h1.symm, by simpa using h2.symm⟩
        | cons x xs =>
          simp only [List.cons_append, List.cons.injEq] at h2
          exact .inl ⟨xs, by rw [h2.1]; exact h1⟩
    rcases either with ⟨mid, eq⟩ | ⟨skip, hb, hes⟩
    · exact ih _ _ _ eq
    · cases moved with
      | still _ _ _ silent =>
        have := silent e (by rw [hes]; simp)
        exact i.proper_silent _ this.1 this.2
      | @sent s' e' role old point t edge m shows only _ old_is point_is act over branch sort edge_is _ _ _ _ =>
        have pair := (life.pair numbers point_is over edge_is).1 act
        cases skip with
        | cons x xs => simp at hes
        | nil =>
          simp only [List.nil_append, List.cons.injEq] at hes
          rw [List.append_nil] at hb
          subst hb
          rw [← hes.1]
          refine ⟨?_, by simp [only]⟩
          intro m' hm
          rw [shows] at hm
          cases hm
          exact ⟨_, pair, _, _, _, life.followed numbers role old old_is, point_is, act, rfl, branch, sort⟩
      | @taken s' e' role old point t edge m rest shows only _ old_is point_is act over branch sort edge_is _ _ _ =>
        have pair := (life.pair numbers point_is over edge_is).2 act
        cases skip with
        | cons x xs => simp at hes
        | nil =>
          simp only [List.nil_append, List.cons.injEq] at hes
          rw [List.append_nil] at hb
          subst hb
          rw [← hes.1]
          refine ⟨by simp [only], ?_⟩
          intro m' hm
          rw [shows] at hm
          cases hm
          exact ⟨_, pair, _, _, _, life.followed numbers role old old_is, point_is, act, rfl, branch, sort⟩

end Antiphon

module

public import Runtime.ProtocolMachine.Semantics.Resume
public import Runtime.Proofs.Step.Cases

@[expose] public section

/-!
# What changes endpoints and edges

Whatever happens to a session, its endpoints and edges change in one of two ways only: a role sends
one message, or a role takes one. Everything else leaves them unchanged and has no communication
among its events.
-/

namespace Antiphon

/-- The message that an event shows as put into a buffer. -/
def Event.sends : Event → Option Message
  | .sent m => some m
  | .offered m => some m
  | _ => none

/-- The message that an event shows as taken from a buffer. -/
def Event.takes : Event → Option Message
  | .received m => some m
  | .chose m => some m
  | _ => none

/-- None of the events is a communication. -/
def Silent (es : List Event) : Prop := ∀ e ∈ es, e.sends = none ∧ e.takes = none

theorem silent_nil : Silent [] := by simp [Silent]

theorem silent_cons {e : Event} {es : List Event} :
    Silent (e :: es) ↔ (e.sends = none ∧ e.takes = none) ∧ Silent es := by simp [Silent]

theorem silent_append {es fs : List Event} : Silent (es ++ fs) ↔ Silent es ∧ Silent fs := by
  simp only [Silent, List.mem_append]
  constructor
  · intro h; exact ⟨fun e m => h e (.inl m), fun e m => h e (.inr m)⟩
  · rintro ⟨h, k⟩ e (m | m)
    · exact h e m
    · exact k e m

/-- How one change of a session, with these events, affects its endpoints and edges. -/
inductive Moved (cx : Context) (s : Session) : List Event → Session → Prop where
  /-- None of the events is a communication. -/
  | still {es : List Event} {s' : Session} (image : s'.image = s.image)
      (endpoints : s'.endpoints = s.endpoints) (edges : s'.edges = s.edges) (silent : Silent es) :
      Moved cx s es s'
  /-- A role puts a message at the end of its edge's buffer. -/
  | sent {s' : Session} {e : Event} {role : Nat} {endpoint : Endpoint} {point : Point}
      {t : Transition} {edge : Edge} {message : Message}
      (shows : e.sends = some message) (only : e.takes = none) (image : s'.image = s.image)
      (endpoint_is : s.endpoints[role]? = some endpoint)
      (point_is : cx.image.point role endpoint.state = some point) (act : point.act = .send)
      (over : message.edge = point.edge)
      (branch : branchFor message.label point.branches = some t)
      (sort : message.payload.isOf cx.image.image.sorts t.sort = true)
      (edge_is : s.edges[message.edge]? = some edge) (number : message.sequence = edge.sent)
      (room : edge.queue.length < cx.config.bufferMax)
      (edges : s'.edges = s.edges.set message.edge
        { sent := edge.sent + 1
          queue := edge.queue ++
            [{ payload := message.payload, sequence := message.sequence, label := message.label }] })
      (endpoints : s'.endpoints = s.endpoints.set role { endpoint with state := t.next }) :
      Moved cx s [e] s'
  /-- A role takes the first message from its edge's buffer. -/
  | taken {s' : Session} {e : Event} {role : Nat} {endpoint : Endpoint} {point : Point}
      {t : Transition} {edge : Edge} {message : Message} {rest : List Parcel}
      (shows : e.takes = some message) (only : e.sends = none) (image : s'.image = s.image)
      (endpoint_is : s.endpoints[role]? = some endpoint)
      (point_is : cx.image.point role endpoint.state = some point) (act : point.act = .receive)
      (over : message.edge = point.edge)
      (branch : branchFor message.label point.branches = some t)
      (sort : message.payload.isOf cx.image.image.sorts t.sort = true)
      (edge_is : s.edges[message.edge]? = some edge)
      (queue : edge.queue =
        { payload := message.payload, sequence := message.sequence, label := message.label } :: rest)
      (edges : s'.edges = s.edges.set message.edge { edge with queue := rest })
      (endpoints : s'.endpoints = s.endpoints.set role { endpoint with state := t.next }) :
      Moved cx s [e] s'

/-- A change of a session keeps its image. -/
theorem Moved.image_eq {cx : Context} {s s' : Session} {es : List Event} (h : Moved cx s es s') :
    s'.image = s.image := by cases h <;> assumption

theorem block_moved {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {on : On} :
    Moved cx s (block s who c on).events (block s who c on).session :=
  .still rfl rfl rfl silent_nil

/-- A send puts one message into a buffer or blocks. -/
theorem send_moved {cx : Context} {s : Session} {who : Nat} {c : Coroutine}
    {chan label val next : Nat} {chosen : Bool} {stepped : Stepped}
    (h : send cx s who c chan label val next chosen = .ok stepped) :
    Moved cx s stepped.events stepped.session := by
  simp only [send, bind_ok] at h
  obtain ⟨speaker, hs, h⟩ := h
  have ⟨_, he, _, hp, ha⟩ := speak_ok hs
  split at h
  · cases h
  · rename_i t ht
    simp only [bind_ok] at h
    obtain ⟨payload, _, _, hv, h⟩ := h
    split at h
    · cases h
    · rename_i edge hedge
      split at h
      · cases h; exact block_moved
      · rename_i hroom
        cases h
        simp only [getAt_eq] at hedge
        refine .sent (message := ⟨speaker.point.edge, label, edge.sent, payload⟩) ?_ ?_ rfl he hp ha
          rfl ht (admit_ok.mp hv).1 hedge rfl ?_ (by simp) (by simp)
        · cases chosen <;> rfl
        · cases chosen <;> rfl
        · simpa using hroom

/-- A receive takes one message out of a buffer or blocks. -/
theorem receive_moved {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan dst : Nat}
    {chosen : Bool} {next : Nat → Option Nat} {stepped : Stepped}
    (h : receive cx s who c chan dst chosen next = .ok stepped) :
    Moved cx s stepped.events stepped.session := by
  simp only [receive, bind_ok] at h
  obtain ⟨speaker, hs, _, _, h⟩ := h
  have ⟨_, he, _, hp, ha⟩ := speak_ok hs
  split at h
  · cases h
  · rename_i edge hedge
    split at h
    · cases h; exact block_moved
    · rename_i parcel rest hq
      split at h
      · cases h
      · rename_i t ht
        split at h
        · cases h
        · rename_i target hn
          simp only [bind_ok, ensure_ok] at h
          obtain ⟨_, hv, h⟩ := h
          cases h
          simp only [getAt_eq] at hedge
          refine .taken
            (message := ⟨speaker.point.edge, parcel.label, parcel.sequence, parcel.payload⟩)
            ?_ ?_ rfl he hp ha rfl ht hv hedge hq (by simp) (by simp)
          · cases chosen <;> rfl
          · cases chosen <;> rfl

theorem leftovers_silent (effects : List Effect) (witnesses : List Witness) :
    Silent (leftovers effects witnesses) := by
  simp [leftovers, Silent, Event.sends, Event.takes, or_imp, forall_and]

/-- The image, the endpoints and the edges are unchanged, and none of the events is a
communication. -/
def Still (s s' : Session) (es : List Event) : Prop :=
  s'.image = s.image ∧ s'.endpoints = s.endpoints ∧ s'.edges = s.edges ∧ Silent es

theorem Still.moved {cx : Context} {s s' : Session} {es : List Event} (h : Still s s' es) :
    Moved cx s es s' := .still h.1 h.2.1 h.2.2.1 h.2.2.2

theorem finish_still (s : Session) (how : Ending) : Still s (finish s how).1 (finish s how).2 := by
  refine ⟨rfl, rfl, rfl, ?_⟩
  simp [finish, silent_append, silent_cons, silent_nil, leftovers_silent, Event.sends, Event.takes]

theorem fail_still (s : Session) (who : Nat) (fault : Fault) :
    Still s (fail s who fault).1 (fail s who fault).2 := by
  unfold fail
  split <;> refine ⟨rfl, rfl, rfl, ?_⟩ <;>
    simp [finish, silent_append, silent_cons, silent_nil, leftovers_silent, Event.sends, Event.takes]

theorem invoke_moved {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {operation dst : Nat}
    {args : List Nat} {witness : Option Nat} {stepped : Stepped}
    (h : invoke cx s who c operation args dst witness = .ok stepped) :
    Moved cx s stepped.events stepped.session := by
  have quiet (s : Session) (n : Nat) (d : Option Nat) (o : Nat) :
      Silent [(issue s who c o d n).2] := by
    simp [issue, silent_cons, silent_nil, Event.sends, Event.takes]
  cases witness <;> simp only [invoke, bind_ok] at h
  · obtain ⟨_, _, _, _, _, _, _, _, _, _, _, _, h⟩ := h
    cases h
    exact .still rfl rfl rfl (quiet _ _ _ _)
  · obtain ⟨_, _, _, _, _, _, _, _, _, _, _, _, _, _, h⟩ := h
    cases h
    exact .still rfl rfl rfl (quiet _ _ _ _)

theorem spawn_moved {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {program dst next : Nat}
    {args : List Nat} {stepped : Stepped}
    (h : spawn cx s who c program args dst next = .ok stepped) :
    Moved cx s stepped.events stepped.session := by
  simp only [spawn, bind_ok] at h
  obtain ⟨_, _, _, _, _, _, _, _, h⟩ := h
  cases h
  exact .still rfl rfl rfl (by simp [silent_cons, silent_nil, Event.sends, Event.takes])

theorem close_moved {cx : Context} {s : Session} {stepped : Stepped}
    (h : close cx s = .ok stepped) : Moved cx s stepped.events stepped.session := by
  simp only [close, bind_ok] at h
  obtain ⟨_, _, _, _, h⟩ := h
  cases h
  refine .still rfl rfl rfl ?_
  simp [finish, silent_append, silent_cons, silent_nil, leftovers_silent, Event.sends, Event.takes]

theorem halt_moved {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {stepped : Stepped}
    (h : halt cx s who c = .ok stepped) : Moved cx s stepped.events stepped.session := by
  unfold halt at h
  cases last : Nat.beq s.live 1 <;> simp only [last, bind_ok] at h
  · obtain ⟨_, _, _, _, h⟩ := h
    cases h
    exact .still rfl rfl rfl (by simp [silent_cons, silent_nil, Event.sends, Event.takes])
  · obtain ⟨_, _, _, _, h⟩ := h
    cases h
    refine .still rfl rfl rfl ?_
    simp [finish, silent_append, silent_cons, silent_nil, leftovers_silent, Event.sends, Event.takes]

theorem attempt_moved {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {stepped : Stepped}
    (h : attempt cx s who c = .ok stepped) : Moved cx s stepped.events stepped.session := by
  simp only [attempt, bind_ok] at h
  obtain ⟨instruction, _, h⟩ := h
  cases instruction <;> simp only [execute, bind_ok] at h
  case send => exact send_moved h
  case receive => exact receive_moved h
  case offer =>
    obtain ⟨_, _, _, _, h⟩ := h
    split at h
    · cases h
    · exact send_moved h
  case choose => exact receive_moved h
  case invoke => exact invoke_moved h
  case check => exact invoke_moved h
  case spawn => exact spawn_moved h
  case set => obtain ⟨_, _, h⟩ := h; cases h; exact .still rfl rfl rfl silent_nil
  case move => obtain ⟨_, _, _, _, h⟩ := h; cases h; exact .still rfl rfl rfl silent_nil
  case jump => cases h; exact .still rfl rfl rfl silent_nil
  case branch =>
    obtain ⟨_, _, _, _, h⟩ := h
    split at h
    · cases h
    · cases h; exact .still rfl rfl rfl silent_nil
  case yield => cases h; exact .still rfl rfl rfl silent_nil
  case close => exact close_moved h
  case halt => exact halt_moved h

/-- A step puts one message into a buffer, takes one out of a buffer, or leaves endpoints and edges
unchanged. -/
theorem step_moved (cx : Context) (s : Session) (who : Nat) :
    Moved cx s (step cx s who).events (step cx s who).session := by
  unfold step
  split
  · exact .still rfl rfl rfl silent_nil
  · split
    · split
      · rename_i h; exact attempt_moved h
      · exact (fail_still s who _).moved
    · exact .still rfl rfl rfl silent_nil
    · exact .still rfl rfl rfl silent_nil

theorem testify_still (cx : Context) (s : Session) (effect : Nat) (kind : WitnessKind) :
    Still s (testify cx s effect kind).1 (testify cx s effect kind).2 := by
  refine ⟨rfl, rfl, rfl, ?_⟩
  unfold testify
  split
  · split <;> simp [silent_cons, silent_nil, Event.sends, Event.takes]
  · simp [silent_nil]

theorem succeed_still (cx : Context) (s : Session) (e : Effect) (value : Value) :
    Still s (succeed cx s e value).session (succeed cx s e value).events := by
  have quiet := (testify_still cx s e.number .check).2.2.2
  have one : Silent [Event.effectResolved e.number value] := by
    simp [silent_cons, silent_nil, Event.sends, Event.takes]
  unfold succeed
  split
  · exact ⟨rfl, rfl, rfl, one⟩
  · split
    · exact ⟨rfl, rfl, rfl, one⟩
    · split
      · exact ⟨rfl, rfl, rfl, one⟩
      · refine ⟨rfl, rfl, rfl, ?_⟩
        simpa [silent_append, silent_cons, silent_nil, Event.sends, Event.takes] using quiet

theorem disappoint_still (cx : Context) (s : Session) (e : Effect) (o : Operation)
    (kind : FailureKind) (detail : Bytes) :
    Still s (disappoint cx s e o kind detail).session (disappoint cx s e o kind detail).events := by
  unfold disappoint
  dsimp only
  generalize (match kind with | .unavailable => Nat.blt e.attempt o.retries | _ => false) = again
  split
  · exact ⟨rfl, rfl, rfl, by simp [silent_cons, silent_nil, Event.sends, Event.takes]⟩
  · split
    · exact ⟨rfl, rfl, rfl, by simp [issue, silent_cons, silent_nil, Event.sends, Event.takes]⟩
    · split
      · exact ⟨rfl, rfl, rfl, by simp [silent_cons, silent_nil, Event.sends, Event.takes]⟩
      · have h := fail_still s e.coroutine (.effectFailed e.number kind)
        refine ⟨h.1, h.2.1, h.2.2.1, ?_⟩
        simpa [silent_cons, Event.sends, Event.takes] using h.2.2.2

theorem takeOutcome_still (cx : Context) (s : Session) (e : Effect) (o : Operation)
    (outcome : Outcome) :
    Still s (takeOutcome cx s e o outcome).session (takeOutcome cx s e o outcome).events := by
  unfold takeOutcome
  dsimp only
  split
  · exact disappoint_still cx { s with effects := _ } e o _ _
  · split
    · exact succeed_still cx { s with effects := _ } e _
    · exact disappoint_still cx { s with effects := _ } e o _ _

theorem resume_still {cx : Context} {s : Session} {number : Nat} {outcome : Outcome} {taken : Taken}
    (h : resume cx s number outcome = .ok taken) : Still s taken.session taken.events := by
  unfold resume at h
  split at h
  · split at h <;> cases h
  · split at h
    · cases h
    · cases h; exact takeOutcome_still ..

theorem expire_still {cx : Context} {s : Session} {number : Nat} {taken : Taken}
    (h : expire cx s number = some taken) : Still s taken.session taken.events := by
  unfold expire at h
  split at h
  · cases h
  · dsimp only at h
    split at h
    · cases h
    · rename_i hr
      have quiet := (testify_still cx s number .timeout).2.2.2
      have := resume_still hr
      cases h
      refine ⟨this.1, this.2.1, this.2.2.1, ?_⟩
      simpa [silent_append, silent_cons, Event.sends, Event.takes] using ⟨quiet, this.2.2.2⟩

theorem expireWitness_still (s : Session) (number : Nat) :
    Still s (expireWitness s number).1 (expireWitness s number).2 := by
  unfold expireWitness
  split
  · exact ⟨rfl, rfl, rfl, silent_nil⟩
  · split
    · exact ⟨rfl, rfl, rfl, by simp [silent_cons, silent_nil, Event.sends, Event.takes]⟩
    · exact ⟨rfl, rfl, rfl, silent_nil⟩

theorem cancel_still (s : Session) : Still s (cancel s).1 (cancel s).2 := by
  refine ⟨rfl, rfl, rfl, ?_⟩
  simp [cancel, finish, silent_append, silent_cons, silent_nil, leftovers_silent, Event.sends,
    Event.takes]

end Antiphon

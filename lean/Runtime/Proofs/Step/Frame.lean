module

public import Runtime.Proofs.Step.Kept
public import Runtime.ProtocolMachine.Runtime.ThreadedRunner

@[expose] public section

/-! # A step writes only its footprint -/

namespace Antiphon

/-- The parts of a session that the keys do not name are unchanged, and so are its number, its image
and its owner. -/
structure Framed (keys : List Key) (session : Nat) (s s' : Session) : Prop where
  id : s'.id = s.id
  image : s'.image = s.image
  owner : s'.owner = s.owner
  coroutine : ∀ n, Key.coroutine session n ∉ keys → s'.coroutines[n]? = s.coroutines[n]?
  endpoint : ∀ n, Key.endpoint session n ∉ keys → s'.endpoints[n]? = s.endpoints[n]?
  edge : ∀ n, Key.edge session n ∉ keys → s'.edges[n]? = s.edges[n]?

theorem Framed.refl (keys : List Key) (session : Nat) (s : Session) : Framed keys session s s :=
  ⟨rfl, rfl, rfl, fun _ _ => rfl, fun _ _ => rfl, fun _ _ => rfl⟩

/-- Replacing one coroutine whose key is named, and changing no endpoint, edge, number, image or
owner, writes only what the keys name. -/
theorem Framed.ofCoroutine {keys : List Key} {session who : Nat} {s s' : Session} {c : Coroutine}
    (named : .coroutine session who ∈ keys) (id : s'.id = s.id) (image : s'.image = s.image)
    (owner : s'.owner = s.owner) (coroutines : s'.coroutines = s.coroutines.set who c)
    (endpoints : s'.endpoints = s.endpoints) (edges : s'.edges = s.edges) : Framed keys session s s' := by
  refine ⟨id, image, owner, fun n hn => ?_, fun n _ => by rw [endpoints], fun n _ => by rw [edges]⟩
  have : who ≠ n := fun h => hn (h ▸ named)
  simp [coroutines, this]

theorem Framed.ofPlain {keys : List Key} {session who : Nat} {s : Session}
    (named : .coroutine session who ∈ keys) (c : Coroutine) :
    Framed keys session s (s.withCoroutine who c) :=
  .ofCoroutine named rfl rfl rfl (by simp [Session.withCoroutine]; rfl) rfl rfl

theorem wake_getElem? {endpoints : List Endpoint} {coroutines : List Coroutine} {peer who n : Nat} {on : On}
    {c : Coroutine} (other : n ≠ who) (notPeer : ∀ e, endpoints[peer]? = some e → n ≠ e.holder) :
    (wake endpoints (coroutines.set who c) peer on).1[n]? = coroutines[n]? := by
  rcases wake_cases endpoints (coroutines.set who c) peer on with ⟨h, _⟩ | ⟨e, d, he, _, _, h⟩
  · simp [h, Ne.symm other]
  · simp [h, Ne.symm other, Ne.symm (notPeer e he)]

/-- The keys of a send or receive are the endpoint and the edge of the speaker that `speak` has
found, and the coroutine that holds the peer's endpoint, if there is one. -/
theorem speechKeys_of {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan : Nat} {act : SpeechAct}
    {speaker : Speaker} (h : Speaks cx s who c chan act speaker) (session : Nat) :
    speechKeys cx.image session s c chan =
      .endpoint session speaker.role :: .edge session speaker.point.edge ::
        match s.endpoints[speaker.point.peer]? with
        | none => []
        | some other => [.coroutine session other.holder] := by
  cases he : s.endpoints[speaker.point.peer]? <;>
    simp [speechKeys, roleIn, h.register, h.endpoint, h.point, he]

/-- A send or receive writes only its keys, for any coroutine, edge and endpoint that it writes. -/
theorem spoken_framed {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan : Nat} {act : SpeechAct}
    {speaker : Speaker} (h : Speaks cx s who c chan act speaker) (session : Nat) (c' : Coroutine)
    (edge : Edge) (endpoint : Endpoint) (on : On) :
    Framed (.ledger session :: .coroutine session who :: speechKeys cx.image session s c chan) session s
      { s with
        edges := s.edges.set speaker.point.edge edge
        endpoints := s.endpoints.set speaker.role endpoint
        coroutines := (wake s.endpoints (s.coroutines.set who c') speaker.point.peer on).1 } := by
  rw [speechKeys_of h]
  refine ⟨rfl, rfl, rfl, fun n hn => ?_, fun n hn => ?_, fun n hn => ?_⟩
  · simp only [List.mem_cons, Key.coroutine.injEq, true_and, reduceCtorEq, false_or, not_or] at hn
    refine wake_getElem? hn.1 fun e he => ?_
    have := hn.2
    simp only [he, List.mem_singleton, Key.coroutine.injEq, true_and] at this
    exact this
  · simp only [List.mem_cons, Key.endpoint.injEq, true_and, reduceCtorEq, false_or, not_or] at hn
    simp [Ne.symm hn.1]
  · simp only [List.mem_cons, Key.edge.injEq, true_and, reduceCtorEq, false_or, not_or] at hn
    simp [Ne.symm hn.1]

theorem sent_framed {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan label val next : Nat}
    {chosen : Bool} {stepped : Stepped} (h : Sent cx s who c chan label val next chosen stepped)
    (session : Nat) :
    Framed (.ledger session :: .coroutine session who :: speechKeys cx.image session s c chan) session s
      stepped.session := by
  cases h with
  | full =>
    exact .ofPlain (by simp) _
  | put speaks => exact spoken_framed speaks session _ _ _ _

theorem heard_framed {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan dst : Nat}
    {chosen : Bool} {next : Nat → Option Nat} {stepped : Stepped}
    (h : Heard cx s who c chan dst chosen next stepped) (session : Nat) :
    Framed (.ledger session :: .coroutine session who :: speechKeys cx.image session s c chan) session s
      stepped.session := by
  cases h with
  | empty =>
    exact .ofPlain (by simp) _
  | took speaks => exact spoken_framed speaks session _ _ _ _

theorem executed_framed {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {instruction : Instruction}
    {stepped : Stepped} (found : s.coroutines[who]? = some c)
    (fetched : fetch cx.image c.program c.pc = .ok instruction)
    (h : Executed cx s who c instruction stepped) (session : Nat) :
    Framed (footprint cx.image session s who) session s stepped.session := by
  unfold footprint
  simp only [getAt_eq, found, fetched]
  cases h with
  | send h => exact sent_framed h session
  | offer _ _ _ h => exact sent_framed h session
  | receive h => exact heard_framed h session
  | choose h => exact heard_framed h session
  | invoke h => cases h; exact .ofCoroutine (who := who) (by simp) rfl rfl rfl rfl rfl rfl
  | check h => cases h; exact .ofCoroutine (who := who) (by simp) rfl rfl rfl rfl rfl rfl
  | spawn h =>
    cases h
    refine ⟨rfl, rfl, rfl, fun n hn => ?_, fun n _ => rfl, fun n _ => rfl⟩
    simp only [List.mem_cons, Key.coroutine.injEq, true_and, reduceCtorEq, false_or, not_or, len_eq,
      List.not_mem_nil, or_false] at hn
    by_cases hl : n < s.coroutines.length
    · rw [List.getElem?_append_left (by simpa using hl)]
      simp [Ne.symm hn.1]
    · rw [List.getElem?_eq_none (by simp; omega), List.getElem?_eq_none (by omega)]
  | set => exact .ofPlain (by simp) _
  | move => exact .ofPlain (by simp) _
  | jump => exact .ofPlain (by simp) _
  | branch => exact .ofPlain (by simp) _
  | «yield» => exact .ofPlain (by simp) _
  | close h =>
    cases h
    exact ⟨rfl, rfl, rfl, fun _ _ => rfl, fun _ _ => rfl, fun _ _ => rfl⟩
  | halt h => cases h <;> exact .ofCoroutine (who := who) (by simp) rfl rfl rfl rfl rfl rfl

/-- A step changes no coroutine, endpoint or edge outside its footprint, and it never changes the
session's number, image or owner. -/
theorem step_frame (cx : Context) (s : Session) (who session : Nat) :
    Framed (footprint cx.image session s who) session s (step cx s who).session := by
  have h := step_cases cx s who
  generalize step cx s who = stepped at h ⊢
  cases h with
  | absent => exact .refl _ _ _
  | over => exact .refl _ _ _
  | blocked => exact .refl _ _ _
  | ran found _ _ fetched h => exact executed_framed found fetched h session
  | @faulted c fault found =>
    refine .ofCoroutine (who := who) (c := { c with status := .faulted }) (by simp [footprint]) ?_ ?_ ?_ ?_ ?_ ?_ <;>
      simp [faulting, fail_eq _ _ _ _ found, finish, Session.withCoroutine]

/-- A turn of a machine changes no session but the one that steps; the number of sessions, the
configuration, the images and the clock stay the same. -/
theorem turnOf_frame (m : Machine) (p : Pick) :
    (∀ j, j ≠ p.session → (m.turnOf p).machine.sessions[j]? = m.sessions[j]?) ∧
      (m.turnOf p).machine.sessions.length = m.sessions.length ∧
      (m.turnOf p).machine.config = m.config ∧ (m.turnOf p).machine.images = m.images ∧
      (m.turnOf p).machine.clock = m.clock := by
  unfold Machine.turnOf
  cases h : m.micro p with
  | none => simp
  | some μ =>
    have hp : μ.pick.session = p.session := by
      simp only [Machine.micro] at h
      split at h
      · simp at h
      · cases h; simp [microStep]
    simp only [Run.commit, setAt_eq, hp, List.length_set, and_self, and_true]
    intro j hj
    simp [Ne.symm hj]

/-- A refused input leaves the machine unchanged and shows no event and no request. -/
theorem input_refused {m : Machine} {ingress : Ingress} {refusal : Refusal}
    (h : m.ingress ingress = .error refusal) :
    m.input ingress = { machine := m, shown := { result := .refused refusal, events := [], request := none } } := by
  simp [Machine.input, h]

/-- A step that blocks changes its coroutine's status and nothing else, has no events and wakes no
coroutine. -/
theorem step_blocked {cx : Context} {s : Session} {who : Nat} {on : On}
    (h : (step cx s who).step = .blocked on) :
    (step cx s who).events = [] ∧ (step cx s who).woken = none ∧
      ∃ c, s.coroutines[who]? = some c ∧
        (step cx s who).session = s.withCoroutine who { c with status := .blocked on } := by
  have hs := step_cases cx s who
  generalize step cx s who = stepped at h hs ⊢
  cases hs with
  | absent => simp [still] at h
  | over => simp [still] at h
  | @blocked c on' found _ blocked =>
    simp only [still, Step.blocked.injEq] at h ⊢
    subst h
    refine ⟨trivial, trivial, c, found, ?_⟩
    have same : ({ c with status := .blocked on' } : Coroutine) = c := by rw [← blocked]
    obtain ⟨hl, hc⟩ := List.getElem?_eq_some_iff.mp found
    rw [same]
    simp [Session.withCoroutine, ← hc]
  | faulted => simp [faulting] at h
  | @ran c _ _ found _ _ _ he =>
    cases he with
    | send he => cases he with
      | full => simp_all [block, plain]
      | put => simp at h
    | offer _ _ _ he => cases he with
      | full => simp_all [block, plain]
      | put => simp at h
    | receive he => cases he with
      | empty => simp_all [block, plain]
      | took => simp at h
    | choose he => cases he with
      | empty => simp_all [block, plain]
      | took => simp at h
    | invoke he => cases he; simp at h
    | check he => cases he; simp at h
    | spawn he => cases he; simp at h
    | set => simp [plain] at h
    | move => simp [plain] at h
    | jump => simp [plain] at h
    | branch => simp [plain] at h
    | «yield» => simp [plain] at h
    | close he => cases he; simp at h
    | halt he => cases he <;> simp at h

/-- A refused input leaves the machine unchanged and shows no event; a step of a session that has
ended, or of a coroutine that is not ready, changes nothing in the session and has no events; a step
that blocks changes its coroutine's status and nothing else, and has no events. -/
theorem step_refused_unchanged :
    (∀ (m : Machine) (ingress : Ingress) (refusal : Refusal), m.ingress ingress = .error refusal →
      (m.input ingress).machine = m ∧ (m.input ingress).shown.events = []) ∧
    (∀ (cx : Context) (s : Session) (who : Nat),
      (s.phase ≠ .active ∨ ∀ c, s.coroutines[who]? = some c → c.status ≠ .ready) →
      (step cx s who).session = s ∧ (step cx s who).events = []) ∧
    (∀ (cx : Context) (s : Session) (who : Nat) (on : On), (step cx s who).step = .blocked on →
      (step cx s who).events = [] ∧ ∃ c, s.coroutines[who]? = some c ∧
        (step cx s who).session = s.withCoroutine who { c with status := .blocked on }) := by
  refine ⟨fun m x r h => by simp [input_refused h], fun cx s who h => ?_, fun cx s who on h => ?_⟩
  · rcases h with h | h
    · cases hp : s.phase with
      | active => exact absurd hp h
      | terminal how => simp [step_terminal hp, still]
    · exact ⟨(step_not_ready h).1, (step_not_ready h).2.1⟩
  · exact ⟨(step_blocked h).1, (step_blocked h).2.2⟩

end Antiphon

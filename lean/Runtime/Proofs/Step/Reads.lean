module

public import Runtime.Proofs.Step.Frame

@[expose] public section

/-! # What a step depends on -/

namespace Antiphon

/-- Whether two sessions agree at a key. The key's own session number is ignored. -/
def SameAt (s t : Session) : Key → Prop
  | .ledger _ => s.phase = t.phase ∧ s.live = t.live ∧ s.epoch = t.epoch ∧
      s.effectsIssued = t.effectsIssued ∧ s.witnessesIssued = t.witnessesIssued ∧
      s.effects = t.effects ∧ s.witnesses = t.witnesses
  | .coroutine _ n => s.coroutines[n]? = t.coroutines[n]?
  | .endpoint _ n => s.endpoints[n]? = t.endpoints[n]?
  | .edge _ n => s.edges[n]? = t.edges[n]?

/-- What sending or receiving over the endpoint in `chan` reads: the endpoint, the edge, the peer's
endpoint, and the coroutine that holds the peer's endpoint. -/
def speechReads (i : Loaded) (session : Nat) (s : Session) (c : Coroutine) (chan : Nat) : List Key :=
  match roleIn c chan with
  | none => []
  | some role => .endpoint session role ::
    match getAt s.endpoints role with
    | none => []
    | some endpoint => match i.point role endpoint.state with
      | none => []
      | some point =>
        .edge session point.edge :: .endpoint session point.peer ::
          match getAt s.endpoints point.peer with
          | none => []
          | some other => [.coroutine session other.holder]

/-- Every endpoint and every edge, and for each kind the first number that is not in use. -/
noncomputable def allSpeech (session : Nat) (s : Session) : List Key :=
  (List.range (s.endpoints.length + 1)).map (.endpoint session) ++
    (List.range (s.edges.length + 1)).map (.edge session)

/-- What a coroutine's next step reads: the ledger, the coroutine, and the parts that its
instruction needs. `Spawn` reads the number of coroutines, given by the last one and the first
number that is not in use. `Close` and `Halt` read every endpoint and every edge. -/
noncomputable def readSet (i : Loaded) (session : Nat) (s : Session) (who : Nat) : List Key :=
  .ledger session :: .coroutine session who ::
    match getAt s.coroutines who with
    | none => []
    | some c => match fetch i c.program c.pc with
      | .ok (.send chan _ _) => speechReads i session s c chan
      | .ok (.receive chan _ _) => speechReads i session s c chan
      | .ok (.offer chan _ _) => speechReads i session s c chan
      | .ok (.choose chan _ _) => speechReads i session s c chan
      | .ok (.spawn _ _ _) =>
        [.coroutine session (len s.coroutines - 1), .coroutine session (len s.coroutines)]
      | .ok .close => allSpeech session s
      | .ok .halt => allSpeech session s
      | _ => []

/-- Two steps with the same result, events and woken coroutine, after which the sessions agree
wherever they agreed before. -/
structure SameStepped (s t : Session) (x y : Stepped) : Prop where
  step : x.step = y.step
  events : x.events = y.events
  woken : x.woken = y.woken
  keys : ∀ k, SameAt s t k → SameAt x.session y.session k

/-- Two attempts that end in the same fault or in the same step. -/
inductive SameTry (s t : Session) : Except Fault Stepped → Except Fault Stepped → Prop
  | error (fault : Fault) : SameTry s t (.error fault) (.error fault)
  | ok {x y : Stepped} (same : SameStepped s t x y) : SameTry s t (.ok x) (.ok y)

theorem SameTry.bind {s t : Session} {α : Type} {x : Except Fault α} {f g : α → Except Fault Stepped}
    (h : ∀ a, x = .ok a → SameTry s t (f a) (g a)) : SameTry s t (x >>= f) (x >>= g) := by
  cases x with
  | error fault => exact .error fault
  | ok a => exact h a rfl

theorem set_same {α : Type} {xs ys : List α} {n : Nat} (h : xs[n]? = ys[n]?) (m : Nat) (x : α) :
    (xs.set m x)[n]? = (ys.set m x)[n]? := by
  by_cases hmn : m = n
  · subst hmn
    have : m < xs.length ↔ m < ys.length := by
      have : xs.length ≤ m ↔ ys.length ≤ m := by
        rw [← List.getElem?_eq_none_iff, ← List.getElem?_eq_none_iff, h]
      omega
    simp only [List.getElem?_set, if_true, this]
  · simp [hmn, h]

theorem length_same {α : Type} {xs ys : List α} (h : xs[xs.length]? = ys[xs.length]?)
    (h' : xs[xs.length - 1]? = ys[xs.length - 1]?) : xs.length = ys.length := by
  have h : ys[xs.length]? = none := by rw [← h]; simp
  rw [List.getElem?_eq_none_iff] at h
  cases hx : xs.length with
  | zero => omega
  | succ n =>
    have : xs[n]?.isSome = true := by simp [hx]
    rw [hx] at h'
    simp only [Nat.add_sub_cancel] at h'
    rw [h'] at this
    simp at this
    omega

theorem all_same {α : Type} {xs ys : List α} (h : ∀ n, n ≤ xs.length → xs[n]? = ys[n]?) : xs = ys := by
  have hl := length_same (h _ (Nat.le_refl _)) (h _ (Nat.sub_le _ _))
  refine List.ext_getElem? fun n => ?_
  by_cases hn : n ≤ xs.length
  · exact h n hn
  · rw [List.getElem?_eq_none (by omega), List.getElem?_eq_none (by omega)]

theorem withCoroutine_same {s t : Session} (who : Nat) (c : Coroutine) {k : Key} (h : SameAt s t k) :
    SameAt (s.withCoroutine who c) (t.withCoroutine who c) k := by
  cases k <;> simp only [SameAt, Session.withCoroutine, setAt_eq] at h ⊢ <;> first | exact h | exact set_same h _ _

theorem finish_same {s t : Session} (ledger : SameAt s t (.ledger 0)) (how : Ending) :
    (finish s how).2 = (finish t how).2 ∧
      ∀ k, SameAt s t k → SameAt (finish s how).1 (finish t how).1 k := by
  obtain ⟨h1, h2, h3, h4, h5, h6, h7⟩ := ledger
  refine ⟨by simp [finish, h3, h6, h7], fun k h => ?_⟩
  cases k <;> simp_all [SameAt, finish]

theorem wake_same {es fs : List Endpoint} {cs ds : List Coroutine} {peer : Nat} (he : es[peer]? = fs[peer]?)
    (hc : ∀ e, es[peer]? = some e → cs[e.holder]? = ds[e.holder]?) (on : On) :
    (wake es cs peer on).2 = (wake fs ds peer on).2 ∧
      ∀ n : Nat, cs[n]? = ds[n]? → (wake es cs peer on).1[n]? = (wake fs ds peer on).1[n]? := by
  simp only [wake, getAt_eq, ← he]
  cases h : es[peer]? with
  | none => exact ⟨rfl, fun _ hn => hn⟩
  | some e =>
    simp only [← hc e h]
    cases h' : cs[e.holder]? with
    | none => exact ⟨rfl, fun _ hn => hn⟩
    | some c =>
      by_cases hs : c.status = .blocked on
      · simp only [hs, decide_true, setAt_eq]
        exact ⟨trivial, fun n hn => set_same hn _ _⟩
      · simp only [hs, decide_false]
        exact ⟨trivial, fun _ hn => hn⟩

section
variable {cx : Context} {s t : Session} {who : Nat} {c : Coroutine} {session : Nat}

theorem plain_same (c' : Coroutine) (step : Step) :
    SameStepped s t (plain s who c' step) (plain t who c' step) :=
  ⟨rfl, rfl, rfl, fun _ h => withCoroutine_same who c' h⟩

/-- If two sessions agree on what a send or receive reads, `speak` finds the same speaker, and the
speaker's edge, the peer's endpoint and its holder are the same. -/
theorem speech_same {chan : Nat} (h : ∀ k ∈ speechReads cx.image session s c chan, SameAt s t k)
    (act : SpeechAct) :
    speak cx s who c chan act = speak cx t who c chan act ∧
      ∀ speaker, speak cx s who c chan act = .ok speaker →
        s.edges[speaker.point.edge]? = t.edges[speaker.point.edge]? ∧
        s.endpoints[speaker.point.peer]? = t.endpoints[speaker.point.peer]? ∧
        ∀ e, s.endpoints[speaker.point.peer]? = some e → s.coroutines[e.holder]? = t.coroutines[e.holder]? := by
  constructor
  · simp only [speak, readReg, getAt_eq]
    cases hr : c.registers[chan]? with
    | none => rfl
    | some v =>
      cases v <;> try rfl
      rename_i role
      have : s.endpoints[role]? = t.endpoints[role]? := by
        have := h (.endpoint session role) (by simp [speechReads, roleIn, hr])
        exact this
      simp only [bind, Except.bind, this]
  · intro speaker hs
    have hs := speak_ok hs
    have hk : speechReads cx.image session s c chan = .endpoint session speaker.role ::
        .edge session speaker.point.edge :: .endpoint session speaker.point.peer ::
          match s.endpoints[speaker.point.peer]? with
          | none => []
          | some other => [.coroutine session other.holder] := by
      cases he : s.endpoints[speaker.point.peer]? <;>
        simp [speechReads, roleIn, hs.register, hs.endpoint, hs.point, he]
    rw [hk] at h
    refine ⟨h (.edge session _) (by simp), h (.endpoint session _) (by simp), fun e he => ?_⟩
    exact h (.coroutine session e.holder) (by simp [he])

/-- If two sessions agree on the peer's endpoint and its holder, a send or receive that writes the
same leaves them in agreement wherever they agreed before, with the same events and the same
coroutine woken. -/
theorem spoken_same {speaker : Speaker} (c' : Coroutine)
    (hp : s.endpoints[speaker.point.peer]? = t.endpoints[speaker.point.peer]?)
    (hw : ∀ e, s.endpoints[speaker.point.peer]? = some e → s.coroutines[e.holder]? = t.coroutines[e.holder]?)
    (edge : Edge) (endpoint : Endpoint) (on : On) (events : List Event) :
    SameStepped s t
      { session := { s with
          edges := s.edges.set speaker.point.edge edge
          endpoints := s.endpoints.set speaker.role endpoint
          coroutines := (wake s.endpoints (s.coroutines.set who c') speaker.point.peer on).1 }
        events, step := .ran
        woken := (wake s.endpoints (s.coroutines.set who c') speaker.point.peer on).2 }
      { session := { t with
          edges := t.edges.set speaker.point.edge edge
          endpoints := t.endpoints.set speaker.role endpoint
          coroutines := (wake t.endpoints (t.coroutines.set who c') speaker.point.peer on).1 }
        events, step := .ran
        woken := (wake t.endpoints (t.coroutines.set who c') speaker.point.peer on).2 } := by
  have h := wake_same hp (fun e he => set_same (hw e he) who c') on
  refine ⟨rfl, rfl, h.1, fun k hk => ?_⟩
  cases k with
  | ledger => exact hk
  | coroutine _ n => exact h.2 n (set_same hk who c')
  | endpoint => exact set_same hk _ _
  | edge => exact set_same hk _ _

theorem send_same {chan : Nat} (h : ∀ k ∈ speechReads cx.image session s c chan, SameAt s t k)
    (label val next : Nat) (chosen : Bool) :
    SameTry s t (send cx s who c chan label val next chosen) (send cx t who c chan label val next chosen) := by
  have hs := speech_same (who := who) h .send
  unfold send
  rw [← hs.1]
  refine .bind fun speaker hok => ?_
  obtain ⟨he, hp, hw⟩ := hs.2 speaker hok
  cases branchFor label speaker.point.branches with
  | none => exact .error _
  | some branch =>
    refine .bind fun payload _ => .bind fun _ _ => ?_
    simp only [getAt_eq, setAt_eq, app_eq, ← he]
    cases s.edges[speaker.point.edge]? with
    | none => exact .error _
    | some edge =>
      cases hb : Nat.blt (len edge.queue) cx.config.bufferMax with
      | false => simp only [hb]; exact .ok (plain_same _ _)
      | true => simp only [hb]; exact .ok (spoken_same _ hp hw _ _ _ _)

theorem receive_same {chan : Nat} (h : ∀ k ∈ speechReads cx.image session s c chan, SameAt s t k)
    (dst : Nat) (chosen : Bool) (next : Nat → Option Nat) :
    SameTry s t (receive cx s who c chan dst chosen next) (receive cx t who c chan dst chosen next) := by
  have hs := speech_same (who := who) h .receive
  unfold receive
  rw [← hs.1]
  refine .bind fun speaker hok => .bind fun _ _ => ?_
  obtain ⟨he, hp, hw⟩ := hs.2 speaker hok
  simp only [getAt_eq, setAt_eq, ← he]
  cases s.edges[speaker.point.edge]? with
  | none => exact .error _
  | some edge =>
    obtain ⟨sent, queue⟩ := edge
    cases queue with
    | nil => exact .ok (plain_same _ _)
    | cons parcel rest =>
      dsimp only
      cases branchFor parcel.label speaker.point.branches with
      | none => exact .error _
      | some branch =>
        dsimp only
        cases next parcel.label with
        | none => exact .error _
        | some target =>
          exact .bind fun _ _ => .ok (spoken_same _ hp hw _ _ _ _)

theorem invoke_same (ledger : SameAt s t (.ledger session)) (operation : Nat) (args : List Nat) (dst : Nat)
    (witness : Option Nat) :
    SameTry s t (invoke cx s who c operation args dst witness) (invoke cx t who c operation args dst witness) := by
  have hn : s.effectsIssued = t.effectsIssued := ledger.2.2.2.1
  have hok (deadline : Option Nat) : SameStepped s t
      { session := (issue s who c operation deadline 0).1, events := [(issue s who c operation deadline 0).2],
        step := .effect s.effectsIssued, woken := none }
      { session := (issue t who c operation deadline 0).1, events := [(issue t who c operation deadline 0).2],
        step := .effect t.effectsIssued, woken := none } := by
    refine ⟨by simp [hn], by simp [issue, hn], rfl, fun k hk => ?_⟩
    cases k with
    | ledger => simp_all [SameAt, issue]
    | coroutine _ n => simp only [SameAt, issue, hn, setAt_eq] at hk ⊢; exact set_same hk _ _
    | endpoint => exact hk
    | edge => exact hk
  unfold invoke
  cases witness with
  | none =>
    exact .bind fun _ _ => .bind fun _ _ => .bind fun _ _ => .bind fun _ _ => .bind fun _ _ =>
      .bind fun _ _ => .ok (hok _)
  | some w =>
    exact .bind fun _ _ => .bind fun _ _ => .bind fun _ _ => .bind fun _ _ => .bind fun _ _ =>
      .bind fun _ _ => .bind fun _ _ => .ok (hok _)

theorem spawn_same (ledger : SameAt s t (.ledger session)) (count : s.coroutines.length = t.coroutines.length)
    (program : Nat) (args : List Nat) (dst next : Nat) :
    SameTry s t (spawn cx s who c program args dst next) (spawn cx t who c program args dst next) := by
  unfold spawn
  simp only [len_eq, setAt_eq, app_eq, ← count]
  refine .bind fun _ _ => .bind fun _ _ => .bind fun child _ => .bind fun _ _ => .ok ⟨rfl, rfl, rfl, fun k hk => ?_⟩
  cases k with
  | ledger => simp_all [SameAt]
  | coroutine _ n =>
    simp only [SameAt] at hk ⊢
    by_cases hl : n < s.coroutines.length
    · rw [List.getElem?_append_left (by simpa using hl), List.getElem?_append_left (by simp; omega)]
      exact set_same hk _ _
    · rw [List.getElem?_append_right (by simp; omega), List.getElem?_append_right (by simp; omega)]
      simp [count]
  | endpoint => exact hk
  | edge => exact hk

theorem close_same (ledger : SameAt s t (.ledger 0)) (endpoints : s.endpoints = t.endpoints)
    (edges : s.edges = t.edges) : SameTry s t (close cx s) (close cx t) := by
  unfold close
  rw [← endpoints, ← edges]
  refine .bind fun _ _ => .bind fun _ _ => .ok ⟨rfl, ?_, rfl, (finish_same ledger _).2⟩
  simp [(finish_same ledger .closed).1]

theorem halt_same (ledger : SameAt s t (.ledger 0)) (endpoints : s.endpoints = t.endpoints)
    (edges : s.edges = t.edges) : SameTry s t (halt cx s who c) (halt cx t who c) := by
  have hl : s.live = t.live := ledger.2.1
  have hk (k : Key) (h : SameAt s t k) :
      SameAt { s.withCoroutine who { c with status := .halted } with live := s.live - 1 }
        { t.withCoroutine who { c with status := .halted } with live := t.live - 1 } k := by
    have := withCoroutine_same who { c with status := .halted } h
    cases k <;> simp_all [SameAt, Session.withCoroutine]
  unfold halt
  rw [← endpoints, ← edges]
  refine .bind fun _ _ => ?_
  simp only [← hl]
  cases Nat.beq s.live 1 with
  | true =>
    refine .bind fun _ _ => .ok ?_
    rw [hl] at hk ⊢
    have := finish_same (hk _ ledger) .closed
    exact ⟨rfl, by simp [this.1], rfl, fun k h => this.2 k (hk k h)⟩
  | false =>
    refine .bind fun _ _ => .ok ⟨rfl, rfl, rfl, fun k h => ?_⟩
    have := hk k h
    rw [← hl] at this
    exact this

/-- If two sessions agree on everything that a step reads, the step has the same result and the same
events in both, wakes the same coroutine, and leaves the sessions in agreement wherever they agreed
before. So what it writes is also the same. -/
theorem step_reads (cx : Context) (s t : Session) (who session : Nat)
    (agree : ∀ k ∈ readSet cx.image session s who, SameAt s t k) :
    SameStepped s t (step cx s who) (step cx t who) := by
  have ledger : SameAt s t (.ledger 0) := agree (.ledger session) (by simp [readSet])
  have own : s.coroutines[who]? = t.coroutines[who]? := agree (.coroutine session who) (by simp [readSet])
  unfold step
  simp only [getAt_eq, ← own, ← ledger.1]
  cases hc : s.coroutines[who]? with
  | none => exact ⟨rfl, rfl, rfl, fun _ h => h⟩
  | some c =>
    have hsame : SameTry s t (attempt cx s who c) (attempt cx t who c) := by
      unfold attempt
      refine .bind fun instruction hf => ?_
      simp only [readSet, getAt_eq, hc, hf] at agree
      have all (h : ∀ k ∈ allSpeech session s, SameAt s t k) : s.endpoints = t.endpoints ∧ s.edges = t.edges :=
        ⟨all_same fun n hn => h (.endpoint session n) (by simp [allSpeech]; omega),
          all_same fun n hn => h (.edge session n) (by simp [allSpeech]; omega)⟩
      cases instruction with
      | send =>
        simp only [execute]
        exact send_same (session := session) (fun k hk => agree k (by simp [hk])) _ _ _ _
      | offer =>
        simp only [execute]
        refine .bind fun v _ => .bind fun n _ => ?_
        cases armFor n _ with
        | none => exact .error _
        | some arm => exact send_same (session := session) (fun k hk => agree k (by simp [hk])) _ _ _ _
      | receive =>
        simp only [execute]
        exact receive_same (session := session) (fun k hk => agree k (by simp [hk])) _ _ _
      | choose =>
        simp only [execute]
        exact receive_same (session := session) (fun k hk => agree k (by simp [hk])) _ _ _
      | invoke =>
        simp only [execute]
        exact invoke_same (session := session) ledger _ _ _ _
      | check =>
        simp only [execute]
        exact invoke_same (session := session) ledger _ _ _ _
      | spawn =>
        simp only [execute]
        refine spawn_same (session := session) ledger ?_ _ _ _ _
        exact length_same (agree (.coroutine session s.coroutines.length) (by simp))
          (agree (.coroutine session (s.coroutines.length - 1)) (by simp))
      | set => simp only [execute]; exact .bind fun _ _ => .ok (plain_same _ _)
      | move => simp only [execute]; exact .bind fun _ _ => .bind fun _ _ => .ok (plain_same _ _)
      | jump => exact .ok (plain_same _ _)
      | branch =>
        simp only [execute]
        refine .bind fun v _ => .bind fun n _ => ?_
        cases targetFor n _ with
        | none => exact .error _
        | some target => exact .ok (plain_same _ _)
      | «yield» => exact .ok (plain_same _ _)
      | close =>
        have := all fun k hk => agree k (by simp [hk])
        exact close_same ledger this.1 this.2
      | halt =>
        have := all fun k hk => agree k (by simp [hk])
        exact halt_same ledger this.1 this.2
    dsimp only
    generalize attempt cx s who c = x at hsame ⊢
    generalize attempt cx t who c = y at hsame ⊢
    cases s.phase with
    | terminal => exact ⟨rfl, rfl, rfl, fun _ h => h⟩
    | active =>
      cases c.status with
      | halted => exact ⟨rfl, rfl, rfl, fun _ h => h⟩
      | faulted => exact ⟨rfl, rfl, rfl, fun _ h => h⟩
      | blocked => exact ⟨rfl, rfl, rfl, fun _ h => h⟩
      | ready =>
        dsimp only
        cases hsame with
        | ok same => exact same
        | error fault =>
          have hk (k : Key) := withCoroutine_same (s := s) (t := t) who { c with status := .faulted } (k := k)
          have hf := finish_same (hk _ ledger) .faulted
          refine ⟨rfl, ?_, rfl, fun k h => ?_⟩
          · simp only [fail, getAt_eq, hc, ← own, hf.1]
          · simp only [fail, getAt_eq, hc, ← own]
            exact hf.2 k (hk k h)
end

end Antiphon

module

public import Runtime.ProtocolMachine.Recording
public import Runtime.Proofs.Concurrency.Check

@[expose] public section

/-!
# Recordings

Expanding the recording of a run returns the run's actions. The turns that a recording leaves out
are found by the numbers of steps in its entries, and the certificate of a wave by its picks.
-/

namespace Antiphon

variable {s t u : Replayer} {start : Replayer} {w w' : Recorder}

theorem beq_self (n : Nat) : Nat.beq n n = true := by simp

/-! ## Turns that a replay takes before an entry -/

theorem act_turn_stepped {m : Machine} {p : Pick} {step : Step}
    (h : (m.act .turn).shown.result = .stepped p step) :
    (m.act .turn).machine.stepIndex = m.stepIndex + 1 := by
  cases hp : m.policyPick with
  | none => simp [Machine.act, Machine.schedRoundOne, hp] at h
  | some q =>
    cases hm : m.micro q with
    | none => simp [Machine.act, Machine.schedRoundOne, hp, Machine.turnOf, hm] at h
    | some μ => simp [Machine.act, Machine.schedRoundOne, hp, Machine.turnOf, hm, Run.commit]

/-- What a turn of a replay requires and what it leaves. -/
theorem turn_some (h : s.turn = some t) :
    s.refused = none ∧ t.machine.stepIndex = s.machine.stepIndex + 1 ∧ t.refused = none ∧
      t.answerable = none ∧ t.actions = .turn :: s.actions := by
  unfold Replayer.turn at h
  split at h
  · rename_i refused pending
    dsimp only at h
    split at h
    · rename_i p step result
      simp only [Option.some.injEq] at h
      subst h
      exact ⟨refused, act_turn_stepped result, rfl, rfl, rfl⟩
    · cases h
  · cases h

theorem turns_le (s : Replayer) (n : Nat) : s.machine.stepIndex ≤ (s.turns n).machine.stepIndex := by
  induction n generalizing s with
  | zero => exact Nat.le_refl _
  | succ n ih =>
    simp only [Replayer.turns]
    split
    · exact Nat.le_refl _
    · rename_i t h
      have := ih t
      have := (turn_some h).2.1
      omega

theorem reach_some {step : Nat} (h : s.reach step = some t) :
    t.machine.stepIndex = step ∧ s.turns (step - s.machine.stepIndex) = t := by
  unfold Replayer.reach at h
  dsimp only at h
  split at h
  · rename_i same
    simp only [Option.some.injEq] at h
    subst h
    exact ⟨Nat.eq_of_beq_eq_true same, rfl⟩
  · cases h

theorem reach_self (s : Replayer) : s.reach s.machine.stepIndex = some s := by
  simp [Replayer.reach, Replayer.turns]

theorem reach_turn {step : Nat} (h : s.turn = some t) (r : t.reach step = some u) :
    s.reach step = some u := by
  obtain ⟨here, turns⟩ := reach_some r
  have more := turns_le t (step - t.machine.stepIndex)
  rw [turns, here] at more
  have next := (turn_some h).2.1
  have count : step - s.machine.stepIndex = (step - t.machine.stepIndex) + 1 := by omega
  unfold Replayer.reach
  simp only [count, Replayer.turns, h, turns, here, beq_self]

theorem reachAsked_turn {step : Nat} (h : s.turn = some t) (r : t.reachAsked step = some u) :
    s.reachAsked step = some u := by
  unfold Replayer.reachAsked at r ⊢
  cases hv : t.reach step with
  | none => simp [hv] at r
  | some v =>
    rw [hv] at r
    rw [reach_turn h hv]
    exact r

theorem pass_turn {point : Checkpoint} (h : s.turn = some t) (r : t.pass point = some u) :
    s.pass point = some u := by
  unfold Replayer.pass at r ⊢
  cases hv : t.reachAsked point.step with
  | none => simp [hv] at r
  | some v =>
    rw [hv] at r
    rw [reachAsked_turn h hv]
    exact r

/-- An entry that can be played after a turn can be played before it: the replay takes the turn. -/
theorem play_turn {x : RecordedEntry} (h : s.turn = some t) (r : t.play x = some u) :
    s.play x = some u := by
  obtain ⟨before, -, after, answerable, -⟩ := turn_some h
  unfold Replayer.play at r ⊢
  rw [after] at r
  rw [before]
  cases x with
  | request step request =>
    dsimp only at r ⊢
    cases hv : t.reach step with
    | none => simp [hv] at r
    | some v =>
      rw [hv] at r
      rw [reach_turn h hv]
      exact r
  | answer outcome => simp [answerable] at r
  | input step ingress =>
    dsimp only at r ⊢
    cases hv : t.reachAsked step with
    | none => simp [hv] at r
    | some v =>
      rw [hv] at r
      rw [reachAsked_turn h hv]
      exact r
  | refused refusal => simp at r
  | checkpoint point => exact pass_turn h r
  | wave step picks =>
    dsimp only at r ⊢
    cases hv : t.reachAsked step with
    | none => simp [hv] at r
    | some v =>
      rw [hv] at r
      rw [reachAsked_turn h hv]
      exact r

theorem finish_turn {stop : Stop} {last : Checkpoint} (h : s.turn = some t)
    (r : t.finish stop last = some u) : s.finish stop last = some u := by
  obtain ⟨before, -, after, -, -⟩ := turn_some h
  unfold Replayer.finish at r ⊢
  rw [after] at r
  rw [before]
  dsimp only at r ⊢
  cases hv : t.pass last with
  | none => simp [hv] at r
  | some v =>
    rw [hv] at r
    rw [pass_turn h hv]
    exact r

/-- The second replay is the first one after some number of turns. -/
inductive Behind : Replayer → Replayer → Prop where
  | same (s : Replayer) : Behind s s
  | turn {s t u : Replayer} (h : s.turn = some t) (rest : Behind t u) : Behind s u

theorem Behind.play {x : RecordedEntry} (b : Behind s t) (r : t.play x = some u) : s.play x = some u := by
  induction b with
  | same s => exact r
  | turn h _ ih => exact play_turn h (ih r)

theorem Behind.finish {stop : Stop} {last : Checkpoint} (b : Behind s t)
    (r : t.finish stop last = some u) : s.finish stop last = some u := by
  induction b with
  | same s => exact r
  | turn h _ ih => exact finish_turn h (ih r)

theorem Behind.andTurn (b : Behind s t) (h : t.turn = some u) : Behind s u := by
  induction b with
  | same s => exact .turn h (.same u)
  | turn first _ ih => exact .turn first (ih h)

/-! ## The actions of an entry -/

theorem pass_actions {point : Checkpoint} (here : point.step = s.machine.stepIndex)
    (h : s.pass point = some t) : t.actions = s.actions := by
  unfold Replayer.pass Replayer.reachAsked at h
  rw [here, reach_self] at h
  dsimp only at h
  split at h
  · cases h
  · rename_i v hv
    split at hv
    · simp only [Option.some.injEq] at hv
      subst hv
      split at h
      · simp only [Option.some.injEq] at h
        subst h
        rfl
      · cases h
    · cases hv

theorem reachAsked_self (h : s.reachAsked s.machine.stepIndex = some t) : t = s := by
  unfold Replayer.reachAsked at h
  rw [reach_self] at h
  dsimp only at h
  split at h
  · simpa using h.symm
  · cases h

theorem play_request {request : EffectRequest} (h : s.play (.request s.machine.stepIndex request) = some t) :
    t.actions = s.actions ∧ ∃ e rest, s.pending = e :: rest ∧ t.answerable = some e ∧ t.pending = rest := by
  unfold Replayer.play at h
  split at h
  · simp [Replayer.confirm] at h
  · dsimp only at h
    rw [reach_self] at h
    dsimp only at h
    unfold Replayer.request at h
    split at h
    · cases h
    · rename_i e rest pending
      split at h
      · cases h
      · split at h
        · simp only [Option.some.injEq] at h
          subst h
          exact ⟨rfl, e, rest, pending, rfl, rfl⟩
        · cases h

theorem play_refused {refusal : Refusal} (h : s.play (.refused refusal) = some t) : t.actions = s.actions := by
  unfold Replayer.play at h
  split at h
  · unfold Replayer.confirm at h
    dsimp only at h
    split at h
    · simp only [Option.some.injEq] at h
      subst h
      rfl
    · cases h
  · cases h

theorem play_checkpoint {point : Checkpoint} (here : point.step = s.machine.stepIndex)
    (h : s.play (.checkpoint point) = some t) : t.actions = s.actions := by
  unfold Replayer.play at h
  split at h
  · simp [Replayer.confirm] at h
  · exact pass_actions here h

theorem play_input {ingress : Ingress} (h : s.play (.input s.machine.stepIndex ingress) = some t) :
    t.actions = .input ingress :: s.actions := by
  unfold Replayer.play at h
  split at h
  · simp [Replayer.confirm] at h
  · dsimp only at h
    split at h
    · cases h
    · rename_i v hv
      simp only [Option.some.injEq] at h
      subst h
      rw [reachAsked_self hv]
      rfl

theorem play_answer {e : EffectId} {outcome : Outcome} (asked : s.answerable = some e)
    (h : s.play (.answer outcome) = some t) : t.actions = .input (.outcome e outcome) :: s.actions := by
  unfold Replayer.play at h
  split at h
  · simp [Replayer.confirm] at h
  · rw [asked] at h
    simp only [Option.some.injEq] at h
    subst h
    rfl

theorem play_wave {picks : List (Pick × Nat)} (h : s.play (.wave s.machine.stepIndex picks) = some t) :
    t.actions = .wave (s.machine.claim picks) :: s.actions := by
  unfold Replayer.play at h
  split at h
  · simp [Replayer.confirm] at h
  · dsimp only at h
    split at h
    · cases h
    · rename_i v hv
      have same := reachAsked_self hv
      subst same
      unfold Replayer.wave at h
      split at h
      · cases h
      · simp only [Option.some.injEq] at h
        subst h
        rfl

/-! ## The recorder -/

theorem playAll_append (s : Replayer) (before after : List RecordedEntry) :
    s.playAll (before ++ after) = (s.playAll before).bind fun t => t.playAll after := by
  induction before generalizing s with
  | nil => rfl
  | cons x xs ih =>
    simp only [List.cons_append, Replayer.playAll]
    split
    · rfl
    · exact ih _

/-- A replay of the entries is the recorder's replay, except for the turns after the last entry, and
has these actions. -/
structure Records (start : Replayer) (w : Recorder) (done : List Action) : Prop where
  plays : ∃ s, start.playAll w.entries.reverse = some s ∧ Behind s w.now
  actions : w.now.actions = done

variable {done : List Action}

theorem write_some {x : RecordedEntry} (r : w.write x = some w') :
    w.now.play x = some w'.now ∧ w'.entries = x :: w.entries := by
  unfold Recorder.write at r
  split at r
  · cases r
  · rename_i s played
    simp only [Option.some.injEq] at r
    subst r
    exact ⟨played, rfl⟩

theorem Records.write {x : RecordedEntry} {done' : List Action} (h : Records start w done)
    (r : w.write x = some w') (adds : w'.now.actions = done') : Records start w' done' := by
  obtain ⟨played, entries⟩ := write_some r
  obtain ⟨s, plays, behind⟩ := h.plays
  refine ⟨⟨w'.now, ?_, .same _⟩, adds⟩
  simp [entries, playAll_append, plays, Replayer.playAll, behind.play played]

theorem Records.ask {e : EffectId} (h : Records start w done) (r : w.ask e = some w') :
    Records start w' done ∧
      ∃ e' rest, w.now.pending = e' :: rest ∧ w'.now.answerable = some e' ∧ w'.now.pending = rest := by
  unfold Recorder.ask at r
  split at r
  · cases r
  · obtain ⟨actions, rest⟩ := play_request (write_some r).1
    exact ⟨h.write r (actions.trans h.actions), rest⟩

theorem Records.askAll {es : List EffectId} (h : Records start w done)
    (r : Recorder.askAll es w = some w') : Records start w' done := by
  induction es generalizing w with
  | nil =>
    simp only [Recorder.askAll, Option.some.injEq] at r
    exact r ▸ h
  | cons e es ih =>
    simp only [Recorder.askAll] at r
    split at r
    · cases r
    · rename_i next asked
      exact ih (h.ask asked).1 r

theorem sameEffect_eq {a b : EffectId} (h : sameEffect a b = true) : a = b := by
  obtain ⟨s, n⟩ := a
  obtain ⟨s', n'⟩ := b
  unfold sameEffect at h
  split at h
  · rename_i sessions
    have sessions : s = s' := Nat.eq_of_beq_eq_true sessions
    have numbers : n = n' := Nat.eq_of_beq_eq_true h
    rw [sessions, numbers]
  · cases h

theorem Records.askTo {to : EffectId} {es : List EffectId} (pending : w.now.pending = es)
    (h : Records start w done) (r : Recorder.askTo to es w = some w') :
    Records start w' done ∧ w'.now.answerable = some to := by
  induction es generalizing w with
  | nil => simp [Recorder.askTo] at r
  | cons e es ih =>
    simp only [Recorder.askTo] at r
    split at r
    · cases r
    · rename_i next asked
      obtain ⟨records, e', rest, head, answerable, tail⟩ := h.ask asked
      rw [pending] at head
      simp only [List.cons.injEq] at head
      split at r
      · rename_i same
        simp only [Option.some.injEq] at r
        subst r
        exact ⟨records, by rw [answerable, ← head.1, sameEffect_eq same]⟩
      · exact ih (tail.trans head.2.symm) records r

theorem Records.pause {due : Checkpoints} (h : Records start w done) (r : w.pause due = some w') :
    Records start w' done := by
  unfold Recorder.pause at r
  split at r
  · cases r
  · rename_i next asked
    have h := h.askAll asked
    split at r
    · simp only [Option.some.injEq] at r
      exact r ▸ h
    · exact h.write r ((play_checkpoint rfl (write_some r).1).trans h.actions)

theorem Records.writeInput {x : RecordedEntry} {done' : List Action} (h : Records start w done)
    (adds : ∀ s, w.now.play x = some s → s.actions = done') (r : w.writeInput x = some w') :
    Records start w' done' := by
  unfold Recorder.writeInput at r
  split at r
  · cases r
  · rename_i next written
    have h := h.write written (adds _ (write_some written).1)
    unfold Recorder.confirm at r
    split at r
    · simp only [Option.some.injEq] at r
      exact r ▸ h
    · exact h.write r ((play_refused (write_some r).1).trans h.actions)

theorem Records.input {due : Checkpoints} {ingress : Ingress} (h : Records start w done)
    (r : w.input due ingress = some w') : Records start w' (.input ingress :: done) := by
  unfold Recorder.input at r
  split at r
  · cases r
  · rename_i next paused
    have h := h.pause paused
    exact h.writeInput (fun s played => h.actions ▸ play_input played) r

theorem Records.answer {e : EffectId} {outcome : Outcome} (h : Records start w done)
    (r : w.answer e outcome = some w') : Records start w' (.input (.outcome e outcome) :: done) := by
  unfold Recorder.answer at r
  split at r
  · cases r
  · rename_i next asked
    obtain ⟨h, answerable⟩ := h.askTo rfl asked
    exact h.writeInput (fun s played => h.actions ▸ play_answer answerable played) r

theorem samePicks_eq {a b : List WavePick} (h : samePicks a b = true) : a = b := by
  induction a generalizing b with
  | nil => cases b <;> simp [samePicks] at h ⊢
  | cons x xs ih =>
    cases b with
    | nil => simp [samePicks] at h
    | cons y ys =>
      simp only [samePicks, Bool.and_eq_true, samePick_iff, Nat.beq_eq, sameKeys_iff] at h
      obtain ⟨pick, lane, quantum, footprint, rest⟩ := h
      rw [ih rest]
      cases x
      cases y
      simp_all

theorem sameCertificate_eq {a b : WaveCertificate} (h : sameCertificate a b = true) : a = b := by
  simp only [sameCertificate, Bool.and_eq_true, sameQueue_iff, Nat.beq_eq] at h
  obtain ⟨step, queue, picks⟩ := h
  have picks := samePicks_eq picks
  cases a
  cases b
  simp_all

theorem Records.wave {due : Checkpoints} {c : WaveCertificate} (h : Records start w done)
    (r : w.wave due c = some w') : Records start w' (.wave c :: done) := by
  unfold Recorder.wave at r
  split at r
  · cases r
  · rename_i next paused
    have h := h.pause paused
    split at r
    · rename_i same
      refine h.write r ?_
      rw [play_wave (write_some r).1, sameCertificate_eq same, h.actions]
    · cases r

theorem Records.turn {due : Checkpoints} (h : Records start w done) (r : w.turn due = some w') :
    Records start w' (.turn :: done) := by
  unfold Recorder.turn at r
  split at r
  · cases r
  · rename_i next paused
    have h := h.pause paused
    split at r
    · cases r
    · rename_i s turned
      simp only [Option.some.injEq] at r
      subst r
      obtain ⟨e, plays, behind⟩ := h.plays
      exact ⟨⟨e, plays, behind.andTurn turned⟩, by rw [(turn_some turned).2.2.2.2, h.actions]⟩

theorem Records.act {due : Checkpoints} {a : Action} (h : Records start w done)
    (r : w.act due a = some w') : Records start w' (a :: done) := by
  unfold Recorder.act at r
  split at r
  · exact h.turn r
  · split at r
    · split at r
      · exact h.answer r
      · exact h.input r
    · exact h.input r
  · exact h.wave r
  · cases r
  · cases r

theorem Records.actAll {due : Checkpoints} {as : List Action} (h : Records start w done)
    (r : Recorder.actAll due w as = some w') : Records start w' (as.reverse ++ done) := by
  induction as generalizing w done with
  | nil =>
    simp only [Recorder.actAll, Option.some.injEq] at r
    exact r ▸ h
  | cons a as ih =>
    simp only [Recorder.actAll] at r
    split at r
    · cases r
    · rename_i next acted
      simpa using ih (h.act acted) r

theorem actionsOnto_eq (as tail : List Action) : actionsOnto as tail = as.reverse ++ tail := by
  induction as generalizing tail with
  | nil => rfl
  | cons a as ih => simp [actionsOnto, ih]

theorem entriesOnto_eq (xs tail : List RecordedEntry) : entriesOnto xs tail = xs.reverse ++ tail := by
  induction xs generalizing tail with
  | nil => rfl
  | cons x xs ih => simp [entriesOnto, ih]

theorem finish_actions {stop : Stop} {last : Checkpoint} (here : last.step = s.machine.stepIndex)
    (h : s.finish stop last = some t) : t.actions = s.actions := by
  unfold Replayer.finish at h
  split at h
  · cases h
  · split at h
    · cases h
    · rename_i v passed
      split at h
      · simp only [Option.some.injEq] at h
        subst h
        exact pass_actions here passed
      · cases h

/-- Expanding the recording of a run returns the actions of the run, whatever checkpoints the
recorder writes. -/
theorem expand_compress {due : Checkpoints} {digests : Option Bytes × Option Bytes}
    {config : ProtocolMachineConfig} {images : List Loaded} {actions : List Action} {r : RecordedRun}
    (h : compress due digests config images actions = some r) : expand r = some actions := by
  unfold compress at h
  split at h
  · cases h
  · rename_i w acted
    have first : Records (Replayer.start (Machine.new config images))
        { now := Replayer.start (Machine.new config images), entries := [] } [] :=
      ⟨⟨_, rfl, .same _⟩, rfl⟩
    have records := first.actAll acted
    split at h
    · cases h
    · rename_i w' asked
      obtain ⟨⟨s, plays, behind⟩, done⟩ := records.askAll asked
      dsimp only at h
      split at h
      · cases h
      · rename_i t finished
        simp only [Option.some.injEq] at h
        subst h
        have actions' := finish_actions rfl finished
        simp [expand, RecordedRun.machine, entriesOnto_eq, plays, behind.finish finished, actionsOnto_eq,
          actions', done]

/-! ## What an expanded recording says about the run -/

theorem actAll_then (r : Run) (as : List Action) (a : Action) :
    (r.actAll (as ++ [a])).machine = ((r.actAll as).machine.act a).machine := by
  induction as generalizing r with
  | nil => rfl
  | cons x xs ih =>
    simp only [List.cons_append, Run.actAll]
    exact ih _

/-- The machine of a replay is the one to which its actions lead. -/
def Follows (m : Machine) (s : Replayer) : Prop :=
  s.machine = (Run.actAll { machine := m, events := [] } s.actions.reverse).machine

variable {m : Machine}

theorem Follows.push {a : Action} (h : Follows m s) (machine : t.machine = (s.machine.act a).machine)
    (actions : t.actions = a :: s.actions) : Follows m t := by
  unfold Follows at h ⊢
  rw [actions, List.reverse_cons, actAll_then, ← h, machine]

theorem Follows.keep (h : Follows m s) (machine : t.machine = s.machine) (actions : t.actions = s.actions) :
    Follows m t := by
  unfold Follows at h ⊢
  rw [machine, actions]
  exact h

theorem Follows.turn (h : Follows m s) (r : s.turn = some t) : Follows m t := by
  unfold Replayer.turn at r
  split at r
  · dsimp only at r
    split at r
    · simp only [Option.some.injEq] at r
      subst r
      exact h.push (a := .turn) rfl rfl
    · cases r
  · cases r

theorem Follows.turns (h : Follows m s) (n : Nat) : Follows m (s.turns n) := by
  induction n generalizing s with
  | zero => exact h
  | succ n ih =>
    simp only [Replayer.turns]
    split
    · exact h
    · rename_i next turned
      exact ih (h.turn turned)

theorem Follows.reach {step : Nat} (h : Follows m s) (r : s.reach step = some t) : Follows m t :=
  (reach_some r).2 ▸ h.turns _

theorem reachAsked_some {step : Nat} (r : s.reachAsked step = some t) : s.reach step = some t := by
  unfold Replayer.reachAsked at r
  split at r
  · cases r
  · rename_i next reached
    split at r
    · exact reached.trans r
    · cases r

theorem Follows.input {ingress : Ingress} (h : Follows m s) : Follows m (s.input ingress) :=
  h.push (a := .input ingress) rfl rfl

theorem Follows.wave {c : WaveCertificate} (h : Follows m s) (r : s.wave c = some t) : Follows m t := by
  unfold Replayer.wave at r
  split at r
  · cases r
  · simp only [Option.some.injEq] at r
    subst r
    exact h.push (a := .wave c) rfl rfl

/-- A replay that has passed a checkpoint has the checkpoint's step and clock. -/
theorem Follows.pass {point : Checkpoint} (h : Follows m s) (r : s.pass point = some t) :
    Follows m t ∧ t.machine.stepIndex = point.step ∧ t.machine.clock = point.clock := by
  unfold Replayer.pass at r
  split at r
  · cases r
  · rename_i next reached
    have reached := reachAsked_some reached
    split at r
    · rename_i clock
      simp only [Option.some.injEq] at r
      subst r
      exact ⟨(h.reach reached).keep rfl rfl, (reach_some reached).1, Nat.eq_of_beq_eq_true clock⟩
    · cases r

theorem Follows.request {request : EffectRequest} (h : Follows m s) (r : s.request request = some t) :
    Follows m t := by
  unfold Replayer.request at r
  split at r
  · cases r
  · split at r
    · cases r
    · split at r
      · simp only [Option.some.injEq] at r
        subst r
        exact h.keep rfl rfl
      · cases r

theorem Follows.confirm {refusal : Refusal} {x : RecordedEntry} (h : Follows m s)
    (r : s.confirm refusal x = some t) : Follows m t := by
  unfold Replayer.confirm at r
  split at r
  · split at r
    · simp only [Option.some.injEq] at r
      subst r
      exact h.keep rfl rfl
    · cases r
  · cases r

theorem Follows.play {x : RecordedEntry} (h : Follows m s) (r : s.play x = some t) : Follows m t := by
  unfold Replayer.play at r
  split at r
  · exact h.confirm r
  · cases x with
    | request step request =>
      dsimp only at r
      split at r
      · cases r
      · rename_i next reached
        exact (h.reach reached).request r
    | answer outcome =>
      dsimp only at r
      split at r
      · cases r
      · simp only [Option.some.injEq] at r
        exact r ▸ h.input
    | input step ingress =>
      dsimp only at r
      split at r
      · cases r
      · rename_i next reached
        simp only [Option.some.injEq] at r
        exact r ▸ (h.reach (reachAsked_some reached)).input
    | refused refusal => cases r
    | checkpoint point => exact (h.pass r).1
    | wave step picks =>
      dsimp only at r
      split at r
      · cases r
      · rename_i next reached
        exact (h.reach (reachAsked_some reached)).wave r

theorem Follows.playAll {xs : List RecordedEntry} (h : Follows m s) (r : s.playAll xs = some t) :
    Follows m t := by
  induction xs generalizing s with
  | nil =>
    simp only [Replayer.playAll, Option.some.injEq] at r
    exact r ▸ h
  | cons x xs ih =>
    simp only [Replayer.playAll] at r
    split at r
    · cases r
    · rename_i next played
      exact ih (h.play played) r

/-- The actions of a recording lead from its setup to a machine that has taken the number of steps,
reached the clock and been left in the state that the recording ends with. -/
theorem expand_ends {r : RecordedRun} {actions : List Action} (h : expand r = some actions) :
    let m := (Run.actAll { machine := r.machine, events := [] } actions).machine
    m.stepIndex = r.last.step ∧ m.clock = r.last.clock ∧ m.stop = r.stop := by
  unfold expand at h
  split at h
  · cases h
  · rename_i s plays
    have start : Follows r.machine (Replayer.start r.machine) := rfl
    have follows := start.playAll plays
    split at h
    · cases h
    · rename_i t finished
      simp only [Option.some.injEq, actionsOnto_eq, List.append_nil] at h
      unfold Replayer.finish at finished
      split at finished
      · cases finished
      · split at finished
        · cases finished
        · rename_i u passed
          obtain ⟨same, step, clock⟩ := follows.pass passed
          split at finished
          · rename_i stop
            simp only [Option.some.injEq] at finished
            subst finished
            dsimp only
            unfold Follows at same
            rw [← h, ← same]
            exact ⟨step, clock, of_decide_eq_true stop⟩
          · cases finished

end Antiphon

module

public import Runtime.ProtocolMachine.Codec.Frame
public import Runtime.Proofs.Codec.Parts

@[expose] public section

/-! # Frames: the messages do not depend on how the stream is split -/

namespace Antiphon

variable {σ μ ε : Type} {read : σ → Bytes → Reading μ ε × σ}

theorem joined_eq {α : Type} (xs ys : List α) : joined xs ys = xs ++ ys := by
  induction xs with
  | nil => rfl
  | cons x xs ih => simp [joined, ih]

theorem decBe_append {c n acc : Nat} {b rest : Bytes} (m : Bytes) (h : decBe c acc b = some (n, rest)) :
    decBe c acc (b ++ m) = some (n, rest ++ m) := by
  induction c generalizing acc b with
  | zero =>
    simp only [decBe, Option.some.injEq, Prod.mk.injEq] at h
    simp [decBe, h.1, h.2]
  | succ c ih =>
    cases b with
    | nil => simp [decBe] at h
    | cons x b => exact ih h

theorem decBe_length {c n acc : Nat} {b rest : Bytes} (h : decBe c acc b = some (n, rest)) :
    b.length = c + rest.length := by
  induction c generalizing acc b with
  | zero =>
    simp only [decBe, Option.some.injEq, Prod.mk.injEq] at h
    simp [h.2]
  | succ c ih =>
    cases b with
    | nil => simp [decBe] at h
    | cons x b =>
      have := ih h
      simp only [List.length_cons]
      omega

theorem takeBytes_more {n : Nat} {b body rest : Bytes} (m : Bytes) (h : takeBytes n b = some (body, rest)) :
    takeBytes n (b ++ m) = some (body, rest ++ m) := by
  obtain ⟨rfl, rfl⟩ := append_takeBytes h
  rw [List.append_assoc]
  exact takeBytes_append ..

theorem Deframer.push_whole {d : Deframer σ ε} (whole : d.broken = none) (b : Bytes) :
    d.push b = { d with held := d.held ++ b } := by
  simp [push, whole, putBytes_eq]

theorem Deframer.push_broken {d : Deframer σ ε} {e : FrameError ε} (broken : d.broken = some e) (b : Bytes) :
    d.push b = d := by
  simp [push, broken]

theorem Deframer.next_wait {d d' : Deframer σ ε} (h : d.next read = (d', none)) : d' = d := by
  unfold next at h
  repeat' split at h
  all_goals simp only [Prod.mk.injEq, reduceCtorEq, and_false, and_true] at h
  all_goals exact h.symm

/-- If an unbroken deframer returns a message or error, it returns the same with more bytes pushed
before the call, and ends as if they were pushed after it. -/
theorem Deframer.next_push {d d' : Deframer σ ε} {x : Except (FrameError ε) μ} (whole : d.broken = none)
    (h : d.next read = (d', some x)) (m : Bytes) : (d.push m).next read = (d'.push m, some x) := by
  rw [push_whole whole]
  unfold next at h
  simp only [whole] at h
  split at h
  · simp at h
  · rename_i n rest header
    split at h
    · rename_i long
      simp only [Prod.mk.injEq, Option.some.injEq] at h
      obtain ⟨rfl, rfl⟩ := h
      simp [next, whole, decBe_append m header, long, Deframer.break, push]
    · rename_i short
      split at h
      · simp at h
      · rename_i body rest took
        split at h
        all_goals
          rename_i reading
          simp only [Prod.mk.injEq, Option.some.injEq] at h
          obtain ⟨rfl, rfl⟩ := h
          simp [next, whole, decBe_append m header, short, takeBytes_more m took, reading, Deframer.break, push,
            putBytes_eq]

/-- An unbroken deframer that returns a message or error buffers fewer bytes afterwards. -/
theorem Deframer.next_shorter {d d' : Deframer σ ε} {x : Except (FrameError ε) μ} (whole : d.broken = none)
    (h : d.next read = (d', some x)) : d'.held.length < d.held.length := by
  unfold next at h
  simp only [whole] at h
  split at h
  · simp at h
  · rename_i n rest header
    have header := decBe_length header
    simp only [frameHeader] at header
    split at h
    · simp only [Prod.mk.injEq] at h
      obtain ⟨rfl, -⟩ := h
      simp only [Deframer.break, List.length_nil]
      omega
    · split at h
      · simp at h
      · rename_i body rest' took
        have split := congrArg List.length (append_takeBytes took).1
        simp only [List.length_append] at split
        split at h
        all_goals
          simp only [Prod.mk.injEq] at h
          obtain ⟨rfl, -⟩ := h
          simp only [Deframer.break, List.length_nil]
          omega

/-- Draining an unbroken deframer gives the same result for any two amounts of fuel above the number
of buffered bytes. -/
theorem Deframer.drain_enough {d : Deframer σ ε} (whole : d.broken = none) {f g : Nat} (hf : d.held.length < f)
    (hg : d.held.length < g) : d.drain read f = d.drain read g := by
  induction f generalizing d g with
  | zero => omega
  | succ f ih =>
    obtain ⟨g, rfl⟩ : ∃ g', g = g' + 1 := ⟨g - 1, by omega⟩
    unfold drain
    split
    · rfl
    · rename_i d' x came
      have := next_shorter whole came
      cases state : d'.broken with
      | some e => rfl
      | none => simp only [ih state (g := g) (by omega) (by omega)]

theorem Deframer.feed_broken {d : Deframer σ ε} {e : FrameError ε} (broken : d.broken = some e) (b : Bytes) :
    d.feed read b = (d, []) := by
  simp [feed, broken]

theorem Deframer.feed_whole {d : Deframer σ ε} (whole : d.broken = none) (b : Bytes) {f : Nat}
    (enough : d.held.length + b.length < f) : d.feed read b = (d.push b).drain read f := by
  simp only [feed, whole]
  refine drain_enough (by simp [push_whole whole, whole]) ?_ ?_
  · rw [bytesLen_eq]
    omega
  · simpa [push_whole whole] using enough

/-- Draining an unbroken deframer after a push equals draining it and then feeding it the pushed
bytes, with enough fuel. -/
theorem Deframer.drain_push {f g : Nat} {d : Deframer σ ε} (whole : d.broken = none) (m : Bytes)
    (hf : d.held.length < f) (hg : d.held.length + m.length < g) :
    (d.push m).drain read g =
      (((d.drain read f).1.feed read m).1, (d.drain read f).2 ++ ((d.drain read f).1.feed read m).2) := by
  induction f generalizing d g with
  | zero => omega
  | succ f ih =>
    cases came : d.next read with
    | mk d' out =>
      cases out with
      | none =>
        have same := next_wait came
        subst same
        have stay : d'.drain read (f + 1) = (d', []) := by simp [drain, came]
        simp [stay, feed_whole whole m hg]
      | some x =>
        obtain ⟨g, rfl⟩ : ∃ g', g = g' + 1 := ⟨g - 1, by omega⟩
        have shorter := next_shorter whole came
        have came' := next_push whole came m
        cases state : d'.broken with
        | some e =>
          rw [push_broken state] at came'
          simp [drain, came, came', state, feed_broken state]
        | none =>
          have state' : (d'.push m).broken = none := by simp [push_whole state, state]
          have rest := ih (g := g) state (by omega) (by omega)
          simp [drain, came, came', state, state', rest]

/-- Feeding two pieces at once equals feeding one after the other. -/
theorem Deframer.feed_append (d : Deframer σ ε) (a b : Bytes) :
    d.feed read (a ++ b) =
      (((d.feed read a).1.feed read b).1, (d.feed read a).2 ++ ((d.feed read a).1.feed read b).2) := by
  cases state : d.broken with
  | some e => simp [feed_broken state]
  | none =>
    have state' : (d.push a).broken = none := by simp [push_whole state, state]
    have twice : d.push (a ++ b) = (d.push a).push b := by
      rw [push_whole state', push_whole state, push_whole state]
      simp
    have first := feed_whole (read := read) state a (f := d.held.length + a.length + 1) (by omega)
    rw [feed_whole state (a ++ b) (f := d.held.length + a.length + b.length + 1)
      (by simp only [List.length_append]; omega), twice, first]
    exact drain_push state' b (by simp [push_whole state]) (by simp [push_whole state])

/-- A deframer that has just been fed returns nothing more without new bytes. -/
theorem Deframer.feed_settled (d : Deframer σ ε) (b : Bytes) :
    (d.feed read b).1.feed read [] = ((d.feed read b).1, []) := by
  have twice := feed_append (read := read) d b []
  rw [List.append_nil] at twice
  generalize d.feed read b = r at twice
  have first := congrArg Prod.fst twice
  have second := congrArg Prod.snd twice
  simp only [List.self_eq_append_right] at first second
  exact Prod.ext first.symm second

theorem Deframer.feedAll_eq {d : Deframer σ ε} (settled : d.feed read [] = (d, [])) (pieces : List Bytes) :
    d.feedAll read pieces = d.feed read pieces.flatten := by
  induction pieces generalizing d with
  | nil => simp [feedAll, settled]
  | cons b bs ih =>
    have rest := ih (feed_settled d b)
    simp [feedAll, joined_eq, rest, feed_append d b bs.flatten]

theorem Deframer.new_settled (lenMax : Nat) (s : σ) :
    (Deframer.new lenMax s : Deframer σ ε).feed read [] = (Deframer.new lenMax s, []) := by
  rfl

/-! ## Encoded frames are decoded -/

theorem encFrame_some {lenMax : Nat} {body k b : Bytes} (h : encFrame lenMax body k = some b) :
    body.length ≤ lenMax ∧ b = encBe 4 body.length (body ++ k) := by
  simp only [encFrame, bytesLen_eq, Nat.add_zero, putBytes_eq, frameHeader] at h
  split at h
  · cases h
  · simp only [Option.some.injEq] at h
    exact ⟨by omega, h.symm⟩

/-- A reader that returns every body unchanged. -/
def keepBody (s : σ) (body : Bytes) : Reading Bytes ε × σ := (.message body, s)

/-- Encodes a list of bodies as frames before `k`; `none` if a body is too long. -/
def encFrames (lenMax : Nat) : List Bytes → Bytes → Option Bytes
  | [], k => some k
  | body :: bodies, k => match encFrames lenMax bodies k with
    | none => none
    | some k => encFrame lenMax body k

theorem Deframer.next_frame {d : Deframer σ ε} {body k : Bytes} (whole : d.broken = none)
    (range : d.lenMax < 4294967296) (h : encFrame d.lenMax body k = some d.held) :
    d.next keepBody = ({ d with held := k }, some (.ok body)) := by
  obtain ⟨short, held⟩ := encFrame_some h
  have header : decBe frameHeader 0 d.held = some (body.length, body ++ k) := by
    rw [held, frameHeader, decBe_encBe, Nat.zero_mul, Nat.zero_add, Nat.mod_eq_of_lt (by omega)]
  simp [next, whole, header, Nat.not_lt.mpr short, takeBytes_append, keepBody]

theorem Deframer.drain_frames {bodies : List Bytes} {d : Deframer σ ε} {f : Nat} (whole : d.broken = none)
    (range : d.lenMax < 4294967296) (h : encFrames d.lenMax bodies [] = some d.held) (enough : d.held.length < f) :
    d.drain keepBody f = ({ d with held := [] }, bodies.map .ok) := by
  obtain ⟨f, rfl⟩ : ∃ f', f = f' + 1 := ⟨f - 1, by omega⟩
  induction bodies generalizing d f with
  | nil =>
    simp only [encFrames, Option.some.injEq] at h
    cases d
    simp only at h whole
    subst h whole
    rfl
  | cons body bodies ih =>
    simp only [encFrames] at h
    split at h
    · cases h
    · rename_i k rest
      have came := next_frame whole range h
      have shorter := next_shorter whole came
      obtain ⟨f, rfl⟩ : ∃ f', f = f' + 1 := ⟨f - 1, by omega⟩
      have tail := ih (d := { d with held := k }) whole range rest f (by simp only at shorter ⊢; omega)
      rw [drain, came]
      simp only [whole] at tail ⊢
      rw [tail]
      rfl

theorem Deframer.next_body {d d' : Deframer σ ε} {x : Except (FrameError ε) Bytes} (whole : d.broken = none)
    (h : d.next keepBody = (d', some x)) (well : d'.broken = none) :
    ∃ body, x = .ok body ∧ encFrame d.lenMax body d'.held = some d.held ∧ d'.lenMax = d.lenMax := by
  unfold next at h
  simp only [whole] at h
  split at h
  · simp at h
  · rename_i n rest header
    split at h
    · simp only [Prod.mk.injEq] at h
      obtain ⟨rfl, -⟩ := h
      simp [Deframer.break] at well
    · rename_i short
      split at h
      · simp at h
      · rename_i body rest' took
        simp only [keepBody, Prod.mk.injEq, Option.some.injEq] at h
        obtain ⟨rfl, rfl⟩ := h
        obtain ⟨rfl, rfl⟩ := append_takeBytes took
        refine ⟨body, rfl, ?_, rfl⟩
        have frame := (encBe_decBe header).1
        simp only [encFrame, bytesLen_eq, Nat.add_zero, putBytes_eq]
        rw [if_neg short, frame]

theorem Deframer.drain_bodies {f : Nat} {d d' : Deframer σ ε} {xs : List (Except (FrameError ε) Bytes)}
    (whole : d.broken = none) (h : d.drain keepBody f = (d', xs)) (well : d'.broken = none) :
    ∃ bodies : List Bytes, xs = bodies.map .ok ∧ encFrames d.lenMax bodies d'.held = some d.held := by
  induction f generalizing d xs with
  | zero =>
    simp only [drain, Prod.mk.injEq] at h
    obtain ⟨rfl, rfl⟩ := h
    exact ⟨[], rfl, rfl⟩
  | succ f ih =>
    rw [drain] at h
    split at h
    · rename_i came
      simp only [Prod.mk.injEq] at h
      obtain ⟨rfl, rfl⟩ := h
      rw [next_wait came]
      exact ⟨[], rfl, rfl⟩
    · rename_i d1 x came
      split at h
      · rename_i state
        simp only [Prod.mk.injEq] at h
        obtain ⟨rfl, rfl⟩ := h
        simp [state] at well
      · rename_i state
        cases rest : d1.drain keepBody f with
        | mk d2 ys =>
          simp only [rest, Prod.mk.injEq] at h
          obtain ⟨rfl, rfl⟩ := h
          obtain ⟨body, rfl, frame, same⟩ := next_body whole came state
          obtain ⟨bodies, rfl, frames⟩ := ih state rest
          rw [same] at frames
          exact ⟨body :: bodies, rfl, by simp [encFrames, frames, frame]⟩

theorem Deframer.finish_none {d : Deframer σ ε} (h : d.finish = none) : d.broken = none ∧ d.held = [] := by
  unfold finish at h
  split at h
  · cases h
  · rename_i whole
    refine ⟨whole, ?_⟩
    simp only [bytesLen_eq] at h
    split at h
    · split at h
      · rename_i empty
        simpa using empty
      · cases h
    · split at h <;> cases h

end Antiphon

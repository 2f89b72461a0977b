module

public import Runtime.Proofs.Codec.State
public import Runtime.Tests.Codec

@[expose] public section

/-!
# Tests of the theorems on the bytes of a machine's state

A state for which the hypotheses hold, and states and a faulty encoder that show why each hypothesis
is needed.
-/

namespace Antiphon.Tests.State

open Antiphon.Tests.Codec (value image config)

/-- Two images with different digests. -/
def images : List Loaded := [image.load (copies 32 7), image.load (copies 32 8)]

/-- The digests of the images have the required form. -/
theorem digests : DigestsDiffer images where
  digests i h := by
    simp only [images, List.mem_cons, List.not_mem_nil, or_false] at h
    rcases h with rfl | rfl <;> rfl
  differ := .cons (fun i h => by
    simp only [List.mem_cons, List.not_mem_nil, or_false] at h
    subst h
    decide +kernel) (.cons (fun i h => by simp at h) .nil)

/-- A session in which every field has something to encode. -/
def session : Session where
  id := 0
  image := 1
  phase := .terminal .faulted
  live := 1
  epoch := 1
  events := 300
  effectsIssued := 2
  witnessesIssued := 1
  endpoints := [{ holder := 0, state := 1 }]
  coroutines := [
    { program := 0, role := some 0, priority := 255, status := .blocked (.full 1), pc := 4294967295,
      registers := [value] },
    { program := 0, role := none, priority := 0, status := .ready, pc := 0, registers := [] }]
  edges := [{ sent := 70000, queue := [{ payload := value, sequence := 69999, label := 0 }] }]
  effects := [
    { number := 0, deadline := none, operation := 0, coroutine := 0, attempt := 0 },
    { number := 1, deadline := some 9, operation := 0, coroutine := 1, attempt := 1 }]
  witnesses := [{ number := 0, expires := 5, effect := 0, kind := .timeout }]
  owner := [195, 164]

def machine : Machine where
  config := config
  images := images
  sessions := [{ session with image := 0, phase := .active }, { session with id := 1 }]
  queue := [{ session := 0, coroutine := 1 }]
  clock := 7
  stepIndex := 18446744073709551615

/-- The state is in range, so it is decoded. -/
example : decMachine config images (encMachine machine [9]) = some (machine, [9]) :=
  machine_decode_encode (m := machine) digests (by decide +kernel) [9]

/-- A number of 65 bits has the bytes of a smaller one: `encMachine_injective` needs the range. -/
example : encMachine { machine with clock := 18446744073709551616 + 8589934592 } [] =
    encMachine { machine with clock := 8589934592 } [] := by decide +kernel

/-- Two images with the same digest. -/
def twins : List Loaded := [image.load (copies 32 7), image.load (copies 32 7)]

/-- A session of one twin has the bytes of a session of the other: `encMachine_injective` needs
different digests. -/
example : encMachine { machine with images := twins, sessions := [{ session with image := 0 }] } [] =
    encMachine { machine with images := twins, sessions := [{ session with image := 1 }] } [] := by
  decide +kernel

/-- An encoder that leaves the state of effects out, for as long as only their number is shown. -/
def encMachineLess (m : Machine) (k : Bytes) : Bytes :=
  encMachine { m with sessions := mapL (fun s => { s with effects := [] }) m.sessions } k

/-- The faulty encoder gives two machines that act differently the same bytes, and the real one does
not. -/
example :
    let other := { machine with sessions := mapL (fun s => { s with effects := [] }) machine.sessions }
    encMachineLess machine [] = encMachineLess other [] ∧ encMachine machine [] ≠ encMachine other [] := by
  decide +kernel

end Antiphon.Tests.State

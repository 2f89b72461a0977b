module

@[expose] public section

/-!
# Lists

The list functions that the model calls, written as plain structural recursions so that they compile
and reduce. Each one is proved equal to the library's function, and proofs use the library's form.
`specialize` makes the compiler copy a function to its place of use: not every toolchain has the
code of another module's polymorphic functions.
-/

namespace Antiphon

variable {α β : Type}

/-- The item at position `n`, or `none` if the list is too short. -/
@[specialize α] def getAt : List α → Nat → Option α
  | [], _ => none
  | x :: _, 0 => some x
  | _ :: xs, n + 1 => getAt xs n

/-- The list with the item at position `n` replaced; unchanged if the list is too short. -/
@[specialize α] def setAt : List α → Nat → α → List α
  | [], _, _ => []
  | _ :: xs, 0, y => y :: xs
  | x :: xs, n + 1, y => x :: setAt xs n y

/-- The number of items. -/
@[specialize α] def len : List α → Nat
  | [] => 0
  | _ :: xs => len xs + 1

/-- The concatenation of two lists. -/
@[specialize α] def app : List α → List α → List α
  | [], ys => ys
  | x :: xs, ys => x :: app xs ys

/-- The list of `f`'s values. -/
@[specialize] def mapL (f : α → β) : List α → List β
  | [] => []
  | x :: xs => f x :: mapL f xs

/-- The items that satisfy `p`, in order. -/
@[specialize] def keep (p : α → Bool) : List α → List α
  | [] => []
  | x :: xs => match p x with
    | true => x :: keep p xs
    | false => keep p xs

/-- The first item that satisfies `p`. -/
@[specialize] def first (p : α → Bool) : List α → Option α
  | [] => none
  | x :: xs => match p x with
    | true => some x
    | false => first p xs

/-- Whether every item satisfies `p`. -/
@[specialize] def every (p : α → Bool) : List α → Bool
  | [] => true
  | x :: xs => match p x with
    | true => every p xs
    | false => false

/-- Whether some item satisfies `p`. -/
@[specialize] def some? (p : α → Bool) : List α → Bool
  | [] => false
  | x :: xs => match p x with
    | true => true
    | false => some? p xs

/-- The left fold of `f`. -/
@[specialize] def foldL (f : β → α → β) : β → List α → β
  | b, [] => b
  | b, x :: xs => foldL f (f b x) xs

/-- The first `n` items. -/
@[specialize α] def takeL : Nat → List α → List α
  | 0, _ => []
  | _ + 1, [] => []
  | n + 1, x :: xs => x :: takeL n xs

/-- `n` copies of an item. -/
@[specialize α] def copies : Nat → α → List α
  | 0, _ => []
  | n + 1, x => x :: copies n x

/-- The `n` consecutive numbers from `start` on. -/
def upFrom (start : Nat) : Nat → List Nat
  | 0 => []
  | n + 1 => start :: upFrom (start + 1) n

/-- Inserts an item before the first item that is greater by `less`. -/
@[specialize] def insertBy (less : α → α → Bool) (y : α) : List α → List α
  | [] => [y]
  | x :: xs => match less y x with
    | true => y :: x :: xs
    | false => x :: insertBy less y xs

/-- Sorts the items by `less`; equal items keep their order. -/
@[specialize] def sortBy (less : α → α → Bool) : List α → List α
  | [] => []
  | x :: xs => insertBy less x (sortBy less xs)

@[simp] theorem getAt_eq (xs : List α) (n : Nat) : getAt xs n = xs[n]? := by
  induction xs generalizing n with
  | nil => simp [getAt]
  | cons x xs ih => cases n <;> simp [getAt, ih]

@[simp] theorem setAt_eq (xs : List α) (n : Nat) (y : α) : setAt xs n y = xs.set n y := by
  induction xs generalizing n with
  | nil => simp [setAt]
  | cons x xs ih => cases n <;> simp [setAt, ih]

@[simp] theorem len_eq (xs : List α) : len xs = xs.length := by
  induction xs with
  | nil => rfl
  | cons x xs ih => simp [len, ih]

@[simp] theorem app_eq (xs ys : List α) : app xs ys = xs ++ ys := by
  induction xs with
  | nil => rfl
  | cons x xs ih => simp [app, ih]

@[simp] theorem mapL_eq (f : α → β) (xs : List α) : mapL f xs = xs.map f := by
  induction xs with
  | nil => rfl
  | cons x xs ih => simp [mapL, ih]

@[simp] theorem keep_eq (p : α → Bool) (xs : List α) : keep p xs = xs.filter p := by
  induction xs with
  | nil => rfl
  | cons x xs ih => cases h : p x <;> simp [keep, h, ih]

@[simp] theorem first_eq (p : α → Bool) (xs : List α) : first p xs = xs.find? p := by
  induction xs with
  | nil => rfl
  | cons x xs ih => cases h : p x <;> simp [first, h, ih]

@[simp] theorem every_eq (p : α → Bool) (xs : List α) : every p xs = xs.all p := by
  induction xs with
  | nil => rfl
  | cons x xs ih => cases h : p x <;> simp [every, h, ih]

@[simp] theorem some?_eq (p : α → Bool) (xs : List α) : some? p xs = xs.any p := by
  induction xs with
  | nil => rfl
  | cons x xs ih => cases h : p x <;> simp [some?, h, ih]

@[simp] theorem foldL_eq (f : β → α → β) (b : β) (xs : List α) : foldL f b xs = xs.foldl f b := by
  induction xs generalizing b with
  | nil => rfl
  | cons x xs ih => simp [foldL, ih]

@[simp] theorem takeL_eq (n : Nat) (xs : List α) : takeL n xs = xs.take n := by
  induction xs generalizing n with
  | nil => cases n <;> simp [takeL]
  | cons x xs ih => cases n <;> simp [takeL, ih]

@[simp] theorem copies_eq (n : Nat) (x : α) : copies n x = List.replicate n x := by
  induction n with
  | zero => rfl
  | succ n ih => simp [copies, ih, List.replicate_succ]

@[simp] theorem upFrom_eq (start n : Nat) : upFrom start n = List.range' start n := by
  induction n generalizing start with
  | zero => rfl
  | succ n ih => simp [upFrom, ih, List.range'_succ]

end Antiphon

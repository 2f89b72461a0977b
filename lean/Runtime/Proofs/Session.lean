module

public import Runtime.Proofs.Session.Runs
public import Runtime.Proofs.Session.Follow
public import Runtime.ProtocolMachine.Codec.Action

@[expose] public section

/-!
# Sessions follow their protocol

Four facts about every run of any list of actions, including turns, picks, inputs and waves. Buffers
are bounded. No message is lost, invented, duplicated or reordered on an edge. Every role's
communications are a path of its automaton that ends at its endpoint's state. Every payload belongs
to its branch's sort. The last two identify edges by their roles, so they assume images made by
`CodeImage.load`; every case loads its images in this way.
-/

namespace Antiphon

/-- In every run, no edge of any session buffers more messages than the configuration allows. -/
theorem buffers_bounded (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) :
    ∀ s ∈ (runOf config images as).machine.sessions, ∀ e ∈ s.edges,
      e.queue.length ≤ config.bufferMax := by
  intro s hs
  obtain ⟨n, hn⟩ := List.mem_iff_getElem?.mp hs
  obtain ⟨_, _, life⟩ := lives_of_run hn
  exact life.bounded

/-- In every run, the messages that a session's log shows as sent over an edge are those that it
shows as taken from the edge followed by those in the buffer, in the same order, and the messages
sent and the messages taken are each numbered from 0 without gaps; no message is sent or taken over
an edge that the session does not have. -/
theorem fifo_conservation (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    {n : Nat} {s : Session} (hs : (runOf config images as).machine.sessions[n]? = some s) :
    let log := logOf n (runOf config images as).events
    (∀ k e, s.edges[k]? = some e →
      sentOn k log = takenOn k log ++ e.queue.map (Parcel.message k) ∧
      (sentOn k log).map Message.sequence = List.range e.sent ∧
      (takenOn k log).map Message.sequence = List.range (takenOn k log).length) ∧
    ∀ k, s.edges[k]? = none → sentOn k log = [] ∧ takenOn k log = [] := by
  obtain ⟨_, _, life⟩ := lives_of_run hs
  refine ⟨fun k e he => ?_, fun k he => ?_⟩
  · have := life.conserved k
    simp only [he, Option.getD_some] at this
    exact ⟨this.1, this.2, numbered_prefix this.1 this.2⟩
  · have := life.conserved k
    simp only [he, Option.getD_none, List.map_nil, List.append_nil, List.range_zero,
      List.map_eq_nil_iff] at this
    exact ⟨this.2, this.1 ▸ this.2⟩

/-- A loaded image has no more edges than there are numbers. -/
theorem loadImages_numbers (images : List (Bytes × CodeImage)) :
    ∀ i ∈ loadImages images, i.numbers = true := by
  induction images with
  | nil => simp [loadImages]
  | cons x xs ih =>
    intro i hi
    rcases List.mem_cons.mp hi with e | hi
    · exact e ▸ load_numbers ..
    · exact ih i hi

/-- A run of actions on a case's machine is the run of its configuration and its loaded images. -/
theorem case_run (c : Case) (as : List Action) :
    Run.actAll { machine := c.machine, events := [] } as =
      runOf c.config (loadImages c.images) as := rfl

/-- In every run of loaded images, what a role has sent and received, in the order of the log, is a
path of its automaton from state 0 to the state of its endpoint. -/
theorem session_fidelity (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) {n : Nat} {s : Session} {i : Loaded}
    (hs : (runOf config (loadImages images) as).machine.sessions[n]? = some s)
    (hi : (loadImages images)[s.image]? = some i) {role : Nat} {endpoint : Endpoint}
    (he : s.endpoints[role]? = some endpoint) :
    i.follow role 0
        (i.communications role (logOf n (runOf config (loadImages images) as).events)) =
      some endpoint.state :=
  ((good_run config (loadImages images) as).life hs hi).followed
    (loadImages_numbers images i (List.mem_of_getElem? hi)) role endpoint he

/-- In every run of loaded images, the payload of each message sent belongs to the sort of the
branch that its sender's automaton then has for its label, and the payload of each message received
to the sort of the branch that its receiver's automaton then has. -/
theorem payload_sorts (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) {n : Nat} {s : Session} {i : Loaded}
    (hs : (runOf config (loadImages images) as).machine.sessions[n]? = some s)
    (hi : (loadImages images)[s.image]? = some i) {before after : List Event} {e : Event}
    (log : logOf n (runOf config (loadImages images) as).events = before ++ e :: after) :
    i.Proper before e :=
  ((good_run config (loadImages images) as).life hs hi).proper
    (loadImages_numbers images i (List.mem_of_getElem? hi)) before e after log

/-- The image of every session of a run is one of the machine's images. -/
theorem image_of_run {config : ProtocolMachineConfig} {images : List Loaded} {as : List Action}
    {n : Nat} {s : Session} (hs : (runOf config images as).machine.sessions[n]? = some s) :
    ∃ i, images[s.image]? = some i :=
  let ⟨i, hi, _⟩ := lives_of_run hs
  ⟨i, hi⟩

end Antiphon

module

public import Runtime.Proofs.Safety
public import Runtime.Proofs.Session.Moves

@[expose] public section

/-!
# What a certificate means for the sessions of a machine

The states of a session's endpoints and the labels in its buffers form a configuration. Whatever
happens to a session leaves its configuration unchanged or changes it by one step, so every session
is in a reachable configuration.
-/

namespace Antiphon

/-- The configuration of a session: the states of its endpoints and the labels in its buffers. -/
noncomputable def Session.configuration (s : Session) : Configuration :=
  { states := s.endpoints.map (·.state), buffers := s.edges.map fun e => e.queue.map (·.label) }

theorem configuration_of {s s' : Session} (endpoints : s'.endpoints = s.endpoints) (edges : s'.edges = s.edges) :
    s'.configuration = s.configuration := by
  simp [Session.configuration, endpoints, edges]

theorem configuration_point {i : Loaded} {s : Session} {role : Nat} {endpoint : Endpoint} {point : Point}
    (he : s.endpoints[role]? = some endpoint) (hp : i.point role endpoint.state = some point) :
    s.configuration.point i role = some point := by
  simp [Configuration.point, Session.configuration, he, hp]

theorem moved_configuration {cx : Context} {s s' : Session} {es : List Event} {bound : Nat}
    (wide : cx.config.bufferMax ≤ bound) (h : Moved cx s es s') :
    s'.configuration = s.configuration ∨ Moves cx.image bound s.configuration s'.configuration := by
  cases h with
  | still _ endpoints edges _ => exact .inl (configuration_of endpoints edges)
  | @sent _ e role endpoint point t edge message _ _ _ endpoint_is point_is act over branch _ edge_is _ room edges endpoints =>
    right
    have moves := Moves.send (bound := bound) (configuration_point endpoint_is point_is) act
      (labels := edge.queue.map (·.label)) (by simp [Session.configuration, ← over, edge_is])
      (by simpa using Nat.lt_of_lt_of_le room wide) branch
    have same : s'.configuration =
        s.configuration.with role t.next point.edge (edge.queue.map (·.label) ++ [message.label]) := by
      simp [Session.configuration, Configuration.with, edges, endpoints, over, List.map_set]
    rw [same]
    exact moves
  | @taken _ e role endpoint point t edge message rest _ _ _ endpoint_is point_is act over branch _ edge_is queue edges endpoints =>
    right
    have moves := Moves.receive (bound := bound) (configuration_point endpoint_is point_is) act
      (rest := rest.map (·.label)) (by simp [Session.configuration, ← over, edge_is, queue]) branch
    have same : s'.configuration = s.configuration.with role t.next point.edge (rest.map (·.label)) := by
      simp [Session.configuration, Configuration.with, edges, endpoints, over, List.map_set]
    rw [same]
    exact moves

/-- A step of a session leaves its configuration unchanged or changes it by one step, for any bound
that is at least the configuration's `bufferMax`. -/
theorem session_abstracts {cx : Context} {bound : Nat} (wide : cx.config.bufferMax ≤ bound) (s : Session) (who : Nat) :
    (step cx s who).session.configuration = s.configuration ∨
      Moves cx.image bound s.configuration (step cx s who).session.configuration :=
  moved_configuration wide (step_moved cx s who)

theorem roleEndpoints_states (n count : Nat) : (roleEndpoints n count).map (·.state) = List.replicate count 0 := by
  induction count generalizing n with
  | zero => rfl
  | succ count ih => simp [roleEndpoints, ih, List.replicate_succ]

/-- A new session is in the configuration where the exploration starts. -/
theorem start_configuration (i : Loaded) (config : ProtocolMachineConfig) (id row : Nat) (owner : Bytes) :
    (Session.start i config id row owner).configuration = i.beginning := by
  simp [Session.configuration, Session.start, Loaded.beginning, roleEndpoints_states]

end Antiphon

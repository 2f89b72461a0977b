module

public import Runtime.Proofs.Codec.Image

@[expose] public section

/-! # The codecs of configurations, inputs, actions and cases are exact -/

namespace Antiphon

/-! ## Ranges -/

/-- Whether a configuration can be encoded and decoded. -/
def ProtocolMachineConfig.fits (c : ProtocolMachineConfig) : Bool :=
  (fitsMany (fitsPair fitsText fitsU8) c.priorities && namesAscend c.priorities) && (fitsU32 c.bufferMax &&
    (fitsU32 c.payloadMax && (fitsU16 c.coroutinesMax && (fitsU32 c.sessionsMax && (fitsU32 c.witnessesMax &&
      (fitsU64 c.witnessTtl && fitsOption fitsU64 c.effectBudget))))))

/-- Whether an outcome can be encoded and decoded. -/
def Outcome.fits : Outcome → Bool
  | .success value => value.fits
  | .failure _ detail => fitsText detail

/-- Whether the identifier of an effect can be encoded and decoded. -/
def EffectId.fits (e : EffectId) : Bool := fitsU32 e.session && fitsU64 e.number

/-- Whether an input can be encoded and decoded. -/
def Ingress.fits : Ingress → Bool
  | .open image owner => fitsDigest image && fitsText owner
  | .outcome effect result => effect.fits && result.fits
  | .advanceClock ticks => fitsU64 ticks
  | .cancel session owner => fitsU32 session && fitsText owner

/-- Whether a pick can be encoded and decoded. -/
def Pick.fits (p : Pick) : Bool := fitsU32 p.session && fitsU16 p.coroutine

/-- Whether a key can be encoded and decoded. -/
def Key.fits : Key → Bool
  | .ledger session => fitsU32 session
  | .coroutine session number => fitsU32 session && fitsU16 number
  | .endpoint session role => fitsU32 session && fitsU16 role
  | .edge session number => fitsU32 session && fitsU16 number

/-- Whether a pick of a wave can be encoded and decoded. -/
def fitsWavePick (p : WavePick) : Bool :=
  p.pick.fits && (fitsU32 p.lane && (fitsU32 p.quantum && fitsMany Key.fits p.footprint))

/-- Whether a wave's certificate can be encoded and decoded. -/
def WaveCertificate.fits (c : WaveCertificate) : Bool :=
  fitsU64 c.stepIndex && (fitsMany Pick.fits c.queue && fitsMany fitsWavePick c.picks)

/-- Whether an action can be encoded and decoded. -/
def Action.fits : Action → Bool
  | .turn => true
  | .input ingress => ingress.fits
  | .pick p => p.fits
  | .round width quantum => fitsU32 width && fitsU32 quantum
  | .wave certificate => certificate.fits

/-- Whether a case can be encoded and decoded. -/
def Case.fits (c : Case) : Bool :=
  fitsText c.name && (fitsMany (fitsPair fitsDigest CodeImage.fits) c.images && (c.config.fits &&
    fitsMany Action.fits c.actions))

/-! ## Configurations -/

theorem decUint_small {n : Nat} (k : Bytes) (small : n < 24) : decUint (encUint n k) = some (n, k) :=
  exact_u64.back n k (by simp only [fitsU64, below, headEnd, decide_eq_true_eq]; omega)

theorem exact_policy : Exact (fun _ => true) (fun p => encUint (SchedulingPolicy.number p)) decPolicy where
  back p k _ := by
    cases p <;> simp [SchedulingPolicy.number, decPolicy, decUint_small]
  only b p k r := by
    unfold decPolicy at r
    split at r
    case h_5 => cases r
    all_goals
      rename_i read
      simp only [Option.some.injEq, Prod.mk.injEq] at r
      obtain ⟨rfl, rfl⟩ := r
      exact ⟨(exact_u64.only _ _ _ read).1, rfl⟩

theorem exact_mode : Exact (fun _ => true) (fun m => encUint (DeterminismMode.number m)) decMode where
  back m k _ := by
    cases m <;> simp [DeterminismMode.number, decMode, decUint_small]
  only b m k r := by
    unfold decMode at r
    split at r
    case h_5 => cases r
    all_goals
      rename_i read
      simp only [Option.some.injEq, Prod.mk.injEq] at r
      obtain ⟨rfl, rfl⟩ := r
      exact ⟨(exact_u64.only _ _ _ read).1, rfl⟩

theorem exact_priority : Exact (fitsPair fitsText fitsU8) encField decPriority := exact_text.pair exact_u8

theorem exact_config : Exact ProtocolMachineConfig.fits encConfig decConfig :=
  ((exact_policy.both ((exact_priority.array.such namesAscend).both (exact_u32.both (exact_u32.both
    (exact_u16.both (exact_u32.both (exact_u32.both (exact_u64.both (exact_u64Option.both
      exact_mode))))))))).fields 10 (by decide)).as _
    (fun c => (c.policy, c.priorities, c.bufferMax, c.payloadMax, c.coroutinesMax, c.sessionsMax, c.witnessesMax,
      c.witnessTtl, c.effectBudget, c.determinismMode))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl)
    (fun c => by simp [ProtocolMachineConfig.fits, fitsPair])

/-! ## Inputs -/

theorem exact_failureKind : Exact (fun _ => true) (fun f => encUint (FailureKind.code f)) decFailureKind where
  back f k _ := by
    cases f <;> simp [FailureKind.code, decFailureKind, decUint_small]
  only b f k r := by
    unfold decFailureKind at r
    split at r
    case h_11 => cases r
    all_goals
      rename_i read
      simp only [Option.some.injEq, Prod.mk.injEq] at r
      obtain ⟨rfl, rfl⟩ := r
      exact ⟨(exact_u64.only _ _ _ read).1, rfl⟩

theorem exact_outcome : Exact Outcome.fits encOutcome decOutcome := by
  have failure := (exact_failureKind.both exact_text).fields 2 (by decide)
  refine .alternative (fun o k f => ?_) (fun number n b o k _ r => ?_)
  · cases o with
    | success value => exact ⟨2, 0, _, rfl, by decide, by decide, exact_value.backAs _ (x := value) f⟩
    | failure kind detail =>
      exact ⟨2, 1, _, rfl, by decide, by decide, failure.backAs _ (x := (kind, detail)) f⟩
  · unfold decOutcomeOf at r
    split at r
    · obtain ⟨p, rfl, rfl, f⟩ := exact_value.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := failure.onlyAs r
      exact ⟨rfl, f⟩
    · cases r

theorem exact_effectId : Exact EffectId.fits encEffectId decEffectId :=
  ((exact_u32.both exact_u64).fields 2 (by decide)).as _ (fun e => (e.session, e.number))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_ingress : Exact Ingress.fits encIngress decIngress := by
  have opening := exact_digest.both exact_text
  have outcome := exact_effectId.both exact_outcome
  have cancel := exact_u32.both exact_text
  refine .alternative (fun i k f => ?_) (fun number n b i k _ r => ?_)
  · cases i with
    | «open» image owner =>
      exact ⟨3, 0, _, rfl, by decide, by decide, opening.backAs _ (x := (image, owner)) f⟩
    | outcome effect result =>
      exact ⟨3, 1, _, rfl, by decide, by decide, outcome.backAs _ (x := (effect, result)) f⟩
    | advanceClock ticks => exact ⟨2, 2, _, rfl, by decide, by decide, exact_u64.backAs _ (x := ticks) f⟩
    | cancel session owner =>
      exact ⟨3, 3, _, rfl, by decide, by decide, cancel.backAs _ (x := (session, owner)) f⟩
  · unfold decIngressOf at r
    split at r
    · obtain ⟨p, rfl, rfl, f⟩ := opening.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := outcome.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_u64.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := cancel.onlyAs r
      exact ⟨rfl, f⟩
    · cases r

/-! ## Actions -/

theorem exact_pick : Exact Pick.fits encPick decPick :=
  ((exact_u32.both exact_u16).fields 2 (by decide)).as _ (fun p => (p.session, p.coroutine))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_key : Exact Key.fits encKey decKey := by
  have two := exact_u32.both exact_u16
  refine .alternative (fun x k f => ?_) (fun number n b x k _ r => ?_)
  · cases x with
    | ledger session => exact ⟨2, 0, _, rfl, by decide, by decide, exact_u32.backAs _ (x := session) f⟩
    | coroutine session coroutine =>
      exact ⟨3, 1, _, rfl, by decide, by decide, two.backAs _ (x := (session, coroutine)) f⟩
    | endpoint session role => exact ⟨3, 2, _, rfl, by decide, by decide, two.backAs _ (x := (session, role)) f⟩
    | edge session edge => exact ⟨3, 3, _, rfl, by decide, by decide, two.backAs _ (x := (session, edge)) f⟩
  · unfold decKeyOf at r
    split at r
    · obtain ⟨p, rfl, rfl, f⟩ := exact_u32.onlyAs r
      exact ⟨rfl, f⟩
    iterate 3
      · obtain ⟨p, rfl, rfl, f⟩ := two.onlyAs r
        exact ⟨rfl, f⟩
    · cases r

theorem exact_wavePick : Exact fitsWavePick encWavePick decWavePick :=
  ((exact_pick.both (exact_u32.both (exact_u32.both exact_key.array))).fields 4 (by decide)).as _
    (fun p => (p.pick, p.lane, p.quantum, p.footprint))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_certificate : Exact WaveCertificate.fits encCertificate decCertificate :=
  ((exact_u64.both (exact_pick.array.both exact_wavePick.array)).fields 3 (by decide)).as _
    (fun c => (c.stepIndex, c.queue, c.picks)) (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_action : Exact Action.fits encAction decAction := by
  have round := exact_u32.both exact_u32
  refine .alternative (fun a k f => ?_) (fun number n b a k _ r => ?_)
  · cases a with
    | turn => exact ⟨1, 0, k, rfl, by decide, by decide, rfl⟩
    | input ingress => exact ⟨2, 1, _, rfl, by decide, by decide, exact_ingress.backAs _ (x := ingress) f⟩
    | pick pick => exact ⟨2, 2, _, rfl, by decide, by decide, exact_pick.backAs _ (x := pick) f⟩
    | round width quantum => exact ⟨3, 3, _, rfl, by decide, by decide, round.backAs _ (x := (width, quantum)) f⟩
    | wave certificate =>
      exact ⟨2, 4, _, rfl, by decide, by decide, exact_certificate.backAs _ (x := certificate) f⟩
  · unfold decActionOf at r
    split at r
    · obtain ⟨rfl, rfl⟩ := nothing r
      exact ⟨rfl, rfl⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_ingress.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_pick.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := round.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_certificate.onlyAs r
      exact ⟨rfl, f⟩
    · cases r

/-! ## Cases -/

theorem exact_namedImage : Exact (fitsPair fitsDigest CodeImage.fits) encNamedImage decNamedImage :=
  exact_digest.pair exact_image

theorem exact_case : Exact Case.fits encCase decCase :=
  ((exact_text.both (exact_namedImage.array.both (exact_config.both exact_action.array))).fields 4 (by decide)).as _
    (fun c => (c.name, c.images, c.config, c.actions))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

end Antiphon

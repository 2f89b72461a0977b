//! The cooperative machine in JavaScript: the world is an object with a method `handle`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use antiphon_machine::{
    Class, DeterminismMode, EffectHandler, EffectId, EffectRequest, FailureKind, Ingress,
    OperationId, Outcome, ProtocolMachine, ProtocolMachineConfig, Refusal, Reply, Rest, RoleId,
    SchedulingPolicy, SessionId, Taken, TraceDigest, Turn, VerifiedImage,
};
use antiphon_record::{Flush, Header, Recorder};
use js_sys::{Array, Function, Object, Promise, Reflect};
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::image::{Image, class_name, sort_text};
use crate::problem::{self, Problem, count, count_or, hex};
use crate::replay::{rows, session_in_full, sessions};
use crate::rows::Rows;
use crate::values::{from_js, nat, to_js, unsigned};

/// Who is told of what the machine does: a recorder, the digest of the trace, the rows.
type Watch = (
    Option<Recorder<Vec<u8>>>,
    (Option<TraceDigest>, Option<Watched>),
);

/// The machine's own handler: it keeps what is asked until JavaScript can be asked, with nothing of the machine borrowed.
#[derive(Debug, Default)]
struct Asked(VecDeque<EffectId>);

impl EffectHandler for Asked {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        self.0.push_back(request.effect());
        Reply::Later
    }
}

/// Rows that a window can be read from while they are filled.
#[derive(Debug, Default)]
struct Watched(Rc<RefCell<Rows>>);

impl antiphon_machine::Sink for Watched {
    fn event(&mut self, stamp: &antiphon_machine::Stamp, event: antiphon_machine::Event) {
        self.0.borrow_mut().event(stamp, event);
    }
    fn loaded(&mut self, image: &VerifiedImage) {
        self.0.borrow_mut().loaded(image);
    }
    fn request(&mut self, step: u64, request: &EffectRequest<'_>) {
        self.0.borrow_mut().request(step, request);
    }
    fn ingress(&mut self, step: u64, input: &Ingress) {
        self.0.borrow_mut().ingress(step, input);
    }
    fn refused(&mut self, step: u64, refusal: &Refusal) {
        self.0.borrow_mut().refused(step, refusal);
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Options {
    config: Config,
    record: Option<Record>,
    /// Whether the digest of the trace is made.
    trace: bool,
    /// Whether rows are kept of what happens.
    rows: bool,
}

/// The machine's configuration; what is not there is as by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Config {
    policy: Option<String>,
    priorities: BTreeMap<String, u8>,
    buffer_len_max: Option<u32>,
    payload_len_max: Option<u32>,
    coroutines_max: Option<u16>,
    sessions_max: Option<u32>,
    witnesses_max: Option<u32>,
    witness_ttl: Option<u64>,
    effect_budget: Option<u64>,
    determinism: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Record {
    Wanted(bool),
    With(RecordHeader),
}

/// What a recording says at its start.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RecordHeader {
    tool: Option<String>,
    source: Option<String>,
    notes: Vec<(String, String)>,
}

/// The tool that a recording names when no other is given.
const TOOL: &str = concat!("antiphon-wasm ", env!("CARGO_PKG_VERSION"));

/// The modes that can be asked for.
const MODES: [DeterminismMode; 3] = [
    DeterminismMode::Full,
    DeterminismMode::ModuloEffects,
    DeterminismMode::ModuloCommutativity,
];

/// The mode's name in kebab case.
pub(crate) const fn mode_name(mode: DeterminismMode) -> &'static str {
    match mode {
        DeterminismMode::Full => "full",
        DeterminismMode::ModuloEffects => "modulo-effects",
        DeterminismMode::ModuloCommutativity => "modulo-commutativity",
        DeterminismMode::Replay => "replay",
    }
}

impl Config {
    fn read(self) -> Result<ProtocolMachineConfig, Problem> {
        let of = ProtocolMachineConfig::default();
        let unknown = |place: &str, name: &str| {
            Problem::new("bad_argument", format!("there is no {place} `{name}`"))
                .at(format!("options.config.{place}"))
        };
        let policy = match &self.policy {
            None => of.policy,
            Some(name) => {
                let mut all = SchedulingPolicy::ALL.into_iter();
                let found = all.find(|policy| policy.name() == name);
                found.ok_or_else(|| unknown("policy", name))?
            }
        };
        let determinism_mode = match &self.determinism {
            None => of.determinism_mode,
            Some(name) => {
                let found = MODES.into_iter().find(|mode| mode_name(*mode) == name);
                found.ok_or_else(|| unknown("determinism", name))?
            }
        };
        Ok(ProtocolMachineConfig {
            policy,
            priorities: self.priorities,
            buffer_len_max: self.buffer_len_max.unwrap_or(of.buffer_len_max),
            payload_len_max: self.payload_len_max.unwrap_or(of.payload_len_max),
            coroutines_max: self.coroutines_max.unwrap_or(of.coroutines_max),
            sessions_max: self.sessions_max.unwrap_or(of.sessions_max),
            witnesses_max: self.witnesses_max.unwrap_or(of.witnesses_max),
            witness_ttl: self.witness_ttl.unwrap_or(of.witness_ttl),
            effect_budget: self.effect_budget.or(of.effect_budget),
            determinism_mode,
        })
    }
}

struct Inner {
    machine: ProtocolMachine<Asked, Watch>,
    /// The parts of a request that are the same for an image's operation and role.
    templates: BTreeMap<(usize, OperationId, Option<RoleId>), Object>,
    keys: Rc<Keys>,
    /// Promises of outcomes.
    pending: Vec<(EffectId, JsFuture)>,
    /// Wakes a run that waits for promises when something else came in.
    waker: Option<Waker>,
    poked: bool,
}

/// Names of a request's fields, made once.
struct Keys {
    session: JsValue,
    effect: JsValue,
    args: JsValue,
    attempt: JsValue,
    deadline: JsValue,
    then: JsValue,
    ok: JsValue,
    fail: JsValue,
    detail: JsValue,
}

impl Keys {
    fn new() -> Keys {
        Keys {
            session: "session".into(),
            effect: "effect".into(),
            args: "args".into(),
            attempt: "attempt".into(),
            deadline: "deadline".into(),
            then: "then".into(),
            ok: "ok".into(),
            fail: "fail".into(),
            detail: "detail".into(),
        }
    }
}

/// Why a run pauses.
enum Pause {
    Rest(Rest),
    Steps,
    Ask(EffectId),
}

/// What a handler answered.
enum Answer {
    Now(Outcome),
    Later,
    Promised(Promise),
}

/// A cooperative machine.
///
/// Open sessions of images, and `run` it with a handler: the world. It runs until nobody is ready; outcomes that are
/// promised are waited for. Whatever comes from outside otherwise comes by `answer`, `advanceClock` and `cancel`.
#[wasm_bindgen]
pub struct Machine {
    inner: Rc<RefCell<Inner>>,
    rows: Option<Rc<RefCell<Rows>>>,
    running: Rc<Cell<bool>>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

#[wasm_bindgen]
impl Machine {
    /// A machine without sessions.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_optional_param_type = "MachineOptions")] options: &JsValue,
    ) -> Result<Machine, JsValue> {
        let options: Options = problem::data(options, "options")?.unwrap_or_default();
        let config = options.config.read()?;
        let recorder = recorder(options.record, &config)?;
        let trace = options.trace.then(TraceDigest::default);
        let rows = options.rows.then(Watched::default);
        let shared = rows.as_ref().map(|rows| Rc::clone(&rows.0));
        let watch = (recorder, (trace, rows));
        let machine = ProtocolMachine::with_sink(config, Asked::default(), watch);
        Ok(Machine {
            inner: Rc::new(RefCell::new(Inner {
                machine,
                templates: BTreeMap::new(),
                keys: Rc::new(Keys::new()),
                pending: Vec::new(),
                waker: None,
                poked: false,
            })),
            rows: shared,
            running: Rc::default(),
        })
    }

    /// Makes the image known and opens a session of it; the session's number.
    pub fn open(
        &self,
        image: &Image,
        #[wasm_bindgen(unchecked_optional_param_type = "string")] owner: &JsValue,
    ) -> Result<u32, JsValue> {
        let owner = match owner.is_undefined() {
            true => String::new(),
            false => problem::text(owner, "owner")?,
        };
        let mut inner = self.inner()?;
        let opened = inner.machine.load_choreography(&image.image, &owner);
        inner.poke();
        Ok(opened.map_err(|refusal| refused(&refusal))?.0)
    }

    /// Runs until nobody is ready and nothing is promised, or `options.steps` were taken. The handler is asked for every
    /// effect, and may answer with an outcome, a promise of one, or `"later"`.
    #[wasm_bindgen(unchecked_return_type = "Promise<RunResult>")]
    pub fn run(
        &self,
        #[wasm_bindgen(unchecked_param_type = "EffectHandler | EffectHandler[\"handle\"]")]
        handler: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "RunOptions")] options: &JsValue,
    ) -> Promise {
        let world = World::of(handler);
        let steps = steps_of(options);
        let running = Running::start(&self.running);
        let inner = Rc::clone(&self.inner);
        future_to_promise(async move {
            let (world, steps, _running) = (world?, steps?, running?);
            Ok(drive(&inner, &world, steps).await?)
        })
    }

    /// As `run`, at once: an outcome that is promised is an error, `promise_in_sync`.
    #[wasm_bindgen(js_name = runSync, unchecked_return_type = "RunResult")]
    pub fn run_sync(
        &self,
        #[wasm_bindgen(unchecked_param_type = "EffectHandler | EffectHandler[\"handle\"]")]
        handler: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "RunOptions")] options: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let (world, mut steps) = (World::of(handler)?, steps_of(options)?);
        let _running = Running::start(&self.running)?;
        loop {
            let pause = self.inner()?.advance(&mut steps);
            let effect = match pause {
                Pause::Ask(effect) => effect,
                Pause::Rest(rest) => return Ok(rested(&rest)),
                Pause::Steps => return Ok(running()),
            };
            match ask(&self.inner, &world, effect)? {
                None | Some(Answer::Later) => {}
                Some(Answer::Now(outcome)) => self.inner()?.take(effect, outcome),
                Some(Answer::Promised(_)) => {
                    let message = "the handler answered with a promise; use `run`";
                    return Err(Problem::new("promise_in_sync", message).into());
                }
            }
        }
    }

    /// One step, without a handler. What it asks is in `requests`, and is answered by `answer`.
    #[wasm_bindgen(unchecked_return_type = "StepResult")]
    pub fn step(&self) -> Result<JsValue, JsValue> {
        let _running = Running::start(&self.running)?;
        let mut inner = self.inner()?;
        let (turn, _) = inner.turns(1);
        // Asked by this step: whoever steps by hand answers by hand.
        inner.machine.handler().0.clear();
        Ok(match turn {
            Turn::Rest(rest) => rested(&rest),
            Turn::Stepped { pick, .. } => problem::plain(&json!({
                "rest": "running",
                "session": pick.session.0,
                "coroutine": pick.coroutine.0,
            })),
        })
    }

    /// Requests that are outstanding, of one session or all.
    #[wasm_bindgen(unchecked_return_type = "Request[]")]
    pub fn requests(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] session: &JsValue,
    ) -> Result<Array, JsValue> {
        let of = count_or(session, "session", u64::MAX)?;
        let mut inner = self.inner()?;
        let sessions = inner.machine.kernel().sessions().iter();
        let effects: Vec<EffectId> = sessions
            .filter(|session| of == u64::MAX || u64::from(session.id().0) == of)
            .flat_map(|session| {
                let id = session.id();
                session.effects().iter().map(move |effect| EffectId {
                    session: id,
                    number: effect.number,
                })
            })
            .collect();
        let requests = effects.into_iter().filter_map(|id| inner.request(id));
        Ok(requests.collect())
    }

    /// The outcome of an effect that was put off.
    pub fn answer(
        &self,
        #[wasm_bindgen(unchecked_param_type = "{ session: number, effect: number }")]
        request: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Outcome")] outcome: &JsValue,
    ) -> Result<(), JsValue> {
        let field = |name: &str| Reflect::get(request, &name.into()).unwrap_or(JsValue::UNDEFINED);
        let effect = EffectId {
            session: session_number(&field("session"), "request.session")?,
            number: count(&field("effect"), "request.effect")?,
        };
        let about = self.inner()?.about(effect);
        let outcome = match about {
            // Nobody asks: the machine says why the outcome is of no use.
            None => Outcome::done(),
            Some((image, operation)) => {
                // Nothing is borrowed while a getter may run.
                let keys = Rc::clone(&self.inner()?.keys);
                OutcomeFields::read(outcome, &keys)?.outcome(&image, operation)?
            }
        };
        let mut inner = self.inner()?;
        let taken = inner.machine.ingress(Ingress::Outcome { effect, outcome });
        inner.poke();
        taken.map(drop).map_err(|refusal| refused(&refusal).into())
    }

    /// Time passes, in ticks. How many effects timed out by it.
    #[wasm_bindgen(js_name = advanceClock)]
    pub fn advance_clock(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number | bigint")] ticks: &JsValue,
    ) -> Result<u32, JsValue> {
        let ticks = unsigned(ticks);
        let ticks = ticks.ok_or_else(|| Problem::argument("ticks", "a whole number from 0"))?;
        let mut inner = self.inner()?;
        let taken = inner.machine.ingress(Ingress::AdvanceClock { ticks });
        inner.poke();
        match taken.map_err(|refusal| refused(&refusal))? {
            Taken::Advanced { expired } => Ok(expired),
            Taken::Opened(_) | Taken::Resumed(_) | Taken::Cancelled => Ok(0),
        }
    }

    /// Calls a session off, in the name of its owner.
    pub fn cancel(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] session: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "string")] owner: &JsValue,
    ) -> Result<(), JsValue> {
        let session = session_number(session, "session")?;
        let owner = match owner.is_undefined() {
            true => String::new(),
            false => problem::text(owner, "owner")?,
        };
        let cancel = Ingress::Cancel {
            session,
            owner: Arc::from(owner),
        };
        let mut inner = self.inner()?;
        let taken = inner.machine.ingress(cancel);
        inner.poke();
        taken.map(drop).map_err(|refusal| refused(&refusal).into())
    }

    /// How many steps were taken.
    #[wasm_bindgen(getter, js_name = stepIndex)]
    pub fn step_index(&self) -> Result<f64, JsValue> {
        Ok(self.inner()?.machine.kernel().step_index() as f64)
    }

    /// The clock, in ticks.
    #[wasm_bindgen(getter, unchecked_return_type = "number | bigint")]
    pub fn clock(&self) -> Result<JsValue, JsValue> {
        Ok(nat(self.inner()?.machine.kernel().clock()))
    }

    /// The clock reading at which the next effect times out, if one will.
    #[wasm_bindgen(getter, js_name = nextDeadline, unchecked_return_type = "number | bigint | undefined")]
    pub fn next_deadline(&self) -> Result<JsValue, JsValue> {
        let deadline = self.inner()?.machine.kernel().next_deadline();
        Ok(deadline.map_or(JsValue::UNDEFINED, nat))
    }

    /// The digest of the machine's whole state. Linear in the state.
    #[wasm_bindgen(js_name = stateDigest)]
    pub fn state_digest(&self) -> Result<String, JsValue> {
        Ok(hex(&self.inner()?.machine.kernel().state_digest()))
    }

    /// The digest of the trace so far; `undefined` for a machine without the option `trace`.
    #[wasm_bindgen(js_name = traceDigest)]
    pub fn trace_digest(&self) -> Result<Option<String>, JsValue> {
        let mut inner = self.inner()?;
        let (_, (trace, _)) = inner.machine.sink();
        Ok(trace.as_ref().map(|trace| hex(&trace.digest())))
    }

    /// How many sessions there are, ended ones included.
    #[wasm_bindgen(getter, js_name = sessionCount)]
    pub fn session_count(&self) -> Result<usize, JsValue> {
        Ok(self.inner()?.machine.kernel().sessions().len())
    }

    /// The sessions from one number to another, in a line each.
    #[wasm_bindgen(unchecked_return_type = "SessionBrief[]")]
    pub fn sessions(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] to: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let inner = self.inner()?;
        Ok(problem::plain(&sessions(inner.machine.kernel(), from, to)?))
    }

    /// A session in full. `undefined`: there is none of that number.
    #[wasm_bindgen(unchecked_return_type = "Session | undefined")]
    pub fn session(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] session: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let inner = self.inner()?;
        Ok(session_in_full(inner.machine.kernel(), session)?)
    }

    /// The rows `from` to `to` of what happened, under the filter; of a machine with the option `rows`.
    #[wasm_bindgen(unchecked_return_type = "Rows")]
    pub fn rows(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "number")] to: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Filter")] filter: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let message = "this machine keeps no rows: it was made without the option `rows`";
        let all = self.rows.as_deref();
        let all = all.ok_or_else(|| Problem::new("not_kept", message))?;
        Ok(rows(all, from, to, filter)?)
    }

    /// Ends the recording and gives its bytes; of a machine with the option `record`, once.
    #[wasm_bindgen(js_name = finishRecording)]
    pub fn finish_recording(&self) -> Result<Vec<u8>, JsValue> {
        let mut inner = self.inner()?;
        let message = "this machine does not record, or its recording was finished";
        let recorder = inner.machine.sink().0.take();
        let recorder = recorder.ok_or_else(|| Problem::new("not_kept", message))?;
        let bytes = recorder.finish(inner.machine.kernel());
        bytes.map_err(|error| Problem::new("recording", error.to_string()).into())
    }
}

impl Machine {
    fn inner(&self) -> Result<std::cell::RefMut<'_, Inner>, Problem> {
        self.inner.try_borrow_mut().map_err(|_| Problem::busy())
    }
}

fn recorder(
    record: Option<Record>,
    config: &ProtocolMachineConfig,
) -> Result<Option<Recorder<Vec<u8>>>, Problem> {
    let with = match record {
        None | Some(Record::Wanted(false)) => return Ok(None),
        Some(Record::Wanted(true)) => RecordHeader::default(),
        Some(Record::With(with)) => with,
    };
    let header = Header {
        tool: with.tool.unwrap_or_else(|| TOOL.to_owned()),
        config: config.clone(),
        source: with.source,
        notes: with.notes,
    };
    let created = Recorder::create(Vec::new(), &header, Flush::default());
    let recorder = created.map_err(|error| Problem::new("recording", error.to_string()))?;
    Ok(Some(recorder))
}

/// Only one run at a time; over when it is dropped.
struct Running(Rc<Cell<bool>>);

impl Running {
    fn start(flag: &Rc<Cell<bool>>) -> Result<Running, Problem> {
        match flag.replace(true) {
            true => Err(Problem::busy()),
            false => Ok(Running(Rc::clone(flag))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The handler: an object with a method `handle`, or a function.
struct World {
    this: JsValue,
    handle: Function,
}

impl World {
    fn of(handler: &JsValue) -> Result<World, Problem> {
        if let Some(handle) = handler.dyn_ref::<Function>() {
            return Ok(World {
                this: JsValue::UNDEFINED,
                handle: handle.clone(),
            });
        }
        let wrong = || Problem::argument("handler", "an object with a method `handle`");
        let handle = Reflect::get(handler, &"handle".into()).map_err(|_| wrong())?;
        let handle = handle.dyn_into::<Function>().map_err(|_| wrong())?;
        Ok(World {
            this: handler.clone(),
            handle,
        })
    }
}

fn steps_of(options: &JsValue) -> Result<u64, Problem> {
    if options.is_undefined() || options.is_null() {
        return Ok(u64::MAX);
    }
    let steps = Reflect::get(options, &"steps".into());
    let steps = steps.map_err(|_| Problem::argument("options", "an object"))?;
    count_or(&steps, "options.steps", u64::MAX)
}

/// Runs to the end, waiting for what is promised.
async fn drive(
    inner: &Rc<RefCell<Inner>>,
    world: &World,
    mut steps: u64,
) -> Result<JsValue, Problem> {
    let borrow = || inner.try_borrow_mut().map_err(|_| Problem::busy());
    loop {
        let pause = borrow()?.advance(&mut steps);
        let rest = match pause {
            Pause::Steps => return Ok(running()),
            Pause::Rest(rest) => rest,
            Pause::Ask(effect) => {
                match ask(inner, world, effect)? {
                    None | Some(Answer::Later) => {}
                    Some(Answer::Now(outcome)) => borrow()?.take(effect, outcome),
                    Some(Answer::Promised(promise)) => {
                        borrow()?.pending.push((effect, JsFuture::from(promise)));
                    }
                }
                continue;
            }
        };
        let owed = borrow()?.prune();
        if !owed {
            return Ok(rested(&rest));
        }
        let Some((effect, value)) = next_promised(inner).await? else {
            continue;
        };
        let value = value.map_err(|error| threw(&error))?;
        if let Some(Answer::Now(outcome)) = answer(inner, effect, &value)? {
            borrow()?.take(effect, outcome);
        }
    }
}

/// The next outcome that was promised; `None`: something else came in.
async fn next_promised(
    inner: &Rc<RefCell<Inner>>,
) -> Result<Option<(EffectId, Result<JsValue, JsValue>)>, Problem> {
    poll_fn(|context| {
        let Ok(mut inner) = inner.try_borrow_mut() else {
            return Poll::Ready(Err(Problem::busy()));
        };
        if std::mem::take(&mut inner.poked) {
            return Poll::Ready(Ok(None));
        }
        for n in 0..inner.pending.len() {
            let (effect, promised) = &mut inner.pending[n];
            let effect = *effect;
            if let Poll::Ready(value) = Future::poll(Pin::new(promised), context) {
                inner.pending.remove(n);
                return Poll::Ready(Ok(Some((effect, value))));
            }
        }
        inner.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

/// Puts a request to the handler, with nothing of the machine borrowed. `None`: it is not outstanding any more.
fn ask(inner: &RefCell<Inner>, world: &World, effect: EffectId) -> Result<Option<Answer>, Problem> {
    let request = inner
        .try_borrow_mut()
        .map_err(|_| Problem::busy())?
        .request(effect);
    let Some(request) = request else {
        return Ok(None);
    };
    let told = world.handle.call1(&world.this, &request);
    answer(inner, effect, &told.map_err(|error| threw(&error))?)
}

/// Reads what a handler answered, with nothing of the machine borrowed: a getter may call it.
fn answer(
    inner: &RefCell<Inner>,
    effect: EffectId,
    told: &JsValue,
) -> Result<Option<Answer>, Problem> {
    let (about, keys) = {
        let mut inner = inner.try_borrow_mut().map_err(|_| Problem::busy())?;
        (inner.about(effect), Rc::clone(&inner.keys))
    };
    let Some((image, operation)) = about else {
        return Ok(None);
    };
    if told.is_object() {
        if let Some(promise) = told.dyn_ref::<Promise>() {
            return Ok(Some(Answer::Promised(promise.clone())));
        }
        let then = Reflect::get(told, &keys.then).unwrap_or(JsValue::UNDEFINED);
        if then.is_function() {
            return Ok(Some(Answer::Promised(Promise::resolve(told))));
        }
    } else if told.as_string().as_deref() == Some("later") {
        return Ok(Some(Answer::Later));
    }
    let outcome = OutcomeFields::read(told, &keys)?.outcome(&image, operation)?;
    Ok(Some(Answer::Now(outcome)))
}

/// A handler's own error ends the run, and not the effect: it can be answered later.
fn threw(error: &JsValue) -> Problem {
    let message = match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => error.as_string().unwrap_or_else(|| "not an error".into()),
    };
    Problem::new("handler_threw", format!("the handler failed: {message}"))
}

/// What stands in an outcome.
struct OutcomeFields {
    ok: JsValue,
    fail: JsValue,
    detail: JsValue,
}

impl OutcomeFields {
    fn read(outcome: &JsValue, keys: &Keys) -> Result<OutcomeFields, Problem> {
        // Nothing to say is what most handlers have to say to `deliver`.
        if outcome.is_undefined() {
            return Ok(OutcomeFields {
                ok: JsValue::NULL,
                fail: JsValue::UNDEFINED,
                detail: JsValue::UNDEFINED,
            });
        }
        let expected = "`{ ok }`, `{ fail, detail }`, \"later\" or undefined";
        if !outcome.is_object() {
            return Err(Problem::argument("outcome", expected));
        }
        let get = |key: &JsValue| {
            Reflect::get(outcome, key).map_err(|_| Problem::argument("outcome", "readable"))
        };
        let has = |key: &JsValue| Reflect::has(outcome, key).unwrap_or(false);
        if has(&keys.ok) == has(&keys.fail) {
            return Err(Problem::argument("outcome", expected));
        }
        Ok(OutcomeFields {
            ok: get(&keys.ok)?,
            fail: get(&keys.fail)?,
            detail: get(&keys.detail)?,
        })
    }

    fn outcome(&self, image: &VerifiedImage, operation: OperationId) -> Result<Outcome, Problem> {
        if self.fail.is_undefined() {
            let result = image.image().operations.get(operation.index());
            let result = result.ok_or_else(|| Problem::argument("request", "a request"))?;
            let value = from_js(&self.ok, result.result, image.image(), "outcome.ok")?;
            return Ok(Outcome::Success(value));
        }
        let name = self.fail.as_string();
        let mut kinds = FailureKind::ALL.into_iter();
        let kind = kinds.find(|kind| Some(kind.name()) == name.as_deref());
        let kind = kind.ok_or_else(|| Problem::argument("outcome.fail", "a kind of failure"))?;
        let detail = match self.detail.is_undefined() || self.detail.is_null() {
            true => String::new(),
            false => problem::text(&self.detail, "outcome.detail")?,
        };
        Ok(Outcome::failure(kind, &detail))
    }
}

impl Inner {
    /// Steps until the world is asked: one, where there are rows to tell.
    fn turns(&mut self, steps_max: u64) -> (Turn, u64) {
        let (_, (_, rows)) = self.machine.sink();
        if let Some(rows) = rows {
            rows.0.borrow_mut().turn();
        }
        self.machine.turns(steps_max)
    }

    /// Steps until the world is asked or nobody is ready.
    fn advance(&mut self, steps: &mut u64) -> Pause {
        loop {
            if let Some(effect) = self.machine.handler().0.pop_front() {
                return Pause::Ask(effect);
            }
            if *steps == 0 {
                return Pause::Steps;
            }
            match self.turns(*steps) {
                (Turn::Rest(rest), _) => return Pause::Rest(rest),
                (Turn::Stepped { .. }, taken) => *steps -= taken,
            }
        }
    }

    /// Brings an outcome in. That it comes too late is no error: the machine says so to whoever observes it.
    fn take(&mut self, effect: EffectId, outcome: Outcome) {
        let _ = self.machine.ingress(Ingress::Outcome { effect, outcome });
    }

    /// Something came in while a run may be waiting.
    fn poke(&mut self) {
        if let Some(waker) = self.waker.take() {
            self.poked = true;
            waker.wake();
        }
    }

    /// Forgets promises of effects that have ended. Whether any are left.
    fn prune(&mut self) -> bool {
        let kernel = self.machine.kernel();
        self.pending
            .retain(|(effect, _)| kernel.request(*effect).is_some());
        !self.pending.is_empty()
    }

    /// What an outstanding effect asks for.
    fn about(&mut self, effect: EffectId) -> Option<(Arc<VerifiedImage>, OperationId)> {
        let kernel = self.machine.kernel();
        let operation = kernel.request(effect)?.operation_id();
        let session = kernel.session(effect.session)?;
        Some((Arc::clone(kernel.image(session)), operation))
    }

    /// A request for JavaScript.
    fn request(&mut self, effect: EffectId) -> Option<Object> {
        let kernel = self.machine.kernel();
        let request = kernel.request(effect)?;
        let verified: *const VerifiedImage = request.image();
        let key = (verified.addr(), request.operation_id(), request.role());
        let template = self
            .templates
            .entry(key)
            .or_insert_with(|| template(&request));
        let object = Object::assign(&Object::new(), template);
        let image = request.image().image();
        let args = request.args().zip(&request.operation().args);
        let args: Array = args.map(|(arg, sort)| to_js(arg, *sort, image)).collect();
        let keys = Rc::clone(&self.keys);
        let set = |key: &JsValue, value: &JsValue| {
            // A plain object that was just made takes any field.
            let _ = Reflect::set(&object, key, value);
        };
        set(&keys.session, &effect.session.0.into());
        set(&keys.effect, &(effect.number as f64).into());
        set(&keys.args, &args);
        // The template has what these are nearly always.
        if request.attempt() > 0 {
            set(&keys.attempt, &request.attempt().into());
        }
        if let Some(deadline) = request.deadline() {
            set(&keys.deadline, &nat(deadline));
        }
        Some(object)
    }
}

/// The fields of a request that do not change, and room for those that do.
fn template(request: &EffectRequest<'_>) -> Object {
    let verified = request.image();
    let label = |id: &antiphon_machine::LabelId| verified.label_name(*id).to_owned();
    let (one, several, peer) = match request.class() {
        Class::Produce { label: l, peer } | Class::Deliver { label: l, peer } => {
            (Some(label(l)), None, Some(*peer))
        }
        Class::Decide { labels, peer } => {
            let labels: Vec<String> = labels.iter().map(label).collect();
            (None, Some(labels), Some(*peer))
        }
        Class::Command | Class::Observe | Class::Check => (None, None, None),
    };
    let fields = json!({
        "session": 0,
        "effect": 0,
        "role": request.role().map(|role| verified.role_name(role)),
        "class": class_name(request.class()),
        "interface": request.interface_name(),
        "operation": request.operation().name,
        "label": one,
        "labels": several,
        "peer": peer.map(|peer| verified.role_name(peer)),
        "result": sort_text(request.result_sort(), verified.image()),
        "args": [],
        "attempt": 0,
        "deadline": null,
    });
    problem::plain(&fields).unchecked_into()
}

fn session_number(value: &JsValue, place: &str) -> Result<SessionId, Problem> {
    let number = u32::try_from(count(value, place)?);
    let number = number.map_err(|_| Problem::argument(place, "the number of a session"))?;
    Ok(SessionId(number))
}

fn refused(refusal: &Refusal) -> Problem {
    Problem::new("refused", refusal.to_string())
}

fn running() -> JsValue {
    problem::plain(&json!({ "rest": "running" }))
}

fn rested(rest: &Rest) -> JsValue {
    problem::plain(&match rest {
        Rest::Idle => json!({ "rest": "idle" }),
        Rest::Done => json!({ "rest": "done" }),
        Rest::Stuck(waits) => {
            let waits = waits.iter().map(|wait| {
                json!({
                    "session": wait.pick.session.0,
                    "coroutine": wait.pick.coroutine.0,
                    "server": wait.server.map(|server| server.0),
                })
            });
            json!({ "rest": "stuck", "waits": waits.collect::<Vec<_>>() })
        }
    })
}

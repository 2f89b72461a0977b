//! The cooperative machine in JavaScript. The handler is an object with a method `handle`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use antiphon_machine::text::Printer;
use antiphon_machine::{
    Class, DeterminismMode, EffectHandler, EffectId, EffectRequest, FailureKind, Ingress,
    OperationId, Outcome, ProtocolMachine, ProtocolMachineConfig, Refusal, Reply, Rest, RoleId,
    SchedulingPolicy, SessionId, Taken, TraceDigest, Turn, VerifiedImage,
};
use antiphon_record::rows::RowSink;
use antiphon_record::{Flush, Header, Recorder};
use js_sys::{Array, Function, Object, Promise, Reflect};
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::image::{Image, class_name};
use crate::problem::{self, Problem, count, count_or, hex};
use crate::replay::{rows, session_in_full, sessions};
use crate::rows::{Rows, SharedRows};
use crate::values::{from_js, nat, to_js, unsigned};

/// The sinks that observe the machine: a recorder, the digest of the trace, the rows.
type Sinks = (
    Option<Recorder<Vec<u8>>>,
    (Option<TraceDigest>, Option<RowSink<SharedRows>>),
);

/// The machine's own handler. It queues requests until JavaScript can be called without the machine
/// being borrowed.
#[derive(Debug, Default)]
struct PendingRequests(VecDeque<EffectId>);

impl EffectHandler for PendingRequests {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        self.0.push_back(request.effect());
        Reply::Later
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Options {
    config: Config,
    record: Option<Record>,
    /// Whether to compute the digest of the trace.
    trace: bool,
    /// Whether to keep rows of what happens.
    rows: bool,
}

/// The machine's configuration. Missing fields have their defaults.
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

/// The header of a recording.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RecordHeader {
    tool: Option<String>,
    source: Option<String>,
    notes: Vec<(String, String)>,
}

/// The tool named in a recording's header by default.
const TOOL: &str = concat!("antiphon-wasm ", env!("CARGO_PKG_VERSION"));

/// The selectable modes.
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
            Problem::new("bad_argument", format!("unknown {place} `{name}`"))
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
    machine: ProtocolMachine<PendingRequests, Sinks>,
    /// The constant parts of a request, by image, operation and role.
    templates: BTreeMap<(usize, OperationId, Option<RoleId>), Object>,
    keys: Rc<Keys>,
    /// Promises of outcomes.
    pending: Vec<(EffectId, JsFuture)>,
    /// Wakes a run that waits for promises when another input arrives.
    waker: Option<Waker>,
    notified: bool,
}

/// The names of a request's fields, created once.
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

/// A handler's answer.
enum Answer {
    Now(Outcome),
    Later,
    Promised(Promise),
}

/// A cooperative machine.
///
/// Open sessions of images, then `run` the machine with a handler. It runs until no coroutine is
/// ready, and waits for outcomes that the handler promised. `answer`, `advanceClock` and `cancel`
/// give the machine other inputs.
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
    /// Creates a machine without sessions.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_optional_param_type = "MachineOptions")] options: &JsValue,
    ) -> Result<Machine, JsValue> {
        let options: Options = problem::data(options, "options")?.unwrap_or_default();
        let config = options.config.read()?;
        let recorder = recorder(options.record, &config)?;
        let trace = options.trace.then(TraceDigest::default);
        let rows = options.rows.then(|| RowSink::new(SharedRows::default()));
        let shared = rows.as_ref().map(|rows| Rc::clone(&rows.observer().0));
        let sinks = (recorder, (trace, rows));
        let machine = ProtocolMachine::with_sink(config, PendingRequests::default(), sinks);
        Ok(Machine {
            inner: Rc::new(RefCell::new(Inner {
                machine,
                templates: BTreeMap::new(),
                keys: Rc::new(Keys::new()),
                pending: Vec::new(),
                waker: None,
                notified: false,
            })),
            rows: shared,
            running: Rc::default(),
        })
    }

    /// Loads the image, opens a session of its protocol, and returns the session's number.
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
        inner.notify();
        Ok(opened.map_err(|refusal| refused(&refusal))?.0)
    }

    /// Runs until no coroutine is ready and no promise is pending, or until `options.steps` steps
    /// were taken. The handler is called for every effect. It returns an outcome, a promise of one,
    /// or `"later"`.
    #[wasm_bindgen(unchecked_return_type = "Promise<RunResult>")]
    pub fn run(
        &self,
        #[wasm_bindgen(unchecked_param_type = "EffectHandler | EffectHandler[\"handle\"]")]
        handler: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "RunOptions")] options: &JsValue,
    ) -> Promise {
        let handler = JsHandler::of(handler);
        let steps = steps_of(options);
        let running = Running::start(&self.running);
        let inner = Rc::clone(&self.inner);
        future_to_promise(async move {
            let (handler, steps, _running) = (handler?, steps?, running?);
            Ok(drive(&inner, &handler, steps).await?)
        })
    }

    /// Like `run`, but synchronous: a promise from the handler is an error with the code
    /// `promise_in_sync`.
    #[wasm_bindgen(js_name = runSync, unchecked_return_type = "RunResult")]
    pub fn run_sync(
        &self,
        #[wasm_bindgen(unchecked_param_type = "EffectHandler | EffectHandler[\"handle\"]")]
        handler: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "RunOptions")] options: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let (handler, mut steps) = (JsHandler::of(handler)?, steps_of(options)?);
        let _running = Running::start(&self.running)?;
        loop {
            let pause = self.inner()?.advance(&mut steps);
            let effect = match pause {
                Pause::Ask(effect) => effect,
                Pause::Rest(rest) => return Ok(rest_result(&rest)),
                Pause::Steps => return Ok(running_result()),
            };
            match ask(&self.inner, &handler, effect)? {
                None | Some(Answer::Later) => {}
                Some(Answer::Now(outcome)) => self.inner()?.apply(effect, outcome),
                Some(Answer::Promised(_)) => {
                    let message = "the handler answered with a promise; use `run`";
                    return Err(Problem::new("promise_in_sync", message).into());
                }
            }
        }
    }

    /// Takes one step, without a handler. Its requests are in `requests` and are answered with
    /// `answer`.
    #[wasm_bindgen(unchecked_return_type = "StepResult")]
    pub fn step(&self) -> Result<JsValue, JsValue> {
        let _running = Running::start(&self.running)?;
        let mut inner = self.inner()?;
        let (turn, _) = inner.turns(1);
        // The requests of this step are answered by hand.
        inner.machine.handler().0.clear();
        Ok(match turn {
            Turn::Rest(rest) => rest_result(&rest),
            Turn::Stepped { pick, .. } => problem::plain(&json!({
                "rest": "running",
                "session": pick.session.0,
                "coroutine": pick.coroutine.0,
            })),
        })
    }

    /// The outstanding requests of one session or of all.
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

    /// Supplies the outcome of an effect that the handler deferred.
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
        let about = self.inner()?.operation_of(effect);
        let outcome = match about {
            // The effect is not outstanding, so the machine refuses any outcome and returns the
            // reason.
            None => Outcome::done(),
            Some((image, operation)) => {
                // Nothing is borrowed while a getter may run.
                let keys = Rc::clone(&self.inner()?.keys);
                OutcomeFields::read(outcome, &keys)?.outcome(&image, operation)?
            }
        };
        let mut inner = self.inner()?;
        let taken = inner.machine.ingress(Ingress::Outcome { effect, outcome });
        inner.notify();
        taken.map(drop).map_err(|refusal| refused(&refusal).into())
    }

    /// Advances the clock by `ticks`. Returns the number of effects that timed out.
    #[wasm_bindgen(js_name = advanceClock)]
    pub fn advance_clock(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number | bigint")] ticks: &JsValue,
    ) -> Result<u32, JsValue> {
        let ticks = unsigned(ticks);
        let ticks = ticks.ok_or_else(|| Problem::argument("ticks", "a non-negative integer"))?;
        let mut inner = self.inner()?;
        let taken = inner.machine.ingress(Ingress::AdvanceClock { ticks });
        inner.notify();
        match taken.map_err(|refusal| refused(&refusal))? {
            Taken::Advanced { expired } => Ok(expired),
            Taken::Opened(_) | Taken::Resumed(_) | Taken::Cancelled => Ok(0),
        }
    }

    /// Cancels a session in the name of its owner.
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
        inner.notify();
        taken.map(drop).map_err(|refusal| refused(&refusal).into())
    }

    /// The number of steps taken.
    #[wasm_bindgen(getter, js_name = stepIndex)]
    pub fn step_index(&self) -> Result<f64, JsValue> {
        Ok(self.inner()?.machine.kernel().step_index() as f64)
    }

    /// The clock, in ticks.
    #[wasm_bindgen(getter, unchecked_return_type = "number | bigint")]
    pub fn clock(&self) -> Result<JsValue, JsValue> {
        Ok(nat(self.inner()?.machine.kernel().clock()))
    }

    /// The clock value at which the next effect times out, if any.
    #[wasm_bindgen(
        getter,
        js_name = nextDeadline,
        unchecked_return_type = "number | bigint | undefined"
    )]
    pub fn next_deadline(&self) -> Result<JsValue, JsValue> {
        let deadline = self.inner()?.machine.kernel().next_deadline();
        Ok(deadline.map_or(JsValue::UNDEFINED, nat))
    }

    /// The digest of the machine's whole state. Linear in the size of the state.
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

    /// The number of sessions, ended ones included.
    #[wasm_bindgen(getter, js_name = sessionCount)]
    pub fn session_count(&self) -> Result<usize, JsValue> {
        Ok(self.inner()?.machine.kernel().sessions().len())
    }

    /// A summary of each session in a range of numbers.
    #[wasm_bindgen(unchecked_return_type = "SessionBrief[]")]
    pub fn sessions(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] to: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let inner = self.inner()?;
        Ok(problem::plain(&sessions(inner.machine.kernel(), from, to)?))
    }

    /// A session in full; `undefined` when no session has that number.
    #[wasm_bindgen(unchecked_return_type = "Session | undefined")]
    pub fn session(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] session: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let inner = self.inner()?;
        Ok(session_in_full(inner.machine.kernel(), session)?)
    }

    /// The rows `from` to `to` that match the filter. Needs the option `rows`.
    #[wasm_bindgen(unchecked_return_type = "Rows")]
    pub fn rows(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "number")] to: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Filter")] filter: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let message = "this machine keeps no rows: it was created without the option `rows`";
        let all = self.rows.as_deref();
        let all = all.ok_or_else(|| Problem::new("not_kept", message))?;
        Ok(rows(all, from, to, filter)?)
    }

    /// Ends the recording and returns its bytes, once. Needs the option `record`.
    #[wasm_bindgen(js_name = finishRecording)]
    pub fn finish_recording(&self) -> Result<Vec<u8>, JsValue> {
        let mut inner = self.inner()?;
        let message = "this machine does not record, or its recording is already finished";
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

/// Marks that a run is in progress until it is dropped. Only one run is allowed at a time.
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
struct JsHandler {
    this: JsValue,
    handle: Function,
}

impl JsHandler {
    fn of(handler: &JsValue) -> Result<JsHandler, Problem> {
        if let Some(handle) = handler.dyn_ref::<Function>() {
            return Ok(JsHandler {
                this: JsValue::UNDEFINED,
                handle: handle.clone(),
            });
        }
        let wrong = || Problem::argument("handler", "an object with a method `handle`");
        let handle = Reflect::get(handler, &"handle".into()).map_err(|_| wrong())?;
        let handle = handle.dyn_into::<Function>().map_err(|_| wrong())?;
        Ok(JsHandler {
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

/// Runs to the end, waiting for promised outcomes.
async fn drive(
    inner: &Rc<RefCell<Inner>>,
    handler: &JsHandler,
    mut steps: u64,
) -> Result<JsValue, Problem> {
    let borrow = || inner.try_borrow_mut().map_err(|_| Problem::busy());
    loop {
        let pause = borrow()?.advance(&mut steps);
        let rest = match pause {
            Pause::Steps => return Ok(running_result()),
            Pause::Rest(rest) => rest,
            Pause::Ask(effect) => {
                match ask(inner, handler, effect)? {
                    None | Some(Answer::Later) => {}
                    Some(Answer::Now(outcome)) => borrow()?.apply(effect, outcome),
                    Some(Answer::Promised(promise)) => {
                        borrow()?.pending.push((effect, JsFuture::from(promise)));
                    }
                }
                continue;
            }
        };
        let pending = borrow()?.prune();
        if !pending {
            return Ok(rest_result(&rest));
        }
        let Some((effect, value)) = next_promised(inner).await? else {
            continue;
        };
        let value = value.map_err(|error| handler_error(&error))?;
        if let Some(Answer::Now(outcome)) = answer(inner, effect, &value)? {
            borrow()?.apply(effect, outcome);
        }
    }
}

/// Waits for the next promised outcome. Returns `None` when another input arrived.
async fn next_promised(
    inner: &Rc<RefCell<Inner>>,
) -> Result<Option<(EffectId, Result<JsValue, JsValue>)>, Problem> {
    poll_fn(|context| {
        let Ok(mut inner) = inner.try_borrow_mut() else {
            return Poll::Ready(Err(Problem::busy()));
        };
        if std::mem::take(&mut inner.notified) {
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

/// Passes a request to the handler while nothing of the machine is borrowed. Returns `None` when
/// the request is no longer outstanding.
fn ask(
    inner: &RefCell<Inner>,
    handler: &JsHandler,
    effect: EffectId,
) -> Result<Option<Answer>, Problem> {
    let request = inner
        .try_borrow_mut()
        .map_err(|_| Problem::busy())?
        .request(effect);
    let Some(request) = request else {
        return Ok(None);
    };
    let returned = handler.handle.call1(&handler.this, &request);
    let returned = returned.map_err(|error| handler_error(&error))?;
    answer(inner, effect, &returned)
}

/// Converts a handler's return value while nothing of the machine is borrowed, because a getter may
/// call the machine.
fn answer(
    inner: &RefCell<Inner>,
    effect: EffectId,
    returned: &JsValue,
) -> Result<Option<Answer>, Problem> {
    let (about, keys) = {
        let mut inner = inner.try_borrow_mut().map_err(|_| Problem::busy())?;
        (inner.operation_of(effect), Rc::clone(&inner.keys))
    };
    let Some((image, operation)) = about else {
        return Ok(None);
    };
    if returned.is_object() {
        if let Some(promise) = returned.dyn_ref::<Promise>() {
            return Ok(Some(Answer::Promised(promise.clone())));
        }
        let then = Reflect::get(returned, &keys.then).unwrap_or(JsValue::UNDEFINED);
        if then.is_function() {
            return Ok(Some(Answer::Promised(Promise::resolve(returned))));
        }
    } else if returned.as_string().as_deref() == Some("later") {
        return Ok(Some(Answer::Later));
    }
    let outcome = OutcomeFields::read(returned, &keys)?.outcome(&image, operation)?;
    Ok(Some(Answer::Now(outcome)))
}

/// An error thrown by the handler ends the run but not the effect, which can be answered later.
fn handler_error(error: &JsValue) -> Problem {
    let message = match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => error.as_string().unwrap_or_else(|| "not an error".into()),
    };
    Problem::new("handler_threw", format!("the handler failed: {message}"))
}

/// The fields of an outcome object.
struct OutcomeFields {
    ok: JsValue,
    fail: JsValue,
    detail: JsValue,
}

impl OutcomeFields {
    fn read(outcome: &JsValue, keys: &Keys) -> Result<OutcomeFields, Problem> {
        // Most handlers return nothing for `deliver`.
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
    /// Takes steps until a request is issued. If rows are kept, takes only one step, so that its
    /// rows are attributed to it.
    fn turns(&mut self, steps_max: u64) -> (Turn, u64) {
        let (_, (_, rows)) = self.machine.sink();
        if let Some(rows) = rows {
            rows.observer().0.borrow_mut().turn();
        }
        self.machine.turns(steps_max)
    }

    /// Takes steps until a request is issued or no coroutine is ready.
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

    /// Applies an outcome. A late outcome is not an error: the machine reports it to its sinks.
    fn apply(&mut self, effect: EffectId, outcome: Outcome) {
        let _ = self.machine.ingress(Ingress::Outcome { effect, outcome });
    }

    /// Notifies a waiting run that another input arrived.
    fn notify(&mut self) {
        if let Some(waker) = self.waker.take() {
            self.notified = true;
            waker.wake();
        }
    }

    /// Removes promises of effects that have ended. Returns whether any are left.
    fn prune(&mut self) -> bool {
        let kernel = self.machine.kernel();
        self.pending
            .retain(|(effect, _)| kernel.request(*effect).is_some());
        !self.pending.is_empty()
    }

    /// The image and operation of an outstanding effect.
    fn operation_of(&mut self, effect: EffectId) -> Option<(Arc<VerifiedImage>, OperationId)> {
        let kernel = self.machine.kernel();
        let operation = kernel.request(effect)?.operation_id();
        let session = kernel.session(effect.session)?;
        Some((Arc::clone(kernel.image(session)), operation))
    }

    /// The request as an object for JavaScript.
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
            // A newly created plain object accepts any field.
            let _ = Reflect::set(&object, key, value);
        };
        set(&keys.session, &effect.session.0.into());
        set(&keys.effect, &(effect.number as f64).into());
        set(&keys.args, &args);
        // The template contains the usual values of these fields.
        if request.attempt() > 0 {
            set(&keys.attempt, &request.attempt().into());
        }
        if let Some(deadline) = request.deadline() {
            set(&keys.deadline, &nat(deadline));
        }
        Some(object)
    }
}

/// The constant fields of a request, with placeholders for the others.
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
        "result": Printer::new(verified.image()).sort(request.result_sort()),
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

fn running_result() -> JsValue {
    problem::plain(&json!({ "rest": "running" }))
}

fn rest_result(rest: &Rest) -> JsValue {
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

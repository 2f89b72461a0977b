//! Recordings in JavaScript.

use wasm_bindgen::prelude::*;

use crate::image::describe;
use crate::player::Player;
use crate::problem::{self, Problem, count, count_or, hex};
use crate::rows::Filter;
use crate::view;

/// A recording and its replay, which can be inspected at any step.
///
/// `index` replays: call it with a number of steps until it returns that the recording is over, and
/// update the display in between. Rows and `seek` are available up to the indexed step.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Replay {
    player: Player,
}

#[wasm_bindgen]
impl Replay {
    /// Opens a recording. Throws when it has no usable part. `index` finds damage further on and
    /// `findings` reports it.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array | ArrayBuffer")] bytes: &JsValue,
    ) -> Result<Replay, JsValue> {
        let player = Player::open(problem::bytes(bytes, "bytes")?)?;
        Ok(Replay { player })
    }

    /// The recording's header: the tool that wrote it, notes, and the protocol's text.
    #[wasm_bindgen(getter, unchecked_return_type = "RecordingHeader")]
    pub fn header(&self) -> JsValue {
        let header = self.player.header();
        problem::plain(&serde_json::json!({
            "tool": header.tool,
            "source": header.source,
            "notes": header.notes,
            "policy": header.config.policy.name(),
            "determinism": crate::machine::mode_name(header.config.determinism_mode),
        }))
    }

    /// Replays up to `steps` steps further, or all that are left by default. Returns whether the
    /// recording is over.
    pub fn index(
        &mut self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] steps: &JsValue,
    ) -> Result<bool, JsValue> {
        let steps = count_or(steps, "steps", u64::MAX)?;
        Ok(self.player.index(steps))
    }

    /// Whether the recording is over.
    #[wasm_bindgen(getter)]
    pub fn over(&self) -> bool {
        self.player.is_over()
    }

    /// The number of steps replayed so far.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> f64 {
        self.player.indexed() as f64
    }

    /// The number of rows so far.
    #[wasm_bindgen(getter, js_name = rowCount)]
    pub fn row_count(&self) -> f64 {
        self.player.rows().borrow().len() as f64
    }

    /// The results so far: whether the replay is equal, where and how it differs, how the recording
    /// ends, counts and digests. Linear in the size of the state.
    #[wasm_bindgen(unchecked_return_type = "Findings")]
    pub fn findings(&self) -> JsValue {
        problem::plain(&self.player.findings())
    }

    /// The rows `from` to `to`, excluding `to`, of those that match the filter.
    #[wasm_bindgen(unchecked_return_type = "Rows")]
    pub fn rows(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "number")] to: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Filter")] filter: &JsValue,
    ) -> Result<JsValue, JsValue> {
        Ok(rows(self.player.rows(), from, to, filter)?)
    }

    /// The position of the next row at or after `from` whose line contains the text, among those
    /// that match the filter. With `backwards`, the position of the last one before `from`.
    /// `undefined` when there is none.
    pub fn search(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string")] text: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Filter")] filter: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "boolean")] backwards: &JsValue,
    ) -> Result<Option<f64>, JsValue> {
        let text = problem::text(text, "text")?;
        let from = count_or(from, "from", 0)? as usize;
        let filter = problem::data(filter, "filter")?;
        let mut rows = self.player.rows().borrow_mut();
        let found = rows.search(&text, from, backwards.is_truthy(), filter);
        Ok(found.map_err(of_filter)?.map(|at| at as f64))
    }

    /// The number of rows that match the filter and happened within the first `step` steps: the
    /// step's position among the rows.
    #[wasm_bindgen(js_name = rowsBefore)]
    pub fn rows_before(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] step: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Filter")] filter: &JsValue,
    ) -> Result<f64, JsValue> {
        let step = count(step, "step")?;
        let filter: Option<Filter> = problem::data(filter, "filter")?;
        let before = self.player.rows().borrow_mut().before(step, filter);
        Ok(before.map_err(of_filter)? as f64)
    }

    /// A row in full, by its number among all rows: the values that its line shortens, and the
    /// other rows of its effect. `undefined` when the row does not exist. Costs a replay of some
    /// thousand steps.
    #[wasm_bindgen(unchecked_return_type = "RowDetail | undefined")]
    pub fn detail(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] row: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let row = count(row, "row")?;
        let detail = self.player.detail(row as usize);
        Ok(detail.map_or(JsValue::UNDEFINED, |detail| problem::plain(&detail)))
    }

    /// The images loaded so far, as data.
    #[wasm_bindgen(unchecked_return_type = "ImageDescription[]")]
    pub fn images(&self) -> JsValue {
        let rows = self.player.rows().borrow();
        let images: Vec<_> = rows.images().map(describe).collect();
        problem::plain(&images)
    }

    /// The number of steps taken at the inspected point.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> f64 {
        self.player.step() as f64
    }

    /// Moves to the point after `step` steps and all inputs before the next step. Throws
    /// `beyond_end` when that step is not indexed.
    pub fn seek(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] step: &JsValue,
    ) -> Result<(), JsValue> {
        Ok(self.player.seek(count(step, "step")?)?)
    }

    /// Moves to the point just after a row. The row's number is its field `row`.
    #[wasm_bindgen(js_name = seekRow)]
    pub fn seek_row(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] row: &JsValue,
    ) -> Result<(), JsValue> {
        let row = count(row, "row")?;
        let step = {
            let rows = self.player.rows().borrow();
            if row >= rows.len() as u64 {
                let message = format!("row {row} is beyond the {} existing rows", rows.len());
                return Err(Problem::new("beyond_end", message).at("row").into());
            }
            rows.after(row as usize)
        };
        Ok(self.player.seek(step.min(self.player.indexed()))?)
    }

    /// Moves `steps` steps forward, but not beyond the indexed steps. Returns the new step.
    pub fn forward(
        &mut self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] steps: &JsValue,
    ) -> Result<f64, JsValue> {
        let to = self.player.step() + count_or(steps, "steps", 1)?;
        self.player.seek(to.min(self.player.indexed()))?;
        Ok(self.step())
    }

    /// Moves `steps` steps back, but not before the start. Returns the new step.
    pub fn back(
        &mut self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] steps: &JsValue,
    ) -> Result<f64, JsValue> {
        let steps = count_or(steps, "steps", 1)?;
        self.player.seek(self.player.step().saturating_sub(steps))?;
        Ok(self.step())
    }

    /// The clock at the inspected point.
    #[wasm_bindgen(getter)]
    pub fn clock(&self) -> f64 {
        self.player.kernel().clock() as f64
    }

    /// The digest of the machine's state at the inspected point. Linear in the size of the state.
    #[wasm_bindgen(js_name = stateDigest)]
    pub fn state_digest(&self) -> String {
        hex(&self.player.kernel().state_digest())
    }

    /// The number of sessions at the inspected point.
    #[wasm_bindgen(getter, js_name = sessionCount)]
    pub fn session_count(&self) -> usize {
        self.player.kernel().sessions().len()
    }

    /// A summary of each session in a range of numbers.
    #[wasm_bindgen(unchecked_return_type = "SessionBrief[]")]
    pub fn sessions(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] to: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let rows = self.player.rows().borrow();
        let mut list = sessions(self.player.kernel(), from, to)?;
        for session in &mut list {
            let id = session["session"].as_u64().unwrap_or(0) as u32;
            session["rows"] = rows.of_session(antiphon_machine::SessionId(id)).into();
        }
        Ok(problem::plain(&list))
    }

    /// A session in full: the state of each role's automaton, buffers, effects. `undefined` when
    /// the session does not exist at this point.
    #[wasm_bindgen(unchecked_return_type = "Session | undefined")]
    pub fn session(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] session: &JsValue,
    ) -> Result<JsValue, JsValue> {
        Ok(session_in_full(self.player.kernel(), session)?)
    }
}

pub(crate) fn rows(
    rows: &std::cell::RefCell<crate::rows::Rows>,
    from: &JsValue,
    to: &JsValue,
    filter: &JsValue,
) -> Result<JsValue, Problem> {
    let (from, to) = (count(from, "from")?, count(to, "to")?);
    if to.saturating_sub(from) > WINDOW_MAX {
        let message = format!("a window has at most {WINDOW_MAX} rows");
        return Err(Problem::new("bad_argument", message).at("to"));
    }
    let filter = problem::data(filter, "filter")?;
    let mut rows = rows.borrow_mut();
    let window = rows.window(from as usize, to as usize, filter);
    Ok(problem::plain(&window.map_err(of_filter)?))
}

/// The maximum number of rows returned at once: more than fits on a screen.
const WINDOW_MAX: u64 = 10_000;

fn of_filter(message: String) -> Problem {
    Problem::new("bad_argument", message).at("filter.kinds")
}

/// The sessions in a range of numbers as data, at most [`WINDOW_MAX`].
pub(crate) fn sessions(
    kernel: &antiphon_machine::ProtocolMachineKernel,
    from: &JsValue,
    to: &JsValue,
) -> Result<Vec<serde_json::Value>, Problem> {
    let len = kernel.sessions().len() as u64;
    let from = count_or(from, "from", 0)?.min(len);
    let to = count_or(to, "to", len)?.clamp(from, len);
    let to = to.min(from + WINDOW_MAX);
    let briefs = (from..to).filter_map(|n| view::brief(kernel, n as u32));
    Ok(briefs
        .filter_map(|brief| serde_json::to_value(brief).ok())
        .collect())
}

/// A session in full, or `undefined`.
pub(crate) fn session_in_full(
    kernel: &antiphon_machine::ProtocolMachineKernel,
    session: &JsValue,
) -> Result<JsValue, Problem> {
    let number = u32::try_from(count(session, "session")?).ok();
    let full = number.and_then(|number| view::full(kernel, number));
    Ok(full.map_or(JsValue::UNDEFINED, |full| problem::plain(&full)))
}

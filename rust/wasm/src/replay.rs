//! Recordings in JavaScript.

use wasm_bindgen::prelude::*;

use crate::image::describe;
use crate::player::Player;
use crate::problem::{self, Problem, count, count_or, hex};
use crate::rows::Filter;
use crate::view;

/// A recording and its replay, which can be looked at from any step.
///
/// `index` replays: call it until it says that the recording is over, a slice of steps at a time, and show what is there
/// in between. Rows are there as far as was indexed, and `seek` goes as far.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Replay {
    player: Player,
}

#[wasm_bindgen]
impl Replay {
    /// Opens a recording. Throws when nothing of it is of use; damage further on is found by `index` and told by
    /// `findings`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array | ArrayBuffer")] bytes: &JsValue,
    ) -> Result<Replay, JsValue> {
        let player = Player::open(problem::bytes(bytes, "bytes")?)?;
        Ok(Replay { player })
    }

    /// How the recording begins: the tool that wrote it, notes, the protocol's text.
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

    /// Replays so many steps further, all that are left when no number is given. `true`: the recording is over.
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

    /// How many steps were replayed so far.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> f64 {
        self.player.indexed() as f64
    }

    /// How many rows there are so far.
    #[wasm_bindgen(getter, js_name = rowCount)]
    pub fn row_count(&self) -> f64 {
        self.player.rows().borrow().len() as f64
    }

    /// What was found so far: equal or not, where and why not, how the recording ends, counts and digests. Linear in the
    /// state.
    #[wasm_bindgen(unchecked_return_type = "Findings")]
    pub fn findings(&self) -> JsValue {
        problem::plain(&self.player.findings())
    }

    /// The rows `from` to `to`, `to` not among them, of those under the filter.
    #[wasm_bindgen(unchecked_return_type = "Rows")]
    pub fn rows(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] from: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "number")] to: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Filter")] filter: &JsValue,
    ) -> Result<JsValue, JsValue> {
        Ok(rows(self.player.rows(), from, to, filter)?)
    }

    /// Where the next row with this text in its line stands, under the filter, at or after `from`; backwards the last one
    /// before it. `undefined`: there is none.
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

    /// How many rows under the filter have happened when so many steps were taken: where the step stands among them.
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

    /// A row in full, by its number among all: what its line shortens, and where the rest of its effect is. `undefined`:
    /// there is no such row. It costs a replay of some thousand steps.
    #[wasm_bindgen(unchecked_return_type = "RowDetail | undefined")]
    pub fn detail(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number")] row: &JsValue,
    ) -> Result<JsValue, JsValue> {
        let row = count(row, "row")?;
        let detail = self.player.detail(row as usize);
        Ok(detail.map_or(JsValue::UNDEFINED, |detail| problem::plain(&detail)))
    }

    /// The images that were loaded so far, as data.
    #[wasm_bindgen(unchecked_return_type = "ImageDescription[]")]
    pub fn images(&self) -> JsValue {
        let rows = self.player.rows().borrow();
        let images: Vec<_> = rows.images().map(describe).collect();
        problem::plain(&images)
    }

    /// How many steps were taken where the replay is looked at.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> f64 {
        self.player.step() as f64
    }

    /// Goes to where so many steps were taken, and everything that came in before the next one. Throws `beyond_end` when
    /// that was not indexed.
    pub fn seek(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] step: &JsValue,
    ) -> Result<(), JsValue> {
        Ok(self.player.seek(count(step, "step")?)?)
    }

    /// Goes to just after a row: its number is that of the row among all, its field `row`.
    #[wasm_bindgen(js_name = seekRow)]
    pub fn seek_row(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] row: &JsValue,
    ) -> Result<(), JsValue> {
        let row = count(row, "row")?;
        let step = {
            let rows = self.player.rows().borrow();
            if row >= rows.len() as u64 {
                let message = format!("row {row} is beyond the {} rows there are", rows.len());
                return Err(Problem::new("beyond_end", message).at("row").into());
            }
            rows.after(row as usize)
        };
        Ok(self.player.seek(step.min(self.player.indexed()))?)
    }

    /// Goes so many steps on, or to the end of what was indexed if that is nearer. The step it is at then.
    pub fn forward(
        &mut self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] steps: &JsValue,
    ) -> Result<f64, JsValue> {
        let to = self.player.step() + count_or(steps, "steps", 1)?;
        self.player.seek(to.min(self.player.indexed()))?;
        Ok(self.step())
    }

    /// Goes so many steps back, or to the start. The step it is at then.
    pub fn back(
        &mut self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] steps: &JsValue,
    ) -> Result<f64, JsValue> {
        let steps = count_or(steps, "steps", 1)?;
        self.player.seek(self.player.step().saturating_sub(steps))?;
        Ok(self.step())
    }

    /// The clock where the replay is looked at.
    #[wasm_bindgen(getter)]
    pub fn clock(&self) -> f64 {
        self.player.kernel().clock() as f64
    }

    /// The digest of the machine's state where the replay is looked at. Linear in the state.
    #[wasm_bindgen(js_name = stateDigest)]
    pub fn state_digest(&self) -> String {
        hex(&self.player.kernel().state_digest())
    }

    /// How many sessions there are where the replay is looked at.
    #[wasm_bindgen(getter, js_name = sessionCount)]
    pub fn session_count(&self) -> usize {
        self.player.kernel().sessions().len()
    }

    /// The sessions from one number to another, in a line each.
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

    /// A session in full: where each role stands in its automaton, buffers, effects. `undefined`: it is not there (yet).
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

/// Rows that are given out at a time: more than any screen shows.
const WINDOW_MAX: u64 = 10_000;

fn of_filter(message: String) -> Problem {
    Problem::new("bad_argument", message).at("filter.kinds")
}

/// Sessions as data, a window of them at most.
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

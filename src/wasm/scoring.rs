//! `Engine` of a page that scores alone: what of the ranking one's face a scorer calls.

use super::scores::{self, Scores};
use super::thrown;
use crate::scorer::Scorer;
use wasm_bindgen::prelude::*;

/// An opened bundle.
#[wasm_bindgen]
pub struct Engine {
    scorer: Scorer,
    scores: Scores,
}

#[wasm_bindgen]
impl Engine {
    /// Opens a bundle, with the host's hash of its content if there is one; throws `{code, message}`. Nobody asks a scorer
    /// for the file's own digest: a large bundle is hashed once.
    #[wasm_bindgen(constructor)]
    pub fn new(bundle: Box<[u8]>, hash: &[u8]) -> Result<Engine, JsValue> {
        let hashes = <[u8; 32]>::try_from(hash).ok().map(|content| [content; 2]);
        let scorer = Scorer::open_hashed(bundle, hashes.as_ref()).map_err(|e| thrown(&e))?;
        let scores = Scores::new(&scorer.engine);
        Ok(Engine { scorer, scores })
    }

    /// Whether the instance was ever refused memory: what a trap was, if one came. It may be asked after one.
    pub fn out_of_memory() -> bool {
        crate::heap::refused()
    }

    /// What the face needs to know, as JSON: objects made one property at a time are ten more functions that a page compiles
    /// before its first score. A ranker's lists are empty or, where only a ranking reads them, not there.
    pub fn info(&self) -> String {
        let Scorer { name, version, numerics, size, self_test_rows, .. } = &self.scorer;
        let mut json = String::from(r#"{"digests":{},"heads":[],"columns":[],"signals":[],"name":"#);
        crate::json::quote(name, &mut json);
        let numbers = [
            (r#","version":"#, *version),
            (r#","numerics":"#, u64::from(*numerics)),
            (r#","size_bytes":"#, *size as u64),
            (r#","self_test_rows":"#, *self_test_rows as u64),
        ];
        for (name, number) in numbers {
            json.push_str(name);
            crate::json::push_digits(number, &mut json);
        }
        scores::ports(&self.scorer.engine, &mut json);
        json.push('}');
        json
    }

    /// The memory in which arrays are written and read.
    pub fn memory(&self) -> JsValue {
        wasm_bindgen::memory()
    }

    /// Makes room for so many candidates: where the addresses of the inputs, then of the outputs stand.
    pub fn score_room(&mut self, rows: f64) -> Result<usize, JsValue> {
        // What is no number of candidates becomes the nearest that is; too many are refused.
        self.scores.room(&self.scorer.engine, rows as usize).map_err(|e| thrown(&e))
    }

    /// Scores an array for each input, or, of prepared candidates, for each that they leave open.
    pub fn score(&mut self, prepared: u32, rows: usize) -> Result<(), JsValue> {
        self.scores.score(&mut self.scorer.engine, prepared, rows).map_err(|e| thrown(&e))
    }

    /// Keeps the inputs that are named by number.
    pub fn score_prepare(&mut self, ports: &[u32], rows: i32) -> Result<u32, JsValue> {
        self.scores.prepare(&mut self.scorer.engine, ports, rows).map_err(|e| thrown(&e))
    }

    /// Forgets prepared candidates.
    pub fn score_free(&mut self, prepared: u32) {
        self.scores.free(prepared);
    }
}

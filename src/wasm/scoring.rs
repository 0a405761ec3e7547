//! `Engine` of a page that scores alone: what of the ranking one's face a scorer calls.

use super::{object, scores, thrown};
use crate::error::ErrorKind;
use crate::scorer::Scorer;
use js_sys::{Array, Object};
use wasm_bindgen::prelude::*;

/// An opened bundle.
#[wasm_bindgen]
pub struct Engine {
    scorer: Scorer,
}

#[wasm_bindgen]
impl Engine {
    /// Opens a bundle; throws `{code, message}`.
    #[wasm_bindgen(constructor)]
    pub fn new(bundle: &[u8]) -> Result<Engine, JsValue> {
        Scorer::open(bundle).map(|scorer| Engine { scorer }).map_err(|e| thrown(&e))
    }

    /// What the face needs to know. The lists of a ranker are empty.
    pub fn info(&self) -> Object {
        let scorer = &self.scorer;
        let none = || JsValue::from(Array::new());
        let digests = object([("bundle", scorer.digest.as_str().into()), ("schema", "".into()), ("policy", "".into())]);
        let reasons: Array = ErrorKind::REASONS.iter().map(|r| JsValue::from(r.code())).collect();
        object([
            ("name", scorer.name.as_str().into()),
            ("version", (scorer.version as f64).into()),
            ("numerics", scorer.numerics.into()),
            ("digests", digests.into()),
            ("heads", none()),
            ("columns", none()),
            ("size_bytes", scorer.size.into()),
            ("self_test_rows", scorer.self_test_rows.into()),
            ("suppressed_ms", Array::of2(&0.into(), &0.into()).into()),
            ("signals", none()),
            ("reasons", reasons.into()),
            ("constraints", none()),
        ])
    }

    /// Inputs and outputs of the plan.
    pub fn scorer_info(&self) -> Object {
        scores::info(&self.scorer.engine)
    }

    /// Scores: `{name: {data, dims}}` to `{name: {data, dims}}`.
    pub fn score(&mut self, inputs: &Object) -> Result<Object, JsValue> {
        scores::score(&mut self.scorer.engine, inputs).map_err(|e| thrown(&e))
    }
}

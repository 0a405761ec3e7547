//! What the engine's issue wants to be shown, beside what was seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::document::{Document, Model, NATIVE, RANKLET, WEB};
use super::paint::Paint;

/// One row of the list of goals, with its answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub work: String,
    /// In words: `>= 3.5x`.
    pub wanted: String,
    /// By place (`Node`, `Chromium`, or nothing for what has none), in the goal's unit.
    pub seen: BTreeMap<String, f64>,
    /// Everywhere it was seen; none where it was not measured.
    pub met: Option<bool>,
    /// What the plot needs of a goal against a peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// A goal against a peer at one length of one model.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mark {
    model: String,
    rows: usize,
    form: Form,
    peer: String,
    times: f64,
}

/// How ranklet scores what the peer runs in full, in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Full,
    /// On a prepared list, a new context.
    Prepared,
    /// With weights of 8 bits.
    Integers,
}

/// What a number is compared with.
#[derive(Clone, Copy)]
enum Bound {
    /// How many times as long a peer takes.
    Times(f64),
    /// At least this share.
    Share(f64),
    /// At most this many bytes.
    Bytes(f64),
}

impl Bound {
    fn words(self) -> String {
        match self {
            Bound::Times(1.0) => "faster".into(),
            Bound::Times(bound) => format!(">= {bound}x"),
            Bound::Share(bound) => format!(">= {:.0} %", 100.0 * bound),
            Bound::Bytes(bound) => format!("<= {bound:.0} B"),
        }
    }

    fn holds(self, value: f64) -> bool {
        match self {
            Bound::Times(1.0) => value > 1.0,
            Bound::Times(bound) | Bound::Share(bound) => value >= bound,
            Bound::Bytes(bound) => value <= bound,
        }
    }

    fn answer(self, work: String, seen: impl IntoIterator<Item = (&'static str, Option<f64>)>) -> Answer {
        let seen: BTreeMap<String, f64> =
            seen.into_iter().filter_map(|(place, value)| Some((place.to_owned(), value?))).collect();
        let met = (!seen.is_empty()).then(|| seen.values().all(|value| self.holds(*value)));
        Answer { work, wanted: self.words(), seen, met, mark: None }
    }
}

/// `(model, rows, times)` of full runs against onnxruntime-web.
const AGAINST_WEB: [(&str, usize, f64); 15] = [
    ("mlp-64-128-64-1", 10, 3.5),
    ("mlp-64-128-64-1", 100, 2.7),
    ("mlp-64-128-64-1", 1000, 2.7),
    ("mlp-256-512-256-128-1", 10, 1.9),
    ("mlp-256-512-256-128-1", 100, 2.0),
    ("mlp-256-512-256-128-1", 1000, 1.9),
    ("lightgbm-regressor", 10, 4.0),
    ("lightgbm-regressor", 100, 4.0),
    ("lightgbm-regressor", 1000, 4.5),
    ("lightgbm-classifier", 100, 6.0),
    ("lightgbm-classifier", 1000, 5.0),
    ("multi-task", 10, 4.0),
    ("multi-task", 100, 6.0),
    ("multi-task", 1000, 6.0),
    ("two-towers", 1000, 2.5),
];

/// `(model, rows)` of full runs that are to be faster than onnxruntime native.
const AGAINST_NATIVE: [(&str, usize); 6] = [
    ("lightgbm-regressor", 100),
    ("lightgbm-regressor", 1000),
    ("lightgbm-classifier", 100),
    ("lightgbm-classifier", 1000),
    ("multi-task", 100),
    ("multi-task", 1000),
];

/// `(model, rows, times, peer)` of prepared lists against the peer's full run.
const PREPARED: [(&str, usize, f64, &str); 3] =
    [("multi-task", 100, 8.0, WEB), ("two-towers", 1000, 30.0, WEB), ("two-towers", 1000, 1.0, NATIVE)];

/// `(model, rows, times)` with weights of 8 bits against onnxruntime-web's f32.
const INTEGERS: [(&str, usize, f64); 3] =
    [("mlp-256-512-256-128-1", 10, 3.5), ("mlp-256-512-256-128-1", 100, 3.5), ("mlp-256-512-256-128-1", 1000, 3.5)];

/// Lengths of list at which dense layers are set beside the bare loop.
const LEAST_DENSE_ROWS: usize = 100;
const BARE: f64 = 0.9;
const COLD: f64 = 30.0;
const BROTLI: f64 = 110_000.0;
const BROTLI_SCORER: f64 = 80_000.0;
const MEMORY: f64 = 8e6;

/// Of the document's brotli bytes: `createScorer` alone, where it is built apart.
pub const SCORER: &str = "ranklet, scorer alone";

/// Every goal in the order.
pub fn answers(document: &Document) -> Vec<Answer> {
    let mut answers = bare(document);
    for (name, rows, times) in AGAINST_WEB {
        answers.push(against(document, name, rows, Form::Full, WEB, times));
    }
    for (name, rows) in AGAINST_NATIVE {
        answers.push(against(document, name, rows, Form::Full, NATIVE, 1.0));
    }
    for (name, rows, times, peer) in PREPARED {
        answers.push(against(document, name, rows, Form::Prepared, peer, times));
    }
    for (name, rows, times) in INTEGERS {
        answers.push(against(document, name, rows, Form::Integers, WEB, times));
    }
    answers.extend(cold(document));
    for (name, bound) in [(RANKLET, BROTLI), (SCORER, BROTLI_SCORER)] {
        let seen = document.brotli.get(name).map(|bytes| *bytes as f64);
        answers.push(Bound::Bytes(bound).answer(format!("brotli, {name}"), [("", seen)]));
    }
    answers.extend(memory(document));
    answers
}

fn places(document: &Document, seen: impl Fn(&[Model]) -> Option<f64>) -> [(&'static str, Option<f64>); 2] {
    let page = document.page.as_ref().and_then(|page| seen(&page.models));
    [("Node", seen(&document.models)), ("Chromium", page)]
}

fn find<'a>(models: &'a [Model], name: &str) -> Option<&'a Model> {
    models.iter().find(|model| model.name == name)
}

fn title<'a>(document: &'a Document, name: &'a str) -> &'a str {
    find(&document.models, name).map_or(name, |model| model.title.as_str())
}

/// Against a peer's full run.
fn against(document: &Document, name: &str, rows: usize, form: Form, peer: &str, times: f64) -> Answer {
    let seen = places(document, |models| {
        let model = find(models, name)?;
        let lists = match form {
            Form::Full => &model.lists,
            Form::Prepared => &model.prepared,
            Form::Integers => &model.integers,
        };
        Some(lists.iter().find(|list| list.rows == rows)?.ratios.get(peer)?.median)
    });
    let how = match form {
        Form::Full => "",
        Form::Prepared => ", prepared",
        Form::Integers => ", 8 bits",
    };
    let work = format!("{}, N = {rows}{how}, {peer}", title(document, name));
    let mark = Mark { model: name.into(), rows, form, peer: peer.into(), times };
    Answer { mark: Some(mark), ..Bound::Times(times).answer(work, seen) }
}

/// ranklet's whole call, with everything around the layers, beside the bare loop over the same layers.
fn bare(document: &Document) -> Vec<Answer> {
    let share = |models: &[Model], name: &str, rows: usize| {
        let list = find(models, name)?.lists.iter().find(|list| list.rows == rows)?;
        Some(list.bare_share.as_ref()?.median)
    };
    let mut answers = Vec::new();
    for model in &document.models {
        for list in model.lists.iter().filter(|list| list.rows >= LEAST_DENSE_ROWS && !list.bare.is_empty()) {
            let work = format!("{}, N = {}, of the bare 4 x 8 tile", model.title, list.rows);
            let seen = places(document, |models| share(models, &model.name, list.rows));
            answers.push(Bound::Share(BARE).answer(work, seen));
        }
    }
    answers
}

/// In Chromium alone: that is where a start is felt.
fn cold(document: &Document) -> Vec<Answer> {
    let models = document.page.iter().flat_map(|page| &page.models);
    let answer = |model: &Model| {
        let times = model.cold.get(WEB).zip(model.cold.get(RANKLET)).map(|(peer, own)| peer.ms / own.ms);
        Bound::Times(COLD).answer(format!("cold start, {}", model.title), [("Chromium", times)])
    };
    models.map(answer).collect()
}

fn memory(document: &Document) -> Vec<Answer> {
    let first = document.models.first();
    let bytes = first.and_then(|model| model.cold.get(RANKLET)?.memory);
    let what = first.map_or("", |model| model.title.as_str());
    let mut answers = vec![Bound::Bytes(MEMORY).answer(format!("linear memory, {what}, N = 1000"), [("Node", bytes)])];
    for flat in &document.flat {
        let work = format!("memory grown, N = {}, {} calls", flat.rows, flat.calls);
        let grown = flat.after.saturating_sub(flat.before) as f64;
        answers.push(Bound::Bytes(0.0).answer(work, [("Node", Some(grown))]));
    }
    answers
}

/// For people: goal, what was seen where, met or missed.
pub fn table(answers: &[Answer], paint: &Paint) -> String {
    let head = format!("{:<58}  {:>11}  {:>9}  {:>9}", "", "goal", "Node", "Chromium");
    let mut text = format!("{}\n{}\n", paint.bold("goals"), paint.dim(&head));
    for answer in answers {
        let show = |value: &f64| match answer.wanted.as_str() {
            wanted if wanted.ends_with('%') => format!("{:.0} %", 100.0 * value),
            wanted if wanted.ends_with('B') => format!("{value:.0}"),
            _ => format!("{value:.2}x"),
        };
        let cell = |place: &str| answer.seen.get(place).map_or_else(|| "–".into(), show);
        // What has no place stands in the first column.
        let first = if answer.seen.contains_key("") { cell("") } else { cell("Node") };
        let verdict = match answer.met {
            Some(true) => paint.good("met"),
            Some(false) => paint.bad("missed"),
            None => paint.dim("not measured"),
        };
        let (work, wanted, second) = (&answer.work, &answer.wanted, cell("Chromium"));
        text.push_str(&format!("{work:<58}  {wanted:>11}  {first:>9}  {second:>9}  {verdict}\n"));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::document::tests::document;

    fn answer<'a>(answers: &'a [Answer], work: &str) -> &'a Answer {
        answers.iter().find(|answer| answer.work == work).unwrap()
    }

    #[test]
    fn a_goal_is_met_only_where_every_place_meets_it() {
        let mut document = document();
        let work = "MLP 64-128-64-1, N = 100, onnxruntime-web";
        let all = answers(&document);
        assert_eq!(answer(&all, work).seen["Node"], 2.75);
        assert_eq!(answer(&all, work).met, Some(true));
        let mut models: Vec<Model> = serde_json::from_value(serde_json::to_value(&document.models).unwrap()).unwrap();
        models[0].lists[0].ratios.get_mut(WEB).unwrap().median = 2.6;
        document.page = Some(super::super::document::Page { version: String::new(), models });
        assert_eq!(answer(&answers(&document), work).met, Some(false));
        assert_eq!(answer(&all, "multi-task, N = 10, onnxruntime-web").met, None);
    }

    #[test]
    fn a_model_is_set_beside_the_bare_loop_and_memory_beside_nothing() {
        let all = answers(&document());
        let share = answer(&all, "MLP 64-128-64-1, N = 100, of the bare 4 x 8 tile");
        assert_eq!(share.seen["Node"], 0.82);
        assert_eq!(share.met, Some(false));
        assert_eq!(answer(&all, "memory grown, N = 1000, 20 calls").met, Some(false));
        assert_eq!(answer(&all, "brotli, ranklet").met, Some(true));
        let text = table(&all, &Paint::new(false));
        assert!(text.contains("missed") && text.contains("82 %"), "{text}");
    }
}

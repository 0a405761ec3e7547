//! Fills the model's matrix, row by row.

use super::schema::{Aggregate, Encode, Feature, Kind, Schema, Transform};
use super::source::{Layout, Source, Sources, resolve};
use super::table::Table;
use crate::context::{Context, ContextSpec, Signal, Subject, parse_duration};
use crate::error::Result;
use crate::sorted::sorted;
use ranklet_kernels::{hash::hash64, math::f64 as math};

/// A transform with everything resolved.
#[derive(Debug, Clone)]
enum Step {
    Log1p,
    Clip(f64, f64),
    Standardise(f64, f64),
    Bucketise(Vec<f64>),
    Quantile(Vec<f64>),
    Age(f64),
    Ratio(Source),
    Product(Source),
    IsMissing,
}

#[derive(Debug, Clone)]
enum Reader {
    Number(Source),
    Vocabulary { source: Source, index: Vocabulary, one_hot: bool },
    Hash { source: Source, buckets: u64 },
    Related { source: Source, signal: Signal, aggregate: Aggregate },
}

#[derive(Debug, Clone)]
struct Plan {
    first: usize,
    width: usize,
    reader: Reader,
    steps: Vec<Step>,
    missing: Option<f64>,
    dynamic: bool,
    /// Whether its columns are the same for all candidates of a request.
    #[cfg(feature = "compile")]
    shared: bool,
}

/// A schema with every path, signal and vocabulary resolved.
#[derive(Debug, Clone)]
pub struct Encoder {
    layout: Layout,
    features: Vec<Plan>,
    width: usize,
}

/// What a matrix is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The request's columns.
    pub table: &'a Table,
    /// Where it is shown.
    pub surface: Option<&'a str>,
    /// What the session knows.
    pub context: &'a Context,
    /// Milliseconds since the epoch.
    pub now: f64,
}

/// What one row is computed from.
struct Row<'a> {
    table: &'a Table,
    row: usize,
    surface: Option<&'a str>,
    context: &'a Context,
    /// On the grid of the context's step.
    now: f64,
    subject: Subject<'a>,
}

impl Encoder {
    /// Resolves `schema` against the signals of `spec`.
    ///
    /// # Errors
    /// `schema_mismatch` names the feature and the mend.
    #[inline(never)]
    pub fn new(schema: &Schema, spec: &ContextSpec) -> Result<Encoder> {
        schema.check()?;
        let (layout, sources) = resolve(schema, spec)?;
        let mut features = Vec::with_capacity(sources.len());
        let mut first = 0;
        for (f, s) in schema.features.iter().zip(sources) {
            let steps = steps(f, &s)?;
            let dynamic = s.own.is_dynamic()
                || s.signal.is_some()
                || s.by.iter().any(|b| b.is_dynamic())
                || steps.iter().any(|s| matches!(s, Step::Age(_)));
            let width = f.width();
            features.push(Plan {
                first,
                width,
                reader: reader(f, &s),
                steps,
                missing: f.missing,
                dynamic,
                #[cfg(feature = "compile")]
                shared: s.signal.is_none() && s.own.is_shared() && s.by.iter().all(|by| by.is_shared()),
            });
            first += width;
        }
        Ok(Encoder { layout, features, width: first })
    }

    /// The columns that a request is read into.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Columns of the matrix.
    pub fn width(&self) -> usize {
        self.width
    }

    /// For each column of the matrix, whether it is the same for all candidates of a request.
    #[cfg(feature = "compile")]
    pub fn shared_columns(&self) -> Vec<bool> {
        self.features.iter().flat_map(|f| std::iter::repeat_n(f.shared, f.width)).collect()
    }

    /// Fills `matrix` `[table.len(), width]`: all of it, or only what local signals and the clock can have
    /// changed. `changed[row]` becomes true where a bit differs from before.
    pub fn encode(&self, scene: &Scene<'_>, only_dynamic: bool, matrix: &mut [f32], changed: &mut [bool]) {
        let Scene { table, surface, context, now } = *scene;
        let now = context.quantise(now);
        for (row, (cells, changed)) in matrix.chunks_exact_mut(self.width.max(1)).zip(changed).enumerate() {
            let subject = table.subject(row, surface);
            let scope = Row { table, row, surface, context, now, subject };
            for f in self.features.iter().filter(|f| f.dynamic || !only_dynamic) {
                *changed |= f.fill(&scope, &mut cells[f.first..f.first + f.width]);
            }
        }
    }
}

#[inline(never)]
fn steps(f: &Feature, s: &Sources) -> Result<Vec<Step>> {
    let mut by = s.by.iter().copied();
    let mut next = || by.next().unwrap_or(Source::Hour);
    f.transforms
        .iter()
        .map(|t| {
            Ok(match t {
                Transform::Log1p => Step::Log1p,
                Transform::Clip { low, high } => Step::Clip(*low, *high),
                Transform::Standardise { mean, std } => Step::Standardise(*mean, *std),
                Transform::Bucketise { edges } => Step::Bucketise(edges.clone()),
                Transform::Quantile { knots } => Step::Quantile(knots.clone()),
                Transform::Age { unit } => Step::Age(parse_duration(unit)?),
                Transform::Ratio { .. } => Step::Ratio(next()),
                Transform::Product { .. } => Step::Product(next()),
                Transform::IsMissing => Step::IsMissing,
            })
        })
        .collect()
}

#[inline(never)]
fn reader(f: &Feature, s: &Sources) -> Reader {
    match (f.kind, s.signal, f.hash_buckets) {
        (Kind::Related, Some(signal), _) => Reader::Related { source: s.own, signal, aggregate: f.aggregate },
        (Kind::Categorical, _, Some(buckets)) => Reader::Hash { source: s.own, buckets: u64::from(buckets) },
        (Kind::Categorical, ..) => {
            let index = Vocabulary::new(&f.vocabulary);
            Reader::Vocabulary { source: s.own, index, one_hot: f.encode == Encode::OneHot }
        }
        _ => Reader::Number(s.own),
    }
}

/// Values and their places, sorted by value.
#[derive(Debug, Clone)]
struct Vocabulary {
    values: Vec<String>,
    /// Places in the order of the values.
    order: Vec<usize>,
}

impl Vocabulary {
    fn new(values: &[String]) -> Self {
        let order = sorted(values.len(), &|a, b| values[a].cmp(&values[b]));
        Vocabulary { values: values.to_vec(), order }
    }

    /// Place of `text`; of a value that stands twice the first.
    fn place(&self, text: &str) -> Option<usize> {
        let at = self.order.partition_point(|&i| self.values[i].as_str() < text);
        self.order.get(at).copied().filter(|&i| self.values[i] == text)
    }
}

/// Writes `x` and tells whether the bits changed; every NaN is the same NaN.
fn put(cell: &mut f32, x: f64) -> bool {
    let x = x as f32;
    let x = if x.is_nan() { f32::NAN } else { x };
    let differs = cell.to_bits() != x.to_bits();
    *cell = x;
    differs
}

impl Plan {
    fn fill(&self, row: &Row<'_>, cells: &mut [f32]) -> bool {
        if let Reader::Vocabulary { source, index, one_hot: true } = &self.reader {
            let at = row.text(*source).and_then(|t| index.place(t));
            let mut changed = false;
            for (i, cell) in cells.iter_mut().enumerate() {
                changed |= put(cell, if at == Some(i) { 1.0 } else { 0.0 });
            }
            return changed;
        }
        let mut x = match &self.reader {
            Reader::Number(source) => row.number(*source),
            Reader::Vocabulary { source, index, .. } => {
                row.text(*source).map_or(f64::NAN, |t| index.place(t).map_or(-1.0, |i| i as f64))
            }
            Reader::Hash { source, buckets } => row.text(*source).map_or(f64::NAN, |t| (hash64(t) % buckets) as f64),
            Reader::Related { source, signal, aggregate } => row.related(*source, *signal, *aggregate),
        };
        for step in &self.steps {
            x = step.apply(x, row);
        }
        if x.is_nan() {
            x = self.missing.unwrap_or(x);
        }
        put(&mut cells[0], x)
    }
}

impl Row<'_> {
    fn number(&self, source: Source) -> f64 {
        match source {
            Source::Candidate(c) => self.table.number(c, self.row),
            Source::Request(c) => self.table.request_number(c),
            Source::ServerRank => (self.row + 1) as f64,
            Source::Hour => libm::floor(libm::fmod(self.now, 86_400e3) / 3_600e3),
            Source::Local(signal) => self.context.value(signal, &self.subject, self.now),
            Source::Surface => f64::NAN,
        }
    }

    fn text(&self, source: Source) -> Option<&str> {
        match source {
            Source::Candidate(c) => self.table.text(c, self.row),
            Source::Request(c) => self.table.request_text(c),
            Source::Surface => self.surface,
            _ => None,
        }
    }

    fn related(&self, source: Source, signal: Signal, aggregate: Aggregate) -> f64 {
        let keys = match source {
            Source::Candidate(c) => self.table.texts(c, self.row),
            Source::Request(c) => self.table.request_texts(c),
            _ => &[],
        };
        let Signal::Counter(_, kind, h) = signal else { return f64::NAN };
        let values = keys.iter().map(|k| self.context.key_counter(k, kind, h, self.now));
        values.fold(0.0, |sum, v| match aggregate {
            Aggregate::Sum => sum + v,
            Aggregate::Max => math::max(sum, v),
        })
    }
}

impl Step {
    fn apply(&self, x: f64, row: &Row<'_>) -> f64 {
        if let Step::IsMissing = self {
            return if x.is_nan() { 1.0 } else { 0.0 };
        }
        if x.is_nan() {
            return x;
        }
        match self {
            Step::Log1p => math::ln_1p(math::max(x, 0.0)),
            Step::Clip(low, high) => math::clamp(x, *low, *high),
            Step::Standardise(mean, std) => (x - mean) / std,
            Step::Bucketise(edges) => edges.partition_point(|e| *e <= x) as f64,
            Step::Quantile(knots) => quantile(knots, x),
            Step::Age(unit) => (row.now - x) / unit,
            Step::Ratio(by) => {
                let by = row.number(*by);
                if by == 0.0 { f64::NAN } else { x / by }
            }
            Step::Product(by) => x * row.number(*by),
            Step::IsMissing => x,
        }
    }
}

/// Rank of `x` among ascending `knots`, linear between them; of equal knots the last.
fn quantile(knots: &[f64], x: f64) -> f64 {
    let last = (knots.len() - 1) as f64;
    let above = knots.partition_point(|k| *k <= x);
    if above == 0 {
        return 0.0;
    }
    if above == knots.len() {
        return 1.0;
    }
    let (low, high) = (knots[above - 1], knots[above]);
    ((above - 1) as f64 + (x - low) / (high - low)) / last
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::*;
    use serde_json::{Value, json};

    fn encode(features: Value, candidate: Value, facts: Value) -> Vec<f32> {
        let schema: Schema = crate::json::from_value(&features).unwrap();
        let spec = ContextSpec::default();
        let encoder = Encoder::new(&schema, &spec).unwrap();
        let request: Request =
            crate::json::from_value(&json!({ "now": 7_200_000.0, "candidates": [candidate], "facts": facts })).unwrap();
        let table = Table::from_json(encoder.layout(), &request).unwrap();
        let mut matrix = vec![0.0; encoder.width()];
        let context = Context::new(&spec).unwrap();
        let scene = Scene { table: &table, surface: Some("assistant"), context: &context, now: request.now };
        encoder.encode(&scene, false, &mut matrix, &mut [false]);
        matrix
    }

    fn one(transforms: Value, x: Value) -> f32 {
        let feature = json!([{ "name": "x", "from": "candidate.features.x", "transforms": transforms }]);
        encode(feature, json!({ "id": 1, "features": { "x": x, "y": 4.0, "z": 0.0 } }), json!({}))[0]
    }

    #[test]
    fn each_transform_by_hand() {
        assert_eq!(one(json!([]), json!(2.5)), 2.5);
        assert_eq!(one(json!([]), json!(true)), 1.0);
        assert_eq!(one(json!([{ "op": "log1p" }]), json!(-3)), 0.0);
        assert!((one(json!([{ "op": "log1p" }]), json!(1)) - std::f32::consts::LN_2).abs() < 1e-7);
        assert_eq!(one(json!([{ "op": "clip", "low": 0, "high": 2 }]), json!(7)), 2.0);
        assert_eq!(one(json!([{ "op": "standardise", "mean": 1, "std": 2 }]), json!(5)), 2.0);
        let edges = json!([{ "op": "bucketise", "edges": [1, 2, 2, 5] }]);
        assert_eq!([0.5, 1.0, 2.0, 9.0].map(|x| one(edges.clone(), json!(x))), [0.0, 1.0, 3.0, 4.0]);
        let knots = json!([{ "op": "quantile", "knots": [0, 10, 20] }]);
        assert_eq!([-1.0, 5.0, 20.0].map(|x| one(knots.clone(), json!(x))), [0.0, 0.25, 1.0]);
        assert_eq!(one(json!([{ "op": "age", "unit": "1h" }]), json!(0)), 2.0);
        assert_eq!(one(json!([{ "op": "ratio", "by": "candidate.features.y" }]), json!(2)), 0.5);
        assert!(one(json!([{ "op": "ratio", "by": "candidate.features.z" }]), json!(2)).is_nan());
        assert_eq!(one(json!([{ "op": "product", "by": "candidate.features.y" }]), json!(2)), 8.0);
        assert_eq!(one(json!([{ "op": "product", "by": "candidate.server_rank" }]), json!(2)), 2.0);
        assert_eq!([json!(null), json!(1)].map(|x| one(json!([{ "op": "is_missing" }]), x)), [1.0, 0.0]);
    }

    #[test]
    fn missing_stays_missing_unless_replaced() {
        for x in [json!(null), json!("7"), json!([1])] {
            assert!(one(json!([{ "op": "log1p" }, { "op": "clip", "low": 0, "high": 1 }]), x).is_nan());
        }
        let feature = json!([{ "name": "x", "from": "candidate.features.x", "missing": -1.0 }]);
        assert_eq!(encode(feature, json!({ "id": 1 }), json!({})), [-1.0]);
    }

    #[test]
    fn categories() {
        let from = "candidate.type";
        let index = json!([{ "name": "t", "from": from, "kind": "categorical", "vocabulary": ["a", "b"] }]);
        let value = |t: Value| encode(index.clone(), json!({ "id": 1, "type": t }), json!({}))[0];
        assert_eq!((value(json!("b")), value(json!("z"))), (1.0, -1.0));
        assert!(value(json!(null)).is_nan());
        let hot = json!([
            { "name": "s", "from": "surface", "kind": "categorical", "vocabulary": ["ads_manager", "assistant"], "encode": "one_hot" },
            { "name": "h", "from": "facts.account.country", "kind": "categorical", "hash_buckets": 16 },
        ]);
        let row = encode(hot, json!({ "id": 1 }), json!({ "account": { "country": "NL" } }));
        assert_eq!(row[..2], [0.0, 1.0]);
        assert_eq!(row[2], (hash64("NL") % 16) as f32);
    }

    #[test]
    fn bad_schemas_are_refused_with_the_feature_named() {
        for (feature, word) in [
            (json!({ "name": "x", "from": "candidate.colour" }), "candidate.features.NAME"),
            (json!({ "name": "x", "from": "local.key.open.3h" }), "half-lives"),
            (json!({ "name": "x", "from": "surface" }), "categorical"),
            (json!({ "name": "x", "from": "surface", "kind": "categorical" }), "vocabulary"),
            (json!({ "name": "x", "from": "candidate.features.r", "kind": "related" }), "signal"),
            (
                json!({ "name": "x", "from": "candidate.value", "transforms": [{ "op": "age", "unit": "1 week" }] }),
                "duration",
            ),
            (
                json!({ "name": "x", "from": "candidate.value", "transforms": [{ "op": "standardise", "mean": 0, "std": 0 }] }),
                "std",
            ),
        ] {
            let schema: Schema = crate::json::from_value(&json!([feature])).unwrap();
            let error = Encoder::new(&schema, &ContextSpec::default()).unwrap_err().to_string();
            assert!(error.contains("`x`") || error.contains("duration"), "{error}");
            assert!(error.contains(word), "{error}");
        }
    }
}

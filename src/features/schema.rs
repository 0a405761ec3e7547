//! The declared schema: the `features` and `inputs` sections of a specification and of a bundle.

use super::transform::Transform;
use crate::error::{Error, ErrorKind, Result, detail};
use crate::json::{Notes, Read, read_names, read_struct};
use ranklet_kernels::sorted::sorted;
use serde::Serialize;

/// What a source's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number; a JSON boolean counts as 0 or 1.
    #[default]
    Numeric,
    /// The same, named for its meaning.
    Boolean,
    /// A text; integers and booleans count by their JSON text.
    Categorical,
    /// A list of keys, crossed with a key-scope signal of the local context.
    Related,
    /// A list of categories, a column each.
    List,
    /// A vector of `width` numbers.
    Embedding,
    /// The last `length` of a list (of numbers, vectors or categories) or of the local context, the oldest first.
    Sequence,
}

/// How categories become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encode {
    /// Its place in the vocabulary, or its hash bucket; missing stays missing.
    #[default]
    Index,
    /// One column a category; unknown and missing are all zeros.
    OneHot,
    /// Of a list: 1 where the category is in it.
    MultiHot,
    /// Of a list: how often the category is in it.
    Counts,
    /// Of a list: the share of its positions that hold the category (the mean of their one-hot rows).
    Mean,
    /// Of a sequence: 1 at each position that holds something.
    Mask,
}

/// How the signals of related keys are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Their sum.
    #[default]
    Sum,
    /// The largest.
    Max,
}

/// How many rows an input of the model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PerRow {
    /// One for the whole request.
    Request,
    /// One for each candidate.
    Candidate,
}

/// One of several inputs of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// The graph's own name for it.
    pub name: String,
    /// Left out: the request's where no feature of it depends on the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<PerRow>,
    /// Positions of an input `[rows, length, width]`: its features are sequences of this length, and stand side by side
    /// at each position. Without it they stand one after another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
}

/// One feature: a source, how it is read, and its transforms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feature {
    /// Unique name.
    pub name: String,
    /// Source path, e.g. `candidate.features.budget`, `facts.account.age`, `local.key.open.10m`.
    pub from: String,
    /// What the source's values are.
    pub kind: Kind,
    /// The input that it fills, where the model has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Numeric transforms, in order; of vectors and sequences on each number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
    /// Categories: known values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vocabulary: Vec<String>,
    /// Categories: form.
    pub encode: Encode,
    /// Categories without a vocabulary: number of hash buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_buckets: Option<u32>,
    /// Hash functions, a column each (1 by default): two categories rarely collide in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes: Option<u32>,
    /// Further categorical sources, hashed together with the first; missing where one is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cross: Vec<String>,
    /// Added to each place or bucket (0 by default), so that lower numbers are free for padding and the unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// The index of what is not in the vocabulary: -1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<f64>,
    /// Embedding: its numbers. Sequence of vectors: the numbers of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Sequence: its positions. List: how many of its first values are read (64 by default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Sequence: what positions behind its end hold (0 by default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<f64>,
    /// Related: the key-scope counter, e.g. `key.accept.10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Related: how the keys' values are joined.
    pub aggregate: Aggregate,
    /// Takes the place of NaN at the very end; without it missing stays NaN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<f64>,
}

/// All features, in the order of the model's columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Schema {
    /// In column order.
    pub features: Vec<Feature>,
}

impl Feature {
    /// Values of a list that are read when the schema names no number.
    pub const LIST: u32 = 64;
    /// Longest list or sequence.
    pub const MAX_LENGTH: u32 = 1024;
    /// Hash functions at most.
    pub const MAX_HASHES: u32 = 8;
    /// Columns of a feature at most.
    pub const MAX_WIDTH: u64 = 65_536;

    /// Categories that it tells apart; 0: its values are numbers.
    pub(crate) fn categories(&self) -> u64 {
        self.hash_buckets.map_or(self.vocabulary.len() as u64, u64::from)
    }

    /// Numbers of each position of a sequence, or of the whole feature.
    fn step(&self) -> u64 {
        match (self.kind, self.encode) {
            (Kind::List, _) | (_, Encode::OneHot) => self.categories(),
            (Kind::Embedding, _) => u64::from(self.width.unwrap_or(0)),
            (Kind::Sequence, Encode::Mask) => 1,
            (Kind::Categorical | Kind::Sequence, _) if self.categories() > 0 => u64::from(self.hashes.unwrap_or(1)),
            (Kind::Sequence, _) => u64::from(self.width.unwrap_or(1)),
            _ => 1,
        }
    }

    /// Positions: 1 but for a sequence.
    pub(super) fn positions(&self) -> u64 {
        if self.kind == Kind::Sequence { u64::from(self.length.unwrap_or(0)) } else { 1 }
    }

    /// Columns that it fills.
    pub fn width(&self) -> usize {
        (self.step() * self.positions()) as usize
    }

    /// Columns at each of its positions.
    pub(super) fn step_width(&self) -> usize {
        self.step() as usize
    }

    /// What is wrong with it, apart from its sources. What else a page's bundle may hold fills its columns somehow.
    #[cfg(not(feature = "compile"))]
    fn problem(&self) -> Option<&'static str> {
        let (step, positions) = (self.step(), self.positions());
        (step > Self::MAX_WIDTH || positions > Self::MAX_WIDTH || step * positions > Self::MAX_WIDTH).then_some("")
    }

    /// What is wrong with it, apart from its sources.
    #[cfg(feature = "compile")]
    fn problem(&self) -> Option<&'static str> {
        let categorical = matches!(self.kind, Kind::Categorical | Kind::List)
            || self.kind == Kind::Sequence && (self.categories() > 0 || self.encode == Encode::OneHot);
        let numbers = !categorical && self.encode != Encode::Mask;
        let encodes = match self.kind {
            Kind::Categorical => matches!(self.encode, Encode::Index | Encode::OneHot),
            Kind::List => matches!(self.encode, Encode::MultiHot | Encode::Counts | Encode::Mean),
            Kind::Sequence => matches!(self.encode, Encode::Index | Encode::OneHot | Encode::Mask),
            _ => self.encode == Encode::Index,
        };
        let one_column = !self.cross.is_empty() || self.hashes.is_some();
        let wants = |kind: bool, given: bool| kind != given;
        let problems = [
            (
                !encodes,
                "`encode`: a category takes index or one_hot, a list multi_hot, counts or mean, a sequence \
                        index, one_hot or mask",
            ),
            (!numbers && !self.transforms.is_empty(), "a categorical feature takes no transforms"),
            (
                !categorical && (self.categories() > 0 || self.hash_buckets.is_some()),
                "`vocabulary` and `hash_buckets` need `kind = \"categorical\"`, a list or a sequence of categories",
            ),
            (
                categorical && self.vocabulary.is_empty() == self.hash_buckets.is_none_or(|b| b == 0),
                "give either a `vocabulary` or `hash_buckets` above 0",
            ),
            (self.vocabulary.len() > 65_536, "a vocabulary has at most 65,536 entries"),
            (self.hash_buckets.is_none() && one_column, "`hashes` and `cross` need `hash_buckets`"),
            (
                self.hashes.is_some() && (self.encode != Encode::Index || self.kind == Kind::List),
                "`hashes` goes with `encode = \"index\"`",
            ),
            (self.hashes.is_some_and(|n| n == 0 || n > Self::MAX_HASHES), "`hashes` is 1 to 8"),
            (self.kind != Kind::Categorical && !self.cross.is_empty(), "`cross` needs `kind = \"categorical\"`"),
            (
                !(categorical && self.encode == Encode::Index) && self.offset.is_some(),
                "`offset` goes with categories as an index",
            ),
            (
                (self.vocabulary.is_empty() || self.encode != Encode::Index) && self.unknown.is_some(),
                "`unknown` goes with a vocabulary as an index",
            ),
            (
                wants(self.kind == Kind::Related, self.signal.is_some()),
                "`signal` goes with `kind = \"related\"`, and it needs one",
            ),
            (self.kind == Kind::Embedding && self.width.is_none_or(|w| w == 0), "an embedding needs its `width`"),
            (
                self.width.is_some() && !(self.kind == Kind::Embedding || self.kind == Kind::Sequence && !categorical),
                "`width` goes with an embedding or a sequence of vectors",
            ),
            (self.width == Some(0), "`width` is above 0"),
            (self.kind == Kind::Sequence && self.length.is_none(), "a sequence needs its `length`"),
            (
                self.length.is_some() && !matches!(self.kind, Kind::Sequence | Kind::List),
                "`length` goes with a sequence or a list",
            ),
            (self.length.is_some_and(|n| n == 0 || n > Self::MAX_LENGTH), "`length` is 1 to 1,024"),
            (self.kind != Kind::Sequence && self.padding.is_some(), "`padding` goes with a sequence"),
            (
                self.transforms.contains(&Transform::IsMissing)
                    && (self.transforms.len() > 1 || self.kind == Kind::Sequence),
                "is_missing must be the only transform, and not a sequence's: that has a mask",
            ),
            (
                self.encode == Encode::Index && self.categories() + u64::from(self.offset.unwrap_or(0)) > 1 << 24,
                "an f32 tells 16,777,216 categories apart, no more",
            ),
            (self.step() * self.positions() > Self::MAX_WIDTH, "a feature fills at most 65,536 columns"),
        ];
        let found = problems.iter().find(|(wrong, _)| *wrong).map(|(_, what)| detail(what));
        found.or_else(|| self.transforms.iter().find_map(Transform::problem))
    }
}

impl Schema {
    /// Features at most.
    pub const MAX_FEATURES: usize = 4096;

    /// Columns of all features.
    pub fn width(&self) -> usize {
        self.features.iter().map(Feature::width).sum()
    }

    /// A name for each column, feature after feature: the feature's; with `=value` for a column of a category, `[i]`
    /// for one of several numbers, `[position]` before either in a sequence.
    pub fn column_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for f in &self.features {
            let hot = f.categories() > 0 && f.kind != Kind::Categorical || f.encode == Encode::OneHot;
            let hot = hot && !matches!(f.encode, Encode::Index | Encode::Mask);
            for position in 0..f.positions() {
                let place = if f.kind == Kind::Sequence { format!("[{position}]") } else { String::new() };
                for i in 0..f.step_width() {
                    let column = match f.vocabulary.get(i) {
                        _ if f.step_width() == 1 && !hot => String::new(),
                        Some(value) if hot => format!("={value}"),
                        _ if hot => format!("={i}"),
                        _ => format!("[{i}]"),
                    };
                    names.push(format!("{}{place}{column}", f.name));
                }
            }
        }
        names
    }

    /// Checks what can be checked without sources.
    ///
    /// # Errors
    /// `schema_mismatch` names the feature or input and the mend.
    #[inline(never)]
    pub fn check(&self, inputs: &[Input]) -> Result<()> {
        if self.features.len() > Self::MAX_FEATURES {
            return Err(Error::new(ErrorKind::LimitExceeded, "a schema has at most 4096 features"));
        }
        let names = sorted(self.features.len(), &|a, b| self.features[a].name.cmp(&self.features[b].name));
        let twice = names.windows(2).filter(|two| self.features[two[0]].name == self.features[two[1]].name);
        // The first in the schema's order that repeats a name before it.
        let twice = twice.map(|two| two[1]).min();
        for (at, f) in self.features.iter().enumerate() {
            let bad = |what: &str| Err(Error::new(ErrorKind::SchemaMismatch, format!("feature `{}`: {what}", f.name)));
            if twice == Some(at) {
                return bad(detail("the name stands twice"));
            }
            if let Some(what) = f.problem() {
                return bad(what);
            }
            match (&f.input, inputs.iter().find(|input| Some(&input.name) == f.input.as_ref())) {
                (None, _) if !inputs.is_empty() => {
                    return bad(detail("say with `input` which of the [[inputs]] it fills"));
                }
                (Some(_), None) => return bad(detail("its `input` is none of the [[inputs]]")),
                (_, Some(input)) if input.length.is_some_and(|n| f.kind != Kind::Sequence || f.length != Some(n)) => {
                    return bad(detail("its input has a `length`, so it must be a sequence of that length"));
                }
                _ => {}
            }
        }
        for (i, input) in inputs.iter().enumerate() {
            let bad =
                |what: &str| Err(Error::new(ErrorKind::SchemaMismatch, format!("input `{}`: {what}", input.name)));
            if inputs[..i].iter().any(|other| other.name == input.name) {
                return bad(detail("the name stands twice"));
            }
            if !self.features.iter().any(|f| f.input.as_ref() == Some(&input.name)) {
                return bad(detail("no feature fills it; name it as the `input` of one"));
            }
        }
        Ok(())
    }
}

read_names!(Kind {
    "numeric" => Numeric, "boolean" => Boolean, "categorical" => Categorical, "related" => Related, "list" => List,
    "embedding" => Embedding, "sequence" => Sequence
});
read_names!(Encode {
    "index" => Index, "one_hot" => OneHot, "multi_hot" => MultiHot, "counts" => Counts, "mean" => Mean, "mask" => Mask
});
read_names!(Aggregate { "sum" => Sum, "max" => Max });
read_names!(PerRow { "candidate" => Candidate, "request" => Request });
read_struct!(Input { name, rows, length });
read_struct!(Feature {
    name, from, input, hash_buckets, hashes, offset, unknown, width, length, padding, signal, missing;
    kind = Kind::Numeric, transforms = Vec::new(), vocabulary = Vec::new(), encode = Encode::Index,
    cross = Vec::new(), aggregate = Aggregate::Sum
});

impl Read for Schema {
    fn read(value: &serde_json::Value, notes: &mut Notes) -> Self {
        Schema { features: Vec::read(value, notes) }
    }
}

//! Where features come from, and the layout of the columns a request is read into.

use super::schema::{Encode, Feature, Kind, Schema};
use super::transform::Transform;
use crate::context::{ContextSpec, Signal};
use crate::error::{Error, ErrorKind, Result, detail};
use serde::Serialize;

/// What a cell of a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CellKind {
    /// A number, NaN when missing.
    Number,
    /// A text.
    String,
    /// A list of texts; what is none of the kind in it is an empty text.
    Strings,
    /// A list of numbers, or of vectors one after another; what is no number in it is NaN.
    Numbers,
}

/// A path that is read from the caller's objects, once, in `prepare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Path in the request, e.g. `candidate.features.budget`.
    pub path: String,
    /// How its values are read.
    pub kind: CellKind,
    /// Numbers of each vector of [`CellKind::Numbers`]: a list of any other length is missing. 1 for other kinds.
    pub width: u32,
}

/// The columns of a request, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// One value a request (facts).
    pub request: Vec<Column>,
    /// One value a candidate; the first ten are fixed, see [`Layout::FIXED`].
    pub candidate: Vec<Column>,
}

impl Layout {
    /// The candidate columns that every layout begins with.
    pub const FIXED: [(&'static str, CellKind); 10] = [
        ("candidate.id", CellKind::String),
        ("candidate.key", CellKind::String),
        ("candidate.type", CellKind::String),
        ("candidate.server_score", CellKind::Number),
        ("candidate.value", CellKind::Number),
        ("candidate.boost", CellKind::Number),
        ("candidate.spend_effect", CellKind::Number),
        ("candidate.benefit_lower", CellKind::Number),
        ("candidate.pin", CellKind::Number),
        ("candidate.target", CellKind::String),
    ];
    /// Column of the id.
    pub const ID: usize = 0;
    /// Column of the key.
    pub const KEY: usize = 1;
    /// Column of the type.
    pub const TYPE: usize = 2;
    /// Column of the server's score.
    pub const SERVER_SCORE: usize = 3;
    /// Column of the value that a probability is multiplied by.
    pub const VALUE: usize = 4;
    /// Column of the additive boost.
    pub const BOOST: usize = 5;
    /// Column of what it adds to the advertiser's spend.
    pub const SPEND_EFFECT: usize = 6;
    /// Column of the lower bound of what it brings.
    pub const BENEFIT_LOWER: usize = 7;
    /// Column of the position that the server asks for, from 1.
    pub const PIN: usize = 8;
    /// Column of what it is about.
    pub const TARGET: usize = 9;

    /// A layout with the fixed columns alone.
    pub fn new() -> Self {
        let candidate =
            Self::FIXED.iter().map(|&(path, kind)| Column { path: path.to_owned(), kind, width: 1 }).collect();
        Layout { request: Vec::new(), candidate }
    }

    fn place(list: &mut Vec<Column>, path: &str, (kind, width): (CellKind, u32)) -> usize {
        list.iter().position(|c| c.path == path && c.kind == kind && c.width == width).unwrap_or_else(|| {
            list.push(Column { path: path.to_owned(), kind, width });
            list.len() - 1
        })
    }
}

impl Default for Layout {
    fn default() -> Self {
        Layout::new()
    }
}

/// What is known of each step of the local sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recent {
    Key,
    Type,
    /// What happened, by the name of its event.
    Event,
    /// Seconds since it happened.
    Age,
}

/// A source path, resolved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source {
    /// Column of [`Layout::candidate`].
    Candidate(usize),
    /// Column of [`Layout::request`].
    Request(usize),
    ServerRank,
    Surface,
    Hour,
    Local(Signal),
    Recent(Recent),
}

impl Source {
    /// Whether the value changes without the request changing.
    pub fn is_dynamic(self) -> bool {
        matches!(self, Source::Local(_) | Source::Recent(_) | Source::Hour)
    }

    /// Whether the value is the same for all candidates of a request.
    pub fn is_shared(self) -> bool {
        match self {
            Source::Candidate(_) | Source::ServerRank => false,
            Source::Request(_) | Source::Surface | Source::Hour | Source::Recent(_) => true,
            Source::Local(signal) => !signal.per_candidate(),
        }
    }

    #[inline(never)]
    fn resolve(path: &str, cell: (CellKind, u32), spec: &ContextSpec, layout: &mut Layout) -> Result<Source> {
        let kind = cell.0;
        let wrong = |what: &str| Error::new(ErrorKind::SchemaMismatch, format!("source `{path}`: {what}"));
        let number = |source| {
            if kind == CellKind::Number {
                Ok(source)
            } else {
                Err(wrong(detail("it is a number, not a category or list")))
            }
        };
        if let Some(name) = path.strip_prefix("local.sequence.") {
            return match (name, kind) {
                ("key", CellKind::Strings) => Ok(Source::Recent(Recent::Key)),
                ("type", CellKind::Strings) => Ok(Source::Recent(Recent::Type)),
                ("event", CellKind::Strings) => Ok(Source::Recent(Recent::Event)),
                ("age", CellKind::Numbers) if cell.1 == 1 => Ok(Source::Recent(Recent::Age)),
                _ => Err(wrong(detail("read a sequence's key, type and event as categories, its age as numbers"))),
            };
        }
        if let Some(name) = path.strip_prefix("local.") {
            let signal = Signal::parse(name, spec)?;
            if signal.reads_field() {
                Layout::place(&mut layout.candidate, super::table::FIELD_PATH, (CellKind::String, 1));
            }
            if signal.reads_suggestion() {
                for (path, kind) in super::table::SUGGESTION {
                    Layout::place(&mut layout.candidate, path, (kind, 1));
                }
            }
            return number(Source::Local(signal));
        }
        match path {
            "candidate.server_rank" => return number(Source::ServerRank),
            "request.hour" => return number(Source::Hour),
            "surface" if kind == CellKind::String => return Ok(Source::Surface),
            "candidate.server_score" | "candidate.value" => {
                return number(Source::Candidate(Layout::place(&mut layout.candidate, path, cell)));
            }
            "candidate.type" if kind == CellKind::String => return Ok(Source::Candidate(Layout::TYPE)),
            "surface" | "candidate.type" => return Err(wrong(detail("read it with `kind = \"categorical\"`"))),
            _ => {}
        }
        if path.strip_prefix("candidate.features.").is_some_and(|name| !name.is_empty()) {
            return Ok(Source::Candidate(Layout::place(&mut layout.candidate, path, cell)));
        }
        let mut facts = path.split('.');
        let section = (facts.next() == Some("facts")).then(|| facts.next()).flatten();
        if matches!(section, Some("account" | "campaign" | "performance" | "market" | "workflow"))
            && facts.next().is_some_and(|name| !name.is_empty())
        {
            return Ok(Source::Request(Layout::place(&mut layout.request, path, cell)));
        }
        Err(wrong(detail(
            "not one of candidate.features.NAME, candidate.{server_score,server_rank,value,type}, surface, \
             facts.{account,campaign,performance,market,workflow}.NAME, request.hour, local.SIGNAL, \
             local.sequence.{key,type,event,age}",
        )))
    }
}

/// A feature's sources: its own and those of its `by`s, in order of the transforms that have one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sources {
    pub own: Source,
    pub by: Vec<Source>,
    /// Numbers of each vector, where it reads lists of numbers.
    pub vector: Option<usize>,
    /// The other sources of a cross of categories.
    pub cross: Vec<Source>,
    /// Related features: the counter.
    pub signal: Option<Signal>,
}

impl Sources {
    /// Whether the feature is the same for all candidates of a request.
    pub fn is_shared(&self) -> bool {
        self.signal.is_none() && self.all(Source::is_shared)
    }

    fn all(&self, is: impl Fn(Source) -> bool) -> bool {
        is(self.own) && self.by.iter().chain(&self.cross).all(|&source| is(source))
    }

    /// Whether the feature changes without the request changing.
    pub fn is_dynamic(&self) -> bool {
        self.signal.is_some() || !self.all(|source| !source.is_dynamic())
    }
}

/// Resolves every path of the schema.
#[inline(never)]
pub(super) fn resolve(schema: &Schema, spec: &ContextSpec) -> Result<(Layout, Vec<Sources>)> {
    let mut layout = Layout::new();
    let mut sources = Vec::with_capacity(schema.features.len());
    for f in &schema.features {
        sources.push(resolve_one(f, spec, &mut layout).map_err(|e| e.at(format!("feature `{}`", f.name)))?);
    }
    Ok((layout, sources))
}

#[inline(never)]
fn resolve_one(f: &Feature, spec: &ContextSpec, layout: &mut Layout) -> Result<Sources> {
    let width = f.width.unwrap_or(1);
    let cell = match f.kind {
        Kind::Numeric | Kind::Boolean => (CellKind::Number, 1),
        Kind::Categorical => (CellKind::String, 1),
        Kind::Related | Kind::List => (CellKind::Strings, 1),
        Kind::Embedding => (CellKind::Numbers, width),
        Kind::Sequence if f.categories() > 0 => (CellKind::Strings, 1),
        // A mask of numbers names their width; the local sequence's may be read from any part of it.
        Kind::Sequence if f.encode == Encode::Mask && f.width.is_none() && f.from != "local.sequence.age" => {
            (CellKind::Strings, 1)
        }
        Kind::Sequence => (CellKind::Numbers, width),
    };
    let own = Source::resolve(&f.from, cell, spec, layout)?;
    if matches!(own, Source::Recent(_)) && f.kind != Kind::Sequence {
        return Err(Error::new(ErrorKind::SchemaMismatch, detail("`local.sequence` needs `kind = \"sequence\"`")));
    }
    let mut cross = Vec::new();
    for path in &f.cross {
        cross.push(Source::resolve(path, (CellKind::String, 1), spec, layout)?);
    }
    let mut by = Vec::new();
    for t in &f.transforms {
        match t {
            Transform::Ratio { by: path } | Transform::Product { by: path } => {
                by.push(Source::resolve(path, (CellKind::Number, 1), spec, layout)?);
            }
            Transform::Age { unit } => {
                crate::context::parse_duration(unit)?;
            }
            _ => {}
        }
    }
    let signal = f.signal.as_deref().map(|name| Signal::parse(name, spec)).transpose()?;
    if let Some(signal) = signal
        && !matches!(signal, Signal::Counter(crate::context::Scope::Key, ..))
    {
        return Err(Error::new(
            ErrorKind::SchemaMismatch,
            detail("`signal` must be a key-scope counter, e.g. key.accept.10m"),
        ));
    }
    let vector = (cell.0 == CellKind::Numbers).then_some(width.max(1) as usize);
    Ok(Sources { own, by, vector, cross, signal })
}

//! Fills the model's inputs: one row for what the request shares, one for each candidate.

use super::fill::{Filler, Row, put};
use super::schema::{Input, PerRow, Schema};
use super::source::{Layout, resolve};
use super::table::Table;
use crate::context::{Context, ContextSpec, Subject};
use crate::error::{Error, ErrorKind, Result, detail};

/// Where the columns of one input of the model lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The input's name; empty where the model has one and the schema names none.
    pub name: String,
    /// Whether they are of the one shared row or of each candidate's.
    pub rows: PerRow,
    /// First column of that row.
    pub first: usize,
    /// Number of columns.
    pub width: usize,
    /// Positions of a sequence's input, where it has an axis of its own.
    pub length: Option<usize>,
}

/// A schema with every path, signal and vocabulary resolved.
#[derive(Debug, Clone)]
pub struct Encoder {
    layout: Layout,
    features: Vec<Filler>,
    parts: Vec<Part>,
    width: usize,
    shared_width: usize,
}

/// What features are computed from.
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

/// The features of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// `[shared width]`: the inputs that have one row for the whole request.
    pub shared: Vec<f32>,
    /// Whether a bit of it differs from what the scores were computed from.
    pub shared_changed: bool,
    /// `[candidates, width]`: the inputs that have a row for each candidate.
    pub rows: Vec<f32>,
    /// By candidate, whether a bit of its row differs from what its scores were computed from.
    pub changed: Vec<bool>,
}

impl Encoder {
    /// Resolves `schema` against the signals of `spec`, for a model with one input.
    ///
    /// # Errors
    /// `schema_mismatch` names the feature and the mend.
    pub fn new(schema: &Schema, spec: &ContextSpec) -> Result<Encoder> {
        Encoder::with_inputs(schema, &[], spec)
    }

    /// The same for a model with several inputs; with none named there is one, which has a row for each candidate.
    ///
    /// # Errors
    /// `schema_mismatch` names the feature or input and the mend.
    #[inline(never)]
    pub fn with_inputs(schema: &Schema, inputs: &[Input], spec: &ContextSpec) -> Result<Encoder> {
        schema.check(inputs)?;
        let (layout, sources) = resolve(schema, spec)?;
        let mut encoder = Encoder { layout, features: Vec::new(), parts: Vec::new(), width: 0, shared_width: 0 };
        for (f, s) in schema.features.iter().zip(sources) {
            encoder.features.push(Filler::new(f, s)?);
        }
        if inputs.is_empty() {
            let all = Input { name: String::new(), rows: Some(PerRow::Candidate), length: None };
            encoder.place(schema, &all)?;
        }
        for input in inputs {
            encoder.place(schema, input)?;
        }
        Ok(encoder)
    }

    /// Gives the features of an input their columns.
    #[inline(never)]
    fn place(&mut self, schema: &Schema, input: &Input) -> Result<()> {
        let own = |i: &usize| input.name.is_empty() || schema.features[*i].input.as_ref() == Some(&input.name);
        let members: Vec<usize> = (0..schema.features.len()).filter(own).collect();
        let foreign = members.iter().find(|&&i| !self.features[i].shared);
        let rows = input.rows.unwrap_or(if foreign.is_some() { PerRow::Candidate } else { PerRow::Request });
        let shared = rows == PerRow::Request;
        if let Some(&i) = foreign.filter(|_| shared) {
            let what = detail("it depends on the candidate, and its input has one row for the whole request");
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                format!("feature `{}`, input `{}`: {what}", schema.features[i].name, input.name),
            ));
        }
        let total = if shared { &mut self.shared_width } else { &mut self.width };
        let (first, mut next) = (*total, *total);
        let stride: usize = members.iter().map(|&i| self.features[i].step).sum();
        for i in members {
            let f = &mut self.features[i];
            (f.first, f.in_shared_row) = (next, shared);
            match input.length {
                Some(_) => {
                    f.stride = stride;
                    next += f.step;
                }
                None => next += f.step * f.positions,
            }
        }
        let length = input.length.map(|n| n as usize);
        let width = length.map_or(next - first, |n| n * stride);
        *total = first + width;
        self.parts.push(Part { name: input.name.clone(), rows, first, width, length });
        Ok(())
    }

    /// The columns that a request is read into.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The inputs, in the schema's order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Columns of a candidate's row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Columns of the request's row.
    pub fn shared_width(&self) -> usize {
        self.shared_width
    }

    /// For each column of a candidate's row, whether it is the same for all candidates of a request.
    #[cfg(feature = "compile")]
    pub fn shared_columns(&self) -> Vec<bool> {
        let mut shared = vec![false; self.width];
        for f in self.features.iter().filter(|f| f.shared && !f.in_shared_row) {
            f.columns().for_each(|column| shared[column] = true);
        }
        shared
    }

    /// The features in the order of the schema, each by its columns: of the shared row or of a candidate's.
    pub fn columns(&self) -> Vec<(PerRow, Vec<usize>)> {
        let rows = |shared| if shared { PerRow::Request } else { PerRow::Candidate };
        self.features.iter().map(|f| (rows(f.in_shared_row), f.columns().collect())).collect()
    }

    /// Fills `matrix` for the candidates of the scene: all of it, or only what local signals and the clock can have
    /// changed. New rows, and those of which a bit changes, are marked in it; nothing takes a mark away.
    pub fn encode(&self, scene: &Scene<'_>, only_dynamic: bool, matrix: &mut Matrix) {
        let Scene { table, surface, context, now } = *scene;
        let now = context.quantise(now);
        let Matrix { shared, shared_changed, rows, changed } = matrix;
        rows.resize(table.len() * self.width, 0.0);
        changed.resize(table.len(), true);
        if shared.len() != self.shared_width {
            *shared = vec![0.0; self.shared_width];
            *shared_changed = true;
        }
        let wanted = |f: &&Filler| f.dynamic || !only_dynamic;
        let nobody = Subject { surface, ..Subject::default() };
        let scope = Row { table, row: 0, surface, context, now, subject: nobody };
        for f in self.features.iter().filter(|f| f.in_shared_row).filter(wanted) {
            *shared_changed |= f.fill(&scope, shared);
        }
        for (row, changed) in changed.iter_mut().enumerate() {
            let cells = &mut rows[row * self.width..][..self.width];
            let subject = context.known(table.subject(row, surface));
            let scope = Row { table, row, surface, context, now, subject };
            let own = |f: &&Filler| !f.in_shared_row && (row == 0 || !f.shared);
            for f in self.features.iter().filter(own).filter(wanted) {
                *changed |= f.fill(&scope, cells);
            }
        }
        // What is alike in all rows the first has by now.
        for f in self.features.iter().filter(|f| f.shared && !f.in_shared_row).filter(wanted) {
            for column in f.columns() {
                for row in 1..changed.len() {
                    let first = f64::from(rows[column]);
                    changed[row] |= put(&mut rows[row * self.width + column], first);
                }
            }
        }
    }
}

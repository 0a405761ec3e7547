//! A list: one server response, ranked again and again as the context moves.

use super::decide::Named;
use super::open::Ranker;
use super::score::Scored;
use super::session::Session;
use crate::context::Suppression;
use crate::error::{ErrorKind, Result};
use crate::features::{Request, Table};

/// Cells of a list's matrix: 128 MB.
const MAX_CELLS: usize = 1 << 25;

/// What must stay where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frozen {
    /// The first of the order last shown.
    Count(usize),
    /// These rows.
    Rows(Vec<usize>),
}

impl Default for Frozen {
    fn default() -> Self {
        Frozen::Count(0)
    }
}

/// Of one re-rank.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Milliseconds since the epoch.
    pub now: f64,
    /// What stays.
    pub frozen: Frozen,
    /// Work budget: candidates to score at most, the first in the server's order; the others follow in that order.
    pub rows: Option<usize>,
    /// Of exploration, in place of the request's.
    pub seed: Option<u64>,
    /// Of this decision. By default the request's, followed by `#2`, `#3`... from the second decision on, so that what is
    /// drawn for the next context is drawn anew.
    pub decision_id: Option<String>,
}

/// What identifies a request in records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// Joins records.
    pub decision_id: Option<String>,
    /// Of one list on a page.
    pub list_id: Option<String>,
    /// Where it is shown.
    pub surface: Option<String>,
    /// Of exploration.
    pub seed: Option<u64>,
}

/// One item of a ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Row in the server's order, from 0.
    pub row: usize,
    /// Calibrated value of the primary head; NaN in server order.
    pub score: f64,
    /// U; NaN in server order.
    pub utility: f64,
    /// Dismissed or snoozed.
    pub suppressed: Option<Suppression>,
    /// Bits named by [`CONSTRAINTS`](crate::policy::CONSTRAINTS).
    pub constraints: u32,
    /// Those that it breaks, because nothing that keeps them could stand there.
    pub relaxed: u32,
    /// P(this choice | what stands before it); 1 where nothing was drawn.
    pub propensity: f64,
    /// Its natural logarithm.
    pub log_propensity: f64,
}

/// An order of all candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// None: the model's order. Some: the server's, and why.
    pub reason: Option<ErrorKind>,
    /// A permutation of the rows.
    pub entries: Vec<Entry>,
    /// Rows that the model was run for in this re-rank; the others' features had not changed a bit.
    pub rows_run: usize,
    /// What the policy decided from, and what it decided; None in server order.
    pub decided: Option<Box<Decided>>,
}

/// A decision with all that it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// What the policy saw.
    pub input: crate::policy::Input,
    /// What it made of it.
    pub decision: crate::policy::Decision,
}

impl Ranking {
    /// Whether the model decided.
    pub fn is_model(&self) -> bool {
        self.reason.is_none()
    }

    /// What each head gave a row: raw, and after link and calibrator. Nothing where it was not scored, and in server order.
    pub fn heads(&self, row: usize) -> (&[f32], &[f64]) {
        let input = self.decided.as_ref().map(|d| &d.input).filter(|input| row < input.scored);
        let Some(input) = input else { return Default::default() };
        let range = row * input.heads..(row + 1) * input.heads;
        (&input.raw[range.clone()], &input.calibrated[range])
    }
}

/// A server response with everything that is kept between re-ranks.
#[derive(Debug)]
pub struct List {
    pub(super) identity: Identity,
    pub(super) table: Table,
    /// Features and raw heads.
    pub(super) scored: Scored,
    /// Rows in the order last shown.
    pub(super) order: Option<Vec<usize>>,
    pub(super) named: Named,
    /// Decisions of the model so far.
    pub(super) decisions: u64,
}

impl Ranker {
    /// Takes in a response.
    ///
    /// # Errors
    /// `request_invalid`, `limit_exceeded`; `schema_mismatch` for a bare scoring bundle.
    pub fn prepare(&self, table: Table, identity: Identity) -> Result<List> {
        if !self.ranks() {
            return Err(crate::error::Error::new(
                ErrorKind::SchemaMismatch,
                "this bundle scores but does not rank: it has no schema; compile it from a SPEC.toml, or use createScorer",
            ));
        }
        self.check_size(table.len())?;
        let scored = Scored::default();
        Ok(List { identity, table, scored, order: None, named: Named::default(), decisions: 0 })
    }

    /// A list's matrix must fit a page's memory.
    fn check_size(&self, candidates: usize) -> Result<()> {
        if candidates.saturating_mul(self.encoder.width()) > MAX_CELLS {
            let message = format!("{candidates} candidates of {} columns; at most 2^25 cells", self.encoder.width());
            return Err(crate::error::Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(())
    }

    /// As [`prepare`](Self::prepare), from the JSON form.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn prepare_json(&self, request: &Request) -> Result<List> {
        let table = Table::from_json(self.encoder.layout(), request)?;
        let identity = Identity {
            decision_id: request.decision_id.clone(),
            list_id: request.list_id.clone(),
            surface: request.surface.clone(),
            seed: request.seed,
        };
        self.prepare(table, identity)
    }

    /// A session for this bundle.
    ///
    /// # Errors
    /// `schema_mismatch` when the bundle's context section is out of range.
    pub fn session(&self) -> Result<Session> {
        Session::new(&self.manifest().context)
    }

    /// Orders the list: by the model, or, where that is not possible, by the server, with the reason.
    pub fn rerank(&mut self, session: &Session, list: &mut List, options: &Options) -> Ranking {
        let frozen = list.frozen_positions(&options.frozen);
        let suppressed: Vec<Option<Suppression>> =
            (0..list.table.len()).map(|row| session.context().suppression(list.table.key(row), options.now)).collect();
        let ranking = self.budget(list, options.rows).and_then(|rows| {
            let rows_run = self.score(session, list, options.now, rows)?;
            self.decide(session, list, (options, frozen.clone(), rows), &suppressed, rows_run)
        });
        match ranking {
            Ok(ranking) => {
                list.order = Some(ranking.entries.iter().map(|e| e.row).collect());
                list.decisions += 1;
                ranking
            }
            Err(reason) => list.server_order(reason, &frozen, &suppressed),
        }
    }
}

impl List {
    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The request's columns.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// What identifies the request.
    pub fn request(&self) -> &Identity {
        &self.identity
    }

    /// The feature row of a candidate, as the model saw it last.
    pub fn row(&self, row: usize) -> &[f32] {
        let rows = &self.scored.matrix.rows;
        let width = rows.len() / self.table.len().max(1);
        rows.get(row * width..(row + 1) * width).unwrap_or_default()
    }

    /// The features that all candidates share in inputs of their own, as the model saw them last; empty where a model
    /// has one input.
    pub fn shared_row(&self) -> &[f32] {
        &self.scored.matrix.shared
    }

    /// Adds more of the same response.
    ///
    /// # Errors
    /// `request_invalid`, `limit_exceeded`; nothing is changed then.
    pub fn append(&mut self, ranker: &Ranker, more: &Table) -> Result<()> {
        ranker.check_size(self.table.len() + more.len())?;
        let before = self.table.len();
        self.table.append(ranker.encoder.layout(), more)?;
        if let Some(order) = &mut self.order {
            order.extend(before..self.table.len());
        }
        self.scored.encoded = false;
        Ok(())
    }

    /// Says in which order the rows are shown, where a list is made anew for one that stood on screen: what is
    /// frozen stands in that order. An order that is no permutation of the rows changes nothing.
    pub fn shown(&mut self, rows: &[u32]) {
        let mut seen = vec![false; self.table.len()];
        for &row in rows {
            match seen.get_mut(row as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return,
            }
        }
        if rows.len() == seen.len() {
            self.order = Some(rows.iter().map(|&row| row as usize).collect());
        }
    }

    /// Takes new facts.
    pub fn update_facts(&mut self, facts: Table) {
        self.table.update_facts(facts);
        self.scored.encoded = false;
    }

    /// The rows of these ids; ids that the list does not hold are passed over.
    pub fn rows_of(&self, ids: &[String]) -> Vec<usize> {
        (0..self.table.len()).filter(|&row| ids.iter().any(|id| id == self.table.id(row))).collect()
    }
}

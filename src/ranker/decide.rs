//! The decision: scores and context become what the policy decides from, and its order a ranking.

use super::list::{Decided, Entry, Frozen, List, Options, Ranking};
use super::open::Ranker;
use super::session::Session;
use crate::context::{Context, EventKind, Scope, Signal, Subject, Suppression};
use crate::error::ErrorKind;
use crate::features::{Layout, Table};
use crate::policy::{self, Candidate, Input, NONE, Standing};
use ranklet_kernels::hash::hash64;
use ranklet_kernels::sorted::sorted;

/// The first screen where a bundle does not say how long it is.
const FIRST_SCREEN: usize = 1;

impl Ranker {
    /// How many rows are scored.
    ///
    /// # Errors
    /// `deadline_exceeded` where they do not fill the first screen.
    pub(super) fn budget(&self, list: &List, rows: Option<usize>) -> Result<usize, ErrorKind> {
        let n = list.table.len();
        let scored = rows.unwrap_or(n).min(n);
        let screen = self.policy.spec().first_screen.unwrap_or(FIRST_SCREEN).min(n);
        if scored < screen { Err(ErrorKind::DeadlineExceeded) } else { Ok(scored) }
    }

    /// `budget`: options, what stands, and how many rows were scored.
    pub(super) fn decide(
        &mut self,
        session: &Session,
        list: &mut List,
        (options, frozen, scored): (&Options, Vec<Option<usize>>, usize),
        suppressed: &[Option<Suppression>],
        rows_run: usize,
    ) -> Result<Ranking, ErrorKind> {
        list.name();
        let heads = self.heads.len();
        let surface = list.identity.surface.as_deref();
        let mut input = Input {
            surface: list.identity.surface.clone(),
            seed: options.seed.or(list.identity.seed).filter(|_| self.policy.spec().explore.is_some()),
            decision_id: list.decision_id(options),
            frozen,
            scored,
            heads,
            raw: list.scored.raw()[..scored * heads].to_vec(),
            calibrated: Vec::with_capacity(scored * heads),
            ..Input::default()
        };
        input.calibrated.resize(scored * heads, f64::NAN);
        for (h, head) in self.heads.iter_mut().enumerate() {
            let at = head.calibrator(surface);
            for i in (0..scored).map(|row| row * heads + h) {
                input.calibrated[i] = head.calibrated(input.raw[i], at);
            }
        }
        self.candidates(session.context(), list, options.now, suppressed, &mut input);
        self.vectors(list, &mut input);
        let decision = policy::decide(&self.policy, &input, &mut self.scratch)?;
        let entry = |c: &policy::Choice| Entry {
            row: c.row,
            score: input.calibrated.get(c.row * heads).copied().unwrap_or(f64::NAN),
            utility: c.utility,
            suppressed: suppressed[c.row],
            constraints: c.constraints,
            relaxed: c.relaxed,
            propensity: c.propensity,
            log_propensity: c.log_propensity,
        };
        let entries = decision.choices.iter().map(entry).collect();
        Ok(Ranking { reason: None, entries, rows_run, decided: Some(Box::new(Decided { input, decision })) })
    }

    /// What the policy knows of each candidate.
    fn candidates(
        &self,
        context: &Context,
        list: &List,
        now: f64,
        suppressed: &[Option<Suppression>],
        input: &mut Input,
    ) {
        let table = &list.table;
        let now = context.quantise(now);
        input.kinds = list.named.kinds.clone();
        for (row, suppression) in suppressed.iter().enumerate() {
            let number = |column| table.number(column, row);
            let pin = number(Layout::PIN);
            let (id, kind, target) = list.named.rows[row];
            let (cooldown, fatigue) = self.kept_out(context, table.key(row), now);
            input.candidates.push(Candidate {
                id,
                value: number(Layout::VALUE),
                boost: number(Layout::BOOST),
                spend_effect: number(Layout::SPEND_EFFECT),
                benefit_lower: number(Layout::BENEFIT_LOWER),
                // A position beyond the list, or none that can be counted, is none.
                pin: if pin >= 1.0 && pin <= table.len() as f64 { pin as u32 } else { 0 },
                kind,
                target,
                suppressed: suppression.is_some(),
                cooldown,
                fatigue,
            });
        }
    }

    /// Positions that a candidate stays out of, for what happened to it and for how often it was seen.
    fn kept_out(&self, context: &Context, key: &str, now: f64) -> (u32, u32) {
        let subject = Subject { key, ..Subject::default() };
        let since = |event| context.value(Signal::SecondsSince(Scope::Key, event), &subject, now) * 1e3;
        let mut cooldown = 0;
        for &(event, lasts, first) in self.policy.cooldowns() {
            if since(event) < lasts {
                cooldown = first.max(cooldown);
            }
        }
        let Some(fatigue) = &self.policy.spec().fatigue else { return (cooldown, 0) };
        let (longest, length) = self.longest;
        let seen = context.value(Signal::Counter(Scope::Key, EventKind::Impression, longest), &subject, now);
        let answered = [EventKind::Open, EventKind::Accept].into_iter().any(|event| since(event) < length);
        // Half an impression for what has decayed since the first.
        let tired = seen + 0.5 >= f64::from(fatigue.impressions) && !answered;
        (cooldown, if tired { fatigue.first } else { 0 })
    }

    /// What similarity is the cosine of.
    fn vectors(&self, list: &List, input: &mut Input) {
        let n = list.table.len();
        if let Some(output) = self.vector {
            input.width = self.engine.output(output).width as usize;
            input.vectors = list.scored.vectors.clone();
            // What was not scored has no direction.
            input.vectors.resize(n * input.width, 0.0);
        } else if !self.alike.is_empty() {
            input.width = self.alike.len();
            for row in 0..n {
                input.vectors.extend(self.alike.iter().map(|&column| list.row(row)[column]));
            }
        }
    }
}

/// What the candidates of a list are called, in numbers: kept until the list grows.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Types, each once.
    kinds: Vec<String>,
    /// By row: hash of the id, number of the type and of the target.
    rows: Vec<(u64, u32, u32)>,
}

/// Numbers the rows by their text in `column`: equal ones alike. Returns the texts in the numbers' order.
fn numbered(table: &Table, column: usize, mut put: impl FnMut(usize, u32)) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for row in sorted(table.len(), &|a, b| table.text(column, a).cmp(&table.text(column, b))) {
        let Some(text) = table.text(column, row) else { continue };
        if texts.last().is_none_or(|last| last != text) {
            texts.push(text.to_owned());
        }
        put(row, texts.len() as u32 - 1);
    }
    texts
}

/// Keeps a block of the output that similarity is the cosine of; `rows` are its candidates.
pub(super) fn keep_vectors(vectors: &mut Vec<f32>, width: usize, rows: &[usize], data: &[f32]) {
    for (&row, vector) in rows.iter().zip(data.chunks_exact(width.max(1))) {
        if vectors.len() < (row + 1) * width {
            vectors.resize((row + 1) * width, 0.0);
        }
        vectors[row * width..(row + 1) * width].copy_from_slice(vector);
    }
}

impl List {
    /// Brings `named` up to date.
    fn name(&mut self) {
        let Named { kinds, rows } = &mut self.named;
        if rows.len() == self.table.len() {
            return;
        }
        rows.clear();
        rows.extend((0..self.table.len()).map(|row| (hash64(self.table.id(row)), NONE, NONE)));
        *kinds = numbered(&self.table, Layout::TYPE, |row, kind| rows[row].1 = kind);
        numbered(&self.table, Layout::TARGET, |row, target| rows[row].2 = target);
    }

    /// Of the decision that is about to be made.
    fn decision_id(&self, options: &Options) -> String {
        let own = options.decision_id.as_deref();
        let id = own.or(self.identity.decision_id.as_deref()).unwrap_or_default();
        match self.decisions {
            0 => id.to_owned(),
            _ if own.is_some() => id.to_owned(),
            before => [id, "#", &(before + 1).to_string()].concat(),
        }
    }

    /// Position to row of what is frozen in the order last shown (the server's before the first ranking).
    pub(super) fn frozen_positions(&self, frozen: &Frozen) -> Vec<Option<usize>> {
        let n = self.table.len();
        let at = |position: usize| self.order.as_ref().map_or(position, |o| o[position]);
        let mut wanted = vec![false; n];
        match frozen {
            Frozen::Count(count) => return (0..(*count).min(n)).map(|p| Some(at(p))).collect(),
            Frozen::Rows(rows) => rows.iter().filter(|&&r| r < n).for_each(|&r| wanted[r] = true),
        }
        (0..n).map(at).map(|row| wanted[row].then_some(row)).collect()
    }

    /// The server's order with its reason. Before the first model ranking nothing can stand elsewhere than
    /// where the server put it, so frozen items change nothing then.
    pub(super) fn server_order(
        &self,
        reason: ErrorKind,
        frozen: &Standing,
        suppressed: &[Option<Suppression>],
    ) -> Ranking {
        let placed = policy::server_order(self.table.len(), frozen, |row| suppressed[row].is_some());
        let entry = |&(row, constraints): &(usize, u32)| Entry {
            row,
            score: f64::NAN,
            utility: f64::NAN,
            suppressed: suppressed[row],
            constraints,
            relaxed: 0,
            propensity: 1.0,
            log_propensity: 0.0,
        };
        Ranking { reason: Some(reason), entries: placed.iter().map(entry).collect(), rows_run: 0, decided: None }
    }
}

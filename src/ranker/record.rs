//! The decision record: what was decided, from which it can be replayed.

use super::list::{List, Ranking};
use super::open::Ranker;
use crate::context::Context;
use crate::engine::NUMERICS;
use crate::policy::CONSTRAINTS;
use serde::Serialize;
use std::fmt::Write;

/// SHA-256 digests, hex.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Of the bundle's file.
    pub bundle: String,
    /// Of its schema and context sections.
    pub schema: String,
    /// Of its policy section.
    pub policy: String,
}

/// A head's score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadValue {
    /// What the model gave.
    pub raw: f32,
    /// After link and calibrator.
    pub calibrated: f64,
}

/// One item of a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordItem {
    /// Row id.
    pub id: String,
    /// Stable identity.
    pub key: String,
    /// From 1.
    pub rank: usize,
    /// From 1.
    pub server_rank: usize,
    /// Calibrated value of the primary head.
    pub score: Option<f64>,
    /// By name.
    #[serde(serialize_with = "by_name")]
    pub heads: Vec<(String, HeadValue)>,
    /// U.
    pub utility: Option<f64>,
    /// P(this choice at this position).
    pub propensity: f64,
    /// Its logarithm.
    pub log_propensity: f64,
    /// `dismissed` or `snoozed`.
    pub suppressed: Option<crate::context::Suppression>,
    /// Constraints that placed it.
    pub constraints: Vec<String>,
    /// The feature row as the model saw it: 8 hex digits (big-endian f32 bits) a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
}

/// A decision record of level *full*.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// `model` or `server`.
    pub source: String,
    /// Why not the model.
    pub reason: Option<String>,
    /// The caller's.
    pub decision_id: Option<String>,
    /// The caller's.
    pub list_id: Option<String>,
    /// Of exploration; null without it.
    pub seed: Option<u64>,
    /// Milliseconds since the epoch.
    pub now: f64,
    /// Where it was shown.
    pub surface: Option<String>,
    /// Number of the arithmetic.
    pub numerics: u32,
    /// What decided; null where no bundle could be opened.
    pub digests: Option<Digests>,
    /// In final order.
    pub items: Vec<RecordItem>,
}

impl Record {
    /// The record of `list`'s last ranking.
    pub fn new(ranker: &Ranker, list: &List, ranking: &Ranking, now: f64) -> Record {
        let names: Vec<&String> = ranker.manifest().heads.iter().map(|h| &h.name).collect();
        let table = list.table();
        let items = ranking
            .entries
            .iter()
            .enumerate()
            .map(|(i, e)| RecordItem {
                id: table.id(e.row).to_owned(),
                key: table.key(e.row).to_owned(),
                rank: i + 1,
                server_rank: e.row + 1,
                score: ranking.is_model().then_some(e.score),
                heads: match ranking.is_model() {
                    true => names.iter().zip(&e.heads).map(|(n, h)| ((*n).clone(), *h)).collect(),
                    false => Vec::new(),
                },
                utility: ranking.is_model().then_some(e.utility),
                propensity: e.propensity,
                log_propensity: e.log_propensity,
                suppressed: e.suppressed,
                constraints: constraint_names(e.constraints),
                features: ranking.is_model().then(|| hex_row(list.row(e.row))),
            })
            .collect();
        Record {
            source: if ranking.is_model() { "model" } else { "server" }.to_owned(),
            reason: ranking.reason.map(|r| r.code().to_owned()),
            decision_id: list.request().decision_id.clone(),
            list_id: list.request().list_id.clone(),
            seed: ranking.decided.as_ref().and_then(|d| d.input.seed),
            now,
            surface: list.request().surface.clone(),
            numerics: NUMERICS,
            digests: Some(ranker.digests().clone()),
            items,
        }
    }

    /// The record of a request that could not be ranked at all: the server's order, with a reason.
    /// Dismissed and snoozed items stay marked.
    pub fn server(request: &crate::features::Request, context: &Context, reason: &str) -> Record {
        let items = request
            .identities()
            .into_iter()
            .enumerate()
            .map(|(i, (id, key))| RecordItem {
                suppressed: context.suppression(&key, request.now),
                id,
                key,
                rank: i + 1,
                server_rank: i + 1,
                score: None,
                heads: Vec::new(),
                utility: None,
                propensity: 1.0,
                log_propensity: 0.0,
                constraints: Vec::new(),
                features: None,
            })
            .collect();
        Record {
            source: "server".to_owned(),
            reason: Some(reason.to_owned()),
            decision_id: request.decision_id.clone(),
            list_id: request.list_id.clone(),
            seed: None,
            now: request.now,
            surface: request.surface.clone(),
            numerics: NUMERICS,
            digests: None,
            items,
        }
    }
}

fn by_name<S: serde::Serializer>(heads: &[(String, HeadValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(heads.iter().map(|(name, value)| (name, value)))
}

/// The names of the set bits.
pub(crate) fn constraint_names(bits: u32) -> Vec<String> {
    CONSTRAINTS.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, n)| (*n).to_owned()).collect()
}

fn hex_row(row: &[f32]) -> String {
    row.iter().fold(String::with_capacity(row.len() * 8), |mut text, x| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:08x}", x.to_bits());
        text
    })
}

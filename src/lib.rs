//! ranklet: the last-mile ranker that runs where the user is.
//!
//! A server sends candidates in its order; ranklet re-orders them with what only the device knows yet.
//! Data goes one way:
//!
//! ```text
//! request (candidates + facts) -+
//! context (local events)       -+-> features -> plan (heads) -> calibration -> policy -> ranking
//! bundle (schema, plan, policy) +
//! ```
//!
//! ```no_run
//! use ranklet::{context::Event, features::Request, ranker::{Options, Ranker}};
//!
//! fn main() -> ranklet::Result<()> {
//!     let mut ranker = Ranker::open(&std::fs::read("ads-recs.ranklet").expect("a bundle"))?;
//!     let mut session = ranker.session()?;
//!     let request = Request::from_json(r#"{"now": 0, "candidates": [{"id": "a"}, {"id": "b"}]}"#)?;
//!     let mut list = ranker.prepare_json(&request)?;
//!     session.observe(&Event::from_json(r#"{"type": "dismiss", "candidate": "a", "time": 0}"#)?, &[list.table()])?;
//!     let ranking = ranker.rerank(&session, &mut list, &Options { now: 1000.0, ..Options::default() });
//!     let order: Vec<&str> = ranking.entries.iter().map(|e| list.table().id(e.row)).collect();
//!     println!("{order:?}, server order because of {:?}", ranking.reason);
//!     Ok(())
//! }
//! ```
//!
//! A room uses only rooms below it: `evaluate`, `compile`, `wasm`, [`ranker`], [`policy`], [`calibration`],
//! [`features`], [`context`], [`scorer`], [`engine`], [`bundle`]. Those down to `context` come with the feature
//! `ranking`: a build for scores alone leaves them out.

pub mod bundle;
#[cfg(feature = "ranking")]
pub mod calibration;
#[cfg(feature = "compile")]
pub mod compile;
#[cfg(feature = "ranking")]
pub mod context;
pub mod engine;
mod error;
#[cfg(all(feature = "native", feature = "ranking"))]
pub mod evaluate;
#[cfg(feature = "ranking")]
pub mod features;
#[cfg(any(test, target_arch = "wasm32"))]
mod heap;
mod json;
#[cfg(feature = "ranking")]
mod map;
#[cfg(feature = "ranking")]
pub mod policy;
#[cfg(feature = "ranking")]
pub mod ranker;
pub mod scorer;
#[cfg(feature = "signing")]
pub mod signing;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use error::{Error, ErrorKind, Result};

//! What each signal means, for people and for other agents.

use super::signal::{Signal, each};
use super::spec::ContextSpec;
use serde::Serialize;

/// What may become of a signal's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// It tells what somebody typed: it does not leave the device, and a record that would hold it holds no features.
    LocalOnly,
    /// It tells of what somebody typed whether and how much, not what: it leaves with a record only.
    Aggregate,
    /// It tells of the product's own candidates.
    Loggable,
}

/// What a signal means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignalInfo {
    /// Name, without the schema's `local.`.
    pub name: String,
    /// Unit of its values.
    pub unit: &'static str,
    /// What may become of them.
    pub privacy: Privacy,
    /// `candidate` where they differ between the candidates of a request, or `request`.
    pub per: &'static str,
    /// One sentence.
    pub doc: String,
}

impl Privacy {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Privacy::LocalOnly => "local_only",
            Privacy::Aggregate => "aggregate",
            Privacy::Loggable => "loggable",
        }
    }
}

impl Signal {
    /// What may become of its values.
    pub fn privacy(self) -> Privacy {
        match self {
            Signal::DraftSatisfies | Signal::DraftContradicts => Privacy::LocalOnly,
            Signal::DraftChanges | Signal::DraftFieldEdited | Signal::SearchMatchesType => Privacy::Aggregate,
            _ => Privacy::Loggable,
        }
    }
}

/// Every signal with its meaning.
pub fn catalogue(spec: &ContextSpec) -> Vec<SignalInfo> {
    let mut all = Vec::new();
    each(spec, &mut |entry| {
        let per = if entry.signal.per_candidate() { "candidate" } else { "request" };
        let (name, doc) = (entry.name.concat(), entry.doc.concat());
        all.push(SignalInfo { name, unit: entry.unit, privacy: entry.signal.privacy(), per, doc });
    });
    all
}

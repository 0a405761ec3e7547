//! What each signal means, for people and for other agents.

use super::event::EventKind;
use super::signal::{Scope, Signal, signals};
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

    /// Unit of its values, and what they are in one sentence.
    fn meaning(self, spec: &ContextSpec) -> (&'static str, String) {
        let decayed =
            |what: &str, by: Scope, h: usize| [what, " by ", by.name(), ", half-life ", &spec.half_lives[h]].concat();
        let (unit, doc) = match self {
            Signal::Counter(by, EventKind::Dwell, h) => return ("seconds", decayed("dwell", by, h)),
            Signal::Counter(by, kind, h) => return ("events", decayed(kind.name(), by, h)),
            Signal::Reason(by, reason, h) => {
                return ("events", decayed(&["dismiss for ", &spec.reasons[reason].name].concat(), by, h));
            }
            Signal::Rate(by, kind, h) => {
                return ("ratio", decayed(&[kind.name(), " per impression, smoothed,"].concat(), by, h));
            }
            Signal::SecondsSince(by, kind) => {
                return ("seconds", ["since the last ", kind.name(), " by ", by.name(), "; missing if never"].concat());
            }
            Signal::InSequence(by) => {
                return ("count", ["times this ", by.name(), " is among the last candidates touched"].concat());
            }
            Signal::IsLast => ("boolean", "whether the last candidate touched is of this type"),
            Signal::Suppressed => ("boolean", "whether the candidate is dismissed or snoozed"),
            Signal::SessionAge => ("seconds", "since the session began"),
            Signal::SessionEvents => ("events", "since the session began"),
            Signal::Unopened => ("count", "impressions since the last open or accept, up to 64"),
            Signal::DraftChanges => ("fields", "draft fields edited and not undone"),
            Signal::DraftFieldEdited => ("boolean", "whether the candidate's own draft field was edited"),
            Signal::DraftSatisfies => ("boolean", "whether the draft already has what the candidate suggests"),
            Signal::DraftContradicts => ("boolean", "whether the draft goes against what the candidate suggests"),
            Signal::SearchMatchesType => ("boolean", "whether the session's last search names a word of the type"),
            Signal::Evicted => ("count", "keys, types, surfaces and draft fields forgotten for want of room"),
            Signal::EvictedActions => ("count", "dismissals and snoozes forgotten for want of room"),
        };
        (unit, doc.to_owned())
    }
}

/// Every signal with its meaning.
pub fn catalogue(spec: &ContextSpec) -> Vec<SignalInfo> {
    let describe = |(name, signal): (String, Signal)| {
        let (unit, doc) = signal.meaning(spec);
        let per = if signal.per_candidate() { "candidate" } else { "request" };
        SignalInfo { name, unit, privacy: signal.privacy(), per, doc }
    };
    signals(spec).into_iter().map(describe).collect()
}

//! A policy section, checked once: what [`decide`](super::decide) needs no longer ask.

use super::spec::{DiversityMethod, ExploreMethod, PolicySpec, Weight};
use crate::context::{EventKind, parse_duration};
use crate::error::{Error, ErrorKind, Result, detail};

/// Positions that may be diversified or drawn: working memory is this times the candidates.
pub const MAX_FIRST: usize = 64;
/// Constraints of one kind at most.
const MAX_RULES: usize = 64;
/// The head whose weight is capped.
pub const PLATFORM: &str = "platform";

/// A checked policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    pub(super) spec: PolicySpec,
    /// Head named [`PLATFORM`].
    platform: Option<usize>,
    cooldowns: Vec<(EventKind, f64, u32)>,
}

impl Policy {
    /// Checks a section against the names of the heads.
    ///
    /// # Errors
    /// `bundle_corrupt`; `schema_mismatch` for a duration that is none.
    pub fn new(spec: &PolicySpec, heads: &[&str]) -> Result<Policy> {
        let wrong = |what| Err(Error::new(ErrorKind::BundleCorrupt, detail(what)));
        if spec.weights.len() != heads.len() {
            return wrong("heads and policy weights differ in number");
        }
        let finite = |w: &Weight| w.default.is_finite() && w.surfaces.iter().all(|s| s.weight.is_finite());
        if !spec.weights.iter().all(finite) {
            return wrong("a policy weight is not finite");
        }
        let platform = heads.iter().position(|name| *name == PLATFORM);
        if platform.is_some() != spec.platform_cap.is_some_and(|cap| cap >= 0.0 && cap.is_finite()) {
            return wrong("a head named `platform` needs a `platform_cap` from 0, and only it has one");
        }
        if spec.value_head.is_some_and(|head| head >= heads.len()) {
            return wrong("`value_head` names no head");
        }
        if [spec.caps.len(), spec.conflicts.len(), spec.dependencies.len(), spec.cooldowns.len()]
            .into_iter()
            .any(|n| n > MAX_RULES)
        {
            return wrong("at most 64 rules of one kind");
        }
        if spec.dependencies.iter().any(|d| d.before == d.then) {
            return wrong("a dependency of a type on itself");
        }
        let strength = |s: f64, low: f64, high: f64| s >= low && s <= high;
        if let Some(d) = &spec.diversity {
            let bounds = if d.method == DiversityMethod::Mmr { (0.0, 1.0) } else { (0.0, 1e3) };
            let s = &d.similarity;
            let kernel = s.same_type >= 0.0 && s.same_target >= 0.0 && s.same_type + s.same_target <= 1.0;
            let sources = usize::from(!s.features.is_empty())
                + usize::from(s.output.is_some())
                + usize::from(s.same_type + s.same_target > 0.0);
            if !strength(d.strength, bounds.0, bounds.1) || d.first > MAX_FIRST || !(2..=MAX_FIRST).contains(&d.window)
            {
                return wrong("diversity: `strength` 0 to 1 for mmr, to 1000 else; `first` to 64; `window` 2 to 64");
            }
            if !kernel || sources != 1 {
                return wrong(
                    "similarity: `features`, or `output`, or `same_type` and `same_target` from 0 with a sum of at most 1",
                );
            }
        }
        if let Some(e) = &spec.explore {
            let bounds = if e.method == ExploreMethod::EpsilonGreedy { (0.0, 1.0) } else { (1e-6, 1e6) };
            if !strength(e.strength, bounds.0, bounds.1) || e.first > MAX_FIRST {
                return wrong("explore: an epsilon of 0 to 1, or a temperature of 1e-6 to 1e6; `first` to 64");
            }
        }
        let cooldowns =
            spec.cooldowns.iter().map(|c| Ok((c.event, parse_duration(&c.lasts)?, c.first))).collect::<Result<_>>()?;
        Ok(Policy { spec: spec.clone(), platform, cooldowns })
    }

    /// The section.
    pub fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    /// By head: the weight on `surface`, that of the platform not above its cap.
    pub fn weights(&self, surface: Option<&str>) -> Vec<f64> {
        let mut weights: Vec<f64> = self.spec.weights.iter().map(|w| w.on(surface)).collect();
        if let (Some(head), Some(cap)) = (self.platform, self.spec.platform_cap)
            && weights[head] > cap
        {
            weights[head] = cap;
        }
        weights
    }

    /// Event, milliseconds, positions: a candidate that had the event less than that ago stays out of the positions.
    pub fn cooldowns(&self) -> &[(EventKind, f64, u32)] {
        &self.cooldowns
    }

    /// Whether an event makes a list due for a re-rank. `unopened` are the session's impressions since anything was last
    /// opened or accepted, this event with them; 0 where they are too many to count.
    pub fn due(&self, event: EventKind, unopened: u32) -> bool {
        let tired = self.spec.due_unopened.is_some_and(|k| k > 0 && unopened > 0 && unopened.is_multiple_of(k));
        self.spec.due.contains(&event) || (event == EventKind::Impression && tired)
    }
}

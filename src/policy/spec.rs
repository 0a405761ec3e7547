//! The `policy` section of a bundle.

use crate::context::EventKind;
use crate::json::{read_names, read_struct};
use serde::Serialize;

/// Weights, constraints, diversity and exploration: the `policy` section of a bundle. What is left out is not in the file,
/// so that a bundle without it keeps its digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PolicySpec {
    /// Event types after which a list is due for a re-rank.
    pub due: Vec<EventKind>,
    /// So many impressions without an answer make a list due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_unopened: Option<u32>,
    /// Of each head, in the order of the heads.
    pub weights: Vec<Weight>,
    /// Head whose calibrated output is v where a candidate brings no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_head: Option<usize>,
    /// Most that the weight of the head `platform` may be, on any surface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_cap: Option<f64>,
    /// Positions that a first screen shows; a work budget below it is no ranking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_screen: Option<usize>,
    /// Most that an item may stand from its rank among the free items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displacement: Option<usize>,
    /// How many of one type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<Cap>,
    /// How far items of one type stand apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<Spacing>,
    /// Types of which one target sees one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// Types that come first, for one target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Events after which a candidate stays out of the first positions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cooldowns: Vec<Cooldown>,
    /// Impressions after which it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fatigue: Option<Fatigue>,
    /// How unlike the items are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// What is drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explore: Option<Explore>,
}

/// A head's weight, by surface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weight {
    /// Where no surface says otherwise.
    pub default: f64,
    /// By surface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<SurfaceWeight>,
}

/// A weight for one surface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SurfaceWeight {
    /// Where.
    pub surface: String,
    /// How much.
    pub weight: f64,
}

impl Weight {
    /// The weight on `surface`.
    pub fn on(&self, surface: Option<&str>) -> f64 {
        let own = self.surfaces.iter().find(|w| Some(w.surface.as_str()) == surface);
        own.map_or(self.default, |w| w.weight)
    }
}

/// At most `most` candidates of `type` within the first `first` positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cap {
    /// The type; None: each type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many.
    pub most: u32,
    /// Within so many positions.
    pub first: usize,
}

/// Within the first `first` positions, two candidates of one type have at least `apart` others between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spacing {
    /// Positions between them.
    pub apart: usize,
    /// Within so many positions.
    pub first: usize,
}

/// At most one candidate of these types for one target within the first `first` positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The types.
    pub types: Vec<String>,
    /// Within so many positions.
    pub first: usize,
}

/// Candidates of type `then` stand behind every one of type `before` of the same target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Comes first.
    pub before: String,
    /// Comes later.
    pub then: String,
}

/// A candidate with this event stays out of the first `first` positions for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cooldown {
    /// What happened to it.
    pub event: EventKind,
    /// For how long, e.g. `7d`.
    pub lasts: String,
    /// Positions that it stays out of.
    pub first: u32,
}

/// A candidate that was seen so often without an answer stays out of the first `first` positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fatigue {
    /// How often, by the longest half-life of the context's counters.
    pub impressions: u32,
    /// Positions that it stays out of.
    pub first: u32,
}

/// How diversity is weighed against utility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiversityMethod {
    /// Maximal marginal relevance (Carbonell and Goldstein 1998): s z - (1 - s) (greatest similarity to what stands).
    #[default]
    Mmr,
    /// Greedy determinantal point process (Chen, Zhang, Zhou 2018): 2 s z + ln(what no standing item explains).
    Dpp,
    /// Sliding spectrum decomposition (Huang et al. 2021): z + s (volume that it spans with the last `window` - 1 items).
    Ssd,
}

/// Diversity of the first positions. z is the utility, standardised over the list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diversity {
    /// Which.
    pub method: DiversityMethod,
    /// s: see [`DiversityMethod`].
    pub strength: f64,
    /// Of [`DiversityMethod::Ssd`]: positions that a window spans.
    pub window: usize,
    /// Positions that are diversified.
    pub first: usize,
    /// What similarity is.
    pub similarity: Similarity,
}

/// Similarity of two candidates: the cosine of vectors, or a kernel of type and target.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Similarity {
    /// Features of the schema whose columns are the vector.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Or an output of the model, a row for each candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Kernel: similarity of two that have the type in common.
    pub same_type: f64,
    /// Kernel: added where they have the target in common.
    pub same_target: f64,
}

impl Similarity {
    /// Whether it is the cosine of vectors.
    pub fn is_vector(&self) -> bool {
        !self.features.is_empty() || self.output.is_some()
    }
}

/// How a choice is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExploreMethod {
    /// With probability `strength` any of those that may stand there, alike; otherwise the best.
    #[default]
    EpsilonGreedy,
    /// In proportion to exp(score / `strength`).
    PlackettLuce,
}

/// Exploration of the first positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Explore {
    /// Which.
    pub method: ExploreMethod,
    /// Epsilon, or the temperature in standard deviations of utility (in units of the score under diversity).
    pub strength: f64,
    /// Positions that are drawn.
    pub first: usize,
}

read_struct!(SurfaceWeight { surface, weight });
read_struct!(Weight { default; surfaces = Vec::new() });
read_struct!(Spacing { apart, first });
read_struct!(Conflict { types, first });
read_struct!(Dependency { before, then });
read_struct!(Cooldown { event, lasts, first });
read_struct!(Fatigue { impressions, first });
read_names!(DiversityMethod { "mmr" => Mmr, "dpp" => Dpp, "ssd" => Ssd });
read_struct!(Similarity { output; features = Vec::new(), same_type = 0.0, same_target = 0.0 });
read_struct!(Diversity { method, first, similarity; strength = 0.5, window = 5 });
read_names!(ExploreMethod { "epsilon_greedy" => EpsilonGreedy, "plackett_luce" => PlackettLuce });
read_struct!(Explore { method, strength, first });
read_struct!(PolicySpec {
    due_unopened, value_head, platform_cap, first_screen, displacement, spacing, fatigue, diversity, explore;
    due = Vec::new(), weights = Vec::new(), caps = Vec::new(), conflicts = Vec::new(), dependencies = Vec::new(),
    cooldowns = Vec::new()
});

impl crate::json::Read for Cap {
    fn read(value: &serde_json::Value, notes: &mut crate::json::Notes) -> Self {
        use crate::json::field;
        Cap {
            kind: field(value, "type", notes),
            most: field(value, "most", notes),
            first: field(value, "first", notes),
        }
    }
}

impl Cap {
    /// Names of the fields as they are written.
    #[cfg(feature = "compile")]
    pub(crate) const FIELDS: &'static [&'static str] = &["type", "most", "first"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_differ_by_surface() {
        let weight =
            Weight { default: 1.0, surfaces: vec![SurfaceWeight { surface: "assistant".to_owned(), weight: 0.5 }] };
        assert_eq!((weight.on(None), weight.on(Some("assistant")), weight.on(Some("x"))), (1.0, 0.5, 1.0));
    }
}

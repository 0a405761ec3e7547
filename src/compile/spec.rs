//! SPEC.toml: what an ML engineer writes to get a bundle. Paths in it are relative to it.

use super::assemble::json as json_text;
use super::weights::{Storage, WeightForm};
use crate::bundle::sha256_hex;
use crate::context::{ContextSpec, EventKind, Reason};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{Encode, Feature, Input, Kind, Schema};
use crate::json::{self, only, read_struct};
use crate::policy::{
    Cap, Conflict, Cooldown, Dependency, Diversity, Explore, Fatigue, PLATFORM, Policy, PolicySpec, Similarity,
    Spacing, SurfaceWeight, Weight,
};
use crate::ranker::Link;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Of the context section, what is in the schema's digest whatever it is.
const SEEN: [&str; 6] = ["half_lives", "step", "rate_prior", "rate_strength", "session_gap", "sequence"];
/// What no feature depends on.
const NOT_SEEN: [&str; 2] = ["dismiss_for", "snooze_for"];

/// A whole specification.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The model's name.
    pub name: String,
    /// Rising with each release.
    pub version: u64,
    /// Where the model is used.
    pub surfaces: Vec<String>,
    /// The ranking model.
    pub model: Model,
    /// The primary head first.
    pub heads: Vec<HeadSpec>,
    /// Local context and how long suppressions last.
    pub context: ContextSection,
    /// Policy.
    pub policy: PolicySection,
    /// The model's inputs, where there are several.
    pub inputs: Vec<Input>,
    /// In the order of the model's columns.
    pub features: Schema,
}

/// The ONNX file.
#[derive(Debug, Clone)]
pub struct Model {
    /// Path.
    pub onnx: String,
    /// Input that the schema fills; may be left out when there is one.
    pub input: Option<String>,
    /// Values of symbolic dimensions other than N.
    pub dims: BTreeMap<String, i64>,
    /// Safetensors file with ONNX Runtime's inputs and outputs by name.
    pub golden: Option<String>,
    /// Safetensors file that `ranklet featurize` wrote and the model was trained on: its statistics go into the bundle.
    pub training: Option<String>,
    /// Digest of the schema that the model was trained with, as `ranklet featurize` printed it.
    pub trained_with: Option<String>,
    /// The form in which weights are stored.
    pub weights: WeightForm,
    /// How far a score may move for it: see [`Storage::tolerance`].
    pub weights_tolerance: Option<f64>,
}

impl Model {
    /// How weights are stored.
    ///
    /// # Errors
    /// `spec_invalid` for a tolerance that is none.
    pub fn storage(&self) -> Result<Storage> {
        Storage::default().with(Some(self.weights), self.weights_tolerance)
    }
}

/// A head of the model.
#[derive(Debug, Clone)]
pub struct HeadSpec {
    /// Unique name.
    pub name: String,
    /// Output of the graph.
    pub output: String,
    /// Column of it.
    pub column: usize,
    /// In the utility.
    pub weight: f64,
    /// Where a surface has another one.
    pub weights: BTreeMap<String, f64>,
    /// Before calibration.
    pub link: Link,
    /// At most one a surface.
    pub calibrators: Vec<CalibratorFile>,
}

/// A calibrator's ONNX file.
#[derive(Debug, Clone)]
pub struct CalibratorFile {
    /// Path.
    pub onnx: String,
    /// None: every surface without one of its own.
    pub surface: Option<String>,
}

/// `[context]`; what is left out has the defaults of [`ContextSpec`].
#[derive(Debug, Clone, Default)]
pub struct ContextSection {
    half_lives: Option<Vec<String>>,
    step: Option<String>,
    rate_prior: Option<f64>,
    rate_strength: Option<f64>,
    session_gap: Option<String>,
    sequence: Option<usize>,
    keys: Option<usize>,
    reasons: Option<Vec<Reason>>,
}

/// `[policy]`.
#[derive(Debug, Clone, Default)]
pub struct PolicySection {
    dismiss_for: Option<String>,
    snooze_for: Option<String>,
    due: Option<Vec<EventKind>>,
    due_unopened: Option<u32>,
    value_head: Option<String>,
    platform_cap: Option<f64>,
    first_screen: Option<usize>,
    displacement: Option<usize>,
    caps: Vec<Cap>,
    spacing: Option<Spacing>,
    conflicts: Vec<Conflict>,
    dependencies: Vec<Dependency>,
    cooldowns: Vec<Cooldown>,
    fatigue: Option<Fatigue>,
    diversity: Option<Diversity>,
    explore: Option<Explore>,
}

read_struct!(Spec {
    name, version, model, heads, features;
    surfaces = Vec::new(), context = ContextSection::default(), policy = PolicySection::default(), inputs = Vec::new()
});
read_struct!(Model { onnx, input, golden, training, trained_with, weights_tolerance; dims = BTreeMap::new(), weights = WeightForm::F32 });
read_struct!(HeadSpec {
    name, output;
    column = 0, weight = 1.0, weights = BTreeMap::new(), link = Link::Identity, calibrators = Vec::new()
});
read_struct!(CalibratorFile { onnx, surface });
read_struct!(ContextSection { half_lives, step, rate_prior, rate_strength, session_gap, sequence, keys, reasons });
read_struct!(PolicySection {
    dismiss_for, snooze_for, due, due_unopened, value_head, platform_cap, first_screen, displacement, spacing, fatigue,
    diversity, explore;
    caps = Vec::new(), conflicts = Vec::new(), dependencies = Vec::new(), cooldowns = Vec::new()
});

/// Refuses keys that no section knows, so that a misspelt one is not silently ignored.
fn check_keys(spec: &Json) -> Result<(), String> {
    let list = |value: &'_ Json, name: &str| value.get(name).and_then(Json::as_array).cloned().unwrap_or_default();
    only(spec, "", Spec::FIELDS)?;
    for (section, fields) in
        [("model", Model::FIELDS), ("context", ContextSection::FIELDS), ("policy", PolicySection::FIELDS)]
    {
        only(&spec[section], &format!("{section}."), fields)?;
    }
    for head in list(spec, "heads") {
        only(&head, "heads.", HeadSpec::FIELDS)?;
        for calibrator in list(&head, "calibrators") {
            only(&calibrator, "heads.calibrators.", CalibratorFile::FIELDS)?;
        }
    }
    for reason in list(&spec["context"], "reasons") {
        only(&reason, "context.reasons.", Reason::FIELDS)?;
    }
    for (i, input) in list(spec, "inputs").iter().enumerate() {
        only(input, &format!("inputs[{i}]."), Input::FIELDS)?;
    }
    let policy = &spec["policy"];
    for (name, fields) in [
        ("caps", Cap::FIELDS),
        ("conflicts", Conflict::FIELDS),
        ("dependencies", Dependency::FIELDS),
        ("cooldowns", Cooldown::FIELDS),
    ] {
        for (i, rule) in list(policy, name).iter().enumerate() {
            only(rule, &format!("policy.{name}[{i}]."), fields)?;
        }
    }
    for (section, fields) in [
        ("spacing", Spacing::FIELDS),
        ("fatigue", Fatigue::FIELDS),
        ("diversity", Diversity::FIELDS),
        ("explore", Explore::FIELDS),
    ] {
        only(&policy[section], &format!("policy.{section}."), fields)?;
    }
    only(&policy["diversity"]["similarity"], "policy.diversity.similarity.", Similarity::FIELDS)?;
    for (i, feature) in list(spec, "features").iter().enumerate() {
        only(feature, &format!("features[{i}]."), Feature::FIELDS)?;
    }
    Ok(())
}

impl Spec {
    /// Parses the text of a SPEC.toml.
    ///
    /// # Errors
    /// `spec_invalid` with the line or the key, and what was expected.
    pub fn parse(text: &str) -> Result<Spec> {
        let invalid = |what: String| Error::new(ErrorKind::SpecInvalid, what);
        Spec::from_table(&toml::from_str(text).map_err(|e| invalid(e.to_string().trim_end().to_owned()))?)
    }

    /// Parses the same form written as JSON.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_json(text: &str) -> Result<Spec> {
        Spec::from_table(&json::value(text).map_err(|e| Error::new(ErrorKind::SpecInvalid, e))?)
    }

    fn from_table(table: &Json) -> Result<Spec> {
        let invalid = |what: String| Error::new(ErrorKind::SpecInvalid, what);
        check_keys(table).map_err(invalid)?;
        let spec = json::from_value::<Spec>(table).map_err(invalid)?;
        if spec.heads.is_empty() {
            return Err(invalid("give at least one [[heads]]; a MODEL.onnx alone compiles to a scoring bundle".into()));
        }
        for (i, head) in spec.heads.iter().enumerate() {
            if spec.heads[..i].iter().any(|h| h.name == head.name) {
                return Err(invalid(format!("head {:?} stands twice", head.name)));
            }
            for (j, c) in head.calibrators.iter().enumerate() {
                if head.calibrators[..j].iter().any(|d| d.surface == c.surface) {
                    return Err(invalid(format!("head {:?} has two calibrators for one surface", head.name)));
                }
                if c.surface.as_ref().is_some_and(|s| !spec.surfaces.contains(s)) {
                    return Err(invalid(format!("head {:?}: surface {:?} is not in `surfaces`", head.name, c.surface)));
                }
            }
        }
        spec.check_policy().map_err(invalid)?;
        Ok(spec)
    }

    /// What a device would refuse, and what it would put up with and nobody wants.
    fn check_policy(&self) -> Result<(), String> {
        let (section, policy) = (&self.policy, self.policy());
        if let Some(name) = section.value_head.as_ref().filter(|_| policy.value_head.is_none()) {
            return Err(format!("policy.value_head: there is no head {name:?}"));
        }
        let names: Vec<&str> = self.heads.iter().map(|h| h.name.as_str()).collect();
        Policy::new(&policy, &names).map_err(|e| format!("policy: {}", e.message()))?;
        let over = |w: &f64| section.platform_cap.is_some_and(|cap| *w > cap);
        if let Some(head) = self.heads.iter().find(|h| h.name == PLATFORM)
            && (over(&head.weight) || head.weights.values().any(over))
        {
            return Err(format!("head {PLATFORM:?}: its weight is above policy.platform_cap"));
        }
        let similar = policy.diversity.iter().flat_map(|d| &d.similarity.features);
        for name in similar {
            if self.features.features.iter().all(|f| f.name != *name) {
                return Err(format!("policy.diversity.similarity.features: there is no feature {name:?}"));
            }
        }
        // What nothing comes before can come; what is left when nothing more can is a circle.
        let mut left: Vec<&Dependency> = section.dependencies.iter().collect();
        loop {
            let all = left.clone();
            left.retain(|d| all.iter().any(|other| other.then == d.before));
            if left.len() == all.len() {
                break;
            }
        }
        match left.first() {
            Some(d) => Err(format!("policy.dependencies: {:?} and {:?} wait for each other", d.before, d.then)),
            None => Ok(()),
        }
    }

    /// The context section of the bundle.
    pub fn context(&self) -> ContextSpec {
        let (c, p) = (self.context.clone(), self.policy.clone());
        let d = ContextSpec::default();
        ContextSpec {
            half_lives: c.half_lives.unwrap_or(d.half_lives),
            step: c.step.unwrap_or(d.step),
            rate_prior: c.rate_prior.unwrap_or(d.rate_prior),
            rate_strength: c.rate_strength.unwrap_or(d.rate_strength),
            session_gap: c.session_gap.unwrap_or(d.session_gap),
            sequence: c.sequence.unwrap_or(d.sequence),
            keys: c.keys.unwrap_or(d.keys),
            reasons: c.reasons.unwrap_or(d.reasons),
            dismiss_for: p.dismiss_for.unwrap_or(d.dismiss_for),
            snooze_for: p.snooze_for.unwrap_or(d.snooze_for),
        }
    }

    /// SHA-256 of all that decides what a feature's columns hold: features, inputs, and what features see of the context:
    /// what they always depended on, and whatever else is not as it is by default. So a setting that a later version adds
    /// changes no digest by being there.
    pub fn schema_digest(&self) -> String {
        let [context, default] =
            [self.context(), ContextSpec::default()].map(|spec| serde_json::to_value(spec).unwrap_or_default());
        let seen = |name: &str| SEEN.contains(&name) || context[name] != default[name] && !NOT_SEEN.contains(&name);
        let seen: BTreeMap<&String, &Json> =
            context.as_object().into_iter().flatten().filter(|(name, _)| seen(name)).collect();
        let text = match self.inputs.is_empty() {
            true => json_text(&(&self.features, &seen)),
            false => json_text(&(&self.features, &self.inputs, &seen)),
        };
        sha256_hex(text.as_bytes())
    }

    /// Whether a runtime of format 1.0 would read the features otherwise than they are meant.
    pub(super) fn is_of_minor_1(&self) -> bool {
        let new = |f: &Feature| {
            f.hashes.is_some() || !f.cross.is_empty() || f.offset.is_some() || f.unknown.is_some()
                || matches!(f.kind, Kind::List | Kind::Embedding | Kind::Sequence)
                // 1.0 gave a hash no columns of its own.
                || f.hash_buckets.is_some() && f.encode == Encode::OneHot
        };
        !self.inputs.is_empty() || self.features.features.iter().any(new)
    }

    /// The policy section of the bundle.
    pub fn policy(&self) -> PolicySpec {
        let own = |(surface, weight): (&String, &f64)| SurfaceWeight { surface: surface.clone(), weight: *weight };
        let weight = |h: &HeadSpec| Weight { default: h.weight, surfaces: h.weights.iter().map(own).collect() };
        let due = self.policy.due.clone().unwrap_or_else(|| {
            vec![EventKind::Dismiss, EventKind::Snooze, EventKind::Accept, EventKind::Undo, EventKind::Open]
        });
        let p = self.policy.clone();
        let value_head = p.value_head.as_ref().and_then(|name| self.heads.iter().position(|h| h.name == *name));
        PolicySpec {
            due,
            due_unopened: p.due_unopened,
            weights: self.heads.iter().map(weight).collect(),
            value_head,
            platform_cap: p.platform_cap,
            first_screen: p.first_screen,
            displacement: p.displacement,
            caps: p.caps,
            spacing: p.spacing,
            conflicts: p.conflicts,
            dependencies: p.dependencies,
            cooldowns: p.cooldowns,
            fatigue: p.fatigue,
            diversity: p.diversity,
            explore: p.explore,
        }
    }
}

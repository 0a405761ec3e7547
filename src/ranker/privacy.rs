//! What must not leave the device.

use crate::context::{ContextSpec, Signal};
use crate::features::{Feature, Schema, Transform};

/// Whether a feature reads a signal that is for the device alone: then no feature row leaves it.
pub(super) fn reads_local_only(schema: &Schema, spec: &ContextSpec) -> bool {
    schema.features.iter().any(|feature| is_local_only(feature, spec))
}

/// Whether this one does.
pub(crate) fn is_local_only(feature: &Feature, spec: &ContextSpec) -> bool {
    signals(feature).any(|name| Signal::parse(name, spec).is_ok_and(Signal::is_local_only))
}

/// Names of the local signals that a feature is made of. What it is crossed with is a category, which no signal is.
fn signals(f: &Feature) -> impl Iterator<Item = &str> {
    let by = f.transforms.iter().filter_map(|t| match t {
        Transform::Ratio { by } | Transform::Product { by } => Some(by),
        _ => None,
    });
    let paths = std::iter::once(&f.from).chain(by);
    paths.filter_map(|path| path.strip_prefix("local.")).chain(f.signal.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_to_a_signal_is_looked_at() {
        let text = r#"[
            { "name": "a", "from": "local.key.open.10m", "kind": "numeric" },
            { "name": "b", "from": "candidate.features.x", "kind": "numeric",
              "transforms": [{ "op": "ratio", "by": "local.session.events" }, { "op": "log1p" }] },
            { "name": "c", "from": "candidate.features.keys", "kind": "related", "signal": "key.accept.10m" }
        ]"#;
        let schema: Schema = crate::json::parse(text).unwrap();
        let names: Vec<&str> = schema.features.iter().flat_map(signals).collect();
        assert_eq!(names, ["key.open.10m", "session.events", "key.accept.10m"]);
        assert!(!reads_local_only(&schema, &ContextSpec::default()));
        let text = r#"[{ "name": "d", "from": "candidate.features.x", "kind": "numeric",
            "transforms": [{ "op": "product", "by": "local.draft.satisfies" }] }]"#;
        assert!(reads_local_only(&crate::json::parse(text).unwrap(), &ContextSpec::default()));
    }
}

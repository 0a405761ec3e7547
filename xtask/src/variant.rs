//! `wasm-pack.toml`: the wasm builds and their budgets.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::failure::{AtPath, Failure, Result};

/// One wasm that the package carries.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Variant {
    /// The file is `pkg/dist/NAME.wasm`.
    pub name: String,
    pub features: Vec<String>,
    /// rustc's names; wasm-opt's are derived from them.
    pub target_features: Vec<String>,
    /// wasm-opt's level, `-Oz` or `-O3`, and passes.
    pub optimise: Vec<String>,
    /// Brotli bytes of all a browser loads with it.
    pub budget: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    variants: Vec<Variant>,
}

impl Variant {
    /// The page's runtime.
    pub fn runtime(root: &Path) -> Result<Self> {
        let path = root.join("wasm-pack.toml");
        let text = fs::read_to_string(&path).at(&path)?;
        parse(&text).map_err(|what| Failure::new(what, path.display(), "see the comments in that file"))
    }

    /// `+a,+b` for rustc.
    pub fn rustc_features(&self) -> String {
        self.target_features.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(",")
    }

    /// `--enable-...` for wasm-opt, which names some features differently.
    pub fn binaryen_flags(&self) -> Vec<String> {
        self.target_features
            .iter()
            .map(|name| match name.as_str() {
                "nontrapping-fptoint" => "nontrapping-float-to-int",
                "simd128" => "simd",
                same => same,
            })
            .map(|name| format!("--enable-{name}"))
            .collect()
    }
}

fn parse(text: &str) -> std::result::Result<Variant, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim().replace('\n', " "))?;
    file.variants.into_iter().find(|variant| variant.name == "ranklet").ok_or("no variant is called ranklet".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_file_reads_and_names_every_feature_for_both_tools() {
        let variant = parse(include_str!("../../wasm-pack.toml")).unwrap();
        assert_eq!(variant.budget, 100_000);
        assert!(variant.rustc_features().ends_with("+simd128"));
        assert!(variant.binaryen_flags().contains(&"--enable-nontrapping-float-to-int".to_owned()));
        assert!(variant.binaryen_flags().contains(&"--enable-simd".to_owned()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = include_str!("../../wasm-pack.toml").replace("budget", "bugdet");
        assert!(parse(&text).unwrap_err().contains("bugdet"));
    }
}

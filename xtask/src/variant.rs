//! `wasm-pack.toml`: the wasm builds and their budgets.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::failure::{AtPath, Failure, Result};

/// One wasm that the package carries.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Variant {
    /// The file is `pkg/dist/NAME.wasm`.
    pub name: String,
    /// The package's export whose entry loads it.
    pub export: String,
    pub features: Vec<String>,
    /// Of its own: cargo names a cdylib the same whatever its features are.
    pub profile: String,
    /// Conditions for every crate, as after rustc's `--cfg`.
    #[serde(default)]
    pub cfg: Vec<String>,
    /// LLVM's options, as after rustc's `-C llvm-args=`.
    #[serde(default)]
    pub llvm: Vec<String>,
    /// wasm-opt's level, `-Oz` or `-O3`, and passes.
    pub optimise: Vec<String>,
    /// Whether functions and locals stand in the order that compresses best.
    #[serde(default)]
    pub arrange: bool,
    /// Whether a panic keeps its words.
    #[serde(default)]
    pub words_of_panics: bool,
    /// Whether the glue's `makeInstance` gives a promise.
    #[serde(default)]
    pub instantiate_later: bool,
    /// Whether it is built only where somebody asks for it.
    #[serde(default)]
    pub on_demand: bool,
    /// Brotli bytes of all a browser loads with it.
    pub budget: usize,
    /// The file's, for all variants. rustc's names; wasm-opt's are derived from them.
    #[serde(skip)]
    pub target_features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    target_features: Vec<String>,
    variants: Vec<Variant>,
}

impl Variant {
    /// The page's runtime.
    pub fn runtime(root: &Path) -> Result<Self> {
        Ok(Self::all(root)?.swap_remove(0))
    }

    /// The one of this name.
    pub fn named(root: &Path, name: &str) -> Result<Self> {
        let found = Self::all(root)?.into_iter().find(|variant| variant.name == name);
        found.ok_or_else(|| {
            Failure::new(format!("no variant is called {name}"), "wasm-pack.toml", "see the comments in that file")
        })
    }

    /// All, the page's runtime first.
    pub fn all(root: &Path) -> Result<Vec<Self>> {
        let path = root.join("wasm-pack.toml");
        let text = fs::read_to_string(&path).at(&path)?;
        parse(&text).map_err(|what| Failure::new(what, path.display(), "see the comments in that file"))
    }

    /// `+a,+b` for rustc.
    pub fn rustc_features(&self) -> String {
        self.target_features.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(",")
    }

    /// `--cfg=...` for rustc, one a condition.
    pub fn rustc_cfg(&self) -> Vec<String> {
        self.cfg.iter().map(|condition| format!("--cfg={condition}")).collect()
    }

    /// `-Cllvm-args=...` for rustc, one an option.
    pub fn rustc_llvm(&self) -> Vec<String> {
        self.llvm.iter().map(|option| format!("-Cllvm-args={option}")).collect()
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

fn parse(text: &str) -> std::result::Result<Vec<Variant>, String> {
    let File { target_features, mut variants } =
        toml::from_str(text).map_err(|error| error.to_string().trim().replace('\n', " "))?;
    for index in 0..variants.len() {
        variants[index].target_features.clone_from(&target_features);
        let (before, this) = (&variants[..index], &variants[index]);
        if before.iter().any(|other| other.profile == this.profile || other.name == this.name) {
            return Err(format!("{}: two variants have one name or one profile", this.name));
        }
    }
    match variants.first() {
        Some(first) if first.name == "ranklet" => Ok(variants),
        _ => Err("the first variant must be called ranklet".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = include_str!("../../wasm-pack.toml");

    #[test]
    fn the_committed_file_reads_and_names_every_feature_for_both_tools() {
        let variants = parse(COMMITTED).unwrap();
        let names: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["ranklet", "scorer", "compiler"]);
        for variant in variants {
            assert!(variant.rustc_features().ends_with("+simd128"));
            assert!(variant.binaryen_flags().contains(&"--enable-nontrapping-float-to-int".to_owned()));
            assert!(variant.binaryen_flags().contains(&"--enable-simd".to_owned()));
            assert_eq!(variant.on_demand, variant.name == "compiler");
        }
    }

    #[test]
    fn a_file_that_would_not_build_what_it_says_is_refused() {
        let refused = |from: &str, to: &str| parse(&COMMITTED.replace(from, to)).unwrap_err();
        assert!(refused("budget", "bugdet").contains("bugdet"));
        assert!(refused("\"wasm-scorer\"", "\"wasm\"").contains("one profile"));
        assert!(refused("name = \"ranklet\"", "name = \"page\"").contains("ranklet"));
    }
}

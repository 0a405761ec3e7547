//! Arguments.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use ranklet::compile::WeightForm;
use ranklet::ranker::Level;
use std::path::PathBuf;

/// The last-mile ranker's toolbox: compile ONNX rankers to bundles, score, re-rank, make training matrices.
#[derive(Debug, Parser)]
#[command(
    name = "ranklet",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  ranklet compile models/ads-recs/spec.toml -o ads-recs.ranklet\n  ranklet rerank ads-recs.ranklet --request models/ads-recs/requests/01.json --events models/ads-recs/events/01.jsonl\n\n`ranklet COMMAND --help` has more."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compile a SPEC.toml (a ranker) or a MODEL.onnx alone (a scorer) to a bundle.
    #[command(
        after_help = "Examples:\n  ranklet compile models/ads-recs/spec.toml -o ads-recs.ranklet\n  ranklet compile model.onnx -o model.ranklet --golden onnxruntime.safetensors\n  ranklet compile model.onnx -o model.ranklet --weights int8"
    )]
    Compile(Compile),
    /// Say what a bundle holds.
    #[command(
        after_help = "Examples:\n  ranklet inspect ads-recs.ranklet\n  ranklet inspect ads-recs.ranklet --json | jq .heads"
    )]
    Inspect(Inspect),
    /// Score tensors by the model's own input and output names.
    #[command(after_help = "Example:\n  ranklet score model.ranklet --inputs in.safetensors -o out.safetensors")]
    Score(Score),
    /// Re-rank a request, with the events before it.
    #[command(
        after_help = "Examples:\n  ranklet rerank ads-recs.ranklet --request models/ads-recs/requests/01.json --events models/ads-recs/events/01.jsonl\n  ranklet rerank ads-recs.ranklet --request log.jsonl --events events.jsonl --json > records.jsonl\n\nA request file ending in .jsonl holds one request a line; --json then prints one record a line."
    )]
    Rerank(Rerank),
    /// Make recorded decisions again, and say whether every bit is the same.
    #[command(
        after_help = "Examples:\n  ranklet rerank ads-recs.ranklet --request requests.jsonl --events events.jsonl --json > records.jsonl\n  ranklet replay ads-recs.ranklet --log records.jsonl\n\nThe log holds one JSON record a line, or records in the compact form one after the other. Exit code 0: every order,\nhead, score, utility and propensity is the same to the bit; 1: something differs (the first of it is the last line on\nstderr), or a line cannot be read."
    )]
    Replay(Replay),
    /// Make a training matrix from recorded requests, by the very code of serving.
    #[command(
        after_help = "Example:\n  ranklet featurize spec.toml --requests requests.jsonl --events events.jsonl -o X.safetensors\n\nThe file holds the matrix under the model's input name (`X` where the specification names none), and\n`request` and `candidate`, the two line and row numbers (from 0) of each matrix row.\nAn event reaches the requests of its `session` whose `now` is not before its time."
    )]
    Featurize(Featurize),
    /// Make the keys that bundles are signed with: NAME.key is private, NAME.pub is what devices pin.
    #[command(
        after_help = "Example:\n  ranklet keygen -o acme\n\nKeep acme.key off every server and out of every repository: whoever has it signs as you. Nothing is overwritten."
    )]
    Keygen(Keygen),
    /// Sign a bundle or a channel, in place or into another file. The same bytes and keys give the same bytes.
    #[command(
        after_help = "Examples:\n  ranklet sign ads-recs.ranklet --key acme.key\n  ranklet sign channel.json --key acme.key"
    )]
    Sign(Sign),
    /// Verify both signatures of a bundle, of one that is embedded in a module, or of a channel.
    #[command(
        after_help = "Example:\n  ranklet verify ads-recs.ranklet --keys acme.pub\n\nExit code 0: it is what was signed, by keys of that file; 1: it is not signed (bundle_unsigned), or altered or signed by\nother keys (bundle_signature)."
    )]
    Verify(Verify),
    /// Put a bundle into the runtime: engine and model in one wasm module, for hosts that allow one file.
    #[command(
        after_help = "Examples:\n  ranklet embed ads-recs.ranklet -o model.wasm\n  ranklet embed ads-recs.ranklet -o model.wasm --runtime node_modules/ranklet/dist/ranklet.wasm\n\nIn JavaScript: createReranker({ wasm: \"model.wasm\" }), without `bundle`. Sign before embedding."
    )]
    Embed(Embed),
}

#[derive(Debug, Args)]
pub struct Compile {
    /// SPEC.toml or MODEL.onnx.
    pub source: PathBuf,
    /// Where the bundle goes.
    #[arg(short, long, value_name = "FILE.ranklet")]
    pub output: PathBuf,
    /// ONNX Runtime's inputs and outputs by name: they decide over our own reading of the graph.
    #[arg(long, value_name = "FILE.safetensors")]
    pub golden: Option<PathBuf>,
    /// What the model was trained on, as `featurize` wrote it: its statistics go into the bundle. Needs a SPEC.toml.
    #[arg(long, value_name = "X.safetensors")]
    pub training: Option<PathBuf>,
    /// Size of a symbol of an input's shape that is not the number of candidates, over what the SPEC.toml says.
    #[arg(long = "dim", value_name = "NAME=VALUE")]
    pub dims: Vec<String>,
    /// How weights are stored, over what the SPEC.toml says; f32 by default.
    #[arg(long, value_name = "FORM", value_parser = forms())]
    pub weights: Option<WeightForm>,
    /// How far a score may move for smaller weights, relative to max(1, |score|); 0.05 by default.
    #[arg(long, value_name = "D")]
    pub weights_tolerance: Option<f64>,
}

fn forms() -> impl TypedValueParser<Value = WeightForm> {
    PossibleValuesParser::new(WeightForm::ALL.map(WeightForm::name)).try_map(|name| WeightForm::named(&name))
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// A bundle.
    pub bundle: PathBuf,
    /// Print the local signals that it knows: name, unit, privacy label, meaning.
    #[arg(long, conflicts_with = "json")]
    pub signals: bool,
    /// Print the manifest as one JSON document.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Score {
    /// A bundle.
    pub bundle: PathBuf,
    /// Tensors by input name.
    #[arg(long, value_name = "IN.safetensors")]
    pub inputs: PathBuf,
    /// Every output goes here under its name.
    #[arg(short, long, value_name = "OUT.safetensors")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct Rerank {
    /// A bundle.
    pub bundle: PathBuf,
    /// A request, or a log of them (.jsonl).
    #[arg(long, value_name = "REQ.json")]
    pub request: PathBuf,
    /// Events, one a line.
    #[arg(long, value_name = "EVENTS.jsonl")]
    pub events: Option<PathBuf>,
    /// Print decision records instead of a table.
    #[arg(long)]
    pub json: bool,
    /// How much the records hold: `aggregate` replays the policy, `full` the scores as well.
    #[arg(long, value_name = "LEVEL", value_parser = levels(), default_value = "full")]
    pub level: Level,
    /// Write the records here as well, in the compact form.
    #[arg(long, value_name = "RECORDS.bin")]
    pub records: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// The bundle that made the records.
    pub bundle: PathBuf,
    /// Records, one a line (JSON), or one after the other (compact form).
    #[arg(long, value_name = "LOG")]
    pub log: PathBuf,
    /// `full` computes scores again where their rows were recorded, `aggregate` the policy alone.
    #[arg(long, value_name = "LEVEL", value_parser = levels(), default_value = "full")]
    pub level: Level,
}

fn levels() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(["aggregate", "full"])
        .map(|name| if name == "full" { Level::Full } else { Level::Aggregate })
}

#[derive(Debug, Args)]
pub struct Featurize {
    /// SPEC.toml (its ONNX files need not exist yet) or a bundle.
    pub source: PathBuf,
    /// Requests, one a line.
    #[arg(long, value_name = "LOG.jsonl", required_unless_present = "records")]
    pub requests: Option<PathBuf>,
    /// Events, one a line.
    #[arg(long, value_name = "LOG.jsonl", requires = "requests")]
    pub events: Option<PathBuf>,
    /// Decision records of level full, one a line, instead of requests: the rows as the model saw them.
    #[arg(long, value_name = "RECORDS.jsonl", conflicts_with = "requests")]
    pub records: Option<PathBuf>,
    /// Where the matrix goes.
    #[arg(short, long, value_name = "X.safetensors")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct Keygen {
    /// Writes NAME.key (mode 600) and NAME.pub.
    #[arg(short, long, value_name = "NAME")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct Sign {
    /// A bundle, or the JSON of a channel.
    pub bundle: PathBuf,
    /// The private keys.
    #[arg(long, value_name = "NAME.key")]
    pub key: PathBuf,
    /// Where the signed bundle goes; in place by default.
    #[arg(short, long, value_name = "FILE.ranklet")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// A bundle, a module with one in it, or the JSON of a channel.
    pub bundle: PathBuf,
    /// The public keys that are trusted; of each kind one at least.
    #[arg(long, value_name = "NAME.pub")]
    pub keys: PathBuf,
}

#[derive(Debug, Args)]
pub struct Embed {
    /// A bundle.
    pub bundle: PathBuf,
    /// Where the module goes.
    #[arg(short, long, value_name = "MODEL.wasm")]
    pub output: PathBuf,
    /// The runtime; by default that of the nearest installed package, or of a checkout that was built.
    #[arg(long, value_name = "ranklet.wasm")]
    pub runtime: Option<PathBuf>,
}

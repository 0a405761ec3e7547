//! What the policy decides from: plain data, which the ranker builds, a record of level *aggregate* keeps, and a replay
//! builds again.

/// Of [`Candidate::kind`] and [`Candidate::target`]: the candidate has none.
pub const NONE: u32 = u32::MAX;

/// By position: the row that must stand there, if any; positions beyond its end are free.
pub type Standing = [Option<usize>];

/// One request as the policy sees it. Rows are in the server's order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// Where the list is shown.
    pub surface: Option<String>,
    /// Of the noise; without one nothing is explored.
    pub seed: Option<u64>,
    /// Of this decision: the same id draws the same noise.
    pub decision_id: String,
    /// By position: the row that stands there, if any; a row stands at most once.
    pub frozen: Vec<Option<usize>>,
    /// Rows that were scored: the first in the server's order. The rest follow in that order.
    pub scored: usize,
    /// The texts that [`Candidate::kind`] counts, each once.
    pub kinds: Vec<String>,
    /// Heads of the model.
    pub heads: usize,
    /// `[scored, heads]`: as the model gave them.
    pub raw: Vec<f32>,
    /// `[scored, heads]`: after link and calibrator.
    pub calibrated: Vec<f64>,
    /// `[n]`.
    pub candidates: Vec<Candidate>,
    /// Columns of `vectors`; 0 where the bundle names none.
    pub width: usize,
    /// `[n, width]`: what similarity is the cosine of.
    pub vectors: Vec<f32>,
}

/// One candidate, but for its heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// [`hash64`](ranklet_kernels::hash::hash64) of its id: whose noise it is.
    pub id: u64,
    /// What a head's probability is worth, in the bundle's unit; NaN when missing.
    pub value: f64,
    /// Added to the utility; NaN when missing.
    pub boost: f64,
    /// What it adds to the advertiser's spend; NaN when missing.
    pub spend_effect: f64,
    /// Lower bound of what it brings; NaN when missing.
    pub benefit_lower: f64,
    /// Position that the server asks for, from 1; 0 for none.
    pub pin: u32,
    /// Its type, by index into [`Input::kinds`], or [`NONE`].
    pub kind: u32,
    /// What it is about: candidates of one target have the same number; [`NONE`] without one.
    pub target: u32,
    /// Dismissed or snoozed.
    pub suppressed: bool,
    /// A recent event keeps it out of this many positions; 0 for none.
    pub cooldown: u32,
    /// Impressions that led to nothing keep it out of this many positions; 0 for none.
    pub fatigue: u32,
}

impl Default for Candidate {
    fn default() -> Self {
        Candidate {
            id: 0,
            value: f64::NAN,
            boost: f64::NAN,
            spend_effect: f64::NAN,
            benefit_lower: f64::NAN,
            pin: 0,
            kind: NONE,
            target: NONE,
            suppressed: false,
            cooldown: 0,
            fatigue: 0,
        }
    }
}

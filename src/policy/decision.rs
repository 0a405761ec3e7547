//! What was decided, and under which constraints.

/// Names of the bits of [`Choice::constraints`] and [`Choice::relaxed`], lowest first. Those from `spacing` to `pinned`
/// stand in the order in which they are relaxed.
pub const CONSTRAINTS: [&str; 11] = [
    "frozen",
    "suppressed",
    "spacing",
    "cap",
    "conflict",
    "fatigue",
    "cooldown",
    "dependency",
    "displacement",
    "pinned",
    "spend",
];
/// The item stands where the caller froze it.
pub const FROZEN: u32 = 1;
/// The item was dismissed or snoozed, and goes behind those that were not.
pub const SUPPRESSED: u32 = 1 << 1;
/// Items of one type stand apart.
pub const SPACING: u32 = 1 << 2;
/// So many of one type.
pub const CAP: u32 = 1 << 3;
/// One of these types for one target.
pub const CONFLICT: u32 = 1 << 4;
/// Shown too often without an answer.
pub const FATIGUE: u32 = 1 << 5;
/// Something happened to it just now.
pub const COOLDOWN: u32 = 1 << 6;
/// Something else comes first, for one target.
pub const DEPENDENCY: u32 = 1 << 7;
/// So far from the server's rank.
pub const DISPLACEMENT: u32 = 1 << 8;
/// The server asks for this position.
pub const PINNED: u32 = 1 << 9;
/// It raises spend; never relaxed.
pub const SPEND: u32 = 1 << 10;

/// An item at its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Row in the server's order, from 0.
    pub row: usize,
    /// U; NaN where the row was not scored.
    pub utility: f64,
    /// Bits named by [`CONSTRAINTS`]: those that hold it there, or kept from there an item that was ahead of it.
    pub constraints: u32,
    /// Those that it breaks, because nothing that keeps them could stand there.
    pub relaxed: u32,
    /// P(this choice | what stands before it, the input); 1 where nothing was drawn.
    pub propensity: f64,
    /// Its natural logarithm.
    pub log_propensity: f64,
    /// Sum of the logarithms up to and with this position, in order.
    pub prefix_log_propensity: f64,
}

/// An order of all candidates, and how it came about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// A permutation of the rows, in final order.
    pub choices: Vec<Choice>,
    /// Natural logarithm of the probability of the whole list.
    pub log_propensity: f64,
    /// Whether anything could have been drawn otherwise.
    pub explored: bool,
    /// Whether some candidates were not scored.
    pub degraded: bool,
}

impl Decision {
    /// Every relaxation in order of position: (position from 0, row, one bit).
    pub fn relaxations(&self) -> impl Iterator<Item = (usize, usize, u32)> + '_ {
        let bits = |relaxed: u32| (0..u32::BITS).map(|b| 1 << b).filter(move |bit| relaxed & bit != 0);
        self.choices.iter().enumerate().flat_map(move |(p, c)| bits(c.relaxed).map(move |bit| (p, c.row, bit)))
    }
}

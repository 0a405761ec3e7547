//! The policy: calibrated heads become a utility, utilities and constraints an order.
//!
//! One greedy pass over positions ([`decide`]); what is not a constraint is a comparison of scores. It reads nothing but
//! its [`Input`]: no clock, and no randomness but a hash, so the same input gives the same bits wherever it is decided.

mod checked;
mod constraints;
mod decision;
mod diversity;
mod explore;
mod greedy;
mod input;
mod noise;
mod pool;
mod server;
mod spec;
mod utility;
mod windows;

pub use checked::{MAX_FIRST, PLATFORM, Policy};
pub use decision::{
    CAP, CONFLICT, CONSTRAINTS, COOLDOWN, Choice, DEPENDENCY, DISPLACEMENT, Decision, FATIGUE, FROZEN, PINNED, SPACING,
    SPEND, SUPPRESSED,
};
pub use greedy::{Scratch, constraint_names, decide};
pub use input::{Candidate, Input, NONE, Standing};
pub use noise::seed;
pub use server::server_order;
pub use spec::{
    Cap, Conflict, Cooldown, Dependency, Diversity, DiversityMethod, Explore, ExploreMethod, Fatigue, PolicySpec,
    Similarity, Spacing, SurfaceWeight, Weight,
};
pub use utility::utility;

//! Recorded against recomputed, bit for bit.

use crate::ranker::form::{bits32, bits64};
use std::fmt;

/// The first thing in which a replay differs from the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The item's place, from 1, and its id; None for what is the whole decision's.
    pub item: Option<(usize, String)>,
    /// Its name, as in the JSON form.
    pub field: String,
    /// What stands in the record.
    pub recorded: String,
    /// What the replay gave.
    pub recomputed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((rank, id)) = &self.item {
            write!(f, "item {id} (rank {rank}), ")?;
        }
        write!(f, "{}: recorded {}, recomputed {}", self.field, self.recorded, self.recomputed)
    }
}

/// What was compared so far.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Values.
    pub compared: u64,
    /// Bits in which they differ.
    pub differing: u64,
    pub first: Option<Difference>,
}

impl Comparison {
    fn note(&mut self, bits: u32, difference: impl FnOnce() -> Difference) {
        self.compared += 1;
        self.differing += u64::from(bits);
        if bits > 0 && self.first.is_none() {
            self.first = Some(difference());
        }
    }

    /// Numbers of 64 bits; all NaN are one.
    pub fn real(&mut self, item: Place<'_>, field: &str, recorded: f64, recomputed: f64) {
        let (a, b) = (bits64(recorded), bits64(recomputed));
        let show = |x: f64, bits: u64| format!("{x:?} (0x{bits:016x})");
        self.note((a ^ b).count_ones(), || item.difference(field, show(recorded, a), show(recomputed, b)));
    }

    /// The same of 32 bits.
    pub fn single(&mut self, item: Place<'_>, field: &str, recorded: f32, recomputed: f32) {
        let (a, b) = (bits32(recorded), bits32(recomputed));
        let show = |x: f32, bits: u32| format!("{x:?} (0x{bits:08x})");
        self.note((a ^ b).count_ones(), || item.difference(field, show(recorded, a), show(recomputed, b)));
    }

    /// Sets of bits, and hashes.
    pub fn bits(&mut self, item: Place<'_>, field: &str, recorded: u32, recomputed: u32) {
        let show = |x: u32| format!("0x{x:08x}");
        self.note((recorded ^ recomputed).count_ones(), || item.difference(field, show(recorded), show(recomputed)));
    }

    /// Anything that is told apart as a whole; a difference counts as one bit.
    pub fn same<T: PartialEq>(
        &mut self,
        item: Place<'_>,
        field: &str,
        (recorded, recomputed): (T, T),
        show: impl Fn(&T) -> String,
    ) {
        let differ = recorded != recomputed;
        self.note(u32::from(differ), || item.difference(field, show(&recorded), show(&recomputed)));
    }
}

/// Of what a value is: the decision (`rank` 0) or an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub rank: usize,
    pub id: &'a str,
}

impl Place<'_> {
    /// The whole decision.
    pub const WHOLE: Place<'static> = Place { rank: 0, id: "" };

    fn difference(self, field: &str, recorded: String, recomputed: String) -> Difference {
        let item = (self.rank > 0).then(|| (self.rank, self.id.to_owned()));
        Difference { item, field: field.to_owned(), recorded, recomputed }
    }
}

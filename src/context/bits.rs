//! Floats of a snapshot.

use crate::json::{Notes, Read};
use serde::{Serialize, Serializer};

/// A float that is stored as its 64 bits: a snapshot is for ranklet alone, restores bit for bit, and the page
/// needs no code that prints floats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bits(pub f64);

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.to_bits())
    }
}

impl Read for Bits {
    fn read(value: &serde_json::Value, notes: &mut Notes) -> Self {
        let x = f64::from_bits(u64::read(value, notes));
        if !x.is_finite() {
            notes.wrong("a finite number was expected");
        }
        Bits(x)
    }
}

/// Whole milliseconds since the epoch, stored as an integer: what the JavaScript face also reads of a snapshot,
/// to keep dismissed items marked without the engine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Millis(f64);

impl Millis {
    /// The last whole millisecond that is not after `x`.
    pub fn floor(x: f64) -> Self {
        Millis(x.floor())
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0 as i64)
    }
}

impl Read for Millis {
    fn read(value: &serde_json::Value, notes: &mut Notes) -> Self {
        Millis(i64::read(value, notes) as f64)
    }
}

//! Where a bundle's signatures lie in its header.
//!
//! Three texts of a fixed width stand before the digest, in this order: `ranklet.signature.ed25519` and
//! `ranklet.signature.p256`, 128 hex digits each, and between them `ranklet.signature.keys`, two key ids of 16 hex digits
//! joined by a comma. Each is all `0` where the bundle is not signed, and is read so while it is hashed, signed or
//! verified. A bundle of ranklet's first format has no slots.

use std::ops::Range;

/// What stands before each value and behind the last. Inside the manifest's string every quote is escaped, so this order
/// of quotes stands only once.
const KEYS: [&[u8]; 4] = [
    b"\"ranklet.signature.ed25519\":\"",
    b"\",\"ranklet.signature.keys\":\"",
    b"\",\"ranklet.signature.p256\":\"",
    b"\",",
];
/// Hex digits of a signature.
const SIGNATURE: usize = 128;
/// Hex digits of a key's id.
const ID: usize = 16;
/// Each value's width.
const WIDTHS: [usize; 4] = [SIGNATURE, 2 * ID + 1, SIGNATURE, 0];
/// All that the slots take of a header.
const LENGTH: usize = KEYS[0].len() + KEYS[1].len() + KEYS[2].len() + KEYS[3].len() + WIDTHS[0] + WIDTHS[1] + WIDTHS[2];

/// The header's text of slots that hold zeros, up to the digest's key. No key has a zero in its name.
pub(super) const EMPTY: [u8; LENGTH] = empty();

const fn empty() -> [u8; LENGTH] {
    let mut text = [b'0'; LENGTH];
    let (mut at, mut slot) = (0, 0);
    while slot < KEYS.len() {
        let mut i = 0;
        while i < KEYS[slot].len() {
            text[at + i] = KEYS[slot][i];
            i += 1;
        }
        at += KEYS[slot].len() + WIDTHS[slot];
        slot += 1;
    }
    text
}

/// Where the slots of a header begin whose digest's key begins at `end`; none where there are none.
///
/// What is no digit in a value would be read as JSON and hashed as zeros, so that a signed bundle could be given words
/// that nobody signed: it is refused here, whoever verifies.
///
/// # Errors
/// A value that no signature has.
pub(super) fn find(bytes: &[u8], end: usize) -> Result<Option<usize>, &'static str> {
    let Some(start) = end.checked_sub(LENGTH) else { return Ok(None) };
    let mut formed = true;
    for (&found, &empty) in bytes[start..].iter().zip(&EMPTY) {
        if empty != b'0' {
            if found != empty {
                return Ok(None);
            }
        } else {
            // The comma between the ids is as harmless anywhere.
            formed &= matches!(found, b'0'..=b'9' | b'a'..=b'f' | b',');
        }
    }
    if formed { Ok(Some(start)) } else { Err("its signatures are no hex digits") }
}

/// Where the three values stand: Ed25519's signature, the key ids, P-256's signature.
pub type Slots = [Range<usize>; 3];

/// The places of the values in slots that begin at `start`.
#[cfg(feature = "signing")]
pub(super) fn places(start: usize) -> Slots {
    let mut at = start;
    [0, 1, 2].map(|slot| {
        let from = at + KEYS[slot].len();
        at = from + WIDTHS[slot];
        from..at
    })
}

/// The metadata's texts of a bundle that is not signed.
#[cfg(feature = "compile")]
pub(super) fn unsigned() -> [(&'static str, String); 3] {
    let names = ["ranklet.signature.ed25519", "ranklet.signature.keys", "ranklet.signature.p256"];
    let mut slots = WIDTHS.iter().map(|width| "0".repeat(*width));
    names.map(|name| (name, slots.next().unwrap_or_default()))
}

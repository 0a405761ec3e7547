//! Where a bundle's signatures lie in its header.
//!
//! Three texts of a fixed width stand before the digest, in this order: `ranklet.signature.ed25519` and
//! `ranklet.signature.p256`, 128 hex digits each, and between them `ranklet.signature.keys`, two key ids of 16 hex digits
//! joined by a comma. Each is all `0` where the bundle is not signed, and is read so while it is hashed, signed or
//! verified. A bundle of ranklet's first format has no slots.

use std::ops::Range;

/// What stands before each value, and the value's width. Inside the manifest's string every quote is escaped, so this
/// order of quotes stands only once.
const SLOTS: [(&[u8], usize); 3] = [
    (b"\"ranklet.signature.ed25519\":\"", SIGNATURE),
    (b"\",\"ranklet.signature.keys\":\"", KEYS),
    (b"\",\"ranklet.signature.p256\":\"", SIGNATURE),
];
/// What stands between the last value and the digest's key.
const END: &[u8] = b"\",";
/// Hex digits of a signature.
pub(super) const SIGNATURE: usize = 128;
/// Hex digits of a key's id.
pub(super) const KEY: usize = 16;
/// Characters of two key ids and their comma.
pub(super) const KEYS: usize = 2 * KEY + 1;
/// All that the slots take of a header.
const LENGTH: usize = SLOTS[0].0.len() + SLOTS[1].0.len() + SLOTS[2].0.len() + END.len() + KEYS + 2 * SIGNATURE;

/// Where the three values stand: Ed25519's signature, the key ids, P-256's signature.
pub type Slots = [Range<usize>; 3];

/// The slots of a header whose digest's key begins at `end`; none where there are none.
///
/// What is no digit in a value would be read as JSON and hashed as zeros, so that a signed bundle could be given words
/// that nobody signed: it is refused here, whoever verifies.
///
/// # Errors
/// A value that no signature has.
pub(super) fn find(bytes: &[u8], end: usize) -> Result<Option<Slots>, &'static str> {
    let Some(mut at) = end.checked_sub(LENGTH) else { return Ok(None) };
    let mut slots = [0..0, 0..0, 0..0];
    for (slot, (key, width)) in slots.iter_mut().zip(SLOTS) {
        if !bytes[at..].starts_with(key) {
            return Ok(None);
        }
        *slot = at + key.len()..at + key.len() + width;
        at = slot.end;
    }
    if !bytes[at..].starts_with(END) {
        return Ok(None);
    }
    let [ed25519, keys, p256] = slots.each_ref().map(|slot| &bytes[slot.clone()]);
    let hex = |text: &[u8]| text.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let ids = hex(&keys[..KEY]) && keys[KEY] == b',' && hex(&keys[KEY + 1..]);
    let formed = hex(ed25519) && hex(p256) && (ids || keys.iter().all(|&c| c == b'0'));
    if formed { Ok(Some(slots)) } else { Err("its signatures are no hex digits") }
}

/// The metadata's texts of a bundle that is not signed.
#[cfg(feature = "compile")]
pub(super) fn unsigned() -> [(&'static str, String); 3] {
    let names = ["ranklet.signature.ed25519", "ranklet.signature.keys", "ranklet.signature.p256"];
    let mut slots = SLOTS.iter().map(|(_, width)| "0".repeat(*width));
    names.map(|name| (name, slots.next().unwrap_or_default()))
}

/// The header's text of slots that hold zeros, up to the digest's key.
#[cfg(feature = "signing")]
pub(super) fn empty() -> Vec<u8> {
    let mut text = Vec::with_capacity(LENGTH);
    for (key, width) in SLOTS {
        text.extend_from_slice(key);
        text.resize(text.len() + width, b'0');
    }
    text.extend_from_slice(END);
    text
}

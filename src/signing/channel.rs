//! Signing the channel of `ranklet/delivery`: a JSON document with a bundle's three slots as members of its own.
//!
//! It stays the text that it is, byte by byte: spaces and the order of members are signed too.

use super::{Signers, filled, held, unsigned};
use crate::bundle::{Sealed, Slots};
use crate::error::{Error, ErrorKind, Result};
use crate::signing::{PrivateKeys, PublicKeys};
use serde_json::Value;

/// What precedes a channel's bytes in the message that is signed.
pub const CHANNEL_DOMAIN: &[u8] = b"ranklet-channel-v1\0";

/// The members' names, in the order of [`Slots`], and the widths of their values.
const MEMBERS: [(&str, usize); 3] =
    [("ranklet.signature.ed25519", 128), ("ranklet.signature.keys", 33), ("ranklet.signature.p256", 128)];

/// Whether these bytes are a JSON document, as no bundle is.
pub fn is_channel(bytes: &[u8]) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|value: Value| value.is_object())
}

/// The document with both signatures, in place of those that it may have.
///
/// # Errors
/// `request_invalid` where it is no channel, or its slots are not what a verifier looks for.
pub fn sign_channel(bytes: &[u8], keys: &PrivateKeys) -> Result<Vec<u8>> {
    let bytes = match sealed(bytes)? {
        Some(_) => bytes.to_vec(),
        None => with_members(bytes)?,
    };
    let file = sealed(&bytes)?.ok_or_else(unsigned)?;
    Ok(filled(bytes, file, CHANNEL_DOMAIN, keys))
}

/// Verifies both signatures of a channel, as [`super::verify`] does a bundle's.
///
/// # Errors
/// `request_invalid`, `bundle_unsigned` or `bundle_signature`.
pub fn verify_channel(bytes: &[u8], pinned: &PublicKeys) -> Result<Signers> {
    held(sealed(bytes)?, CHANNEL_DOMAIN, pinned)
}

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::RequestInvalid, format!("not a channel that can be signed: {what}; see docs/delivery.md"))
}

/// Empty slots as the first members.
fn with_members(bytes: &[u8]) -> Result<Vec<u8>> {
    let open = bytes.iter().position(|&c| c == b'{').ok_or_else(|| invalid("it is no object"))? + 1;
    let members: String =
        MEMBERS.iter().map(|(name, width)| format!("\n  \"{name}\": \"{}\",", "0".repeat(*width))).collect();
    let bytes = [&bytes[..open], members.as_bytes(), &bytes[open..]].concat();
    if is_channel(&bytes) { Ok(bytes) } else { Err(invalid("it says nothing")) }
}

/// The slots where a verifier without a JSON parser finds them: each name once in the whole text, and behind it a plain string of
/// the width.
fn sealed(bytes: &[u8]) -> Result<Option<Sealed>> {
    let document: Value = serde_json::from_slice(bytes).map_err(invalid)?;
    if document["format"] != 1 {
        return Err(invalid("its format is not 1"));
    }
    let mut slots: Slots = [0..0, 0..0, 0..0];
    let mut values = [String::new(), String::new(), String::new()];
    let mut found = 0;
    for (i, (name, width)) in MEMBERS.into_iter().enumerate() {
        let key = format!("\"{name}\"");
        let places: Vec<usize> =
            bytes.windows(key.len()).enumerate().filter(|(_, w)| *w == key.as_bytes()).map(|(at, _)| at).collect();
        let [at] = places[..] else {
            if places.is_empty() {
                continue;
            }
            return Err(invalid(format!("{name} stands in it several times")));
        };
        let value = document[name].as_str().filter(|value| value.len() == width);
        let value = value.filter(|value| value.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f' | b',')));
        let value = value.ok_or_else(|| invalid(format!("{name} is not {width} digits")))?;
        let quoted = format!("\"{value}\"");
        let behind = at + key.len();
        let between = bytes[behind..].windows(quoted.len()).position(|w| w == quoted.as_bytes());
        let blank = |between: &usize| {
            let text = bytes[behind..behind + between].trim_ascii();
            text == b":"
        };
        let start = between.filter(blank).ok_or_else(|| invalid(format!("{name} is written with escapes")))?;
        slots[i] = behind + start + 1..behind + start + 1 + width;
        values[i] = value.to_owned();
        found += 1;
    }
    match found {
        0 => Ok(None),
        3 => {
            let mut bytes = bytes.to_vec();
            for slot in &slots {
                bytes[slot.clone()].fill(b'0');
            }
            Ok(Some(Sealed { slots, values, bytes }))
        }
        _ => Err(invalid("a part of its signature is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::tests::{keys, pinned};

    const CHANNEL: &str = "{ \"format\": 1, \"sequence\": 7,\n \"ttl_ms\": 60000, \"bundles\": [] }\n";

    #[test]
    fn a_channel_is_signed_and_nothing_else_passes() {
        let signed = sign_channel(CHANNEL.as_bytes(), &keys("one")).unwrap();
        assert_eq!(signed, sign_channel(&sign_channel(&signed, &keys("two")).unwrap(), &keys("one")).unwrap());
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let (was, mut is) = (read(CHANNEL.as_bytes()), read(&signed));
        MEMBERS.iter().for_each(|(name, _)| drop(is.as_object_mut().unwrap().remove(*name)));
        assert_eq!(was, is);
        let pinned = pinned(&["one"]);
        let ids = verify_channel(&signed, &pinned).unwrap();
        assert_eq!(ids, keys("one").public().0.map(|key| key.id()));
        for at in 0..signed.len() {
            for bit in 0..8 {
                let mut bytes = signed.clone();
                bytes[at] ^= 1 << bit;
                assert!(verify_channel(&bytes, &pinned).is_err(), "bit {bit} of byte {at}");
            }
        }
        let unsigned = |bytes: &[u8]| verify_channel(bytes, &pinned).unwrap_err().kind() == ErrorKind::BundleUnsigned;
        assert!(unsigned(CHANNEL.as_bytes()) && unsigned(&with_members(CHANNEL.as_bytes()).unwrap()));
        // A bundle's signature is none of a channel, though the bytes were the same.
        let file = sealed(&signed).unwrap().unwrap();
        let other = filled(signed.clone(), file, super::super::DOMAIN, &keys("one"));
        assert_eq!(verify_channel(&other, &pinned).unwrap_err().kind(), ErrorKind::BundleSignature);
    }

    #[test]
    fn what_a_verifier_would_not_find_is_not_signed() {
        let signed = String::from_utf8(sign_channel(CHANNEL.as_bytes(), &keys("one")).unwrap()).unwrap();
        for bad in [
            "{}".to_owned(),
            "[]".to_owned(),
            "{\"format\": 2}".to_owned(),
            signed.replacen("keys", "kees", 1),
            signed.replacen("\"bundles\"", "\"ranklet.signature.keys\": \"\", \"bundles\"", 1),
            CHANNEL.replacen("60000", "\"\\u0030\", \"ranklet.signature.p256\": \"00\"", 1),
        ] {
            assert_eq!(
                sign_channel(bad.as_bytes(), &keys("one")).unwrap_err().kind(),
                ErrorKind::RequestInvalid,
                "{bad}"
            );
        }
    }
}

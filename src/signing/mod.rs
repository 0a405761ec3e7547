//! Signing a bundle, and verifying it natively as a page does by WebCrypto.
//!
//! What is signed are the bytes of [`DOMAIN`], then the whole safetensors file with its three slots as `0`: so one file
//! carries content and signature, whichever way it travels. Each bundle has two signatures by two keys, Ed25519 (RFC
//! 8032) and ECDSA over P-256 with SHA-256 (FIPS 186-5), since not every browser has the first. Both are deterministic
//! (P-256's by RFC 6979): the same bundle and keys give the same bytes, and no weak randomness can leak a key.

mod channel;
mod keys;

use crate::bundle::{Sealed, with_slots};
use crate::error::{Error, ErrorKind, Result};
pub use channel::{CHANNEL_DOMAIN, is_channel, sign_channel, verify_channel};
pub use keys::{KeyId, Kind, PrivateKeys, PublicKey, PublicKeys, PublicPair};
use std::fmt::Display;

/// What precedes a bundle's bytes in the message that is signed, so that a signature of something else by the same key
/// is none of a bundle.
pub const DOMAIN: &[u8] = b"ranklet-bundle-v1\0";

/// Who signed a bundle: the ids of the Ed25519 and the P-256 key, as the file states them.
pub type Signers = [KeyId; 2];

/// The bundle with both signatures by `keys`, in place of those that it may have. Its content digest stays as it is,
/// unless the bundle is so old that it has no slots and is given them.
///
/// # Errors
/// `bundle_corrupt` where this is no bundle. Whether it opens is for the caller to find out before.
pub fn sign(bytes: &[u8], keys: &PrivateKeys) -> Result<Vec<u8>> {
    let bytes = with_slots(bytes)?;
    let file = Sealed::read(&bytes)?.ok_or_else(unsigned)?;
    Ok(filled(bytes, file, DOMAIN, keys))
}

/// The bytes with signatures in their slots.
fn filled(mut bytes: Vec<u8>, file: Sealed, domain: &[u8], keys: &PrivateKeys) -> Vec<u8> {
    let [ed25519, p256] = keys.sign(&[domain, &file.bytes].concat());
    let ids = keys.public().0.map(|key| key.id().to_string()).join(",");
    for (slot, value) in file.slots.into_iter().zip([hex(&ed25519), ids, hex(&p256)]) {
        bytes[slot].copy_from_slice(value.as_bytes());
    }
    bytes
}

/// Who signed the bundle, by its own words: nothing is verified. None where it is not signed.
///
/// # Errors
/// `bundle_corrupt` where this is no bundle, `bundle_signature` where it has signatures without ids.
pub fn signers(bytes: &[u8]) -> Result<Option<Signers>> {
    match Sealed::read(bytes)? {
        Some(file) if !file.is_unsigned() => stated(&file).map(Some),
        _ => Ok(None),
    }
}

fn stated(file: &Sealed) -> Result<Signers> {
    let ids = file.values[1].split_once(',').and_then(|(a, b)| Some([KeyId::parse(a)?, KeyId::parse(b)?]));
    ids.ok_or_else(|| signature("it does not say by which keys it is signed"))
}

/// Verifies both signatures, each by the pinned key of the id that the bundle states.
///
/// A page verifies one of them, whichever its browser can. Here nothing but both will do, so that what passes here
/// passes everywhere.
///
/// # Errors
/// `bundle_corrupt`, `bundle_unsigned` or `bundle_signature`.
pub fn verify(bytes: &[u8], pinned: &PublicKeys) -> Result<Signers> {
    held(Sealed::read(bytes)?, DOMAIN, pinned)
}

fn held(file: Option<Sealed>, domain: &[u8], pinned: &PublicKeys) -> Result<Signers> {
    let file = file.filter(|file| !file.is_unsigned()).ok_or_else(unsigned)?;
    let ids = stated(&file)?;
    let message = [domain, &file.bytes].concat();
    for ((kind, id), value) in Kind::ALL.into_iter().zip(ids).zip([&file.values[0], &file.values[2]]) {
        let key = pinned.find(kind, id).ok_or_else(|| {
            signature(format!("it states the {kind} key {id}, which is none of those given: {}", pinned.ids(kind)))
        })?;
        let signed = unhex(value).is_some_and(|signed| key.verifies(&message, &signed));
        if !signed {
            return Err(signature(format!("its {kind} signature is not of these bytes by the key {id}")));
        }
    }
    Ok(ids)
}

fn unsigned() -> Error {
    Error::new(ErrorKind::BundleUnsigned, "it is not signed; sign it with `ranklet sign`")
}

fn signature(what: impl Display) -> Error {
    Error::new(
        ErrorKind::BundleSignature,
        format!("the signature is refused: {what}; fetch it again, or sign it with a pinned key"),
    )
}

/// Without texts on the way, which would be left in memory: it writes secrets too.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
    }
    text
}

/// Lower-case hex of exactly `N` bytes.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;

//! Keys, and the text that they are kept in.
//!
//! A line a key, `ed25519:` or `p256:` and hex; `#` begins a comment. A private file begins with [`PRIVATE`], so that
//! neither is taken for the other.

use super::{hex, unhex};
use crate::error::{Error, ErrorKind, Result};
use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// The first line of a private key file.
const PRIVATE: &str = "ranklet-private-key-v1";
const SECRET: usize = 32;

/// A kind of signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ed25519, RFC 8032.
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    P256,
}

impl Kind {
    /// In the order of a bundle's key ids.
    pub const ALL: [Kind; 2] = [Kind::Ed25519, Kind::P256];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Ed25519 => "ed25519",
            Kind::P256 => "p256",
        })
    }
}

/// The first 8 bytes of SHA-256 of a raw public key. It finds a key among the pinned ones, and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl KeyId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        unhex(text).map(KeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq)]
pub enum PublicKey {
    /// 32 bytes.
    Ed25519(ed25519_dalek::VerifyingKey),
    /// A point, 65 bytes uncompressed.
    P256(Box<p256::ecdsa::VerifyingKey>),
}

impl PublicKey {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            PublicKey::Ed25519(_) => Kind::Ed25519,
            PublicKey::P256(_) => Kind::P256,
        }
    }

    /// As WebCrypto imports it (`raw`): 32 bytes, or a point of 65.
    pub fn raw(&self) -> Vec<u8> {
        match self {
            PublicKey::Ed25519(key) => key.as_bytes().to_vec(),
            PublicKey::P256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        let digest = Sha256::digest(self.raw());
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        KeyId(id)
    }

    /// Whether `signature` is this key's of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        match self {
            PublicKey::Ed25519(key) => {
                key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
            }
            PublicKey::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(':')? {
            ("ed25519", text) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(&unhex(text)?).ok()?;
                // By a key of small order anything is signed.
                (!key.is_weak()).then_some(PublicKey::Ed25519(key))
            }
            ("p256", text) => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&unhex::<65>(text)?).ok()?;
                Some(PublicKey::P256(Box::new(key)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), hex(&self.raw()))
    }
}

/// Keys that are trusted, of both kinds. Several of a kind let one take the place of another.
#[derive(Debug, Clone)]
pub struct PublicKeys(Vec<PublicKey>);

impl PublicKeys {
    /// Reads a line a key.
    ///
    /// # Errors
    /// `key_invalid`: a line is no public key, or a kind has none.
    pub fn parse(text: &str) -> Result<Self> {
        let mut keys = Vec::new();
        for (number, line) in lines(text) {
            if line == PRIVATE {
                return Err(invalid("these are private keys; give the .pub file that keygen wrote beside them"));
            }
            // The line itself is not said: it may be part of a secret.
            let key = PublicKey::parse(line).ok_or_else(|| {
                invalid(format!("line {number} is no public key, ed25519:<64 hex digits> or p256:<130 hex digits>"))
            })?;
            keys.push(key);
        }
        let keys = PublicKeys(keys);
        match Kind::ALL.into_iter().find(|&kind| keys.of(kind).next().is_none()) {
            Some(kind) => Err(invalid(format!("there is no {kind} key; give the .pub file as keygen wrote it"))),
            None => Ok(keys),
        }
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().filter(move |key| key.kind() == kind)
    }

    pub(super) fn find(&self, kind: Kind, id: KeyId) -> Option<&PublicKey> {
        self.of(kind).find(|key| key.id() == id)
    }

    /// The ids of the keys of a kind, for people.
    pub(super) fn ids(&self, kind: Kind) -> String {
        self.of(kind).map(|key| key.id().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// The public half of a pair of keys, in the order of [`Kind::ALL`].
#[derive(Debug, Clone)]
pub struct PublicPair(pub [PublicKey; 2]);

impl fmt::Display for PublicPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| writeln!(f, "{key}"))
    }
}

/// One private key of each kind. Both are wiped when dropped, and there is no form of them for people.
pub struct PrivateKeys {
    ed25519: ed25519_dalek::SigningKey,
    p256: p256::ecdsa::SigningKey,
}

impl fmt::Debug for PrivateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeys")
    }
}

impl PrivateKeys {
    /// New ones, from the operating system's randomness.
    ///
    /// # Errors
    /// `io` where it has none.
    pub fn generate() -> Result<Self> {
        loop {
            let mut secrets = Zeroizing::new([[0u8; SECRET]; 2]);
            for secret in secrets.iter_mut() {
                getrandom::fill(secret).map_err(|e| {
                    Error::new(ErrorKind::Io, format!("the system gives no randomness: {e}; try on another machine"))
                })?;
            }
            // A number that is no P-256 key comes once in 2^32 times.
            if let Some(keys) = Self::from_secrets(&secrets[0], &secrets[1]) {
                return Ok(keys);
            }
        }
    }

    /// Of the two secrets: Ed25519's seed, P-256's number. None where the second is zero or too large.
    pub fn from_secrets(ed25519: &[u8; SECRET], p256: &[u8; SECRET]) -> Option<Self> {
        let p256 = p256::ecdsa::SigningKey::from_slice(p256).ok()?;
        Some(PrivateKeys { ed25519: ed25519_dalek::SigningKey::from_bytes(ed25519), p256 })
    }

    /// Reads what `to_text` wrote.
    ///
    /// # Errors
    /// `key_invalid`, without a word of the file's.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |what: &str| invalid(format!("{what}; give the .key file that keygen wrote"));
        let mut lines = lines(text).map(|(_, line)| line);
        if lines.next() != Some(PRIVATE) {
            return Err(bad("these are no private keys"));
        }
        let mut secrets: [Option<Zeroizing<[u8; SECRET]>>; 2] = [None, None];
        for line in lines {
            let (place, text) = match line.split_once(':') {
                Some(("ed25519", text)) => (&mut secrets[0], text),
                Some(("p256", text)) => (&mut secrets[1], text),
                _ => return Err(bad("a line is no key")),
            };
            if place.replace(Zeroizing::new(unhex(text).ok_or_else(|| bad("a key has not 64 hex digits"))?)).is_some() {
                return Err(bad("there are two keys of a kind"));
            }
        }
        let [Some(ed25519), Some(p256)] = secrets else { return Err(bad("a kind has no key")) };
        Self::from_secrets(&ed25519, &p256).ok_or_else(|| bad("the p256 key is out of range"))
    }

    /// The text of a private key file. Whoever holds it signs as you.
    pub fn to_text(&self) -> Zeroizing<String> {
        let [ed25519, p256] = [Zeroizing::new(self.ed25519.to_bytes()), Zeroizing::new(self.p256.to_bytes().into())];
        let [ed25519, p256] = [Zeroizing::new(hex(&ed25519[..])), Zeroizing::new(hex(&p256[..]))];
        // One allocation: what a growing text leaves behind is not wiped.
        let mut text = Zeroizing::new(String::with_capacity(256));
        for part in [PRIVATE, "\ned25519:", &ed25519, "\np256:", &p256, "\n"] {
            text.push_str(part);
        }
        text
    }

    /// The public halves.
    pub fn public(&self) -> PublicPair {
        PublicPair([
            PublicKey::Ed25519(self.ed25519.verifying_key()),
            PublicKey::P256(Box::new(*self.p256.verifying_key())),
        ])
    }

    /// Both signatures of a message, in the order of [`Kind::ALL`].
    pub(super) fn sign(&self, message: &[u8]) -> [[u8; 64]; 2] {
        let p256: p256::ecdsa::Signature = self.p256.sign(message);
        [self.ed25519.sign(message).to_bytes(), p256.to_bytes().into()]
    }
}

/// Lines that hold something, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .map(str::trim)
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn invalid(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::KeyInvalid, format!("not the keys that are needed: {what}"))
}

//! Nothing but what was signed passes; and the vectors that a page's verifier is held to (`tests/fixtures/signing`).

use super::*;
use crate::bundle::Bundle;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Keys that everybody knows: their secrets are hashes of a sentence.
pub(super) fn keys(name: &str) -> PrivateKeys {
    let secret =
        |kind: Kind| Sha256::digest(format!("ranklet's test keys, for no bundle of yours: {name} {kind}")).into();
    PrivateKeys::from_secrets(&secret(Kind::Ed25519), &secret(Kind::P256)).unwrap()
}

pub(super) fn pinned(names: &[&str]) -> PublicKeys {
    PublicKeys::parse(&names.iter().map(|name| keys(name).public().to_string()).collect::<String>()).unwrap()
}

/// A small bundle that is not signed.
fn bundle(data: &[u8]) -> Vec<u8> {
    let manifest = r#"{\"format\":1,\"minor\":0,\"note\":\"\\\"ranklet.signature.ed25519\\\":\\\"\"}"#;
    let zeros = "0".repeat(64);
    let header = format!(
        r#"{{"__metadata__":{{"ranklet":"{manifest}","sha256":"{zeros}"}},"a":{{"data_offsets":[0,{n}],"dtype":"U8","shape":[{n}]}}}}"#,
        n = data.len()
    );
    with_slots(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()).unwrap()
}

fn refused(bytes: &[u8], pinned: &PublicKeys) -> Option<ErrorKind> {
    verify(bytes, pinned).err().map(|error| error.kind())
}

const REFUSALS: [ErrorKind; 3] = [ErrorKind::BundleCorrupt, ErrorKind::BundleUnsigned, ErrorKind::BundleSignature];

#[test]
fn a_signed_bundle_opens_with_the_same_content_and_the_same_bytes_each_time() {
    let unsigned = bundle(b"some weights");
    let signed = sign(&unsigned, &keys("one")).unwrap();
    assert_eq!(signed, sign(&unsigned, &keys("one")).unwrap());
    assert_eq!(signed, sign(&sign(&signed, &keys("two")).unwrap(), &keys("one")).unwrap(), "signed anew");
    assert_eq!(Sealed::content_digest(&signed).unwrap(), Sealed::content_digest(&unsigned).unwrap());
    let (was, is) = (Bundle::read(&unsigned).unwrap(), Bundle::read(&signed).unwrap());
    assert_eq!((was.manifest_json(), &was.tensors, was.size), (is.manifest_json(), &is.tensors, is.size));
    assert_ne!(was.digest, is.digest, "the file is another one");
    assert_eq!(signers(&unsigned).unwrap(), None);
    let ids = keys("one").public().0.map(|key| key.id());
    assert_eq!((signers(&signed).unwrap(), verify(&signed, &pinned(&["one"])).unwrap()), (Some(ids), ids));
    assert!(safetensors::SafeTensors::deserialize(&signed).is_ok());
}

#[test]
fn an_old_bundle_is_given_slots() {
    let old = old_bundle();
    assert_eq!((signers(&old).unwrap(), refused(&old, &pinned(&["one"]))), (None, Some(ErrorKind::BundleUnsigned)));
    let (was, is) = (Bundle::read(&old).unwrap(), Bundle::read(&sign(&old, &keys("one")).unwrap()).unwrap());
    // As text: there are NaNs among the goldens.
    assert!(was.manifest_json() == is.manifest_json() && format!("{:?}", was.tensors) == format!("{:?}", is.tensors));
    // Rounded up, as safetensors' writers do.
    assert!((is.size - was.size).is_multiple_of(8));
}

#[test]
fn every_bit_and_every_cut_is_refused() {
    let signed = sign(&bundle(b"weights!"), &keys("one")).unwrap();
    let pinned = pinned(&["one"]);
    for at in 0..signed.len() {
        for bit in 0..8 {
            let mut bytes = signed.clone();
            bytes[at] ^= 1 << bit;
            let kind = refused(&bytes, &pinned);
            assert!(kind.is_some_and(|kind| REFUSALS.contains(&kind)), "bit {bit} of byte {at}: {kind:?}");
        }
        assert!(refused(&signed[..at], &pinned).is_some(), "cut at {at}");
    }
    assert!(refused(&[&signed[..], b"\0"].concat(), &pinned).is_some(), "a byte more");
}

/// What stands in a slot is read as zeros by whoever hashes, and as JSON by whoever opens: it must not say anything.
#[test]
fn words_in_a_slot_are_refused_by_every_reader() {
    let signed = sign(&bundle(b"weights!"), &keys("one")).unwrap();
    let slots = Sealed::read(&signed).unwrap().unwrap().slots;
    let evil = r#"","ranklet":"{\"format\":1,\"minor\":0,\"evil\":1}","x":""#;
    let mut bytes = signed.clone();
    bytes[slots[2].start..slots[2].start + evil.len()].copy_from_slice(evil.as_bytes());
    // Ed25519's signature still holds, and another reader takes the last manifest of two.
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let read: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    assert!(read["__metadata__"]["ranklet"].as_str().unwrap().contains("evil"));
    assert_eq!(Bundle::read(&bytes).unwrap_err().kind(), ErrorKind::BundleCorrupt);
    assert_eq!(refused(&bytes, &pinned(&["one"])), Some(ErrorKind::BundleCorrupt));
    // Commas and ids of other shapes say nothing to a reader of JSON: who verifies refuses them.
    for (slot, text, opens) in [
        (0, "A".repeat(128), false),
        (2, "\u{7f}".to_owned(), false),
        (1, ",".repeat(33), true),
        (1, "0".repeat(17), true),
    ] {
        let mut bytes = signed.clone();
        bytes[slots[slot].start..slots[slot].start + text.len()].copy_from_slice(text.as_bytes());
        assert_eq!(Bundle::read(&bytes).is_ok(), opens, "{text}");
        assert!(refused(&bytes, &pinned(&["one"])).is_some());
    }
}

#[test]
fn keys_of_another_kind_other_keys_and_private_ones_are_told_apart() {
    let one = keys("one");
    let PublicPair([ed25519, p256]) = one.public();
    for (text, word) in [
        (String::new(), "no ed25519 key"),
        (format!("{ed25519}\n"), "no p256 key"),
        (format!("{p256}\n"), "no ed25519 key"),
        (format!("{ed25519}\np256:{}\n", &ed25519.to_string()[8..]), "line 2"),
        (format!("# keys\n\ned25519:{}\n", &p256.to_string()[5..]), "line 3"),
        (format!("{}\n", ed25519.to_string().to_uppercase()), "line 1"),
        // The neutral element: everything is signed by it.
        (format!("ed25519:01{}\n", "00".repeat(31)), "line 1"),
        // No point of the curve.
        (format!("p256:04{}\n", "01".repeat(64)), "line 1"),
        (one.to_text().to_string(), "private keys"),
    ] {
        let error = PublicKeys::parse(&text).unwrap_err();
        assert!(error.kind() == ErrorKind::KeyInvalid && error.message().contains(word), "{word}: {error}");
        let secret = one.to_text().lines().nth(1).unwrap()[8..].to_owned();
        assert!(!error.to_string().contains(&secret) && !format!("{one:?}").contains(&secret));
    }
    let text = one.to_text();
    let parsed = PrivateKeys::parse(&text).unwrap();
    assert_eq!((parsed.to_text(), parsed.public().to_string()), (one.to_text(), one.public().to_string()));
    for bad in [
        one.public().to_string(),
        text.replacen("p256", "ed25519", 1),
        text.replacen("p256:", "p256:00", 1),
        text.replacen("p256", "p512", 1),
        format!("{}\np256:{}\n", text.lines().take(2).collect::<Vec<_>>().join("\n"), "f".repeat(64)),
        text.lines().take(2).collect::<Vec<_>>().join("\n"),
    ] {
        assert_eq!(PrivateKeys::parse(&bad).unwrap_err().kind(), ErrorKind::KeyInvalid);
    }
    assert_ne!(*PrivateKeys::generate().unwrap().to_text(), *PrivateKeys::generate().unwrap().to_text());
    // A key of one pair with a signature of the other's.
    let signed = sign(&bundle(b"weights"), &one).unwrap();
    let PublicPair([_, other]) = keys("two").public();
    let mixed = PublicKeys::parse(&format!("{ed25519}\n{other}\n")).unwrap();
    let error = verify(&signed, &mixed).unwrap_err();
    assert!(error.message().contains(&p256.id().to_string()) && error.message().contains(&other.id().to_string()));
}

/// RFC 6979, A.2.5 (SHA-256, "sample") and RFC 8032, 7.1 (test 2).
#[test]
fn signatures_are_those_of_the_standards() {
    let secret = |text| unhex::<32>(text).unwrap();
    let keys = PrivateKeys::from_secrets(
        &secret("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
        &secret("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"),
    )
    .unwrap();
    assert_eq!(
        hex(&keys.sign(b"sample")[1]),
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    );
    assert_eq!(
        hex(&keys.sign(b"\x72")[0]),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn signatures_belong_to_their_file_and_their_keys(
        a in prop::collection::vec(any::<u8>(), 0..200), b in prop::collection::vec(any::<u8>(), 0..200), slot in 0usize..3,
    ) {
        let (one, two, both) = (pinned(&["one"]), pinned(&["two"]), pinned(&["one", "two"]));
        let [signed_a, signed_b] = [&a, &b].map(|data| sign(&bundle(data), &keys("one")).unwrap());
        prop_assert!(verify(&signed_a, &one).is_ok() && verify(&signed_a, &both).is_ok());
        prop_assert_eq!(refused(&signed_a, &two), Some(ErrorKind::BundleSignature));
        // Another file's signature, or another key's, in one slot or in all.
        let others = [&signed_b, &sign(&signed_a, &keys("two")).unwrap()];
        for (other, same) in others.into_iter().zip([a == b, false]) {
            for swapped in [vec![slot], vec![0, 1, 2]] {
                let mut forged = signed_a.clone();
                let from = Sealed::read(other).unwrap().unwrap();
                for &i in &swapped {
                    let to = Sealed::read(&signed_a).unwrap().unwrap().slots[i].clone();
                    forged[to].copy_from_slice(from.values[i].as_bytes());
                }
                // The ids of two files signed by the same keys are the same.
                let no_change = same || forged == signed_a;
                prop_assert_eq!(refused(&forged, &one).is_none(), no_change);
            }
        }
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signing").join(name)
}

/// One without slots, that a page opens.
fn old_bundle() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat/1.0/compat.ranklet")).unwrap()
}

/// A file as it must be; written anew with `RANKLET_WRITE_FIXTURES=1 cargo test --release --features signing --lib signing::`.
fn committed(name: &str, expected: &[u8]) {
    if std::env::var_os("RANKLET_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(path("")).unwrap();
        std::fs::write(path(name), expected).unwrap();
    }
    let found = std::fs::read(path(name)).unwrap_or_default();
    // The order of keys is serde_json's, which depends on what else is built.
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let same = if name.ends_with(".json") { json(&found) == json(expected) } else { found == expected };
    assert!(same, "{name} is not what its generator makes: write the fixtures anew");
}

/// A change to the signed file: text over what stands at a byte, or a new length.
fn edited(bytes: &[u8], case: &Value) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for edit in case["edits"].as_array().into_iter().flatten() {
        let (at, text) = (edit["at"].as_u64().unwrap() as usize, edit["text"].as_str().unwrap());
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let length = case["length"].as_u64().map_or(bytes.len(), |n| n as usize);
    bytes.truncate(length);
    bytes
}

#[test]
fn vectors_for_every_verifier_are_what_they_say() {
    let mark = "# TEST KEYS, PUBLISHED WITH THE SOURCE: whoever trusts them trusts everybody.\n";
    let unsigned = with_slots(&old_bundle()).unwrap();
    let signed = sign(&unsigned, &keys("one")).unwrap();
    committed("signed.ranklet", &signed);
    for name in ["one", "two"] {
        committed(&format!("{name}.test.pub"), format!("{mark}{}", keys(name).public()).as_bytes());
    }
    committed("one.test.key", format!("{mark}{}", &*keys("one").to_text()).as_bytes());

    let file = Sealed::read(&signed).unwrap().unwrap();
    let of = |bytes: &[u8]| Sealed::read(bytes).unwrap().unwrap().values;
    let put = |slot: usize, text: &str| json!({ "at": file.slots[slot].start, "text": text });
    let another = of(&sign(&bundle(b"another"), &keys("one")).unwrap());
    let twos = of(&sign(&unsigned, &keys("two")).unwrap());
    let bare = keys("one").sign(&file.bytes).map(|signature| hex(&signature));
    let turned = |slot: usize| put(slot, if file.values[slot].starts_with('0') { "1" } else { "0" });
    let zeros = |slot: usize| put(slot, &"0".repeat(file.values[slot].len()));
    let case = |name: &str, edits: Vec<Value>, codes: &[&str]| json!({ "name": name, "edits": edits, "keys": ["one"], "codes": codes });
    let (signature, unsigned_code) = (&["bundle_signature"][..], &["bundle_unsigned"][..]);
    let malformed = &["bundle_corrupt", "bundle_signature"][..];
    let mut cases = vec![
        case("as it was signed", vec![], &[]),
        case("another tensor's byte", vec![json!({ "at": signed.len() - 1, "text": "~" })], signature),
        case("a digit of the ed25519 signature", vec![turned(0)], signature),
        case("a digit of an id", vec![turned(1)], signature),
        case("a digit of the p256 signature", vec![turned(2)], signature),
        case("no ed25519 signature, its id left", vec![zeros(0)], signature),
        case("no p256 signature, its id left", vec![zeros(2)], signature),
        case("zeros in every slot", vec![zeros(0), zeros(1), zeros(2)], unsigned_code),
        case("an upper-case digit", vec![put(0, "A")], malformed),
        case("words in a slot", vec![put(2, r#"","ranklet":"{}","x":""#)], malformed),
        case("ids without a comma", vec![json!({ "at": file.slots[1].start + 16, "text": "0" })], malformed),
        case("signatures of another bundle", vec![put(0, &another[0]), put(2, &another[2])], signature),
        case("signed by keys that are not pinned", (0..3).map(|i| put(i, &twos[i])).collect(), signature),
        case("another's signatures under pinned ids", vec![put(0, &twos[0]), put(2, &twos[2])], signature),
        case("signed without the domain", vec![put(0, &bare[0]), put(2, &bare[1])], signature),
    ];
    cases.push(json!({ "name": "cut", "edits": [], "length": signed.len() - 1, "keys": ["one"], "codes": signature }));
    cases.push(json!({ "name": "cut in the header", "edits": [], "length": 100, "keys": ["one"], "codes": ["bundle_corrupt"] }));
    cases
        .push(json!({ "name": "rotation: old and new keys pinned", "edits": [], "keys": ["two", "one"], "codes": [] }));
    cases.push(
        json!({ "name": "after rotation: the old keys are revoked", "edits": [], "keys": ["two"], "codes": signature }),
    );
    let message = [DOMAIN, &file.bytes].concat();
    let [ed25519, ids, p256] = &file.values;
    let document = json!({
        "note": "signed.ranklet with `edits` (text over what stands at a byte), cut to `length`, verified with the keys of KEY.test.pub: `codes` lists the codes that it may be refused with; none, it is accepted",
        "domain": "ranklet-bundle-v1\u{0}",
        "message_sha256": hex(&Sha256::digest(&message)),
        "slots": { "ed25519": [file.slots[0].start, file.slots[0].end], "keys": [file.slots[1].start, file.slots[1].end], "p256": [file.slots[2].start, file.slots[2].end] },
        "values": { "ed25519": ed25519, "keys": ids, "p256": p256 },
        "content_sha256": Sealed::content_digest(&signed).unwrap(),
        "cases": cases,
    });
    committed("vectors.json", format!("{document:#}\n").as_bytes());
    for case in document["cases"].as_array().unwrap() {
        let names: Vec<&str> = case["keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let code = refused(&edited(&signed, case), &pinned(&names)).map(ErrorKind::code);
        let codes: Vec<&str> = case["codes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(code.is_none(), codes.is_empty(), "{case}");
        assert!(code.is_none_or(|code| codes.contains(&code)), "{code:?} {case}");
    }
}

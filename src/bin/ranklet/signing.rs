//! `ranklet keygen`, `ranklet sign` and `ranklet verify`.

use crate::{cli, files};
use ranklet::bundle::{Sealed, section};
use ranklet::signing::{self, Kind, PrivateKeys, PublicKeys, Signers};
use ranklet::{Error, ErrorKind, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// More than any key file has.
const MAX_KEYS: usize = 64 << 10;

pub fn keygen(args: &cli::Keygen) -> Result<ExitCode> {
    let (private, public) = (with(&args.output, "key"), with(&args.output, "pub"));
    if let Some(there) = [&private, &public].into_iter().find(|path| path.exists()) {
        let what = format!("{} is there already, and a key that is lost is lost; give another name", there.display());
        return Err(Error::new(ErrorKind::Io, what));
    }
    let keys = PrivateKeys::generate()?;
    create(&private, keys.to_text().as_bytes(), true)?;
    create(&public, keys.public().to_string().as_bytes(), false)?;
    files::print(&format!("private keys  {}", private.display()));
    files::print(&format!("public keys   {}", public.display()));
    for (kind, key) in Kind::ALL.iter().zip(keys.public().0) {
        files::print(&format!("  {kind:<12}{}", key.id()));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn sign(args: &cli::Sign) -> Result<ExitCode> {
    let keys = private(&args.key)?;
    let bytes = files::read(&args.bundle)?;
    if section::is_wasm(&bytes) {
        let what = format!("{} is a module: sign the bundle, then embed it", args.bundle.display());
        return Err(Error::new(ErrorKind::RequestInvalid, what));
    }
    let output = args.output.as_ref().unwrap_or(&args.bundle);
    if signing::is_channel(&bytes) {
        let signed = signing::sign_channel(&bytes, &keys).map_err(|e| e.at(args.bundle.display()))?;
        files::write(output, &signed)?;
        files::print(&format!("{} signed", output.display()));
        files::print(&by(&signing::verify_channel(&signed, &public_of(&keys)?)?));
        return Ok(ExitCode::SUCCESS);
    }
    // What does not open is not signed: whoever trusts the signature would only be told so by every device.
    files::open_bytes(&args.bundle, &bytes)?;
    let signed = signing::sign(&bytes, &keys).map_err(|e| e.at(args.bundle.display()))?;
    files::write(output, &signed)?;
    files::print(&format!("{} signed", output.display()));
    files::print(&by(&signing::verify(&signed, &public_of(&keys)?)?));
    files::print(&format!("  content       {}", Sealed::content_digest(&signed)?));
    Ok(ExitCode::SUCCESS)
}

pub fn verify(args: &cli::Verify) -> Result<ExitCode> {
    let text = files::read_text(&args.keys)?;
    let keys = PublicKeys::parse(&text).map_err(|e| e.at(args.keys.display()))?;
    let bytes = files::bundle(&args.bundle)?;
    let is_channel = signing::is_channel(&bytes);
    let verified = if is_channel { signing::verify_channel(&bytes, &keys) } else { signing::verify(&bytes, &keys) };
    let signers = verified.map_err(|e| e.at(args.bundle.display()))?;
    files::print(&format!("{} is what was signed", args.bundle.display()));
    files::print(&by(&signers));
    if !is_channel {
        files::print(&format!("  content       {}", Sealed::content_digest(&bytes)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// By which keys.
pub fn by(signers: &Signers) -> String {
    let ids = Kind::ALL.iter().zip(signers).map(|(kind, id)| format!("{kind} {id}"));
    format!("  signed by     {}", ids.collect::<Vec<_>>().join(", "))
}

fn public_of(keys: &PrivateKeys) -> Result<PublicKeys> {
    PublicKeys::parse(&keys.public().to_string())
}

/// The name with an ending behind it, whatever dots it has.
fn with(name: &Path, ending: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// A private key file, wiped from memory when it is dropped.
fn private(path: &Path) -> Result<PrivateKeys> {
    let failed = |e| Error::new(ErrorKind::Io, format!("cannot read {}: {e}; check the path", path.display()));
    let file = File::open(path).map_err(failed)?;
    if readable_by_others(&file) {
        anstream::eprintln!("warning: others can read {0}; chmod 600 {0}", path.display());
    }
    // No more room than the file needs: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEYS));
    file.take(MAX_KEYS as u64).read_to_string(&mut text).map_err(failed)?;
    PrivateKeys::parse(&text).map_err(|e| e.at(path.display()))
}

#[cfg(unix)]
fn readable_by_others(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_: &File) -> bool {
    false
}

/// A new file, which only its owner reads if it is private: from its first moment, not by a change afterwards.
fn create(path: &Path, bytes: &[u8], private: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if private { 0o600 } else { 0o644 });
    }
    let failed = |e| Error::new(ErrorKind::Io, format!("cannot write {}: {e}; check the folder", path.display()));
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

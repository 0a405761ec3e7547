//! One opaque error for the whole crate. Its [`ErrorKind`] is the stable part: the same
//! codes, spelled the same, stand in the TypeScript face and in the README's table.

use std::fmt;

/// Why something was refused, or why a ranking is the server's order.
///
/// The set is open: callers must handle codes they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a whole, unaltered bundle.
    BundleCorrupt,
    /// The bundle is well-formed but needs a newer runtime.
    BundleIncompatible,
    /// The plan did not reproduce its golden outputs on this machine.
    SelfTestFailed,
    /// A request or event is malformed.
    RequestInvalid,
    /// The data do not have the form that the model's schema names.
    SchemaMismatch,
    /// A stated cap was passed.
    LimitExceeded,
    /// A head gave NaN or an infinity.
    ScoreNotFinite,
    /// The work budget is less than the first screen.
    DeadlineExceeded,
    /// The bundle carries no signature (command line; a page's verifier gives the same code).
    BundleUnsigned,
    /// The bundle's signature is not of its bytes by a pinned key (command line; a page's verifier gives the same code).
    BundleSignature,
    /// A key file is not what was asked for (command line only).
    KeyInvalid,
    /// The specification of a bundle is wrong (command line only).
    SpecInvalid,
    /// The ONNX graph cannot be read or lowered (command line only).
    ModelUnsupported,
    /// A plan disagrees with its oracle at compile (command line only).
    GoldenMismatch,
    /// A replay does not give what was recorded (command line only).
    ReplayDiffers,
    /// A file could not be read or written (command line only).
    Io,
}

impl ErrorKind {
    /// Every kind that a runtime can give as a reason, in the order of the wasm boundary's index.
    pub const REASONS: [ErrorKind; 8] = [
        ErrorKind::BundleCorrupt,
        ErrorKind::BundleIncompatible,
        ErrorKind::SelfTestFailed,
        ErrorKind::RequestInvalid,
        ErrorKind::SchemaMismatch,
        ErrorKind::LimitExceeded,
        ErrorKind::ScoreNotFinite,
        ErrorKind::DeadlineExceeded,
    ];

    /// The stable code, e.g. `bundle_corrupt`.
    pub const fn code(self) -> &'static str {
        match self {
            ErrorKind::BundleCorrupt => "bundle_corrupt",
            ErrorKind::BundleIncompatible => "bundle_incompatible",
            ErrorKind::SelfTestFailed => "self_test_failed",
            ErrorKind::RequestInvalid => "request_invalid",
            ErrorKind::SchemaMismatch => "schema_mismatch",
            ErrorKind::LimitExceeded => "limit_exceeded",
            ErrorKind::ScoreNotFinite => "score_not_finite",
            ErrorKind::DeadlineExceeded => "deadline_exceeded",
            ErrorKind::BundleUnsigned => "bundle_unsigned",
            ErrorKind::BundleSignature => "bundle_signature",
            ErrorKind::KeyInvalid => "key_invalid",
            ErrorKind::SpecInvalid => "spec_invalid",
            ErrorKind::ModelUnsupported => "model_unsupported",
            ErrorKind::GoldenMismatch => "golden_mismatch",
            ErrorKind::ReplayDiffers => "replay_differs",
            ErrorKind::Io => "io",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What went wrong, where, and the mend, in one line; `kind()` for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` whose message names what, where and the mend.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into() }
    }

    /// The stable kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without the code.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error, its message preceded by where it happened.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.kind.code())
    }
}

impl std::error::Error for Error {}

/// What is wrong with a bundle, in words for those who compile one. In a page, which gets bundles that compile
/// accepted, the place and the code must do: the words are several kilobytes there.
pub(crate) const fn detail(what: &'static str) -> &'static str {
    if cfg!(feature = "compile") { what } else { "malformed" }
}

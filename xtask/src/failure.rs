//! The one error of xtask: what went wrong, where, and the line that mends it.

use std::fmt;
use std::path::Path;

/// Printed as the last line on stderr: `error: what, where, mend`.
#[derive(Debug)]
pub struct Failure {
    what: String,
    place: String,
    mend: String,
}

impl Failure {
    /// `mend` is a command or a change the reader can make at once.
    pub fn new(what: impl Into<String>, place: impl fmt::Display, mend: impl Into<String>) -> Self {
        Self { what: what.into(), place: place.to_string(), mend: mend.into() }
    }

    /// A file-system call that failed on `path`.
    pub fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::new(error.to_string(), path.display(), "check that the path exists and can be written")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.what, self.place, self.mend)
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

/// Names the file in the error of a file-system call.
pub trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| Failure::file(path, &error))
    }
}

//! What stands in the way of a lowering, collected so that all of it is said at once.

use crate::error::{Error, ErrorKind, Result};

/// Problems and warnings in the order of the graph.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<String>,
    /// What was done otherwise than the graph says, though it could be lowered.
    pub warnings: Vec<String>,
}

impl Problems {
    /// A node that cannot be lowered, and the change that would help.
    pub fn add(&mut self, node: &str, op: &str, help: impl std::fmt::Display) {
        let line = format!("`{node}` ({op}): {help}");
        if !self.list.contains(&line) {
            self.list.push(line);
        }
    }

    /// An output that depends on something refused; only said where nothing else explains it.
    pub fn lost(&mut self, output: &str) {
        if self.list.is_empty() {
            self.add(output, "output", "it reads an output of a node that the plan does not give");
        }
    }

    /// Something the author of the model should know.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// All problems as one error.
    pub fn check(&self) -> Result<()> {
        match self.list.len() {
            0 => Ok(()),
            1 => Err(Error::new(ErrorKind::ModelUnsupported, format!("1 node cannot be lowered: {}", self.list[0]))),
            n => Err(Error::new(
                ErrorKind::ModelUnsupported,
                format!("{n} nodes cannot be lowered: {}", self.list.join("; ")),
            )),
        }
    }
}

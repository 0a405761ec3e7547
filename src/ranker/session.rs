//! A session owns the local context of one user and account; two sessions share no bit.

use crate::context::{Context, ContextSpec, Event};
use crate::error::Result;
use crate::features::Table;
use std::collections::BTreeMap;

/// Candidates whose identity a session remembers, to resolve events.
const MAX_KNOWN: usize = 65_536;

/// The local context of one user and account, and the identities of the candidates it was shown.
#[derive(Debug, Clone)]
pub struct Session {
    context: Context,
    /// Row id to key.
    keys: BTreeMap<String, String>,
    /// Key to type.
    types: BTreeMap<String, String>,
}

impl Session {
    /// A session without context.
    ///
    /// # Errors
    /// `schema_mismatch` when the bundle's context section is out of range.
    pub fn new(spec: &ContextSpec) -> Result<Session> {
        Ok(Session { context: Context::new(spec)?, keys: BTreeMap::new(), types: BTreeMap::new() })
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The context, to restore or forget it.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Learns the identities of a response's candidates: of equal ids the newest holds.
    pub fn learn(&mut self, table: &Table) {
        if self.keys.len() + table.len() > MAX_KNOWN {
            self.keys.clear();
            self.types.clear();
        }
        for row in 0..table.len() {
            self.keys.insert(table.id(row).to_owned(), table.key(row).to_owned());
            if let Some(kind) = table.candidate_type(row) {
                self.types.insert(table.key(row).to_owned(), kind.to_owned());
            }
        }
    }

    /// Takes in an event. A candidate id that no list of this session named counts as a key.
    /// Returns false for a duplicate.
    ///
    /// # Errors
    /// `request_invalid` when a field does not fit the event's type; nothing is changed then.
    pub fn observe(&mut self, event: &Event) -> Result<bool> {
        event.check()?;
        let by_id = event.candidate.as_ref().map(|id| self.keys.get(id).unwrap_or(id).as_str());
        let key = event.key.as_deref().or(by_id);
        let known = key.and_then(|k| self.types.get(k)).map(String::as_str);
        let kind = event.candidate_type.as_deref().or(known);
        Ok(self.context.observe(event, key, kind))
    }
}

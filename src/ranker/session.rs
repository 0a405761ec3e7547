//! A session owns the local context of one user and account; two sessions share no bit.

use crate::context::{Context, ContextSpec, Event};
use crate::error::Result;
use crate::features::Table;

/// The local context of one user and account.
#[derive(Debug, Clone)]
pub struct Session {
    context: Context,
}

impl Session {
    /// A session without context.
    ///
    /// # Errors
    /// `schema_mismatch` when the bundle's context section is out of range.
    pub fn new(spec: &ContextSpec) -> Result<Session> {
        Ok(Session { context: Context::new(spec)? })
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The context, to restore or forget it.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Takes in an event. `shown` are the session's responses, the newest first: they tell the key of a
    /// candidate's id, and a key's type. An id that none of them holds counts as a key.
    /// Returns false for a duplicate.
    ///
    /// # Errors
    /// `request_invalid` when a field does not fit the event's type; nothing is changed then.
    pub fn observe(&mut self, event: &Event, shown: &[&Table]) -> Result<bool> {
        event.check()?;
        let find = |is: &dyn Fn(&Table, usize) -> bool| {
            shown.iter().find_map(|table| (0..table.len()).find(|&row| is(table, row)).map(|row| (*table, row)))
        };
        let by_id = event.candidate.as_deref().map(|id| match find(&|table, row| table.id(row) == id) {
            Some((table, row)) => table.key(row),
            None => id,
        });
        let key = event.key.as_deref().or(by_id);
        let kind = event.candidate_type.as_deref().or_else(|| {
            let (table, row) = find(&|table, row| Some(table.key(row)) == key)?;
            table.candidate_type(row)
        });
        Ok(self.context.observe(event, key, kind))
    }
}

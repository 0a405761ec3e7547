//! A session owns the local context of one user and account; two sessions share no bit.

use super::open::Ranker;
use crate::context::{Context, ContextSpec, Event, EventKind};
use crate::error::Result;
use crate::features::Table;

/// The local context of one user and account.
#[derive(Debug, Clone)]
pub struct Session {
    context: Context,
}

/// A response that a session was shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its candidates.
    pub table: &'a Table,
    /// What tells it from other responses ([`list_name`]); None: impressions in it are not told apart.
    pub list: Option<&'a str>,
}

/// What tells a response from another: an impression counts once for each of these and a key. The page's face has the same.
pub fn list_name(list_id: Option<&str>, decision_id: Option<&str>, now: f64) -> String {
    let now = (now.floor() as i64).to_string();
    [list_id.unwrap_or_default(), decision_id.unwrap_or_default(), &now].join("/")
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

    /// As [`observe_in`](Self::observe_in), for responses of which only one was shown, or that need no telling apart.
    ///
    /// # Errors
    /// As [`observe_in`](Self::observe_in).
    pub fn observe(&mut self, event: &Event, shown: &[&Table]) -> Result<bool> {
        let shown: Vec<Shown<'_>> = shown.iter().map(|table| Shown { table, list: None }).collect();
        self.observe_in(event, &shown)
    }

    /// Takes in an event. `shown` are the session's responses, the newest first: they tell the key of a
    /// candidate's id, a key's type, and the list of an impression. An id that none of them holds counts as a key.
    /// Returns false for a duplicate.
    ///
    /// # Errors
    /// `request_invalid` when a field does not fit the event's type; nothing is changed then.
    pub fn observe_in(&mut self, event: &Event, shown: &[Shown<'_>]) -> Result<bool> {
        event.check()?;
        let find = |is: &dyn Fn(&Table, usize) -> bool| {
            shown.iter().find_map(|shown| {
                let row = (0..shown.table.len()).find(|&row| is(shown.table, row))?;
                Some((shown, row))
            })
        };
        let by_id = event.candidate.as_deref().map(|id| (id, find(&|table, row| table.id(row) == id)));
        let key = event.key.as_deref().or(by_id.map(|(id, found)| found.map_or(id, |(s, row)| s.table.key(row))));
        let by_key = find(&|table, row| Some(table.key(row)) == key);
        let kind = event.candidate_type.as_deref().or_else(|| by_key.and_then(|(s, row)| s.table.candidate_type(row)));
        // The list is that of the id, where there is one: two responses may hold the same key.
        let list = by_id.and_then(|(_, found)| found).or(by_key).and_then(|(s, _)| s.list);
        let mut happening = event.happening();
        (happening.key, happening.candidate_type) = (key, kind);
        happening.list = happening.list.or(list);
        Ok(self.context.observe(&happening))
    }
}

impl Ranker {
    /// Whether the bundle's policy has a list re-ranked after an event of this kind, which `context` has taken in.
    pub fn due(&self, kind: EventKind, context: &Context) -> bool {
        // Where counting stopped nobody has answered for long, and more of the same is no news.
        let unopened = Some(context.unopened()).filter(|&count| count < Context::MAX_UNOPENED).unwrap_or(0);
        self.policy.due(kind, unopened as u32)
    }
}

//! An error as PostgreSQL tells it: severity, SQLSTATE, message, detail, hint.

use super::SqlState;

/// How bad it is for the session (PostgreSQL's `elog.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed; the session lives on.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    /// The word that goes into the fields `S` and `V`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// An error that may be shown to a client: what happened, where, and what to do about it.
/// Boxed inside, so that a `Result` stays small.
#[derive(Clone, Debug)]
pub struct PgError(Box<Fields>);

#[derive(Clone, Debug)]
struct Fields {
    severity: Severity,
    code: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    about: Vec<(u8, String)>,
}

impl PgError {
    /// The fields that name what an error is about: schema, table, column, data type, constraint
    /// (PostgreSQL's documentation, "Error and Notice Message Fields").
    pub const ABOUT: [u8; 5] = *b"stcdn";

    /// An ERROR: the session lives on.
    pub fn error(code: SqlState, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A FATAL: the connection is closed after it was sent.
    pub fn fatal(code: SqlState, message: impl Into<String>) -> Self {
        Self::new(Severity::Fatal, code, message.into())
    }

    fn new(severity: Severity, code: SqlState, message: String) -> Self {
        Self(Box::new(Fields { severity, code, message, detail: None, hint: None, about: Vec::new() }))
    }

    /// The same error with a DETAIL.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same error with a HINT: the thing to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with a field of [`Self::ABOUT`].
    #[must_use]
    pub fn about(mut self, field: u8, name: String) -> Self {
        self.0.about.push((field, name));
        self
    }

    /// What it is about.
    pub fn about_fields(&self) -> &[(u8, String)] {
        &self.0.about
    }

    /// The same error as a FATAL one.
    #[must_use]
    pub fn into_fatal(mut self) -> Self {
        self.0.severity = Severity::Fatal;
        self
    }

    /// The same error as an ERROR after which the session lives on.
    #[must_use]
    pub fn into_error(mut self) -> Self {
        self.0.severity = Severity::Error;
        self
    }

    pub fn severity(&self) -> Severity {
        self.0.severity
    }

    pub fn code(&self) -> SqlState {
        self.0.code
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The DETAIL, if any.
    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The HINT, if any.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl std::fmt::Display for PgError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} (SQLSTATE {})", self.severity().as_str(), self.message(), self.code())?;
        if let Some(detail) = self.detail_text() {
            write!(f, "\nDETAIL: {detail}")?;
        }
        if let Some(hint) = self.hint_text() {
            write!(f, "\nHINT: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PgError {}

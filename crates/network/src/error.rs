//! What can go wrong, with the item it went wrong at.

/// An error that stops a command. Problems in single rows do not: they are collected in
/// [`crate::inventory::Problem`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A rule of a policy cannot be used as it stands.
    #[error("policy {policy}, rule {rule}: {reason}")]
    Rule {
        /// Policy id.
        policy: String,
        /// Rule id.
        rule: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A cost item cannot be used.
    #[error("cost item {id}: {reason}")]
    Cost {
        /// Item id.
        id: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The planning problem is not well formed.
    #[error("plan: {item}: {reason}")]
    Instance {
        /// The job, cluster, region, row or period.
        item: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A server answered something else than data.
    #[error("{url}: {reason}")]
    Server {
        /// What was asked.
        url: String,
        /// What came back and what to do.
        reason: String,
    },
    /// More input than the budget allows.
    #[error("{what}: more than {limit}; raise the limit or split the input")]
    Budget {
        /// What was counted.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// Stopped before there was anything to deliver.
    #[error("stopped before there was a result")]
    Stopped,
}

impl Error {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }

    pub(crate) fn format(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Format { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn instance(item: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Instance { item: item.into(), reason: reason.into() }
    }
}

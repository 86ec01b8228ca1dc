//! Vulnerability feeds to a local database; component to graded vulnerabilities.

//! Requirement catalogues as data, evaluated to verdicts and findings.

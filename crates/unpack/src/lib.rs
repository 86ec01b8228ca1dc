//! Bytes to a tree of artifacts with complete byte coverage.

//! Artifact to facts: pure functions of content, and a small second stage over the whole tree.

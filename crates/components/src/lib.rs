//! Which programs and libraries a content is or contains, by evidence in its bytes.

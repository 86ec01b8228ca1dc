//! Decoders shared by several formats: bytes in memory to bytes in memory,
//! within a given output bound, in safe code.

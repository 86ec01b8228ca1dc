//! The pipeline: unpack, inspect, match, judge.

//! The pipeline: unpack, inspect, match, judge. It knows neither arguments nor output.

pub mod cache;
pub mod sandbox;

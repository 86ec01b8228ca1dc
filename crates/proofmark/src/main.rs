//! The command line: the only crate that prints, exits and reads the environment.

fn main() {}

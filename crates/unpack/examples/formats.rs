//! Prints the table of formats.

#![allow(clippy::print_stdout)]

fn main() {
    print!("{}", proofmark_unpack::table::markdown());
}

//! The `nik-stream` program: everything is in the library.

fn main() {}

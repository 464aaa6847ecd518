//! The `nik-stream` program. Everything is in the library.

fn main() -> std::process::ExitCode {
    nik_stream::cli::main()
}

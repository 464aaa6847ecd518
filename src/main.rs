//! The `nik-stream` program: everything is in the library.

fn main() -> std::process::ExitCode {
    nik_stream::cli::main()
}

//! The `pgbraid` binary: hands the command line to the library.

fn main() -> std::process::ExitCode {
    pgbraid::cli::main()
}

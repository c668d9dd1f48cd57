//! The command line: parse, call, choose the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::main()
}

//! The `ductstream` binary.

fn main() -> std::process::ExitCode {
    // Reads the FAILPOINTS variable; only in builds for crash tests.
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    ductstream::cli::main()
}

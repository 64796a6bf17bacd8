//! The `ductstream` binary.

fn main() -> std::process::ExitCode {
    one_heap();
    // Reads the FAILPOINTS variable; only in builds for crash tests.
    #[cfg(feature = "failpoints")]
    let _failpoints = fail::FailScenario::setup();
    ductstream::cli::main()
}

/// By default each thread gets a heap of its own, and what one has freed does not serve the next: the encoders, which run on whichever thread is
/// free, would hold half as much memory again and spend time on mapping it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a call into the C library, on one thread and before any other is there")]
fn one_heap() {
    // SAFETY: mallopt takes two integers, and no other thread exists yet. A refusal leaves things as they are.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn one_heap() {}

//! An S3-protocol server for programs that link nothing of this kit: `ductstream-test-s3 DIRECTORY`.
//!
//! It says where it is, as one line of JSON, and does what the lines on its standard input say: `misbehave SEED ONCE_IN`
//! or `behave`. It ends with its standard input.

#![expect(clippy::print_stdout, clippy::panic, reason = "a program that talks to the test that runs it")]

use std::path::PathBuf;
use std::time::Duration;

use ductstream_testkit::s3::{Moods, S3Server};

/// Longer than the clients of these tests wait for an answer.
const DELAY: Duration = Duration::from_millis(3200);

fn main() {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        panic!("usage: ductstream-test-s3 DIRECTORY");
    };
    let server = S3Server::start_in(directory);
    let (endpoint, bucket, root) = (server.endpoint(), server.bucket(), server.root());
    let (access_key, secret_key) = (server.access_key(), server.secret_key());
    println!(
        "{{\"endpoint\": {endpoint:?}, \"bucket\": {bucket:?}, \"root\": {root:?}, \"access_key\": {access_key:?}, \
         \"secret_key\": {secret_key:?}}}"
    );
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["behave"] => server.set_moods(None),
            ["misbehave", seed, once_in] => match (seed.parse(), once_in.parse()) {
                (Ok(seed), Ok(once_in)) => server.set_moods(Some(Moods::new(seed, once_in, DELAY))),
                _ => panic!("{line:?}: two numbers were expected"),
            },
            _ => panic!("{line:?} is no command"),
        }
    }
}

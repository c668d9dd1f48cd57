//! The contender in Java: fetched and compiled by Maven, once, then run from its classes.

use std::path::PathBuf;
use std::process::Command;

/// Its stores; each has a changelog topic.
pub const STORES: [&str; 4] = ["seen", "users", "pools", "rollups"];

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/contenders/streams");

/// Compiles it; Maven goes to the network only for what it does not have.
pub fn build() -> anyhow::Result<()> {
    eprintln!("building benches/contenders/streams");
    let built = maven(&["-o"])? || maven(&[])?;
    anyhow::ensure!(built, "mvn could not build {SOURCE}");
    Ok(())
}

fn maven(more: &[&str]) -> anyhow::Result<bool> {
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-f", SOURCE]).args(more).arg(format!("-Dbuild.folder={}", folder().display()));
    command.arg("compile").arg("dependency:copy-dependencies");
    let output = command.output()?;
    if !output.status.success() && more.is_empty() {
        eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}

/// `java` with everything but its one argument.
pub fn command() -> Command {
    let folder = folder();
    let classes = format!("{}:{}/dependency/*", folder.join("classes").display(), folder.display());
    let mut command = Command::new("java");
    command.args(["-Xms1g", "-Xmx1g", "-cp", &classes, "tollgate.bench.Main"]);
    command
}

/// Beside the other things that are built: this program is `<target>/release/deps/bench-...`.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().join("streams")
}

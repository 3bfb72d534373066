//! Why a build ended, for a person, and the steps that say what they do.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What happened, what is untouched, what to do next.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed(pub String);

impl Failed {
    /// Something could not be done with a file.
    pub fn io<'p>(what: &'p str, path: &'p Path) -> impl FnOnce(io::Error) -> Self + 'p {
        move |error| Self(format!("cannot {what} {}: {error}", path.display()))
    }
}

/// Runs a command whose output goes into a log file; the log's end is shown when it fails.
pub fn logged(what: &str, mut command: Command, log: &Path) -> Result<(), Failed> {
    eprintln!("image: {what} …");
    let start = Instant::now();
    let file = fs::File::create(log).map_err(Failed::io("write", log))?;
    let again = file.try_clone().map_err(Failed::io("write", log))?;
    command.stdin(std::process::Stdio::null()).stdout(file).stderr(again);
    let status = command.status().map_err(|error| Failed(format!("{what}: {error}")))?;
    if !status.success() {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(25)..].join("\n");
        return Err(Failed(format!(
            "{what} failed ({status}).\n{end}\nAll of it: {}",
            log.display()
        )));
    }
    eprintln!("image: {what} took {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// What a command prints.
pub fn output(what: &str, command: &mut Command) -> Result<String, Failed> {
    let output = command.output().map_err(|error| Failed(format!("{what}: {error}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Failed(format!("{what} failed ({}): {}", output.status, stderr.trim())));
    }
    String::from_utf8(output.stdout).map_err(|_| Failed(format!("{what} printed no UTF-8")))
}

//! `cargo xtask nix`: the flake, as far as it can be looked at here. Nothing is built, and no store but one
//! below the target directory is used.
//!
//! Every machine parses and lints all files of Nix, holds the lock against the flake, and asks which
//! outputs there are. With `--nixpkgs DIR`, a nixpkgs in a directory, everything is evaluated too: each
//! output, and the hosts that the modules must accept or refuse. `--write` makes the pages anew.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::prerequisites;
use crate::step::{Failed, cargo, step, target, workspace};

/// Linters from the registry, and their versions.
const TOOLS: [(&str, &str); 2] = [("nixfmt_rs", "0.5.3"), ("deadnix", "1.3.1")];

/// Where files of Nix are.
const SOURCES: [&str; 5] = ["flake.nix", "crates", "images", "modules", "vm-tests"];

/// The flake's outputs, and what is in those that need no nixpkgs.
const OUTPUTS: &str = "apps checks devShells formatter nixosConfigurations nixosModules overlays packages \
                       : ceremony-appliance cicada default sesame : default";

/// The flake of a host, which README.md shows.
const EXAMPLE: &str = "modules/fleet-example/flake.nix";

/// Pages that are made of the modules: the expression, and the file.
const PAGES: [(&str, &str); 2] = [
    ("modules/options-page.nix", "modules/OPTIONS.md"),
    ("modules/tests/rendered.nix", "modules/tests/rendered.txt"),
];

/// The system that pages are made for; they are the same for the other one.
const SYSTEM: &str = "x86_64-linux";

/// `cargo xtask nix [--nixpkgs DIR [--write]]`.
pub fn run(arguments: &[&str]) -> Result<(), Failed> {
    match arguments {
        [] => check(),
        ["--nixpkgs", directory] => {
            check()?;
            evaluate(Path::new(directory))
        }
        ["--nixpkgs", directory, "--write"] => write_pages(Path::new(directory)),
        _ => Err(Failed("usage: cargo xtask nix [--nixpkgs DIR [--write]]".to_owned())),
    }
}

/// What needs no nixpkgs; what CI runs. Where there is no Nix, that is said in one line, and only CI fails.
pub fn check() -> Result<(), Failed> {
    let files = files()?;
    check_readme()?;
    let had = ensure_tools();
    if prerequisites::or_leave_out("the format of files of Nix", had)?.is_some() {
        step("format of Nix", tool("nixfmt", &["--check"], &files))?;
        step("unused names of Nix", tool("deadnix", &["--fail"], &files))?;
    }
    let had = prerequisites::programs("Nix", &[("nix-instantiate", "nix-bin")]);
    if prerequisites::or_leave_out("the flake's lock and outputs", had)?.is_none() {
        return Ok(());
    }
    let mut parse = nix("nix-instantiate");
    parse.arg("--parse").args(&files).stdout(Stdio::null());
    step("files of Nix", parse)?;
    check_lock()?;
    check_outputs()
}

/// README.md shows the flake of a host as it is evaluated.
fn check_readme() -> Result<(), Failed> {
    let read = |name: &str| {
        let path = workspace().join(name);
        fs::read_to_string(&path).map_err(|error| io("read", &path, &error))
    };
    if read("README.md")?.contains(&format!("```nix\n{}```\n", read(EXAMPLE)?)) {
        Ok(())
    } else {
        Err(Failed(format!("README.md does not show {EXAMPLE} as it is")))
    }
}

/// The lock names what the flake asks for, and would not be changed. Nix reads these two files alone.
fn check_lock() -> Result<(), Failed> {
    let alone = target().join("nix/lock");
    fs::create_dir_all(&alone).map_err(|error| io("make", &alone, &error))?;
    for name in ["flake.nix", "flake.lock"] {
        let file = workspace().join(name);
        fs::copy(&file, alone.join(name)).map_err(|error| io("copy", &file, &error))?;
    }
    let mut metadata = nix("nix");
    metadata.args(["flake", "metadata", "--offline", "--no-update-lock-file"]);
    metadata.arg(format!("path:{}", alone.display())).stdout(Stdio::null());
    step("flake.lock against flake.nix", metadata)
}

/// The outputs that the flake has; those that are files and functions are looked into.
fn check_outputs() -> Result<(), Failed> {
    let expression = format!(
        "let outputs = (import {}/flake.nix).outputs {{ self = outputs; nixpkgs = throw \"nixpkgs\"; }};
             names = value: toString (builtins.attrNames value);
         in \"${{names outputs}} : ${{names outputs.nixosModules}} : ${{names outputs.overlays}}\"",
        workspace().display()
    );
    let mut eval = nix("nix-instantiate");
    eval.args(["--eval", "--strict", "--expr", &expression]);
    let said = text(eval)?;
    let found = said.trim().trim_matches('"');
    if found == OUTPUTS {
        Ok(())
    } else {
        Err(Failed(format!("the flake has the outputs {found}; they should be {OUTPUTS}")))
    }
}

/// What is evaluated with a nixpkgs: each output, among them the checks of the modules and of the pages, whose
/// evaluation is the test. All failures are told, not the first alone.
fn evaluate(nixpkgs: &Path) -> Result<(), Failed> {
    let nixpkgs = &directory(nixpkgs)?;
    let mut failures = sentences(nixpkgs)?;
    failures.extend(outputs(nixpkgs)?);
    if failures.is_empty() { Ok(()) } else { Err(Failed(failures.join("\n"))) }
}

/// Every output of the flake, with one evaluation for those of a kind and system: they share most of it.
fn outputs(nixpkgs: &Nixpkgs) -> Result<Vec<String>, Failed> {
    let all = format!("import {} {{ {nixpkgs} }}", file("modules/tests/outputs.nix"));
    let names = raw(&format!("toString (builtins.attrNames ({all}))"))?;
    let kind = |name: &str| name.rsplit_once('.').map_or("", |(kind, _)| kind).to_owned();
    let mut kinds: Vec<String> = names.split_whitespace().map(kind).collect();
    kinds.dedup();
    let mut failures = Vec::new();
    for wanted in kinds {
        let names: Vec<&str> =
            names.split_whitespace().filter(|name| kind(name) == wanted).collect();
        eprintln!("xtask: {wanted}: {} outputs …", names.len());
        let together: Vec<String> = names.iter().map(|name| format!("all.\"{name}\"")).collect();
        if raw(&format!("let all = {all}; in toString [ {} ]", together.join(" "))).is_ok() {
            continue;
        }
        for name in names {
            if let Err(Failed(reason)) = raw(&format!("({all}).\"{name}\"")) {
                failures.push(format!("{name}: {reason}"));
            }
        }
    }
    Ok(failures)
}

/// Options that the module system refuses, each with its sentence, which no expression can catch.
fn sentences(nixpkgs: &Nixpkgs) -> Result<Vec<String>, Failed> {
    let verdict = verdict(nixpkgs);
    let listed = format!(
        "let cases = ({verdict}).thrown; in builtins.concatStringsSep \"\\n\" \
         (map (name: \"${{name}}\\t${{cases.${{name}}.says}}\") (builtins.attrNames cases))"
    );
    let mut failures = Vec::new();
    for line in raw(&listed)?.lines() {
        let (name, says) = line.split_once('\t').unwrap_or((line, ""));
        eprintln!("xtask: {name} …");
        let case = format!(
            "let verdict = {verdict}; in builtins.deepSeq \
             (verdict.evaluated verdict.thrown.\"{name}\".module) \"\""
        );
        match raw(&case) {
            Err(Failed(said)) if said.contains(says) => {}
            Err(Failed(said)) => failures.push(format!("{name}: should say \"{says}\": {said}")),
            Ok(_) => failures.push(format!("{name}: should not evaluate, and does")),
        }
    }
    Ok(failures)
}

fn write_pages(nixpkgs: &Path) -> Result<(), Failed> {
    let nixpkgs = &directory(nixpkgs)?;
    for (expression, page) in PAGES {
        let path = workspace().join(page);
        fs::write(&path, made(expression, nixpkgs)?).map_err(|error| io("write", &path, &error))?;
    }
    Ok(())
}

fn made(expression: &str, nixpkgs: &Nixpkgs) -> Result<String, Failed> {
    raw(&format!("import {} {{ {nixpkgs} system = \"{SYSTEM}\"; }}", file(expression)))
}

fn verdict(nixpkgs: &Nixpkgs) -> String {
    let file = file("modules/tests/verdict.nix");
    format!("import {file} {{ {nixpkgs} system = \"{SYSTEM}\"; }}")
}

/// A directory, shown as an argument of our expressions.
struct Nixpkgs(PathBuf);

impl std::fmt::Display for Nixpkgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "nixpkgs = {};", self.0.display())
    }
}

fn directory(nixpkgs: &Path) -> Result<Nixpkgs, Failed> {
    let found = nixpkgs.canonicalize().map_err(|error| io("find", nixpkgs, &error))?;
    if found.join("nixos/lib/eval-config.nix").exists() {
        Ok(Nixpkgs(found))
    } else {
        Err(Failed(format!("{} is no nixpkgs", found.display())))
    }
}

fn file(name: &str) -> String {
    workspace().join(name).display().to_string()
}

/// The string that an expression comes to.
fn raw(expression: &str) -> Result<String, Failed> {
    let mut eval = nix("nix");
    eval.args(["eval", "--impure", "--raw", "--expr", expression]);
    text(eval)
}

fn text(mut command: Command) -> Result<String, Failed> {
    let Output { status, stdout, stderr } = command
        .output()
        .map_err(|error| Failed(format!("cannot run {:?}: {error}", command.get_program())))?;
    if !status.success() {
        return Err(Failed(String::from_utf8_lossy(&stderr).trim().to_owned()));
    }
    String::from_utf8(stdout).map_err(|_| Failed("Nix did not answer in UTF-8".to_owned()))
}

/// A program of Nix, with a store of our own.
fn nix(program: &str) -> Command {
    let own = target().join("nix");
    let mut command = Command::new(program);
    command.current_dir(workspace());
    command.env("NIX_REMOTE", format!("local?root={}", own.join("root").display()));
    command.env("XDG_CACHE_HOME", own.join("cache"));
    command.args(["--option", "experimental-features", "nix-command flakes"]);
    // Root would otherwise need a group of builders, and nothing is built.
    command.args(["--option", "build-users-group", ""]);
    command
}

/// Every file of Nix, below the workspace's root.
fn files() -> Result<Vec<PathBuf>, Failed> {
    let root = workspace();
    let mut found = Vec::new();
    for source in SOURCES {
        files_below(&root.join(source), &mut found)?;
    }
    found.sort();
    Ok(found.iter().filter_map(|file| file.strip_prefix(&root).ok().map(Path::to_owned)).collect())
}

fn files_below(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failed> {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).map_err(|error| io("read", path, &error))? {
            files_below(&entry.map_err(|error| io("read", path, &error))?.path(), found)?;
        }
    } else if path.extension() == Some(OsStr::new("nix")) {
        found.push(path.to_owned());
    }
    Ok(())
}

/// Builds the linters below the target directory, unless they are there.
fn ensure_tools() -> Result<(), Failed> {
    for (name, version) in TOOLS {
        let root = tools();
        // Written last, so it vouches for the program.
        let stamp = root.join(format!("{name}-{version}"));
        if stamp.exists() {
            continue;
        }
        // Unoptimised: they are run for a second, and built for minutes otherwise.
        let mut install =
            cargo(&["install", "--quiet", "--locked", "--debug", "--force", "--version"]);
        install.args([version, "--root"]).arg(&root).arg(name);
        install.env("CARGO_TARGET_DIR", root.join("build"));
        step(&format!("{name} {version}"), install)?;
        fs::write(&stamp, "").map_err(|error| io("write", &stamp, &error))?;
    }
    // Some hundred megabytes, and never needed again.
    let _ = fs::remove_dir_all(tools().join("build"));
    Ok(())
}

fn tools() -> PathBuf {
    target().join("tools")
}

fn tool(program: &str, options: &[&str], files: &[PathBuf]) -> Command {
    let mut command = Command::new(tools().join("bin").join(program));
    command.current_dir(workspace()).args(options).args(files);
    command
}

fn io(what: &str, path: &Path, error: &std::io::Error) -> Failed {
    Failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_nix_are_found_wherever_they_are_and_no_others() {
        let Ok(files) = files() else { panic!("the workspace can be read") };
        for file in ["flake.nix", "crates/package.nix", EXAMPLE] {
            assert!(files.contains(&PathBuf::from(file)), "{file} is missing in {files:?}");
        }
        assert!(files.iter().all(|file| file.extension() == Some(OsStr::new("nix"))));
    }

    #[test]
    fn a_directory_that_is_no_nixpkgs_is_refused() {
        let Err(Failed(reason)) = directory(&workspace()) else { panic!("this is no nixpkgs") };
        assert!(reason.contains("is no nixpkgs"), "{reason}");
    }
}

//! `sesame cicada rules`: cicada.toml as the daemon will read it, so that a mistake is found before a
//! restart.

use std::fmt::Write;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use serde_json::{Value, json};
use site_config::cicada::{CicadaRule, Which, Whom};
use site_config::{CicadaConfig, CicadaConfigError, Layout};

use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(layout: &Layout, output: &Output) -> Result<(), Failure> {
    let path = layout.cicada_config();
    let config = CicadaConfig::load(path).map_err(|error| {
        let code = match error {
            CicadaConfigError::Absent { .. } => Code::NOT_FOUND,
            CicadaConfigError::File(_) => Code::CONFIG,
        };
        Failure::new(code, error.to_string())
    })?;
    output.result(&text(path, &config), json(path, &config))
}

fn text(path: &Path, config: &CicadaConfig) -> String {
    let digest = data_encoding::HEXLOWER.encode(&config.digest);
    let grace = humantime::format_duration(config.grace);
    let mut text = format!("{}, BLAKE3 {digest}\n", path.display());
    let _ = writeln!(text, "grace time  {grace}, unless a rotation says otherwise");
    let whom: Vec<String> = config.rules.iter().map(|rule| whom(rule.whom)).collect();
    let which: Vec<&str> = config.rules.iter().map(|rule| which(&rule.which)).collect();
    let width_of_whom = whom.iter().map(String::len).max().unwrap_or(0);
    let width_of_which = which.iter().map(|which| which.len()).max().unwrap_or(0);
    for ((rule, whom), which) in config.rules.iter().zip(whom).zip(which) {
        let operations = match operations(rule) {
            operations if operations.is_empty() => "nothing".to_owned(),
            operations => operations.join(" "),
        };
        let _ = writeln!(text, "{whom:<width_of_whom$}  {which:<width_of_which$}  {operations}");
    }
    if config.rules.is_empty() {
        text.push_str("There is no rule, so that nobody may ask for anything.\n");
    }
    text
}

fn json(path: &Path, config: &CicadaConfig) -> Value {
    let rules = config.rules.iter().map(|rule| {
        let (key, id) = match rule.whom {
            Whom::Uid(uid) => ("uid", uid),
            Whom::Gid(gid) => ("gid", gid),
        };
        json!({ key: id, "identity": which(&rule.which), "operations": operations(rule) })
    });
    json!({
        "file": path.display().to_string(),
        "blake3": data_encoding::HEXLOWER.encode(&config.digest),
        "grace_seconds": config.grace.as_secs(),
        "rules": rules.collect::<Vec<_>>(),
    })
}

fn operations(rule: &CicadaRule) -> Vec<&'static str> {
    rule.operations.iter().map(|operation| operation.as_str()).collect()
}

fn whom(whom: Whom) -> String {
    match whom {
        Whom::Uid(uid) => match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => format!("uid {uid} ({})", user.name),
            _ => format!("uid {uid}"),
        },
        Whom::Gid(gid) => group(gid),
    }
}

fn group(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => format!("gid {gid} ({})", group.name),
        _ => format!("gid {gid}"),
    }
}

fn which(which: &Which) -> &str {
    match which {
        Which::All => "*",
        Which::One(name) => name.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
grace_seconds = 90000

[[allow]]
uid = "root"
identity = "*"
operations = ["status", "create"]

[[allow]]
gid = 3999999999
identity = "cloud-sync"
operations = ["sign", "get_key"]

[[allow]]
uid = 3999999999
identity = "cloud-sync"
operations = []
"#;

    fn parse(text: &str) -> CicadaConfig {
        CicadaConfig::parse(text, Path::new("/d/cicada.toml")).unwrap()
    }

    #[test]
    fn rules_are_shown_as_they_are_understood() {
        let path = Path::new("/d/cicada.toml");
        let (some, none) = (parse(FILE), parse(""));
        insta::assert_snapshot!([text(path, &some), text(path, &none)].join("\n"));
        let json = json(path, &some);
        assert_eq!(json["grace_seconds"], 90_000);
        assert_eq!(json["rules"][0]["uid"], 0);
        let expected = json!({
            "gid": 3_999_999_999_u32, "identity": "cloud-sync", "operations": ["get_key", "sign"],
        });
        assert_eq!(json["rules"][1], expected);
    }
}

//! `sesame config …`

use std::path::PathBuf;

use serde_json::{Value, json};
use site_config::{Layout, Site};

use crate::cli::Config;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(dir: Option<PathBuf>, output: &Output, command: &Config) -> Result<(), Failure> {
    match command {
        Config::Keys => {
            let text = site_config::keys::markdown();
            output.result(&text, json!({ "markdown": text }))
        }
        Config::Show => show(&Site::load(Layout::choose(dir)?)?, output),
        Config::Check => {
            let site = Site::load(Layout::choose(dir)?)?;
            let locked = site.policy.len();
            let text = format!("Configuration and policy agree; {locked} settings are locked.\n");
            output.result(&text, json!({ "sound": true, "locked": locked }))
        }
    }
}

fn show(site: &Site, output: &Output) -> Result<(), Failure> {
    let text: String = site.effective().iter().map(|setting| format!("{setting}\n")).collect();
    let settings: Vec<Value> = site
        .effective()
        .iter()
        .map(|setting| {
            json!({
                "key": setting.key.to_string(),
                "value": setting.value.to_string().trim_matches('"'),
                "origin": setting.origin.to_string(),
            })
        })
        .collect();
    output.result(&text, json!({ "settings": settings }))
}

//! The bill of materials: Debian's packages and Rust's crates, in SPDX 2.3 (ISO/IEC 5962).

use serde_json::{Value, json};

use crate::binaries;
use crate::failed::Failed;
use crate::lock::Lock;
use crate::places::{NAME, Places};

/// The document, the same for the same image.
pub fn spdx(places: &Places, lock: &Lock) -> Result<String, Failed> {
    let crates = binaries::crates(places)?;
    let document = document(lock, &crates);
    let mut text = serde_json::to_string_pretty(&document).expect("text keys");
    text.push('\n');
    Ok(text)
}

fn document(lock: &Lock, crates: &[String]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let mut packages = vec![json!({
        "SPDXID": "SPDXRef-image",
        "name": NAME,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    })];
    for (index, package) in lock.packages.iter().filter(|package| package.in_image()).enumerate() {
        let (name, version, architecture) =
            (&package.name, &package.version, &package.architecture);
        packages.push(json!({
            "SPDXID": format!("SPDXRef-debian-{index}"),
            "name": name,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "checksums": [{ "algorithm": "SHA256", "checksumValue": package.sha256.to_string() }],
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": format!("pkg:deb/debian/{}@{}?arch={architecture}", escape(name), escape(version)),
            }],
        }));
    }
    for (index, line) in crates.iter().enumerate() {
        let (name, version) = line.split_once(" v").unwrap_or((line, ""));
        packages.push(json!({
            "SPDXID": format!("SPDXRef-crate-{index}"),
            "name": name,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": format!("pkg:cargo/{}@{}", escape(name), escape(version)),
            }],
        }));
    }
    let contains: Vec<Value> = packages[1..]
        .iter()
        .map(|package| {
            json!({
                "spdxElementId": "SPDXRef-image",
                "relationshipType": "CONTAINS",
                "relatedSpdxElement": package["SPDXID"],
            })
        })
        .chain([json!({
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": "SPDXRef-image",
        })])
        .collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{NAME}-{version}"),
        // A name, not an address: it has to be unique, and the date of the packages makes it so.
        "documentNamespace": format!("urn:sesame:spdx:{NAME}:{version}:{}", lock.date),
        "creationInfo": { "created": created(lock.date), "creators": ["Tool: sesame-image"] },
        "packages": packages,
        "relationships": contains,
    })
}

/// What a purl must escape in names and versions (RFC 3986).
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// RFC 3339, whole seconds.
fn created(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_and_crate_of_the_image_is_listed_once() {
        let digest = "0".repeat(64);
        let line = |purpose: &str, name: &str| {
            format!("{purpose} {name} 1:2+b1 amd64 5 {digest} main pool/main/{name}.deb\n")
        };
        let lock = Lock::parse(&format!(
            "date 1790000000\n{}{}",
            line("image", "bash"),
            line("tools", "gcc")
        ))
        .unwrap();
        let document = document(&lock, &["serde v1.0.0".to_owned()]);
        let names: Vec<&str> = document["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| package["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, [NAME, "bash", "serde"]);
        let locator = &document["packages"][1]["externalRefs"][0]["referenceLocator"];
        assert_eq!(locator, "pkg:deb/debian/bash@1%3A2%2Bb1?arch=amd64");
        assert_eq!(document["creationInfo"]["created"], "2026-09-21T14:13:20Z");
        assert_eq!(document["relationships"].as_array().unwrap().len(), 3);
    }
}

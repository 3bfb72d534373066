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
    let mut image = package("image".to_owned(), NAME, version);
    image["primaryPackagePurpose"] = json!("OPERATING-SYSTEM");
    let mut packages = vec![image];
    for (index, locked) in lock.packages.iter().filter(|package| package.in_image()).enumerate() {
        let (name, version) = (&locked.name, &locked.version);
        let mut package = package(format!("debian-{index}"), name, version);
        let sha256 = locked.sha256.to_string();
        package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": sha256 }]);
        let architecture = format!("?arch={}", locked.architecture);
        package["externalRefs"] = json!([purl("deb/debian", name, version, &architecture)]);
        packages.push(package);
    }
    for (index, line) in crates.iter().enumerate() {
        let (name, version) = line.split_once(" v").unwrap_or((line, ""));
        let mut package = package(format!("crate-{index}"), name, version);
        package["externalRefs"] = json!([purl("cargo", name, version, "")]);
        packages.push(package);
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

/// What SPDX demands of every package (SPDX 2.3, 7).
fn package(id: String, name: &str, version: &str) -> Value {
    json!({
        "SPDXID": format!("SPDXRef-{id}"),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
    })
}

/// A reference by which scanners know a package: a purl (package-url's specification).
fn purl(kind: &str, name: &str, version: &str, qualifiers: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": format!("pkg:{kind}/{}@{}{qualifiers}", escape(name), escape(version)),
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

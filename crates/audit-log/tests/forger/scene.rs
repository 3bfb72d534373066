//! A trail before the forger comes, the forms in which he leaves it, and the table of what follows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use audit_log::{
    Expectation, ExpectedHead, HashAlgorithm, Manifest, Report, Verdict, Writer, parse_line,
    verify_bundle,
};
use tempfile::TempDir;

use crate::common::forged::Forged;
use crate::common::{export, make_sealed};

/// A sound trail and a bundle of it.
pub struct Scene {
    dir: TempDir,
    pub hash: HashAlgorithm,
    manifest: Manifest,
}

/// 24 entries. Entries 0, 7, 15 and 23 announce the checkpoints 1, 8, 16 and 24.
pub static SEALED: LazyLock<[Scene; 2]> = LazyLock::new(|| {
    HashAlgorithm::ALL.map(|hash| Scene::new(hash, |dir| make_sealed(dir, hash, 24, &[7, 15, 23])))
});

impl Scene {
    pub fn new(hash: HashAlgorithm, make: impl FnOnce(&Path) -> Writer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer = make(&dir.path().join("trail"));
        let manifest = export(&writer, &dir.path().join("bundle"));
        Self { dir, hash, manifest }
    }

    pub fn forged(&self) -> Forged {
        Forged::load(&self.dir.path().join("trail"))
    }

    pub fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    /// What somebody noted when the trail had this size.
    pub fn head(&self, size: usize) -> Expectation {
        let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _] = self.forged().root(size);
        let head = ExpectedHead::from_prefix(size as u64, first);
        Expectation { head: Some(head), ..Expectation::default() }
    }
}

/// How a forged trail comes to whoever verifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The directory of the segments, as `cp -r` leaves it.
    Bare,
    /// An exported directory whose manifest and key are still those of the exporter.
    Directory,
    /// The same as a tar file.
    Tar,
    /// An exported directory for which the forger wrote the manifest and the key anew.
    Anew,
}

impl Form {
    pub const ALL: [Self; 4] = [Self::Bare, Self::Directory, Self::Tar, Self::Anew];

    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Directory => "directory",
            Self::Tar => "tar",
            Self::Anew => "manifest anew",
        }
    }

    /// Writes the trail in this form into `dir`, and returns what is to be verified.
    pub fn write(self, forged: &Forged, scene: &Scene, dir: &Path) -> PathBuf {
        let bundle = dir.join("bundle");
        if self == Self::Bare {
            fs::create_dir(&bundle).unwrap();
            forged.store(&bundle);
            return bundle;
        }
        crate::common::copy(&scene.bundle(), &bundle);
        let forged = forged.clone().merged();
        forged.store(&bundle.join("trail"));
        if self == Self::Anew {
            let json = serde_json::to_vec(&forged.manifest(&scene.manifest)).unwrap();
            fs::write(bundle.join("manifest.json"), json).unwrap();
            if let Some(keys) = forged.lines.first().and_then(|(_, line)| keys_in(line)) {
                fs::write(bundle.join("public-key.txt"), keys).unwrap();
            }
        }
        if self == Self::Tar {
            return pack(&bundle);
        }
        bundle
    }
}

/// The key file that belongs to a genesis.
fn keys_in(line: &[u8]) -> Option<String> {
    let entry = parse_line(line).ok()?;
    let key = |name: &str| entry.detail.get(name).cloned();
    Some(format!("{}\n{}\n", key("key_ed25519")?, key("key_ml_dsa_44")?))
}

/// Makes a tar file of a directory, beside it.
pub fn pack(dir: &Path) -> PathBuf {
    let path = dir.with_extension("tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    tar.append_dir_all(".", dir).unwrap();
    tar.finish().unwrap();
    path
}

/// Verifies a trail in one form after the forger was there.
pub fn after(form: Form, scene: &Scene, forged: &Forged, expectation: &Expectation) -> Report {
    let dir = tempfile::tempdir().unwrap();
    verify_bundle(&form.write(forged, scene, dir.path()), expectation).unwrap()
}

/// Code, verdict, first bad entry and reason; where the entry lies differs by form.
pub fn outcome(report: &Report) -> String {
    let verdict = report.verdict;
    let code = format!("{:2} {verdict}", verdict.exit_code(), verdict = verdict.as_str());
    let Some(finding) = &report.finding else {
        assert_eq!(verdict, Verdict::Sound);
        let sentence = report.to_string();
        return format!("{code}.{}", sentence.strip_prefix(&verdict.to_string()).unwrap());
    };
    assert_eq!(verdict, finding.verdict);
    let seq = finding.seq.map_or(String::new(), |seq| format!(", entry {seq}"));
    format!("{code}{seq}. {}", finding.reason)
}

/// A name and what comes of it in several cases; equal outcomes share a line.
pub fn row(name: &str, cases: &[(String, String)]) -> String {
    let mut groups: Vec<(Vec<&str>, &str)> = Vec::new();
    for (case, outcome) in cases {
        match groups.iter_mut().find(|(_, known)| known == outcome) {
            Some((cases, _)) => cases.push(case),
            None => groups.push((vec![case], outcome)),
        }
    }
    let mut row = format!("{name}\n");
    for (some, outcome) in &groups {
        let cases = if groups.len() == 1 { "all".to_owned() } else { some.join(", ") };
        row += &format!("    {cases}: {outcome}\n");
    }
    row
}

pub type Forgery = (&'static str, fn(&mut Forged, &Scene));

/// What each forgery is called in each of the forms, when nothing is known about the trail.
///
/// # Panics
/// When it isn't the same under both hashes.
pub fn table(scenes: &[Scene; 2], forms: &[Form], forgeries: &[Forgery]) -> String {
    let [one, other] = scenes.each_ref().map(|scene| {
        let mut table = String::new();
        for (name, forge) in forgeries {
            let mut forged = scene.forged();
            forge(&mut forged, scene);
            let cases = forms.iter().map(|form| {
                let report = after(*form, scene, &forged, &Expectation::default());
                (form.name().to_owned(), outcome(&report))
            });
            table += &row(name, &cases.collect::<Vec<_>>());
        }
        table
    });
    assert_eq!(one, other, "the two hashes differ");
    one
}

/// Something that is known about a trail from elsewhere.
pub type Knowledge<'a> = (&'static str, &'a dyn Fn(&Scene) -> Expectation);

/// What each forgery is called by those who know this or that.
///
/// The forger writes manifest and key of a bundle anew, so that it tells no more than a bare trail: but
/// for its end, which an export always seals.
///
/// # Panics
/// When it isn't the same under both hashes.
pub fn table_by_knowledge(
    scenes: &[Scene; 2],
    forgeries: &[Forgery],
    knowledge: &[Knowledge<'_>],
) -> String {
    let [one, other] = scenes.each_ref().map(|scene| {
        let mut table = String::new();
        for (name, forge) in forgeries {
            let mut forged = scene.forged();
            forge(&mut forged, scene);
            let mut cases = Vec::new();
            for (known, expectation) in knowledge {
                let [bare, bundle] = [Form::Bare, Form::Anew]
                    .map(|form| outcome(&after(form, scene, &forged, &expectation(scene))));
                if bundle == bare {
                    cases.push(((*known).to_owned(), bare));
                } else {
                    assert!(bundle.starts_with("19 unsealed"), "{name}, {known}: {bundle}");
                    cases.push((format!("{known} of a bare trail"), bare));
                    cases.push((format!("{known} of a bundle"), bundle));
                }
            }
            table += &row(name, &cases);
        }
        table
    });
    assert_eq!(one, other, "the two hashes differ");
    one
}

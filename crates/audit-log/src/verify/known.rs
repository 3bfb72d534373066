//! What is known of the tree from elsewhere: checkpoints, a head, a manifest.

use super::Expectation;
use super::chain::Verifier;
use super::seals::{Fault, Seals};
use crate::hash::{ExpectedHead, Head};
use crate::segment;
use crate::verdict::Verdict;

impl Verifier {
    /// The next size of which somebody says what the tree is then.
    pub(super) fn next_landmark(&self) -> u64 {
        let Expectation { head, manifest, .. } = &self.expectation;
        let next = self.seals.as_ref().and_then(Seals::next_size);
        let sizes = [head.map(|head| head.size), manifest.map(|head| head.size), next];
        let size = self.chain.size();
        sizes.into_iter().flatten().filter(|at| *at > size).min().unwrap_or(u64::MAX)
    }

    /// Compares the tree with what is known of it at its present size.
    pub(super) fn compare(&mut self, announces_checkpoint: bool) {
        let Head { size, root } = self.chain.head();
        let manifest = self.expectation.manifest.map(ExpectedHead::from);
        let said = [(self.expectation.head, "the expected head"), (manifest, "the manifest")];
        for (head, who) in said {
            let Some(head) = head.filter(|head| head.size == size) else { continue };
            if !head.allows(&root) {
                return self.contradicted(who, self.proven);
            }
        }
        if self.expectation.head.is_some_and(|head| head.size == size) {
            self.proven = size;
        }
        if let (Some(seals), Some(keys)) = (&mut self.seals, &self.chain.keys) {
            match seals.reach(self.chain.head(), announces_checkpoint, keys, &self.expectation) {
                Ok(true) => {
                    self.signed = size;
                    if seals.is_pinned() {
                        self.proven = size;
                    }
                    // From here on the keys count that this checkpoint covers.
                    if let Some(keys) = self.chain.next_keys.take() {
                        self.chain.keys = Some(keys);
                    }
                }
                Ok(false) => {}
                Err(Fault::Contradiction { size }) => {
                    let first = self.signed.max(self.proven);
                    let who = format!("the signed checkpoint of size {size}");
                    self.contradicted(&who, first);
                }
                Err(Fault::Bad { verdict, size, seq, reason }) => {
                    self.file = Some((segment::checkpoint_name(size), None));
                    self.line = 0;
                    self.fail(verdict, seq, reason);
                }
                Err(Fault::Io(error)) => {
                    self.unreadable = Some(error);
                    self.fail(Verdict::Malformed, None, "It cannot be read".to_owned());
                }
            }
        }
    }

    /// The chain is sound up to here, and not the one that there was from entry `first` on.
    fn contradicted(&mut self, who: &str, first: u64) {
        let last = self.chain.size() - 1;
        let reason = if first > last {
            format!(
                "The trail is as it was expected, and {who} is over another one: its key has signed both"
            )
        } else if first == last {
            format!("Entry {first} is not the one that {who} was made over")
        } else {
            format!("One of the entries {first} to {last} is not the one that {who} was made over")
        };
        self.fail(Verdict::Rewritten, (first <= last).then_some(first), reason);
    }

    /// What is missing or too much, now that there are no more lines.
    pub(super) fn check_end(&self) -> Result<(), (Verdict, Option<u64>, String)> {
        let size = self.chain.size();
        let Expectation { size: expected, head, manifest, .. } = &self.expectation;
        if size == 0 {
            return Err((Verdict::Absent, None, "Not one entry was found".to_owned()));
        }
        let promised = [
            ("the manifest", manifest.map(|head| head.size)),
            ("a checkpoint", self.seals.as_ref().and_then(Seals::last_size)),
        ];
        for (who, promised) in promised {
            if let Some(promised) = promised.filter(|promised| *promised > size) {
                let reason = format!("{}, and {who} says {promised}", there_are(size));
                return Err((Verdict::Truncated, Some(size), reason));
            }
        }
        let expected = expected.unwrap_or(0).max(head.map_or(0, |head| head.size));
        if expected > size {
            let reason = format!("{}, and there have been {expected}", there_are(size));
            return Err((Verdict::RolledBack, Some(size), reason));
        }
        if let Some(manifest) = manifest
            && manifest.size < size
        {
            let reason = format!("{}, and the manifest says {}", there_are(size), manifest.size);
            return Err((Verdict::Rewritten, Some(manifest.size), reason));
        }
        match &self.seals {
            Some(seals) => seals.check_end(size, &self.expectation),
            None => Ok(()),
        }
    }
}

fn there_are(size: u64) -> String {
    if size == 1 { "There is 1 entry".to_owned() } else { format!("There are {size} entries") }
}

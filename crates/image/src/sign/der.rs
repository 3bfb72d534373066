//! DER (ITU-T X.690) as far as an Authenticode signature needs it.

use der::asn1::AnyRef;
use der::{Decode, Encode, Reader, SliceReader, Tag};

use crate::failed::Failed;

/// An element with these elements in it, or with these bytes.
pub fn element(tag: Tag, parts: &[&[u8]]) -> Result<Vec<u8>, Failed> {
    let content = parts.concat();
    AnyRef::new(tag, &content)
        .and_then(|element| element.to_der())
        .map_err(|error| Failed(format!("cannot write DER: {error}; nothing was signed")))
}

/// The bytes inside of an element.
pub fn content(element: &[u8]) -> Option<&[u8]> {
    AnyRef::from_der(element).ok().map(AnyRef::value)
}

/// The element that is reached by these numbers, each counting the elements inside of the last one.
pub fn descend<'e>(element: &'e [u8], path: &[usize]) -> Option<&'e [u8]> {
    let Some((number, path)) = path.split_first() else { return Some(element) };
    let mut reader = SliceReader::new(content(element)?).ok()?;
    for _ in 0..*number {
        reader.tlv_bytes().ok()?;
    }
    descend(reader.tlv_bytes().ok()?, path)
}

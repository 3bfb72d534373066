//! The head of a trail in words.

use paper::{TooLarge, WordsError, encode, head_words, parse_head_words};
use proptest::prelude::*;

/// The words come from a few lines of Python over `english.txt`, which share nothing with ours. A
/// change here makes every head on paper worthless.
#[test]
fn the_words_of_a_head_are_fixed() {
    let root = std::array::from_fn(|n| n as u8);
    assert_eq!(
        head_words(1234, &root).map(|words| words.join(" ")),
        Ok("abandon amount liar amount expire adjust cage candy arch gather drum bullet \
            absurd math equal ability acoustic dirt rule garbage"
            .to_owned())
    );
}

#[test]
fn a_size_of_more_than_five_bytes_is_refused() {
    let largest = (1 << 40) - 1;
    let words = head_words(largest, &[1; 32]).unwrap();
    assert_eq!(parse_head_words(&words.join(" ")), Ok((largest, [1; 20])));
    for size in [1 << 40, u64::MAX] {
        assert_eq!(head_words(size, &[1; 32]), Err(TooLarge { size }));
    }
    insta::assert_snapshot!(TooLarge { size: 1 << 40 });
}

#[test]
fn words_that_are_no_head_are_refused() {
    let others = encode("another domain", &[0; 25]).join(" ");
    assert_eq!(parse_head_words(&others), Err(WordsError::Checksum));
    let shorter = encode("pds v2 audit-head v1", &[0; 24]).join(" ");
    assert_eq!(parse_head_words(&shorter), Err(WordsError::WrongCount { expected: 20, found: 19 }));
}

proptest! {
    #[test]
    fn a_head_is_read_as_it_was_written(size in 0..1_u64 << 40, root in any::<[u8; 32]>()) {
        let words = head_words(size, &root).unwrap();
        let (read_size, start) = parse_head_words(&words.join("\n")).unwrap();
        prop_assert_eq!(read_size, size);
        prop_assert_eq!(start.as_slice(), &root[..20]);
    }

    #[test]
    fn any_text_has_an_answer(text in any::<String>()) {
        let _ = parse_head_words(&text);
    }
}

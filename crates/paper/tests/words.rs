//! Words, through the public functions.

use paper::{WordsError, decode, decode_into, encode, encode_with, word_count};
use proptest::prelude::*;

const DOMAIN: &str = "test";

/// The words come from a few lines of Python over `english.txt`, which share nothing with ours.
const VECTORS: [(&[u8], &str); 4] = [
    (&[], "solid rifle"),
    (&[0xff], "zebra obtain sustain"),
    (
        &[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150],
        "abandon expose always expire cat case door erode hover series permit code black leg",
    ),
    (
        &[0; 32],
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
         abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
         abandon birth ketchup",
    ),
];

#[test]
fn the_words_are_fixed() {
    for (payload, words) in VECTORS {
        assert_eq!(encode(DOMAIN, payload).join(" "), words);
        assert_eq!(decode(DOMAIN, payload.len(), words).as_deref(), Ok(payload));
    }
}

#[test]
fn a_checksum_has_16_to_26_bits() {
    for len in 0..1000 {
        let bits = word_count(len) * 11 - len * 8;
        assert!((16..=26).contains(&bits), "{len} bytes: {bits} bits");
    }
}

#[test]
fn the_form_does_not_matter() {
    let payload = VECTORS[2].0;
    for text in [
        "abandon expose always expire cat case door erode hover series permit code black leg",
        "ABANDON Expose aLWAYS expire cat case door erode hover series permit code black leg",
        "aban expo alwa expi cat case door erod hove seri perm code blac leg",
        "ABAN-EXPO-ALWA-EXPI-CAT-CASE-DOOR-EROD-HOVE-SERI-PERM-CODE-BLAC-LEG",
        "\r\n\t aban, expo, alwa,,expi,\u{a0}cat - case\ndoor\n\nerod hove seri perm code blac leg 15.",
        "1. abandon 2. expose 3.always 4. expire 5. cat 6. case 7. door\n\
         8. erode 9. hover 10. series 11. permit 12. code 13. black 14. leg\n",
    ] {
        assert_eq!(decode(DOMAIN, payload.len(), text).as_deref(), Ok(payload), "{text}");
    }
}

#[test]
fn the_content_does() {
    for word in [
        "abando",
        "abandons",
        "abandom",
        "aba",
        "abandon.",
        "1",
        "1)",
        "1.2.",
        ".",
        "ábandon",
        "abandon’",
        "ａｂａｎ",
        "aban\u{301}",
        "cat.",
        "aban\0",
        "\u{200b}",
    ] {
        let text = format!("{word} expose always expire cat case door erode");
        let result = decode(DOMAIN, 8, &text);
        let unknown = matches!(result, Err(WordsError::UnknownWord { position: 1, .. }));
        assert!(unknown, "{word:?}: {result:?}");
    }
}

#[test]
fn errors_say_what_happened_and_what_to_do() {
    let right = VECTORS[2].1;
    let cases = [
        right.replace("series", "serious"),
        right.replace("cat", "Kat"),
        right.replace("expose", "exbo"),
        right.replace("expose", "expozed"),
        right.replace("leg", "\x1b[2J\u{202e}\"x'"),
        right.replace("permit", "qqqqqqqq"),
        right.replace(' ', ""),
        right.replace("leg", ""),
        format!("{right} leg leg"),
        String::new(),
        right.replace("series", "permit"),
    ];
    let errors = cases.map(|text| match decode(DOMAIN, 16, &text) {
        Err(error) => format!("{error}\n    {error:?}\n"),
        Ok(_) => panic!("accepted: {text}"),
    });
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn an_error_leaves_nothing_in_the_buffer() {
    let right = VECTORS[2].1;
    let wrong = ["leg", "kat", "", "leg leg", "code"].map(|last| right.replace("leg", last));
    for (text, is_right) in wrong.iter().zip([true, false, false, false, false]) {
        let mut out = [0xaa; 16];
        assert_eq!(decode_into(DOMAIN, text, &mut out).is_ok(), is_right, "{text}");
        assert_eq!(out != [0; 16], is_right, "{text}");
    }
}

#[test]
fn words_of_another_domain_are_refused() {
    let words = encode("one", &[7; 16]).join(" ");
    assert_eq!(decode("two", 16, &words), Err(WordsError::Checksum));
    assert_eq!(decode("one", 16, &words), Ok(vec![7; 16]));
}

/// One mistake in 2^19 passes for good here; the mistakes are always the same ones, so that none of
/// these does.
#[test]
fn a_misread_word_and_a_swap_are_noticed() {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let list: Vec<_> = (0..2048).map(word).collect();
    let (mut misread, mut swapped) = (0, 0);
    for _ in 0..300 {
        let payload: Vec<u8> = (0..25).map(|_| random(256) as u8).collect();
        let right = encode(DOMAIN, &payload);
        for place in 0..right.len() {
            let mut wrong = right.clone();
            wrong[place] = list[random(2048)];
            if wrong != right {
                misread += 1;
                assert_eq!(decode(DOMAIN, 25, &wrong.join(" ")), Err(WordsError::Checksum));
            }
        }
        for place in 1..right.len() {
            let mut wrong = right.clone();
            wrong.swap(place - 1, place);
            if wrong != right {
                swapped += 1;
                assert_eq!(decode(DOMAIN, 25, &wrong.join(" ")), Err(WordsError::Checksum));
            }
        }
    }
    assert!(misread > 5000 && swapped > 5000, "{misread} {swapped}");
}

/// The word of these 11 bits.
fn word(bits: u16) -> &'static str {
    encode(DOMAIN, &(bits << 5).to_be_bytes())[0]
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        payload in prop::collection::vec(any::<u8>(), 0..70),
        domain in "[a-z0-9 ]{0,20}",
    ) {
        let words = encode(&domain, &payload);
        prop_assert_eq!(words.len(), word_count(payload.len()));
        let mut one_by_one = Vec::new();
        encode_with(&domain, &payload, |word| one_by_one.push(word));
        prop_assert_eq!(&one_by_one, &words);
        // As somebody may write them down: with their numbers.
        let numbered = (1..).zip(&words).map(|(n, word)| format!("{n:2}. {word}"));
        let numbered = numbered.collect::<Vec<_>>().join("\n");
        for text in [words.join(" "), numbered] {
            prop_assert_eq!(decode(&domain, payload.len(), &text), Ok(payload.clone()));
        }
    }

    #[test]
    fn any_text_has_an_answer(text in any::<String>(), len in 0..40_usize) {
        let _ = decode(DOMAIN, len, &text);
    }

    #[test]
    fn any_text_of_words_has_an_answer(
        tokens in prop::collection::vec("[a-zA-Z]{1,9}|[0-9]{0,2}\\.|abandon|zoo", 0..40),
        len in 0..40_usize,
    ) {
        let _ = decode(DOMAIN, len, &tokens.join(" "));
    }

    /// An error may be logged where the words must not be.
    #[test]
    fn an_error_shows_one_word_and_no_other(place in 0..20_usize, wrong in "[qx]{1,30}") {
        let mut words = encode(DOMAIN, &[0x5a; 25]);
        words[place] = &wrong;
        let error = decode(DOMAIN, 25, &words.join(" ")).unwrap_err();
        let WordsError::UnknownWord { position, word, nearest } = &error else {
            panic!("{error:?}");
        };
        prop_assert_eq!(*position, place + 1);
        prop_assert!(word.chars().count() <= 13);
        prop_assert!(wrong.starts_with(word.trim_end_matches('…')));
        prop_assert!(nearest.len() <= 3);
    }
}
